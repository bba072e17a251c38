"""Keys, names and moments on the command line: from text, and back to it.

Knows: how people write keys. Must not know: stores.
"""

from __future__ import annotations

import ast
import json
import warnings
from datetime import UTC, datetime
from typing import Any, Final

from objcache.errors import KeyEncodingError
from objcache.keys import encode_key

__all__ = [
    "argument_from",
    "as_json",
    "json_key",
    "key_from",
    "mapping_text",
    "moment_text",
    "names_from",
    "names_text",
    "printable",
    "ratio_text",
    "shown_key",
    "size_text",
    "span_text",
]

_LITERALS: Final = (int, float, str, bytes, tuple, type(None))
_ARGUMENTS: Final = (*_LITERALS, complex, list, dict, set)
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_SPANS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))
_ONE_STEP: Final = 1024


def key_from(text: str, *, is_text: bool) -> Any:
    """Return the key that *text* stands for: a Python literal, else the text itself.

    Literals are numbers, quoted text, `b"..."`, `True`, `False`, `None`, and tuples of these.
    Nothing is evaluated: `ast.literal_eval` knows no calls and no names.

    Args:
        text: as it was typed.
        is_text: take it as it is, whatever it looks like.
    """
    key = text if is_text else _literal_from(text, _LITERALS)
    try:
        encode_key(key)
    except (KeyEncodingError, TypeError, RecursionError):
        return text  # no key has such a member
    return key


def argument_from(text: str, *, is_text: bool) -> Any:
    """Return the argument that *text* stands for: as `key_from`, and lists, dicts and sets.

    Args:
        text: as it was typed.
        is_text: take it as it is, whatever it looks like.
    """
    return text if is_text else _literal_from(text, _ARGUMENTS)


def _literal_from(text: str, kinds: tuple[type, ...]) -> Any:
    """Return the literal of one of *kinds* that *text* is, else the text itself."""
    if text != text.strip():
        return text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # '\d' is the user's, and means itself
            found = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return found if isinstance(found, kinds) else text


def shown_key(key: Any) -> str:
    """Return *key* as `key_from` takes it, where it can be written so; printable in any case."""
    if isinstance(key, str) and key and key.isprintable() and key_from(key, is_text=False) == key:
        return key
    return _literal(key)


def _literal(key: Any) -> str:
    if type(key) is tuple:
        members = ", ".join(map(_literal, key))
        return f"({members},)" if len(key) == 1 else f"({members})"
    if type(key) is int:
        return hex(key) if key.bit_length() > _ONE_STEP else str(key)
    return printable(repr(key))


def json_key(key: Any) -> Any:
    """Return *key* for JSON: text, whole numbers, True, False and None are themselves.

    Any other key is `{"literal": "('user', 7)"}`, with what `key_from` makes it of.
    """
    if key is None or type(key) in {str, bool} or (type(key) is int and key.bit_length() < 64):
        return key
    return {"literal": _literal(key)}


def names_from(text: str) -> tuple[str, ...]:
    """Return the names of a namespace or cache: `a/b`, or a Python tuple of them; `/` is none.

    Raises:
        ValueError: they are none.
    """
    if text.startswith("("):
        names = key_from(text, is_text=False)
        if not isinstance(names, tuple) or not all(type(name) is str and name for name in names):
            raise ValueError(f"{text!r} is no tuple of names")
        return names
    if not text:
        raise ValueError("a name is not empty; / is the cache that has none")
    return tuple(name for name in text.split("/") if name)


def names_text(names: tuple[str, ...]) -> str:
    """Return *names* as `names_from` takes them."""
    text = "/".join(names) or "/"
    same = text.isprintable() and not text.startswith("(") and names_from(text) == names
    return text if same else _literal(names)


def mapping_text(names: tuple[str, ...], *, is_cache: bool) -> str:
    """Return which mapping of a store *names* are: `cache a/b`, `a/b`, or `store`."""
    if is_cache:
        return f"cache {names_text(names)}"
    return names_text(names) if names else "store"


def ratio_text(ratio: float | None) -> str:
    """Return a hit ratio as people read it; nothing where nothing was asked."""
    return "" if ratio is None else f"{ratio:.1%}"


def printable(text: str) -> str:
    """Return *text* without characters that a terminal would obey: they are escaped."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def size_text(size_bytes: int) -> str:
    """Return a size as people read it: `1.4 MiB`."""
    size = float(size_bytes)
    number = 0
    while size >= _ONE_STEP and number < len(_UNITS) - 1:
        size /= _ONE_STEP
        number += 1
    return f"{size:,.1f} {_UNITS[number]}" if number else f"{size_bytes} B"


def span_text(seconds: float) -> str:
    """Return a duration as people read it: `3 min`, `-` before it where it is over."""
    sign = "-" if seconds < 0 else ""
    for size, unit in _SPANS:
        if abs(seconds) >= size:
            return f"{sign}{abs(seconds) / size:,.0f} {unit}"
    return f"{sign}{abs(seconds):.2g} s" if seconds else "0 s"


def moment_text(seconds: float | None) -> str | None:
    """Return a moment in seconds since the epoch as ISO 8601 in UTC; None for none."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f} seconds since 1970"


def as_json(value: Any) -> Any:
    """Return *value* if JSON gives it back equal; None otherwise."""
    try:
        return value if json.loads(json.dumps(value)) == value else None
    except (TypeError, ValueError, RecursionError):
        return None
