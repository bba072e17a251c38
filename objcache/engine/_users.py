"""Who has a file open: a lock that all share, and one that keeps others out for a moment.

Knows: the two locks. Must not know: what is done to the file meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from objcache.engine._files import FileLock

__all__ = ["USERS_LOCK_NAME", "Users"]

USERS_LOCK_NAME: Final = "users.lock"
# Not `checkpoint.lock`: a checkpoint holds that while it waits for a transaction, which may wait
# for a child that opens the store.
_OPENING_NAME: Final = "opening.lock"


class Users:
    """One process among the users of a file.

    Args:
        file_lock: opens the lock file of this name beside the file.

    Concurrency: one thread at a time; the environment sees to that.
    """

    __slots__ = ("_closed", "_file_lock", "_lock")

    def __init__(self, file_lock: Callable[[str], FileLock]) -> None:
        self._file_lock = file_lock
        self._lock = file_lock(USERS_LOCK_NAME)
        self._closed = False

    @contextmanager
    def entering(self) -> Iterator[bool]:
        """Become a user by the end of the block, in which nobody else does.

        The block is told whether there is no other one.
        """
        guard = self._file_lock(_OPENING_NAME)
        try:
            guard.acquire(exclusive=True, timeout_s=None)
            alone = self._lock.try_exclusive()
            if not alone:
                self._lock.acquire(exclusive=False, timeout_s=None)
            yield alone
            self._lock.acquire(exclusive=False, timeout_s=None)
        finally:
            guard.close()

    @contextmanager
    def alone(self, timeout_s: float | None, lost: Callable[[], None]) -> Iterator[None]:
        """Be the only user in the block.

        Args:
            timeout_s: how long to wait for those who are opening the file.
            lost: called where the lock cannot be shared again: others do not see this user then.

        Raises:
            StoreBusyError: there is another one.
        """
        guard = self._file_lock(_OPENING_NAME)
        try:
            guard.acquire(exclusive=True, timeout_s=timeout_s)
            try:
                # The conversion may lose the shared lock for a moment (flock(2)). Nobody can use
                # that moment: who replaces the file holds `writers.lock`, who recovers it the guard.
                self._lock.acquire(exclusive=True, timeout_s=0.0)
                yield
            finally:
                if not self._closed:  # else the file was let go, and is opened anew
                    self._share_again(lost)
        finally:
            guard.close()

    def _share_again(self, lost: Callable[[], None]) -> None:
        try:
            self._lock.acquire(exclusive=False, timeout_s=None)
        except BaseException:
            lost()
            raise

    def close(self) -> None:
        """Be a user no more."""
        self._closed = True
        self._lock.close()
