"""Keys and values as what JSON can write; docs/reference/lines.md is normative.

Knows: which types are data, and their tags. Must not know: lines, and how they are read back.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from datetime import date, datetime, timezone
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from objcache.keys.extended import STANDARD_NAMES, taken_apart
from objcache.lines._frames import (
    LARGEST_LINE_BYTES,
    LARGEST_SAFE_INT,
    MAX_DEPTH,
    MOST_DECIMAL_BITS,
    is_tag,
)

__all__ = ["NotDataError", "bytes_of_pickle", "form_of_key", "form_of_value"]

_BYTES_PICKLE: Final = re.compile(
    rb"\x80[\x03-\x05](?:\x95.{8})?(?:B(?P<short>.{4})|\x8e(?P<long>.{8}))", re.DOTALL
)
_ENDS: Final = frozenset({b"\x94.", b"q\x00.", b"."})
_HEAD_BYTES: Final = 32


class NotDataError(Exception):
    """A value is not written as data; the message says why."""


def form_of_value(value: Any) -> Any:
    """Return *value* as what JSON can write.

    Raises:
        NotDataError: it, or a part of it, is of a type that is no data, contains itself, nests
            too deeply, or is too large for a line.
    """
    return _Former(classes=False).whole(value)


def form_of_key(key: Any) -> Any:
    """Return *key* as what JSON can write; `Unloaded` stands for instances of the user's classes.

    Raises:
        NotDataError: it is too large for a line.
    """
    return _Former(classes=True).whole(key)


def bytes_of_pickle(payload: bytes | memoryview) -> memoryview | None:
    """Return the bytes that a pickle makes if it makes nothing else, without a copy; else None."""
    head = _BYTES_PICKLE.match(bytes(payload[:_HEAD_BYTES]))
    if head is None:
        return None
    size = int.from_bytes(head["short"] or head["long"], "little")
    view = memoryview(payload)[head.end() :]
    return view[:size] if bytes(view[size : size + 4]) in _ENDS else None


class _Former:
    """Makes the form of one key or value.

    Args:
        classes: whether instances of the user's classes have one, as in keys.
    """

    __slots__ = ("_classes", "_open", "_room")

    def __init__(self, *, classes: bool) -> None:
        self._classes = classes
        self._open: set[int] = set()
        # What is shared is written each time: a small value may have a form that fills the disk.
        self._room = LARGEST_LINE_BYTES

    def whole(self, value: Any) -> Any:
        """Return the form of all of it."""
        form = self._form(value)
        self._check_room()
        return form

    def _check_room(self) -> None:
        if self._room < 0:
            raise NotDataError(f"it is larger than a line of {LARGEST_LINE_BYTES:,} bytes")

    def _form(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            self._room -= len(value)
            return value if value.isascii() else _text(value)
        if kind is int:
            self._room -= 1
            if -LARGEST_SAFE_INT <= value <= LARGEST_SAFE_INT:
                return value
            return self._large(value)
        if kind is float:
            self._room -= 1
            return value if value - value == 0 else {"$float": str(value)}
        if value is None or kind is bool:
            self._room -= 1
            return value
        leaf = _LEAVES.get(kind)
        if leaf is not None:
            return self._leaf(value, leaf)
        return self._inside(value, kind)

    def _large(self, value: int) -> Any:
        self._room -= value.bit_length() // 4
        self._check_room()
        return {"$int": str(value) if value.bit_length() <= MOST_DECIMAL_BITS else hex(value)}

    def _leaf(self, value: Any, leaf: Callable[[Any], Any]) -> Any:
        if isinstance(value, bytes | bytearray):
            self._room -= len(value) * 4 // 3
        self._room -= 10
        self._check_room()
        return leaf(value)

    def _inside(self, value: Any, kind: type) -> Any:
        """Return the form of a value that has parts."""
        self._room -= 2
        self._check_room()
        if id(value) in self._open:
            raise NotDataError("it contains itself")
        if len(self._open) == MAX_DEPTH:
            raise NotDataError(f"it nests deeper than {MAX_DEPTH}")
        self._open.add(id(value))
        try:
            if kind is list:
                return [self._form(part) for part in value]
            if kind is dict:
                return self._dict(value)
            made = _CONTAINERS.get(kind)
            return self._named(value, kind) if made is None else made(self, value)
        finally:
            self._open.discard(id(value))

    def _dict(self, value: dict[Any, Any]) -> Any:
        for key in value:
            if type(key) is not str or is_tag(key, len(value)) or not _is_text(key):
                return {"$dict": self._pairs(value)}
        self._room -= sum(map(len, value))
        return {key: self._form(part) for key, part in value.items()}

    def _pairs(self, value: dict[Any, Any]) -> list[list[Any]]:
        return [[self._form(key), self._form(part)] for key, part in value.items()]

    def of_tuple(self, value: Any) -> Any:
        return {"$tuple": [self._form(part) for part in value]}

    def of_set(self, value: Any) -> Any:
        return {f"${type(value).__name__}": self._sorted(value)}

    def _sorted(self, parts: Iterable[Any]) -> list[Any]:
        # The order of a set differs from process to process; that of an export should not.
        return sorted((self._form(part) for part in parts), key=json.dumps)

    def of_keyed(self, value: Any) -> Any:
        if vars(value):
            raise NotDataError(f"it is a {type(value).__name__} with attributes")
        return {f"${type(value).__name__}": self._pairs(value)}

    def of_deque(self, value: Any) -> Any:
        return {"$deque": [value.maxlen, [self._form(part) for part in value]]}

    def of_datetime(self, value: Any) -> Any:
        zone = value.tzinfo
        if zone is not None and type(zone) is not timezone:
            if type(zone) is not ZoneInfo:
                raise NotDataError(f"it has a time zone of type {_name(type(zone))}")
        elif not value.fold and (zone is None or len(taken_apart(zone)[1]) == 1):
            return {"$datetime": value.isoformat()}
        wall = value.replace(tzinfo=None, fold=0).isoformat()
        return {"$datetime": [wall, self._form(zone), value.fold]}

    def _named(self, value: Any, kind: type) -> Any:
        """Return the form of what keys write as a name and parts."""
        try:
            name, parts, _ = taken_apart(value)
        except Exception as error:  # a refusal, or whatever such a class does
            raise NotDataError(f"it has a {_name(kind)}") from error
        if not self._classes and name not in STANDARD_NAMES:
            raise NotDataError(f"it has a {_name(kind)}")
        if len(parts) == 1 and type(parts[0]) is str:
            return {f"${name}": self._form(parts[0])}
        return {f"${name}": [self._form(part) for part in parts]}


def _is_text(text: str) -> bool:
    """Return whether UTF-8 has all of *text*."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(text: str) -> Any:
    if _is_text(text):
        return text
    return {"$str": base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()}


def _bytes(value: Any) -> Any:
    return {f"${type(value).__name__}": base64.b64encode(value).decode()}


def _zone(value: Any) -> Any:
    if value.key is None:
        raise NotDataError("it has a zoneinfo.ZoneInfo without a key")
    return {"$ZoneInfo": value.key}


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


_LEAVES: Final[dict[type, Callable[[Any], Any]]] = {
    bytes: _bytes,
    bytearray: _bytes,
    date: lambda value: {"$date": value.isoformat()},
    UUID: lambda value: {"$UUID": str(value)},
    ZoneInfo: _zone,
}
_CONTAINERS: Final[dict[type, Callable[[_Former, Any], Any]]] = {
    tuple: _Former.of_tuple,
    set: _Former.of_set,
    frozenset: _Former.of_set,
    OrderedDict: _Former.of_keyed,
    Counter: _Former.of_keyed,
    deque: _Former.of_deque,
    datetime: _Former.of_datetime,
}
