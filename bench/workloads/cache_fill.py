"""How long does a set take while a full cache makes room?"""

from __future__ import annotations

import random
from typing import Any, ClassVar, Final

from bench._inputs import SEED, VALUES
from bench._statistics import p999
from bench._timing import time_pairs
from bench.engines import Engine
from bench.workloads._bounded import Bounded

__all__ = ["WORKLOADS", "CacheFill"]

_TIMES: Final = 10
_VALUE_BYTES: Final = 1000
_BODY_BYTES: Final = 800
_BODY: Final = random.Random(SEED).randbytes(_BODY_BYTES)


class CacheFill(Bounded):
    """`cache.set(key, value)` of new keys, until ten times the limit was stored."""

    name = "cache_fill"
    title = "set while filling a cache"
    question = (
        f"An empty cache with a limit of its size on disk is given {_TIMES} times as much, in new "
        f"keys with values of about {_VALUE_BYTES:,} bytes, one `cache.set(key, value)` after the "
        "other, so that for nine tenths of the time something has to go. Both with their default "
        "policies: what was stored least recently of diskcache, `gate` of objcache. *Entries held* "
        "is how many there are at the end. Where no pause grows with the number of entries, the "
        "rows of both limits have the same tails."
    )
    scales: ClassVar = {"2 MB": 2_000_000, "20 MB": 20_000_000}
    fewer = 20

    def measured(
        self, engine: Engine, directory: str, scale: int, facts: dict[str, Any]
    ) -> list[int]:
        """Fill a cache of *scale* bytes; count what it holds."""
        handle = engine.open_bounded(directory, scale)
        try:
            sets = range(_TIMES * scale // _VALUE_BYTES)
            taken = time_pairs(
                handle.put,
                ((f"page/{each:08d}", [VALUES[each % len(VALUES)], _BODY]) for each in sets),
            )
            newest = f"page/{sets[-1]:08d}"
            assert handle.find(newest) == [VALUES[sets[-1] % len(VALUES)], _BODY], (
                "a write was lost"
            )
            facts.setdefault("held", []).append(handle.count())
        finally:
            handle.close()
        facts.setdefault("round_p999s_ns", []).append(p999(taken))
        return taken


WORKLOADS = (CacheFill(),)
