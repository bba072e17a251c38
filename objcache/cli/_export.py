"""`objcache export`: what a store has, as lines that every language reads.

Knows: which records are exported, and what is told of it. Must not know: how a line is written.
"""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, NamedTuple

import click

from objcache.cli._foreign import one_line
from objcache.cli._keys import printable
from objcache.cli._options import (
    Place,
    command_options,
    output_option,
    place_options,
    shown_record,
)
from objcache.cli._options import json_record_key as json_key
from objcache.cli._payloads import type_of
from objcache.cli._progress import counting
from objcache.cli._screen import counted
from objcache.cli._whole_file import STDOUT, checked_output, written
from objcache.clock import MICROSECONDS, SYSTEM_CLOCK, in_seconds
from objcache.codecs import CodecId
from objcache.errors import (
    CodecError,
    MissingExtraError,
    ObjcacheError,
    UntrustedTypeError,
)
from objcache.header import Header
from objcache.keys import decode_without_classes
from objcache.lines import (
    CHUNK_BYTES,
    LARGEST_LINE_BYTES,
    LineTooLongError,
    LineWriter,
    NotDataError,
    bytes_of_pickle,
    form_of_key,
    form_of_value,
)
from objcache.records import Encoded
from objcache.store import RawRecord, RawRecords
from objcache.store.dated import MEMOIZE
from objcache.store.generations import BESIDE

__all__ = ["export"]

_COMPLETE: Final = 0
_INCOMPLETE: Final = 1
_LISTED: Final = 1000
_SHOWN: Final = 20
_DATA_CODECS: Final = frozenset({CodecId.RAW, CodecId.JSON, CodecId.MSGPACK})


@dataclasses.dataclass
class _Outcome:
    """What an export has done so far; its fields are those of `--json`."""

    path: str
    output: str
    ok: bool = False
    entries: int = 0
    payloads: int = 0
    expired: int = 0
    left_out: int = 0
    unreadable: int = 0
    failures: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def fail(self, raw: RawRecord, reason: str) -> None:
        """Count an entry that cannot be exported; the first of them are listed."""
        self.unreadable += 1
        if len(self.failures) < _LISTED:
            self.failures.append(
                {
                    "key": json_key(raw),
                    "shown": shown_record(raw),
                    "at": raw.located.hex(),
                    "reason": one_line(reason),
                }
            )

    @property
    def code(self) -> int:
        """The exit code."""
        return _INCOMPLETE if self.left_out or self.unreadable else _COMPLETE


class _Written(NamedTuple):
    """The value of an entry as it is written: fields of its line, and the bytes that follow it."""

    fields: dict[str, Any]
    pieces: Iterator[bytes | memoryview] = iter(())


@click.command()
@command_options
@output_option(default=STDOUT, help="Write to a new FILE; - is stdout.")
@click.option("--force", is_flag=True, help="FILE may exist; it is replaced at the end.")
@click.option("--data-only", is_flag=True, help="Leave out what is no data.")
@place_options
def export(
    *,
    path: str,
    output: str,
    force: bool,
    data_only: bool,
    place: Place,
    as_json: bool,
    no_color: bool,
) -> int:
    """Write the entries of a store, its namespaces and its caches as JSON Lines.

    Keys and values that are data are written as data, which any language can read. Other values
    travel as they are encoded, and are not loaded; --data-only leaves them out. All is of one
    moment. What memoized functions keep, and entries that are over, are not exported.

    With --json what was done is one object: on stderr, if the lines go to stdout.

    Exit code: 0 all was exported, 1 something was left out, 2 refused or stopped: no FILE.

    Example: objcache export ./library -o library.jsonl
    """
    if not {MEMOIZE, BESIDE}.isdisjoint(place.names):
        raise click.UsageError(f"what lies in {place} belongs to memoized functions, and stays")
    outcome = _Outcome(path, output)
    # An allow-list without additions: plain data of the standard library, and nothing else.
    with RawRecords(path, trust=()) as records, records.one_moment():
        target = checked_output(output, records.directory, force=force)
        chosen = _chosen(records, place)
        exported = _exported(place)
        with (
            written(target, force=force) as write,
            _progress(target, no_color=no_color) as tell,
        ):
            to_terminal = target == STDOUT and sys.stdout.isatty()
            writer = LineWriter(write, exported, ascii_only=to_terminal)
            for number, raw in enumerate(chosen):
                _export_one(records, raw, writer, outcome, data_only=data_only)
                if tell is not None:
                    tell(number + 1, None)
            writer.end()
            outcome.entries = writer.entries
    outcome.ok = outcome.code == _COMPLETE
    _tell(outcome, as_json=as_json)
    return outcome.code


