"""The analysis of the demo: numbers that can be counted by hand."""

from __future__ import annotations

from objcache.cli._analysis import analyse_source, analyse_tree

SOURCE = '''
import os.path
from . import sibling
from ..up import thing

class Thing:
    def method(self, x):
        """Counts."""
        if x and x > 1 or x < 0:
            for _ in range(x):
                while x:
                    pass
        elif x:
            return [y for y in x]
        return 1 if x else 2

def plain():
    def inner():
        assert True
'''


def test_functions_are_measured():
    """Complexity counts decisions plus one, depth nested blocks, names their owners."""
    analysis = analyse_source("pkg.mod", SOURCE)
    found = {
        function.name: (function.complexity, function.depth) for function in analysis.functions
    }

    # if, and, or, for, while, elif, comprehension, conditional expression
    assert {"Thing.method": (9, 3), "plain": (2, 0), "plain.inner": (2, 0)} == found
    assert 1 == analysis.classes
    assert "" == analysis.problem


def test_imports_are_resolved():
    """Relative imports are resolved against the package that the module lies in."""
    assert ("os.path", "pkg.sub", "pkg.up") == analyse_source("pkg.sub.mod", SOURCE).imports
    assert "pkg" in analyse_source("pkg.__init__", "from . import a").imports


def test_copied_functions_have_one_shape():
    """Renaming, docstrings and position do not hide a copy; another operation does."""
    body = "    total = 0\n    for entry in {}:\n        if entry > 3:\n            total {} entry * 2 + total ** 3\n            total = max(total, 1, 2, 3, 4, 5, 6) or [total, total, total]\n    return [total, total + 1, {}]\n"
    one = "def one(rows):\n" + body.format("rows", "+=", "rows")
    two = 'def two(lines):\n    """Doc."""\n' + body.format("lines", "+=", "lines").replace(
        "entry", "e"
    )
    other = "def other(rows):\n" + body.format("rows", "-=", "rows")
    tree = analyse_tree(
        [analyse_source("a", one), analyse_source("b", two), analyse_source("c", other)]
    )

    assert [["a.one", "b.two"]] == [sorted(names) for names in tree.clones]


def test_cycles_and_counts():
    """Import cycles and the most imported modules are found."""
    sources = {"a": "import b", "b": "import c.attribute", "c": "import a", "d": "import a, d2"}
    tree = analyse_tree([analyse_source(module, source) for module, source in sources.items()])

    assert [["a", "b", "c"]] == tree.cycles
    assert ("a", 2) == tree.most_imported[0]


def test_files_that_do_not_parse_are_told():
    """A syntax error is a result, not an exception."""
    analysis = analyse_source("bad", "def f(:")

    assert analysis.problem.startswith("SyntaxError")
    assert [] == analyse_tree([analysis]).most_complex
