"""Walking over records in key order without holding a read transaction open.

Knows: batches and where to go on. Must not know: what keys and values mean.

A read transaction that stays open keeps every page that writers replace meanwhile. So a
walk reads a batch, lets its transaction go, and yields; then it goes on behind the last key.
It sees each record that is there throughout exactly once; of records added or
deleted meanwhile it may see some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Protocol, TypeVar

from objcache.engine import EngineFault, Transaction

__all__ = ["Source", "scan"]

_FIRST_BATCH: Final = 16
_LARGEST_BATCH: Final = 1024
_BATCH_BYTES: Final = 1 << 20

T = TypeVar("T")


class Source(Protocol):
    """What can be read from: a session, a transaction of one, or a snapshot."""

    directory: str

    @property
    def begin(self) -> Callable[[], Transaction]:
        """Begin a read that is dropped at once."""
        ...

    def read(self, function: Callable[[Transaction], T], /) -> T:
        """Return what *function* makes of one read transaction."""
        ...

    def get_again(self, engine_key: bytes, fault: EngineFault, /) -> bytes | None:
        """Read a record after *fault*, if it can be mended."""
        ...


def scan(
    source: Source,
    low: bytes,
    high: bytes,
    wants_record: Callable[[bytes], bool],
    *,
    reverse: bool = False,
    first_batch: int = _FIRST_BATCH,
) -> Iterator[tuple[bytes, bytes]]:
    """Yield engine key and record from *low* up to, not including, *high*.

    Args:
        source: where to read; one transaction a batch.
        low: the first engine key that may be yielded.
        high: the first engine key that may not be.
        wants_record: whether the record of an engine key is needed; b"" is yielded if not.
        reverse: from the last to the first.
        first_batch: how many records the first batch has; later ones have more.
    """
    size = first_batch
    last: bytes | None = None
    while True:
        step = _Step(low, high, last, size, wants_record)
        batch = source.read(step.backward if reverse else step.forward)
        yield from batch
        if len(batch) < size and step.room:
            return
        last = batch[-1][0]
        size = min(2 * size, _LARGEST_BATCH)


class _Step:
    """One batch: begins behind *last*, ends with *size* records or when *room* is used up."""

    __slots__ = ("_high", "_last", "_low", "_size", "_wants_record", "room")

    def __init__(
        self,
        low: bytes,
        high: bytes,
        last: bytes | None,
        size: int,
        wants_record: Callable[[bytes], bool],
    ) -> None:
        self._low = low
        self._high = high
        self._last = last
        self._size = size
        self._wants_record = wants_record
        self.room = True

    def forward(self, transaction: Transaction) -> list[tuple[bytes, bytes]]:
        cursor = transaction.cursor()
        last = self._last
        if not cursor.set_range(self._low if last is None else last):
            return []
        if last is not None and cursor.key() == last and not cursor.next():
            return []
        return self._collect(cursor.iternext(values=False), cursor.value)

    def backward(self, transaction: Transaction) -> list[tuple[bytes, bytes]]:
        cursor = transaction.cursor()
        # On the first key not below the bound, or behind the end: the one before it is next.
        inside = cursor.prev() if cursor.set_range(self._last or self._high) else cursor.last()
        if not inside:
            return []
        return self._collect(cursor.iterprev(values=False), cursor.value)

    def _collect(
        self, keys: Iterator[bytes], value: Callable[[], bytes]
    ) -> list[tuple[bytes, bytes]]:
        batch: list[tuple[bytes, bytes]] = []
        self.room = True
        taken = 0
        for key in keys:
            if not self._low <= key < self._high:
                return batch
            record = value() if self._wants_record(key) else b""
            batch.append((key, record))
            taken += len(record)
            if taken > _BATCH_BYTES:
                self.room = False
                return batch
            if len(batch) == self._size:
                return batch
        return batch
