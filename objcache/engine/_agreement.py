"""One durability at a time for all processes that write to a store.

Knows: a lock and a file that say which. Must not know: how a durability is kept.
"""

from __future__ import annotations

import os
from typing import Final

from objcache.engine._files import FileLock, write_whole
from objcache.errors import StoreConflictError

__all__ = ["Agreement", "written_durability"]

_NAME: Final = "durability"


class Agreement:
    """The part of one environment in it; the lock is shared by all that write.

    Attributes:
        alone: whether nobody else took part when this one began.

    Raises:
        StoreConflictError: others write with another durability.
    """

    __slots__ = ("_lock", "alone")

    def __init__(self, lock: FileLock, directory: str, durability: str, mode: int) -> None:
        self._lock = lock
        path = os.path.join(directory, _NAME)
        try:
            self.alone = lock.try_exclusive()
            if self.alone:
                _write(path, durability, mode)
                return
            lock.acquire(exclusive=False, timeout_s=None)
            _compare(path, durability)
        except BaseException:
            lock.close()  # else nobody, in this process either, could ever take part
            raise

    def settle(self) -> None:
        """Let others take part, after what the first one has to do."""
        if self.alone:
            self._lock.acquire(exclusive=False, timeout_s=None)

    def ends(self) -> bool:
        """Whether nobody else takes part any more; then nobody can until `close`."""
        return self._lock.try_exclusive()

    def close(self) -> None:
        """Take part no more."""
        self._lock.close()


def written_durability(directory: str) -> str | None:
    """Return the durability that a store was last written with, as far as its files tell."""
    try:
        with open(os.path.join(directory, _NAME), encoding="ascii") as file:
            return file.read(16) or None
    except (OSError, UnicodeDecodeError):
        return None


def _compare(path: str, durability: str) -> None:
    with open(path, encoding="ascii") as file:
        current = file.read()
    if current != durability:
        raise StoreConflictError(os.path.dirname(path), "durability", current, durability)


def _write(path: str, durability: str, mode: int) -> None:
    # Read by those of this boot only: no flush.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        write_whole(descriptor, durability.encode(), 0)
    finally:
        os.close(descriptor)
