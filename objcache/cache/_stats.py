"""What `Cache.stats` tells.

Knows: numbers of the cache, of the file, and counts of all processes. Must not know: records.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from objcache.cache._layout import POSITION_BYTES, State, name_of
from objcache.cache._limits import size_in_bytes
from objcache.clock import MICROSECONDS
from objcache.engine import Transaction
from objcache.header import MOMENT
from objcache.store import Store
from objcache.store.dated import MEMOIZE
from objcache.store.generations import (
    QUEUE,
    STATE,
    Generation,
    beside,
    caches_of,
    generation_prefix,
)
from objcache.tallies import Tallies, ratio_of, tallied_name, tallies_beside

if TYPE_CHECKING:
    from objcache.cache._cache import Cache

__all__ = ["CacheCounts", "CacheStats", "counts_of_caches", "stats_of_cache"]


class CacheStats(NamedTuple):
    """Bounds, counts and sizes of a cache, over all processes.

    Attributes:
        path: the directory.
        names: of the cache below it.
        size_limit_bytes: the bound of the file, or of a namespace's entries; None for none.
        max_entries: the bound of their number; None for none.
        policy: what goes first.
        entries: entries, expired ones that are still there among them.
        size_bytes: what they take on disk, about.
        file_bytes: size of the file, with free pages.
        used_bytes: size of its pages in use.
        hits: reads that found a live entry; results of memoized functions count in `cache_info`.
        misses: reads that did not.
        unreadable: entries that could not be read, and so were missing.
        stored: how many entries were stored since the cache was last cleared.
        evicted: how many of them had to make room.
        expired: how many were removed after their deadline.
        removed: how many were removed by key or tag, or for another value.
        oldest: when the oldest entry was stored, in seconds since the epoch; None without any.
        saved_s: how many seconds of computing hits of memoized functions have saved.
        held_mappings: views of this process, of the whole file, whose entry is gone: what they
            map takes room on the disk beside the limit until they end.
    """

    path: str
    names: tuple[str, ...]
    size_limit_bytes: int | None
    max_entries: int | None
    policy: str
    entries: int
    size_bytes: int
    file_bytes: int
    used_bytes: int
    hits: int
    misses: int
    unreadable: int
    stored: int
    evicted: int
    expired: int
    removed: int
    oldest: float | None
    saved_s: float
    held_mappings: int

    @property
    def hit_ratio(self) -> float | None:
        """The part of reads that found something; None before the first."""
        return ratio_of(self.hits, self.misses)


class CacheCounts(NamedTuple):
    """What the files of a cache tell of it, whoever opens it with which bounds.

    Attributes: as those of `CacheStats` with the same names.
    """

    names: tuple[str, ...]
    entries: int
    size_bytes: int
    hits: int
    misses: int
    unreadable: int
    stored: int
    evicted: int
    expired: int
    removed: int
    oldest: float | None

    @property
    def hit_ratio(self) -> float | None:
        """The part of reads that found something; None before the first."""
        return ratio_of(self.hits, self.misses)


def counts_of_caches(store: Store[Any, Any]) -> list[CacheCounts]:
    """Return what is known of every cache in the file of *store*, which may be read-only.

    No cache is opened: nothing is written, and no bounds need be known. Cost: O(caches).
    """
    tallies = tallies_beside(store.directory, mode=store.file_mode, readonly=store.readonly)

    def read(transaction: Transaction) -> list[CacheCounts]:
        return [_counts(transaction, tallies, cache) for cache in caches_of(transaction)]

    return store._session.read(read)  # noqa: SLF001  # the cache is a part of it


def _counts(transaction: Transaction, tallies: Tallies, cache: Generation) -> CacheCounts:
    prefix = generation_prefix(cache.number)
    state, oldest = _state(transaction, prefix)
    return CacheCounts(
        cache.names,
        *(state.entries, state.size_bytes, *tallies.totals(name_of(cache.names))),
        *(state.stored, state.evicted, state.expired, state.removed, oldest),
    )


def stats_of_cache(
    cache: Cache[Any, Any], store: Store[Any, Any], settings: dict[str, Any]
) -> CacheStats:
    """Return what *cache* holds, and who has asked for it."""
    cache._settle()  # noqa: SLF001  # the other half of one class
    prefix = generation_prefix(cache._number)  # noqa: SLF001

    state, oldest = store._session.read(lambda found: _state(found, prefix))  # noqa: SLF001
    engine = store.stats()
    tallies = cache._tallies  # noqa: SLF001
    hits, misses, unreadable = tallies.totals(name_of(cache._names))  # noqa: SLF001
    return CacheStats(
        path=store.directory,
        names=cache._names,  # noqa: SLF001
        size_limit_bytes=size_in_bytes(settings["size_limit"]),
        max_entries=settings["max_entries"],
        policy=settings["policy"],
        entries=state.entries,
        size_bytes=state.size_bytes,
        file_bytes=engine.file_bytes,
        used_bytes=engine.used_bytes,
        hits=hits,
        misses=misses,
        unreadable=unreadable,
        stored=state.stored,
        evicted=state.evicted,
        expired=state.expired,
        removed=state.removed,
        oldest=oldest,
        saved_s=_saved_us(cache, engine.namespaces, tallies) / MICROSECONDS,
        held_mappings=engine.held_mappings,
    )


def _saved_us(
    cache: Cache[Any, Any], namespaces: Iterable[tuple[str, ...]], tallies: Tallies
) -> int:
    """Return what hits of functions memoized in *cache* have saved, over all processes."""
    memoized = (*beside(cache._number), MEMOIZE)  # noqa: SLF001
    saved_us = 0
    for function in {names[3] for names in namespaces if names[:3] == memoized and names[3:]}:
        saved_us += tallies.totals(tallied_name((*cache.place.names, MEMOIZE, function)))[2]
    return saved_us


def _state(transaction: Transaction, prefix: bytes) -> tuple[State, float | None]:
    """Return the numbers of the generation with *prefix*, and when its oldest entry was stored."""
    return State(transaction.get(prefix + STATE)), _oldest(transaction, prefix + QUEUE)


def _oldest(transaction: Transaction, queue: bytes) -> float | None:
    cursor = transaction.cursor()
    if not cursor.set_range(queue) or not cursor.key().startswith(queue):
        return None
    position = cursor.key()[-POSITION_BYTES:]
    return float(MOMENT.unpack_from(position)[0] / MICROSECONDS)
