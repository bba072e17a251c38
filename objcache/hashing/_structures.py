"""Values of the standard library, of classes and of functions, as plain parts.

Knows: what each type is made of. Must not know: bytes.
"""

from __future__ import annotations

import sys
import types
from typing import Any, Final

from objcache.errors import KeyEncodingError
from objcache.keys.extended import parts_of

__all__ = ["structure_of"]

_EXTENDED: Final = frozenset(
    {
        *("date", "time", "timedelta", "timezone", "Decimal", "Fraction", "range"),
        *("PurePosixPath", "PureWindowsPath", "PosixPath", "WindowsPath"),
        *("IPv4Address", "IPv6Address", "IPv4Network", "IPv6Network", "enum", "namedtuple"),
        *("IPv4Interface", "IPv6Interface"),
    }
)


def structure_of(value: Any) -> tuple[str, Any] | None:
    """Return a name and plain parts that stand for *value*; None where there are none."""
    kind = type(value)
    if isinstance(value, types.FunctionType):
        return "function", _function(getattr(value, "__objcache_wrapped__", value))
    if kind is types.CodeType:
        return "code", _code(value)
    if isinstance(value, type):
        return "class", (value.__module__, value.__qualname__)
    if isinstance(value, types.ModuleType):
        return "module", value.__name__
    if kind is types.BuiltinFunctionType:
        return _builtin(value)
    if kind is types.MethodType:
        return "method", (value.__func__, value.__self__)
    if kind.__name__ == "datetime" and kind.__module__ == "datetime":
        return "datetime", _datetime(value)
    if kind.__name__ == "UUID" and kind.__module__ == "uuid":
        return "UUID", value.bytes
    if kind.__name__ == "partial" and kind.__module__ == "functools":
        return "partial", (value.func, value.args, value.keywords)
    fields = getattr(kind, "__dataclass_fields__", None)
    if fields is not None:
        name = f"dataclass {kind.__module__}.{kind.__qualname__}"
        return name, {field: getattr(value, field) for field in fields}
    return _extended(value)


def _extended(value: Any) -> tuple[str, Any] | None:
    """Types that are legal keys of a store have parts already."""
    try:
        name, parts, _ = parts_of(value, "value")
    except KeyEncodingError:
        return None
    return (name, parts) if name in _EXTENDED else None


def _builtin(value: Any) -> tuple[str, Any] | None:
    owner = value.__self__
    if owner is None or isinstance(owner, types.ModuleType):
        return "builtin", (value.__module__, value.__qualname__)
    return "builtin method", (owner, value.__name__)


def _datetime(value: Any) -> tuple[Any, ...]:
    zone = value.tzinfo
    if zone is not None:
        # A zone of zoneinfo is its key; others are what they say at that moment.
        zone = getattr(zone, "key", None) or (value.utcoffset(), value.tzname())
    moment = (value.year, value.month, value.day, value.hour, value.minute, value.second)
    return (*moment, value.microsecond, value.fold, zone)


def _function(function: types.FunctionType) -> dict[str, Any]:
    closure = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            content = cell.cell_contents
        except ValueError:
            continue  # not assigned yet
        content = getattr(content, "__objcache_wrapped__", content)  # a memoized function
        # A function that calls itself has itself in its closure.
        closure[name] = "itself" if content is function else content
    return {
        "module": function.__module__,
        "qualname": function.__qualname__,
        "code": _code(function.__code__),
        "defaults": function.__defaults__,
        "kwdefaults": function.__kwdefaults__,
        "closure": closure,
        "python": sys.version_info[:2],  # bytecode is of one version
    }


def _code(code: types.CodeType) -> tuple[Any, ...]:
    constants = tuple(
        _code(constant) if isinstance(constant, types.CodeType) else constant
        for constant in code.co_consts
    )
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return (code.co_name, code.co_code, constants, counts, names)
