"""Counts that many processes add to and each can sum, without a write to the store.

Knows: one file of counters for each process, in shared memory. Must not know: what is counted.

A process adds to a file of its own, mapped into its memory: an addition is one store to memory,
and what a killed process has counted stays. The file is locked while its process lives; a new
process goes on with one that nobody locks, so there are never more files than processes at once.
Any user of the store may count: the numbers are for people, nothing is decided by them.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
import struct
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from weakref import WeakValueDictionary

from blake3 import blake3

__all__ = [
    "COUNTERS",
    "NAME_BYTES",
    "Tallies",
    "Tally",
    "counted_since",
    "ratio_of",
    "tallied_name",
    "tallies_beside",
    "tallies_of",
]

NAME_BYTES: Final = 16
COUNTERS: Final = 3

#   0          8        16                     64
#   +----------+--------+----------------------+------+----------+------+----------+----
#   | "octally1" | used | zeros                | name | 3 x u64  | name | 3 x u64  | ...
#   +----------+--------+----------------------+------+----------+------+----------+----
# Native byte order: the counters are of one machine.
_MAGIC: Final = b"octally1"
_HEAD: Final = struct.Struct("=8sQ")
_SLOT: Final = struct.Struct("=16s3Q")
_FIRST: Final = 64
_FILE_BYTES: Final = 1 << 18
_MOST_SLOTS: Final = (_FILE_BYTES - _FIRST) // _SLOT.size
_DIRECTORY: Final = "tallies"
_SUFFIX: Final = ".tally"
# More is damage, and another addition to it might not fit.
_MOST_COUNTED: Final = 1 << 62
# Nobody is led elsewhere by a link, or kept waiting by a pipe.
_OPEN_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

Tally = memoryview
"""Three counters of one name, of this process: `tally[0] += 1` counts."""


def tallied_name(names: Iterable[str]) -> bytes:
    """Return the name of `NAME_BYTES` under which what has the path *names* is counted."""
    return blake3("\0".join(names).encode()).digest(NAME_BYTES)


def counted_since(
    totals: tuple[int, int, int], before: Sequence[int] | None
) -> tuple[int, int, int]:
    """Return what was counted since *totals* were those *before*; None: nothing was before."""
    if before is None:
        return totals
    # Another version of a counter file, or one that was removed, never makes a count negative.
    first, second, third = (
        max(total - then, 0) for total, then in zip(totals, before, strict=True)
    )
    return first, second, third


def ratio_of(hits: int, misses: int) -> float | None:
    """Return the part of *hits* in all that was asked; None where nothing was."""
    asked = hits + misses
    return hits / asked if asked else None


class Tallies:
    """The counts of all processes below one directory.

    Args:
        directory: where the files are; made if missing.
        mode: of new files.
        shared: whether there is to be a file of this process; otherwise what is added is known to
            this object only, and the files of others are only read.

    Concurrency: any thread. `tally[0] += 1` loses nothing between threads that share CPython's
        global lock: up to 3.13 the interpreter changes threads at calls and backward jumps only,
        and there is none in it (`tally[0] += count()` has one, and loses). Without that lock,
        counts fall short by what collided. An object that was there before a fork belongs to the
        parent, and so do its tallies: the child makes its own.
    """

    _descriptor = -1

    def __init__(self, directory: str, *, mode: int = 0o600, shared: bool = True) -> None:
        self._directory = directory or None
        self._mode = mode
        self._own: dict[bytes, Tally] = {}
        self._adding = threading.Lock()
        self._path = ""
        self._slots = (self._opened() if shared else None) or memoryview(bytearray(_FILE_BYTES))
        for number in range(_used(self._slots)):
            start = _FIRST + number * _SLOT.size
            name = bytes(self._slots[start : start + NAME_BYTES])
            self._own.setdefault(name, self._counters(start))

    def tally(self, name: bytes) -> Tally:
        """Return the counters of *name*, which is `NAME_BYTES` long, to add to."""
        with self._adding:
            tally = self._own.get(name)
            if tally is None:
                tally = self._own[name] = self._new_tally(name)
            return tally

    def totals(self, name: bytes) -> tuple[int, int, int]:
        """Return the sums of *name* over all processes. Cost: reads each process's file."""
        own = self._own.get(name)
        sums = [0, 0, 0] if own is None else list(own)
        for path in self._paths():
            if path != self._path:
                for number, count in enumerate(_counts_in(path, name)):
                    sums[number] += count
        return sums[0], sums[1], sums[2]

    def close(self) -> None:
        """Let another process go on with this one's file. Its tallies stay usable."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()

    def _new_tally(self, name: bytes) -> Tally:
        used = _used(self._slots)
        if used >= _MOST_SLOTS:  # more functions than slots: counted for this process only
            return memoryview(bytearray(COUNTERS * 8)).cast("Q")
        start = _FIRST + used * _SLOT.size
        _SLOT.pack_into(self._slots, start, name, 0, 0, 0)
        _HEAD.pack_into(self._slots, 0, _MAGIC, used + 1)
        return self._counters(start)

    def _counters(self, start: int) -> Tally:
        return self._slots[start + NAME_BYTES : start + _SLOT.size].cast("Q")

    # -- the file ----------------------------------------------------------------------------

    def _opened(self) -> memoryview | None:
        """Return a file of this process's own; None: counts are a convenience, it goes without."""
        assert self._directory is not None
        try:
            # Who may read the files may enter.
            os.makedirs(self._directory, mode=self._mode | (self._mode & 0o444) >> 2, exist_ok=True)
        except OSError:
            return None
        for path in self._paths():
            if (slots := self._taken(path, os.O_RDWR)) is not None:
                return slots
        for _ in range(8):  # another process that starts may take a new one before us
            path = os.path.join(self._directory, os.urandom(8).hex() + _SUFFIX)
            if (slots := self._taken(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)) is not None:
                return slots
        return None

    def _paths(self) -> Iterator[str]:
        if self._directory is None:
            return
        try:
            names = sorted(os.listdir(self._directory))
        except OSError:
            return
        for name in names:
            if name.endswith(_SUFFIX):
                yield os.path.join(self._directory, name)

    def _taken(self, path: str, flags: int) -> memoryview | None:
        """Make the file at *path* this process's own, unless it is another's."""
        try:
            descriptor = os.open(path, flags | _OPEN_FLAGS, self._mode)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            slots = _mapped(path, descriptor)
        except OSError:
            slots = None
        if slots is None:
            os.close(descriptor)
            return None
        self._descriptor, self._path = descriptor, path
        return slots


