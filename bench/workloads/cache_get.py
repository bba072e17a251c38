"""How long does it take to read an entry of a cache?"""

from __future__ import annotations

from collections.abc import Sequence

from bench._inputs import KEYS
from bench._timing import time_calls
from bench.engines import CACHE, Handle
from bench.workloads._workload import Mapped

__all__ = ["WORKLOADS", "CacheGet"]


class CacheGet(Mapped):
    """`cache.get(key)`."""

    name = "cache_get"
    title = "get hit of a cache"
    question = (
        "`cache.get(key)`, and `store.get(key)`, of a key that exists. The cache of objcache looks "
        "at the deadline, leaves a mark for eviction, and counts; diskcache does neither of the "
        "last two with its default policy and settings."
    )
    needs = CACHE

    def time(self, handle: Handle, indexes: Sequence[int]) -> list[int]:
        """Time one read for each index."""
        return time_calls(handle.find, [KEYS[index] for index in indexes])


WORKLOADS = (CacheGet(),)
