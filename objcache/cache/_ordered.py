"""Reading a cache as a whole: how many entries, in key order, and between two keys.

Knows: ranges. Must not know: single entries, and who writes.
"""

from __future__ import annotations

from typing import TypeVar

from objcache.cache._entries import CacheEntries
from objcache.cache._layout import State
from objcache.cache._ranges import LiveRange
from objcache.keys import KeyRange, prefix_range, range_of, section_range
from objcache.protocols import MISSING
from objcache.store import RangeView
from objcache.store.generations import STATE

__all__ = ["CacheView"]

K = TypeVar("K")
V = TypeVar("V")


class CacheView(CacheEntries[K, V]):
    """The live entries of a cache in key order."""

    __slots__ = ()

    def __len__(self) -> int:
        """Return the number of entries, in O(1): expired ones that are still there count too."""
        return self._state().entries

    def _state(self) -> State:
        self._settle()
        place = self._prefix + STATE
        return self._source.read(lambda transaction: State(transaction.get(place)))

    def _whole(self, *, reverse: bool = False) -> RangeView[K, V]:
        self._settle()
        return LiveRange(self, section_range, reverse=reverse)

    def _end(self, *, reverse: bool) -> tuple[K, V]:
        self._settle()
        for entry in LiveRange(self, section_range, reverse=reverse, first_batch=1):
            return entry
        raise KeyError("the cache is empty")

    def range(
        self, start: object = MISSING, stop: object = MISSING, *, reverse: bool = False
    ) -> RangeView[K, V]:
        """Return the live entries with *start* <= key < *stop*, in key order; see `Store.range`."""

        def span(prefix: bytes) -> KeyRange:
            return range_of(prefix, start, stop)

        self._settle()
        return LiveRange(self, span, reverse=reverse)

    def prefix(self, key_prefix: object, *, reverse: bool = False) -> RangeView[K, V]:
        """Return the live entries whose key begins with *key_prefix*; see `Store.prefix`."""

        def span(prefix: bytes) -> KeyRange:
            return prefix_range(prefix, key_prefix)

        self._settle()
        return LiveRange(self, span, reverse=reverse)
