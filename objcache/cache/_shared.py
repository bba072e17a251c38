"""What the processes of a cache share beside the store: marks of reads, ghosts, an epoch.

Knows: files in memory. Must not know: what a mark means, or what is stored.

Marks and ghosts are hints for the policy: whatever is in them, only the hit ratio suffers. They
are written without a lock, and may be lost in a power cut. The epoch says that another generation
of the cache may have begun: even while nothing changes, odd while somebody is about to.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

__all__ = [
    "SHARED_DIRECTORY",
    "Epoch",
    "Hints",
    "copied_hints",
    "epoch_of",
    "hints_name",
    "hints_of",
]

SHARED_DIRECTORY: Final = "caches"
"""Where the files are, below the directory of the store."""


_MAGIC: Final = b"occache1"
_EPOCH_BYTES: Final = 4096
_OPEN_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_GHOST_BYTES: Final = 4
_SUFFIX: Final = ".hints"
_MARK_BYTES: Final = {"B": 1, "I": 4}

Epoch = memoryview
"""Four numbers: a magic one, the epoch, one that is not used, and the latest time seen."""


class Hints(NamedTuple):
    """What a policy knows of reads and of what it has evicted.

    Attributes:
        marks: one element a slot; the number of slots is a power of two.
        mask: what a slot number is cut to.
        ghosts: fingerprints of keys, by a part of their hash.
    """

    marks: memoryview
    mask: int
    ghosts: memoryview


def epoch_of(directory: str, name: str, mode: int, *, writable: bool) -> Epoch:
    """Return the epoch of the cache *name*, shared with all processes that use the directory.

    Where it cannot be shared it is odd for ever: then each read looks for itself.
    """
    path = os.path.join(directory, f"{name}.epoch")
    mapped = _mapped(path, _EPOCH_BYTES, mode, writable=writable)
    if mapped is None:
        mapped = memoryview(bytearray(_MAGIC + (1).to_bytes(8, "little") + bytes(48)))
    elif writable and mapped[:8] == bytes(8):
        mapped[:8] = _MAGIC
    return mapped.cast("Q")


def hints_name(name: bytes, policy: str, slots: int) -> str:
    """Return what the file of a cache's hints is called, for `hints_of`."""
    return f"{name.hex()}-{policy}-{slots}"


def hints_of(
    directory: str, name: str, typecode: Literal["B", "I"], slots: int, mode: int
) -> Hints:
    """Return the hints of the cache *name*, shared where that can be.

    Args:
        directory: where the files are; made if missing.
        name: of the file; another policy has another one.
        typecode: of a mark, `"B"` or `"I"`.
        slots: how many marks, a power of two.
        mode: of new files.
    """
    size = _hints_bytes(typecode, slots)
    mapped = _mapped(os.path.join(directory, name + _SUFFIX), size, mode, writable=True)
    if mapped is None:
        mapped = memoryview(bytearray(size))
    return _hints(mapped, typecode, slots)


def copied_hints(
    directory: str, name: bytes, typecodes: Mapping[str, Literal["B", "I"]]
) -> tuple[str, Hints] | None:
    """Return the policy that was used last with a cache, and a copy of its hints; None for none.

    Args:
        directory: where the files are.
        name: of the cache, as for `hints_name`.
        typecodes: of a mark, by the name of the policy.

    Cost: reads one file, of some megabytes at most.
    """
    newest: tuple[float, str, str, int] | None = None
    try:
        for file in os.scandir(directory):
            head, _, rest = file.name.removesuffix(_SUFFIX).partition("-")
            policy, _, slots = rest.partition("-")
            if head == name.hex() and policy in typecodes and slots.isdecimal():
                # A write to the mapping changes the time of the file.
                found = (file.stat().st_mtime, file.path, policy, int(slots))
                newest = found if newest is None else max(newest, found)
        if newest is None:
            return None
        _, path, policy, slot_count = newest
        with open(os.open(path, os.O_RDONLY | _OPEN_FLAGS), "rb") as opened:
            size = _hints_bytes(typecodes[policy], slot_count)
            content = bytearray(opened.read(size))
    except OSError:
        return None
    if len(content) != size or not size or slot_count & (slot_count - 1):
        return None
    return policy, _hints(memoryview(content), typecodes[policy], slot_count)


def _hints_bytes(typecode: str, slots: int) -> int:
    return slots * _MARK_BYTES[typecode] + max(slots // 8, 1) * _GHOST_BYTES


def _hints(content: memoryview, typecode: Literal["B", "I"], slots: int) -> Hints:
    mark_bytes = slots * _MARK_BYTES[typecode]
    return Hints(content[:mark_bytes].cast(typecode), slots - 1, content[mark_bytes:].cast("I"))


def _mapped(path: str, size: int, mode: int, *, writable: bool) -> memoryview | None:
    """Return the file at *path* in memory, made if it is missing; None if that cannot be."""
    flags = (os.O_RDWR | os.O_CREAT if writable else os.O_RDONLY) | _OPEN_FLAGS
    try:
        if writable:
            os.makedirs(os.path.dirname(path), mode=mode | (mode & 0o444) >> 2, exist_ok=True)
        descriptor = os.open(path, flags, mode)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        if status.st_size < size:
            if not writable:
                return None
            # All its blocks are there before it is mapped: a full disk is an error here, and a
            # signal that kills the process later.
            os.posix_fallocate(descriptor, 0, size)
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        return memoryview(mmap.mmap(descriptor, size, access=access))
    except OSError:
        return None
    finally:
        os.close(descriptor)
