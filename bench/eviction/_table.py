"""Results as rows of tables, and on the terminal.

Knows: results. Must not know: how they were measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from statistics import geometric_mean
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.table import Table

__all__ = [
    "BYTES",
    "EXACT",
    "OBJECTS",
    "Comparison",
    "comparisons",
    "losses",
    "means",
    "names_of",
    "print_tables",
]

EXACT: Final = "exact lru"
OBJECTS: Final = "objects"
BYTES: Final = "bytes"
_OURS: Final = "objcache gate"
_WIDTH: Final = 200


class Comparison(NamedTuple):
    """One trace at one size.

    Attributes:
        trace: its name.
        requests: how many of it were replayed.
        share: the part of the distinct keys, or of their bytes, that fits.
        limit: so many entries, or bytes.
        ratios: hits by requests, or by requested bytes; by row.
        rows: all that is known, by row.
    """

    trace: str
    requests: int
    share: float
    limit: int
    ratios: dict[str, float]
    rows: dict[str, Mapping[str, Any]]

    def times(self, row: str, reference: str = EXACT) -> float | None:
        """Return how many times as many hits *row* has as *reference*; None without any."""
        if row not in self.ratios or not self.ratios.get(reference):
            return None
        return self.ratios[row] / self.ratios[reference]


def comparisons(part: Mapping[str, Any], kind: str) -> list[Comparison]:
    """Return the comparisons of a *part* of the results: of `OBJECTS` or `BYTES`, by size."""
    found = [
        Comparison(
            trace["name"],
            trace["requests"],
            run["share"],
            run["limit"],
            {row["name"]: _ratio(row, trace, kind) for row in run["rows"]},
            {row["name"]: row for row in run["rows"]},
        )
        for trace in part["traces"]
        for run in trace[kind]
    ]
    return sorted(found, key=lambda each: (each.share, each.trace))


def _ratio(row: Mapping[str, Any], trace: Mapping[str, Any], kind: str) -> float:
    if kind == OBJECTS:
        return float(row["hits"] / trace["requests"])
    return float(row["hit_bytes"] / trace["requested_bytes"])


def names_of(compared: Iterable[Comparison]) -> list[str]:
    """Return the rows that occur, in their order."""
    return list(dict.fromkeys(name for each in compared for name in each.ratios))


def means(compared: Iterable[Comparison], reference: str = EXACT) -> dict[str, float]:
    """Return the geometric mean of the ratios to *reference*, by row, where all are above 0."""
    compared = list(compared)
    found = {}
    for name in names_of(compared):
        times = [each.times(name, reference) for each in compared]
        above = [each for each in times if each]
        if above and len(above) == len(times):
            found[name] = geometric_mean(above)
    return found


def print_tables(results: Mapping[str, Any]) -> None:
    """Print hit ratios, and where objcache has fewer hits than others."""
    console = Console(width=_WIDTH)
    for part in results["parts"]:
        for kind in (OBJECTS, BYTES):
            compared = comparisons(part, kind)
            if compared:
                console.print(_table(f"{part['name']}: hit ratios, {kind}", compared))
    for line in losses(results):
        console.print(line, highlight=False)


def _table(title: str, compared: list[Comparison]) -> Table:
    names = names_of(compared)
    table = Table("trace", "held", title=title)
    for name in names:
        table.add_column(name, justify="right")
    for each in compared:
        cells = (f"{each.ratios[name]:.3f}" if name in each.ratios else "-" for name in names)
        table.add_row(each.trace, f"{each.share:.1%} {each.limit:,}", *cells)
    found = means(compared)
    cells = (f"{found[name]:.2f}" if name in found else "-" for name in names)
    table.add_row("mean of the ratio", f"to {EXACT}", *cells, style="bold")
    return table


def losses(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each row with more hits than objcache's default policy."""
    for part in results["parts"]:
        for kind in (OBJECTS, BYTES):
            for each in comparisons(part, kind):
                for name in each.ratios:
                    times = each.times(_OURS, name)
                    if name != "clairvoyant" and times is not None and times < 1:
                        yield (
                            f"{each.trace}, {each.requests:,} requests, {each.share:.0%} of the "
                            f"{'keys' if kind == OBJECTS else 'bytes'}: `{_OURS}` "
                            f"{each.ratios[_OURS]:.3f}, `{name}` {each.ratios[name]:.3f}, "
                            f"{times:.3f} of it"
                        )
