"""Keys without an order: values written as a name and parts, and read back without pickle.

Knows: which immutable types have such a form. Must not know: bytes.

A class of the user's is found by its name in the modules that are loaded already, without
running any code of theirs, and must be an enum, a named tuple or a frozen dataclass; a named
tuple and a dataclass are filled without running `__new__` or `__init__`.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from objcache.errors import KeyEncodingError
from objcache.keys._refusal import PartRefusedError

__all__ = [
    "FAMILIES",
    "STANDARD_NAMES",
    "Unloaded",
    "parts_of",
    "step_into",
    "taken_apart",
    "unloaded_value_of",
    "value_of",
]

Parts = tuple[str, tuple[Any, ...], bool]


class _Standard(NamedTuple):
    """A type of the standard library, as parts and back.

    Attributes:
        module: where it is defined; imported when a key of this type is read.
        name: what it is called there and on disk.
        parts: takes a value apart.
        shape: the types of the parts as read back; where it is `object`, the type checks.
    """

    module: str
    name: str
    parts: Callable[[Any], tuple[Any, ...]]
    shape: tuple[type, ...]


def _date_parts(key: Any) -> tuple[Any, ...]:
    return (key.year, key.month, key.day)


def _time_parts(key: Any) -> tuple[Any, ...]:
    zone = key.tzinfo
    if zone is not None and type(zone) is not sys.modules["datetime"].timezone:
        raise PartRefusedError(
            f"is a time in a zone of type {_named(type(zone))}; use a datetime.timezone"
        )
    return (key.hour, key.minute, key.second, key.microsecond, zone, key.fold)


def _timedelta_parts(key: Any) -> tuple[Any, ...]:
    return (key.days, key.seconds, key.microseconds)


def _timezone_parts(key: Any) -> tuple[Any, ...]:
    offset = key.utcoffset(None)
    # The default name follows from the offset; another one is part of the value.
    name = key.tzname(None)
    return (offset,) if name == type(key)(offset).tzname(None) else (offset, name)


def _decimal_parts(key: Any) -> tuple[Any, ...]:
    # A setting of the decimal context writes the exponent with "e".
    return (str(key).replace("e", "E"),)


def _path_parts(key: Any) -> tuple[Any, ...]:
    text = str(key)
    if type(key)(text) != key:
        # Some Pythons read PureWindowsPath("./c:x") back as a path on drive c.
        raise PartRefusedError(f"is a path whose text {text!r} reads as another path; use a str")
    return (text,)


def _text_parts(key: Any) -> tuple[Any, ...]:
    return (str(key),)


_STANDARD: Final = (
    _Standard("datetime", "date", _date_parts, (int, int, int)),
    _Standard("datetime", "time", _time_parts, (int, int, int, int, object, int)),
    _Standard("datetime", "timedelta", _timedelta_parts, (int, int, int)),
    _Standard("datetime", "timezone", _timezone_parts, (object, str)),
    # Decimal("1.0") and Decimal("1.00") are two keys: each comes back as it was given.
    _Standard("decimal", "Decimal", _decimal_parts, (str,)),
    # int only: Fraction("1e999999999") would compute that number.
    _Standard("fractions", "Fraction", lambda key: (key.numerator, key.denominator), (int, int)),
    _Standard("builtins", "complex", lambda key: (key.real, key.imag), (float, float)),
    _Standard("builtins", "range", lambda key: (key.start, key.stop, key.step), (int, int, int)),
    _Standard("pathlib", "PurePosixPath", _path_parts, (str,)),
    _Standard("pathlib", "PureWindowsPath", _path_parts, (str,)),
    _Standard("pathlib", "PosixPath", _path_parts, (str,)),
    _Standard("pathlib", "WindowsPath", _path_parts, (str,)),
    _Standard("ipaddress", "IPv4Address", _text_parts, (str,)),
    _Standard("ipaddress", "IPv6Address", _text_parts, (str,)),
    _Standard("ipaddress", "IPv4Network", _text_parts, (str,)),
    _Standard("ipaddress", "IPv6Network", _text_parts, (str,)),
    _Standard("ipaddress", "IPv4Interface", _text_parts, (str,)),
    _Standard("ipaddress", "IPv6Interface", _text_parts, (str,)),
)
_BY_NAME: Final = {standard.name: standard for standard in _STANDARD}
STANDARD_NAMES: Final = frozenset(_BY_NAME)
"""The names of those types of the standard library that are written as parts."""
FAMILIES: Final = frozenset({"enum", "namedtuple", "dataclass"})
"""The names of the kinds of classes of the user's that are."""


class Unloaded(NamedTuple):
    """Stands for an instance of a class of the user's, which need not be loaded.

    It is encoded as the instance is. Nobody who reads the key from a store gets one of these.

    Attributes:
        name: one of `FAMILIES`.
        parts: module, qualified name of the class, and what the instance holds.
    """

    name: str
    parts: tuple[Any, ...]


