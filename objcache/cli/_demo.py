"""`objcache demo`: a really expensive analysis of real input, memoized.

Knows: the terminal, and objcache as any user does. Must not know: the inside of a store.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import objcache
from objcache.cli._analysis import FileAnalysis, TreeAnalysis, analyse_source, analyse_tree
from objcache.clock import SYSTEM_CLOCK

__all__ = ["demo"]

_SKIPPED_DIRECTORIES = frozenset({"site-packages", "dist-packages", "test", "tests", "__pycache__"})
_BAR_WIDTH = 40
_FIRST_RUN = ("demo", "first run")


class _Run(NamedTuple):
    """What one run has done."""

    seconds: float
    hits: int
    misses: int


@click.command()
@click.option(
    "--path",
    "tree",
    type=click.Path(path_type=Path),
    help="Analyse the .py files below this directory.",
)
@click.option("--store", "directory", help="Where the results are kept.")
@click.option("--fresh", is_flag=True, help="Forget the results of earlier runs first.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many files.")
@click.option("--no-color", is_flag=True, help="No colours.")
def demo(
    *, tree: Path | None, directory: str | None, fresh: bool, limit: int | None, no_color: bool
) -> None:
    """Memoize an expensive analysis of Python's own standard library.

    The first run parses every file and computes the complexity of each function; run it again
    and the answers come from disk. An edited file is the only one that is computed again.

    Example: objcache demo --path ./src --fresh
    """
    root = tree if tree is not None else Path(sysconfig.get_path("stdlib"))
    files = _source_files(root, limit)
    output = Console(no_color=no_color, highlight=False)
    where = directory or f"{objcache.default_path()}-demo"
    with objcache.Store(where) as store:
        analyse = store.memoize(analyse_source)
        if fresh:
            analyse.cache_clear()
            store.pop(_FIRST_RUN, None)
        started = SYSTEM_CLOCK.monotonic()
        # `sources` reads the files while the bar runs: reading is part of the time that is told.
        analyses = [
            analyse(*source) for source in _with_progress(_sources(root, files), len(files))
        ]
        seconds = SYSTEM_CLOCK.monotonic() - started
        counts = analyse.cache_info()
        run = _Run(seconds, counts.hits, counts.misses)
        first = store.get(_FIRST_RUN)
        if run.misses == len(files):
            first = {"seconds": seconds, "files": len(files), "root": str(root)}
            store[_FIRST_RUN] = first
        _report(output, root, analyses, analyse_tree(analyses))
        _tell_run(output, run, first, str(root), store)


def _source_files(root: Path, limit: int | None) -> list[Path]:
    if not root.exists():
        raise click.ClickException(f"--path {str(root)!r} does not exist")
    if not root.is_dir():
        raise click.ClickException(f"--path {str(root)!r} is a file; give the directory it lies in")
    files = []
    for directory, directories, names in os.walk(root, onerror=_refuse):
        directories[:] = sorted(set(directories) - _SKIPPED_DIRECTORIES)
        files += [Path(directory, name) for name in sorted(names) if name.endswith(".py")]
    if not files:
        raise click.ClickException(f"there are no .py files below {str(root)!r}")
    return files[:limit]


def _refuse(error: OSError) -> None:
    raise click.ClickException(f"cannot read {error.filename!r}: {error.strerror}")


def _sources(root: Path, files: list[Path]) -> Iterator[tuple[str, str]]:
    for file in files:
        module = ".".join(file.relative_to(root).with_suffix("").parts)
        try:
            with tokenize.open(file) as opened:  # honours the coding line (PEP 263)
                yield module, opened.read()
        except (SyntaxError, UnicodeDecodeError):
            yield module, "unreadable ="  # counted among the files that do not parse
        except OSError as error:
            _refuse(error)


def _with_progress(sources: Iterable[tuple[str, str]], total: int) -> Iterator[tuple[str, str]]:
    if not sys.stderr.isatty():
        for number, source in enumerate(sources, 1):
            yield source
            if number * 10 // total > (number - 1) * 10 // total:
                print(f"analysed {number} of {total} files", file=sys.stderr)
        return
    columns = (TextColumn("analysing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield from progress.track(sources, total=total)


def _report(output: Console, root: Path, analyses: list[FileAnalysis], tree: TreeAnalysis) -> None:
    functions = sum(len(analysis.functions) for analysis in analyses)
    lines = sum(analysis.lines for analysis in analyses)
    failed = [analysis for analysis in analyses if analysis.problem]
    output.print(f"[bold]{root}[/bold]")
    output.print(
        f"{len(analyses):,} files, {lines:,} lines, {functions:,} functions"
        + (f"; {len(failed)} files do not parse" if failed else "")
    )
    table = Table(
        "most complex functions", "complexity", "depth", "lines", box=None, pad_edge=False
    )
    for module, function in tree.most_complex:
        name = f"{module}.{function.name}"
        table.add_row(name, str(function.complexity), str(function.depth), str(function.lines))
    output.print(table)
    imported = ", ".join(f"{name} ({count})" for name, count in tree.most_imported)
    output.print(f"most imported: {imported or 'nothing'}")
    if tree.cycles:
        output.print(
            f"import cycles: {len(tree.cycles)}, the largest of {len(tree.cycles[0])} modules"
        )
    if tree.clones:
        output.print(
            f"functions of the same shape: {len(tree.clones)} groups, "
            f"e.g. {', '.join(tree.clones[0][:2])}"
        )
    output.print("functions by complexity:")
    _bars(output, {name: float(count) for name, count in tree.histogram.items()}, "{:,.0f}")


def _tell_run(
    output: Console,
    run: _Run,
    first: dict[str, Any] | None,
    root: str,
    store: objcache.Store[Any, Any],
) -> None:
    total = run.hits + run.misses
    output.print(
        f"\n{run.hits:,} of {total:,} answers came from disk, {run.misses:,} were computed"
    )
    output.print(f"this run: {run.seconds:.3f} s")
    comparable = first is not None and first["files"] == total and first["root"] == root
    if first is not None and comparable and run.misses < total:
        output.print(
            f"first run: {first['seconds']:.3f} s, {first['seconds'] / run.seconds:.0f} times as long"
        )
        _bars(output, {"computing": first["seconds"], "this run": run.seconds}, "{:.3f} s")
    elif run.misses == total:
        output.print("run `objcache demo` again: a fresh process answers from disk")
    stats = store.stats()
    output.print(f"{stats.file_bytes / 2**20:.1f} MiB on disk in {store.path}")


def _bars(output: Console, values: dict[str, float], shown: str) -> None:
    largest = max(values.values(), default=0) or 1
    width = max(map(len, values))
    for name, value in values.items():
        bar = "█" * round(value / largest * _BAR_WIDTH) or ("▏" if value else "")
        output.print(f"  {name:>{width}} [cyan]{bar}[/cyan] {shown.format(value)}")
