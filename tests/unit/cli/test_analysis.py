"""The analysis of one file: numbers that can be counted by hand."""

from __future__ import annotations

import pickle
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objcache.cli._analysis import analyse_source

SOURCE = b'''
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
            return [y for y in x if y]
        return 1 if x else 2

def plain():
    def inner():
        assert True
'''

BODY = """
    total = 0
    for entry in rows:
        if entry > 3:
            total += entry * 2 + total ** 3
            total = max(total, 1, 2, 3, 4, 5, 6) or [total, total, total]
        for left, right in zip(rows, rows):
            total += left * right - 1 if left else right[0].start
    return [total, total + 1, rows]
"""


FIRST_LOOP = BODY[BODY.index("            total = max") : BODY.index("        for left")]


def only(source):
    """The one function of *source*."""
    (function,) = analyse_source("m", source.encode()).functions
    return function


def test_functions_are_measured():
    """Complexity counts decisions plus one, depth nested blocks, names tell the owners."""
    analysis = analyse_source("pkg.mod", SOURCE)
    found = {
        function.name: (function.complexity, function.depth) for function in analysis.functions
    }

    # if, and, or, for, while, elif, comprehension and its if, conditional expression
    assert {"Thing.method": (10, 3), "plain": (2, 0), "plain.inner": (2, 0)} == found
    assert [(7, 9), (17, 3), (18, 2)] == [(f.line, f.lines) for f in analysis.functions]
    assert (1, 19, "") == (analysis.classes, analysis.lines, analysis.problem)


@pytest.mark.parametrize(
    ("body", "complexity", "depth"),
    [
        ("pass", 1, 0),
        ("try:\n  pass\n except A:\n  pass\n except B:\n  pass", 3, 1),
        ("match x:\n  case 1:\n   pass\n  case _:\n   pass", 3, 1),
        ("with x:\n  async with y:\n   pass", 1, 2),
        ("if x:\n  pass\n elif y:\n  pass\n elif z:\n  if x:\n   pass", 5, 2),
        ("if x:\n  pass\n else:\n  if y:\n   pass", 3, 2),
        ("if x:\n  pass\n else:\n  if y:\n   pass\n  while z:\n   pass", 4, 2),
        ("return a and b and c or d", 4, 0),
        ("return {a for a in b for c in d if e if f}", 5, 0),
        ("try:\n  pass\n except* A:\n  pass", 2, 1),
        ("return lambda: x if y else z", 2, 0),
    ],
)
def test_each_kind_of_branch(body, complexity, depth):
    """Every way to branch and to nest counts as McCabe and a reader count it."""
    function = only(f"async def f():\n {body}\n")

    assert (complexity, depth) == (function.complexity, function.depth)


def test_volume_is_halsteads():
    """Volume is all words times the bits that one of the different words takes."""
    # FunctionDef Return BinOp Add =x int=1: six words, all different
    assert round(6 * 2.584962500721156) == only("def f():\n return x + 1\n").volume
    # twice more BinOp Add int=1: twelve words, six different ones
    assert round(12 * 2.584962500721156) == only("def f():\n return x + 1 + 1 + 1\n").volume


def test_imports_are_resolved():
    """Relative imports are resolved against the package that the module lies in."""
    imports = analyse_source("pkg.sub.mod", SOURCE).imports

    assert ("os.path", "pkg.sub.sibling", "pkg.up.thing") == imports
    assert ("pkg.a",) == analyse_source("pkg.__init__", b"from . import a").imports
    assert ("pkg",) == analyse_source("pkg.mod", b"from . import *").imports
    for beyond in (b"from .. import beyond", b"from ... import beyond"):
        assert () == analyse_source("pkg.mod", beyond).imports
    assert "pkg" == analyse_source("pkg.__init__", b"").module


def test_late_imports_are_told_apart():
    """What is not imported on loading is a late import, unless it is imported on loading as well."""
    source = b"""
import a, both
from typing import TYPE_CHECKING
import typing
try:
    import b
except ImportError:
    import c
if TYPE_CHECKING:
    import d
else:
    import e
if typing.TYPE_CHECKING:
    import f
if __name__ == "__main__":
    import g
class C:
    import h
    def method(self):
        import i, both
"""
    analysis = analyse_source("m", source)

    assert set("abceh") | {"both", "typing", "typing.TYPE_CHECKING"} == set(analysis.imports)
    assert tuple("dfgi") == analysis.late_imports


