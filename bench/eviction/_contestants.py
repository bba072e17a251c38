"""Caches on disk, each with its policy.

Knows: the public API of objcache and diskcache. Must not know: traces.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import objcache
from bench._inputs import SECRET

__all__ = ["POLICIES", "RIVALS", "Bound", "Contestant", "Opened", "contestants"]

POLICIES: Final = ("gate", "lru", "fifo", "lfu")
RIVALS: Final = ("diskcache",)
_DISKCACHE_POLICIES: Final = (
    "least-recently-stored",
    "least-recently-used",
    "least-frequently-used",
)


@dataclass(frozen=True, slots=True)
class Bound:
    """What a cache may hold: so many entries, or so many bytes of disk."""

    entries: int | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """An open cache.

    Attributes:
        get: the value of a key, or None.
        put: store a value.
        values: iterate over what is held.
        close: close it.
    """

    get: Callable[[str], Any]
    put: Callable[[str, Any], object]
    values: Callable[[], Iterable[Any]]
    close: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A cache with its policy.

    Attributes:
        name: of the row.
        open: open one in a directory, with a bound.
    """

    name: str
    open: Callable[[str, Bound], Opened]


def contestants(policies: Iterable[str], rivals: Iterable[str] = ()) -> list[Contestant]:
    """Return objcache with each of *policies*, and each of *rivals* with each of its own.

    Raises:
        ImportError: a rival is not installed.
    """
    found = [Contestant(f"objcache {policy}", partial(_objcache, policy)) for policy in policies]
    if "diskcache" in rivals:
        found += [
            Contestant(f"diskcache {policy}", _diskcache(policy)) for policy in _DISKCACHE_POLICIES
        ]
    return found


def _objcache(policy: str, directory: str, bound: Bound) -> Opened:
    cache = objcache.Cache(
        os.path.join(directory, "cache"),
        size_limit=bound.size_bytes,
        max_entries=bound.entries,
        policy=policy,
        durability="process",
        secret=SECRET,
    )
    return Opened(cache.get, cache.set, cache.values, cache.close)


def _diskcache(policy: str) -> Callable[[str, Bound], Opened]:
    import diskcache  # only where it is asked for

    class Counted(diskcache.Cache):  # type: ignore[misc]  # it has no types
        """Bounded by its entries: what `size_limit` is compared with is their number."""

        def volume(self) -> int:
            """Return how many entries there are."""
            return len(self)

    def opened(directory: str, bound: Bound) -> Opened:
        path = os.path.join(directory, "cache")
        if bound.entries is not None:
            # It evicts within a set, when the volume has come to the limit: one at a time keeps
            # exactly so many.
            limits = {"size_limit": bound.entries + 1, "cull_limit": 1}
            cache = Counted(path, eviction_policy=policy, **limits)
        else:
            cache = diskcache.Cache(path, eviction_policy=policy, size_limit=bound.size_bytes)
        return Opened(cache.get, cache.set, lambda: (cache[key] for key in cache), cache.close)

    return opened
