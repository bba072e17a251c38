"""The page: results as Markdown.

Knows: results. Must not know: how they were measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Final

from bench._losses import Loss, losses
from bench._statistics import Ratio
from bench._targets import Judged, bounds, judge, row_ratio

__all__ = ["page", "readable_bytes", "readable_ns", "readable_ratio", "verdict"]

_TRAFFIC: Final = {
    "given per commit": "given_bytes",
    "written per commit": "written_bytes",
    "others, per second": "others_bytes",
    "growth per commit": "grown_bytes",
    "files at the end": "file_bytes",
}
_METHOD: Final = (
    (
        "All engines of a workload are open at the same time, in one process. They take turns: a "
        "round is one slice of operations of each engine, in an order that is drawn anew, with the "
        "same keys for all of them."
    ),
    "The first round is not recorded. Its keys, as those of all rounds, follow from the seed.",
    (
        "Each operation is timed alone with `time.perf_counter_ns`, called through a bound method; "
        "nothing is subtracted. The garbage collector is off inside a slice."
    ),
    (
        "A ratio is taken within a round, between the medians of two slices; the table gives the "
        "median of these ratios and, in brackets, between what 80 % of them lie."
    ),
    "Percentiles are over all operations of all rounds.",
    (
        "Each engine has a directory of its own on the same disk. In workloads that write, `sync` "
        "flushes the whole system before each round, so that no engine's flush writes what another "
        "left behind."
    ),
    "Rows that flush each commit have shorter slices, and so fewer operations.",
    (
        "The limit uses the fastest spelling that lmdb allows, and the same pickle protocol. No "
        "engine has features turned off."
    ),
    (
        "Before an engine is timed it is checked: values come back equal, absent keys are absent, "
        "iteration finds every entry, and a memoized call returns the stored result."
    ),
)


def page(results: Mapping[str, Any], plot: str) -> str:
    """Return the page.

    Args:
        results: of one run.
        plot: file name of the picture beside the page.
    """
    parts = (
        _opening(results),
        _limits(results),
        _targets(results),
        _lost(list(losses(results))),
        f"## At a glance\n\n![Median, and line to the 99th percentile, by workload]({plot})\n",
        _workloads(results),
        _sizes(results),
        _circumstances(results),
        _engines(results),
        "## Method\n\n" + _bullets(_METHOD),
    )
    return "\n".join(part for part in parts if part)


def readable_ns(nanoseconds: float) -> str:
    """Return a duration with three digits and its unit."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{_three_digits(nanoseconds / size)} {unit}"
    return f"{nanoseconds:.0f} ns"


def readable_bytes(size: float) -> str:
    """Return a size with three digits and its unit."""
    for unit, bytes_ in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(size) >= bytes_:
            return f"{_three_digits(size / bytes_)} {unit}"
    return f"{size:.0f} B"


def readable_ratio(measured: Ratio) -> str:
    """Return a ratio with its spread."""
    low, high = _three_digits(measured.p10), _three_digits(measured.p90)
    return f"{_three_digits(measured.median)} [{low} to {high}]"


def verdict(judged: Judged) -> str:
    """Return whether a target is met, in a word."""
    return {True: "met", False: "MISSED", None: "not measured"}[judged.met]


def _three_digits(number: float) -> str:
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"


def _bullets(lines: Iterable[str]) -> str:
    return "".join(f"- {line}\n" for line in lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    rule = ["---" if column < left else "---:" for column in range(len(head))]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *rows))


def _opening(results: Mapping[str, Any]) -> str:
    scope = {
        "full": "",
        "quick": "This was a **quick run**: few rounds; the numbers are rough.\n",
        "partial": "This was a **partial run**: not all engines or workloads took part.\n",
    }[results["scope"]]
    return (
        "<!-- Written by `python -m bench --docs`; changes made by hand are lost. -->\n\n"
        "# Benchmarks\n\n"
        f"One run of `python -m bench --docs` on {results['date']}, {results['rounds']} rounds, "
        f"seed {results['seed']}.\n{scope}"
    )


