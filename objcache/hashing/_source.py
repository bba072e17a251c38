"""The source of a function or class.

Knows: how to find it, and to see that it is what runs. Must not know: what it is for.

A file may have been edited since it was imported, so what is found is believed only if it
compiles to the code that runs.
"""

from __future__ import annotations
import __future__

import ast
import linecache
import sys
import threading
import types
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

from objcache.hashing._assignments import (
    Uses,
    bases_of,
    import_of,
    targets_of,
    touched_by,
    uses_of,
)
from objcache.hashing._callables import functions_in
from objcache.hashing._forms import bytecode_form, source_form

__all__ = ["Binding", "binding", "changed_names", "class_uses", "is_defined_in", "normal_form"]

_MOST_FILES: Final = 32
_MOST_KNOWN: Final = 10_000
_FUTURES: Final = sum(
    getattr(__future__, name).compiler_flag for name in __future__.all_feature_names
)
_OPTIMIZED: Final = 0x1  # local variables have places: the code of a function, not of a class

Definition = ast.FunctionDef | ast.AsyncFunctionDef
Owner = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda


def normal_form(code_owner: object) -> bytes | None:
    """Return the normalised source of a function or class, the same on every Python.

    Comments, docstrings, formatting, annotations, type parameters, `pass` and line numbers do
    not count; neither do the name of *code_owner*, nor, of a function, its decorators and its
    defaults, which are known by their values.

    Returns:
        None if there is no source, or if it is not the source of the code that runs.

    Cost: the first function of a file parses and compiles it; the others find it parsed.
    """
    try:
        if type(code_owner) is types.FunctionType:
            return _function_form(code_owner)
        if isinstance(code_owner, type):
            return _class_form(code_owner)
    except RecursionError:
        pass  # an expression as deep as the stack
    return None


def changed_names(function: types.FunctionType) -> frozenset[str]:
    """Return the names in the source of *function* that it assigns to, or to parts of.

    Assigning to a part of a variable from outside (`counts[key] += 1`) makes it state.
    """
    try:
        nodes = _nodes_of(function)
    except RecursionError:
        return frozenset()
    names: set[str] = set()
    for node in nodes:
        for part in ast.walk(node):
            if isinstance(part, ast.stmt):
                for target in targets_of(part):
                    if not isinstance(target, ast.Name):
                        names |= bases_of(target)
    return frozenset(names)


def class_uses(kind: type) -> Uses:
    """Return what the body of a class refers to; nothing, if its source is not known."""
    try:
        return uses_of(_class_nodes(kind)[:1])
    except RecursionError:
        return uses_of([])


class Binding(NamedTuple):
    """What the source of a module or class says about one of its names."""

    form: bytes | None
    """The normalised statements that assign it or call its methods."""
    uses: Uses
    """What these refer to."""
    imports: list[tuple[int, str, str]]
    """Level, module and name of the imports that it may come from, the last one first."""


def binding(namespace: dict[str, Any], name: str, owner: type | None = None) -> Binding | None:
    """Return what the source of the module of *namespace* says about a name at its top level.

    Args:
        namespace: the module's.
        name: the variable.
        owner: the class of that module whose body is meant instead.
    """
    filename = namespace.get("__file__")
    if type(filename) is not str:
        return None
    for source in _sources(filename, namespace, None, fresh=True):
        if owner is None:
            return source.binding(source.tree.body, name)
        nodes = source.classes.get(owner.__qualname__, ())
        if len(nodes) == 1:
            return source.binding(nodes[0].body, name)
    return None


# -- the source of what runs -----------------------------------------------------------------


def _function_form(function: types.FunctionType) -> bytes | None:
    code = function.__code__
    known = _known.get(id(code))
    if known is None:
        forms = {source_form(node) for node in _nodes_of(function)}
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        # With the code: an id is no one else's only while its object lives.
        known = _known[id(code)] = code, forms.pop() if len(forms) == 1 else None
    return known[1]


_known: dict[int, tuple[types.CodeType, bytes | None]] = {}


def _nodes_of(function: types.FunctionType) -> list[Definition | ast.Lambda]:
    """Return the nodes of the code that runs, which are alike; none if there is no such source."""
    code = function.__code__
    flags = code.co_flags & _FUTURES
    for source in _sources(code.co_filename, function.__globals__, flags):
        nodes = source.nodes_of(code)
        if (nodes and len(nodes) == 1) or len({source_form(node) for node in nodes}) == 1:
            return nodes
    return []


def _class_form(kind: type) -> bytes | None:
    forms = {source_form(node) for node in _class_nodes(kind)}
    return forms.pop() if forms else None


