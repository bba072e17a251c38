"""What the demo computes over all files: the graph of their imports, and copies between them.

Knows: the analyses of single files. Must not know: source, terminals, stores.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from objcache.cli._analysis import FileAnalysis, FunctionAnalysis

__all__ = ["Copies", "Hub", "Survey", "fingerprints", "survey"]

_SHOWN: Final = 10
_BUCKETS: Final = ((1, "1"), (5, "2-5"), (10, "6-10"), (20, "11-20"), (50, "21-50"))
_LAST_BUCKET: Final = "51+"

Graph = dict[str, list[str]]


class Hub(NamedTuple):
    """A module that others import when they are loaded: directly, or by way of others."""

    module: str
    importers: int
    dependents: int


class Copies(NamedTuple):
    """Functions that are copies of one another, and the lines that one of them would save."""

    functions: tuple[str, ...]
    spare_lines: int


class Survey(NamedTuple):
    """All files together.

    Attributes:
        lines: of all files.
        classes: of all files.
        functions: of all files.
        most_complex: functions with their modules, the most complex first.
        histogram: functions by their complexity.
        hubs: the modules that most others import.
        cycles: modules that import one another when they are loaded, the largest first.
        chain: the longest way from module to module by imports, each cycle counted as one.
        late_imports: imports of these modules that are not made on loading.
        late_imports_needed: those among them that would close a cycle on loading.
        copies: those that waste most lines first.
    """

    lines: int
    classes: int
    functions: int
    most_complex: tuple[tuple[str, FunctionAnalysis], ...]
    histogram: dict[str, int]
    hubs: tuple[Hub, ...]
    cycles: tuple[tuple[str, ...], ...]
    chain: tuple[str, ...]
    late_imports: int
    late_imports_needed: int
    copies: tuple[Copies, ...]


def fingerprints(files: Sequence[FileAnalysis]) -> tuple[str, ...]:
    """Return what stands for *files* in a key: far quicker to hash than they are."""
    return tuple(file.fingerprint for file in files)


def survey(files: Sequence[FileAnalysis]) -> Survey:
    """Put the analyses of all *files* together; those with a problem count by their lines."""
    parsed = {file.module: file for file in files if not file.problem}
    located = [(module, function) for module, file in parsed.items() for function in file.functions]
    located.sort(key=lambda found: (-found[1].complexity, found[0], found[1].line))
    histogram = Counter(_bucket(function.complexity) for _, function in located)
    graph = {module: _targets(file.imports, module, parsed) for module, file in parsed.items()}
    late = [
        (module, target)
        for module, file in parsed.items()
        for target in _targets(file.late_imports, module, parsed)
    ]
    components = _Components(graph)
    return Survey(
        lines=sum(file.lines for file in files),
        classes=sum(file.classes for file in files),
        functions=len(located),
        most_complex=tuple(located[:_SHOWN]),
        histogram={name: histogram[name] for _, name in (*_BUCKETS, (0, _LAST_BUCKET))},
        hubs=_hubs(graph, components),
        cycles=components.cycles(),
        chain=components.longest_chain(),
        late_imports=len(late),
        late_imports_needed=sum(components.reaches(target, module) for module, target in late),
        copies=_copies(located),
    )


def _bucket(complexity: int) -> str:
    return next((name for largest, name in _BUCKETS if complexity <= largest), _LAST_BUCKET)


def _targets(imports: Sequence[str], module: str, known: dict[str, FileAnalysis]) -> list[str]:
    found = {target for name in imports if (target := _known(name, known))}
    return sorted(found - {module})


def _known(name: str, modules: dict[str, FileAnalysis]) -> str:
    """The module that an import loads: `a.b.c` may be a name in `a.b`."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name


def _hubs(graph: Graph, components: _Components) -> tuple[Hub, ...]:
    importers = Counter(target for targets in graph.values() for target in targets)
    most = sorted(importers.items(), key=lambda found: (-found[1], found[0]))[:_SHOWN]
    return tuple(Hub(name, count, components.dependents(name)) for name, count in most)


def _copies(located: list[tuple[str, FunctionAnalysis]]) -> tuple[Copies, ...]:
    shapes: dict[str, list[tuple[str, FunctionAnalysis]]] = defaultdict(list)
    for module, function in located:
        if function.shape:
            shapes[function.shape].append((f"{module}.{function.name}", function))
    found = []
    for members in shapes.values():
        lines = sorted(function.lines for _, function in members)
        if len(lines) > 1:
            found.append(Copies(tuple(sorted(name for name, _ in members)), sum(lines[1:])))
    return tuple(sorted(found, key=lambda copies: (-copies.spare_lines, copies.functions)))


class _Components:
    """The strongly connected components of a graph, each after those it points to."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._members = [tuple(sorted(members)) for members in _connected(graph)]
        self._number = {
            node: number for number, members in enumerate(self._members) for node in members
        }
        self._targets = [
            {self._number[target] for node in members for target in graph[node]} - {number}
            for number, members in enumerate(self._members)
        ]
        # One bit for each component that can be reached, itself included.
        self._reach: list[int] = []
        for number, targets in enumerate(self._targets):
            reach = 1 << number
            for target in targets:
                reach |= self._reach[target]
            self._reach.append(reach)

    def cycles(self) -> tuple[tuple[str, ...], ...]:
        """Components of two and more nodes, the largest first."""
        cycles = [members for members in self._members if len(members) > 1]
        return tuple(sorted(cycles, key=lambda members: (-len(members), members)))

    def reaches(self, start: str, end: str) -> bool:
        """Whether there is a way from *start* to *end*."""
        return bool(self._reach[self._number[start]] >> self._number[end] & 1)

    def dependents(self, node: str) -> int:
        """How many other nodes have a way to *node*."""
        number = self._number[node]
        return (
            sum(
                len(members)
                for members, reach in zip(self._members, self._reach, strict=True)
                if reach >> number & 1
            )
            - 1
        )

    def longest_chain(self) -> tuple[str, ...]:
        """One node of each component on the longest way."""
        longest: list[tuple[int, int]] = []  # steps, and the component of the next step
        for targets in self._targets:
            # The lowest number among equals: one input, one answer.
            steps, following = max(((longest[t][0], -t) for t in targets), default=(0, 1))
            longest.append((steps + 1, -following))
        if not longest:
            return ()
        number = max(range(len(longest)), key=lambda n: (longest[n][0], -n))
        chain = []
        while number >= 0:
            chain.append(self._members[number][0])
            number = longest[number][1]
        return tuple(chain)


def _connected(graph: Graph) -> Iterator[list[str]]:
    """Yield the strongly connected components (Tarjan 1972), without recursion."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    open_nodes: set[str] = set()
    for root in graph:
        work = [] if root in index else [(root, iter(graph[root]))]
        while work:
            node, targets = work[-1]
            if node not in index:
                index[node] = low[node] = len(index)
                stack.append(node)
                open_nodes.add(node)
            target = next(targets, None)
            if target is None:
                work.pop()
                if work:
                    above = work[-1][0]
                    low[above] = min(low[above], low[node])
                if low[node] == index[node]:
                    position = stack.index(node)
                    component = stack[position:]
                    del stack[position:]
                    open_nodes.difference_update(component)
                    yield component
            elif target not in index:
                work.append((target, iter(graph[target])))
            elif target in open_nodes:
                low[node] = min(low[node], index[target])
