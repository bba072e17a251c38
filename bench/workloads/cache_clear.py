"""How long does it take to remove everything?"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from bench._inputs import ABSENT_KEYS, KEYS, VALUES
from bench._statistics import summary
from bench._timing import time_calls, time_pairs
from bench.engines import Engine
from bench.workloads._bounded import Bounded

__all__ = ["WORKLOADS", "CacheClear"]

_LIMIT_BYTES: Final = 1 << 30
_SETS: Final = 200
_AFTER: Final = "set after clear"


class CacheClear(Bounded):
    """`cache.clear()`."""

    name = "cache_clear"
    title = "clear"
    question = (
        "`cache.clear()` of a filled cache. objcache begins another generation, and writes remove "
        "the rows of the old one a few at a time: what that costs them is in the second table, of "
        f"the {_SETS} sets that follow."
    )
    scales: ClassVar = {"1,000 entries": 1000, "10,000 entries": 10_000}
    fewer = 2

    def measured(
        self, engine: Engine, directory: str, scale: int, facts: dict[str, Any]
    ) -> list[int]:
        """Fill a cache, clear it, and store some more."""
        handle = engine.open_bounded(directory, _LIMIT_BYTES)
        try:
            handle.put_many(dict(zip(KEYS[:scale], VALUES[:scale], strict=True)))
            taken = time_calls(lambda _: handle.clear(), [None])
            assert handle.count() == 0, "an entry was left"
            later = zip(ABSENT_KEYS[:_SETS], VALUES[:_SETS], strict=True)
            facts.setdefault(_AFTER, []).extend(time_pairs(handle.put, later))
        finally:
            handle.close()
        return taken

    def ended(self, facts: dict[str, Any]) -> None:
        """Sum up what the sets that followed took."""
        facts["others"] = {_AFTER: summary(facts.pop(_AFTER))._asdict()}


WORKLOADS = (CacheClear(),)
