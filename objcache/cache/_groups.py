"""Removing many entries of a cache: by tag, after their deadline, or because they are too many.

Knows: the indexes that say which they are. Must not know: how a cache is opened.
"""

from __future__ import annotations

from collections.abc import KeysView
from typing import Final, TypeVar

from objcache.cache._counting import CacheCounters
from objcache.cache._ledger import Ledger
from objcache.cache._tags import TaggedKeys, is_due, tags_in
from objcache.cache._writing import Tags, tags_of

__all__ = ["CacheGroups"]

K = TypeVar("K")
V = TypeVar("V")

_BATCH: Final = 1000


class CacheGroups(CacheCounters[K, V]):
    """A cache whose entries are found and removed by what they have in common."""

    __slots__ = ()

    # -- tags --------------------------------------------------------------------------------

    def keys(self, *, tag: str | None = None) -> KeysView[K]:
        """Return a live view of the keys of live entries: all, in key order, or those with *tag*."""
        self._settle()
        return super().keys() if tag is None else TaggedKeys(self, tag)

    def tags(self) -> list[str]:
        """Return all tags that entries have, sorted. Cost: O(tags).

        Of entries that are over too, until they are removed; `expire` does that.
        """
        self._settle()
        prefix = self._rules.prefix
        return self._source.read(lambda transaction: tags_in(transaction, prefix))

    def evict(self, tag: Tags) -> int:
        """Remove all entries with *tag*, or with one of several; return how many were live.

        Cost: proportional to their number; a thousand in a transaction.
        """
        return sum(self._evict_tagged(one) for one in tags_of(tag))

    def _evict_tagged(self, tag: str) -> int:
        live = 0

        def step(ledger: Ledger) -> tuple[int, int]:
            return ledger.remove_tagged(tag, _BATCH)

        while True:
            seen, removed = self._retried(lambda rules: self._change(rules, step, 0))
            live += removed
            if seen < _BATCH:
                return live

    def expire(self) -> int:
        """Remove all entries whose deadline has come; return how many there were.

        They are never returned anyway, and writes remove some each time. Cost: proportional to
        their number; a thousand in a transaction.
        """
        return self._in_batches(Ledger.expire)

    def sweep(self) -> int:
        """Remove all entries whose deadline has come, if there are any; as `expire`.

        Cost: one look, and no write transaction, where there are none.
        """
        self._settle()
        prefix, now_us = self._rules.prefix, self._now_us()
        if not self._source.read(lambda found: is_due(found, prefix, now_us)):
            return 0
        return self.expire()

    def cull(self) -> int:
        """Remove what is over and evict what is too much; return how many entries went.

        Writes do that themselves; after the bounds were lowered this does it at once.
        """
        removed = self.expire()
        removed += self._in_batches(Ledger.cull)
        self._in_batches(Ledger.drop_over)
        return removed
