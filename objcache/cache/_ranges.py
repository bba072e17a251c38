"""Ranges of a cache: entries between two keys, of those that are live.

Knows: how records are walked. Must not know: who asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from objcache.errors import (
    CorruptRecordError,
    DecodeError,
    SignatureError,
    UnsupportedFormatError,
)
from objcache.keys import KeyRange, key_of, needs_full_key
from objcache.protocols import MISSING
from objcache.store import RangeView

if TYPE_CHECKING:
    from objcache.cache._reading import CacheReader

__all__ = ["UNREADABLE", "LiveRange"]

K = TypeVar("K")
V = TypeVar("V")

UNREADABLE: Final = (SignatureError, CorruptRecordError, UnsupportedFormatError, DecodeError)
"""What makes an entry a miss: it is there, and cannot be read."""


class LiveRange(RangeView[K, V]):
    """Live entries of a cache between two keys; of the generation that is current when iterated.

    Args:
        reader: the cache.
        span: makes the range below the prefix of a generation.
        reverse: from the last to the first.
        first_batch: how many records are read at first.
    """

    __slots__ = ("_span",)

    _reader: CacheReader[K, V]

    def __init__(
        self,
        reader: CacheReader[K, V],
        span: Callable[[bytes], KeyRange],
        *,
        reverse: bool,
        first_batch: int = 16,
    ) -> None:
        super().__init__(reader, span(reader._prefix), reverse=reverse, first_batch=first_batch)  # noqa: SLF001  # the other half of one class
        self._span = span

    def __iter__(self) -> Iterator[tuple[K, V]]:
        reader = self._reader
        for key, located, full_key, record in self._live():
            value = reader._decoded(key, located, full_key, record)  # noqa: SLF001
            if value is not MISSING:
                yield key, value

    def keys(self) -> Iterator[K]:
        """Iterate over the keys; values are not decoded."""
        return (key for key, _, _, _ in self._live())

    def __reversed__(self) -> Iterator[tuple[K, V]]:
        return iter(LiveRange(self._reader, self._span, reverse=not self._reverse))

    def _live(self) -> Iterator[tuple[Any, bytes, bytes, bytes]]:
        reader = self._reader
        reader._settle()  # noqa: SLF001
        prefix = reader._prefix  # noqa: SLF001
        view: LiveRange[K, V] = LiveRange(
            reader, self._span, reverse=self._reverse, first_batch=self._batch
        )
        for located, record in view._scan(_always):
            reader._settle()  # noqa: SLF001
            if not located.startswith(prefix) or reader._prefix != prefix:  # noqa: SLF001
                return  # cleared meanwhile
            try:
                header = reader._records.authenticate(located, located, record)  # noqa: SLF001
            except UNREADABLE as error:
                reader._tell(located, error)  # noqa: SLF001
                continue
            full_key = header.full_key
            whole_key = located[len(prefix) + 1 :]
            if needs_full_key(len(prefix), located):
                whole_key = full_key
            if view._covers(whole_key) and reader._is_live(header):  # noqa: SLF001
                yield key_of(len(prefix), located, full_key), located, full_key, record


def _always(_located: bytes) -> bool:
    return True
