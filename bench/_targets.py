"""The ratios that were asked for, and whether they are met.

Knows: which rows are compared. Must not know: how they were measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bench._statistics import Ratio, ratio

__all__ = ["TARGETS", "Judged", "Target", "bounds", "judge", "row_ratio"]


@dataclass(frozen=True, slots=True)
class Target:
    """`numerator` must take at most, or at least, `asked` times as long as `denominator`.

    What counts is `series` of both rows, by default the medians of the rounds. Without a
    `denominator` it is that of the row itself, in units of `unit`.
    """

    workload: str
    numerator: str
    denominator: str | None
    at_most: bool
    asked: float
    words: str
    baseline: str | None = None
    series: str | None = None
    unit: float = 1.0


TARGETS: Final = (
    Target("get_hit", "objcache-process", "limit-process", True, 2.5, "get hit: times the limit"),
    Target(
        "get_hit", "diskcache", "objcache-process", False, 3.0, "get hit: faster than diskcache"
    ),
    Target(
        "get_miss", "diskcache", "objcache-process", False, 5.0, "get miss: faster than diskcache"
    ),
    Target("set", "objcache-process", "limit-process", True, 1.6, "set: times the limit"),
    Target("set", "diskcache", "objcache-process", False, 6.0, "set: faster than diskcache"),
    Target(
        "batch", "objcache-process", "limit-process", True, 2.5, "batch of 100: times the limit"
    ),
    Target(
        "set",
        "objcache-checkpoint",
        "objcache-process",
        True,
        3.2,
        "set of `objcache-checkpoint`: times `objcache-process`",
    ),
    Target(
        "set",
        "diskcache",
        "objcache-checkpoint",
        False,
        2.5,
        "set of `objcache-checkpoint`: faster than diskcache",
    ),
    Target(
        "transaction",
        "objcache-checkpoint",
        "objcache-process",
        True,
        1.8,
        "transaction of 10 of `objcache-checkpoint`: times `objcache-process`",
    ),
    Target(
        "transaction",
        "diskcache",
        "objcache-checkpoint",
        False,
        5.0,
        "transaction of 10 of `objcache-checkpoint`: faster than diskcache",
    ),
    Target(
        "commits_1",
        "sqlite-full",
        "objcache-commit",
        False,
        1.0,
        "commits of 1 thread of `objcache-commit`: throughput, times `sqlite-full`",
    ),
    Target(
        "commits_16",
        "sqlite-full",
        "objcache-commit",
        False,
        4.0,
        "commits of 16 threads of `objcache-commit`: throughput, times `sqlite-full`",
    ),
    Target(
        "mix",
        "diskcache",
        "objcache-checkpoint",
        False,
        10.0,
        "mix of 8 processes, p99 of set of `objcache-checkpoint`: below diskcache",
        series="round_p99s_ns",
    ),
    Target(
        "import",
        "import objcache",
        "import lmdb, pickle",
        True,
        3.0,
        "import, timed inside the process: times `import lmdb, pickle`",
    ),
    Target(
        "import",
        "process: import objcache",
        "process: import lmdb, pickle",
        True,
        3.0,
        "import, whole process less `python -c pass`: times `import lmdb, pickle`",
        baseline="process: pass",
    ),
    Target(
        "cache_get",
        "objcache-cache-process",
        "objcache-process",
        True,
        1.25,
        "get hit of a cache, `objcache-cache-process`: times the store",
    ),
    Target(
        "cache_set",
        "objcache-cache-process",
        "objcache-process",
        True,
        1.4,
        "set of a cache, `objcache-cache-process`: times the store",
    ),
    Target(
        "cache_set_new",
        "objcache-cache-process",
        "objcache-process",
        True,
        1.4,
        "set of a cache, new keys, `objcache-cache-process`: times the store",
    ),
    Target(
        "cache_set",
        "diskcache",
        "objcache-cache-checkpoint",
        False,
        4.0,
        "set of `objcache-cache-checkpoint`: faster than diskcache",
    ),
    *(
        Target(
            "cache_fill",
            f"diskcache: {size}",
            f"objcache-cache-checkpoint: {size}",
            False,
            4.0,
            f"filling a cache of {size} ten times, `objcache-cache-checkpoint`: faster than diskcache",
            series="round_means_ns",
        )
        for size in ("2 MB", "20 MB")
    ),
    Target(
        "cache_fill",
        "objcache-cache-process: 20 MB",
        "objcache-cache-process: 2 MB",
        True,
        1.5,
        "p99.9 of set while filling, `objcache-cache-process`: ten times the entries, times",
        series="round_p999s_ns",
    ),
    Target(
        "cache_clear",
        "objcache-cache-process: 10,000 entries",
        "objcache-cache-process: 1,000 entries",
        True,
        3.0,
        "clear, `objcache-cache-process`: ten times the entries, times",
    ),
    *(
        Target(f"memo_{kind}", rival, "objcache-process", False, asked, words)
        for kind, rival, asked, words in (
            ("int", "diskcache", 5.0, "memo hit of an int: faster than diskcache"),
            ("int", "joblib", 25.0, "memo hit of an int: faster than joblib"),
            ("dict", "diskcache", 4.0, "memo hit of a nested dict: faster than diskcache"),
            ("dict", "joblib", 20.0, "memo hit of a nested dict: faster than joblib"),
        )
    ),
    *(
        Target(workload, "objcache-hot", "lru_cache", True, 12.0, words)
        for workload, words in (
            ("memo_loop_int", "memo hit with `hot=1000`, an int: times `lru_cache`"),
            ("memo_loop", "memo hit with `hot=1000`, a dict, copied: times `lru_cache`"),
        )
    ),
    *(
        Target(f"key_{kind}", "joblib-hash", "objcache-digest", False, asked, words)
        for kind, asked, words in (
            ("array", 6.0, "key of an array of 100 MB: faster than joblib.hash"),
            ("ints", 15.0, "key of 1,000 ints: faster than joblib.hash"),
            ("frame", 4.0, "key of a frame of 100,000 rows: faster than joblib.hash"),
        )
    ),
    *(
        Target(
            f"{kind}_{way}",
            rival,
            "objcache-process",
            False,
            asked,
            f"{words}: faster than diskcache",
        )
        for kind, way, rival, asked, words in (
            ("array", "set", "diskcache", 3.0, "set of an array of 100 MB"),
            ("array", "get", "diskcache", 1.5, "get of an array of 100 MB"),
            ("frame", "set", "diskcache", 1.5, "set of a frame of 100,000 rows"),
            ("frame", "get", "diskcache", 1.5, "get of a frame of 100,000 rows"),
        )
    ),
    *(
        Target(f"array_{way}", "objcache-process", "numpy-files", True, asked, words)
        for way, asked, words in (
            ("set", 2.5, "set of an array of 100 MB: times `numpy.save`"),
            ("get", 2.5, "get of an array of 100 MB: times `numpy.load`"),
            ("sum", 1.2, 'view of 100 MB and its sum: times `numpy.load(mmap_mode="r")`'),
        )
    ),
    Target(
        "array_view",
        "objcache-process",
        None,
        True,
        1.0,
        "view of 100 MB and one element: milliseconds",
        unit=1e6,
    ),
    Target(
        "cold",
        "objcache-process",
        None,
        True,
        1.2,
        "cold start of 16 processes: seconds until the last has its answer",
        series="round_medians_ns",
        unit=1e9,
    ),
    Target(
        "cold",
        "objcache-process",
        None,
        True,
        1.0,
        "cold start of 16 processes: how often the function ran",
        series="calls",
    ),
)


@dataclass(frozen=True, slots=True)
class Judged:
    """A target and what was measured; None where a side is absent.

    Attributes:
        target: what was asked.
        measured: the ratio at the median of single operations, or of what else the target is
            of; it decides.
        whole: the ratio of whole slices, outliers included: what throughput shows.
    """

    target: Target
    measured: Ratio | None
    whole: Ratio | None

    @property
    def met(self) -> bool | None:
        """Whether the median is within the target; None if it was not measured."""
        if self.measured is None:
            return None
        if self.target.at_most:
            return self.measured.median <= self.target.asked
        return self.measured.median >= self.target.asked


def row_ratio(
    workload: Mapping[str, Any],
    numerator: str,
    denominator: str,
    baseline: str | None = None,
    *,
    series: str = "round_medians_ns",
) -> Ratio | None:
    """Return the ratio of two rows of *workload*, or None if one is absent."""
    medians = {row["name"]: row[series] for row in workload["rows"]}
    names = [numerator, denominator] + ([baseline] if baseline else [])
    if not all(name in medians for name in names):
        return None
    return ratio(*(medians[name] for name in names))


def judge(results: Mapping[str, Any]) -> list[Judged]:
    """Return each target with what *results* say about it."""
    workloads = {workload["name"]: workload for workload in results["workloads"]}

    def measured(target: Target, series: str) -> Ratio | None:
        workload = workloads.get(target.workload)
        if workload is None:
            return None
        if target.denominator is None:
            return _own(workload, target)
        sides = (target.numerator, target.denominator, target.baseline)
        return row_ratio(workload, *sides, series=series)

    return [
        Judged(
            target,
            measured(target, target.series or "round_medians_ns"),
            measured(target, "round_means_ns"),
        )
        for target in TARGETS
    ]


def _own(workload: Mapping[str, Any], target: Target) -> Ratio | None:
    for row in workload["rows"]:
        if row["name"] == target.numerator:
            found = row[target.series or "round_medians_ns"]
            return ratio(found, [target.unit] * len(found))
    return None


def bounds(results: Mapping[str, Any]) -> list[tuple[str, Ratio]]:
    """Return how many times faster than diskcache the limit itself is, by workload."""
    found = [
        (workload["title"], row_ratio(workload, "diskcache", "limit-process"))
        for workload in results["workloads"]
        if workload["name"] in {target.workload for target in TARGETS}
    ]
    return [(title, times) for title, times in found if times is not None]
