"""The page: results as Markdown.

Knows: results. Must not know: how they were measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from bench.eviction._table import (
    BYTES,
    EXACT,
    OBJECTS,
    Comparison,
    comparisons,
    losses,
    means,
    names_of,
)

__all__ = ["page"]

_OURS: Final = "objcache gate"
_STORED: Final = "diskcache least-recently-stored"
_USED: Final = "diskcache least-recently-used"
_OLDEST: Final = "objcache fifo"
_AS_HELD: Final = "exact lru, values as held"
_FILES: Final = ("objcache ", "diskcache ")

_METHOD: Final = (
    (
        "Each request of a trace is `cache.get(key)`; a miss is followed by `cache.set(key, "
        "value)`. First accesses count as misses. Every value that is found is compared with what "
        "was stored under its key."
    ),
    (
        'objcache: `Cache(path, max_entries=N, size_limit=None, policy=..., durability="process")` '
        "for objects, and `Cache(path, size_limit=BYTES, ...)` for bytes; one process, one thread, "
        "a transaction for each set."
    ),
    (
        "*exact lru* and *clairvoyant* are simulated in memory, in the same run. The clairvoyant "
        "evicts what will be asked for last, and may refuse what it is given: no cache of as many "
        "entries has more hits. Where sizes differ that is no bound."
    ),
    (
        "diskcache has a bound of its size only. For objects its `volume()`, which it compares "
        "with `size_limit`, returns the number of entries, and `cull_limit` is 1: so it holds as "
        "many entries as the others, as counted at the end. Queries and statements are its own. "
        "For bytes it is `diskcache.Cache(path, size_limit=BYTES, eviction_policy=...)`."
    ),
    (
        "diskcache replays the first requests of each trace only, in a part of its own, as it would "
        "take hours for all; the others replay the same requests again, with caches that hold the same part "
        "of the keys that occur in them."
    ),
    (
        "For bytes all are given one limit, which the simulators fill with values. objcache counts "
        "pages of its data file; marks, counts and locks lie beside it. diskcache counts its "
        "database and its files, not the log. *values as held* is LRU with as many bytes of values "
        "as `objcache gate` held at the end. A set that found no room is counted as refused, and "
        "the replay goes on."
    ),
)

_GLANCE: Final = """## At a glance

Hits as a part of those of the clairvoyant, where the caches hold so many of the distinct keys; a
mark further to the right is better.

