"""objcache, with and without a flush of every commit.

Knows: the public API of objcache. Must not know: anything below it.
"""

from __future__ import annotations

import os
from functools import partial

import objcache
from bench._inputs import SECRET
from bench.engines._engine import MAPPING, MEMOIZE, MEMOIZE_DICT, Engine, Handle, Loss

__all__ = ["ENGINES"]


def _open(durability: str, directory: str) -> Handle:
    store = objcache.Store(os.path.join(directory, "store"), durability=durability, secret=SECRET)
    return Handle(
        close=store.close,
        get=store.__getitem__,
        find=store.get,
        put=store.__setitem__,
        delete=store.__delitem__,
        put_many=store.set_many,
        items=store.items,
        memoize=store.memoize,
    )


_OFFERS = frozenset({MAPPING, MEMOIZE, MEMOIZE_DICT})

ENGINES = (
    Engine(
        name="objcache-process",
        distributions=("objcache", "lmdb", "blake3"),
        settings='`objcache.Store(path, durability="process", secret=...)`; every record is signed '
        "and verified.",
        killed="nothing",
        power_cut="may lose everything",
        loss=Loss.EVERYTHING,
        faster_because="",
        open=partial(_open, "process"),
        offers=_OFFERS,
    ),
    Engine(
        name="objcache-commit",
        distributions=("objcache", "lmdb", "blake3"),
        settings='`objcache.Store(path, durability="commit", secret=...)`; every commit is flushed '
        "to the disk.",
        killed="nothing",
        power_cut="nothing",
        loss=Loss.NOTHING,
        faster_because="it runs the code of objcache-process",
        open=partial(_open, "commit"),
        offers=_OFFERS,
        slow={"set": 5, "delete": 5},
    ),
)
