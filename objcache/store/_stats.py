"""What `Store.stats` tells.

Knows: counters and the engine's numbers. Must not know: records.
"""

from __future__ import annotations

from typing import NamedTuple

from objcache.engine import Restored, Session, live_files
from objcache.engine.stats import Reader, stats_of
from objcache.keys import decode_key
from objcache.store._counters import namespace_counts
from objcache.store._length import length_of

__all__ = ["StoreStats", "stats_of_store"]


class StoreStats(NamedTuple):
    """What a store holds and who reads it.

    Attributes:
        path: the store's directory.
        durability: what a commit promises.
        entries: entries of the root mapping.
        namespaces: entries of each namespace that has any, by its names.
        file_bytes: size of the file, with free pages.
        used_bytes: size of the pages in use.
        map_bytes: the bound of the file's size.
        page_bytes: size of one page of the file.
        last_transaction_id: counts the commits of all processes.
        readers: open read transactions of all processes; one that stays keeps replaced pages.
        oldest_reader_age: commits since the oldest open read began; 0 where there is none.
        durable_up_to: the last transaction that a power cut of this moment would leave.
        restored: what this process found when it opened the store: the checkpoint that it was
            put back to because the machine had gone down, and the last transaction after it
            that has left a trace; None if nothing was to do.
        side_files: files beside the store that hold large parts of values.
        side_file_bytes: their sizes together.
        held_mappings: mappings of this process, from `view`, whose value was overwritten or
            deleted since: its bytes stay on the disk until the last of its arrays is gone.
    """

    path: str
    durability: str
    entries: int
    namespaces: dict[tuple[str, ...], int]
    file_bytes: int
    used_bytes: int
    map_bytes: int
    page_bytes: int
    last_transaction_id: int
    readers: tuple[Reader, ...]
    oldest_reader_age: int
    durable_up_to: int
    restored: Restored | None
    side_files: int
    side_file_bytes: int
    held_mappings: int

    @property
    def free_pages(self) -> int:
        """Pages of the file that are not in use, or list those that are not."""
        return max(self.file_bytes - self.used_bytes, 0) // self.page_bytes


def stats_of_store(session: Session, durability: str) -> StoreStats:
    """Return what the store of *session* holds and who reads it."""
    counts = session.read(namespace_counts)
    engine = stats_of(session.environment)
    side, sizes = session.environment.side, _side_file_sizes(session)
    oldest = min((reader.transaction_id for reader in engine.readers), default=None)
    return StoreStats(
        path=session.directory,
        durability=durability,
        entries=session.read(lambda transaction: length_of(transaction, b"")),
        namespaces={_names(names): count for _, names, count in counts},
        file_bytes=engine.file_bytes,
        used_bytes=engine.used_bytes,
        map_bytes=engine.map_bytes,
        page_bytes=engine.page_bytes,
        last_transaction_id=engine.last_transaction_id,
        readers=engine.readers,
        oldest_reader_age=0 if oldest is None else engine.last_transaction_id - oldest,
        durable_up_to=session.durable_up_to(),
        restored=session.environment.restored,
        side_files=len(sizes),
        side_file_bytes=sum(sizes),
        held_mappings=session.read(side.held),
    )


def _side_file_sizes(session: Session) -> list[int]:
    names = session.read(lambda transaction: [name for name, _ in live_files(transaction)])
    return [session.environment.side.files.size_of(name) or 0 for name in names]


def _names(encoded: bytes) -> tuple[str, ...]:
    names = decode_key(encoded)
    assert isinstance(names, tuple)
    return names