def _limits(results: Mapping[str, Any]) -> str:
    lines = [
        "Compare ratios, not times: another machine has other times.",
        (
            "**Rows with different durability do not do the same work.** `objcache-process` and "
            "`limit-process` never flush: a power cut may cost them everything. diskcache and "
            "`objcache-checkpoint` flush at their checkpoints, `sqlite-full` and the rows called "
            "commit every time. Each table says so beside each row; a write that wins while it "
            "promises less has won nothing."
        ),
        (
            "One process, one thread, one writer, but for the commits of several threads, the mix "
            "of 8 processes and the cold start."
        ),
        (
            "10,000 entries of about 190 bytes, all of them in memory after the first touch; large "
            "values are one array of 100 MB and one frame of 7 MB, whose files are in the system's "
            "cache. Nothing tells about large stores, or a cold disk."
        ),
        (
            "Flushes go to the disk of this machine, through whatever is between: a virtual disk may "
            "acknowledge a flush much sooner than a real one."
        ),
        (
            f"An operation that does nothing measures as {readable_ns(results['timer_ns'])}; it is part "
            "of every number. Rows below five times that are mostly the timer, and the ratio of two "
            "small rows is nearer to 1 than it should be."
        ),
        (
            "A 99th percentile of a row with few operations is close to its maximum; the tables give "
            "the number of operations."
        ),
        (
            "Threads of rocksdict, sqlitedict and `objcache-checkpoint` may work during the slices "
            "of others; in the mix and in the disk traffic one engine is open at a time. A slice of "
            "*set* is shorter than the time between two checkpoints: the median is of commits "
            "between them, the disk traffic shows both."
        ),
        *_noise(results),
    ]
    return f"## What not to conclude\n\n{_bullets(lines)}"


def _noise(results: Mapping[str, Any]) -> Iterator[str]:
    """Say how far apart two rows are that run the same code."""
    for workload in results["workloads"]:
        found = row_ratio(workload, "limit-commit", "limit-process")
        if workload["name"] == "get_hit" and found is not None:
            yield (
                "In reads, `limit-process` and `limit-commit` run the same code. Their ratio in "
                f"{workload['title']} was {readable_ratio(found)}: smaller differences are noise."
            )


def _targets(results: Mapping[str, Any]) -> str:
    rows = [
        (
            each.target.words,
            f"{'≤' if each.target.at_most else '≥'} {each.target.asked:g}",
            readable_ratio(each.measured) if each.measured else "-",
            verdict(each),
            readable_ratio(each.whole) if each.whole else "-",
        )
        for each in judge(results)
    ]
    limits = "; ".join(f"{title} {readable_ratio(times)}" for title, times in bounds(results))
    return (
        "## What was asked\n\n"
        "All of `objcache-process`, where no other row is named. The limit has the same durability; diskcache promises more "
        "after a power cut than `objcache-process`, which matters for *set*.\n"
        "*Measured* is at the median of single operations, or at the 99th percentile where that is "
        "named, and decides; *whole slices* are the times of all operations of a round together, "
        "with their outliers.\n\n"
        + _table(("target", "asked", "measured", "result", "whole slices"), rows)
        + (
            f"\nHow many times faster than diskcache the limit itself is: {limits}. A library that "
            "signs its records cannot be faster than LMDB and pickle with nothing around them.\n"
            if limits
            else ""
        )
    )


def _lost(found: Sequence[Loss]) -> str:
    if not found:
        return "## Where objcache loses\n\nIn no row of this run.\n"
    rows = [
        (
            loss.title,
            f"`{loss.ours}`",
            f"`{loss.theirs}`",
            readable_ratio(loss.times),
            _three_digits(loss.p99_times),
            loss.promise,
        )
        for loss in found
    ]
    reasons = {f"`{loss.theirs}`": loss.because for loss in found}
    return (
        "## Where objcache loses\n\n"
        "How many times longer objcache takes, wherever another row is faster at the median or at "
        "the 99th percentile. The last column says whether that row promises less, as much or more "
        "after a power cut.\n\n"
        + _table(
            ("workload", "row", "faster", "median", "99th percentile", "it promises"), rows, left=3
        )
        + "\nWhy they are faster:\n\n"
        + _bullets(f"{name}: {because}." for name, because in reasons.items())
    )


