"""What a value looks like, short enough to be kept, so that two of them can be compared later.

Knows: the parts of values and what they are called. Must not know: where outlines are kept.
"""

from __future__ import annotations

from typing import Any, Final

from objcache.errors import UnkeyableArgumentError
from objcache.hashing._canonical import EXACT, digest
from objcache.hashing._culprits import members_of

__all__ = ["differences", "outline", "text_of"]

_MOST_DEPTH: Final = 3
_MOST_MEMBERS: Final = 40
_MOST_TEXT: Final = 60
_CONTAINERS: Final = frozenset({dict, tuple, list, set, frozenset})
_BYTES: Final = frozenset({bytes, bytearray, memoryview})
_TYPE: Final = "type"
_REST: Final = "..."

Outline = str | dict[str, Any]


def text_of(value: Any) -> str:
    """Return *value* as a short text for people; never asks an object for its own `repr`."""
    kind = type(value)
    if kind in {list, tuple, set, frozenset}:
        shown = ", ".join(text_of(member) for member in list(value)[:4])
        more = f", ... ({len(value)})" if len(value) > 4 else ""
        left, right = _BRACKETS[kind]
        return _short(f"{left}{shown}{more}{right}")
    if kind is dict:
        pairs = list(value.items())
        shown = ", ".join(f"{text_of(key)}: {text_of(member)}" for key, member in pairs[:3])
        more = f", ... ({len(pairs)})" if len(pairs) > 3 else ""
        return _short(f"{{{shown}{more}}}")
    if kind in _BYTES:
        return f"{kind.__name__} of {len(value)}"
    if kind in EXACT:
        return _scalar(value)
    shape = getattr(value, "shape", None)
    if type(shape) is tuple:
        return f"{kind.__name__} of shape {text_of(shape)}"
    return kind.__name__


def outline(value: Any, depth: int = 0) -> Outline:
    """Return the outline of *value*: plain text and dicts of such, as JSON has them.

    Cost: hashes each part once.
    """
    kind = type(value)
    if kind in EXACT and kind not in _CONTAINERS:
        return _leaf(value)
    if depth == _MOST_DEPTH:
        return _leaf(value)
    try:
        members = list(members_of(value, ""))
    except UnkeyableArgumentError:
        return kind.__name__
    found: dict[str, Any] = {_TYPE: kind.__name__}
    for path, member in members[:_MOST_MEMBERS]:
        if kind is dict and ": key " in path[:6]:
            continue
        label = _plain(path)
        inner = outline(member, depth + 1)
        if kind not in EXACT and type(inner) is dict and type(member) is dict:
            # "dtype of column 'price'" says it better than a path through parts.
            inner.pop(_TYPE)
            for name, part in inner.items():
                found[f"{name.strip('[]').strip(chr(39))} of {label.lstrip('.')}"] = part
        else:
            found[label] = inner
    if len(members) > _MOST_MEMBERS:
        found[_REST] = _leaf(value)
    return found


def differences(before: Outline, now: Outline, path: str) -> list[str]:
    """Return, in words, what differs between two outlines of what is called *path*."""
    if before == now:
        return []
    if type(before) is not dict or type(now) is not dict or before[_TYPE] != now[_TYPE]:
        if _shown(before) == _shown(now):  # only their digests differ
            return [f"{path}: {before} -> {now}"]
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
    text = text_of(value)
    told = type(value) in EXACT and type(value) not in _CONTAINERS | _BYTES
    if told and _REST not in text:
        return text
    try:
        return f"{text} #{digest(value)[:6].hex()}"
    except UnkeyableArgumentError:
        return text


def _shown(found: Outline) -> str:
    return str(found[_TYPE]) if type(found) is dict else str(found).partition(" #")[0] or str(found)


def _scalar(value: Any) -> str:
    try:
        return _short(_plain(repr(value)))
    except ValueError:  # an int of more digits than the interpreter prints
        return f"int of {value.bit_length()} bits"


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
