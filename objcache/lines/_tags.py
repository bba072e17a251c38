"""From what JSON has read back to keys and values.

Knows: the tags. Must not know: lines.
Nothing here calls what a file chooses: each tag leads to one type of the standard library.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from datetime import date, datetime, timezone
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from objcache.errors import KeyEncodingError
from objcache.keys.extended import FAMILIES, STANDARD_NAMES, Unloaded, unloaded_value_of
from objcache.lines._frames import is_tag, shown

__all__ = ["Parser", "WrongFormError", "from_base64"]

# Only lines with such numbers are read with a look at each: a double cannot be so large.
_LARGE: Final = re.compile(r"[eE]\+?0*[1-9][0-9]{2}|[0-9]{309}")
_FLOATS: Final = frozenset({"nan", "inf", "-inf"})
_MOST_DIGITS: Final = 4300


class WrongFormError(Exception):
    """A line does not say a key or a value; the message says why."""


class Parser:
    """Reads the JSON of one line after the other.

    Attributes:
        unloaded: how many instances of the user's classes the last line has had.

    Concurrency: one thread at a time.
    """

    def __init__(self) -> None:
        self.unloaded = 0
        self._plain = json.JSONDecoder(object_pairs_hook=self._object, parse_constant=_no_constant)
        self._careful = json.JSONDecoder(
            object_pairs_hook=self._object, parse_constant=_no_constant, parse_float=_finite
        )

    def parsed(self, text: str) -> Any:
        """Return what *text* says, its tags made into values.

        Raises:
            WrongFormError: it is no JSON, or has a tag that is none.
        """
        self.unloaded = 0
        decoder = self._careful if _LARGE.search(text) else self._plain
        try:
            return decoder.decode(text)
        except WrongFormError:
            raise
        except json.JSONDecodeError as error:
            raise WrongFormError(
                f"it is not JSON: {error.msg} at column {error.colno:,}"
            ) from error
        except RecursionError as error:
            raise WrongFormError("it nests too deeply") from error
        except ValueError as error:  # of int() alone: so many digits take for ever
            raise WrongFormError(
                f"it has an integer of more than {_MOST_DIGITS:,} digits; write it in base 16: "
                '{"$int": "0x..."}'
            ) from error

    def _object(self, pairs: list[tuple[str, Any]]) -> Any:
        if pairs and is_tag(pairs[0][0], len(pairs)):
            name, given = pairs[0]
            return self._tagged(name[1:], given)
        made = dict(pairs)
        if len(made) != len(pairs):
            raise WrongFormError("an object has the same name twice")
        return made

    def _tagged(self, name: str, given: Any) -> Any:
        try:
            reader = _READERS.get(name)
            if reader is not None:
                return reader(given)
            if name in STANDARD_NAMES or name in FAMILIES:
                made = unloaded_value_of(name, tuple(_parts(given)))
                self.unloaded += type(made) is Unloaded
                return made
        except WrongFormError as error:
            raise WrongFormError(f"${name} {error}") from error
        # Types of the standard library raise what they like.
        except (KeyEncodingError, ArithmeticError, ValueError, TypeError, LookupError) as error:
            raise WrongFormError(f"${name} cannot be made of {shown(given)}: {error}") from error
        raise WrongFormError(
            f"it has a tag that objcache does not know, {shown('$' + name)}; an object of one "
            'member with such a name is written {"$dict": [[name, value]]}'
        )


def from_base64(given: Any) -> bytes:
    """Return the bytes that *given* says in base64.

    Raises:
        WrongFormError: it is no text, or not base64.
    """
    if type(given) is not str:
        raise WrongFormError("is not text in base64")
    try:
        return base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError) as error:
        raise WrongFormError(f"is not base64: {error}") from error


def _no_constant(name: str) -> Any:
    raise WrongFormError(f'{name} is not JSON; write {{"$float": "nan"}}, "inf" or "-inf"')


def _finite(text: str) -> float:
    number = float(text)
    if number - number:
        raise WrongFormError(f"the number {shown(text)} is larger than a double can be")
    return number


# -- one function for each shape of what a tag has -------------------------------------------


def _parts(given: Any) -> list[Any]:
    return [given] if type(given) is str else _list(given)


def _list(given: Any, length: int | None = None) -> list[Any]:
    if type(given) is not list or (length is not None and len(given) != length):
        raise WrongFormError("is not a list" + ("" if length is None else f" of {length}"))
    return given


def _text(given: Any) -> str:
    if type(given) is not str:
        raise WrongFormError("is not text")
    return given


def _int(given: Any) -> int:
    text = _text(given)
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    if re.fullmatch(r"0x[0-9a-fA-F]+", digits):
        return sign * int(digits, 16)
    if not re.fullmatch(r"[0-9]+", digits):
        raise WrongFormError("is not an integer")
    if len(digits) > _MOST_DIGITS:
        raise WrongFormError(f"has more than {_MOST_DIGITS:,} digits; write it in base 16: 0x...")
    return sign * int(digits)


def _float(given: Any) -> float:
    if _text(given) not in _FLOATS:
        raise WrongFormError("is none of nan, inf, -inf")
    return float(given)


def _elements(kind: type) -> Callable[[Any], Any]:
    def read(given: Any) -> Any:
        made = kind(_list(given))
        if len(made) != len(given):
            raise WrongFormError("has an element twice")
        return made

    return read


def _mapping(kind: type) -> Callable[[Any], Any]:
    def read(given: Any) -> Any:
        made = kind()
        for pair in _list(given):
            key, value = _list(pair, 2)
            made[key] = value
        if len(made) != len(given):
            raise WrongFormError("has a key twice")
        return made

    return read


def _deque(given: Any) -> Any:
    longest, parts = _list(given, 2)
    if longest is not None and (type(longest) is not int or longest < len(_list(parts))):
        raise WrongFormError("has more elements than its bound, or no bound")
    return deque(_list(parts), longest)


def _datetime(given: Any) -> datetime:
    if type(given) is str:
        return datetime.fromisoformat(given)
    wall, zone, fold = _list(given, 3)
    if not (zone is None or type(zone) in {timezone, ZoneInfo}) or fold not in {0, 1}:
        raise WrongFormError("has no time zone, or no fold, where it should")
    return datetime.fromisoformat(_text(wall)).replace(tzinfo=zone, fold=int(fold))


def _zone(given: Any) -> ZoneInfo:
    try:
        return ZoneInfo(_text(given))
    except (OSError, LookupError) as error:
        raise WrongFormError(
            f"is not a time zone that this machine knows, {shown(given)}; the package tzdata has all"
        ) from error


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "int": _int,
    "float": _float,
    "str": lambda given: from_base64(given).decode("utf-8", "surrogatepass"),
    "bytes": from_base64,
    "bytearray": lambda given: bytearray(from_base64(given)),
    "tuple": lambda given: tuple(_list(given)),
    "set": _elements(set),
    "frozenset": _elements(frozenset),
    "dict": _mapping(dict),
    "OrderedDict": _mapping(OrderedDict),
    "Counter": _mapping(Counter),
    "deque": _deque,
    "date": lambda given: date.fromisoformat(_text(given)),
    "datetime": _datetime,
    "UUID": lambda given: UUID(_text(given)),
    "ZoneInfo": _zone,
}
