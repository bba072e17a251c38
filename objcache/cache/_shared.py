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
from typing import Final, Literal, NamedTuple

__all__ = ["Epoch", "Hints", "epoch_of", "hints_of"]

_MAGIC: Final = b"occache1"
_EPOCH_BYTES: Final = 4096
_OPEN_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_GHOST_BYTES: Final = 4

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
    mark_bytes = slots * memoryview(bytearray(4)).cast(typecode).itemsize
    ghosts = max(slots // 8, 1)
    size = mark_bytes + ghosts * _GHOST_BYTES
    mapped = _mapped(os.path.join(directory, f"{name}.hints"), size, mode, writable=True)
    if mapped is None:
        mapped = memoryview(bytearray(size))
    return Hints(mapped[:mark_bytes].cast(typecode), slots - 1, mapped[mark_bytes:size].cast("I"))


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
