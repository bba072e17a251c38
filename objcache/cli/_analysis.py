"""What the demo computes: the structure of Python source files.

Knows: Python's grammar. Must not know: terminals, stores.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import NamedTuple

__all__ = ["FileAnalysis", "FunctionAnalysis", "TreeAnalysis", "analyse_source", "analyse_tree"]

_BRANCHES = (
    *(ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.Assert),
    *(ast.comprehension, ast.match_case, ast.With, ast.AsyncWith),
)
_BLOCKS = (
    *(ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.With, ast.AsyncWith, ast.Match),
)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SMALLEST_CLONE_NODES = 60


class FunctionAnalysis(NamedTuple):
    """One function: where it is, how it branches, and a fingerprint of its shape."""

    name: str
    line: int
    lines: int
    complexity: int
    depth: int
    shape: str


class FileAnalysis(NamedTuple):
    """One source file."""

    module: str
    lines: int
    classes: int
    functions: tuple[FunctionAnalysis, ...]
    imports: tuple[str, ...]
    problem: str


class TreeAnalysis(NamedTuple):
    """All files together."""

    most_complex: list[tuple[str, FunctionAnalysis]]
    most_imported: list[tuple[str, int]]
    cycles: list[list[str]]
    clones: list[list[str]]
    histogram: dict[str, int]


def analyse_source(module: str, source: str) -> FileAnalysis:
    """Analyse one file: cyclomatic complexity (McCabe 1976), nesting, shape of each function, imports.

    Args:
        module: the dotted name, which relative imports are resolved against; a package ends
            in `.__init__`.
        source: the text of the file.

    Cost: tens of milliseconds for a large file; that is why the demo memoizes it.
    """
    lines = source.count("\n") + 1
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError) as error:
        return FileAnalysis(module, lines, 0, (), (), f"{type(error).__name__}: {error}")
    functions = tuple(
        FunctionAnalysis(
            name,
            node.lineno,
            (node.end_lineno or node.lineno) - node.lineno + 1,
            _complexity(node),
            _depth(node),
            _shape(node),
        )
        for name, node in _functions(tree, "")
    )
    classes = sum(isinstance(node, ast.ClassDef) for node in ast.walk(tree))
    imports = tuple(sorted(set(_imports(tree, module))))
    return FileAnalysis(module.removesuffix(".__init__"), lines, classes, functions, imports, "")


def _functions(
    node: ast.AST, prefix: str
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _FUNCTIONS):
            yield prefix + child.name, child
            yield from _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        else:
            yield from _functions(child, prefix)


def _complexity(function: ast.AST) -> int:
    """Decisions plus one."""
    total = 1
    for node in ast.walk(function):
        if isinstance(node, ast.BoolOp):
            total += len(node.values) - 1
        elif isinstance(node, _BRANCHES) and not isinstance(node, ast.With | ast.AsyncWith):
            total += 1
    return total


def _depth(node: ast.AST) -> int:
    """How deep blocks nest."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        # An `elif` is written as an `if` inside an `else`, and read on one level.
        is_elif = isinstance(node, ast.If) and [child] == node.orelse and isinstance(child, ast.If)
        deepest = max(deepest, _depth(child) - is_elif)
    return deepest + isinstance(node, _BLOCKS)


def _shape(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """A fingerprint that ignores names, docstrings and positions: equal for copied functions.

    "" for functions of a few words, which are alike without being copied.
    """
    node = copy.deepcopy(function)
    if ast.get_docstring(node, clean=False) is not None:
        node.body = node.body[1:] or [ast.Pass()]
    if sum(1 for _ in ast.walk(node)) < _SMALLEST_CLONE_NODES:
        return ""
    names: dict[str, str] = {}
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            part.id = names.setdefault(part.id, f"v{len(names)}")
        elif isinstance(part, ast.arg):
            part.arg = names.setdefault(part.arg, f"v{len(names)}")
            part.annotation = None
    node.name = ""
    return blake2b(ast.dump(node).encode(), digest_size=12).hexdigest()


def _imports(tree: ast.AST, module: str) -> Iterator[str]:
    package = module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            yield ".".join([*base, *((node.module or "").split(".") if node.module else [])])


def analyse_tree(files: Iterable[FileAnalysis]) -> TreeAnalysis:
    """Put the analyses of all *files* together."""
    parsed = {file.module: file for file in files if not file.problem}
    graph = {
        module: sorted({target for name in file.imports if (target := _known(name, parsed))})
        for module, file in parsed.items()
    }
    imported = Counter(target for targets in graph.values() for target in targets)
    located = [(module, function) for module, file in parsed.items() for function in file.functions]
    located.sort(key=lambda found: -found[1].complexity)
    shapes = defaultdict(list)
    for module, function in located:
        if function.shape:
            shapes[function.shape].append(f"{module}.{function.name}")
    clones = sorted((names for names in shapes.values() if len(names) > 1), key=len, reverse=True)
    histogram = Counter(_bucket(function.complexity) for _, function in located)
    return TreeAnalysis(
        most_complex=located[:8],
        most_imported=imported.most_common(8),
        cycles=sorted(_cycles(graph), key=len, reverse=True),
        clones=clones,
        histogram={name: histogram[name] for name in ("1", "2-5", "6-10", "11-20", "21-50", "51+")},
    )


def _known(name: str, modules: dict[str, FileAnalysis]) -> str | None:
    """The module that an import loads: `a.b.c` may be an attribute of `a.b`."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def _bucket(complexity: int) -> str:
    for largest, name in ((1, "1"), (5, "2-5"), (10, "6-10"), (20, "11-20"), (50, "21-50")):
        if complexity <= largest:
            return name
    return "51+"


def _cycles(graph: dict[str, list[str]]) -> Iterator[list[str]]:
    """Yield the strongly connected components of two and more modules (Tarjan 1972), without recursion."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    for root, first in graph.items():
        if root in index:
            continue
        work = [(root, iter(first))]
        index[root] = low[root] = len(index)
        stack.append(root)
        while work:
            node, targets = work[-1]
            target = next(targets, None)
            if target is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    component = stack[stack.index(node) :]
                    del stack[stack.index(node) :]
                    if len(component) > 1:
                        yield sorted(component)
            elif target not in index:
                index[target] = low[target] = len(index)
                stack.append(target)
                work.append((target, iter(graph[target])))
            elif target in stack:
                low[node] = min(low[node], index[target])