def _class_nodes(kind: type) -> list[ast.ClassDef]:
    """Return the nodes of a class, which are alike; none if its source is not known."""
    module = sys.modules.get(kind.__module__)
    methods = list(_methods(kind))
    if methods:
        code, namespace = methods[0].__code__, methods[0].__globals__
        filename, flags = code.co_filename, code.co_flags & _FUTURES
    elif module is not None and type(getattr(module, "__file__", None)) is str:
        filename, namespace, flags = str(module.__file__), vars(module), None
    else:
        return []
    for source in _sources(filename, namespace, flags, fresh=True):
        nodes = [
            node
            for node in source.classes.get(kind.__qualname__, ())
            if _describes(source, node, kind, methods)
        ]
        if len({source_form(node) for node in nodes}) == 1:
            return nodes
    return []


def _methods(kind: type) -> Iterator[types.FunctionType]:
    """Give the functions that the body of a class defines."""
    for member in list(vars(kind).values()):
        for function in functions_in(member):
            if is_defined_in(kind, function):
                yield function


def is_defined_in(kind: type, function: types.FunctionType) -> bool:
    """Whether *function* stands in the body of the class *kind*."""
    code = function.__code__
    return (
        code.co_qualname.rpartition(".")[0] == kind.__qualname__
        and function.__globals__.get("__name__") == kind.__module__
    )