def _used(slots: memoryview) -> int:
    return int(_HEAD.unpack_from(slots)[1])


def _mapped(path: str, locked: int) -> memoryview | None:
    """Return the file in memory, made if it is empty; None if it is not a file of tallies.

    A mapping keeps a descriptor of its own, and a forked child cannot end the mapping. So it is
    of another open file than the one that is *locked*: the child closes that, and then the lock
    ends with the parent.
    """
    descriptor = os.open(path, os.O_RDWR | _OPEN_FLAGS)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or not os.path.samestat(status, os.fstat(locked)):
            return None
        if status.st_size == 0:
            os.ftruncate(descriptor, _FILE_BYTES)
        elif status.st_size != _FILE_BYTES:
            return None
        if os.pread(descriptor, len(_MAGIC), 0) == bytes(len(_MAGIC)):
            # All its blocks are there before it is mapped: a full disk is an error here, and a
            # signal that kills the process later.
            if os.pwrite(descriptor, bytes(_FILE_BYTES), 0) != _FILE_BYTES:
                return None
            os.pwrite(descriptor, _HEAD.pack(_MAGIC, 0), 0)
        if _slots_in(descriptor) is None:
            return None
        return memoryview(mmap.mmap(descriptor, _FILE_BYTES))
    finally:
        os.close(descriptor)


def _slots_in(descriptor: int) -> list[tuple[bytes, int, int, int]] | None:
    """Return names and counts of a file; None if it is not one of tallies, or damaged."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size != _FILE_BYTES:
        return None
    magic, used = _HEAD.unpack(os.pread(descriptor, _HEAD.size, 0))
    if magic != _MAGIC or used > _MOST_SLOTS:
        return None
    slots = list(_SLOT.iter_unpack(os.pread(descriptor, used * _SLOT.size, _FIRST)))
    if any(max(counts) > _MOST_COUNTED for _, *counts in slots):
        return None
    return slots


def _counts_in(path: str, name: bytes) -> tuple[int, ...]:
    try:
        descriptor = os.open(path, os.O_RDONLY | _OPEN_FLAGS)
    except OSError:
        return ()
    try:
        slots = _slots_in(descriptor) or []
    except (OSError, struct.error):  # cut off while we read
        return ()
    finally:
        os.close(descriptor)
    for found, *counts in slots:
        if found == name:
            return tuple(counts)
    return ()


# -- one for each directory ------------------------------------------------------------------

# Those that somebody counts with: a process may open many directories, one after the other.
_tallies: WeakValueDictionary[str, Tallies] = WeakValueDictionary()
# Held during fork(), so that the child knows all files that it has inherited.
_tallies_lock = threading.RLock()


def tallies_of(directory: str | None, *, mode: int = 0o600) -> Tallies:
    """Return the counts below *directory*, the same for all its users of this process.

    Args:
        directory: None for counts of the caller only: each call returns others.
        mode: of new files.

    Who counts keeps what is returned: with its last user the file goes to another process.
    After a fork the child gets another one: ask again.
    """
    if directory is None:
        return Tallies("", shared=False)
    place = os.path.realpath(directory)
    with _tallies_lock:
        found = _tallies.get(place)
        if found is None:
            found = _tallies[place] = Tallies(place, mode=mode)
        return found


def tallies_beside(directory: str, *, mode: int, readonly: bool) -> Tallies:
    """Return the counts beside the store in *directory*.

    Args:
        directory: of the store.
        mode: of new files.
        readonly: the caller may not write there: what it adds is known to what is returned
            only.

    Who counts keeps what is returned.
    """
    place = os.path.join(directory, _DIRECTORY)
    return Tallies(place, shared=False) if readonly else tallies_of(place, mode=mode)


def _before_fork() -> None:
    _tallies_lock.acquire()


def _after_fork_in_parent() -> None:
    _tallies_lock.release()


def _after_fork_in_child() -> None:
    global _tallies_lock  # noqa: PLW0603  # the parent's may have waiters that are not here
    _tallies_lock = threading.RLock()
    for tallies in list(_tallies.values()):
        tallies.close()  # the lock stays with the parent, who has the file open
    _tallies.clear()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
