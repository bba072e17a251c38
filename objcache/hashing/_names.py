"""Which names the code of a function uses.

Knows: instructions. Must not know: what the names refer to.
"""

from __future__ import annotations

import dis
import types
from array import array
from collections import deque
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from objcache.hashing._assignments import full_name
from objcache.hashing._source import changed_names

__all__ = ["Names", "names_of"]

_MOST_KNOWN: Final = 10_000
_LOADS: Final = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_ATTRIBUTES: Final = frozenset({"LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"})
_ASSIGNS: Final = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL"})
_STORES: Final = frozenset({"STORE_ATTR", "DELETE_ATTR"})
_MUTATORS: Final = frozenset(
    {
        *("append", "extend", "insert", "add", "update", "pop", "popitem", "remove", "discard"),
        *("clear", "setdefault", "appendleft", "popleft", "extendleft", "sort", "reverse"),
    }
)


# Whose methods of these names change them, and are not called for what they return.
_CHANGEABLE: Final = (list, dict, set, bytearray, deque, array)


class Names(NamedTuple):
    """The names in the code of a function and of the functions inside of it.

    Attributes:
        loaded: global variables that are read.
        attributes: attributes that are read, of whatever.
        changed: variables outside of the function that it assigns to, or to parts of.
        called: variables whose methods are called that change a container.
        stored: attributes that are assigned, of whatever.
        imports: level, module and members of the imports in its body.
    """

    loaded: tuple[str, ...]
    attributes: frozenset[str] = frozenset()
    changed: frozenset[str] = frozenset()
    called: frozenset[str] = frozenset()
    stored: frozenset[str] = frozenset()
    imports: tuple[tuple[int, str, tuple[str, ...]], ...] = ()

    def is_state(self, name: str, value: Any) -> bool:
        """Whether a variable of *value* is changed by the function: its state, no input."""
        return name in self.changed or (
            name in self.called and issubclass(type(value), _CHANGEABLE)
        )

    def imported(self, namespace: dict[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Give the full names of the imported modules, as seen from the module *namespace*."""
        for level, name, members in self.imports:
            yield full_name(namespace, level, name), members


# With the code: an id is no one else's only while its object lives.
_known: dict[int, tuple[types.CodeType, Names]] = {}


def names_of(function: types.FunctionType) -> Names:
    """Return the names in *function*. Cost: once for each function, then one look-up."""
    code = function.__code__
    known = _known.get(id(code))
    if known is not None:
        return known[1]
    found = _Found()
    remaining = [code]
    while remaining:
        inner = remaining.pop()
        remaining += [const for const in inner.co_consts if isinstance(const, types.CodeType)]
        found.add(inner)
    names = Names(
        tuple(sorted(found.loaded)),
        frozenset(found.attributes),
        frozenset(found.changed) | changed_names(function),
        frozenset(found.called),
        frozenset(found.stored),
        tuple(found.imports),
    )
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    _known[id(code)] = code, names
    return names


class _Found:
    """What was found in some code objects."""

    def __init__(self) -> None:
        self.loaded: set[str] = set()
        self.attributes: set[str] = set()
        self.changed: set[str] = set()
        self.called: set[str] = set()
        self.stored: set[str] = set()
        self.imports: list[tuple[int, str, tuple[str, ...]]] = []

    def add(self, code: types.CodeType) -> None:
        """Add what one code object does."""
        before: list[dis.Instruction] = []
        for step in dis.get_instructions(code):
            if step.opname == "EXTENDED_ARG":
                continue  # the beginning of an instruction with a large number
            if step.opname in _LOADS:
                self.loaded.add(step.argval)
            elif step.opname in _ATTRIBUTES:
                self.attributes.add(step.argval)
                if before and step.argval in _MUTATORS and before[-1].opname in _VARIABLES:
                    self.called.add(before[-1].argval)
            elif step.opname in _ASSIGNS or (
                step.opname == "STORE_DEREF" and step.argval in code.co_freevars
            ):
                self.changed.add(step.argval)
            elif step.opname in _STORES:
                self.stored.add(step.argval)
            elif step.opname == "IMPORT_NAME":
                level, members = (previous.argval for previous in before[-2:])
                self.imports.append((level, step.argval, tuple(members or ())))
            before = [*before[-1:], step]


_VARIABLES: Final = _LOADS | {"LOAD_DEREF", "LOAD_CLASSDEREF"}
