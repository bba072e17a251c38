"""`objcache demo`: a really expensive analysis of real input, memoized.

Knows: objcache as any user does, and what one run has cost. Must not know: how that is shown.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import click

import objcache
from objcache.cli._analysis import FileAnalysis, analyse_source
from objcache.cli._demo_report import FirstRun, Report, Run, show_report
from objcache.cli._options import color_option, complete_directories
from objcache.cli._progress import progress
from objcache.cli._screen import console
from objcache.cli._sources import SourceFile, SourcesError, SourceTree, find_sources, read_source
from objcache.cli._survey import fingerprints, survey
from objcache.clock import SYSTEM_CLOCK

__all__ = ["demo"]

_FIRST_RUN: Final = ("demo", "first_run")


@click.command()
@click.option(
    "--path",
    metavar="DIR",
    shell_complete=complete_directories,
    help="Analyse the Python files below this directory.",
)
@click.option(
    "--store",
    "directory",
    metavar="DIR",
    shell_complete=complete_directories,
    help="Keep the results here.",
)
@click.option("--fresh", is_flag=True, help="Forget the results of earlier demos first.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many files.")
@color_option
def demo(
    *, path: str | None, directory: str | None, fresh: bool, limit: int | None, no_color: bool
) -> None:
    """Memoize an expensive analysis of Python's own standard library.

    The first run parses every file, measures each function and looks for import cycles and
    copied functions. Run it again, and the answers come from disk. A file that was edited is
    the only one that is analysed again.

    Example: objcache demo --path ./src --fresh
    """
    if directory is None:
        directory = f"{objcache.default_path()}-demo"
    elif not directory:
        raise click.ClickException("--store is empty; name a directory")
    try:
        tree = find_sources(sysconfig.get_path("stdlib") if path is None else path, limit)
    except SourcesError as error:
        raise click.ClickException(str(error)) from error
    with objcache.Store(directory) as store:
        work = _Work(store, tree)
        if fresh:
            work.forget()
        try:
            with progress(len(tree.files), no_color=no_color) as advance:
                report = work.run(advance)
        except KeyboardInterrupt:
            work.remember(interrupted=True)
            print(f"objcache: {work.interruption()}", file=sys.stderr)
            raise click.exceptions.Exit(130) from None
        show_report(console(no_color=no_color), report)


class _Timed(NamedTuple):
    """How often a memoized function was called, and how long that took."""

    calls: int = 0
    seconds: float = 0.0

    def plus(self, seconds: float) -> _Timed:
        return _Timed(self.calls + 1, self.seconds + seconds)


class _Work:
    """One run of the demo: the answers, where they came from, and what each kind took."""

    def __init__(self, store: objcache.Store[Any, Any], tree: SourceTree) -> None:
        self._store = store
        self._tree = tree
        self._first_run_key = (*_FIRST_RUN, os.fsencode(tree.root), sys.version_info[:2])
        self._began, self._started = SYSTEM_CLOCK.now(), SYSTEM_CLOCK.monotonic()
        self._computed = self._read = _Timed()

        self._analyse = store.memoize(analyse_source)
        self._survey = store.memoize(key=fingerprints)(survey)

    def forget(self) -> None:
        """Remove what earlier demos have left in the store, and nothing else."""
        self._analyse.cache_clear()
        self._survey.cache_clear()
        self._store.delete_many(list(self._store.prefix(_FIRST_RUN).keys()))

    def run(self, advance: Callable[[], None] = lambda: None) -> Report:
        """Analyse all files, calling *advance* after each; return what there is to tell."""
        self._began, self._started = SYSTEM_CLOCK.now(), SYSTEM_CLOCK.monotonic()
        skipped = list(self._tree.skipped)
        files = []
        for file in self._tree.files:
            analysis = self._answer(file, skipped)
            if analysis is not None:
                files.append(analysis)
            advance()
        if not files:
            path, reason = skipped[0]
            raise click.ClickException(f"cannot read any of the files, e.g. {path!r}: {reason}")
        survey_read = self._survey.is_cached(files)
        whole = self._survey(files)
        run = Run(
            seconds=self._elapsed(),
            computed=self._computed.calls,
            computing_seconds=self._computed.seconds,
            read=self._read.calls,
            reading_seconds=self._read.seconds,
            survey_read=survey_read,
        )
        stats = self._store.stats()
        return Report(
            root=self._tree.root,
            files=len(files),
            skipped=tuple(skipped),
            survey=whole,
            run=run,
            first_run=self.remember(),
            store_path=stats.path,
            store_bytes=stats.file_bytes,
        )

    def _answer(self, file: SourceFile, skipped: list[tuple[str, str]]) -> FileAnalysis | None:
        try:
            source = read_source(file)
        except OSError as error:
            skipped.append((file.path, error.strerror or str(error)))
            return None
        stored = self._analyse.is_cached(file.module, source)
        started = SYSTEM_CLOCK.monotonic()
        analysis = self._analyse(file.module, source)
        seconds = SYSTEM_CLOCK.monotonic() - started
        if stored:
            self._read = self._read.plus(seconds)
        else:
            self._computed = self._computed.plus(seconds)
        if analysis.problem:
            skipped.append((file.path, analysis.problem))
        return analysis

    def _elapsed(self) -> float:
        return SYSTEM_CLOCK.monotonic() - self._started

    def remember(self, *, interrupted: bool = False) -> FirstRun | None:
        """Keep what this run has cost if it computed what nobody had; return what all has cost.

        A run that was interrupted and the one that went on from there count as one. An edited
        file does not: the first run stays what it was.
        """
        kept = self._store.get(self._first_run_key)
        # By name, and those of today: another version may have kept more.
        first = kept and FirstRun(**{name: kept[name] for name in FirstRun._fields if name in kept})
        if not self._computed.calls:
            return first
        if not self._read.calls:
            first = FirstRun(self._began)
        elif first is None or not (first.interrupted or first.computed == self._read.calls):
            return first
        first = first._replace(
            runs=first.runs + 1,
            # Not a sum: Ctrl-C may come when an answer is stored and not counted yet.
            computed=self._read.calls + self._computed.calls,
            seconds=first.seconds + self._elapsed(),
            computing_seconds=first.computing_seconds + self._computed.seconds,
            interrupted=interrupted,
        )
        self._store[self._first_run_key] = first._asdict()
        return first

    def interruption(self) -> str:
        """What to say when Ctrl-C has ended the run."""
        done = self._computed.calls + self._read.calls
        return (
            f"interrupted; what was computed so far is kept: {done:,} of "
            f"{len(self._tree.files):,} files are done, the next run goes on from there"
        )