def _workloads(results: Mapping[str, Any]) -> str:
    engines = {engine["name"]: engine for engine in results["engines"]}
    return "\n".join(_workload(workload, engines) for workload in results["workloads"])


def _workload(workload: Mapping[str, Any], engines: Mapping[str, Any]) -> str:
    durable, reference = workload["keeps"], workload["reference"]
    counted = any("calls" in row for row in workload["rows"])
    bounded = any("held" in row for row in workload["rows"])
    head = ["", "median", "p90", "p99", "max", "per second"]
    head += [f"times `{reference}`"] if reference else []
    head += ["operations"]
    head += ["a killed process loses", "a power cut loses"] if durable else []
    head += ["calls of the function"] if counted else []
    traffic = any("written_bytes" in row for row in workload["rows"])
    head += list(_TRAFFIC) if traffic else []
    head += ["p99.9", "entries held"] if bounded else []
    rows = []
    for row in workload["rows"]:
        cells = [f"`{row['name']}`"]
        cells += [readable_ns(row[f"{name}_ns"]) for name in ("median", "p90", "p99", "max")]
        cells.append(_three_digits(1e9 / row["mean_ns"]))
        if reference:
            times = row_ratio(workload, row["name"], reference)
            cells.append(readable_ratio(times) if times else "-")
        cells.append(f"{row['operations']:,}")
        if durable:
            engine = engines[row.get("engine", row["name"])]
            cells += [engine["killed"], engine["power_cut"]]
        if counted:
            cells.append(", ".join(map(str, sorted(set(row["calls"])))))
        if traffic:
            cells += [readable_bytes(median(row[name])) for name in _TRAFFIC.values()]
        if bounded:
            cells += [readable_ns(median(row["round_p999s_ns"])), f"{median(row['held']):,.0f}"]
        rows.append(cells)
    table = _table(head, rows)
    title = workload["title"]
    heading = f"{title[0].upper()}{title[1:]}"  # not `capitalize`: there are MB in titles
    return f"## {heading}\n\n{workload['question']}\n\n{table}{_others(workload)}"


def _others(workload: Mapping[str, Any]) -> str:
    """Return a table of each other kind of operation that was timed with those of the rows."""
    kinds = dict.fromkeys(kind for row in workload["rows"] for kind in row.get("others", ()))
    columns = ("median", "p90", "p99", "max")
    tables = [
        (
            kind,
            [
                (
                    f"`{row['name']}`",
                    *(readable_ns(row["others"][kind][f"{column}_ns"]) for column in columns),
                    f"{row['others'][kind]['operations']:,}",
                )
                for row in workload["rows"]
                if kind in row["others"]
            ],
        )
        for kind in kinds
    ]
    return "".join(
        f"\n{kind.capitalize()}:\n\n{_table(('', *columns, 'operations'), rows)}"
        for kind, rows in tables
    )


def _sizes(results: Mapping[str, Any]) -> str:
    rows = [
        (f"`{row['name']}`", f"{row['disk_bytes'] / 1e6:.2f} MB")
        for workload in results["workloads"]
        for row in workload["rows"]
        if "disk_bytes" in row
    ]
    if not rows:
        return ""
    return (
        "## Size on disk\n\nOf the 10,000 entries, after the store was filled and closed.\n\n"
        + _table(("", "size"), rows)
    )


def _circumstances(results: Mapping[str, Any]) -> str:
    facts = {**results["machine"], **results["versions"]}
    load = results["load_average"]
    facts["load average"] = f"{load['before']} before the run, {load['after']} after it"
    facts["timer"] = f"{readable_ns(results['timer_ns'])} for an operation that does nothing"
    return "## Machine and versions\n\n" + _table(("", ""), facts.items(), left=2)


def _engines(results: Mapping[str, Any]) -> str:
    lines = [f"`{engine['name']}`: {engine['settings']}" for engine in results["engines"]]
    lines += [f"`{name}`: left out. {why}." for name, why in results["absent"].items()]
    return "## Engines\n\n" + _bullets(lines)
