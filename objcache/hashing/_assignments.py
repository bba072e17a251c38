"""Which variables the statements of a source assign.

Knows: syntax trees. Must not know: where they come from.
"""

from __future__ import annotations

import ast

__all__ = ["bases_of", "import_of", "targets_of", "touched_by"]


def import_of(statement: ast.stmt, name: str) -> tuple[int, str, str] | None:
    """Return level, module and name of the import that gives *name*, if *statement* is one."""
    if isinstance(statement, ast.ImportFrom):
        for alias in statement.names:
            if (alias.asname or alias.name) == name:
                return statement.level, statement.module or "", alias.name
    return None


def touched_by(statement: ast.stmt) -> set[str]:
    """Return the names that a statement assigns, or whose methods it calls for themselves."""
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
