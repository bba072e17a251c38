"""The canonical bytes of a value: equal for equal values, of whatever process.

Knows: the structure of plain Python values. Must not know: what the hash is for.

Every part is written as a tag and a length, so that no two sequences of parts give the same
bytes; dicts and sets as the sorted encodings of their members. Never `repr`, never `id`, never
anything that depends on PYTHONHASHSEED, on interning or on what is shared.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from blake3 import blake3

from objcache.errors import UnkeyableArgumentError

__all__ = ["canonical", "digest", "register"]

_DOUBLE: Final = struct.Struct(">d")
_NAN: Final = b"f" + b"\x7f\xf8" + bytes(6)
_LARGE_BYTES: Final = 1 << 16
_MOST_DEPTH: Final = 400

Handler = Callable[[Any], bytes]
T = TypeVar("T")


class _UnkeyableError(Exception):
    """Some part has no canonical form; which one is looked for only then."""


def digest(value: object, *, path: str = "value") -> bytes:
    """Return the 32-byte BLAKE3 of the canonical form of *value*.

    Args:
        value: plain values (None, bool, int, float, complex, str, bytes, tuple, list, dict, set,
            frozenset), dates, decimals, enums, named tuples, dataclasses, paths, UUIDs, functions
            (by code, defaults and closure), classes (by name), and whatever was registered.
        path: what the value is called in messages.

    Raises:
        UnkeyableArgumentError: naming the part that has no stable value, and the remedies.

    Cost: proportional to the size of the value.
    """
    return blake3(canonical(value, path=path)).digest()


def canonical(value: object, *, path: str = "value") -> bytes:
    """Return the canonical form of *value*; see `digest`.

    bytes of 64 KiB and more stand there as their BLAKE3.
    """
    try:
        return encode(value)
    except (_UnkeyableError, RecursionError):
        _raise_unkeyable(value, path)
        raise


def encode(value: Any) -> bytes:
    """Return the canonical form; the error of a failure names no path."""
    handler = _EXACT.get(type(value))
    return _encode_rare(value) if handler is None else handler(value)


def _text(value: str) -> bytes:
    content = value.encode("utf-8", "surrogatepass")
    return b"s%d:%b" % (len(content), content)


def _float(value: float) -> bytes:
    return _NAN if value != value else b"f" + _DOUBLE.pack(value)  # noqa: PLR0124  # NaN


def _content(tag: bytes, content: bytes | bytearray) -> bytes:
    size = len(content)
    if size < _LARGE_BYTES:
        return b"%b%d:%b" % (tag, size, bytes(content))
    return b"%b%d#%b" % (tag, size, blake3(content).digest())


def _sequence(tag: bytes, members: Any) -> bytes:
    parts = [b"%b%d:" % (tag, len(members))]
    exact = _EXACT
    for member in members:
        handler = exact.get(type(member))
        parts.append(_encode_rare(member) if handler is None else handler(member))
    return b"".join(parts)


def _dict(value: dict[Any, Any]) -> bytes:
    entries = sorted(encode(key) + encode(member) for key, member in value.items())
    return b"d%d:%b" % (len(entries), b"".join(entries))


def _set(tag: bytes, value: Any) -> bytes:
    return b"%b%d:%b" % (tag, len(value), b"".join(sorted(map(encode, value))))


def _view(value: memoryview) -> bytes:
    content = value.tobytes()
    return b"m" + _sequence(b"t", (value.format, value.shape)) + _content(b"b", content)


_EXACT: Final[dict[type, Handler]] = {
    type(None): lambda _: b"N",
    bool: lambda value: b"T" if value else b"F",
    int: lambda value: b"i%x;" % value,
    float: _float,
    complex: lambda value: b"c" + _float(value.real) + _float(value.imag),
    str: _text,
    bytes: lambda value: _content(b"b", value),
    bytearray: lambda value: _content(b"y", value),
    memoryview: _view,
    tuple: lambda value: _sequence(b"t", value),
    list: lambda value: _sequence(b"l", value),
    dict: _dict,
    set: lambda value: _set(b"S", value),
    frozenset: lambda value: _set(b"Z", value),
    type(...): lambda _: b"E",
}

_registered: dict[type, Callable[[Any], Any]] = {}
_registration = threading.Lock()


def register(kind: type[T], function: Callable[[T], Any]) -> Callable[[T], Any]:
    """Let values of *kind*, and of subclasses without a closer registration, be keyed.

    Args:
        kind: a class.
        function: returns a value that can be keyed and stands for the one it is given.

    Concurrency: any thread; it holds for calls that begin afterwards.

    >>> class Model:
    ...     def __init__(self, name):
    ...         self.name = name
    >>> _ = objcache.hashing.register(Model, lambda model: model.name)
    >>> objcache.hashing.digest(Model("a")) == objcache.hashing.digest(Model("a"))
    True
    """
    if not isinstance(kind, type):
        raise TypeError(f"register takes a class, not {kind!r}")
    with _registration:
        _registered[kind] = function
    return function


def _encode_rare(value: Any) -> bytes:
    stand_in = stand_in_of(value)
    if stand_in is None:
        raise _UnkeyableError
    name, parts = stand_in
    return b"O" + _text(name) + encode(parts)


def stand_in_of(value: Any) -> tuple[str, Any] | None:
    """Return a name and plain parts that stand for *value*; None where there are none."""
    kind = type(value)
    for base in kind.__mro__:
        function = _registered.get(base)
        if function is not None:
            return _name(kind), function(value)
    own = getattr(kind, "__objcache_key__", None)
    if own is not None:
        return _name(kind), own(value)
    from objcache.hashing._structures import structure_of  # noqa: PLC0415  # rare types only

    return structure_of(value)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _raise_unkeyable(value: Any, path: str) -> None:
    """Find the first part that has no canonical form, and say where it is."""
    _look(value, path, ())


def _look(value: Any, path: str, above: tuple[int, ...]) -> None:
    kind = type(value)
    if id(value) in above:
        raise UnkeyableArgumentError(path, _name(kind), "it contains itself")
    if len(above) >= _MOST_DEPTH:
        raise UnkeyableArgumentError(path, _name(kind), "it nests too deeply")
    for member_path, member in _members(value, path):
        _look(member, member_path, (*above, id(value)))


def _members(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    kind = type(value)
    if kind is dict:
        for key, member in value.items():
            shown = repr(key) if type(key) in {str, int} else "..."
            yield f"{path}: key {shown}", key
            yield f"{path}[{shown}]", member
    elif kind in {tuple, list}:
        for number, member in enumerate(value):
            yield f"{path}[{number}]", member
    elif kind in {set, frozenset}:
        for member in value:
            yield f"{path}{{...}}", member
    elif kind not in _EXACT:
        stand_in = stand_in_of(value)
        if stand_in is None:
            raise UnkeyableArgumentError(path, _name(kind), "it has no stable value")
        parts = stand_in[1]
        if type(parts) is dict:
            for name, member in parts.items():
                yield f"{path}.{name}", member
        else:
            yield path, parts
