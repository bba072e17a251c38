"""How long does it take to store an entry in a cache?"""

from __future__ import annotations

from collections.abc import Sequence

from bench._inputs import KEYS, NEW_VALUES
from bench._timing import time_pairs
from bench.engines import CACHE, Handle
from bench.workloads._workload import Mapped

__all__ = ["WORKLOADS", "CacheSet"]


class CacheSet(Mapped):
    """`cache.set(key, value)`."""

    name = "cache_set"
    title = "set of a cache"
    question = (
        "`cache.set(key, value)` over an entry that exists, without deadline or tag, a transaction "
        "each; nothing has to make room. Of the store it is `store[key] = value`."
    )
    writes = True
    needs = CACHE

    def time(self, handle: Handle, indexes: Sequence[int]) -> list[int]:
        """Time one write for each index."""
        return time_pairs(handle.put, [(KEYS[index], NEW_VALUES[index]) for index in indexes])


WORKLOADS = (CacheSet(),)
