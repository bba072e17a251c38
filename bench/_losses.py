"""Where objcache is slower than another engine.

Knows: rows and their durability. Must not know: pages.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bench._statistics import Ratio
from bench._targets import row_ratio

__all__ = ["Loss", "losses"]

_OURS: Final = "objcache-"
_DURABLE: Final = ("objcache-commit", "objcache-checkpoint", "objcache-cache-checkpoint")
_HOT: Final = "objcache-hot"


@dataclass(frozen=True, slots=True)
class Loss:
    """One engine that is faster than one of ours.

    Attributes:
        title: of the workload.
        ours: our row.
        theirs: the faster row.
        times: how much longer we take, at the median.
        p99_times: the same at the 99th percentile.
        promise: whether the other side promises less, as much or more after a power cut.
        because: the reason.
    """

    title: str
    ours: str
    theirs: str
    times: Ratio
    p99_times: float
    promise: str
    because: str


def losses(results: Mapping[str, Any]) -> Iterator[Loss]:
    """Yield a loss for each row that is faster than ours at the median or the 99th percentile.

    Reads do not depend on the durability, nor writes on what is kept in memory: there, those of
    our rows are not compared.
    """
    engines = {engine["name"]: engine for engine in results["engines"]}
    for workload in results["workloads"]:
        rows = {row["name"]: row for row in workload["rows"] if _engine(row) in engines}
        for ours, theirs in itertools.product(rows, rows):
            if rows[ours].get("scale") != rows[theirs].get("scale"):
                continue
            if ours.startswith(_OURS) and not theirs.startswith(_OURS):
                times = row_ratio(workload, ours, theirs)
                if times is None or ours.startswith(_HOT if workload["writes"] else _DURABLE):
                    continue
                p99_times = rows[ours]["p99_ns"] / rows[theirs]["p99_ns"]
                if times.median > 1 or p99_times > 1:
                    yield Loss(
                        workload["title"],
                        ours,
                        theirs,
                        times,
                        p99_times,
                        _promise(*(engines[_engine(rows[row])]["loss"] for row in (ours, theirs))),
                        engines[_engine(rows[theirs])]["faster_because"],
                    )


def _engine(row: Mapping[str, Any]) -> str:
    name: str = row.get("engine", row["name"])
    return name


def _promise(ours: int, theirs: int) -> str:
    if theirs == ours:
        return "as much"
    return "less" if theirs > ours else "more"
