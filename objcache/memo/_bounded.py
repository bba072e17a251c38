"""Results as entries of a cache: one for each, with all that hangs on it.

Knows: which records one result has. Must not know: when it is kept, and what is evicted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from objcache.cache.places import Owned, Tracked, Tracker
from objcache.clock import MICROSECONDS
from objcache.memo._entries import Kept, Row
from objcache.store.dated import DatedRecords

if TYPE_CHECKING:
    from objcache.store import Namespace

__all__ = ["BoundedEntry", "Bounds"]


class BoundedEntry(NamedTuple):
    """A result with all its records, ready to be written.

    Attributes:
        position: of the entry in the cache's queue.
        records: where each belongs, its key, and its bytes.
        tracked: what the cache is told.
    """

    position: bytes
    records: tuple[tuple[DatedRecords, bytes, bytes | bytearray], ...]
    tracked: Tracked

    def put(self, tracker: Tracker) -> None:
        """Write the records, and make them an entry."""
        for mapping, key, record in self.records:
            mapping.put(key, record)
        tracker.track(self.position, self.tracked)


class Bounds:
    """What makes the results of one function entries of a cache.

    Args:
        tracker: of the cache.
        rows: the mapping of rows.
        arguments: that of whole arguments.
        chunks: that of the items of generators.
    """

    __slots__ = ("_arguments", "_chunks", "_rows", "tracker")

    def __init__(
        self,
        tracker: Tracker,
        rows: Namespace[bytes, Row],
        arguments: Namespace[bytes, bytes],
        chunks: Namespace[bytes, Any],
    ) -> None:
        self.tracker = tracker
        self._rows = DatedRecords(rows)
        self._arguments = DatedRecords(arguments)
        self._chunks = chunks

    def entry(self, results: DatedRecords, version: bytes, tail: bytes, kept: Kept) -> BoundedEntry:
        """Return what *kept* becomes.

        Args:
            results: where the record of the result belongs.
            version: what the keys of the row and the arguments begin with.
            tail: of the call.
            kept: the result.

        Raises:
            StoreFullError: it is larger than the cache takes.
        """
        position = self.tracker.position()
        row = {**kept.row, "position": position.hex()}
        key = version + tail
        records = [(results, tail, kept.record)]
        records.append((self._rows, key, self._rows.encode(key, row)))
        if kept.form is not None:
            records.append((self._arguments, key, self._arguments.encode(key, kept.form)))
        owned = [
            Owned(mapping.prefix_bytes, mapping.locate(place)) for mapping, place, _ in records
        ]
        size_bytes = kept.items_bytes
        for (_, located, _), (_, _, record) in zip(owned, records, strict=True):
            size_bytes += self.tracker.size_of(located, record)
        if "stream" in row:
            owned.append(self._items(bytes.fromhex(row["stream"])))
        self.tracker.refuse_too_large(size_bytes)
        tracked = Tracked(
            tuple(owned),
            size_bytes,
            kept.over_us,
            tuple(row["tags"]),
            round(row["cost_s"] * MICROSECONDS),
        )
        return BoundedEntry(position, tuple(records), tracked)

    def forget(self, rows: Iterable[Row]) -> None:
        """Make the results with these *rows*, which the caller removes, entries no more."""
        positions = [bytes.fromhex(row["position"]) for row in rows if "position" in row]
        if positions:
            self.tracker.untrack(positions)

    def track_items(self, stream: bytes, size_bytes: int, tags: tuple[str, ...]) -> bytes:
        """Make the items of a generator that still runs an entry, and return its position.

        Those of a process that was killed would stay for ever otherwise.
        """
        position = self.tracker.position()
        self.tracker.track(position, Tracked((self._items(stream),), size_bytes, tags=tags))
        return position

    def _items(self, stream: bytes) -> Owned:
        records = DatedRecords(self._chunks, stream)
        return Owned(records.prefix_bytes, records.head, many=True)
