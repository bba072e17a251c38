"""Which names the code of a function uses.

Knows: instructions. Must not know: what the names refer to.
"""

from __future__ import annotations

import dis
import types
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from objcache.hashing._source import changed_names

__all__ = ["Names", "names_of"]

_MOST_KNOWN: Final = 10_000
_LOADS: Final = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_ATTRIBUTES: Final = frozenset({"LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"})
_ASSIGNS: Final = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL"})
_MUTATORS: Final = frozenset(
    {
        *("append", "extend", "insert", "add", "update", "pop", "popitem", "remove", "discard"),
        *("clear", "setdefault", "appendleft", "popleft", "extendleft", "sort", "reverse"),
    }
)


class Names(NamedTuple):
    """The names in the code of a function and of the functions inside of it.

    Attributes:
        loaded: global variables that are read.
        attributes: attributes that are read, of whatever.
        changed: variables outside of the function that it changes: they are its state, no inputs.
        imports: level, module and members of the imports in its body.
    """

    loaded: tuple[str, ...]
    attributes: frozenset[str]
    changed: frozenset[str]
    imports: tuple[tuple[int, str, tuple[str, ...]], ...]

    def imported(self, namespace: dict[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Give the full names of the imported modules, as seen from the module *namespace*."""
        package = namespace.get("__package__") or ""
        for level, name, members in self.imports:
            if not level:
                yield name, members
                continue
            parents = package.split(".")
            base = ".".join(parents[: len(parents) - level + 1])
            yield (f"{base}.{name}" if name else base), members


# With the code: an id is no one else's only while its object lives.
_known: dict[int, tuple[types.CodeType, Names]] = {}


def names_of(function: types.FunctionType) -> Names:
    """Return the names in *function*. Cost: once for each function, then one look-up."""
    code = function.__code__
    known = _known.get(id(code))
    if known is not None:
        return known[1]
    loaded: set[str] = set()
    attributes: set[str] = set()
    changed: set[str] = set()
    imports: list[tuple[int, str, tuple[str, ...]]] = []
    remaining = [code]
    while remaining:
        inner = remaining.pop()
        remaining += [const for const in inner.co_consts if isinstance(const, types.CodeType)]
        before: list[dis.Instruction] = []
        for step in dis.get_instructions(inner):
            if step.opname in _LOADS:
                loaded.add(step.argval)
            elif step.opname in _ATTRIBUTES:
                attributes.add(step.argval)
                if before and step.argval in _MUTATORS and before[-1].opname in _VARIABLES:
                    changed.add(before[-1].argval)
            elif step.opname in _ASSIGNS or (
                step.opname == "STORE_DEREF" and step.argval in inner.co_freevars
            ):
                changed.add(step.argval)
            elif step.opname == "IMPORT_NAME":
                level, members = (previous.argval for previous in before[-2:])
                imports.append((level, step.argval, tuple(members or ())))
            before = [*before[-1:], step]
    changed |= changed_names(function)
    names = Names(tuple(sorted(loaded)), frozenset(attributes), frozenset(changed), tuple(imports))
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    _known[id(code)] = code, names
    return names


_VARIABLES: Final = _LOADS | {"LOAD_DEREF", "LOAD_CLASSDEREF"}
