"""What the commands have in common: arguments, how a store is opened, how a refusal is told.

Knows: click, and where stores are opened. Must not know: what any command does.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import click
from click.shell_completion import CompletionItem

from objcache.cli._keys import (
    json_key,
    key_from,
    names_from,
    names_text,
    printable,
    shown_key,
)
from objcache.engine import DEFAULT_DURABILITY, DURABILITIES, FILE_NAME, written_durability
from objcache.errors import CorruptStoreError, ObjcacheError, StoreNotFoundError
from objcache.store import Mapped, RawRecord, RawRecords, Store, refuse_damaged
from objcache.store.dated import MEMOIZE
from objcache.store.generations import BESIDE

__all__ = [
    "NOT_FOUND",
    "REFUSED",
    "Place",
    "answer_options",
    "color_option",
    "command_options",
    "complete_directories",
    "complete_files",
    "json_record_key",
    "key_options",
    "missing",
    "output_option",
    "place_options",
    "print_json",
    "refused",
    "shown_record",
    "store_to_read",
    "writable",
    "write_options",
]

NOT_FOUND: Final = 1
REFUSED: Final = 2
_WRITE_TIMEOUT_S: Final = 30.0

Command = Callable[..., Any]

color_option: Final = click.option("--no-color", is_flag=True, help="No colours.")


class Place(NamedTuple):
    """Which mapping of a store a command is about."""

    names: tuple[str, ...]
    is_cache: bool

    def find(self, records: RawRecords) -> Mapped:
        """Return it.

        Raises:
            click.UsageError: there is no such cache.
        """
        found = records.mapping(self.names, is_cache=self.is_cache)
        if found is None:
            there = ", ".join(names_text(cache.names) for cache in records.caches()) or "none"
            raise click.UsageError(
                f"there is no cache {names_text(self.names)!r} in {records.directory!r}; "
                f"caches there: {there}"
            )
        return found

    def __str__(self) -> str:
        if self.is_cache:
            return f"cache {names_text(self.names)}"
        return f"namespace {names_text(self.names)}" if self.names else "store"


# -- options ---------------------------------------------------------------------------------


def command_options(command: Command) -> Command:
    """Give a command that reads PATH, --json and --no-color; make its refusals tell."""
    return _with(answer_options(command), (_path_argument(),))


def answer_options(command: Command) -> Command:
    """Give a command --json and --no-color; make its refusals tell, with its *path* if it has one."""

    @functools.wraps(command)
    def run(*, as_json: bool, **options: Any) -> Any:
        try:
            return command(as_json=as_json, **options)
        except BrokenPipeError:
            raise  # whoever reads has seen enough: click ends the command
        except (ObjcacheError, OSError) as error:
            return refused(error, options.get("path") or "", as_json=as_json)

    options = (
        click.option("--json", "as_json", is_flag=True, help="For programs; see the reference."),
        color_option,
    )
    return _with(run, options)


def write_options(command: Command) -> Command:
    """Give PATH to a command that writes, or that tells refusals in its own way."""
    return _with(command, (_path_argument(),))


def place_options(command: Command) -> Command:
    """Give a command --namespace and --cache, as one argument *place*."""

    @functools.wraps(command)
    def run(*, namespace: str | None, cache: str | None, **options: Any) -> Any:
        if namespace is not None and cache is not None:
            raise click.UsageError("--namespace and --cache exclude each other")
        given = cache if namespace is None else namespace
        try:
            names = () if given is None else names_from(given)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        return command(place=Place(names, is_cache=cache is not None), **options)

    options = (
        click.option("--namespace", metavar="NAMES", help="In this namespace: a/b."),
        click.option("--cache", metavar="NAMES", help="In this cache: / or a/b."),
    )
    return _with(run, options)


def key_options(command: Command) -> Command:
    """Give a command --text; its *key* or *keys* become what they stand for."""

    @functools.wraps(command)
    def run(*, text: bool, **options: Any) -> Any:
        for name in ("key", "key_prefix"):
            if options.get(name) is not None:
                options[name] = key_from(options[name], is_text=text)
        if "keys" in options:
            options["keys"] = [key_from(key, is_text=text) for key in options["keys"]]
        return command(**options)

    return _with(
        run, (click.option("--text", is_flag=True, help="KEY is text, whatever it says."),)
    )


def _path_argument() -> Command:
    return click.argument("path", callback=_no_empty_path, shell_complete=complete_directories)


def complete_directories(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Tell a shell that completes a command line that a directory belongs here."""
    return [CompletionItem(incomplete, type="dir")]


