/* Records what a process does to the files below one directory, in one order over all processes.
 *
 * Preloaded by tests/crash/recorder.py. The log is a file mapped by all processes: a head with a
 * robust lock, then frames. A frame is complete before `used` covers it, so a kill never leaves
 * half of one. An event and its frame happen under the lock: the log's order is the order of the
 * page cache. A sync holds the lock at its begin and at its end only, writers go on between.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FRAMES_START 4096
#define MAGIC 0x6f636372617368ULL

/* Must agree with tests/crash/recording.py. */
enum kind {
  WRITE = 1, TRUNCATE, ALLOCATE, CREATE, RENAME, UNLINK, MAKE_DIRECTORY, REMOVE_DIRECTORY,
  LINK, SYNC_BEGIN, SYNC_END, RANGE_SYNCED, MAPPED, MARK, KILLED
};

struct head {
  uint64_t magic, size, used, events, started;
  pthread_mutex_t lock;
};

struct frame {
  uint32_t size, kind, process, thread;
  uint64_t file, offset, length, extra;
};

static struct head *head;
static char root[PATH_MAX];
static size_t root_length;
static long sync_delay_us;
static long kill_in;
static pid_t kill_process;

#define REAL(result, name, ...)                                          \
  static result (*real_##name)(__VA_ARGS__);                             \
  if (!real_##name) *(void **)&real_##name = dlsym(RTLD_NEXT, #name)

static void fail(const char *what) {
  fprintf(stderr, "crash shim: %s: %s\n", what, strerror(errno));
  abort();
}

__attribute__((constructor)) static void start(void) {
  const char *directory = getenv("CRASH_DIRECTORY"), *log = getenv("CRASH_LOG");
  const char *delay = getenv("CRASH_SYNC_US");
  struct stat status;
  pthread_mutexattr_t attributes;
  if (!directory || !log) return;
  if (!realpath(directory, root)) fail(directory);
  root_length = strlen(root);
  sync_delay_us = delay ? atol(delay) : 0;
  int fd = syscall(SYS_openat, AT_FDCWD, log, O_RDWR | O_CLOEXEC, 0);
  if (fd < 0 || fstat(fd, &status)) fail(log);
  void *map = (void *)syscall(SYS_mmap, 0, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) fail("mmap of the log");
  close(fd);
  struct head *found = map;
  if (found->magic != MAGIC) { /* the first process is alone */
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&found->lock, &attributes);
    found->size = status.st_size;
    found->used = FRAMES_START;
    found->magic = MAGIC;
  }
  head = found;
}

static void append(enum kind kind, uint64_t file, uint64_t offset, uint64_t length, uint64_t extra,
                   const struct iovec *parts, int count) {
  struct frame frame = {0, kind, getpid(), (uint32_t)syscall(SYS_gettid), file, offset, length, extra};
  size_t bytes = sizeof frame;
  char *at = (char *)head + head->used;
  for (int i = 0; i < count; i++) bytes += parts[i].iov_len;
  if (head->used + bytes + 8 > head->size) {
    errno = ENOSPC;
    fail("the log is full");
  }
  frame.size = bytes;
  memcpy(at, &frame, sizeof frame);
  at += sizeof frame;
  for (int i = 0; i < count; i++) {
    memcpy(at, parts[i].iov_base, parts[i].iov_len);
    at += parts[i].iov_len;
  }
  head->events++;
  __atomic_store_n(&head->used, head->used + ((bytes + 7) & ~(size_t)7), __ATOMIC_RELEASE);
}

static void lock(void) {
  int problem = pthread_mutex_lock(&head->lock);
  if (problem == EOWNERDEAD) pthread_mutex_consistent(&head->lock);
  else if (problem) { errno = problem; fail("lock"); }
}

static void unlock(void) { pthread_mutex_unlock(&head->lock); }

/* The event that is due is not done: the process dies before it, holding the lock, so that none
 * of its other threads gets one more event in. */
static void enter(void) {
  lock();
  if (kill_in > 0 && kill_process == getpid() && --kill_in == 0) {
    append(KILLED, 0, 0, 0, 0, 0, 0);
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
}

static int below(const char *path) {
  return !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

static int is_recorded(int fd, struct stat *status) {
  char link[64], path[PATH_MAX];
  if (!head || !head->started || fd < 0 || fstat(fd, status)) return 0;
  if (!S_ISREG(status->st_mode) && !S_ISDIR(status->st_mode)) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return below(path);
}

/* The absolute path of a name whose directory exists; 0 if it is not recorded. */
static int resolved(int directory, const char *name, char *out) {
  char joined[2 * PATH_MAX], parent[PATH_MAX], link[64];
  if (!head || !head->started) return 0;
  if (*name == '/' || directory == AT_FDCWD) {
    snprintf(joined, sizeof joined, "%s", name);
  } else {
    snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    ssize_t length = readlink(link, joined, PATH_MAX - 1);
    if (length < 0) return 0;
    snprintf(joined + length, sizeof joined - length, "/%s", name);
  }
  size_t end = strlen(joined);
  while (end > 1 && joined[end - 1] == '/') joined[--end] = 0;
  char *slash = strrchr(joined, '/');
  const char *last = slash ? slash + 1 : joined;
  if (slash) *slash = 0;
  if (!realpath(slash ? (slash == joined ? "/" : joined) : ".", parent)) return 0;
  if (snprintf(out, PATH_MAX, "%s/%s", parent, last) >= PATH_MAX) return 0;
  return below(out);
}

/* -- what the tests call ---------------------------------------------------------------------- */

void crash_start(void) { __atomic_store_n(&head->started, 1, __ATOMIC_RELEASE); }

void crash_mark(const char *text, size_t length) {
  struct iovec part = {(void *)text, length};
  lock();
  append(MARK, 0, 0, length, 0, &part, 1);
  unlock();
}

/* The n-th event of this process from now on is its death; 0 calls that off. */
void crash_kill_in(long events) {
  kill_process = getpid();
  kill_in = events;
}

/* -- writes ----------------------------------------------------------------------------------- */

static void wrote(int fd, const struct stat *status, off_t offset, ssize_t done,
                  const struct iovec *parts, int count) {
  struct iovec kept[IOV_MAX];
  ssize_t left = done;
  int used = 0;
  for (; used < count && left > 0; used++) {
    kept[used] = parts[used];
    if ((ssize_t)kept[used].iov_len > left) kept[used].iov_len = left;
    left -= kept[used].iov_len;
  }
  append(WRITE, status->st_ino, offset, done, 0, kept, used);
  /* LMDB writes its meta pages through a descriptor that syncs each write. */
  if (fcntl(fd, F_GETFL) & O_DSYNC) append(RANGE_SYNCED, status->st_ino, offset, done, 0, 0, 0);
}

#define RECORD_WRITE(call, positioned, position, parts, count)                     \
  do {                                                                             \
    struct stat status;                                                            \
    if (!is_recorded(fd, &status)) return call;                                    \
    enter();                                                                       \
    ssize_t done = call;                                                           \
    int problem = errno;                                                           \
    if (done > 0) {                                                                \
      off_t at = positioned ? position : lseek(fd, 0, SEEK_CUR) - done;            \
      wrote(fd, &status, at, done, parts, count);                                  \
    }                                                                              \
    unlock();                                                                      \
    errno = problem;                                                               \
    return done;                                                                   \
  } while (0)

ssize_t write(int fd, const void *from, size_t length) {
  REAL(ssize_t, write, int, const void *, size_t);
  struct iovec part = {(void *)from, length};
  RECORD_WRITE(real_write(fd, from, length), 0, 0, &part, 1);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  REAL(ssize_t, writev, int, const struct iovec *, int);
  RECORD_WRITE(real_writev(fd, parts, count), 0, 0, parts, count);
}

#define POSITIONED(name)                                                            \
  ssize_t name(int fd, const void *from, size_t length, off_t offset) {             \
    REAL(ssize_t, name, int, const void *, size_t, off_t);                          \
    struct iovec part = {(void *)from, length};                                     \
    RECORD_WRITE(real_##name(fd, from, length, offset), 1, offset, &part, 1);       \
  }
POSITIONED(pwrite)
POSITIONED(pwrite64)

#define POSITIONED_PARTS(name)                                                      \
  ssize_t name(int fd, const struct iovec *parts, int count, off_t offset) {        \
    REAL(ssize_t, name, int, const struct iovec *, int, off_t);                     \
    RECORD_WRITE(real_##name(fd, parts, count, offset), 1, offset, parts, count);   \
  }
POSITIONED_PARTS(pwritev)
POSITIONED_PARTS(pwritev64)

#define POSITIONED_FLAGS(name)                                                                 \
  ssize_t name(int fd, const struct iovec *parts, int count, off_t offset, int flags) {        \
    REAL(ssize_t, name, int, const struct iovec *, int, off_t, int);                           \
    RECORD_WRITE(real_##name(fd, parts, count, offset, flags), offset != -1, offset, parts, count); \
  }
POSITIONED_FLAGS(pwritev2)
POSITIONED_FLAGS(pwritev64v2)

/* -- lengths ---------------------------------------------------------------------------------- */

#define RECORD_SUCCESS(type, call, success, kind, offset, length, extra)           \
  do {                                                                             \
    struct stat status;                                                            \
    if (!is_recorded(fd, &status)) return call;                                    \
    enter();                                                                       \
    type result = call;                                                            \
    int problem = errno;                                                           \
    if (success) append(kind, status.st_ino, offset, length, extra, 0, 0);         \
    unlock();                                                                      \
    errno = problem;                                                               \
    return result;                                                                 \
  } while (0)

#define TRUNCATING(name)                                                            \
  int name(int fd, off_t length) {                                                  \
    REAL(int, name, int, off_t);                                                    \
    RECORD_SUCCESS(int, real_##name(fd, length), result == 0, TRUNCATE, 0, length, 0); \
  }
TRUNCATING(ftruncate)
TRUNCATING(ftruncate64)

#define TRUNCATING_NAMED(name)                                                      \
  int name(const char *path, off_t length) {                                        \
    int fd = open(path, O_WRONLY | O_CLOEXEC);                                      \
    if (fd < 0) return -1;                                                          \
    int result = ftruncate(fd, length), problem = errno;                            \
    close(fd);                                                                      \
    errno = problem;                                                                \
    return result;                                                                  \
  }
TRUNCATING_NAMED(truncate)
TRUNCATING_NAMED(truncate64)

#define ALLOCATING(name)                                                            \
  int name(int fd, int mode, off_t offset, off_t length) {                          \
    REAL(int, name, int, int, off_t, off_t);                                        \
    RECORD_SUCCESS(int, real_##name(fd, mode, offset, length), result == 0, ALLOCATE, offset, length, mode); \
  }
ALLOCATING(fallocate)
ALLOCATING(fallocate64)

#define ALLOCATING_POSIX(name)                                                      \
  int name(int fd, off_t offset, off_t length) {                                    \
    REAL(int, name, int, off_t, off_t);                                             \
    RECORD_SUCCESS(int, real_##name(fd, offset, length), result == 0, ALLOCATE, offset, length, 0); \
  }
ALLOCATING_POSIX(posix_fallocate)
ALLOCATING_POSIX(posix_fallocate64)

static void *mapped(void *result, int protection, int flags, int fd) {
  struct stat status;
  int problem = errno;
  if (result != MAP_FAILED && protection & PROT_WRITE && flags & MAP_SHARED && is_recorded(fd, &status)) {
    lock();
    append(MAPPED, status.st_ino, 0, 0, 0, 0, 0);
    unlock();
  }
  errno = problem;
  return result;
}

#define MAPPING(name)                                                                            \
  void *name(void *address, size_t length, int protection, int flags, int fd, off_t offset) {    \
    REAL(void *, name, void *, size_t, int, int, int, off_t);                                    \
    return mapped(real_##name(address, length, protection, flags, fd, offset), protection, flags, fd); \
  }
MAPPING(mmap)
MAPPING(mmap64)

/* -- syncs ------------------------------------------------------------------------------------ */

static uint64_t sync_begun(uint64_t file) {
  enter();
  uint64_t begun = head->events;
  append(SYNC_BEGIN, file, 0, 0, 0, 0, 0);
  unlock();
  /* What a device takes; other threads and processes write meanwhile. */
  if (sync_delay_us) usleep(sync_delay_us);
  return begun;
}

static void sync_ended(uint64_t file, uint64_t begun, int result) {
  int problem = errno;
  enter();
  append(SYNC_END, file, begun, 0, result != 0, 0, 0);
  unlock();
  errno = problem;
}

#define SYNCING(name)                                                \
  int name(int fd) {                                                 \
    REAL(int, name, int);                                            \
    struct stat status;                                              \
    if (!is_recorded(fd, &status)) return real_##name(fd);           \
    uint64_t begun = sync_begun(status.st_ino);                      \
    int result = real_##name(fd);                                    \
    sync_ended(status.st_ino, begun, result);                        \
    return result;                                                   \
  }
SYNCING(fsync)
SYNCING(fdatasync)

/* These three promise less than fdatasync (sync_file_range) or are not used on a data file that
 * is not mapped for writing (msync): they are seen to be called, and they cover nothing. */
int msync(void *address, size_t length, int flags) {
  REAL(int, msync, void *, size_t, int);
  return real_msync(address, length, flags);
}

int sync_file_range(int fd, off64_t offset, off64_t length, unsigned flags) {
  REAL(int, sync_file_range, int, off64_t, off64_t, unsigned);
  struct stat status;
  if (!is_recorded(fd, &status)) return real_sync_file_range(fd, offset, length, flags);
  uint64_t begun = sync_begun(status.st_ino);
  int result = real_sync_file_range(fd, offset, length, flags);
  sync_ended(status.st_ino, begun, -1);
  return result;
}

/* -- names ------------------------------------------------------------------------------------ */

#define RECORD_OPEN(call, directory, path, flags)                                  \
  do {                                                                             \
    char full[PATH_MAX];                                                           \
    struct stat before, after;                                                     \
    if (!((flags) & (O_CREAT | O_TRUNC)) || !resolved(directory, path, full)) return call; \
    enter();                                                                       \
    int existed = !lstat(full, &before);                                           \
    int fd = call;                                                                 \
    int problem = errno;                                                           \
    if (fd >= 0 && !existed && !fstat(fd, &after)) {                               \
      struct iovec part = {full, strlen(full)};                                    \
      append(CREATE, after.st_ino, 0, part.iov_len, 0, &part, 1);                  \
    } else if (fd >= 0 && (flags) & O_TRUNC && before.st_size) {                   \
      append(TRUNCATE, before.st_ino, 0, 0, 0, 0, 0);                              \
    }                                                                              \
    unlock();                                                                      \
    errno = problem;                                                               \
    return fd;                                                                     \
  } while (0)

#define MODE(last)                            \
  mode_t mode = 0;                            \
  if (flags & (O_CREAT | O_TMPFILE)) {        \
    va_list arguments;                        \
    va_start(arguments, last);                \
    mode = va_arg(arguments, mode_t);         \
    va_end(arguments);                        \
  }

#define OPENING(name)                                                \
  int name(const char *path, int flags, ...) {                       \
    REAL(int, name, const char *, int, ...);                         \
    MODE(flags)                                                      \
    RECORD_OPEN(real_##name(path, flags, mode), AT_FDCWD, path, flags); \
  }
OPENING(open)
OPENING(open64)

#define OPENING_AT(name)                                             \
  int name(int directory, const char *path, int flags, ...) {        \
    REAL(int, name, int, const char *, int, ...);                    \
    MODE(flags)                                                      \
    RECORD_OPEN(real_##name(directory, path, flags, mode), directory, path, flags); \
  }
OPENING_AT(openat)
OPENING_AT(openat64)

static void named(enum kind kind, uint64_t file, const char *first, const char *second) {
  struct iovec parts[2] = {{(void *)first, strlen(first) + 1}, {(void *)second, strlen(second)}};
  append(kind, file, 0, 0, 0, parts, 2);
}

#define RECORD_NAME(call, kind, directory, path)                     \
  do {                                                               \
    char full[PATH_MAX];                                             \
    if (!resolved(directory, path, full)) return call;               \
    enter();                                                         \
    int result = call, problem = errno;                              \
    if (result == 0) named(kind, 0, full, "");                       \
    unlock();                                                        \
    errno = problem;                                                 \
    return result;                                                   \
  } while (0)

#define RECORD_TWO_NAMES(call, kind, from_directory, from, to_directory, to)        \
  do {                                                                              \
    char source[PATH_MAX], target[PATH_MAX];                                        \
    int inside = resolved(from_directory, from, source);                            \
    if (resolved(to_directory, to, target) != inside) {                             \
      errno = EXDEV;                                                                \
      fail("a name that moves into or out of the recorded directory");              \
    }                                                                               \
    if (!inside) return call;                                                       \
    enter();                                                                        \
    int result = call, problem = errno;                                             \
    if (result == 0) named(kind, 0, source, target);                                \
    unlock();                                                                       \
    errno = problem;                                                                \
    return result;                                                                  \
  } while (0)

int rename(const char *from, const char *to) {
  REAL(int, rename, const char *, const char *);
  RECORD_TWO_NAMES(real_rename(from, to), RENAME, AT_FDCWD, from, AT_FDCWD, to);
}

int renameat(int from_directory, const char *from, int to_directory, const char *to) {
  REAL(int, renameat, int, const char *, int, const char *);
  RECORD_TWO_NAMES(real_renameat(from_directory, from, to_directory, to), RENAME, from_directory, from,
                   to_directory, to);
}

int renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags) {
  REAL(int, renameat2, int, const char *, int, const char *, unsigned);
  RECORD_TWO_NAMES(real_renameat2(from_directory, from, to_directory, to, flags), RENAME, from_directory,
                   from, to_directory, to);
}

int link(const char *from, const char *to) {
  REAL(int, link, const char *, const char *);
  RECORD_TWO_NAMES(real_link(from, to), LINK, AT_FDCWD, from, AT_FDCWD, to);
}

int linkat(int from_directory, const char *from, int to_directory, const char *to, int flags) {
  REAL(int, linkat, int, const char *, int, const char *, int);
  RECORD_TWO_NAMES(real_linkat(from_directory, from, to_directory, to, flags), LINK, from_directory, from,
                   to_directory, to);
}

int unlink(const char *path) {
  REAL(int, unlink, const char *);
  RECORD_NAME(real_unlink(path), UNLINK, AT_FDCWD, path);
}

int unlinkat(int directory, const char *path, int flags) {
  REAL(int, unlinkat, int, const char *, int);
  RECORD_NAME(real_unlinkat(directory, path, flags), flags & AT_REMOVEDIR ? REMOVE_DIRECTORY : UNLINK,
              directory, path);
}

int rmdir(const char *path) {
  REAL(int, rmdir, const char *);
  RECORD_NAME(real_rmdir(path), REMOVE_DIRECTORY, AT_FDCWD, path);
}

#define RECORD_DIRECTORY(call, directory, path)                      \
  do {                                                               \
    char full[PATH_MAX];                                             \
    struct stat status;                                              \
    if (!resolved(directory, path, full)) return call;               \
    enter();                                                         \
    int result = call, problem = errno;                              \
    if (result == 0 && !stat(full, &status)) named(MAKE_DIRECTORY, status.st_ino, full, ""); \
    unlock();                                                        \
    errno = problem;                                                 \
    return result;                                                   \
  } while (0)

int mkdir(const char *path, mode_t mode) {
  REAL(int, mkdir, const char *, mode_t);
  RECORD_DIRECTORY(real_mkdir(path, mode), AT_FDCWD, path);
}

int mkdirat(int directory, const char *path, mode_t mode) {
  REAL(int, mkdirat, int, const char *, mode_t);
  RECORD_DIRECTORY(real_mkdirat(directory, path, mode), directory, path);
}
