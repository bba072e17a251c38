"""The items of a generator on disk: written while they are produced, read one by one.

Knows: how items are kept and found. Must not know: who produces or wants them.

Each item is a record of its own, encoded the moment it is produced: the one who gets it may change
it. The result of the call, which alone makes them complete, is written last.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

from objcache.errors import ObjcacheError
from objcache.memo._recall import Call, Recall
from objcache.store.dated import DatedRecords

__all__ = ["ItemsGoneError", "ItemsWriter", "read_items"]

_FLUSH_BYTES: Final = 1 << 20
_FLUSH_ITEMS: Final = 1000
_READ_ITEMS: Final = 64
_NUMBER_BYTES: Final = 8


class ItemsGoneError(Exception):
    """An item of a stream is not there any more, or cannot be read."""


def _number(index: int) -> bytes:
    return index.to_bytes(_NUMBER_BYTES)


class ItemsWriter:
    """Keeps the items of one run of a generator function.

    Attributes:
        cost_s: what producing them took so far; added to by the one who runs it.
    """

    def __init__(self, recall: Recall, call: Call) -> None:
        self.cost_s = 0.0
        self._recall = recall
        self._call = call
        self._picture = recall.picture(call)
        self._stream = os.urandom(16)
        self._count = 0
        self._buffered: dict[bytes, bytes | bytearray] = {}
        self._buffered_bytes = 0
        self._bytes = 0
        self._flushed = False
        opened = recall.opened()
        self._records = None if opened is None else DatedRecords(opened.chunks, self._stream)

    @property
    def active(self) -> bool:
        """Whether items are still kept."""
        return self._records is not None

    def add(self, item: Any) -> None:
        """Keep the next item as it is now."""
        if self._records is None:
            return
        try:
            key = _number(self._count)
            record = self._records.encode(key, item, cost_us=0)
            self._buffered[key] = record
            self._count += 1
            self._buffered_bytes += len(record)
            self._bytes += len(record)
            if self._buffered_bytes >= _FLUSH_BYTES or len(self._buffered) >= _FLUSH_ITEMS:
                self._flush(self._records)
        except (ObjcacheError, OSError) as error:
            self.abandon()
            self._recall.complaints.about("stored", error)

    def finish(self, returned: Any = None) -> None:
        """Make the items, and what the generator returned, the result of the call."""
        records, recall = self._records, self._recall
        if records is None:
            return
        try:
            opened = recall.results.opened or recall.results.open()
            result = [self._stream.hex(), self._count, returned]
            extra = {"stream": self._stream.hex()}
            kept = recall.encoded(
                opened, self._call, self._picture, result, self.cost_s, extra=extra
            )
            kept.row["size_bytes"] += self._bytes
            with opened.place.atomic():
                # What `cache_clear` has removed meanwhile cannot be part of a whole result.
                if self._flushed and not records.get_many([_number(0)]):
                    return
                self._flush(records)
                recall.results.keep({self._call.tail: kept})
            self._records = None
        except (ObjcacheError, OSError) as error:
            self.abandon()
            recall.complaints.about("stored", error)

    def abandon(self) -> None:
        """Remove what was kept: the generator will not be run to its end."""
        if self._records is None:
            return
        self._records = None
        self._buffered = {}
        if self._flushed:
            try:
                results = self._recall.results
                results.drop_chunks(results.opened or results.open(), self._stream)
            except (ObjcacheError, OSError) as error:
                self._recall.complaints.about("removed", error)

    def _flush(self, records: DatedRecords) -> None:
        if self._buffered:
            records.put_many(self._buffered)
            self._flushed = True
            self._buffered, self._buffered_bytes = {}, 0


def read_items(recall: Recall, result: Any) -> Iterator[Any]:
    """Iterate over the items of a stored *result*.

    Raises:
        ItemsGoneError: one was removed while others were read, or cannot be read.
    """
    stream, count, _ = result
    opened = recall.opened()
    if opened is None:
        raise ItemsGoneError
    records = DatedRecords(opened.chunks, bytes.fromhex(stream))
    for start in range(0, count, _READ_ITEMS):
        keys = [_number(index) for index in range(start, min(start + _READ_ITEMS, count))]
        try:
            found = records.get_many(keys)
            for key in keys:
                if key not in found:
                    raise ItemsGoneError
                yield records.decode(key, found[key])[0]
        except ObjcacheError as error:
            recall.complaints.about("read", error)
            raise ItemsGoneError from error
