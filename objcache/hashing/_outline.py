"""What a value looks like, short enough to be kept, so that two of them can be compared later.

Knows: the parts of values and what they are called. Must not know: where outlines are kept.
"""

from __future__ import annotations

import enum
from typing import Any, Final

from objcache.errors import UnkeyableArgumentError
from objcache.hashing._canonical import EXACT, digest
from objcache.hashing._culprits import members_of
from objcache.hashing._project import is_constant

__all__ = ["differences", "outline", "text_of"]

_MOST_DEPTH: Final = 3
_MOST_MEMBERS: Final = 40
_MOST_TEXT: Final = 60
_CONTAINERS: Final = frozenset({dict, tuple, list, set, frozenset})
_PARTED: Final = frozenset({dict, tuple, list})  # the members of a set have no names
_SHOWN: Final = frozenset({str, int, float, bool, type(None)})
_BYTES: Final = frozenset({bytes, bytearray, memoryview})
# Libraries whose values are described by parts that are dicts.
_DESCRIBED: Final = frozenset({"numpy", "pandas", "polars", "pyarrow", "scipy", "torch"})
_TOO_LONG: Final = "int of "
_TYPE: Final = "type"
_REST: Final = "..."
_CONTENT: Final = "content"

Outline = str | dict[str, Any]


def text_of(value: Any, depth: int = 0) -> str:
    """Return *value* as a short text for people; never asks an object for its own `repr`."""
    kind = type(value)
    if kind in _CONTAINERS and depth == _MOST_DEPTH + 1:
        return _REST  # perhaps it contains itself
    if kind in {list, tuple, set, frozenset}:
        shown = ", ".join(text_of(member, depth + 1) for member in list(value)[:4])
        more = f", ... ({len(value)})" if len(value) > 4 else ""
        left, right = _BRACKETS[kind]
        return _short(f"{left}{shown}{more}{right}")
    if kind is dict:
        pairs = [
            f"{text_of(key, depth + 1)}: {text_of(member, depth + 1)}"
            for key, member in list(value.items())[:3]
        ]
        more = f", ... ({len(value)})" if len(value) > 3 else ""
        return _short(f"{{{', '.join(pairs)}{more}}}")
    if kind in _BYTES:
        return f"{kind.__name__} of {len(value)}"
    if kind in EXACT or _is_single(value):
        return _scalar(value)
    try:
        shape = getattr(value, "shape", None)
    except Exception:  # noqa: BLE001  # an object that fails when it is asked
        shape = None
    if type(shape) is tuple:
        return f"{kind.__name__} of shape {text_of(shape)}"
    return kind.__name__


def outline(value: Any, depth: int = 0) -> Outline:
    """Return the outline of *value*: plain text and dicts of such, as JSON has them.

    Cost: hashes each part once.
    """
    kind = type(value)
    if depth == _MOST_DEPTH or (kind in EXACT and kind not in _PARTED) or _is_single(value):
        return _leaf(value)
    try:
        members = _members_of(value)
    except UnkeyableArgumentError:
        return kind.__name__
    found: dict[str, Any] = {_TYPE: kind.__name__}
    foreign = kind.__module__.partition(".")[0] in _DESCRIBED
    for label, member in members[:_MOST_MEMBERS]:
        described = foreign and type(member) is str and len(member) < _MOST_TEXT
        inner = member if described else outline(member, depth + 1)
        if foreign and type(member) is dict and type(inner) is dict:
            # "dtype of column 'price'" says it better than a path through parts.
            for name, part in member.items():
                shown = part if type(part) is str and len(part) < _MOST_TEXT else None
                found[f"{name} of {label.lstrip('.')}"] = shown or inner[f"[{name!r}]"]
        else:
            found[label] = inner
    if len(members) > _MOST_MEMBERS:
        found[_REST] = _leaf(value)
    return found


def _members_of(value: Any) -> list[tuple[str, Any]]:
    """Return the parts of *value* that an outline tells of, each with a label of its own."""
    if type(value) is not dict:
        return [(_plain(path), member) for path, member in members_of(value, "")]
    found: dict[str, Any] = {}
    for key, member in value.items():
        label = _plain(f"[{text_of(key)}]")
        # Keys that look alike, because they are long or say nothing, are told apart by their hash.
        found[f"[{_leaf(key)}]" if label in found or type(key) not in _SHOWN else label] = member
    return list(found.items())


def _is_single(value: Any) -> bool:
    """Whether *value* is one of those of the standard library that are shown as a whole."""
    return type(value) is not tuple and is_constant(value)


def differences(before: Outline, now: Outline, path: str) -> list[str]:
    """Return, in words, what differs between two outlines of what is called *path*."""
    if before == now:
        return []
    if type(before) is not dict or type(now) is not dict or before[_TYPE] != now[_TYPE]:
        if _shown(before) == _shown(now) == _CONTENT:
            return [f"{path if path.startswith(_CONTENT) else f'{_CONTENT} of {path}'} changed"]
        if _shown(before) == _shown(now):  # only their digests differ
            return [f"{path}: {_shown(now)} with other content"]
        return [f"{path}: {_shown(before)} -> {_shown(now)}"]
    found = []
    for label in {**before, **now}:
        if label in {_TYPE, _REST}:
            continue
        inner = f"{label} of {path}" if " of " in label else path + label
        if label not in now:
            found.append(f"{inner}: {_shown(before[label])} -> nothing")
        elif label not in before:
            found.append(f"{inner}: nothing -> {_shown(now[label])}")
        else:
            found += differences(before[label], now[label], inner)
    return found or [f"{path}: {_shown(before)} -> {_shown(now)}, in a part that was not kept"]


def _leaf(value: Any) -> str:
    if type(value) is str and value.startswith("blake3 "):  # of an array or frame
        return f"{_CONTENT} #{value[7:19]}"
    text = text_of(value)
    told = type(value) not in _CONTAINERS | _BYTES and (type(value) in EXACT or _is_single(value))
    if told and _REST not in text and not text.startswith(_TOO_LONG):
        return text
    try:
        return f"{text} #{digest(value)[:6].hex()}"
    except UnkeyableArgumentError:
        return text


def _shown(found: Outline) -> str:
    return str(found[_TYPE]) if type(found) is dict else str(found).partition(" #")[0] or str(found)


def _scalar(value: Any) -> str:
    if issubclass(type(value), enum.Enum):  # whose own repr may be anything
        return f"{type(value).__name__}.{value._name_}"
    try:
        return _short(_plain(repr(value)))
    except ValueError:  # an int of more digits than the interpreter prints
        return f"{_TOO_LONG}{value.bit_length()} bits"


def _short(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else f"{text[: _MOST_TEXT - 3]}{_REST}"


def _plain(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


_BRACKETS: Final[dict[type, tuple[str, str]]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("{", "}"),
}