# -- taking apart ----------------------------------------------------------------------------


def parts_of(key: Any, path: str) -> Parts:
    """Return name, parts, and whether the parts have no order.

    Raises:
        KeyEncodingError: naming *path*, the type and a remedy.
    """
    try:
        return taken_apart(key)
    except PartRefusedError as refused:
        raise refused.error(path) from None


def taken_apart(key: Any) -> Parts:
    """Return the same, for a caller that knows the path.

    Raises:
        PartRefusedError: *key* has no such form.
    """
    kind = type(key)
    if kind is frozenset:
        return "frozenset", tuple(key), True
    if kind is Unloaded:
        return key.name, key.parts, False
    standard = _BY_NAME.get(kind.__name__)
    if standard is not None and kind is getattr(
        sys.modules.get(standard.module), standard.name, None
    ):
        return standard.name, standard.parts(key), False
    family = _family(kind)
    if family == "enum":
        return family, (*_class_name(kind), _member(key)), False
    if family == "namedtuple" and len(key) == len(kind._fields):
        return family, (*_class_name(kind), *key), False
    if family == "dataclass":
        return family, (*_class_name(kind), *_fields_and_values(key)), False
    raise PartRefusedError(_refusal(key))


def step_into(name: str, parts: tuple[Any, ...], kind: Any, number: int) -> str:
    """Return how the part with this *number* is reached from a value of type *kind*."""
    if kind is Unloaded:
        return f"[{number}]"
    if name == "namedtuple":
        return f".{kind._fields[number - 2]}"
    if name == "dataclass":
        return f".{parts[number - 1]}"
    return "{...}"  # of a frozenset; nothing else has parts that are refused


def _family(kind: type) -> str | None:
    """Return which kind of class of the user's this is, if keys can be made of its instances."""
    if issubclass(kind, enum.Enum):
        return "enum"
    if issubclass(kind, tuple):
        return "namedtuple" if isinstance(getattr(kind, "_fields", None), tuple) else None
    # Of the class itself: one that inherits them may hold more than the fields say.
    parameters = vars(kind).get("__dataclass_params__")
    return "dataclass" if parameters is not None and parameters.frozen else None


def _member(key: Any) -> Any:
    # The private names are documented, and no member or property takes their place.
    kind, member = type(key), key._name_
    if member is not None and kind._member_map_.get(member) is key:
        return member
    if isinstance(key, enum.Flag):
        return key._value_
    raise PartRefusedError(f"is of type {_named(kind)}, but none of its members; use a member")


def _fields_and_values(key: Any) -> list[Any]:
    kind: Any = type(key)
    if kind.__eq__ is object.__eq__:
        raise PartRefusedError(
            f"is of type {_named(kind)}, which compares by identity; declare it without eq=False"
        )
    try:
        object.__new__(kind)
    except TypeError:
        raise PartRefusedError(
            f"is of type {_named(kind)}, which holds more than its fields; use a tuple"
        ) from None
    parts = []
    for name in _field_names(kind):
        try:
            parts += [name, getattr(key, name)]
        except AttributeError:
            raise PartRefusedError(
                f"is of type {_named(kind)}, whose field {name} has no value; give it one"
            ) from None
    return parts


def _field_names(kind: Any) -> tuple[str, ...]:
    import dataclasses  # noqa: PLC0415  # loaded by those who use such keys

    # Not __dataclass_fields__: that also has class variables and arguments of __init__.
    return tuple(field.name for field in dataclasses.fields(kind))


def _class_name(kind: type) -> tuple[str, str]:
    if _found(kind.__module__, kind.__qualname__) is not kind:
        raise PartRefusedError(
            f"is of type {_named(kind)}, which cannot be found by its name, so the key could not "
            "be read back; define the class at the top of its module"
        )
    return kind.__module__, kind.__qualname__


