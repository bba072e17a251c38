"""The items of a generator on disk: written while they are produced, read one by one.

Knows: how items are kept and found. Must not know: who produces or wants them.

Each item is a record of its own, encoded the moment it is produced: the one who gets it may change
it. The result of the call, which alone makes them complete, is written last.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from objcache.errors import ObjcacheError, StoreFullError
from objcache.memo._entries import Kept
from objcache.memo._recall import Call, Recall
from objcache.memo._results import Opened
from objcache.store.dated import DatedRecords, stored_bytes

__all__ = ["ItemsGoneError", "ItemsWriter", "read_items"]

_FLUSH_BYTES: Final = 1 << 20
_FLUSH_ITEMS: Final = 1000
_READ_ITEMS: Final = 64
_NUMBER_BYTES: Final = 8


class ItemsGoneError(Exception):
    """An item of a stream is not there any more, or cannot be read."""


class _RefusedError(Exception):
    """The whole is larger than a cache takes: making room would not help."""

    def __init__(self, error: StoreFullError) -> None:
        super().__init__(error)
        self.error = error


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
        self._bytes_on_disk = 0
        self._flushed = False
        # As an entry of a cache, while they are only a part of the whole.
        self._position: bytes | None = None
        opened = self._opened = recall.opened()
        self._records = None if opened is None else DatedRecords(opened.chunks, self._stream)

    @property
    def active(self) -> bool:
        """Whether items are still kept."""
        return self._records is not None

    def add(self, item: Any) -> None:
        """Keep the next item as it is now."""
        records = self._records
        if records is None:
            return
        try:
            key = _number(self._count)
            record = records.encode(key, item, cost_us=0)
            self._buffered[key] = record
            self._count += 1
            self._buffered_bytes += len(record)
            self._bytes += stored_bytes(record)
            self._weigh(records.locate(key), record)
            if self._buffered_bytes >= _FLUSH_BYTES or len(self._buffered) >= _FLUSH_ITEMS:
                self._flush(records)
        except (ObjcacheError, OSError) as error:
            self.abandon()
            self._recall.complaints.about("stored", error)

    def finish(self, returned: Any = None) -> bool:
        """Make the items, and what the generator returned, the result of the call.

        Returns:
            Whether it is stored.
        """
        records, recall = self._records, self._recall
        if records is None:
            return False
        try:
            opened = recall.results.current()
            result = [self._stream.hex(), self._count, returned]
            extra = {"stream": self._stream.hex()}
            kept = recall.encoded(
                opened, self._call, self._picture, result, self.cost_s, extra=extra
            )
            kept.row["size_bytes"] += self._bytes
            kept = kept._replace(items_bytes=self._bytes_on_disk)

            keep = partial(self._keep_whole, records=records, kept=kept)
            if recall.results.change(keep, self._buffered_bytes):
                self._records = None
                return True
        except _RefusedError as refused:
            self.abandon()
            recall.complaints.about("stored", refused.error)
        except (ObjcacheError, OSError) as error:
            self.abandon()
            recall.complaints.about("stored", error)
        return False

    def _keep_whole(self, opened: Opened, *, records: DatedRecords, kept: Kept) -> bool:
        if not self._stands(opened, records):
            return False
        records.put_many(self._buffered)
        # Before there is an entry of the whole: making room for it must not remove its items.
        self._untrack(opened)
        stored, refused = self._recall.results.keep_in(opened, {self._call.tail: kept})
        if refused is not None:
            raise _RefusedError(refused)
        return stored

    def abandon(self) -> None:
        """Remove what was kept: the generator will not be run to its end."""
        if self._records is None:
            return
        self._records = None
        self._buffered = {}
        if self._flushed:
            results = self._recall.results

            def drop(opened: Opened) -> None:
                self._untrack(opened)
                results.drop_chunks(opened, self._stream)

            try:
                results.change(drop)
            except (ObjcacheError, OSError) as error:
                self._recall.complaints.about("removed", error)

    def _flush(self, records: DatedRecords) -> None:
        def flush(opened: Opened) -> tuple[bool, bytes | None]:
            if not self._stands(opened, records):
                return False, None
            records.put_many(self._buffered)
            return True, self._track(opened)

        stands, position = self._recall.results.change(flush, self._buffered_bytes)
        if not stands:
            self.abandon()
            return
        self._position = position
        self._flushed = True
        self._buffered, self._buffered_bytes = {}, 0

    def _stands(self, opened: Opened, records: DatedRecords) -> bool:
        """Whether what was flushed is still there: no part of a whole was removed meanwhile."""
        if self._opened is None or opened.generation != self._opened.generation:
            return False
        return not self._flushed or bool(records.get_many([_number(0)]))

    # -- as an entry of a cache --------------------------------------------------------------

    def _weigh(self, located: bytes, record: bytes | bytearray) -> None:
        assert self._opened is not None
        bounds = self._opened.bounds
        if bounds is not None:
            self._bytes_on_disk += bounds.tracker.size_of(located, record)
            bounds.tracker.refuse_too_large(self._bytes_on_disk)

    def _track(self, opened: Opened) -> bytes | None:
        if opened.bounds is None:
            return None
        self._untrack(opened)
        tags = self._recall.settings.tag
        return opened.bounds.track_items(self._stream, self._bytes_on_disk, tags)

    def _untrack(self, opened: Opened) -> None:
        if opened.bounds is not None and self._position is not None:
            opened.bounds.tracker.untrack([self._position])


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