def _describes(
    source: _Source, node: ast.ClassDef, kind: type, methods: list[types.FunctionType]
) -> bool:
    """Whether *node* can be the class that runs: its methods have this code, none is missing."""
    inside = {id(statement) for statement in _statements(node.body)}
    for method in methods:
        if not any(id(found) in inside for found in source.nodes_of(method.__code__)):
            return False
    mangled = f"_{kind.__name__.lstrip('_')}"
    for statement in node.body:
        if isinstance(statement, Definition):
            name = statement.name
            private = name.startswith("__") and not name.endswith("__")
            if (mangled + name if private else name) not in vars(kind):
                return False
    return True


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Give the statements of one scope, those inside of other statements too."""
    for statement in body:
        yield statement
        if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for inner in _bodies(statement):
                yield from _statements(inner)


def _bodies(statement: ast.AST) -> Iterator[list[ast.stmt]]:
    for field in ("body", "orelse", "finalbody"):
        inner = getattr(statement, field, None)
        if type(inner) is list:
            yield inner
    for field in ("handlers", "cases"):
        for part in getattr(statement, field, ()):
            yield part.body


# -- parsed files ----------------------------------------------------------------------------


@dataclass
class _Source:
    """One text, parsed and compiled as the import would."""

    text: str
    flags: int
    tree: ast.Module
    code: types.CodeType

    @cached_property
    def codes(self) -> dict[str, list[types.CodeType]]:
        """The compiled functions by qualified name."""
        found: dict[str, list[types.CodeType]] = {}
        remaining = [self.code]
        while remaining:
            code = remaining.pop()
            found.setdefault(code.co_qualname, []).append(code)
            remaining += [const for const in code.co_consts if type(const) is types.CodeType]
        return found

    @cached_property
    def scopes(self) -> tuple[dict[tuple[int, str], Definition], dict[str, list[ast.ClassDef]]]:
        """The functions by first line and name, the classes by qualified name."""
        functions: dict[tuple[int, str], Definition] = {}
        classes: dict[str, list[ast.ClassDef]] = {}
        remaining: list[tuple[str, list[ast.stmt]]] = [("", self.tree.body)]
        while remaining:
            prefix, body = remaining.pop()
            for node in _statements(body):
                if isinstance(node, ast.ClassDef):
                    classes.setdefault(prefix + node.name, []).append(node)
                    remaining.append((f"{prefix}{node.name}.", node.body))
                elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    first = node.decorator_list[0] if node.decorator_list else node
                    functions[first.lineno, node.name] = node
                    remaining.append((f"{prefix}{node.name}.<locals>.", node.body))
        return functions, classes

    @property
    def classes(self) -> dict[str, list[ast.ClassDef]]:
        """The classes by qualified name."""
        return self.scopes[1]

    @cached_property
    def lambdas(self) -> dict[int, list[ast.Lambda]]:
        """The lambdas by line."""
        found: dict[int, list[ast.Lambda]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Lambda):
                found.setdefault(node.lineno, []).append(node)
        return found

    def nodes_of(self, running: types.CodeType) -> list[Definition | ast.Lambda]:
        """Return the nodes that compile to the running code; several only if they are alike."""
        candidates = self.codes.get(running.co_qualname, [])
        here = [code for code in candidates if code.co_firstlineno == running.co_firstlineno]
        same = [code for code in here if _is_same(running, code)]
        # Lines that were added above since the import do not change what a function does.
        same = same or [code for code in candidates if _is_same(running, code)]
        same = [code for code in same if code.co_linetable == running.co_linetable] or same
        nodes: list[Definition | ast.Lambda] = []
        for code in same:
            if code.co_name == "<lambda>":
                nodes += self._lambdas_of(code)
            elif (code.co_firstlineno, code.co_name) in self.scopes[0]:
                nodes.append(self.scopes[0][code.co_firstlineno, code.co_name])
        return nodes

    def _lambdas_of(self, code: types.CodeType) -> list[ast.Lambda]:
        """Return the lambda that *code* was compiled from; all of its line if columns are off."""
        nodes = self.lambdas.get(code.co_firstlineno, [])
        if len(nodes) == 1:
            return nodes
        spans = [
            ((line, column), (end_line, end_column))
            for line, end_line, column, end_column in code.co_positions()
            if line is not None
            and end_line is not None
            and column is not None
            and end_column is not None
            and (line, column) != (end_line, end_column)
        ]
        if not spans:
            return nodes
        start, end = min(span[0] for span in spans), max(span[1] for span in spans)
        around = [node for node in nodes if _start(node.body) <= start and end <= _end(node.body)]
        # A lambda inside of another lies in the body of both.
        around.sort(key=lambda node: (_start(node.body), [-part for part in _end(node.body)]))
        return around[-1:]

    def binding(self, body: list[ast.stmt], name: str) -> Binding | None:
        """Return what the statements of one scope say about *name*."""
        touching: list[ast.stmt] = []
        imports: list[tuple[int, str, str]] = []
        for statement in body:
            touched = False
            for part in _statements([statement]):
                if (imported := import_of(part, name)) is not None:
                    imports.insert(0, imported)
                touched = touched or name in touched_by(part)
            if touched:
                touching.append(statement)
        if not touching and not imports:
            return None
        forms = [source_form(statement, whole=True) for statement in touching]
        return Binding(b"".join(forms) if forms else None, uses_of(touching), imports)


def _start(node: ast.expr) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _end(node: ast.expr) -> tuple[int, int]:
    return node.end_lineno or 0, node.end_col_offset or 0


_parsed: OrderedDict[str, _Source] = OrderedDict()
_parsing = threading.Lock()


def _sources(
    filename: str, namespace: dict[str, Any], flags: int | None, *, fresh: bool = False
) -> Iterator[_Source]:
    """Give the texts that may be the source: what was read once, and what the file says now.

    Args:
        filename: as the code says it.
        namespace: of the module, whose loader may know the text.
        flags: the compiler flags of the code, None if any will do.
        fresh: begin with what the file says now.
    """
    if fresh:
        linecache.checkcache(filename)
    text = "".join(linecache.getlines(filename, namespace))
    if text and (source := _parse(filename, text, flags)) is not None:
        yield source
    linecache.checkcache(filename)
    newer = "".join(linecache.getlines(filename, namespace))
    if newer and newer != text and (source := _parse(filename, newer, flags)) is not None:
        yield source


def _parse(filename: str, text: str, flags: int | None) -> _Source | None:
    with _parsing:
        source = _parsed.get(filename)
        if source is not None and source.text == text and flags in {None, source.flags}:
            _parsed.move_to_end(filename)
            return source
        source = _compile(filename, text, flags or 0)
        if source is not None:
            _parsed[filename] = source
            _parsed.move_to_end(filename)
            while len(_parsed) > _MOST_FILES:
                _parsed.popitem(last=False)
        return source


def _compile(filename: str, text: str, flags: int) -> _Source | None:
    for extra in (0, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT):  # a cell of a notebook may await
        try:
            # The import has warned already.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = compile(
                    text, filename, "exec", flags | extra | ast.PyCF_ONLY_AST, dont_inherit=True
                )
                code = compile(text, filename, "exec", flags | extra, dont_inherit=True)
        except SyntaxError:
            continue
        except (ValueError, OverflowError, MemoryError, RecursionError):
            return None
        return _Source(text, flags, tree, code)
    return None


def _is_same(running: types.CodeType, compiled: types.CodeType) -> bool:
    if running == compiled:
        return True
    from objcache.hashing._canonical import digest  # noqa: PLC0415  # only where lines moved

    return (
        len(running.co_code) == len(compiled.co_code)
        and running.co_names == compiled.co_names
        and digest(bytecode_form(running)) == digest(bytecode_form(compiled))
    )
