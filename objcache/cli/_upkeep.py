"""`objcache compact` and `objcache copy`: the file as a whole.

Knows: the terminal. Must not know: how a file is copied or replaced.
"""

from __future__ import annotations

import os

import click

import objcache
from objcache.cli._keys import size_text
from objcache.cli._options import (
    color_option,
    complete_directories,
    store_to_read,
    writable,
    write_options,
)
from objcache.cli._progress import working

__all__ = ["compact", "copy"]


@click.command()
@write_options
@color_option
def compact(*, path: str, no_color: bool) -> None:
    """Give free pages back to the disk, by replacing the file with a compact copy.

    Nobody else may have the store open. Stopped half way, the store is what it was.

    Exit code: 0; 2 nothing was changed.

    Example: objcache compact ./library
    """
    with objcache.Store(path, **writable(path)) as store:
        before = store.stats().file_bytes
        with working("compacting", no_color=no_color):
            store.compact()
        after = store.stats().file_bytes
    freed = size_text(max(before - after, 0))
    click.echo(f"{path}: {size_text(before)} before, {size_text(after)} now, {freed} given back")


@click.command()
@write_options
@click.argument("target", shell_complete=complete_directories)
@click.option("--with-free-pages", is_flag=True, help="Copy free pages too: faster, larger.")
@color_option
def copy(*, path: str, target: str, with_free_pages: bool, no_color: bool) -> None:
    """Write a consistent copy of a store to the empty or missing directory TARGET.

    Other programs may go on reading and writing. The copy has the same secret. Stopped half way,
    there is no copy.

    Exit code: 0; 2 there is no copy.

    Example: objcache copy ./library ./backup/library
    """
    if not target:
        raise click.UsageError("TARGET is empty; name a directory")
    inside = os.path.join(os.path.realpath(path), "")
    if os.path.join(os.path.realpath(target), "").startswith(inside):
        raise click.UsageError(f"{target!r} lies inside the store {path!r}; choose another path")
    with store_to_read(path) as store, working("copying", no_color=no_color):
        store.copy(target, compact=not with_free_pages)
        entries = len(store)
    click.echo(f"{target}: a copy of {path}, {entries:,} entries in the store itself")
