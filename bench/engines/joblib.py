"""joblib.Memory, and the hash of arguments below it: no mapping.

Knows: joblib. Must not know: other engines.
"""

from __future__ import annotations

import joblib

from bench.engines._engine import HASH, MEMOIZE, MEMOIZE_DICT, SHARED, Engine, Handle, Loss

__all__ = ["ENGINES"]


def _open(directory: str) -> Handle:
    memory = joblib.Memory(directory, verbose=0)
    return Handle(close=lambda: None, memoize=memory.cache)


def _hash(_directory: str) -> Handle:
    return Handle(close=lambda: None, hash=joblib.hash)


ENGINES = (
    Engine(
        name="joblib",
        distributions=("joblib",),
        settings="`joblib.Memory(path, verbose=0)`: one directory for each result.",
        killed="nothing",
        power_cut="the last results, until the system writes them back",
        loss=Loss.RECENT,
        faster_because="it does not sign or verify results",
        open=_open,
        offers=frozenset({MEMOIZE, MEMOIZE_DICT, SHARED}),
    ),
    Engine(
        name="joblib-hash",
        distributions=("joblib",),
        settings="`joblib.hash(value)`, md5 of a pickle: what `joblib.Memory` does with arguments.",
        killed="nothing",
        power_cut="nothing",
        loss=Loss.NOTHING,
        faster_because="it hashes the blocks of a frame as they lie in memory, so that a frame that "
        "was built otherwise has another hash; we hash column by column, and equal frames are one "
        "key",
        open=_hash,
        offers=frozenset({HASH}),
    ),
)
