"""Locks between processes, which the kernel releases when their owner dies.

Knows: the lock files, and what fork() does to them. Must not know: what is done under a lock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import sys
import threading
from typing import Final

__all__ = ["PLACE_BYTES", "Lock", "lock_of"]

PLACE_BYTES: Final = 8
"""How much of a key decides on the place of its lock."""

# Only Linux: elsewhere the struct below is another one.
_SET: Final[int] = fcntl.F_OFD_SETLK if sys.platform == "linux" else -1
_SET_WAITING: Final[int] = fcntl.F_OFD_SETLKW if sys.platform == "linux" else -1
# struct flock of Linux: type, whence, start, length, pid.
_FLOCK: Final = struct.Struct("hhqqi4x")
_OFFSET_BITS: Final = 62
_MOST_ATTEMPTS: Final = 1000

_open_locks: set[Lock] = set()
# Held during fork(), so that the child knows all that it has inherited.
_open_locks_lock = threading.RLock()


class Lock:
    """A lock between processes, with a file description of its own.

    Its own, because locks of one description do not conflict: a thread that was given up on, and
    gets the lock in the end, must not release another's.
    """

    __slots__ = ("_descriptor",)

    def __init__(self) -> None:
        self._descriptor = -1

    def attempt(self) -> bool:
        """Take the lock if it is free; return whether it was.

        Raises:
            OSError: there are no locks here; it is released, as after any other exception.
        """
        return self._taken(waiting=False)

    def wait(self) -> None:
        """Take the lock when it is free.

        Raises:
            OSError: as `attempt`.
        """
        self._taken(waiting=True)

    def _taken(self, *, waiting: bool) -> bool:
        try:
            return self._take(waiting=waiting)
        except BaseException:  # also a signal handler's, with the lock just got
            self.release()
            raise

    def _take(self, *, waiting: bool) -> bool:
        raise NotImplementedError

    def release(self) -> None:
        """Let the next one have it, and be of no more use. Idempotent."""
        with _open_locks_lock:
            if self._descriptor >= 0:
                # Not by closing alone: a child that Python does not know of may have a copy.
                with contextlib.suppress(OSError):
                    self._unlock(self._descriptor)
                self._close()

    def after_fork_in_child(self) -> None:
        """Give back the description, which the child shares: it would outlive the parent."""
        os.close(self._descriptor)
        self._descriptor = -1

    def _unlock(self, descriptor: int) -> None:
        raise NotImplementedError

    def _open(self, path: str, mode: int) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with _open_locks_lock:
            self._descriptor = os.open(path, flags, mode)
            _open_locks.add(self)
            return self._descriptor

    def _close(self) -> None:
        with _open_locks_lock:
            _open_locks.discard(self)
            descriptor, self._descriptor = self._descriptor, -1
            with contextlib.suppress(OSError):
                os.close(descriptor)


class _ByteLock(Lock):
    """One byte of one file."""

    __slots__ = ("_offset",)

    def __init__(self, directory: str, key: bytes, mode: int) -> None:
        super().__init__()
        self._offset = int.from_bytes(key[:PLACE_BYTES]) >> (8 * PLACE_BYTES - _OFFSET_BITS)
        self._open(os.path.join(directory, "flights.lock"), mode)

    def _take(self, *, waiting: bool) -> bool:
        command = _SET_WAITING if waiting else _SET
        try:
            fcntl.fcntl(self._descriptor, command, self._of_kind(fcntl.F_WRLCK))
        except OSError as error:
            if not waiting and error.errno in {errno.EAGAIN, errno.EACCES}:
                return False
            raise
        return True

    def _unlock(self, descriptor: int) -> None:
        fcntl.fcntl(descriptor, _SET, self._of_kind(fcntl.F_UNLCK))

    def _of_kind(self, kind: int) -> bytes:
        return _FLOCK.pack(kind, os.SEEK_SET, self._offset, 1, 0)


class _FileLock(Lock):
    """A file for each key, which its owner removes."""

    __slots__ = ("_mode", "_path")

    def __init__(self, directory: str, key: bytes, mode: int) -> None:
        super().__init__()
        folder = os.path.join(directory, "flights")
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, mode | (mode & 0o444) >> 2)  # who may read the files may enter
        self._path = os.path.join(folder, key[:16].hex())
        self._mode = mode

    def _take(self, *, waiting: bool) -> bool:
        operation = fcntl.LOCK_EX if waiting else fcntl.LOCK_EX | fcntl.LOCK_NB
        for _ in range(_MOST_ATTEMPTS):
            descriptor = self._open(self._path, self._mode)
            try:
                fcntl.flock(descriptor, operation)
                if self._is_in_place(descriptor):
                    return True
            except BlockingIOError:
                self._close()
                return False
            except BaseException:
                self._close()
                raise
            self._close()
        raise OSError(errno.ENOLCK, "the file system does not tell files apart")

    def _is_in_place(self, descriptor: int) -> bool:
        """Whether its owner has not removed the file between our open and our lock.

        A: flock, work, unlink, close     B: open the old file, wait, get a lock on nothing
        """
        try:
            return os.path.samestat(os.lstat(self._path), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def _unlock(self, descriptor: int) -> None:
        os.unlink(self._path)
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def lock_of(directory: str, key: bytes, mode: int) -> Lock:
    """Return the lock on *key* among the processes that use *directory*, not yet taken.

    Raises:
        OSError: there can be none.
    """
    kind = _ByteLock if _SET >= 0 else _FileLock
    return kind(directory, key, mode)


def _before_fork() -> None:
    _open_locks_lock.acquire()


def _after_fork_in_parent() -> None:
    _open_locks_lock.release()


def _after_fork_in_child() -> None:
    global _open_locks_lock  # noqa: PLW0603  # the parent's may have waiters that are not here
    _open_locks_lock = threading.RLock()
    for lock in _open_locks:
        lock.after_fork_in_child()
    _open_locks.clear()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
