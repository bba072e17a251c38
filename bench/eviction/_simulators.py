"""What others would keep, in memory: exact LRU, and whoever knows the future.

Knows: keys and sizes. Must not know: caches on disk.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Hits", "clairvoyant", "lru"]


class Hits(NamedTuple):
    """How often a cache had what was asked for, and how many bytes that was."""

    requests: int
    size_bytes: int


def lru(keys: Sequence[int], sizes: Sequence[int], limit: int) -> Hits:
    """Return the hits of a cache that evicts what was not asked for the longest.

    Args:
        keys: asked for, in this order; a miss is followed by a set.
        sizes: of each.
        limit: of the sizes together; what is larger than it is not kept.
    """
    held: OrderedDict[int, int] = OrderedDict()
    used = hits = hit_bytes = 0
    for key, size in zip(keys, sizes, strict=True):
        if key in held:
            held.move_to_end(key)
            hits += 1
            hit_bytes += size
        elif size <= limit:
            held[key] = size
            used += size
            while used > limit:
                used -= held.popitem(last=False)[1]
    return Hits(hits, hit_bytes)


def clairvoyant(keys: Sequence[int], sizes: Sequence[int], limit: int) -> Hits:
    """Return the hits of a cache that evicts what will not be asked for the longest (Belady).

    It may evict what it was just given. With sizes of 1 no cache has more hits; with others one
    may have.

    Args:
        keys: as for `lru`.
        sizes: as for `lru`.
        limit: as for `lru`.
    """
    upcoming = _next_uses(keys)
    held: dict[int, int] = {}
    # By when they are used next, the last first. What was used since has a smaller number than
    # all that are held: nobody comes to it.
    queue: list[int] = []
    done: list[int] = []
    used = hits = hit_bytes = 0
    for key, size, next_use in zip(keys, sizes, upcoming, strict=True):
        if key in held:
            hits += 1
            hit_bytes += size
        elif size <= limit:
            held[key] = size
            used += size
        else:
            continue
        if next_use < len(keys):
            heapq.heappush(queue, -next_use)
        else:
            done.append(key)
        while used > limit:
            used -= held.pop(done.pop() if done else keys[-heapq.heappop(queue)])
    return Hits(hits, hit_bytes)


def _next_uses(keys: Sequence[int]) -> list[int]:
    """Return when each request's key is asked for again; their number for never."""
    never = len(keys)
    soonest: dict[int, int] = {}
    upcoming = [never] * never
    for moment in range(never - 1, -1, -1):
        key = keys[moment]
        upcoming[moment] = soonest.get(key, never)
        soonest[key] = moment
    return upcoming
