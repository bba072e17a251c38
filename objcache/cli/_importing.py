"""What imports have in common: batches, what is counted, what is told at the end.

Knows: the target. Must not know: what is imported.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain, islice
from typing import Any, Final, TypeVar

import click

from objcache.cli._foreign import ForeignError, one_line
from objcache.cli._options import writable
from objcache.cli._screen import counted
from objcache.clock import SYSTEM_CLOCK
from objcache.errors import BlobError, EncodeError, StoreFullError

__all__ = [
    "BATCH_ENTRIES",
    "Outcome",
    "entries_text",
    "in_batches",
    "lazily",
    "options_for",
    "say",
    "store_one",
    "tell_counts",
]

_COMPLETE: Final = 0
_INCOMPLETE: Final = 1
_STOPPED: Final = 2
_INTERRUPTED: Final = 130
_SHOWN: Final = 20
_LISTED: Final = 1000
BATCH_ENTRIES: Final = 500
_BATCH_S: Final = 1.0

T = TypeVar("T")


@dataclasses.dataclass
class Outcome:
    """What an import has done so far; its fields are those of `--json`."""

    source: str
    target: str
    ok: bool = False
    imported: int = 0
    present: int = 0
    expired: int = 0
    refused: int = 0
    failed: int = 0
    interrupted: bool = False
    error: str | None = None
    failures: list[dict[str, str]] = dataclasses.field(default_factory=list)

    def fail(self, name: str, reason: str) -> None:
        """Count an entry that cannot be imported; the first of them are listed."""
        self.failed += 1
        if len(self.failures) < _LISTED:
            self.failures.append({"key": name, "reason": one_line(reason)})

    @property
    def seen(self) -> int:
        """How many entries of the source something was done with."""
        return self.imported + self.present + self.expired + self.refused + self.failed

    @property
    def code(self) -> int:
        """The exit code."""
        if self.interrupted:
            return _INTERRUPTED
        if self.error is not None:
            return _STOPPED
        return _INCOMPLETE if self.refused or self.failed else _COMPLETE


def options_for(path: str, *, into_existing: bool) -> dict[str, Any]:
    """Return how the store or cache at *path* is opened to import into it.

    Raises:
        ForeignError: something is there, and *into_existing* was not said.
    """
    empty = not os.path.lexists(path) or (os.path.isdir(path) and not os.listdir(path))
    if not empty and not into_existing:
        raise ForeignError(
            f"{path!r} is not empty; choose a new directory, or say --into-existing to keep what "
            "is there and import the rest"
        )
    return {} if empty else writable(path)


def lazily(entries: Iterator[T]) -> Iterator[Iterable[T]]:
    """Yield *entries* in batches, each read while it is imported."""
    for first in entries:
        yield chain([first], islice(entries, BATCH_ENTRIES - 1))


def in_batches(
    batches: Iterable[Iterable[T]],
    take: Callable[[T], None],
    transaction: Callable[[], AbstractContextManager[Any]] | None,
    outcome: Outcome,
    *,
    stops: type[Exception] = StopIteration,
) -> None:
    """Import all *batches*: what has happened is in *outcome*, however it ends.

    Args:
        batches: what is imported.
        take: imports one entry.
        transaction: begins one of the target, for each batch; None for none.
        outcome: what *take* counts in.
        stops: an error of the source; what came before it stays.
    """
    for batch in batches:
        rest = iter(batch)
        while not _import_some(rest, take, transaction, outcome, stops):
            pass


def _import_some(
    entries: Iterator[T],
    take: Callable[[T], None],
    transaction: Callable[[], AbstractContextManager[Any]] | None,
    outcome: Outcome,
    stops: type[Exception],
) -> bool:
    """Import the next entries of a batch; return whether there are no more.

    A commit leaves free pages behind: with one for each entry, the file of a small source would
    grow to hundreds of MB. What Ctrl-C takes back is no more than a second's work.
    """
    before = dataclasses.replace(outcome, failures=list(outcome.failures))
    ends = SYSTEM_CLOCK.monotonic() + _BATCH_S
    stopped: Exception | None = None
    try:
        with nullcontext() if transaction is None else transaction():
            try:
                for entry in entries:
                    take(entry)
                    if SYSTEM_CLOCK.monotonic() >= ends:
                        return False
            except stops as error:
                stopped = error
    except BaseException:
        if transaction is not None:
            vars(outcome).update(vars(before))
        raise
    if stopped is not None:
        raise stopped
    return True


def store_one(name: Callable[[], str], put: Callable[[], None], outcome: Outcome) -> None:
    """Store an entry by *put*, and count what became of it; *name* is what it is called."""
    try:
        put()
    except StoreFullError as error:
        if error.wanted_bytes is None or error.wanted_bytes <= error.limit_bytes:
            raise  # there is no room for others either
        outcome.fail(name(), str(error))
    except (BlobError, EncodeError) as error:
        outcome.fail(name(), str(error))
    else:
        outcome.imported += 1


# -- what is told ----------------------------------------------------------------------------


def tell_counts(outcome: Outcome, told: Iterable[tuple[int, str]]) -> None:
    """Print how many entries were imported, and of each of *told* what is not zero."""
    click.echo(f"{outcome.target}: {entries_text(outcome.imported)} imported from {outcome.source}")
    for number, what in told:
        if number:
            click.echo(f"  {number:,} {what}")
    for failure in outcome.failures[:_SHOWN]:
        click.echo(f"    {failure['key']}: {failure['reason']}")
    if outcome.failed > _SHOWN:
        click.echo(f"    ... {outcome.failed - _SHOWN:,} more; --json lists a thousand")


def say(message: str) -> None:
    """Print a message beside the answer."""
    print(f"objcache: {message}", file=sys.stderr)


def entries_text(number: int) -> str:
    """Return a number of entries with its noun."""
    return counted(number, "entry", "entries")
