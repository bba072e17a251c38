"""Keys without an order: values written as a name and parts, and read back without pickle.

Knows: which immutable types have such a form. Must not know: bytes.

A class is found by its name among the modules that are loaded already: nothing is imported,
and nothing is called but the constructor of a type in the table below, an enum, or a named
tuple; a dataclass is filled without running its `__init__`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from objcache.errors import KeyEncodingError

__all__ = ["parts_of", "value_of"]

Parts = tuple[str, tuple[Any, ...], bool]


class _Standard(NamedTuple):
    """A type of the standard library, as parts and back."""

    module: str
    name: str
    parts: Callable[[Any], tuple[Any, ...]]


def _date_parts(key: Any) -> tuple[Any, ...]:
    return (key.year, key.month, key.day)


def _time_parts(key: Any) -> tuple[Any, ...]:
    zone = key.tzinfo
    if zone is not None and type(zone) is not sys.modules["datetime"].timezone:
        raise KeyEncodingError("a time with a zone other than datetime.timezone cannot be a key")
    return (key.hour, key.minute, key.second, key.microsecond, zone, key.fold)


def _timedelta_parts(key: Any) -> tuple[Any, ...]:
    return (key.days, key.seconds, key.microseconds)


def _timezone_parts(key: Any) -> tuple[Any, ...]:
    offset = key.utcoffset(None)
    # The default name follows from the offset; another one is part of the value.
    name = key.tzname(None)
    return (offset,) if name == type(key)(offset).tzname(None) else (offset, name)


def _text_parts(key: Any) -> tuple[Any, ...]:
    return (str(key),)


_STANDARD: Final = (
    _Standard("datetime", "date", _date_parts),
    _Standard("datetime", "time", _time_parts),
    _Standard("datetime", "timedelta", _timedelta_parts),
    _Standard("datetime", "timezone", _timezone_parts),
    # Decimal("1.0") and Decimal("1.00") are two keys: each comes back as it was given.
    _Standard("decimal", "Decimal", _text_parts),
    _Standard("fractions", "Fraction", lambda key: (key.numerator, key.denominator)),
    _Standard("builtins", "complex", lambda key: (key.real, key.imag)),
    _Standard("builtins", "range", lambda key: (key.start, key.stop, key.step)),
    _Standard("pathlib", "PurePosixPath", _text_parts),
    _Standard("pathlib", "PureWindowsPath", _text_parts),
    _Standard("pathlib", "PosixPath", _text_parts),
    _Standard("pathlib", "WindowsPath", _text_parts),
    _Standard("ipaddress", "IPv4Address", _text_parts),
    _Standard("ipaddress", "IPv6Address", _text_parts),
    _Standard("ipaddress", "IPv4Network", _text_parts),
    _Standard("ipaddress", "IPv6Network", _text_parts),
)
_BY_NAME: Final = {standard.name: standard for standard in _STANDARD}

_REMEDIES: Final = {
    "list": "use tuple(...)",
    "dict": "use tuple(sorted(....items()))",
    "set": "use frozenset(...)",
    "bytearray": "use bytes(...)",
    "memoryview": "use bytes(...)",
}


def parts_of(key: Any, path: str) -> Parts:
    """Return name, parts, and whether the parts have no order.

    Raises:
        KeyEncodingError: naming *path*, the type and a remedy.
    """
    kind = type(key)
    if kind is frozenset:
        return "frozenset", tuple(key), True
    standard = _BY_NAME.get(kind.__name__)
    if standard is not None and kind is getattr(
        sys.modules.get(standard.module), standard.name, None
    ):
        return standard.name, standard.parts(key), False
    enum = sys.modules["enum"]
    if isinstance(key, enum.Enum):
        member = key.name
        named = member is not None and kind.__members__.get(member) is key
        return "enum", (*_class_name(kind, path), member if named else key.value), False
    if isinstance(key, tuple) and hasattr(kind, "_fields") and hasattr(kind, "_make"):
        return "namedtuple", (*_class_name(kind, path), *key), False
    parameters = getattr(kind, "__dataclass_params__", None)
    if parameters is not None and parameters.frozen:
        fields = kind.__dataclass_fields__
        values = (part for name in fields for part in (name, getattr(key, name)))
        return "dataclass", (*_class_name(kind, path), *values), False
    raise KeyEncodingError(_refusal(key, path))


def _class_name(kind: type, path: str) -> tuple[str, str]:
    found: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    if found is not kind:
        raise KeyEncodingError(
            f"{path}: {kind.__module__}.{kind.__qualname__} cannot be found by its name, so the "
            "key could not be read back; define the class at the top of a module"
        )
    return kind.__module__, kind.__qualname__


def _refusal(key: Any, path: str) -> str:
    kind = type(key)
    name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    for base, remedy in _REMEDIES.items():
        if kind.__name__ == base:
            return f"{path} is of type {name}, which may change: {remedy}"
    for base_type in (bool, int, float, str, bytes):
        if isinstance(key, base_type):
            return f"{path} is of type {name}, not a plain {base_type.__name__}: use {base_type.__name__}(...)"
    if hasattr(key, "dtype"):
        return f"{path} is of type {name}: use .item() for a scalar, or .tobytes() for an array"
    return (
        f"{path} is of type {name}, which has no stable form as a key; use a tuple of str, bytes, int, "
        "float, bool, None, UUID or datetime, an enum, or a frozen dataclass of them"
    )


def value_of(name: str, parts: tuple[Any, ...]) -> Any:
    """Return the value that `parts_of` took apart.

    Raises:
        KeyEncodingError: the class is not loaded, or the parts do not fit it.
    """
    if name == "frozenset":
        return frozenset(parts)
    standard = _BY_NAME.get(name)
    try:
        if standard is not None:
            return _standard_value(standard, parts)
        return _instance(name, parts)
    except KeyEncodingError:
        raise
    except Exception as error:
        raise KeyEncodingError(f"the parts of a {name} in a key do not fit it: {error}") from error


def _standard_value(standard: _Standard, parts: tuple[Any, ...]) -> Any:
    if standard.name == "time":
        *fields, fold = parts
        import datetime as dt  # noqa: PLC0415  # loaded by those who use such keys

        return dt.time(*fields, fold=fold)
    return _loaded(standard.module, standard.name)(*parts)


def _instance(name: str, parts: tuple[Any, ...]) -> Any:
    kind: Any = _loaded(parts[0], parts[1])
    values = parts[2:]
    bases = kind.__mro__ if isinstance(kind, type) else ()
    if name == "enum" and sys.modules["enum"].Enum in bases:
        (member,) = values
        named = isinstance(member, str) and member in kind.__members__
        return kind[member] if named else kind(member)
    if name == "namedtuple" and tuple in bases:
        return tuple.__new__(kind, values)
    parameters = getattr(kind, "__dataclass_params__", None)
    if name == "dataclass" and bases and parameters is not None and parameters.frozen:
        return _dataclass(kind, dict(zip(values[::2], values[1::2], strict=True)))
    raise KeyEncodingError(f"a key names {parts[0]}.{parts[1]} as a {name}, which it is not")


def _dataclass(kind: Any, fields: dict[str, Any]) -> Any:
    if set(fields) != set(kind.__dataclass_fields__):
        raise KeyEncodingError(f"{kind.__qualname__} has other fields than the key was made with")
    instance: Any = object.__new__(kind)
    for field, value in fields.items():
        object.__setattr__(instance, field, value)
    return instance


def _loaded(module: str, qualified: str) -> Any:
    found: Any = sys.modules.get(module)
    for name in qualified.split("."):
        if found is None:
            break
        found = getattr(found, name, None)
    if found is None:
        raise KeyEncodingError(
            f"a key needs {module}.{qualified}, which is not loaded: import the module {module} first"
        )
    return found
