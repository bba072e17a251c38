"""`objcache get`, `set` and `rm`: single entries.

Knows: the terminal. Must not know: records.
"""

from __future__ import annotations

import json
import pprint
import sys
from collections.abc import Sequence
from typing import Any

import click

from objcache.cache import Cache
from objcache.cli._keys import as_json as json_value
from objcache.cli._keys import json_key, printable, shown_key
from objcache.cli._options import (
    NOT_FOUND,
    Place,
    command_options,
    key_options,
    missing,
    place_options,
    print_json,
    writable,
    write_options,
)
from objcache.clock import MICROSECONDS, SYSTEM_CLOCK
from objcache.store import RawRecord, RawRecords, Store

__all__ = ["get", "rm", "set_"]


@click.command()
@command_options
@click.argument("key")
@click.option("--raw", is_flag=True, help="Text and bytes as they are, without a line break.")
@key_options
@place_options
def get(*, path: str, key: Any, place: Place, raw: bool, as_json: bool, no_color: bool) -> int:
    """Print the value of KEY.

    It is loaded as a program would load it, once its signature was verified: its classes must be
    importable. `inspect` looks at a record without loading it. KEY is a Python literal, as 42 or
    "('user', 7)", else text. With --json one object: `value` if JSON has such a value, and `repr`.

    Exit code: 0; 1 there is no such entry, or it is over; 2 it cannot be read.

    Example: objcache get ./library "('user', 7)"
    """
    del no_color
    with RawRecords(path) as records:
        found = records.record_of(place.find(records), key)
        if found is None or _is_over(found):
            return missing(path, place, shown_key(key), as_json=as_json)
        value = records.value(found)
    if raw:
        _write_raw(value)
    elif as_json:
        kind = type(value)
        name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        plain = json_value(value)
        answer: dict[str, Any] = {"key": json_key(key), "type": name, "repr": _shown(value)}
        if plain is not None or value is None:
            answer["value"] = plain
        print_json(answer)
    else:
        print(_shown(value))
    return 0


@click.command("set")
@write_options
@click.argument("key")
@click.argument("value", required=False)
@click.option("--text-value", is_flag=True, help="VALUE is text, not JSON.")
@click.option("--file", "source", type=click.File("rb"), help="The bytes of a file; - is stdin.")
@click.option("--expire", type=float, metavar="SECONDS", help="In a cache: over after so long.")
@click.option("--tag", "tags", multiple=True, help="In a cache; may be given several times.")
@key_options
@place_options
def set_(
    *,
    path: str,
    key: Any,
    value: str | None,
    text_value: bool,
    source: Any,
    place: Place,
    expire: float | None,
    tags: Sequence[str],
) -> None:
    """Store VALUE, which is JSON, under KEY.

    What is stored is data, never a pickle, whatever codec the program uses: any program that may
    read the store can read it. The store must be there.

    Exit code: 0; 2 nothing was stored.

    Example: objcache set ./library "('user', 7)" '{"name": "ada"}'
    """
    if (value is None) == (source is None):
        raise click.UsageError("give a VALUE, or --file")
    if (expire is not None or tags) and not place.is_cache:
        raise click.UsageError("--expire and --tag belong to --cache")
    content, codec = _content(value, source, is_text=text_value)
    options = writable(path, place)
    if place.is_cache:
        with RawRecords(path) as records:
            place.find(records)  # a mistyped name makes no new cache
        with Cache(path, size_limit=None, codec=codec, **options) as cache:
            given = {} if expire is None else {"expire": expire}
            _below(cache, place).set(key, content, tag=tuple(tags), **given)
    else:
        with Store(path, codec=codec, **options) as store:
            _below(store, place)[key] = content


@click.command()
@write_options
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@key_options
@place_options
def rm(*, path: str, keys: Sequence[Any], place: Place) -> int:
    """Remove entries, all in one transaction.

    Exit code: 0; 1 one of them was not there, the others are removed; 2 nothing was removed.

    Example: objcache rm ./library "('user', 7)" "('user', 8)"
    """
    options = writable(path, place)
    with RawRecords(path) as records:
        mapping = place.find(records)
        there = [records.record_of(mapping, key) is not None for key in keys]
    if place.is_cache:
        with Cache(path, size_limit=None, **options) as cache:
            _below(cache, place).delete_many(list(keys))
    else:
        with Store(path, **options) as store:
            _below(store, place).delete_many(list(keys))
    not_there = [key for key, found in zip(keys, there, strict=True) if not found]
    for key in not_there:
        missing(path, place, shown_key(key), as_json=False)
    return NOT_FOUND if not_there else 0


def _below(whole: Any, place: Place) -> Any:
    for name in place.names:
        whole = whole.namespace(name)
    return whole


def _content(value: str | None, source: Any, *, is_text: bool) -> tuple[Any, str]:
    """Return what is to be stored, and the codec for it."""
    if value is None:
        content = source.read()
        return (content.decode(), "json") if is_text else (content, "raw")
    if is_text:
        return value, "json"
    try:
        return json.loads(value), "json"
    except ValueError as error:
        raise click.UsageError(
            f"VALUE is not JSON: {error}; --text-value takes it as text"
        ) from error


def _is_over(found: RawRecord) -> bool:
    deadline_us = found.header and found.header.deadline_us
    if deadline_us is None or not found.mapping.is_cache:
        return False
    return deadline_us <= SYSTEM_CLOCK.now() * MICROSECONDS


def _write_raw(value: Any) -> None:
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    if not isinstance(value, bytes | bytearray | memoryview):
        raise click.UsageError(
            f"--raw is for text and bytes, this is of type {type(value).__name__}"
        )
    sys.stdout.buffer.write(value)
    sys.stdout.flush()


def _shown(value: Any) -> str:
    try:
        text = pprint.pformat(value, width=100, sort_dicts=False)
    except Exception as error:  # a class may fail in its own __repr__
        kind = type(value)
        raise click.ClickException(
            f"a value of type {kind.__module__}.{kind.__qualname__} cannot be shown: "
            f"{type(error).__name__}: {error}"
        ) from error
    return "\n".join(map(printable, text.split("\n")))
