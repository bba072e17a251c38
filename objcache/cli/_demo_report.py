"""What the demo shows.

Knows: the terminal. Must not know: how anything was computed or stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from objcache.cli._screen import counted
from objcache.cli._survey import Survey

__all__ = ["FirstRun", "Report", "Run", "show_report"]

_BAR_WIDTH: Final = 20
_SHOWN_NAMES: Final = 5
_SHOWN_COPIES: Final = 3


class Run(NamedTuple):
    """What this run has measured.

    Attributes:
        seconds: all of it, reading the source files included.
        computed: answers that were computed (and stored).
        computing_seconds: what these took.
        read: answers that came from disk.
        reading_seconds: what these took.
        survey_read: whether the survey over all files came from disk as well.
    """

    seconds: float
    computed: int
    computing_seconds: float
    read: int
    reading_seconds: float
    survey_read: bool


class FirstRun(NamedTuple):
    """What computing has cost when nothing was stored yet; kept in the store.

    Attributes:
        date: when it began, seconds since the epoch.
        runs: one, or more if it was interrupted or had a limit.
        computed: answers.
        seconds: all of these runs.
        computing_seconds: of these, for computing and storing the answers.
        interrupted: whether there are answers left to compute.
    """

    date: float
    runs: int = 0
    computed: int = 0
    seconds: float = 0.0
    computing_seconds: float = 0.0
    interrupted: bool = False


class Report(NamedTuple):
    """All there is to tell about a run."""

    root: str
    files: int
    skipped: tuple[tuple[str, str], ...]
    survey: Survey
    run: Run
    first_run: FirstRun | None
    store_path: str
    store_bytes: int


def show_report(output: Console, report: Report) -> None:
    """Print *report*: first what was found, then what it has cost."""
    _show_size(output, report)
    _show_functions(output, report.survey)
    _show_imports(output, report.survey)
    _show_copies(output, report.survey)
    _show_cost(output, report)


def _show_size(output: Console, report: Report) -> None:
    found = report.survey
    output.print(report.root, style="bold")
    sizes = (
        counted(report.files, "file"),
        counted(found.lines, "line"),
        counted(found.functions, "function"),
        counted(found.classes, "class", "classes"),
    )
    output.print(", ".join(sizes))
    if report.skipped:
        kinds = Counter(reason.partition(":")[0] for _, reason in report.skipped)
        reasons = ", ".join(f"{kind} {count:,}" for kind, count in sorted(kinds.items()))
        name, reason = report.skipped[0]
        output.print(f"{counted(len(report.skipped), 'file')} skipped: {reasons}")
        output.print(f"  e.g. {name}: {reason}")


def _show_functions(output: Console, found: Survey) -> None:
    if not found.functions:
        return
    table = _table("most complex functions", "complexity", "depth", "lines", "volume")
    for module, function in found.most_complex:
        measures = (function.complexity, function.depth, function.lines, function.volume)
        table.add_row(f"{module}.{function.name}", *(f"{measure:,}" for measure in measures))
    output.print()
    output.print(table)
    output.print("\nfunctions by complexity")
    _bars(output, [(name, count, f"{count:,}") for name, count in found.histogram.items()])


def _show_imports(output: Console, found: Survey) -> None:
    if not found.hubs:
        return
    table = _table("most imported modules", "imported by", "reached by")
    for hub in found.hubs:
        table.add_row(hub.module, f"{hub.importers:,}", f"{hub.dependents:,}")
    output.print()
    output.print(table)
    output.print()
    if found.cycles:
        output.print(
            f"{counted(len(found.cycles), 'import cycle')} when modules are loaded, "
            f"the largest of {len(found.cycles[0])}: {_names(found.cycles[0])}"
        )
    else:
        output.print("no import cycles when modules are loaded")
    if found.late_imports:
        output.print(
            f"{counted(found.late_imports, 'import')} made later, "
            f"{found.late_imports_needed:,} of them would close a cycle"
        )
    output.print(f"longest chain of imports: {counted(len(found.chain), 'module')}")
    output.print(f"  {' > '.join(found.chain)}")


def _show_copies(output: Console, found: Survey) -> None:
    if not found.copies:
        return
    spare = sum(copies.spare_lines for copies in found.copies)
    output.print(
        f"\n{counted(len(found.copies), 'function')} found again elsewhere, at most variables "
        f"named differently: {counted(spare, 'line')} to spare, e.g."
    )
    for copies in found.copies[:_SHOWN_COPIES]:
        output.print(f"  {counted(copies.spare_lines, 'line')}: {_names(copies.functions)}")


def _show_cost(output: Console, report: Report) -> None:
    run, first = report.run, report.first_run
    total = run.computed + run.read
    output.print(
        f"\n{run.read:,} of {total:,} answers came from disk, {run.computed:,} were computed; "
        f"the survey of all files {'came from disk' if run.survey_read else 'was computed'}",
        style="bold",
    )
    output.print(f"this run: {run.seconds:,.3f} s")
    if run.computed and not run.read:
        output.print("run it again: a fresh process answers from disk")
    elif first is not None and first.computed == total:
        began = datetime.fromtimestamp(first.date, UTC).astimezone()
        parts = "" if first.runs == 1 else f" in {first.runs} runs"
        output.print(f"first run: {first.seconds:,.3f} s{parts}, begun {began:%Y-%m-%d %H:%M}")
        output.print(f"speed-up: {first.seconds / run.seconds:,.1f} times")
    _show_answers(output, run, first)
    output.print(f"{report.store_bytes / 2**20:,.1f} MiB on disk in {report.store_path}")


def _show_answers(output: Console, run: Run, first: FirstRun | None) -> None:
    """Compare what one answer takes: each number is labelled with where it was measured."""
    rows: list[tuple[str, float, str]] = []
    if run.computed:
        rows.append(_per_answer("computed", run.computing_seconds, run.computed, "this run"))
    elif first is not None:
        rows.append(
            _per_answer("computed", first.computing_seconds, first.computed, "the first run")
        )
    if run.read:
        rows.append(_per_answer("from disk", run.reading_seconds, run.read, "this run"))
    output.print("time of one answer (computed and stored, or read), on average")
    _bars(output, rows)


def _per_answer(name: str, seconds: float, answers: int, where: str) -> tuple[str, float, str]:
    milliseconds = seconds / answers * 1000
    shown = f"{milliseconds:,.3f} ms ({seconds:,.3f} s for {answers:,}, {where})"
    return name, milliseconds, shown


def _table(name: str, *measures: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(name, overflow="fold")
    for measure in measures:
        table.add_column(measure, justify="right")
    return table


def _bars(output: Console, rows: Sequence[tuple[str, float, str]]) -> None:
    unicode = output.encoding.startswith("utf")
    full, sliver = ("█", "▏") if unicode else ("#", "|")
    largest = max(value for _, value, _ in rows) or 1
    width = max(len(name) for name, _, _ in rows)
    for name, value, shown in rows:
        bar = full * round(value / largest * _BAR_WIDTH) or (sliver if value else "")
        output.print(Text.assemble(f"  {name:>{width}} ", (bar, "cyan"), f" {shown}"))


def _names(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN_NAMES
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {more:,} more" if more > 0 else "")
