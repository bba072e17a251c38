"""The cache of objcache.

Knows: the public API of objcache. Must not know: anything below it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import objcache
from bench._inputs import SECRET
from bench.engines._engine import BOUNDED, CACHE, Engine, Handle, Loss

__all__ = ["ENGINES"]

_DEFAULT_LIMIT_BYTES: Final = 1 << 30


def _open(durability: str, directory: str, limit_bytes: int = _DEFAULT_LIMIT_BYTES) -> Handle:
    cache = objcache.Cache(
        os.path.join(directory, "cache"),
        size_limit=limit_bytes,
        durability=durability,
        secret=SECRET,
    )

    def put_many_until(entries: Mapping[str, Any], seconds: float) -> None:
        cache.set_many(entries, expire=seconds)

    return Handle(
        close=cache.close,
        get=cache.__getitem__,
        find=cache.get,
        put=cache.set,
        delete=cache.__delitem__,
        put_many=cache.set_many,
        items=cache.items,
        put_many_until=put_many_until,
        expire=cache.expire,
        clear=cache.clear,
        count=cache.__len__,
    )


_DISTRIBUTIONS: Final = ("objcache", "lmdb", "blake3")
_SAME_CODE: Final = "it runs the code of objcache-cache-process"

ENGINES = (
    Engine(
        name="objcache-cache-process",
        distributions=_DISTRIBUTIONS,
        settings='`objcache.Cache(path, durability="process", secret=...)`, eviction on (`gate`); '
        "every record is signed and verified.",
        killed="nothing",
        power_cut="may lose everything",
        loss=Loss.EVERYTHING,
        faster_because="",
        open=partial(_open, "process"),
        open_bounded=partial(_open, "process"),
        offers=frozenset({CACHE, BOUNDED}),
    ),
    Engine(
        name="objcache-cache-checkpoint",
        distributions=_DISTRIBUTIONS,
        settings='`objcache.Cache(path, durability="checkpoint", secret=...)`: the same, with '
        "checkpoints as of objcache-checkpoint.",
        killed="nothing",
        power_cut="the commits since the last checkpoint, of a second or 64 MiB at most",
        loss=Loss.RECENT,
        faster_because=_SAME_CODE,
        open=partial(_open, "checkpoint"),
        open_bounded=partial(_open, "checkpoint"),
        offers=frozenset({CACHE, BOUNDED}),
    ),
)
