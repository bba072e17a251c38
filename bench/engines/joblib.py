"""joblib.Memory: a memo hit only, it is no mapping.

Knows: joblib. Must not know: other engines.
"""

from __future__ import annotations

import joblib

from bench.engines._engine import MEMOIZE, MEMOIZE_DICT, Engine, Handle, Loss

__all__ = ["ENGINES"]


def _open(directory: str) -> Handle:
    memory = joblib.Memory(directory, verbose=0)
    return Handle(close=lambda: None, memoize=memory.cache)


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
        offers=frozenset({MEMOIZE, MEMOIZE_DICT}),
    ),
)