![Hits by trace and policy]({plot})
"""


def page(results: Mapping[str, Any], plot: str) -> str:
    """Return the page.

    Args:
        results: of one run.
        plot: path of the picture from the page.
    """
    whole, *others = results["parts"]
    parts = [
        _opening(results),
        _limits(results),
        _asked(whole, others),
        _lost(results),
        _GLANCE.format(plot=plot),
        *(_part(part) for part in results["parts"]),
        _circumstances(results),
        "## Method\n\n" + _bullets((*_METHOD, *_agreement(others))),
    ]
    return "\n".join(part for part in parts if part)


def _bullets(lines: Iterable[str]) -> str:
    return "".join(f"- {line}\n" for line in lines)


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> str:
    rule = ["---" if column < left else "---:" for column in range(len(head))]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *rows))


def _opening(results: Mapping[str, Any]) -> str:
    sizes = " and ".join(f"{share:g}" for share in results["sizes"])
    requests = ", ".join(
        f"the first {part['requests']:,} requests of each trace for {part['name']}"
        if part["requests"]
        else f"whole traces for {part['name']}"
        for part in results["parts"]
    )
    return (
        "<!-- Written by `python -m bench.eviction --docs`; changes made by hand are lost. -->\n\n"
        "# Eviction\n\n"
        "Which part of the requests a full cache has an answer to: recorded accesses, replayed "
        "through `objcache.Cache` on disk, with each of its policies.\n"
        f"Run on {results['date']}; {requests}. The caches hold {sizes} times the distinct keys, "
        "or their bytes. Why it does what it does: "
        "[0014](design/decisions/0014-eviction-policy.md).\n"
    )


def _limits(results: Mapping[str, Any]) -> str:
    names = dict.fromkeys(trace["name"] for part in results["parts"] for trace in part["traces"])
    lines = [
        f"{len(names)} traces are not your load, and none of them is of a cache of Python objects.",
        (
            "The means are geometric, and weigh each trace alike. arc_p6_req, of which LRU keeps "
            "next to nothing at the smaller size, has much of them: the tables give them without "
            "it, too."
        ),
        (
            "One process reads and writes. What several lose by marks that overwrite each other is "
            "not in the numbers."
        ),
        (
            "Values cost the same to compute. `Cache.memoize` also weighs how long a result took; "
            "there is no public way to replay given costs through a cache, and so seconds saved are "
            "not measured here; 0014 has them from a simulation."
        ),
    ]
    return f"## What not to conclude\n\n{_bullets(lines)}"


def _asked(whole: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    objects = comparisons(whole, OBJECTS)
    rows = [_mean_row(objects), _worst_row("no trace below LRU", objects, EXACT, 0.9)]
    words = f"no trace below `{_OLDEST}`, which does what diskcache does by default"
    rows.append(_worst_row(words, objects, _OLDEST, 1.0))
    for part in others:
        rivals = comparisons(part, OBJECTS)
        rows += [
            _worst_row(f"no trace, of {part['name']}, below `{rival}`", rivals, rival, 1.0)
            for rival in (_STORED, _USED)
        ]
    in_bytes = comparisons(whole, BYTES)
    if in_bytes:
        rows += [
            _worst_row("bytes: no trace below LRU with the limit", in_bytes, EXACT, 1.0),
            _worst_row("bytes: no trace below LRU with as many values", in_bytes, _AS_HELD, 1.0),
        ]
    return (
        f"## What was asked\n\nOf `{_OURS}`, the default: hits, as times those of another.\n\n"
        + _rows(("target", "asked", "measured", "where", "result"), filter(None, rows), 1)
    )


def _mean_row(compared: list[Comparison]) -> Sequence[str]:
    found = means(compared).get(_OURS)
    if found is None:
        return ()
    words = "geometric mean over traces and sizes, times LRU"
    return words, "≥ 1.2", f"{found:.2f}", "-", _verdict(found >= 1.2)


def _worst_row(
    words: str, compared: list[Comparison], reference: str, asked: float
) -> Sequence[str]:
    times = [(found, each) for each in compared if (found := each.times(_OURS, reference))]
    if not times:
        return ()
    worst, where = min(times, key=lambda each: each[0])
    place = f"{where.trace}, {where.share:.0%}"
    return words, f"≥ {asked:g}", f"{worst:.3f}", place, _verdict(worst >= asked)


def _verdict(met: bool) -> str:  # noqa: FBT001  # one argument
    return "met" if met else "MISSED"


def _lost(results: Mapping[str, Any]) -> str:
    found = list(losses(results))
    words = _bullets(f"{line}." for line in found) if found else "In no row of this run.\n"
    return (
        "## Where objcache loses\n\nWherever another policy, on disk or simulated, has more hits "
        f"than `{_OURS}`; the clairvoyant aside. Two reasons are known. Where all that counts is how "
        "recently something was used, nothing is won by looking at more, and what is on probation "
        "is lost sooner. And where sizes differ, values need pages in a row: pages that are free "
        "but apart are of no use to them, so that less of the limit is filled than of diskcache's; "
        f"the tables say how much.\n\n{words}"
    )


def _part(part: Mapping[str, Any]) -> str:
    requests = part["requests"]
    cut = f"the first {requests:,} requests" if requests else "whole traces"
    found = [f"## {part['name'].capitalize()}, {cut}\n"]
    for kind in (OBJECTS, BYTES):
        compared = comparisons(part, kind)
        if compared:
            found.append(_compared(f"Hit ratios, {kind}", compared, lambda ratio: f"{ratio:.3f}"))
    in_bytes = comparisons(part, BYTES)
    if in_bytes:
        found.append(_held(in_bytes))
    return "\n".join(found)


def _compared(title: str, compared: list[Comparison], show: Callable[[float], str]) -> str:
    names = names_of(compared)
    head = ["trace", "requests", "held", *(name.replace("-", " ") for name in names)]
    rows = []
    for each in compared:
        best = max(
            (ratio for name, ratio in each.ratios.items() if name.startswith(_FILES)), default=0.0
        )
        cells = []
        for name in names:
            ratio = each.ratios.get(name)
            text = "-" if ratio is None else show(ratio)
            bold = ratio == best and name.startswith(_FILES)
            cells.append(f"**{text}**" if bold else text)
        held = f"{each.limit:,} ({each.share:.0%})"
        rows.append([each.trace, f"{each.requests:,}", held, *cells])
    rows += _mean_rows(compared, names)
    return f"{title}; in bold the most of those on disk.\n\n{_rows(head, rows, 1)}"


def _mean_rows(compared: list[Comparison], names: Sequence[str]) -> Iterator[list[str]]:
    without = [each for each in compared if each.trace != "arc_p6_req"]
    for words, chosen in (("mean of the ratio to LRU", compared), ("without arc_p6_req", without)):
        if chosen and (len(chosen) < len(compared) or chosen is compared):
            found = means(chosen)
            cells = [f"{found[name]:.2f}" if name in found else "-" for name in names]
            yield [words, "", "", *cells]


def _held(compared: list[Comparison]) -> str:
    """Return a table of what was in the limit at the end."""
    rows = [
        (
            f"{each.trace} ({each.share:.0%})",
            name,
            f"{each.limit / 1e6:.1f}",
            f"{row['file_bytes'] / 1e6:.1f}",
            f"{row['held_bytes'] / 1e6:.1f}",
            f"{row['held']:,}",
            f"{row['refused']:,}",
        )
        for each in compared
        for name, row in each.rows.items()
        if "file_bytes" in row
    ]
    head = (
        "trace",
        "",
        "limit, MB",
        "files, MB",
        "values held, MB",
        "entries held",
        "sets refused",
    )
    return f"What the limit was filled with at the end:\n\n{_rows(head, rows, 2)}"


def _agreement(others: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Say whether two caches with the same policy have the same hits."""
    found = [
        each.ratios[_OLDEST] == each.ratios[_STORED]
        for part in others
        for each in comparisons(part, OBJECTS)
        if {_OLDEST, _STORED} <= each.ratios.keys()
    ]
    if found:
        yield (
            f"`{_OLDEST}` and `{_STORED}` do the same: in {sum(found)} of {len(found)} runs for "
            "objects they have the same hits to the last one, so their bounds are the same."
        )


def _circumstances(results: Mapping[str, Any]) -> str:
    load = results["load_average"]
    facts = {
        **results["machine"],
        **results["versions"],
        "load average": f"{load['before']} before the run, {load.get('after', '-')} after it",
    }
    return "## Machine and versions\n\n" + _rows(("", ""), list(facts.items()), 2)
