"""`objcache watch`: hit ratio, size and hottest functions of a store, while it is used.

Knows: the terminal. Must not know: how any of it is counted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Protocol

import click
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from objcache.cache import CacheCounts, counts_of_caches
from objcache.cli._keys import names_text, printable, ratio_text, size_text, span_text
from objcache.cli._options import command_options, print_json, store_to_read
from objcache.cli._screen import console
from objcache.clock import SYSTEM_CLOCK
from objcache.memo.functions import FunctionStats, functions_of
from objcache.store import StoreStats
from objcache.tallies import ratio_of

__all__ = ["watch"]

_HOTTEST: Final = 10
_Names = tuple[str, ...]


class _Counted(NamedTuple):
    """What a store had counted at one moment."""

    sizes: StoreStats
    caches: dict[_Names, CacheCounts]
    functions: dict[tuple[bool, _Names, str], FunctionStats]
    seconds: float


class _Asked(Protocol):
    """What counts hits and misses."""

    @property
    def hits(self) -> int: ...
    @property
    def misses(self) -> int: ...


class _Change(NamedTuple):
    """What was asked of a cache or a function since the look before."""

    name: str
    hits: int
    misses: int
    size_bytes: int
    saved_s: float = 0.0

    @property
    def ratio(self) -> float | None:
        """The part of what was asked that was there; None where nothing was."""
        return ratio_of(self.hits, self.misses)


@click.command()
@command_options
@click.option(
    "--interval", type=click.FloatRange(min=0.1), default=2.0, help="Seconds between two looks."
)
@click.option("--count", type=click.IntRange(min=1), help="End after so many; else with Ctrl-C.")
def watch(*, path: str, interval: float, count: int | None, as_json: bool, no_color: bool) -> None:
    """Show hit ratio, size and hottest functions of a store while programs use it.

    Counts are those of all processes since the look before. The store is opened for each look
    only, and nothing is changed. With --json one object for each look.

    Exit code: 0; 2 no store there, or not ours to read; 130 Ctrl-C.

    Example: objcache watch ./pages --interval 5
    """
    with _screen(as_json=as_json, no_color=no_color) as show:
        before = _count(path)
        while True:
            SYSTEM_CLOCK.sleep(interval)
            now = _count(path)
            show(path, before, now)
            before = now
            if count is not None:
                count -= 1
                if not count:
                    return


def _count(path: str) -> _Counted:
    with store_to_read(path) as store:
        caches = {cache.names: cache for cache in counts_of_caches(store)}
        functions = {(one.is_cache, one.names, one.name): one for one in functions_of(store)}
        return _Counted(store.stats(), caches, functions, SYSTEM_CLOCK.monotonic())


def _caches(before: _Counted, now: _Counted) -> list[_Change]:
    return [
        _Change(names_text(names), *_asked(before.caches.get(names), cache), cache.size_bytes)
        for names, cache in now.caches.items()
    ]


def _functions(before: _Counted, now: _Counted) -> list[_Change]:
    """Return the functions that were called, those called most often first."""
    changes = []
    for key, one in now.functions.items():
        earlier = before.functions.get(key)
        saved_s = one.saved_s - (earlier.saved_s if earlier else 0.0)
        asked = _asked(earlier, one)
        if any(asked):
            changes.append(_Change(one.name, *asked, one.size_bytes, max(saved_s, 0.0)))
    return sorted(changes, key=lambda change: (-change.hits - change.misses, change.name))


def _asked(before: _Asked | None, now: _Asked) -> tuple[int, int]:
    """Return how many hits and misses were counted; none where the counts began anew."""
    if before is None:
        return now.hits, now.misses
    return max(now.hits - before.hits, 0), max(now.misses - before.misses, 0)


# -- telling ---------------------------------------------------------------------------------


class _Show(Protocol):
    """Shows what has changed between two looks."""

    def __call__(self, path: str, before: _Counted, now: _Counted, /) -> None: ...


@contextmanager
def _screen(*, as_json: bool, no_color: bool) -> Iterator[_Show]:
    """Give what shows the changes: in the same place on a terminal, else one after the other."""
    if as_json:
        yield _print
        return
    output = console(no_color=no_color)
    if not sys.stdout.isatty():
        yield lambda path, before, now: output.print(_drawn(path, before, now))
        return
    with Live(console=output, auto_refresh=False) as live:
        yield lambda path, before, now: live.update(_drawn(path, before, now), refresh=True)


def _print(path: str, before: _Counted, now: _Counted) -> None:
    found = {
        "path": path,
        "seconds": now.seconds - before.seconds,
        "entries": now.sizes.entries,
        "file_bytes": now.sizes.file_bytes,
        "used_bytes": now.sizes.used_bytes,
        "commits": now.sizes.last_transaction_id - before.sizes.last_transaction_id,
        "caches": [_as_json(change) for change in _caches(before, now)],
        "functions": [_as_json(change) for change in _functions(before, now)],
    }
    print_json(found)
    sys.stdout.flush()


def _as_json(change: _Change) -> dict[str, Any]:
    return {**change._asdict(), "hit_ratio": change.ratio}


def _drawn(path: str, before: _Counted, now: _Counted) -> Group:
    seconds = now.seconds - before.seconds
    sizes = now.sizes
    commits = sizes.last_transaction_id - before.sizes.last_transaction_id
    parts: list[Any] = [
        Text(printable(path), style="bold"),
        Text(
            f"{sizes.entries:,} entries, {size_text(sizes.used_bytes)} in use of a file of "
            f"{size_text(sizes.file_bytes)}, {commits:,} commits in {span_text(seconds)}"
        ),
    ]
    functions = _functions(before, now)
    for title, changes in (("cache", _caches(before, now)), ("function", functions[:_HOTTEST])):
        if changes:
            parts += [Text(""), _table(title, changes, seconds)]
    return Group(*parts)


def _table(title: str, changes: Sequence[_Change], seconds: float) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(title, overflow="fold")
    for name in ("per second", "hits", "misses", "hit ratio", "saved", "size"):
        table.add_column(name, justify="right")
    for change in changes:
        rate = (change.hits + change.misses) / seconds if seconds else 0.0
        table.add_row(
            *(printable(change.name), f"{rate:,.1f}", f"{change.hits:,}", f"{change.misses:,}"),
            *(ratio_text(change.ratio), span_text(change.saved_s) if change.saved_s else ""),
            size_text(change.size_bytes),
        )
    return table
