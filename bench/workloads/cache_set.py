"""How long does it take to store an entry in a cache?"""

from __future__ import annotations

from collections.abc import Sequence

from bench._inputs import ABSENT_KEYS, KEYS, NEW_VALUES
from bench._timing import time_pairs
from bench.engines import CACHE, Handle
from bench.workloads._workload import Mapped

__all__ = ["WORKLOADS", "CacheSet", "CacheSetNew"]


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


class CacheSetNew(Mapped):
    """`cache.set(key, value)` of a key that is not there."""

    name = "cache_set_new"
    title = "set of a cache, new keys"
    question = (
        "`cache.set(key, value)` after a miss, without deadline or tag, a transaction each; nothing "
        "has to make room. The entries are removed between the slices, untimed."
    )
    writes = True
    needs = CACHE

    def time(self, handle: Handle, indexes: Sequence[int]) -> list[int]:
        """Time one write for each index."""
        return time_pairs(
            handle.put, [(ABSENT_KEYS[index], NEW_VALUES[index]) for index in indexes]
        )

    def restore(self, handle: Handle, indexes: Sequence[int]) -> None:
        """Remove what was stored."""
        for index in indexes:
            handle.delete(ABSENT_KEYS[index])


WORKLOADS = (CacheSet(), CacheSetNew())
