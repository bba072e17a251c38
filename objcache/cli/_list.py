"""`objcache ls`: the entries of a store, a namespace or a cache, in the order of their keys.

Knows: the terminal. Must not know: how records are found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

import click

from objcache.cli._keys import printable, size_text, span_text
from objcache.cli._options import (
    Place,
    command_options,
    json_record_key,
    key_options,
    place_options,
    print_json,
    shown_record,
)
from objcache.cli._payloads import type_of
from objcache.cli._screen import console, show_table
from objcache.clock import SYSTEM_CLOCK, in_seconds
from objcache.protocols import MISSING
from objcache.store import RawRecord, RawRecords

__all__ = ["ls"]

_SHOWN: Final = 1000

Row = dict[str, Any]


@click.command()
@command_options
@click.argument("key_prefix", metavar="[PREFIX]", required=False)
@click.option(
    "--sort",
    type=click.Choice(["key", "size", "age", "deadline", "type"]),
    default="key",
    help="Largest, oldest and first over come first; all but `key` reads everything first.",
)
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option("--limit", type=click.IntRange(min=0), help="At most so many; 0 for all.")
@key_options
@place_options
def ls(
    *,
    path: str,
    key_prefix: Any,
    place: Place,
    sort: str,
    reverse: bool,
    limit: int | None,
    as_json: bool,
    no_color: bool,
) -> None:
    """List entries in the order of their keys: type, size, age, deadline, tags.

    PREFIX is the beginning of a text key, or a Python tuple of the first elements. No value is
    loaded: types are what the records say. Of a store only a Cache knows ages. With --json one
    object for each entry; without it, at most 1,000 unless --limit says otherwise.

    Exit code: 0; 2 no store or no such cache there, or not ours to read.

    Example: objcache ls ./library "('user',)" --sort size --limit 10
    """
    with RawRecords(path) as records:
        found = _rows(records, place, key_prefix, reverse=reverse and sort == "key")
        if sort != "key":
            found = iter(sorted(found, key=_ORDERS[sort], reverse=reverse))
        most = (0 if as_json else _SHOWN) if limit is None else limit
        chosen = islice(found, most) if most else found
        if as_json:
            for row in chosen:
                print_json(row)
            return
        _show(records, place, list(chosen), found, no_color=no_color)


def _rows(records: RawRecords, place: Place, key_prefix: Any, *, reverse: bool) -> Iterator[Row]:
    mapping = place.find(records)
    wanted = MISSING if key_prefix is None else key_prefix
    now = SYSTEM_CLOCK.now()
    for raw in records.records(mapping, wanted, reverse=reverse):
        yield _row(records, raw, now)


def _row(records: RawRecords, raw: RawRecord, now: float) -> Row:
    header = raw.header
    created = in_seconds(header and header.created_us)
    return {
        "key": json_record_key(raw),
        "type": type_of(records, raw),
        "codec": records.kind(raw),
        "size_bytes": raw.size_bytes,
        "created": created,
        "age_s": None if created is None else now - created,
        "deadline": in_seconds(header and header.deadline_us),
        "tags": list(header.tags) if header else [],
        "trust": raw.trust,
        "at": raw.located.hex(),
        "shown": shown_record(raw),
    }


def _last(value: float | None) -> float:
    return float("inf") if value is None else value


_ORDERS: Final[dict[str, Callable[[Row], Any]]] = {
    "size": lambda row: -row["size_bytes"],
    "age": lambda row: _last(row["created"]),
    "deadline": lambda row: _last(row["deadline"]),
    "type": lambda row: row["type"],
}


def _show(
    records: RawRecords, place: Place, rows: list[Row], more: Iterator[Row], *, no_color: bool
) -> None:
    output = console(no_color=no_color)
    now = SYSTEM_CLOCK.now()
    if rows:
        texts = [
            (
                *(row["shown"], printable(row["type"]), size_text(row["size_bytes"])),
                *("" if row["age_s"] is None else span_text(row["age_s"]), _left(row, now)),
                printable(", ".join(row["tags"])),
                "" if row["trust"] == "signed" else row["trust"],
            )
            for row in rows
        ]
        columns = ("key", "type", "size", "age", "left", "tags", "")
        show_table(output, columns, texts)
    if next(more, None) is not None:
        output.print(f"the first {len(rows):,}; --limit 0 shows all")
    elif not rows:
        output.print(f"{place}: no entries")
        if place == Place((), is_cache=False) and records.caches():
            output.print("there is a cache: --cache / lists its entries, info all that is here")


def _left(row: Row, now: float) -> str:
    deadline = row["deadline"]
    if deadline is None:
        return ""
    return span_text(deadline - now) if deadline > now else "over"
