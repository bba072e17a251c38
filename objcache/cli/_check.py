"""`objcache check`: what is wrong with a store, and what can be saved of it.

Knows: the terminal. Must not know: how a store is checked or repaired.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from objcache.cli._options import (
    color_option,
    complete_directories,
    print_json,
    refused,
    write_options,
)
from objcache.cli._progress import counting
from objcache.cli._screen import console, counted
from objcache.errors import ObjcacheError
from objcache.store import CheckReport, Problem, Repaired, check_path, repair_store

__all__ = ["check"]

_SHOWN: Final = 50
_CLEAN: Final = 0
_PROBLEMS: Final = 1


@click.command()
@write_options
@click.option("--deep", is_flag=True, help="Also every page of the file, and more; see below.")
@click.option(
    "--repair",
    "target",
    metavar="TARGET",
    shell_complete=complete_directories,
    help="Save what can be read into a new store.",
)
@click.option(
    "--settings-from",
    metavar="COPY",
    shell_complete=complete_directories,
    help="With --repair: a copy or backup of the same store, if its settings are lost.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@color_option
def check(
    *,
    path: str,
    deep: bool,
    target: str | None,
    settings_from: str | None,
    as_json: bool,
    no_color: bool,
) -> int:
    """Say what is wrong with a store, and save what can be saved.

    Reads every record and compares signatures, keys and counters. Nothing is changed, values are
    not loaded, and other programs may go on using the store.

    With --deep also the pages that are free, the rows of memoized functions, and whether LMDB
    reads the same; LMDB runs in a process of its own for that, as damaged files can crash it.

    With --repair every record that can be read and is authentic is written to a new store in the
    empty or missing directory TARGET. The damaged store is not changed; nobody may have it open.

    Exit code: 0 all is well, 1 something is wrong or lost, 2 no store there, or not ours to read.

    Example: objcache check ./library --deep
    """
    if settings_from is not None and target is None:
        raise click.UsageError("--settings-from belongs to --repair")
    output = console(no_color=no_color)
    try:
        with counting("reading pages", no_color=no_color) as advance:
            if target is None:
                report = check_path(path, deep=deep, advance=advance)
            else:
                saved = repair_store(path, target, settings_from=settings_from, advance=advance)
    except (ObjcacheError, OSError) as error:
        return refused(error, path, as_json=as_json)
    if target is None:
        return _show_check(output, path, report, as_json=as_json)
    return _show_repair(output, path, saved, as_json=as_json)


def _show_check(output: Console, path: str, report: CheckReport, *, as_json: bool) -> int:
    if as_json:
        problems = [_as_json(problem) for problem in report.problems]
        print_json({"path": path, "ok": report.ok, "entries": report.entries, "problems": problems})
    else:
        _show_problems(output, report.problems)
        found = counted(len(report.problems), "problem") if report.problems else "all is well"
        output.print(f"{path}: {counted(report.entries, 'entry', 'entries')} read, {found}")
        if report.problems:
            output.print(_remedy(path))
    return _CLEAN if report.ok else _PROBLEMS


def _show_repair(output: Console, path: str, saved: Repaired, *, as_json: bool) -> int:
    if as_json:
        print_json(
            {
                "path": path,
                "ok": saved.complete,
                "target": saved.target,
                "entries": saved.entries,
                "present": saved.present,
                "missing": saved.missing,
                "recovered": [
                    {"where": one.where, "source": one.source} for one in saved.recovered
                ],
                "problems": [_as_json(problem) for problem in saved.problems],
            }
        )
        return _CLEAN if saved.complete else _PROBLEMS
    _show_problems(output, saved.problems)
    if saved.recovered:
        rows = [(one.where, one.source) for one in saved.recovered]
        _show_table(output, ("found elsewhere", "where"), rows)
        output.print("These may be older than what was lost, or had been deleted: look at them.\n")
    output.print(f"{saved.target}: {counted(saved.entries, 'entry', 'entries')} saved")
    output.print(f"  {saved.present:,} as they were, {len(saved.recovered):,} found elsewhere")
    if saved.missing is None:
        output.print("  how many are lost is not known")
    else:
        output.print(f"  {counted(saved.missing, 'entry is', 'entries are')} lost")
    return _CLEAN if saved.complete else _PROBLEMS


def _remedy(path: str) -> str:
    return f"save what can be read with: objcache check {shlex.quote(path)} --repair NEW_DIRECTORY"


def _show_problems(output: Console, problems: Sequence[Problem]) -> None:
    if problems:
        rows = [(problem.where, problem.message) for problem in problems]
        _show_table(output, ("where", "what is wrong"), rows)


def _show_table(output: Console, names: tuple[str, str], rows: Sequence[tuple[str, str]]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows[:_SHOWN]:
        table.add_row(*row)
    if len(rows) > _SHOWN:
        table.add_row("...", f"{len(rows) - _SHOWN:,} more; --json shows all")
    output.print(table)
    output.print()


def _as_json(problem: Problem) -> dict[str, str]:
    return {"where": problem.where, "kind": problem.kind, "message": problem.message}
