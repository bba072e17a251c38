"""What the demo computes for each file: the structure of Python source.

Knows: Python's grammar. Must not know: files, terminals, stores.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Iterator
from hashlib import blake2b
from typing import Final, NamedTuple

__all__ = ["FileAnalysis", "FunctionAnalysis", "analyse_source"]

_BRANCHES: Final = (
    *(ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.Assert),
    ast.match_case,
)
_BLOCKS: Final = (
    *(ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.TryStar, ast.With, ast.AsyncWith),
    ast.Match,
)
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS: Final = (*_FUNCTIONS, ast.ClassDef)

# Notation without a meaning of its own: neither operator nor operand for Halstead.
_SILENT: Final = (
    *(ast.Expr, ast.arguments, ast.Name, ast.arg, ast.Constant, ast.keyword),
    ast.expr_context,
)
# Where a name is bound by a plain string; `alias` is left out: what is imported is no local name.
_BINDS_BY_TEXT: Final = {
    "arg": "arg",
    "ClassDef": "name",
    "ExceptHandler": "name",
    "FunctionDef": "name",
    "AsyncFunctionDef": "name",
    "MatchAs": "name",
    "MatchMapping": "rest",
    "MatchStar": "name",
    "Name": "id",
}
# What a copy may differ in, or what says nothing: types, load or store, u"" or "".
_IGNORED_FIELDS: Final = frozenset({"annotation", "ctx", "kind", "returns", "type_comment"})
_SMALLEST_COPY_NODES: Final = 60

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class FunctionAnalysis(NamedTuple):
    """One function, with the functions inside it.

    Attributes:
        name: with the names of the classes and functions around it.
        line: where it begins.
        lines: how long it is.
        complexity: McCabe's (1976): decisions plus one.
        depth: how deep blocks nest; an `elif` is on the level of its `if`.
        volume: Halstead's (1977): words times the bits that one word takes.
        shape: equal for copies that differ in names of local variables, docstrings,
            annotations and layout only; "" for functions too small to be called a copy.
    """

    name: str
    line: int
    lines: int
    complexity: int
    depth: int
    volume: int
    shape: str


class FileAnalysis(NamedTuple):
    """One source file.

    Attributes:
        module: its dotted name; of a package the name alone.
        lines: of the file.
        classes: how many it defines, at whatever level.
        functions: those of classes and functions too.
        imports: what is imported when the module is loaded, resolved to absolute names.
        late_imports: what is imported later or never: in functions, for type checkers.
        problem: why it does not parse; "" if it does.
        fingerprint: equal for equal analyses.
    """

    module: str
    lines: int
    classes: int
    functions: tuple[FunctionAnalysis, ...]
    imports: tuple[str, ...]
    late_imports: tuple[str, ...]
    problem: str
    fingerprint: str


def analyse_source(module: str, source: bytes) -> FileAnalysis:
    """Analyse one file: its functions and what it imports.

    Args:
        module: the dotted name, which relative imports are resolved against; that of a package
            ends in `.__init__`.
        source: the content of the file; its encoding is what its first lines say (PEP 263).

    Cost: some ten milliseconds for a thousand lines; that is why the demo memoizes it.
    """
    lines = len(source.splitlines())
    functions: list[FunctionAnalysis] = []
    classes, problem = 0, ""
    imports: tuple[set[str], set[str]] = (set(), set())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the code that is analysed: not the user's
            tree = ast.parse(source)
    except SyntaxError as error:
        problem = f"{type(error).__name__}: {error.msg} (line {error.lineno})"
    except ValueError as error:
        problem = f"{type(error).__name__}: {error}"
    except (RecursionError, MemoryError) as error:
        # Which of the two, and its text, differ between versions of the parser.
        problem = f"{type(error).__name__}: nests too deeply"
    else:
        for name, definition in _definitions(tree):
            if isinstance(definition, ast.ClassDef):
                classes += 1
            else:
                functions.append(_analyse_function(name, definition))
        for target, late in _imports(tree, module):
            imports[late].add(target)
        imports[True].difference_update(imports[False])
    found = (
        *(module.removesuffix(".__init__"), lines, classes, tuple(functions)),
        *(tuple(sorted(imports[False])), tuple(sorted(imports[True])), problem),
    )
    return FileAnalysis(*found, blake2b(repr(found).encode(), digest_size=16).hexdigest())


def _definitions(tree: ast.Module) -> Iterator[tuple[str, _Function | ast.ClassDef]]:
    """All functions and classes with their dotted names, in the order of the source."""
    # A stack of one's own here and below: source may nest deeper than Python's calls may.
    stack: list[tuple[str, ast.AST]] = [("", tree)]
    while stack:
        prefix, node = stack.pop()
        if isinstance(node, _DEFINITIONS):
            name = prefix + node.name
            yield name, node
            prefix = f"{name}."
        children = [
            child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr)
        ]
        stack += [(prefix, child) for child in reversed(children)]


def _analyse_function(name: str, function: _Function) -> FunctionAnalysis:
    complexity, depth = 1, 0
    words: list[str] = []
    shape, nodes = blake2b(digest_size=12), 0
    own_names = _own_names(function)
    # Nodes with the depth of the blocks around them; text is what stands between nodes.
    stack: list[tuple[ast.AST | str, int]] = [(function, 0)]
    while stack:
        node, level = stack.pop()
        if isinstance(node, str):
            shape.update(node.encode("utf-8", "surrogatepass"))
            continue
        nodes += 1
        complexity += _decisions(node)
        words += _words(node)
        if isinstance(node, _BLOCKS):
            level += 1
            depth = max(depth, level)
        parts = _parts(node, function, own_names)
        if isinstance(node, ast.If) and _is_elif(node):
            # Its chain goes on at the level of this `if`, not below it.
            stack += [(part, level - (part is node.orelse[0])) for part in reversed(parts)]
        else:
            stack += [(part, level) for part in reversed(parts)]
    return FunctionAnalysis(
        name=name,
        line=function.lineno,
        lines=(function.end_lineno or function.lineno) - function.lineno + 1,
        complexity=complexity,
        depth=depth,
        volume=round(len(words) * math.log2(len(set(words)))),
        shape=shape.hexdigest() if nodes >= _SMALLEST_COPY_NODES else "",
    )


def _decisions(node: ast.AST) -> int:
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    return isinstance(node, _BRANCHES)


def _words(node: ast.AST) -> Iterator[str]:
    """Halstead's operators and operands: what is done, and what it is done to."""
    if not isinstance(node, _SILENT):
        yield type(node).__name__
    if isinstance(node, ast.Name):
        yield f"={node.id}"
    elif isinstance(node, ast.Attribute):
        yield f"={node.attr}"
    elif isinstance(node, ast.arg | ast.keyword):
        yield f"={node.arg}"
    elif isinstance(node, ast.Constant):
        yield _text(node.value)


