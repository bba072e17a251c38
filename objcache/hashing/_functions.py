"""Functions and classes as plain parts: what they do, not where they lie in memory.

Knows: defaults, closures and members. Must not know: bytes.
"""

from __future__ import annotations

import sys
import types
from typing import Any, Final

from objcache.hashing._canonical import module_of, walk
from objcache.hashing._project import is_constant
from objcache.hashing.code import components, variables_of

__all__ = ["class_parts", "function_parts", "is_named"]


def function_parts(function: types.FunctionType) -> dict[str, Any]:
    """Return what stands for *function*: its name, what it does, defaults, closure."""
    return {
        "name": (module_of(function), function.__qualname__),
        "code": components(function, track="self" if walk.shallow else "code", variables=False),
        "defaults": function.__defaults__,
        "kwdefaults": function.__kwdefaults__,
        "closure": variables_of(function),
    }


def is_named(kind: type) -> bool:
    """Whether the name of a class leads to it."""
    found: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = getattr(found, "__dict__", {}).get(name)
    return found is kind


def class_parts(kind: type) -> Any:
    """Return what stands for a class: its name; for one made on the spot its members too."""
    name = (module_of(kind), kind.__qualname__)
    if is_named(kind):
        return name
    # Classes of one name that a function has made differ by what it gave them. Their members
    # and closures count as far as they cannot change: lists that fill up would change the key.
    methods, constants = {}, {}
    for attribute, member in vars(kind).items():
        plain = getattr(member, "__func__", member)
        plain = getattr(plain, "__objcache_wrapped__", plain)
        if isinstance(plain, types.FunctionType):
            parts = function_parts(plain)
            parts["closure"] = _constants(parts["closure"])
            methods[attribute] = parts
        elif attribute not in _OF_THE_INTERPRETER and is_constant(member):
            constants[attribute] = member
    return {"name": name, "bases": kind.__bases__, "methods": methods, "constants": constants}


def _constants(variables: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in variables.items() if is_constant(value)}


_OF_THE_INTERPRETER: Final = frozenset(
    {"__module__", "__qualname__", "__doc__", "__firstlineno__", "__static_attributes__"}
)
