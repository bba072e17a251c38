"""`objcache inspect`: one record, taken apart without loading what is in it.

Knows: the terminal, and what headers and pickles say. Must not know: how either is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import click
from rich.console import Console

from objcache import header as header_module
from objcache.cli._keys import mapping_text, moment_text, printable, shown_key, size_text
from objcache.cli._options import (
    Place,
    command_options,
    json_record_key,
    key_options,
    missing,
    place_options,
    print_json,
)
from objcache.cli._payloads import pickle_shape
from objcache.cli._screen import console, show_table
from objcache.clock import in_seconds
from objcache.codecs import (
    ALWAYS_TRUSTED,
    CompressionId,
    PickleShape,
    Shape,
    opcodes_of,
)
from objcache.errors import ObjcacheError
from objcache.header import FORMAT_VERSION, Header
from objcache.store import RawRecord, RawRecords

__all__ = ["inspect"]

_FLAGS: Final = (
    *("SIGNED", "DEADLINE", "TAGS", "FULL_KEY", "BUFFERS", "COST", "CREATED", "SIDE_FILE"),
    "COMPRESSED",
)
_DEEPEST: Final = 4
_MOST_LINES: Final = 200
_TEXT: Final = 60
_TRUST: Final = {
    "signed": "signed with your secret",
    "unsigned": "NOT SIGNED: objcache never loads it",
    "foreign": "signed with another secret, or altered: objcache never loads it",
    "damaged": "damaged: it is no record",
}


@click.command()
@command_options
@click.argument("key", required=False)
@click.option("--at", metavar="HEX", help="Instead of KEY: where it lies, as `audit` says it.")
@click.option("--opcodes", is_flag=True, help="Also each opcode of the pickle.")
@key_options
@place_options
def inspect(
    *,
    path: str,
    key: Any,
    at: str | None,
    opcodes: bool,
    place: Place,
    as_json: bool,
    no_color: bool,
) -> int:
    """Take the record of KEY apart: who signed it, its header, and what its pickle would do.

    Nothing of the pickle is loaded or imported, so this is safe for a record that somebody has
    planted, and for stores of another secret. With --json one object.

    Exit code: 0; 1 there is no such entry; 2 no store there, or no permission to read it.

    Example: objcache inspect ./library "('user', 7)" --opcodes
    """
    with RawRecords(path, foreign=True) as records:
        found = _found(records, place, key, at)
        if found is None:
            shown = shown_key(key) if at is None else f"at {at}"
            return missing(path, place, shown, as_json=as_json)
        told = _told(records, found)
        shape, problem = _shape(records, found)
        if as_json:
            told["payload_problem"] = problem or None
            told["pickle"] = None if shape is None else _pickle_json(shape)
            if opcodes and shape is not None:
                told["opcodes"] = list(_opcodes(records, found))
            print_json(told)
            return 0
        output = console(no_color=no_color)
        _show(output, records, found, told)
        if problem:
            output.print(f"\nits value cannot be looked at: {printable(problem)}")
        if shape is not None:
            _show_pickle(output, shape)
            if opcodes:
                output.print()
                for position, name, argument in _opcodes(records, found):
                    output.print(f"{position:>8}  {name:<18} {argument}")
    return 0


def _found(records: RawRecords, place: Place, key: Any, at: str | None) -> RawRecord | None:
    if (key is None) == (at is None):
        raise click.UsageError("give a KEY, or --at")
    if at is None:
        return records.record_of(place.find(records), key)
    try:
        located = bytes.fromhex(at)
    except ValueError as error:
        raise click.UsageError(f"--at is not hexadecimal: {error}") from error
    return records.record_at(located) if located else None


# -- what the header says --------------------------------------------------------------------


def _told(records: RawRecords, found: RawRecord) -> dict[str, Any]:
    told: dict[str, Any] = {
        "key": json_record_key(found),
        "names": found.mapping.names,
        "is_cache": found.mapping.is_cache,
        "at": found.located.hex(),
        "trust": found.trust,
        "record_bytes": len(found.record),
        "problem": found.problem or None,
    }
    header = found.header
    if header is not None:
        told.update(_header(records, found, header))
    return told


def _header(records: RawRecords, found: RawRecord, header: Header) -> dict[str, Any]:
    return {
        "format": FORMAT_VERSION,
        "codec": records.kind(found),
        "codec_version": header.codec_version,
        "flags": [name for name in _FLAGS if header.flags & getattr(header_module, name)],
        "mac": header.mac.hex(),
        "deadline": in_seconds(header.deadline_us),
        "created": in_seconds(header.created_us),
        "cost_s": in_seconds(header.cost_us),
        "tags": list(header.tags),
        "full_key_bytes": len(header.full_key),
        "payload_bytes": header.payload_end - header.payload_start,
        "payload_raw_bytes": header.payload_raw_bytes or None,
        "compression": _compression(header.compression),
        "side_file": header.side_file.hex() or None,
        "side_file_bytes": header.side_file_bytes,
        "payload_in_side_file": header.payload_aside,
        "buffers": [
            {"bytes": part.end - part.start, "raw_bytes": part.raw_bytes or None}
            for part in header.buffers
        ],
    }


def _compression(number: int) -> str | None:
    if not number:
        return None
    known = {int(member): member.name.lower() for member in CompressionId}
    return known.get(number, f"compression {number}")


# -- what the pickle says --------------------------------------------------------------------


def _shape(records: RawRecords, found: RawRecord) -> tuple[PickleShape | None, str]:
    """Return what the pickle would make, and why that cannot be told."""
    if found.header is None:
        return None, ""
    try:
        return pickle_shape(records, found), ""
    except (ObjcacheError, MemoryError) as error:
        return None, str(error)


def _opcodes(records: RawRecords, found: RawRecord) -> Iterator[tuple[int, str, str]]:
    try:
        for opcode in opcodes_of(records.payload(found)):
            yield opcode.position, opcode.name, _cut(opcode.argument)
    except Exception as error:  # noqa: BLE001  # whatever somebody has planted raises
        yield -1, "damaged", printable(str(error))


def _pickle_json(shape: PickleShape) -> dict[str, Any]:
    return {
        "protocol": shape.protocol,
        "opcodes": shape.opcodes,
        "imports": list(shape.imports),
        "imports_not_always_trusted": [
            name for name in shape.imports if name not in ALWAYS_TRUSTED
        ],
        "calls": list(shape.calls),
        "problem": shape.problem or None,
        "root": _shape_json(shape.root, 0),
    }


def _shape_json(shape: Shape, depth: int) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": shape.kind}
    if shape.text:
        told["text"] = shape.text[:_TEXT]
    if shape.size is not None:
        told["size"] = shape.size
    if shape.parts and depth < _DEEPEST:
        told["parts"] = [_shape_json(part, depth + 1) for part in shape.parts[: _PARTS[depth]]]
    return told


# How many members are shown on each level: what a pickle refers to again and again must not
# grow without end.
_PARTS: Final = (20, 8, 4, 2)


# -- for people ------------------------------------------------------------------------------


def _show(output: Console, records: RawRecords, found: RawRecord, told: dict[str, Any]) -> None:
    if not records.own:
        output.print("this store is of another secret than yours\n", style="bold")
    mapping = found.mapping
    rows = [
        ("key", shown_key(found.key) if found.is_key_known else "not known"),
        ("in", mapping_text(mapping.names, is_cache=mapping.is_cache)),
        ("lies at", found.located.hex()),
        ("signature", _TRUST[found.trust]),
        ("record", size_text(len(found.record))),
    ]
    if found.problem:
        rows.append(("problem", printable(found.problem)))
    if found.header is not None:
        rows += _header_rows(told)
    show_table(output, (), rows)


def _header_rows(told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "format", str(told["format"])
    version = f"protocol {told['codec_version']}" if told["codec"] == "pickle" else ""
    yield "codec", f"{told['codec']} {version}".rstrip()
    yield "flags", ", ".join(told["flags"]) or "none"
    yield "MAC", told["mac"] or "none"
    for name in ("created", "deadline"):
        if told[name] is not None:
            yield name, str(moment_text(told[name]))
    if told["cost_s"] is not None:
        yield "cost", f"{told['cost_s']:.6g} s"
    if told["tags"]:
        yield "tags", printable(", ".join(told["tags"]))
    raw_bytes = told["payload_raw_bytes"]
    packed = f", {size_text(raw_bytes)} decompressed ({told['compression']})" if raw_bytes else ""
    yield "payload", size_text(told["payload_bytes"]) + packed
    if told["buffers"]:
        sizes = ", ".join(size_text(part["bytes"]) for part in told["buffers"][:8])
        yield "buffers", f"{len(told['buffers']):,}: {sizes}"
    if told["side_file"]:
        yield "side file", f"{told['side_file']}, {size_text(told['side_file_bytes'])}"


def _show_pickle(output: Console, shape: PickleShape) -> None:
    output.print(f"\npickle of protocol {shape.protocol}, {shape.opcodes:,} opcodes", style="bold")
    if shape.problem:
        output.print(printable(shape.problem))
    if not shape.imports:
        output.print("it imports nothing")
    for name in shape.imports:
        calls = ", and calls it" if name in shape.calls else ""
        trusted = "" if name in ALWAYS_TRUSTED else "   (not in the list of what is always trusted)"
        output.print(f"would import {printable(name)}{calls}{trusted}")
    output.print("it would make")
    for number, (depth, line) in enumerate(_tree(shape.root, 0)):
        if number == _MOST_LINES:
            output.print("  ...")
            break
        output.print(f"  {'  ' * depth}{line}")


def _tree(shape: Shape, depth: int) -> Iterator[tuple[int, str]]:
    yield depth, _line(shape)
    shown = shape.parts[: _PARTS[depth]] if depth < _DEEPEST else []
    for part in shown:
        yield from _tree(part, depth + 1)
    if shape.is_cut or len(shape.parts) > len(shown):
        yield depth + 1, "..."


def _line(shape: Shape) -> str:
    kind = printable(shape.kind)
    text = _cut(shape.text)
    if shape.kind == "str":
        return f"{kind} {text!r}, {shape.size:,} characters"
    if shape.kind in {"bytes", "bytearray"}:
        return f"{kind} {text}, {shape.size:,} bytes"
    if shape.size is not None:
        return f"{kind} of {shape.size:,}"
    return f"{kind} {text}".rstrip() if text != kind else kind


def _cut(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= _TEXT else f"{shown[:_TEXT]}..."