def _is_elif(node: ast.If) -> bool:
    """Whether an `elif` follows: the grammar makes it an `if` inside `else`, on the same column."""
    return (
        len(node.orelse) == 1
        and isinstance(node.orelse[0], ast.If)
        and node.orelse[0].col_offset == node.col_offset
    )


def _own_names(function: _Function) -> dict[str, str]:
    """The names that *function* binds, numbered: a copy may call them otherwise."""
    names: dict[str, str] = {}
    for node in ast.walk(function):
        if node is function or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)):
            continue
        field = _BINDS_BY_TEXT.get(type(node).__name__)
        bound = getattr(node, field) if field else None
        if bound is not None:
            names.setdefault(bound, str(len(names)))
    names.setdefault(function.name, "itself")
    return names


def _parts(node: ast.AST, function: _Function, own_names: dict[str, str]) -> list[ast.AST | str]:
    """What *node* consists of, in order, in a form that no other content has."""
    kind = type(node).__name__
    binding = _BINDS_BY_TEXT.get(kind)
    parts: list[ast.AST | str] = [f"({kind}"]
    for field, value in ast.iter_fields(node):
        if field in _IGNORED_FIELDS or (field == "name" and node is function):
            continue
        if isinstance(value, ast.AST):
            parts.append(value)
        elif isinstance(value, list):
            first = field == "body" and isinstance(node, _DEFINITIONS) and _has_docstring(node)
            members = value[first:]
            parts.append(f"[{len(members)}")
            parts += [
                member if isinstance(member, ast.AST) else f" {member!r}" for member in members
            ]
        elif field == binding and value in own_names:
            parts.append(f"${own_names[value]}")
        else:
            parts.append(f" {_text(value)}")
    parts.append(")")
    return parts


def _text(value: object) -> str:
    """What a constant is: `1`, `1.0` and `True` differ."""
    # Decimal digits of large numbers are refused: sys.set_int_max_str_digits.
    shown = f"{value:x}" if isinstance(value, int) else repr(value)
    return f"{type(value).__name__} {shown}"


def _has_docstring(node: _Function | ast.ClassDef) -> bool:
    first = node.body[0]
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )


def _imports(tree: ast.Module, module: str) -> Iterator[tuple[str, bool]]:
    """What is imported, and whether that happens later than when the module is loaded."""
    package = module.split(".")[:-1]
    stack: list[tuple[ast.AST, bool]] = [(tree, False)]
    while stack:
        node, late = stack.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((target, late) for target in _imported_from(node, package))
        elif isinstance(node, _FUNCTIONS):
            stack += [(child, True) for child in node.body]
        elif isinstance(node, ast.If) and _is_skipped_on_load(node.test):
            stack += [(child, True) for child in node.body]
            stack += [(child, late) for child in node.orelse]
        elif not isinstance(node, ast.expr):
            stack += [(child, late) for child in ast.iter_child_nodes(node)]


def _imported_from(node: ast.ImportFrom, package: list[str]) -> Iterator[str]:
    """`from a import b` imports the module `a.b`, or what `a` calls `b`: which, the survey knows."""
    base = node.module.split(".") if node.module else []
    if node.level:
        above = len(package) - node.level + 1
        if above < 1:
            return  # beyond the top: the statement fails
        base = package[:above] + base
    for alias in node.names:
        yield ".".join(base if alias.name == "*" else [*base, alias.name])


def _is_skipped_on_load(test: ast.expr) -> bool:
    """`if TYPE_CHECKING:` and `if __name__ == "__main__":`."""
    if isinstance(test, ast.Compare):
        return isinstance(test.left, ast.Name) and test.left.id == "__name__"
    name = test.id if isinstance(test, ast.Name) else getattr(test, "attr", "")
    return name == "TYPE_CHECKING"
