"""The cache: a mapping on disk with bounds, deadlines, tags and eviction.

Knows: stores, their records and the rows of caches in them. Must not know: memoized functions.
Read docs/design/cache.md first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from objcache.cache._cache import Cache as Cache
from objcache.cache._entries import CacheEntry as CacheEntry
from objcache.cache._writing import tags_of as tags_of

if TYPE_CHECKING:
    from objcache.cache._check import CacheReport as CacheReport
    from objcache.cache._stats import CacheCounts as CacheCounts
    from objcache.cache._stats import CacheStats as CacheStats
    from objcache.cache._stats import counts_of_caches as counts_of_caches

__all__ = [
    "Cache",
    "CacheCounts",
    "CacheEntry",
    "CacheReport",
    "CacheStats",
    "counts_of_caches",
    "tags_of",
]

_LATE = {
    "CacheCounts": "_stats",
    "CacheReport": "_check",
    "CacheStats": "_stats",
    "counts_of_caches": "_stats",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        import importlib  # noqa: PLC0415  # loaded already by the interpreter's start

        return getattr(importlib.import_module(f"objcache.cache.{_LATE[name]}"), name)
    raise AttributeError(f"module 'objcache.cache' has no attribute {name!r}")
