"""`objcache import`: lines that `export` has written, in a store.

Knows: the target, and what is told of an import. Must not know: how a line is read.
"""

from __future__ import annotations

import dataclasses
import mmap
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import accumulate, chain
from typing import Any, BinaryIO, Final, Self

import click

import objcache
from objcache.cache import tags_of
from objcache.cli._foreign import ForeignError, name_of, one_line
from objcache.cli._importing import (
    BATCH_ENTRIES,
    Outcome,
    entries_text,
    in_batches,
    options_for,
    say,
    store_one,
    tell_counts,
)
from objcache.cli._options import command_options, complete_files, print_json, refused
from objcache.cli._progress import counting
from objcache.clock import SYSTEM_CLOCK
from objcache.errors import KeyEncodingError, ObjcacheError
from objcache.lines import CHUNK_BYTES, Content, LineEntry, LineError, LineReader
from objcache.records import Encoded
from objcache.store.dated import MEMOIZE
from objcache.store.encoded import put_encoded
from objcache.store.generations import BESIDE

__all__ = ["import_"]

_STDIN: Final = "-"
_BATCH_BYTES: Final = 1 << 22

Place = tuple[tuple[str, ...], bool, str]


@dataclasses.dataclass
class _Outcome(Outcome):
    """What an import of lines has done so far."""

    replaced: int = 0


class _Targets:
    """The mappings of one store that entries go to, each opened when it is needed.

    Args:
        path: of the store.
        options: how it is opened.
    """

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        self._path = path
        self._options = options
        self._opened = ExitStack()
        self._mappings: dict[Place, Any] = {}
        self.store = self._opened.enter_context(objcache.Store(path, **options))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def mapping(self, names: tuple[str, ...], codec: str, *, is_cache: bool) -> Any:
        """Return a mapping that writes by *codec*."""
        place = names, is_cache, codec
        found = self._mappings.get(place)
        if found is None:
            found = self._mappings[place] = self._open(names, codec, is_cache=is_cache)
        return found

    def _open(self, names: tuple[str, ...], codec: str, *, is_cache: bool) -> Any:
        if names:
            return self.mapping(names[:-1], codec, is_cache=is_cache).namespace(names[-1])
        if is_cache:
            # Nothing is to be evicted; who uses the cache says what bounds it.
            cache = objcache.Cache(self._path, size_limit=None, codec=codec, **self._options)
            return self._opened.enter_context(cache)
        return self._opened.enter_context(objcache.Store(self._path, codec=codec, **self._options))


@click.command("import")
@command_options
@click.argument("source", metavar="FILE", shell_complete=complete_files)
@click.option("--trust-source", "trust", is_flag=True, help="Also what is no data: it runs as you.")
@click.option("--into-existing", is_flag=True, help="PATH may have entries; they stay.")
@click.option("--replace", is_flag=True, help="With --into-existing: those of FILE replace them.")
def import_(
    *,
    path: str,
    source: str,
    trust: bool,
    into_existing: bool,
    replace: bool,
    as_json: bool,
    no_color: bool,
) -> int:
    """Store the entries that `export` has written to FILE; - is stdin.

    The store is made if it is missing. Each line is checked; at the first that is wrong the import
    stops. Deadlines and tags are kept; what is over is left out.

    Values that are no data are stored with --trust-source only: they are signed with your secret,
    so that programs will load them, and a pickle can run any code as you.

    Exit code: 0 all was imported, 1 something was not, 2 stopped or bad input; what was imported
    before stays, and --into-existing goes on.

    Example: objcache import ./library library.jsonl
    """
    if replace and not into_existing:
        raise click.UsageError("--replace says what --into-existing does; say both")
    outcome = _Outcome(source, path)
    with _opened(source) as (stream, size_bytes):
        reader = LineReader(stream)
        entries = reader.entries()
        # A file whose first entry is wrong makes no store.
        entries = chain(list(_first(entries)), entries)
        try:
            options = options_for(path, into_existing=into_existing)
        except ForeignError as error:
            return refused(str(error), path, as_json=as_json)
        with (
            _Targets(path, options) as targets,
            counting("importing", no_color=no_color) as tell,
        ):
            taker = _Taker(reader, targets, outcome, trust=trust, replace=replace)
            if tell is not None:
                entries = _told(entries, lambda: tell(reader.position, size_bytes))
            _run(_batches(entries, reader), taker.take, targets.store, outcome)
    outcome.ok = outcome.code == 0
    if as_json:
        print_json(dataclasses.asdict(outcome))
    else:
        _tell(outcome, trust=trust, replace=replace)
    return outcome.code


