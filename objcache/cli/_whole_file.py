"""Writing a file that is there as a whole or not at all, or writing to stdout.

Knows: the file system. Must not know: what is written.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import click

__all__ = ["STDOUT", "checked_output", "written"]

STDOUT: Final = "-"
_BUFFER_BYTES: Final = 1 << 20

Write = Callable[[bytes], None]


def checked_output(path: str, directory: str, *, force: bool) -> str:
    """Return where the file *path* will lie.

    Args:
        path: as it was given; `STDOUT` is returned as it is.
        directory: where it must not lie.
        force: an existing file is replaced.

    Raises:
        click.UsageError: it cannot be written there.
    """
    if path == STDOUT:
        return path
    if not path:
        raise click.UsageError("FILE is empty; - is stdout")
    real = os.path.realpath(path)
    if real.startswith(os.path.realpath(directory) + os.sep):
        raise click.UsageError(f"{path!r} lies in the store; choose a file beside it")
    if not os.path.isdir(os.path.dirname(real)):
        raise click.UsageError(f"there is no directory {os.path.dirname(real)!r} for {path!r}")
    try:
        mode = os.stat(real).st_mode
    except FileNotFoundError:
        return real
    if not stat.S_ISREG(mode):
        raise click.UsageError(f"{path!r} is no regular file; write to stdout, and redirect it")
    if not force:
        raise click.UsageError(f"{path!r} exists; choose another name, or say --force")
    return real


@contextmanager
def written(path: str, *, force: bool) -> Iterator[Write]:
    """Give a function that writes; all of it is there when the block is left, else nothing.

    What goes to stdout is there as far as it was written, a MiB at a time.

    Args:
        path: as `checked_output` has returned it.
        force: an existing file is replaced.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    if path == STDOUT:
        with _buffered(sys.stdout.buffer) as write:
            yield write
        return
    directory, name = os.path.split(path)
    try:
        descriptor, unfinished = tempfile.mkstemp(".unfinished", f".{name[:100]}.", directory)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    try:
        with open(descriptor, "wb", buffering=0) as file:
            with _buffered(file) as write:
                yield write
            os.fsync(file.fileno())
        _rename(unfinished, path, force=force)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)
        raise


def _rename(unfinished: str, path: str, *, force: bool) -> None:
    if not force:
        # A link, unlike a rename, replaces nothing that somebody has made meanwhile.
        try:
            os.link(unfinished, path)
        except OSError as error:  # or a file system without links
            if os.path.lexists(path):
                raise click.UsageError(
                    f"{path!r} was made by somebody meanwhile; choose another name"
                ) from error
        else:
            os.unlink(unfinished)
            return
    os.replace(unfinished, path)


@contextmanager
def _buffered(file: Any) -> Iterator[Write]:
    waiting = bytearray()

    def write(piece: bytes) -> None:
        waiting.extend(piece)
        if len(waiting) >= _BUFFER_BYTES:
            flush()

    def flush() -> None:
        with memoryview(bytes(waiting)) as view:
            done = 0
            while done < len(view):
                done += file.write(view[done:]) or 0
        waiting.clear()
        file.flush()

    yield write
    flush()
