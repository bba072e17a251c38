"""The survey of all files: small graphs whose answers are plain to see."""

from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from objcache.cli._analysis import analyse_source
from objcache.cli._survey import Copies, Hub, fingerprints, survey


def surveyed(**sources):
    """The survey of modules given by name."""
    return survey([analyse_source(name, source.encode()) for name, source in sources.items()])


def importing(graph):
    """Sources whose imports are *graph*."""
    return {
        node: "".join(f"import {target}\n" for target in targets) for node, targets in graph.items()
    }


def test_sums():
    """Lines, classes and functions are those of all files; what does not parse has lines only."""
    found = surveyed(a="class A:\n def f(self): pass\n", b="def g(x):\n return x or 1\n", bad="(\n")

    assert (5, 1, 2) == (found.lines, found.classes, found.functions)
    assert ["b.g", "a.A.f"] == [f"{module}.{f.name}" for module, f in found.most_complex]
    assert {"1": 1, "2-5": 1, "6-10": 0, "11-20": 0, "21-50": 0, "51+": 0} == found.histogram


def test_histogram_covers_all_complexities():
    """Each function is in one bucket, bounds included."""
    source = "".join(
        f"def f{n}(x):\n return {' or '.join(['x'] * n)}\n" for n in (1, 2, 5, 6, 10, 11, 20, 21)
    )
    source += "".join(f"def g{n}(x):\n return {' or '.join(['x'] * n)}\n" for n in (50, 51, 90))
    found = surveyed(m=source)

    assert [1, 2, 2, 2, 2, 2] == list(found.histogram.values())
    assert 10 == len(found.most_complex)
    assert 90 == found.most_complex[0][1].complexity


def test_hubs_and_dependents():
    """A module is reached by those that import it, and by those that import these."""
    found = surveyed(**importing({"a": "b", "b": "c", "c": "", "d": "c", "e": "d"}))

    assert (Hub("c", 2, 4), Hub("b", 1, 1), Hub("d", 1, 1)) == found.hubs
    assert () == found.cycles


def test_cycles():
    """Modules that import one another are a cycle; a way into it is no part of it."""
    found = surveyed(
        **importing({"a": "b", "b": "c", "c": "a", "d": "a", "x": "y", "y": "x", "z": "z"})
    )

    assert (("a", "b", "c"), ("x", "y")) == found.cycles
    assert "z" not in {hub.module for hub in found.hubs}  # it imports itself
    assert Hub("a", 2, 3) in found.hubs


def test_longest_chain():
    """The longest way counts a cycle as one; there is one answer."""
    graph = {"a": "b", "b": "cx", "c": "bd", "d": "", "x": "", "e": "x"}

    assert ("a", "b", "d") == surveyed(**importing(graph)).chain
    assert () == survey([]).chain


def test_names_in_modules_are_resolved():
    """`from a import b` is an edge to the module `a.b` if there is one, to `a` otherwise."""
    sources = {
        "pkg.__init__": "from . import one",
        "pkg.one": "from pkg.two import name",
        "pkg.two": "import pkg.one.attribute, elsewhere.unknown",
    }
    found = surveyed(**sources)

    assert (("pkg.one", "pkg.two"),) == found.cycles
    assert ("pkg", "pkg.one") == found.chain


def test_late_imports_that_avoid_a_cycle_are_counted():
    """A late import is needed late if, made on loading, it would close a cycle."""
    found = surveyed(
        a="import b\n", b="def f():\n import a, c, unknown\n", c="def f():\n import a\n"
    )

    assert (3, 1) == (found.late_imports, found.late_imports_needed)
    assert () == found.cycles


def test_copies_between_files():
    """Copies are found across files, with the lines that would be saved."""
    body = "(rows):\n" + "".join(f"    rows[{n}] = rows[{n + 1}] * {n}\n" for n in range(9))
    found = surveyed(
        a="def one" + body,
        b="class B:\n    x = 1\n",
        c='def three(lines):\n    """Doc."""\n' + body.replace("rows", "lines").split("\n", 1)[1],
        d=("def four" + body).replace("* 3", "* 4"),
    )

    assert (Copies(("a.one", "c.three"), 11),) == found.copies


def test_fingerprints_stand_for_the_files():
    """Another file, another order or another result is another key."""
    one, two = analyse_source("a", b"import x"), analyse_source("b", b"import x")

    assert fingerprints([one, two]) == fingerprints([one, two])
    assert 3 == len({fingerprints(files) for files in ([one], [one, two], [two, one])})


def test_survey_is_plain():
    """What is stored comes back equal."""
    found = surveyed(**importing({"a": "b", "b": "a", "c": "a"}))

    assert found == pickle.loads(pickle.dumps(found))


def closure(graph):
    """What each node reaches, by a plain search."""
    reached = {}
    for node in graph:
        seen, waiting = set(), [node]
        while waiting:
            for target in graph[waiting.pop()]:
                if target not in seen:
                    seen.add(target)
                    waiting.append(target)
        reached[node] = seen
    return reached


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.text(alphabet="abcdefgh", max_size=4)))
def test_graphs_are_what_a_plain_search_finds(drawn):
    """Cycles, reach and chain of any graph are those that a search from each node finds."""
    graph = {node: {t for t in targets if t in drawn} - {node} for node, targets in drawn.items()}
    reached = closure(graph)
    found = surveyed(**importing(graph))
    mutual = {
        frozenset({node, *(t for t in reached[node] if node in reached[t])})
        for node in graph
        if node in reached[node]
    }

    assert mutual == {frozenset(cycle) for cycle in found.cycles}
    for hub in found.hubs:
        others = [node for node in graph if hub.module in reached[node] and node != hub.module]
        assert (len(others), sum(hub.module in t for t in graph.values())) == (
            hub.dependents,
            hub.importers,
        )
    for one, following in zip(found.chain, found.chain[1:], strict=False):
        assert following in reached[one]
        assert one not in reached[following]