@contextmanager
def _opened(source: str) -> Iterator[tuple[BinaryIO, int | None]]:
    """Give the stream of *source*, and how many bytes it has, where that is known."""
    if source == _STDIN:
        yield sys.stdin.buffer, None
        return
    with open(source, "rb") as stream:
        yield stream, os.fstat(stream.fileno()).st_size or None


def _first(entries: Iterator[LineEntry]) -> Iterator[LineEntry]:
    for entry in entries:
        yield entry
        return


def _told(entries: Iterator[LineEntry], tell: Callable[[], None]) -> Iterator[LineEntry]:
    for entry in entries:
        yield entry
        tell()


def _batches(entries: Iterator[LineEntry], reader: LineReader) -> Iterator[list[LineEntry]]:
    """Yield entries in batches; one that is followed by chunks makes a batch of its own.

    They are read before a transaction begins: others are not to wait for who writes to a pipe.
    """
    batch: list[LineEntry] = []
    begin = reader.position
    try:
        for entry in entries:
            if entry.sizes and batch:
                yield batch
                batch = []
            batch.append(entry)
            large = reader.position - begin >= _BATCH_BYTES
            if entry.sizes or large or len(batch) == BATCH_ENTRIES:
                yield batch
                batch, begin = [], reader.position
    except LineError:
        if batch:
            yield batch  # they are good
        raise
    if batch:
        yield batch


def _run(
    batches: Iterator[list[LineEntry]],
    take: Callable[[LineEntry], None],
    store: objcache.Store[Any, Any],
    outcome: _Outcome,
) -> None:
    """Import all that can be; what has happened is in *outcome*, however it ends."""
    try:
        for batch in batches:
            transaction = None if batch[0].sizes else store.transaction
            in_batches([batch], take, transaction, outcome, stops=LineError)
        store.sync()
    except KeyboardInterrupt:
        outcome.interrupted = True
    except (ObjcacheError, OSError) as error:
        if not outcome.imported:
            raise  # nothing was changed: it is a refusal
        outcome.error = one_line(str(error))


# -- one entry -------------------------------------------------------------------------------


