"""Functions, and what decorators make of them.

Knows: how a value leads to the functions that run when it is used. Must not know: whose they are.

No value is asked for its attributes: it might make up the answers, or do something for them.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from objcache.hashing._canonical import module_of

__all__ = [
    "attributes_of",
    "closure_of",
    "defaults_of",
    "functions_in",
    "identity",
    "is_bound",
    "is_code",
    "wrapped",
]

_NAMED: Final = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, type)
_CODE: Final = (*_NAMED, partial, staticmethod, classmethod, property, types.ModuleType)
_HOLD_FUNC: Final = frozenset({"cached_property", "partialmethod", "singledispatchmethod"})


def attributes_of(value: Any) -> dict[str, Any]:
    """Return the attributes that lie in *value* itself."""
    try:
        found = object.__getattribute__(value, "__dict__")
    except Exception:  # noqa: BLE001  # a class may say anything about its `__dict__`
        return {}
    return found if type(found) is dict else {}


def wrapped(value: Any) -> Any:
    """Return the function that a decorator left behind, if it says so."""
    attributes = attributes_of(value)
    for name in ("__objcache_wrapped__", "__wrapped__"):
        found = attributes.get(name)
        if found is not None and callable(found):
            return found
    return None


def is_code(value: Any) -> bool:
    """Whether *value* is known by its code, and not by its value."""
    return issubclass(type(value), _CODE) or wrapped(value) is not None


def is_bound(value: Any) -> bool:
    """Whether *value*, known by its code, has a state beside it: an instance, arguments."""
    kind = type(value)
    if issubclass(kind, (types.MethodType, partial)):
        return True
    # What lru_cache remembers is none.
    return not issubclass(kind, _CODE) and kind.__module__ != "functools"


def identity(value: Any) -> Any:
    """Return what tells a function, class or module from others of the program.

    Of an instance, its class does.
    """
    kind = type(value)
    if issubclass(kind, types.ModuleType):
        return "module", value.__name__
    if issubclass(kind, _NAMED):
        name, module = value.__qualname__, module_of(value)
    else:
        attributes = attributes_of(value)
        name, module = attributes.get("__qualname__"), attributes.get("__module__")
    if type(name) is not str or not (module is None or type(module) is str):
        value, name, module = kind, kind.__qualname__, module_of(kind)
    return kind.__name__, _public_module(value, name, module), name


def _public_module(value: Any, name: str, module: Any) -> Any:
    """Return where *value* is from; of the standard library, where everybody takes it from."""
    parent, private, _ = str(module).partition("._")
    if private and parent in sys.stdlib_module_names:
        offered = getattr(sys.modules.get(parent), "__dict__", {})
        if offered.get(name) is value:
            return parent  # pathlib._local and its like come and go with the version of Python
    return module


def functions_in(value: Any) -> Iterator[types.FunctionType]:
    """Give the plain functions that a function, or what decorators made of one, consists of."""
    seen = set()
    remaining = [value]
    while remaining:
        part = remaining.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        kind = type(part)
        if issubclass(kind, property):
            remaining += [part.fdel, part.fset, part.fget]
        elif issubclass(kind, (staticmethod, classmethod)):
            remaining.append(part.__func__)
        elif kind.__name__ in _HOLD_FUNC:
            remaining.append(attributes_of(part).get("func"))
        else:
            # What the decorator of objcache does is not of the project.
            memoized = attributes_of(part).get("__objcache_wrapped__")
            if memoized is None and kind is types.FunctionType:
                yield part
            remaining.append(wrapped(part))


def defaults_of(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Give the defaults of the parameters by name."""
    code = function.__code__
    values = function.__defaults__ or ()
    names = code.co_varnames[code.co_argcount - len(values) : code.co_argcount]
    yield from zip(names, values, strict=True)
    yield from sorted((function.__kwdefaults__ or {}).items())


def closure_of(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Give the values of the closure by name."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:
            continue  # not assigned yet