def complete_files(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Tell a shell that completes a command line that a file or directory belongs here."""
    return [CompletionItem(incomplete, type="file")]


output_option: Final = functools.partial(
    click.option, "-o", "--output", metavar="FILE", shell_complete=complete_files
)
"""An option for the file that a command writes."""


def _no_empty_path(_context: click.Context, _parameter: click.Parameter, path: str) -> str:
    if not path:
        raise click.BadParameter("PATH is empty; name the directory of a store")
    return path


def _with(command: Command, options: tuple[Command, ...]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


# -- stores ----------------------------------------------------------------------------------


@contextmanager
def store_to_read(path: str) -> Iterator[Store[Any, Any]]:
    """Open the store at *path* so that it cannot be written to."""
    refuse_damaged(path)
    with Store(path, readonly=True) as store:
        yield store


def writable(path: str, place: Place | None = None) -> dict[str, Any]:
    """Return how the store at *path* is opened to write to *place*.

    It is opened with the durability that it was last written with: all who write to it agree on
    one.

    Raises:
        click.UsageError: memoized functions keep their results there.
    """
    if place is not None and not {MEMOIZE, BESIDE}.isdisjoint(place.names):
        raise click.UsageError(
            f"what lies in {place} belongs to memoized functions; use their cache_clear and forget"
        )
    refuse_damaged(path)
    durability = written_durability(path)
    if durability not in DURABILITIES:
        durability = DEFAULT_DURABILITY
    return {"create": False, "durability": durability, "timeout": _WRITE_TIMEOUT_S}


# -- telling ---------------------------------------------------------------------------------


def refused(error: Exception | str, path: str = "", *, as_json: bool = False) -> int:
    """Tell in one line, or one JSON object, why nothing was done; return the exit code.

    Args:
        error: why.
        path: of the store, for JSON.
        as_json: print an object.
    """
    message = printable(" ".join(str(error).split()))
    if isinstance(error, StoreNotFoundError):
        message = f"there is no store at {error.path!r}: no file {FILE_NAME!r} lies there"
    elif isinstance(error, CorruptStoreError) and "objcache check" not in message:
        message += "; objcache check tells more, and saves what can be saved"
    if as_json:
        print_json({"path": path, "ok": False, "error": message})
    else:
        print(f"objcache: error: {message}", file=sys.stderr)
    return REFUSED


def missing(path: str, place: Place, shown: str, *, as_json: bool) -> int:
    """Tell that an entry is not there; return the exit code.

    Args:
        path: of the store.
        place: where it was looked for.
        shown: its key, as people write it.
        as_json: in a JSON object.
    """
    message = f"no entry {shown} in the {place} at {path}"
    if as_json:
        print_json({"path": path, "ok": False, "error": message})
    else:
        print(f"objcache: {message}", file=sys.stderr)
    return NOT_FOUND


def json_record_key(raw: RawRecord) -> Any:
    """Return the key of a record for JSON; None where it cannot be told."""
    return json_key(raw.key) if raw.is_key_known else None


def shown_record(raw: RawRecord) -> str:
    """Return the key of a record as it is typed, else where it lies."""
    return shown_key(raw.key) if raw.is_key_known else f"at {raw.located.hex()}"


def print_json(found: Mapping[str, Any]) -> None:
    """Print one JSON object on a line of its own."""
    print(json.dumps(found))
