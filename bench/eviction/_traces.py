"""Recorded accesses.

Knows: the format of the files. Must not know: who replays them.
"""

from __future__ import annotations

import gzip
import os
import struct
import sys
from array import array
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

__all__ = ["SUFFIX", "Trace", "TraceError", "read_trace", "read_traces"]

SUFFIX: Final = ".trace.gz"

#   0          8    12      16
#   +----------+----+-------+---------+----------------+------------------+
#   | magic    | n  | flags | n keys  | n sizes, bytes | n times, seconds |
#   | OCTRACE1 | u32| u32   | n * u64 | [n * u32]      | [n * u32]        |
#   +----------+----+-------+---------+----------------+------------------+   little-endian
_HEADER: Final = struct.Struct("<8sII")
_MAGIC: Final = b"OCTRACE1"
_HAS_SIZES: Final = 1
_HAS_TIMES: Final = 2


class TraceError(ValueError):
    """Something is no trace, or there is none."""


class Trace(NamedTuple):
    """Accesses in their order.

    Attributes:
        name: of the trace.
        recorded: how many accesses were recorded; there may be fewer here.
        keys: what was asked for, a number each.
        sizes: how many bytes each had, where that was recorded.
    """

    name: str
    recorded: int
    keys: array[int]
    sizes: array[int] | None

    def cut(self, requests: int | None) -> Trace:
        """Return the first *requests* of it; all if None."""
        sizes = None if self.sizes is None else self.sizes[:requests]
        return self._replace(keys=self.keys[:requests], sizes=sizes)

    def distinct(self) -> int:
        """Return how many keys occur."""
        return len(set(self.keys))

    def distinct_bytes(self) -> int:
        """Return what all keys have together, each as large as where it occurs first."""
        first: dict[int, int] = {}
        for key, size in zip(self.keys, self.sizes or (), strict=False):
            first.setdefault(key, size)
        return sum(first.values())


def read_trace(path: str) -> Trace:
    """Return the trace in the file at *path*.

    Raises:
        TraceError: it cannot be read, or is no trace.
    """
    name = os.path.basename(path).removesuffix(SUFFIX)
    try:
        with gzip.open(path) as file:
            content = file.read()
    except (OSError, EOFError) as error:
        raise TraceError(f"the trace {name!r} cannot be read: {error}") from error
    if len(content) < _HEADER.size or not content.startswith(_MAGIC):
        raise TraceError(f"the trace {name!r} does not begin with {_MAGIC.decode()}")
    _, requests, flags = _HEADER.unpack_from(content)
    wanted = requests * (8 + 4 * bool(flags & _HAS_SIZES) + 4 * bool(flags & _HAS_TIMES))
    if len(content) != _HEADER.size + wanted:
        raise TraceError(
            f"the trace {name!r} has {len(content) - _HEADER.size} bytes behind its header, "
            f"{requests} requests with flags {flags} have {wanted}"
        )
    sizes_start = _HEADER.size + 8 * requests
    keys = _numbers("Q", content[_HEADER.size : sizes_start])
    sizes = content[sizes_start : sizes_start + 4 * requests]
    return Trace(name, requests, keys, _numbers("I", sizes) if flags & _HAS_SIZES else None)


def read_traces(directory: str, names: Iterable[str] = ()) -> list[Trace]:
    """Return the traces in *directory*, by name.

    Args:
        directory: where the files are.
        names: which of them; all if none is named.

    Raises:
        TraceError: the directory has none, not this one, or one that is damaged.
    """
    try:
        files = os.listdir(directory)
    except OSError as error:
        raise TraceError(f"no directory of traces: {error}") from error
    present = sorted(file.removesuffix(SUFFIX) for file in files if file.endswith(SUFFIX))
    wanted = sorted(names) or present
    if missing := sorted(set(wanted) - set(present)):
        raise TraceError(f"no trace {', '.join(missing)}; there are: {', '.join(present) or '-'}")
    if not wanted:
        raise TraceError(f"the directory of traces has no file *{SUFFIX}")
    return [read_trace(os.path.join(directory, name + SUFFIX)) for name in wanted]


def _numbers(typecode: Literal["Q", "I"], packed: bytes) -> array[int]:
    numbers = array(typecode, packed)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
