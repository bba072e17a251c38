"""Telling how far a long command is: a bar on a terminal, a few lines elsewhere.

Knows: the terminal. Must not know: what is being done.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

__all__ = ["counting", "measuring", "progress", "working"]

_ANALYSIS = ("analysing", "analysed", "files")
_LINES = 10


@contextmanager
def progress(
    total: int, *, no_color: bool, words: tuple[str, str, str] = _ANALYSIS
) -> Iterator[Callable[[], None]]:
    """Give a function that is called after each of *total* steps.

    Args:
        total: how many.
        no_color: draw without colours.
        words: what is being done, what has been, and to what.

    A bar is drawn if both outputs are terminals, and is gone at the end; otherwise there is a
    line on stderr for each tenth of the way.
    """
    if not _is_terminal():
        yield _Lines(total, words).advance
        return
    with _bar(TextColumn(words[0]), BarColumn(), MofNCompleteColumn(), no_color=no_color) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


@contextmanager
def counting(what: str, *, no_color: bool) -> Iterator[Callable[[int, int | None], None] | None]:
    """Give a function that is told how much was done, of how much; None off a terminal."""
    if not _is_terminal():
        yield None
        return
    with _bar(TextColumn(what), BarColumn(), MofNCompleteColumn(), no_color=no_color) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def measuring(what: str, *, no_color: bool) -> Iterator[Callable[[float], None]]:
    """Give a function that is told which part is done, from 0 to 1.

    The bar is drawn when it is told, by no thread of its own: that would be measured as well.
    """
    if not _is_terminal():
        yield lambda _: None
        return
    columns = (TextColumn(what), BarColumn(), TaskProgressColumn())
    with _bar(*columns, no_color=no_color, own_thread=False) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda part: bar.update(task, completed=min(part, 1.0), refresh=True)


@contextmanager
def working(what: str, *, no_color: bool) -> Iterator[None]:
    """Show on a terminal, until the block is left, that something is being done, and how long."""
    if not _is_terminal():
        yield
        return
    with _bar(SpinnerColumn(), TextColumn(what), no_color=no_color) as bar:
        bar.add_task("", total=None)
        yield


def _is_terminal() -> bool:
    return sys.stdout.isatty() and sys.stderr.isatty()


def _bar(*columns: ProgressColumn, no_color: bool, own_thread: bool = True) -> Progress:
    """Return what draws *columns* and the time on stderr, and is gone at the end."""
    output = Console(stderr=True, no_color=no_color or None)
    elapsed = TimeElapsedColumn()
    return Progress(*columns, elapsed, console=output, transient=True, auto_refresh=own_thread)


class _Lines:
    """A line for each tenth of the way."""

    def __init__(self, total: int, words: tuple[str, str, str]) -> None:
        self._total = total
        self._done = 0
        _, self._verb, self._noun = words

    def advance(self) -> None:
        """Count a step."""
        before = self._done * _LINES // self._total
        self._done += 1
        if self._done * _LINES // self._total > before:
            print(f"{self._verb} {self._done:,} of {self._total:,} {self._noun}", file=sys.stderr)