class _Taker:
    """Stores one entry after the other.

    Args:
        reader: where they come from.
        targets: where they go.
        outcome: where they are counted.
        trust: store what is no data.
        replace: store what has an entry already.
    """

    def __init__(
        self,
        reader: LineReader,
        targets: _Targets,
        outcome: _Outcome,
        *,
        trust: bool,
        replace: bool,
    ) -> None:
        self._reader = reader
        self._targets = targets
        self._outcome = outcome
        self._trust = trust
        self._replace = replace

    def take(self, entry: LineEntry) -> None:
        """Store *entry*, or count why it is not.

        Raises:
            LineError: it cannot be one.
            ObjcacheError, OSError: nothing more can be stored.
        """
        if not {MEMOIZE, BESIDE}.isdisjoint(entry.names):
            raise self._reader.wrong("its place belongs to memoized functions", entry.line)
        outcome = self._outcome
        if entry.deadline is not None and entry.deadline <= SYSTEM_CLOCK.now():
            outcome.expired += 1
            return
        if entry.content is Content.PAYLOAD and not self._trust:
            outcome.refused += 1
            return
        try:
            mapping = self._targets.mapping(entry.names, entry.codec, is_cache=entry.is_cache)
            present = entry.key in mapping
            dates = self._dates(entry)
        except KeyEncodingError as error:
            raise self._reader.wrong(f"its key cannot be one: {error}", entry.line) from error
        except (TypeError, ValueError) as error:
            if isinstance(error, ObjcacheError):
                raise
            raise self._reader.wrong(f"it cannot be stored: {error}", entry.line) from error
        if present and not self._replace:
            outcome.present += 1
            return
        before = outcome.imported
        store_one(lambda: name_of(entry.key), lambda: self._put(mapping, entry, dates), outcome)
        outcome.replaced += present and outcome.imported > before

    def _dates(self, entry: LineEntry) -> dict[str, Any]:
        if not entry.is_cache:
            return {}
        tags_of(entry.tags)  # raises
        return {**self._left(entry), "tag": entry.tags}

    def _left(self, entry: LineEntry) -> dict[str, Any]:
        left = None if entry.deadline is None else entry.deadline - SYSTEM_CLOCK.now()
        return {"expire": None if left is None else max(left, 0)}

    def _put(self, mapping: Any, entry: LineEntry, dates: dict[str, Any]) -> None:
        if entry.content is Content.BLOB:
            with mapping.open_blob(entry.key, "wb", **dates) as blob:
                for piece in entry.pieces:
                    blob.write(piece)
            if entry.deadline is not None:  # which a blob counts from its end
                mapping.touch(entry.key, **self._left(entry))
        elif entry.content is Content.PAYLOAD:
            with _gathered(entry, self._targets.store.path) as parts:
                encoded = Encoded(*entry.encoded, parts[0], parts[1:])
                put_encoded(mapping, entry.key, encoded, **dates)
        elif entry.is_cache:
            mapping.set(entry.key, entry.value, **dates)
        else:
            mapping[entry.key] = entry.value


@contextmanager
def _gathered(entry: LineEntry, directory: str) -> Iterator[list[memoryview]]:
    """Give payload and buffers of an entry; large ones lie in a file without a name."""
    total = sum(entry.sizes)
    ends = list(accumulate(entry.sizes))
    if total <= CHUNK_BYTES:
        view = memoryview(b"".join(entry.pieces))
        yield [view[end - size : end] for size, end in zip(entry.sizes, ends, strict=True)]
        return
    with tempfile.TemporaryFile(dir=directory) as file:
        for piece in entry.pieces:
            file.write(piece)
        file.flush()
        view = memoryview(mmap.mmap(file.fileno(), total, access=mmap.ACCESS_READ))
        yield [view[end - size : end] for size, end in zip(entry.sizes, ends, strict=True)]


# -- what is told ----------------------------------------------------------------------------


def _tell(outcome: _Outcome, *, trust: bool, replace: bool) -> None:
    told: tuple[tuple[int, str], ...] = (
        (outcome.replaced, "of them in the place of another value"),
        (outcome.present, "there already, and left as they were"),
        (outcome.expired, "not imported: their deadline has come"),
        (outcome.refused, "not imported: they are no data"),
        (outcome.failed, "not imported: they cannot be stored"),
    )
    tell_counts(outcome, told)
    again = _again(outcome, trust=trust, replace=replace)
    if outcome.refused and outcome.error is None:
        say(
            f"{entries_text(outcome.refused)} not imported, as they are no data, and what is none can "
            f"run any code as you; if you know where they come from: {again}"
        )
    if outcome.interrupted:
        say(f"interrupted; what was imported stays, each entry whole; to go on: {again}")
    if outcome.error is not None:
        say(
            f"error: {outcome.error}; what was imported stays, and --into-existing goes on with a "
            "whole file"
        )


def _again(outcome: _Outcome, *, trust: bool, replace: bool) -> str:
    """Return the command that goes on from here."""
    words = ["objcache", "import", outcome.target, outcome.source, "--into-existing"]
    if trust or outcome.refused:
        words.append("--trust-source")
    if replace:
        words.append("--replace")
    return shlex.join(words)
