"""`objcache report`: a page that shows a store.

Knows: click, and where the page is written. Must not know: what is on it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, Final

import click

from objcache import __version__
from objcache.cache import counts_of_caches
from objcache.cli._keys import printable
from objcache.cli._look import counts_as_json
from objcache.cli._options import (
    command_options,
    complete_files,
    print_json,
    refused,
    store_to_read,
)
from objcache.cli._progress import working
from objcache.clock import SYSTEM_CLOCK
from objcache.errors import MissingExtraError
from objcache.memo.functions import functions_of
from objcache.store import RawRecords

__all__ = ["report"]

_DEFAULT: Final = "objcache-report.html"
_STDOUT: Final = "-"
_LOOKED_AT_BYTES: Final = 4096


@click.command()
@command_options
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    shell_complete=complete_files,
    help=f"The page; - is stdout.  [default: {_DEFAULT}]",
)
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
    if target != _STDOUT:
        _check_target(path, target, force=force)
    numbers = _numbers(path, no_color=no_color)
    written = page(numbers, figures(numbers), library())
    if target == _STDOUT:
        sys.stdout.write(written)
    else:
        _write(target, written)
        size = os.path.getsize(target) / 1e6
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


def _check_target(path: str, target: str, *, force: bool) -> None:
    """Refuse what is not to be replaced."""
    from objcache.cli._page import MARK  # noqa: PLC0415  # the extra is there by now

    if not target:
        raise click.UsageError("FILE is empty; name a file for the page, or - for stdout")
    inside = os.path.join(os.path.realpath(path), "")
    if os.path.realpath(target).startswith(inside):
        raise click.UsageError(f"{target!r} lies inside the store {path!r}; choose another path")
    if os.path.exists(target) and not os.path.isfile(target):
        raise click.UsageError(f"{target!r} is no file; name a file for the page, or - for stdout")
    if os.path.lexists(target) and not force:
        with open(target, "rb") as file:
            if MARK.encode() not in file.read(_LOOKED_AT_BYTES):
                raise click.UsageError(
                    f"{target!r} is there, and no earlier report; --force replaces it"
                )


def _write(target: str, written: str) -> None:
    """Write the page, whole or not at all."""
    beside = f"{target}.{os.getpid()}.part"
    try:
        with open(beside, "x", encoding="utf-8") as file:
            file.write(written)
        os.replace(beside, target)
    except OSError as error:
        raise OSError(error.errno, error.strerror, target) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(beside)
