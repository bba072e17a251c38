/* System calls on the files below one directory that fail, or kill, when they are told to.
 *
 * Preloaded into a test's process, which calls the faults_ functions through ctypes. Only calls
 * of one kind are counted, from faults_arm on. See tests/crash/faults.py.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum manner { FAILS, LATE, SHORT, KILLS, TEARS, KILLS_LATE };

static struct {
    char directory[PATH_MAX];
    char kind[16];
    long from, to; /* which calls, counted from 1, both included */
    int number;    /* the errno */
    enum manner manner;
    atomic_long seen, hits;
    atomic_int armed;
} plan;

/* A call that FAILS does nothing and fails; LATE does all of it and fails; SHORT does half of it;
 * KILLS ends the process before it, TEARS after half of a write, KILLS_LATE after all of it. */
void faults_arm(const char *directory, const char *kind, long from, long to, int number, int manner)
{
    plan.armed = 0;
    snprintf(plan.directory, sizeof plan.directory, "%s/", directory);
    snprintf(plan.kind, sizeof plan.kind, "%s", kind);
    plan.from = from;
    plan.to = to;
    plan.number = number;
    plan.manner = manner;
    plan.seen = plan.hits = 0;
    plan.armed = 1;
}

long faults_disarm(void)
{
    plan.armed = 0;
    return plan.hits;
}

long faults_hits(void) { return plan.hits; }

static int is_due(const char *path)
{
    if (!path || strncmp(path, plan.directory, strlen(plan.directory)))
        return 0;
    long now = atomic_fetch_add(&plan.seen, 1) + 1;
    if (now < plan.from || now > plan.to)
        return 0;
    atomic_fetch_add(&plan.hits, 1);
    if (plan.manner == KILLS)
        kill(getpid(), SIGKILL);
    return 1;
}

static int is_planned(const char *kind) { return plan.armed && !strcmp(kind, plan.kind); }

static int due_path(const char *kind, const char *path)
{
    return is_planned(kind) && is_due(path);
}

static int due(const char *kind, int fd)
{
    char link[64], path[PATH_MAX];
    if (!is_planned(kind))
        return 0;
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0)
        return 0;
    path[length] = 0;
    return is_due(path);
}

static void *next_of(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

static ssize_t last(ssize_t written)
{
    if (plan.manner == TEARS || plan.manner == KILLS_LATE)
        kill(getpid(), SIGKILL);
    return written;
}

#define RESOLVED(name) \
    if (!real)         \
        real = next_of(#name)

/* A call that fails at once, or does its work first and then says that it failed. */
#define FALLIBLE(result, failed, name, kind, parameters, arguments) \
    result name parameters                                          \
    {                                                               \
        static result(*real) parameters;                            \
        RESOLVED(name);                                             \
        if (!due(kind, fd))                                         \
            return real arguments;                                  \
        if (plan.manner == LATE)                                    \
            (void)!real arguments;                                  \
        errno = plan.number;                                        \
        return failed;                                              \
    }

FALLIBLE(int, -1, fsync, "sync", (int fd), (fd))
FALLIBLE(int, -1, fdatasync, "sync", (int fd), (fd))
FALLIBLE(int, -1, ftruncate, "truncate", (int fd, off_t size), (fd, size))
FALLIBLE(int, -1, ftruncate64, "truncate", (int fd, off64_t size), (fd, size))
FALLIBLE(int, -1, flock, operation & LOCK_UN ? "unlock" : "lock", (int fd, int operation),
         (fd, operation))

/* A write can also be short. */
#define WRITES(name, parameters, whole, half)                 \
    ssize_t name parameters                                   \
    {                                                         \
        static ssize_t(*real) parameters;                     \
        RESOLVED(name);                                       \
        if (!due("write", fd))                                \
            return real whole;                                \
        if (plan.manner == SHORT || plan.manner == TEARS)     \
            return last(real half);                           \
        if (plan.manner == LATE || plan.manner == KILLS_LATE) \
            (void)last(real whole);                           \
        errno = plan.number;                                  \
        return -1;                                            \
    }

WRITES(write, (int fd, const void *bytes, size_t size), (fd, bytes, size), (fd, bytes, size / 2))
WRITES(pwrite, (int fd, const void *bytes, size_t size, off_t offset), (fd, bytes, size, offset),
       (fd, bytes, size / 2, offset))
WRITES(pwrite64, (int fd, const void *bytes, size_t size, off64_t offset),
       (fd, bytes, size, offset), (fd, bytes, size / 2, offset))
WRITES(writev, (int fd, const struct iovec *parts, int count), (fd, parts, count),
       (fd, parts, (count + 1) / 2))
WRITES(pwritev, (int fd, const struct iovec *parts, int count, off_t offset),
       (fd, parts, count, offset), (fd, parts, (count + 1) / 2, offset))
WRITES(pwritev64, (int fd, const struct iovec *parts, int count, off64_t offset),
       (fd, parts, count, offset), (fd, parts, (count + 1) / 2, offset))

WRITES(sendfile, (int fd, int from, off_t *offset, size_t size), (fd, from, offset, size),
       (fd, from, offset, size / 2))
WRITES(sendfile64, (int fd, int from, off64_t *offset, size_t size), (fd, from, offset, size),
       (fd, from, offset, size / 2))

/* These return their errno. */
FALLIBLE(int, plan.number, posix_fallocate, "allocate", (int fd, off_t offset, off_t size),
         (fd, offset, size))
FALLIBLE(int, plan.number, posix_fallocate64, "allocate", (int fd, off64_t offset, off64_t size),
         (fd, offset, size))

#define MAPS(name, offset_type)                                                               \
    void *name(void *address, size_t size, int access, int flags, int fd, offset_type offset) \
    {                                                                                         \
        static void *(*real)(void *, size_t, int, int, int, offset_type);                     \
        RESOLVED(name);                                                                       \
        if (fd < 0 || !due("mmap", fd))                                                       \
            return real(address, size, access, flags, fd, offset);                            \
        errno = plan.number;                                                                  \
        return MAP_FAILED;                                                                    \
    }

MAPS(mmap, off_t)
MAPS(mmap64, off64_t)

#define OPENS(name)                                                              \
    int name(const char *path, int flags, ...)                                   \
    {                                                                            \
        static int (*real)(const char *, int, ...);                              \
        RESOLVED(name);                                                          \
        va_list rest;                                                            \
        va_start(rest, flags);                                                   \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;  \
        va_end(rest);                                                            \
        if (!due_path("open", path))                                             \
            return real(path, flags, mode);                                      \
        errno = plan.number;                                                     \
        return -1;                                                               \
    }

OPENS(open)
OPENS(open64)

int rename(const char *before, const char *after)
{
    static int (*real)(const char *, const char *);
    RESOLVED(rename);
    if (!due_path("rename", before))
        return real(before, after);
    errno = plan.number;
    return -1;
}
