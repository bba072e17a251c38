"""`objcache report`: a page that shows a store.

Knows: click, and where the page is written. Must not know: what is on it.
"""

from __future__ import annotations

import os
from typing import Any, Final

import click

from objcache import __version__
from objcache.cache import counts_of_caches
from objcache.cli._keys import printable
from objcache.cli._look import counts_as_json
from objcache.cli._options import (
    command_options,
    output_option,
    print_json,
    refused,
    store_to_read,
)
from objcache.cli._progress import working
from objcache.cli._whole_file import STDOUT, checked_output, written
from objcache.clock import SYSTEM_CLOCK
from objcache.errors import MissingExtraError
from objcache.memo.functions import functions_of
from objcache.store import RawRecords

__all__ = ["report"]

_DEFAULT: Final = "objcache-report.html"
_LOOKED_AT_BYTES: Final = 4096


@click.command()
@command_options
@output_option(help=f"The page; - is stdout.  [default: {_DEFAULT}]")
@click.option("--force", is_flag=True, help="Replace FILE even if it is no earlier report.")
def report(
    *, path: str, output: str | None, force: bool, as_json: bool, no_color: bool
) -> int | None:
    """Write a page that shows a store: where its bytes are, and what they are good for.

    Bytes by function and by key prefix, ages, sizes and deadlines of entries, hit ratio and seconds
    saved of each function, and what would be evicted next. The page is one file that a browser
    shows without a network; it has keys, and no values. Nothing is changed, and no value is read.
    With --json one object with its numbers, and no page.

    Exit code: 0; 2 no store there, not ours to read, or the page cannot be written.

    Example: objcache report ./library -o library.html
    """
    if as_json:
        if output is not None or force:
            raise click.UsageError("--json prints numbers; a page and its --output are without it")
        print_json(_numbers(path, no_color=no_color))
        return None
    try:
        from objcache.cli._figures import figures, library  # noqa: PLC0415  # plotly is an extra
        from objcache.cli._page import page  # noqa: PLC0415  # so is jinja2
    except ModuleNotFoundError as error:
        return refused(MissingExtraError("objcache report", error.name or "", "report"), path)
    target = _DEFAULT if output is None else output
    force = force or _is_report(target)
    place = checked_output(target, path, force=force)
    numbers = _numbers(path, no_color=no_color)
    content = page(numbers, figures(numbers), library()).encode()
    with written(place, force=force) as write:
        write(content)
    if target != STDOUT:
        size = len(content) / 1e6
        click.echo(f"{printable(target)}: a page of {size:.1f} MB, for a browser")
    return None


def _numbers(path: str, *, no_color: bool) -> dict[str, Any]:
    from objcache.cli._portrait import portrait  # noqa: PLC0415  # no other command needs it

    now = SYSTEM_CLOCK.now()
    with (
        working("reading the store", no_color=no_color),
        RawRecords(path) as records,
        store_to_read(path) as store,
    ):
        memoized = functions_of(store)
        counts = counts_as_json(store.stats(), counts_of_caches(store), memoized)
        shown = portrait(store, records, memoized, now)
    return {"objcache": __version__, "moment": now, "stats": counts, **shown}


def _is_report(path: str) -> bool:
    """Return whether an earlier report lies at *path*."""
    from objcache.cli._page import MARK  # noqa: PLC0415  # the extra is there by now

    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return MARK.encode() in file.read(_LOOKED_AT_BYTES)
