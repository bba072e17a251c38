"""`objcache bench`: how fast objcache is on this machine and this disk.

Knows: where is measured, and that nothing is left there. Must not know: how one call is timed.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self

import click

from objcache.cli._contestants import DISK, RIVALS
from objcache.cli._keys import size_text
from objcache.cli._options import answer_options, complete_directories, print_json
from objcache.cli._progress import measuring
from objcache.cli._screen import console
from objcache.cli._times import Answer, Surroundings, facts_of, show
from objcache.cli._turns import Turns, entries_of, pickled_bytes, timer_cost_ns
from objcache.clock import SYSTEM_CLOCK
from objcache.engine import DURABILITIES, filesystem_at
from objcache.errors import ObjcacheError

__all__ = ["bench"]

_PREFIX: Final = "objcache-bench-"
_MOST_SECONDS: Final = 600
_MOST_VALUE_BYTES: Final = 1 << 17
_FREE_BYTES: Final = 1 << 29
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})


@click.command()
@click.argument("path", metavar="[DIRECTORY]", required=False, shell_complete=complete_directories)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True, max=_MOST_SECONDS),
    default=10.0,
    help="About how long; each thing is done a few times in any case.",
)
@click.option(
    "--durability",
    "durabilities",
    type=click.Choice(DURABILITIES),
    multiple=True,
    help="Only this one; may be repeated.",
)
@click.option(
    "--value-bytes",
    type=click.IntRange(min=1, max=_MOST_VALUE_BYTES),
    default=200,
    help="Size of the values, pickled, about.",
)
@answer_options
def bench(
    *,
    path: str | None,
    seconds: float,
    durabilities: Sequence[str],
    value_bytes: int,
    as_json: bool,
    no_color: bool,
) -> None:
    """Measure objcache on this machine, below DIRECTORY, beside what else is installed.

    Stores of each durability, shelve, and where they are installed diskcache and sqlitedict do
    the same with the same values, in turns. DIRECTORY must be there; without one it is the
    system's directory for temporary files. What is made there is removed at the end, also after
    Ctrl-C.

    Exit code: 0; 2 nothing could be measured there; 130 Ctrl-C.

    Example: objcache bench ~/.cache --seconds 20
    """
    directory = _directory_from(path)
    names = [DISK, *dict.fromkeys(durabilities or DURABILITIES), *RIVALS]
    with measuring("measuring", no_color=no_color) as advance:
        answer = _answer(directory, names, seconds, value_bytes, advance)
    if as_json:
        print_json(facts_of(answer))
    else:
        show(console(no_color=no_color), answer)


def _answer(
    directory: str,
    names: Sequence[str],
    seconds: float,
    value_bytes: int,
    advance: Callable[[float], None],
) -> Answer:
    """Return what was measured below *directory*, and leave nothing there."""
    interrupts = _Interrupts()
    load, began = os.getloadavg()[0], SYSTEM_CLOCK.monotonic()
    with interrupts, _place(directory) as own:
        turns = Turns(own, value_bytes, interrupts.stop)
        try:
            turns.run(names, seconds, advance)
        except ObjcacheError:
            raise
        except OSError as error:
            why = error.strerror or error
            raise OSError(f"cannot measure in {directory!r}: {why}") from error
        finally:
            interrupts.ignore()  # the rest is soon done, and leaves nothing behind
            turns.close()
    filesystem = filesystem_at(directory)
    surroundings = Surroundings(
        directory=directory,
        filesystem=filesystem,
        is_memory=filesystem in _IN_MEMORY,
        seconds=seconds,
        took_s=SYSTEM_CLOCK.monotonic() - began,
        value_bytes=pickled_bytes(value_bytes),
        entries=entries_of(value_bytes),
        batch=turns.batch,
        timer_ns=timer_cost_ns(),
        cores=os.cpu_count() or 1,
        load=load,
    )
    return Answer(surroundings, turns.measured, turns.contestants, turns.absent)


def _directory_from(path: str | None) -> str:
    """Return the directory to measure below.

    Raises:
        click.UsageError, OSError: it is not there, is none, or its disk is nearly full.
    """
    directory = tempfile.gettempdir() if path is None else path
    if not directory:
        raise click.UsageError("DIRECTORY is empty; name one, or leave it out")
    directory = os.path.abspath(directory)
    if not os.path.exists(directory):
        raise FileNotFoundError(f"there is no directory {directory!r}")
    if not os.path.isdir(directory):
        raise NotADirectoryError(f"{directory!r} is a file, not a directory")
    free_bytes = shutil.disk_usage(directory).free
    if free_bytes < _FREE_BYTES:
        raise OSError(
            f"only {size_text(free_bytes)} are free in {directory!r}, and stores to measure need "
            f"{size_text(_FREE_BYTES)}; name another DIRECTORY"
        )
    return directory


@contextmanager
def _place(directory: str) -> Iterator[str]:
    """Give a new directory below *directory*, and remove it with all that is in it."""
    try:
        own = tempfile.mkdtemp(prefix=_PREFIX, dir=directory)
    except OSError as error:
        raise PermissionError(
            f"cannot write in {directory!r}: {error.strerror or error}"
        ) from error
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


class _Interrupts:
    """Ctrl-C between two steps: none is broken off in the middle, and what was made is removed.

    The second Ctrl-C ends a step that hangs.
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _ask(self, *_: object) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

    def stop(self) -> None:
        """End the run if Ctrl-C was pressed."""
        if self._asked:
            raise KeyboardInterrupt

    def ignore(self) -> None:
        """Let nothing interrupt what is done from now on."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