def _progress(target: str, *, no_color: bool) -> AbstractContextManager[Any]:
    # A bar and lines on one terminal would be neither.
    return nullcontext() if target == STDOUT else counting("exporting", no_color=no_color)


def _exported(place: Place) -> Any:
    if place == Place((), is_cache=False):
        return "everything"
    return {"cache" if place.is_cache else "namespace": list(place.names)}


def _chosen(records: RawRecords, place: Place) -> Iterator[RawRecord]:
    if place != Place((), is_cache=False):
        return records.records(place.find(records))
    return (raw for raw in records.all_records() if {MEMOIZE, BESIDE}.isdisjoint(raw.mapping.names))


# -- one entry -------------------------------------------------------------------------------


def _export_one(
    records: RawRecords, raw: RawRecord, writer: LineWriter, outcome: _Outcome, *, data_only: bool
) -> None:
    header = raw.header
    if header is None or raw.trust != "signed":
        outcome.fail(raw, raw.problem or f"it is {raw.trust}; objcache audit tells more")
        return
    if raw.mapping.prefix and not raw.mapping.names and not raw.mapping.is_cache:
        outcome.fail(raw, "the name of its namespace is lost; objcache check tells more")
        return
    if _is_over(raw, header):
        outcome.expired += 1
        return
    try:
        entry = _place_and_key(raw, header)
        pieces = _write(records, raw, header, entry, writer, outcome, data_only=data_only)
    except LineTooLongError:
        outcome.fail(raw, f"its key is larger than a line of {LARGEST_LINE_BYTES:,} bytes")
    except (NotDataError, ObjcacheError) as error:
        outcome.fail(raw, str(error))
    else:
        # Its line is written: what is wrong from now on ends the export.
        writer.chunks(pieces)


def _is_over(raw: RawRecord, header: Header) -> bool:
    deadline_us = header.deadline_us if raw.mapping.is_cache else None
    return deadline_us is not None and deadline_us <= SYSTEM_CLOCK.now() * MICROSECONDS


def _place_and_key(raw: RawRecord, header: Header) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    if raw.mapping.is_cache:
        entry["cache"] = list(raw.mapping.names)
    elif raw.mapping.names:
        entry["namespace"] = list(raw.mapping.names)
    key = raw.key if raw.is_key_known else decode_without_classes(header.full_key)
    entry["key"] = form_of_key(key)
    return entry


def _write(
    records: RawRecords,
    raw: RawRecord,
    header: Header,
    entry: dict[str, Any],
    writer: LineWriter,
    outcome: _Outcome,
    *,
    data_only: bool,
) -> Iterator[bytes | memoryview]:
    """Write the line of an entry; return the bytes that are to follow it."""
    try:
        data = _data(records, raw, header)
        writer.entry({**entry, **data.fields, **_dates(raw, header)})
    except (NotDataError, LineTooLongError) as error:
        if data_only:
            outcome.left_out += 1
            return iter(())
        why = str(error) if isinstance(error, NotDataError) else "it is larger than a line"
        payload = _payload(records.encoded(raw), one_line(why))
        writer.entry({**entry, **payload.fields, **_dates(raw, header)})
        outcome.payloads += 1
        return payload.pieces
    return data.pieces


def _dates(raw: RawRecord, header: Header) -> dict[str, Any]:
    if not raw.mapping.is_cache:
        return {}
    dates: dict[str, Any] = {}
    if header.created_us is not None:
        dates["created"] = in_seconds(header.created_us)
    if header.deadline_us is not None:
        dates["deadline"] = in_seconds(header.deadline_us)
    if header.tags:
        dates["tags"] = list(header.tags)
    return dates


