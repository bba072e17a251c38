"""Sizes and readers of a file, as lmdb counts them.

Knows: lmdb's numbers. Must not know: what the records mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import lmdb

    from objcache.engine._environment import Environment

__all__ = ["EngineStats", "Reader", "engine_name", "readers_of", "stats_of"]


class Reader(NamedTuple):
    """One open read transaction on the store, of any process."""

    pid: int
    transaction_id: int


class EngineStats(NamedTuple):
    """Sizes and readers, as lmdb counts them."""

    records: int
    file_bytes: int
    used_bytes: int
    map_bytes: int
    last_transaction_id: int
    readers: tuple[Reader, ...]
    page_bytes: int


def engine_name() -> str:
    """Return what reads and writes the file, with its version."""
    import lmdb  # noqa: PLC0415  # loaded already, where a store is open

    return f"LMDB {'.'.join(map(str, lmdb.version()))} (py-lmdb {lmdb.__version__})"


def stats_of(environment: Environment) -> EngineStats:
    """Return sizes and readers; see `EngineStats`."""
    handle = environment.handle
    status, extent = handle.stat(), handle.info()
    page_bytes = status["psize"]
    return EngineStats(
        records=status["entries"],
        file_bytes=environment.side.file_bytes(),
        used_bytes=page_bytes
        * (status["branch_pages"] + status["leaf_pages"] + status["overflow_pages"] + 2),
        map_bytes=environment.map_bytes,
        last_transaction_id=extent["last_txnid"],
        readers=tuple(readers_of(handle)),
        page_bytes=page_bytes,
    )


def readers_of(handle: lmdb.Environment) -> Iterator[Reader]:
    """Iterate over the open read transactions of all processes."""
    for line in handle.readers().splitlines():
        fields = line.split()
        # One line a reader: pid, thread, transaction id; "-" where none is open.
        if len(fields) == 3 and fields[0].isdigit() and fields[2].isdigit():
            yield Reader(int(fields[0]), int(fields[2]))
