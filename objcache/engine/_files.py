"""The files of a store: names, owners, modes, the filesystem below, and locks between processes.

Knows: the directory of a store. Must not know: what is in its files.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import Final

from objcache.clock import Clock
from objcache.errors import (
    NetworkFilesystemError,
    StoreBusyError,
    StoreError,
    StoreNotFoundError,
    UntrustedStoreError,
)

__all__ = [
    "FILE_NAME",
    "LOCK_SUFFIX",
    "FileLock",
    "check_filesystem",
    "check_trust",
    "filesystem_of",
    "prepare",
    "sync_directory",
    "write_whole",
]

FILE_NAME: Final = "store.lmdb"
"""Not lmdb's own `data.mdb`: a plain `lmdb.open(directory)` must not write to a store."""

LOCK_SUFFIX: Final = "-lock"
"""What lmdb calls its lock file."""

_FIRST_WAIT_S: Final = 0.0005
_LONGEST_WAIT_S: Final = 0.02

# Locks and shared mappings are not coherent between machines here (lmdb.h, "Caveats").
_NETWORK_FILESYSTEMS: Final = frozenset(
    {
        *("9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "davfs", "gfs2", "glusterfs", "gpfs"),
        *("lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "pvfs2", "smb3", "smbfs"),
        *("fuse.ceph", "fuse.glusterfs", "fuse.juicefs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"),
        *("vboxsf", "virtiofs"),
    }
)


def prepare(directory: str, *, create: bool, shared: bool) -> str:
    """Return the path of the data file below *directory*, made if *create* asks for it.

    Raises:
        StoreNotFoundError: no store there, and *create* is False.
        StoreError: the path is a file, or the directory cannot be made.
    """
    file = os.path.join(directory, FILE_NAME)
    if os.path.isfile(file):
        return file
    if os.path.lexists(directory) and not os.path.isdir(directory):
        raise StoreError(f"{directory!r} is a file, a store is a directory; choose another path")
    if not create:
        raise StoreNotFoundError(directory)
    try:
        parent = os.path.dirname(directory)
        if parent:
            os.makedirs(parent, exist_ok=True)
        os.mkdir(directory, 0o770 if shared else 0o700)
        sync_directory(parent or os.curdir)
    except FileExistsError:
        pass
    except OSError as error:
        raise StoreError(f"cannot make the store's directory {directory!r}: {error}") from error
    return file


def check_trust(directory: str) -> None:
    """Refuse files that another user owns or may write to.

    Raises:
        UntrustedStoreError: naming the command that mends it.
    """
    user = os.geteuid()
    names = (FILE_NAME, FILE_NAME + LOCK_SUFFIX)
    for path in (directory, *(os.path.join(directory, name) for name in names)):
        try:
            status = os.stat(path)
        except FileNotFoundError:
            continue
        if status.st_uid != user:
            raise UntrustedStoreError(
                path,
                f"it belongs to user {status.st_uid}, you are user {user}",
                f"chown -R {user} {directory}",
            )
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            mode = stat.S_IMODE(status.st_mode)
            raise UntrustedStoreError(
                path, f"its mode {mode:04o} lets others write", f"chmod -R go-w {directory}"
            )


def check_filesystem(directory: str) -> None:
    """Refuse filesystems that several machines may mount.

    Raises:
        NetworkFilesystemError: naming the filesystem and the remedy.
    """
    filesystem = filesystem_at(directory)
    if filesystem in _NETWORK_FILESYSTEMS:
        raise NetworkFilesystemError(directory, filesystem)


def filesystem_at(path: str) -> str:
    """Return the type of the filesystem that holds *path*, "" where the system does not tell."""
    return filesystem_of(path, _mounts())


def _mounts() -> str:
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""  # not Linux: nothing is known, nothing is refused


def filesystem_of(path: str, mounts: str) -> str:
    """Return the type of the filesystem that holds *path*, "" if *mounts* does not tell.

    Args:
        path: an existing path.
        mounts: the contents of /proc/self/mountinfo; see proc(5).
    """
    real = os.path.realpath(path)
    best_length, best_type = -1, ""
    for line in mounts.splitlines():
        left, separator, right = line.partition(" - ")
        fields = left.split(" ")
        if not separator or len(fields) < 5:
            continue
        point = _unescaped(fields[4])
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        # A later line of the same mount point covers an earlier one.
        if inside and len(point) >= best_length:
            best_length, best_type = len(point), right.split(" ", 1)[0]
    return best_type


def _unescaped(field: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field


class FileLock:
    """An advisory lock between processes, which the kernel releases when its owner dies.

    flock(2): it belongs to the open file, so a forked child closes its copy, and that does
    not release the parent's lock.

    Concurrency: one thread at a time; the environment's own lock sees to that.
    """

    __slots__ = ("_clock", "_descriptor", "_path", "_store")

    def __init__(self, path: str, store: str, clock: Clock, mode: int) -> None:
        self._path = path
        self._store = store
        self._clock = clock
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._descriptor = os.open(path, flags, mode)
        except OSError as error:
            raise StoreError(f"cannot open the lock file {path!r}: {error}") from error

    def acquire(self, *, exclusive: bool, timeout_s: float | None) -> None:
        """Wait for the lock; waits without end do not poll, those with one do.

        Raises:
            StoreBusyError: *timeout_s* seconds passed.
            StoreError: the system cannot lock; a lock that was to be converted may be lost.
        """
        kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        if timeout_s is None:
            self._flock(kind)
            return
        give_up = self._clock.monotonic() + timeout_s
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                self._flock(kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if self._clock.monotonic() + wait_s > give_up:
                    raise StoreBusyError(self._store, "another process", timeout_s) from None
                self._clock.sleep(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            else:
                return

    def try_exclusive(self) -> bool:
        """Take the lock for oneself if nobody else has it; return whether that was so."""
        try:
            self._flock(fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Release the lock."""
        self._flock(fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file; in the process that holds the lock this releases it."""
        os.close(self._descriptor)

    def _flock(self, operation: int) -> None:
        try:
            fcntl.flock(self._descriptor, operation)
        except BlockingIOError:
            raise
        except OSError as error:
            raise StoreError(f"the system cannot lock {self._path!r}: {error}") from error


def write_whole(descriptor: int, content: bytes, offset: int) -> None:
    """Write all of *content*: the system may take a part only.

    Raises:
        OSError: any part of it may be written.
    """
    done = 0
    while done < len(content):
        written = os.pwrite(descriptor, content[done:], offset + done)
        if written == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        done += written


def sync_directory(directory: str) -> None:
    """Make the names in *directory* durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