def test_copies_have_one_shape():
    """Names of variables, docstrings, annotations, layout and the name itself do not count."""
    plain = "def one(rows):" + BODY
    copy = plain.replace("rows", "lines").replace("entry", "e").replace("left", "one")
    documented = 'def two(rows: list[int]) -> list:\n    """Doc."""' + BODY.replace("  3", "3")

    assert "" != only(plain).shape
    assert only(plain).shape == only(copy).shape
    assert only(plain).shape == only(documented).shape


def test_copies_may_call_themselves():
    """The name by which a function calls itself counts as little as the name it is defined by."""
    one = f"def one(rows):{BODY}    return one(rows)\n"
    two = one.replace("one", "two")
    other = one.replace("return one", "return two")

    assert only(one).shape == only(two).shape
    assert only(one).shape != only(other).shape


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("+=", "-="),
        ("max", "min"),  # another function is called
        (".start", ".stop"),
        ("> 3", "> 3.0"),
        ("> 3", "> True"),
        ("total, 1, 2", "total, 2, 1"),
        ("right[0]", "left[0]"),  # another variable
        (FIRST_LOOP, FIRST_LOOP.replace("            ", "        ")),  # what a block holds
        ("return [", "global total\n    return ["),
    ],
)
def test_others_have_another_shape(old, new):
    """Whatever changes what a function does changes its shape."""
    source = "def f(rows):" + BODY

    assert old in source
    assert only(source).shape != only(source.replace(old, new)).shape


def test_global_variables_are_not_the_functions_own():
    """Functions that write to different global variables are no copies."""
    source = "def f(rows):\n    global total" + BODY

    assert only(source).shape != only(source.replace("total", "result")).shape


def test_small_functions_have_no_shape():
    """Functions of a few words are alike without being copied."""
    assert "" == only("def f(x):\n return x + 1\n").shape


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (b"def f(:", "SyntaxError: invalid syntax (line 1)"),
        (b"# coding: nonsense\n", "SyntaxError: "),
        (b'x = "\xff"\n', "SyntaxError: "),
        (b"a\0b", "Error: source code "),
        (b"(" * 5000 + b")" * 5000, "Error: "),
    ],
)
def test_what_does_not_parse_is_told(source, problem):
    """A file that does not parse is a result with the reason, not an exception."""
    analysis = analyse_source("bad", source)

    assert problem in analysis.problem
    assert ((), (), 0) == (analysis.functions, analysis.imports, analysis.classes)


def test_deep_source_is_measured():
    """Source that nests as deep as Python's own calls may is measured, not refused."""
    chain = only("def f(x):\n if x:\n  pass\n" + " elif x:\n  pass\n" * 900)
    total = only(f"def f(x):\n return {' + '.join(['x'] * 900)}\n")

    assert (902, 1) == (chain.complexity, chain.depth)
    assert 1 == total.complexity


def test_large_numbers_are_measured():
    """A number with more digits than Python writes out is a constant like any other."""
    assert 1 == only(f"def f():\n return 0x{'f' * 9000}\n").complexity


def test_warnings_about_the_source_are_not_ours():
    """What the parser has to say about the analysed code is not raised or printed."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        analysis = analyse_source("m", b'x = "\\d"\n')

    assert "" == analysis.problem


def test_encoding_of_the_file_counts():
    """The coding line says how the bytes are read; line ends may be those of any system."""
    analysis = analyse_source("m", "# coding: latin-1\r\ndef é(): pass\r\n".encode("latin-1"))

    assert ("é",) == tuple(function.name for function in analysis.functions)
    assert 2 == analysis.lines


def test_fingerprint_follows_the_result():
    """Equal analyses have equal fingerprints; whatever differs in one differs in the other."""
    one, same = analyse_source("m", b"import a\n"), analyse_source("m", b"import a  # why\n")

    assert one == same
    assert one == pickle.loads(pickle.dumps(one))
    for module, source in (("n", b"import a"), ("m", b"import b"), ("m", b"import a\n\n")):
        assert one.fingerprint != analyse_source(module, source).fingerprint


@given(st.binary(max_size=40) | st.text(alphabet="def f(x):\n ify=+[]", max_size=60))
def test_any_content_is_analysed(content):
    """No content of a file makes the analysis fail."""
    source = content if isinstance(content, bytes) else content.encode()

    assert "m" == analyse_source("m", source).module