def _named(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def _refusal(key: Any) -> str:
    name = f"is of type {_named(type(key))}"
    for mutable, remedy in (
        (list, "use tuple(...)"),
        (dict, "use tuple(sorted(....items()))"),
        (set, "use frozenset(...)"),
        (bytearray, "use bytes(...)"),
        (memoryview, "use bytes(...)"),
    ):
        if isinstance(key, mutable):
            return f"{name}, which may change: {remedy}"
    for plain in (bool, int, float, complex, str, bytes, tuple, frozenset):
        if isinstance(key, plain):
            return f"{name}, not a plain {plain.__name__}: use {plain.__name__}(...)"
    if hasattr(type(key), "dtype"):
        return f"{name}: use .item() for a scalar, or .tobytes() for an array"
    if hasattr(type(key), "__dataclass_fields__"):
        return f"{name}, which has no stable form as a key; declare it @dataclass(frozen=True)"
    return (
        f"{name}, which has no stable form as a key; use a tuple of str, bytes, int, "
        "float, bool, None, UUID or datetime, an enum, or a frozen dataclass of them"
    )


# -- and back --------------------------------------------------------------------------------


def value_of(name: str, parts: tuple[Any, ...]) -> Any:
    """Return the value that `parts_of` took apart.

    Raises:
        KeyEncodingError: the class is not loaded, or the parts do not fit it.
    """
    try:
        if name == "frozenset":
            return frozenset(parts)
        standard = _BY_NAME.get(name)
        return _instance(name, parts) if standard is None else _standard_value(standard, parts)
    except KeyEncodingError:
        raise
    # Types and the user's classes raise what they like.
    except Exception as error:
        raise KeyEncodingError(f"a key has parts that make no {name}: {error}") from error


def unloaded_value_of(name: str, parts: tuple[Any, ...]) -> Any:
    """Return the same, with `Unloaded` in the place of an instance of a class of the user's.

    Raises:
        KeyEncodingError: the parts do not fit the name.
    """
    if name not in FAMILIES:
        return value_of(name, parts)
    texts = parts[:2] if name != "dataclass" else parts[:2] + parts[2::2]
    fitting = {"enum": len(parts) == 3, "namedtuple": True, "dataclass": len(parts) % 2 == 0}
    if len(parts) < 2 or not fitting[name] or any(type(text) is not str for text in texts):
        raise KeyEncodingError(f"a key has parts that make no {name}")
    if name == "enum" and type(parts[2]) not in {str, int}:
        raise KeyEncodingError("a key has parts that make no enum: its member is no name")
    return Unloaded(name, parts)


def _standard_value(standard: _Standard, parts: tuple[Any, ...]) -> Any:
    fitting = len(parts) <= len(standard.shape) and all(
        expected is object or type(part) is expected
        for part, expected in zip(parts, standard.shape, strict=False)
    )
    if not fitting:
        raise KeyEncodingError(f"a key has parts that make no {standard.name}: of other types")
    import importlib  # noqa: PLC0415  # rare types only

    # One of the five modules of the table, whatever the bytes say.
    kind: Any = getattr(importlib.import_module(standard.module), standard.name)
    return kind(*parts[:5], fold=parts[5]) if standard.name == "time" else kind(*parts)


def _instance(name: str, parts: tuple[Any, ...]) -> Any:
    if [type(part) for part in parts[:2]] != [str, str]:
        raise KeyEncodingError(f"a key has a {name} without a class")
    module, qualified, *values = parts
    kind: Any = _found(module, qualified)
    if kind is None:
        raise KeyEncodingError(
            f"a key needs {module}.{qualified}, but the loaded module has no such class"
            if module in sys.modules
            else f"a key needs {module}.{qualified}, which is not loaded: "
            f"import the module {module} first"
        )
    if _family(kind) != name:
        raise KeyEncodingError(f"a key names {module}.{qualified} as a {name}, which it is not")
    return _BUILDERS[name](kind, values)


def _enum_value(kind: Any, values: list[Any]) -> Any:
    (member,) = values
    if type(member) is int and issubclass(kind, enum.Flag):
        return kind(member)
    if member not in kind._member_map_:
        raise KeyEncodingError(f"a key has a member that {_named(kind)} has not: {member}")
    return kind._member_map_[member]


def _namedtuple_value(kind: Any, values: list[Any]) -> Any:
    if len(values) != len(kind._fields):
        raise KeyEncodingError(f"{_named(kind)} has other fields than the key was made with")
    return tuple.__new__(kind, values)


def _dataclass_value(kind: Any, values: list[Any]) -> Any:
    if tuple(values[::2]) != _field_names(kind) or len(values) % 2:
        raise KeyEncodingError(f"{_named(kind)} has other fields than the key was made with")
    instance: Any = object.__new__(kind)
    for field, value in zip(values[::2], values[1::2], strict=True):
        object.__setattr__(instance, field, value)
    return instance


_BUILDERS: Final[dict[str, Callable[[Any, list[Any]], Any]]] = {
    "enum": _enum_value,
    "namedtuple": _namedtuple_value,
    "dataclass": _dataclass_value,
}


def _found(module: str, qualified: str) -> type | None:
    """Return the class of this name in a loaded module, None if there is none.

    Not by getattr: a module's `__getattr__`, or a property on the way, would run code that the
    bytes of a key have chosen, and may import.
    """
    found: Any = sys.modules.get(module)
    try:
        members = object.__getattribute__(found, "__dict__")
        for name in qualified.split("."):
            found = members.get(name)
            members = type.__getattribute__(found, "__dict__")
    except (AttributeError, TypeError):  # not loaded, not defined, or no class
        return None
    return found  # type: ignore[no-any-return]  # type.__getattribute__ takes classes only
