"""objcache: with each durability, with results in memory, and its hash alone.

Knows: the public API of objcache. Must not know: anything below it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import objcache
from bench._inputs import SECRET
from bench.engines._engine import (
    ARRAYS,
    CACHE,
    DISK,
    FRAMES,
    HASH,
    MAPPING,
    MEMOIZE,
    MEMOIZE_DICT,
    PROCESSES,
    SHARED,
    THREADS,
    TRANSACTION,
    VIEWS,
    Engine,
    Handle,
    Loss,
)
from objcache.hashing import digest

__all__ = ["ENGINES"]

_HOT_RESULTS: Final = 1000


def _map(memoized: Any, arguments: Iterable[Any]) -> Sequence[Any]:
    found: Sequence[Any] = memoized.map(arguments)
    return found


def _open(durability: str, directory: str) -> Handle:
    store = objcache.Store(os.path.join(directory, "store"), durability=durability, secret=SECRET)

    def put_each(entries: Mapping[str, Any]) -> None:
        with store.transaction() as transaction:
            for key, value in entries.items():
                transaction[key] = value

    return Handle(
        close=store.close,
        get=store.__getitem__,
        find=store.get,
        put=store.__setitem__,
        delete=store.__delitem__,
        put_many=store.set_many,
        put_each=put_each,
        items=store.items,
        memoize=store.memoize,
        map=_map,
        view=store.view,
    )


def _open_hot(copy: bool, directory: str) -> Handle:  # noqa: FBT001  # bound by partial below
    store = objcache.Store(os.path.join(directory, "store"), durability="process", secret=SECRET)
    return Handle(close=store.close, memoize=store.memoize(hot=_HOT_RESULTS, copy=copy))


def _hash(_directory: str) -> Handle:
    return Handle(close=lambda: None, hash=digest)


_DISTRIBUTIONS: Final = ("objcache", "lmdb", "blake3")
_KEEPS: Final = frozenset({MAPPING, TRANSACTION, PROCESSES, DISK})
_LARGE: Final = frozenset({ARRAYS, FRAMES, VIEWS})
_SAME_CODE: Final = "it runs the code of objcache-process"

ENGINES = (
    Engine(
        name="objcache-process",
        distributions=_DISTRIBUTIONS,
        settings='`objcache.Store(path, durability="process", secret=...)`; every record is signed '
        "and verified.",
        killed="nothing",
        power_cut="may lose everything",
        loss=Loss.EVERYTHING,
        faster_because="",
        open=partial(_open, "process"),
        offers=_KEEPS | _LARGE | {MEMOIZE, MEMOIZE_DICT, SHARED, CACHE},
    ),
    Engine(
        name="objcache-checkpoint",
        distributions=_DISTRIBUTIONS,
        settings="`objcache.Store(path, secret=...)`: the default durability. A commit is not "
        "flushed; a thread makes a checkpoint a second after the first of them, or after 64 MiB.",
        killed="nothing",
        power_cut="the commits since the last checkpoint, of a second or 64 MiB at most",
        loss=Loss.RECENT,
        faster_because=_SAME_CODE,
        open=partial(_open, "checkpoint"),
        offers=_KEEPS | _LARGE | {THREADS, MEMOIZE, MEMOIZE_DICT, CACHE},
    ),
    Engine(
        name="objcache-commit",
        distributions=_DISTRIBUTIONS,
        settings='`objcache.Store(path, durability="commit", secret=...)`; every commit is flushed '
        "to the disk.",
        killed="nothing",
        power_cut="nothing",
        loss=Loss.NOTHING,
        faster_because=_SAME_CODE,
        open=partial(_open, "commit"),
        offers=_KEEPS | {THREADS, MEMOIZE, MEMOIZE_DICT},
        slow={"set": 5, "delete": 5, "transaction": 5, "memo_miss": 5, "mix": 5},
    ),
    Engine(
        name="objcache-hot",
        distributions=_DISTRIBUTIONS,
        settings="`store.memoize(hot=1000)` of the store of objcache-process: results stay in "
        "memory as well, and each caller gets a copy of one that could be changed.",
        killed="nothing",
        power_cut="may lose everything",
        loss=Loss.EVERYTHING,
        faster_because=_SAME_CODE,
        open=partial(_open_hot, True),
        offers=frozenset({MEMOIZE, MEMOIZE_DICT}),
    ),
    Engine(
        name="objcache-hot-shared",
        distributions=_DISTRIBUTIONS,
        settings="`store.memoize(hot=1000, copy=False)`: the same, and all callers share one "
        "object, as those of `lru_cache` do.",
        killed="nothing",
        power_cut="may lose everything",
        loss=Loss.EVERYTHING,
        faster_because=_SAME_CODE,
        open=partial(_open_hot, False),
        offers=frozenset({MEMOIZE}),
    ),
    Engine(
        name="objcache-digest",
        distributions=_DISTRIBUTIONS,
        settings="`objcache.hashing.digest(value)`: BLAKE3 of the canonical form, what memoized "
        "functions do with arguments.",
        killed="nothing",
        power_cut="nothing",
        loss=Loss.NOTHING,
        faster_because=_SAME_CODE,
        open=_hash,
        offers=frozenset({HASH}),
    ),
)
