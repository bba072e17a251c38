"""Which part of a value has no canonical form, and how it is reached.

Knows: how parts are called. Must not know: bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from objcache.errors import UnkeyableArgumentError
from objcache.hashing._canonical import EXACT, NoFormError, stand_in_of, unkeyable
from objcache.hashing._structures import refusal_of

__all__ = ["culprit", "members_of"]

_MOST_PARTS: Final = 1_000_000
_LEAVES: Final = frozenset(EXACT) - {dict, tuple, list, set, frozenset}


def culprit(value: Any, path: str) -> UnkeyableArgumentError:
    """Return the error that names the first part of *value* without a form."""
    seen: dict[int, Any] = {}
    remaining = [(path, value)]
    while remaining and len(seen) < _MOST_PARTS:
        part_path, part = remaining.pop()
        if id(part) in seen:
            continue
        if type(part) not in _LEAVES:
            seen[id(part)] = part
        try:
            remaining += reversed(list(members_of(part, part_path)))
        except UnkeyableArgumentError as error:
            return error
    return unkeyable(path, type(value), "too many objects hang together in it")


def members_of(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Give the parts of *value*, each with its path.

    Raises:
        UnkeyableArgumentError: it has no parts and no form.
    """
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
    elif kind is memoryview:
        try:
            value.nbytes  # noqa: B018  # fails if it was released
        except ValueError as error:
            raise unkeyable(path, kind, str(error)) from None
    elif kind not in EXACT:
        yield from _parts_of(value, path)


def _parts_of(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    try:
        stand_in = stand_in_of(value)
    except UnkeyableArgumentError as error:
        raise UnkeyableArgumentError(path, error.type_name, error.reason) from error
    except NoFormError as error:
        raise unkeyable(path, type(value), str(error) or refusal_of(value)) from None
    if stand_in is None:
        raise unkeyable(path, type(value), refusal_of(value))
    name, parts = stand_in
    if type(parts) is not dict or name == "mappingproxy":
        yield path, parts
        return
    content = parts.get("content")
    for part, member in parts.items():
        if part == "attributes" and type(member) is dict:
            for attribute, inner in member.items():
                yield f"{path}.{attribute}", inner
        elif part == "closure" and name == "function" and type(member) is dict:
            for variable, inner in member.items():
                yield f"{path}: closure {variable}", inner
        elif (member is content and part == "content") or part == "entries":
            yield path, member
        elif part == "arguments" and issubclass(type(value), (tuple, BaseException)):
            yield f"{path}.args" if issubclass(type(value), BaseException) else path, member
        else:
            yield f"{path}.{part}", member