def _data(records: RawRecords, raw: RawRecord, header: Header) -> _Written:
    """Return the value of a record as data.

    Raises:
        NotDataError: it is none; nothing that it names was imported or called.
        SignatureError, CorruptRecordError, StoreError: it cannot be read.
    """
    codec = header.codec_id
    if codec == CodecId.RAW:
        stream, size = records.blob(raw)
        if size >= CHUNK_BYTES:
            return _Written({"blob": size}, _read(stream))
        with stream:
            return _Written({"value": form_of_value(stream.read()), "codec": "raw"})
    if codec != CodecId.PICKLE and codec not in _DATA_CODECS:
        raise NotDataError(f"it was written by codec {codec} of its program's own")
    if codec == CodecId.PICKLE and len(header.buffers) > header.payload_aside:
        raise NotDataError(f"it is of {type_of(records, raw)}, with buffers beside its pickle")
    if _payload_bytes(header) > CHUNK_BYTES:
        payload = records.encoded(raw).payload
        found = bytes_of_pickle(payload) if codec == CodecId.PICKLE else None
        if found is not None:
            return _Written({"blob": len(found)}, iter([found]))
        if len(payload) > LARGEST_LINE_BYTES:
            raise NotDataError(f"it is larger than a line of {LARGEST_LINE_BYTES:,} bytes")
    fields = {"value": form_of_value(_loaded(records, raw))}
    if codec != CodecId.PICKLE:
        fields["codec"] = CodecId(codec).name.lower()
    return _Written(fields)


def _payload_bytes(header: Header) -> int:
    if header.payload_aside:
        return header.buffers[0].raw_bytes or header.buffers[0].end
    return header.payload_raw_bytes or header.payload_end - header.payload_start


def _loaded(records: RawRecords, raw: RawRecord) -> Any:
    try:
        return records.value(raw)
    except UntrustedTypeError as error:
        raise NotDataError(f"it names {error.module}.{error.name}") from error
    except (CodecError, MissingExtraError) as error:
        raise NotDataError(f"it cannot be decoded here: {error}") from error


def _read(stream: io.RawIOBase | io.BytesIO) -> Iterator[bytes]:
    with stream:
        while piece := stream.read(CHUNK_BYTES):
            yield piece


def _payload(encoded: Encoded, why: str) -> _Written:
    parts = [memoryview(part).cast("B") for part in (encoded.payload, *encoded.buffers)]
    try:
        codec: str | int = CodecId(encoded.codec_id).name.lower()
    except ValueError:
        codec = encoded.codec_id
    fields = {
        "codec": codec,
        "version": encoded.codec_version,
        "sizes": [len(part) for part in parts],
        "why": why,
    }
    return _Written({"payload": fields}, iter(parts))


# -- what is told ----------------------------------------------------------------------------


def _tell(outcome: _Outcome, *, as_json: bool) -> None:
    to_file = outcome.output != STDOUT
    output = sys.stdout if to_file else sys.stderr
    if as_json:
        print(json.dumps(dataclasses.asdict(outcome)), file=output)
        return
    quiet = not to_file and not outcome.payloads and outcome.code == _COMPLETE
    if quiet:
        return
    name = printable(outcome.output) if to_file else "objcache"
    print(f"{name}: {_entries(outcome.entries)} exported from {outcome.path}", file=output)
    told = (
        (outcome.payloads, "as they are encoded, being no data: import wants --trust-source"),
        (outcome.expired, "not exported: their deadline has come"),
        (outcome.left_out, "not exported: they are no data"),
        (outcome.unreadable, "not exported: they cannot be read"),
    )
    for number, what in told:
        if number:
            print(f"  {number:,} {what}", file=output)
    for failure in outcome.failures[:_SHOWN]:
        print(f"    {failure['shown']}: {failure['reason']}", file=output)
    if outcome.unreadable > _SHOWN:
        print(f"    ... {outcome.unreadable - _SHOWN:,} more; --json lists a thousand", file=output)


def _entries(number: int) -> str:
    return counted(number, "entry", "entries")
