"""Which variables the statements of a source assign, and which they use.

Knows: syntax trees. Must not know: where they come from.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

__all__ = ["Uses", "bases_of", "full_name", "import_of", "targets_of", "touched_by", "uses_of"]

_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
# Their functions are found in the class itself.
_TRANSPARENT: Final = frozenset({"property", "cached_property", "staticmethod", "classmethod"})


class Uses(NamedTuple):
    """What statements refer to: names that they read, attributes that they read, of whatever."""

    names: frozenset[str]
    attributes: frozenset[str]


def import_of(statement: ast.stmt, name: str) -> tuple[int, str, str] | None:
    """Return level, module and name of the import that may give *name*, if *statement* is one."""
    if isinstance(statement, ast.ImportFrom):
        for alias in statement.names:
            if alias.name == "*":
                return statement.level, statement.module or "", name
            if (alias.asname or alias.name) == name:
                return statement.level, statement.module or "", alias.name
    return None


def full_name(namespace: Mapping[str, Any], level: int, name: str) -> str:
    """Return the full name of a module that is imported in the module *namespace*."""
    if not level:
        return name
    parents = str(namespace.get("__package__") or "").split(".")
    base = ".".join(parents[: len(parents) - level + 1])
    return f"{base}.{name}" if name else base


def touched_by(statement: ast.stmt) -> set[str]:
    """Return the names that a statement assigns, or whose methods it calls for themselves."""
    if isinstance(statement, (*_FUNCTIONS, ast.ClassDef)):
        # What a decorator returns may be anything, and is known by this statement then.
        return {statement.name} if statement.decorator_list else set()
    targets = targets_of(statement)
    called = statement.value if isinstance(statement, ast.Expr) else None
    if isinstance(called, ast.Call) and isinstance(called.func, ast.Attribute):
        targets = [called.func]
    return {name for target in targets for name in bases_of(target)}


def targets_of(statement: ast.stmt) -> list[ast.expr]:
    """Return what a statement assigns to or deletes."""
    if isinstance(statement, (ast.Assign, ast.Delete)):
        return list(statement.targets)
    if isinstance(statement, (ast.AugAssign, ast.AnnAssign, ast.For, ast.AsyncFor)):
        return [statement.target]
    if isinstance(statement, (ast.With, ast.AsyncWith)):
        return [part.optional_vars for part in statement.items if part.optional_vars]
    return []


def bases_of(target: ast.expr) -> set[str]:
    """Return the variables that an assignment to *target* changes."""
    names = set()
    remaining = [target]
    while remaining:
        part = remaining.pop()
        if isinstance(part, ast.Name):
            names.add(part.id)
        elif isinstance(part, (ast.Tuple, ast.List)):
            remaining += part.elts
        elif isinstance(part, (ast.Attribute, ast.Subscript, ast.Starred)):
            remaining.append(part.value)
    return names


def uses_of(statements: Iterable[ast.AST]) -> Uses:
    """Return what runs when *statements* run: not the bodies of functions, not annotations.

    The body of a decorated function belongs to it: who knows what the decorator makes of it.
    """
    names: set[str] = set()
    attributes: set[str] = set()
    remaining = list(statements)
    while remaining:
        node = remaining.pop()
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                names.add(node.id)
        elif isinstance(node, _FUNCTIONS):
            remaining += _parts_of_function(node)
        elif isinstance(node, ast.AnnAssign):
            remaining += [node.target, *([node.value] if node.value else [])]
        elif not isinstance(node, ast.arg):
            if isinstance(node, ast.Attribute):
                attributes.add(node.attr)
            remaining += ast.iter_child_nodes(node)
    return Uses(frozenset(names), frozenset(attributes))


def _parts_of_function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    yield from node.decorator_list
    yield node.args
    for decorator in node.decorator_list:
        name = decorator.attr if isinstance(decorator, ast.Attribute) else ""
        name = decorator.id if isinstance(decorator, ast.Name) else name
        if name not in _TRANSPARENT:
            yield from node.body
            break
