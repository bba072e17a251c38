"""functools.lru_cache: what a hit costs that never leaves the process.

Knows: functools. Must not know: other engines.
"""

from __future__ import annotations

from functools import lru_cache

from bench.engines._engine import MEMOIZE, Engine, Handle, Loss

__all__ = ["ENGINES"]


def _open(_directory: str) -> Handle:
    return Handle(close=lambda: None, memoize=lru_cache(maxsize=None))


ENGINES = (
    Engine(
        name="lru_cache",
        distributions=(),
        settings="`functools.lru_cache(maxsize=None)`: in memory, of one process; arguments must "
        "be hashable, so it takes no dict.",
        killed="everything",
        power_cut="everything",
        loss=Loss.EVERYTHING,
        faster_because="it returns the one object that is in memory, without a copy, a key that "
        "other processes understand, or a disk",
        open=_open,
        offers=frozenset({MEMOIZE}),
    ),
)
