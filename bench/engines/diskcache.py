"""diskcache with its default settings.

Knows: diskcache. Must not know: other engines.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import diskcache

from bench.engines._engine import (
    ARRAYS,
    BOUNDED,
    CACHE,
    DISK,
    FRAMES,
    MAPPING,
    MEMOIZE,
    MEMOIZE_DICT,
    PROCESSES,
    SHARED,
    THREADS,
    TRANSACTION,
    Engine,
    Handle,
    Loss,
)

__all__ = ["ENGINES"]


def _open(directory: str) -> Handle:
    return _handle(diskcache.Cache(os.path.join(directory, "cache")))


def _open_bounded(directory: str, limit_bytes: int) -> Handle:
    return _handle(diskcache.Cache(os.path.join(directory, "cache"), size_limit=limit_bytes))


def _handle(cache: Any) -> Handle:
    def put_many(entries: Mapping[str, Any]) -> None:
        with cache.transact():
            for key, value in entries.items():
                cache[key] = value

    def put_many_until(entries: Mapping[str, Any], seconds: float) -> None:
        with cache.transact():
            for key, value in entries.items():
                cache.set(key, value, expire=seconds)

    def items() -> Iterator[tuple[str, Any]]:
        for key in cache:  # a Cache has no items()
            yield key, cache[key]

    return Handle(
        close=cache.close,
        get=cache.__getitem__,
        find=cache.get,
        put=cache.__setitem__,
        delete=cache.__delitem__,
        put_many=put_many,
        put_each=put_many,
        items=items,
        memoize=cache.memoize(),
        put_many_until=put_many_until,
        expire=cache.expire,
        clear=cache.clear,
        count=cache.__len__,
    )


ENGINES = (
    Engine(
        name="diskcache",
        distributions=("diskcache",),
        settings="`diskcache.Cache(path)` with its default settings: SQLite, write-ahead log, "
        "`synchronous=NORMAL`, eviction on; a batch is one `transact()`; iteration is "
        "`cache[key] for key in cache`, as a Cache has no `items()`.",
        killed="nothing",
        power_cut="the commits since SQLite's last checkpoint",
        loss=Loss.RECENT,
        faster_because="SQLite appends to a log and flushes at its checkpoints only; nothing compares "
        "digests of what is read, which is most of the time of reading a frame",
        open=_open,
        open_bounded=_open_bounded,
        offers=frozenset(
            {MAPPING, TRANSACTION, THREADS, PROCESSES, DISK, MEMOIZE, MEMOIZE_DICT, SHARED}
            | {CACHE, BOUNDED, ARRAYS, FRAMES}
        ),
    ),
)
