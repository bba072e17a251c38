"""How long does it take to remove entries that are over?"""

from __future__ import annotations

from time import perf_counter_ns, sleep
from typing import Any, ClassVar, Final

from bench._inputs import KEYS, VALUES
from bench.engines import Engine
from bench.workloads._bounded import Bounded

__all__ = ["WORKLOADS", "CacheExpire"]

_LIMIT_BYTES: Final = 1 << 30
_LEAST_S: Final = 0.5
# Longer than any engine takes to store it: what is over sooner is removed by later writes.
_AN_ENTRY_S: Final = 0.0005


class CacheExpire(Bounded):
    """`cache.expire()`."""

    name = "cache_expire"
    title = "expire, an entry"
    question = (
        "`cache.expire()` of a cache all of whose entries are over, divided by how many they were: "
        "what one costs. Expired entries are not returned before that, and writes remove some."
    )
    scales: ClassVar = {"1,000 entries": 1000, "10,000 entries": 10_000}
    fewer = 10

    def measured(
        self,
        engine: Engine,
        directory: str,
        scale: int,
        facts: dict[str, Any],  # noqa: ARG002  # there are none
    ) -> list[int]:
        """Fill a cache, wait, and expire."""
        handle = engine.open_bounded(directory, _LIMIT_BYTES)
        try:
            lifetime_s = _LEAST_S + scale * _AN_ENTRY_S
            entries = zip(KEYS[:scale], VALUES[:scale], strict=True)
            handle.put_many_until(dict(entries), lifetime_s)
            sleep(lifetime_s)
            begun = perf_counter_ns()
            removed = handle.expire()
            taken = perf_counter_ns() - begun
            assert removed == scale, f"{removed} of {scale} entries were over"
        finally:
            handle.close()
        return [taken // removed]


WORKLOADS = (CacheExpire(),)
