"""The normal forms of code: the same on every Python, another one for every other program."""

from __future__ import annotations

import ast
import json

import pytest

from objcache.hashing import digest
from objcache.hashing._forms import bytecode_form, source_form
from objcache.hashing._source import normal_form
from objcache.hashing.code import components
from tests.unit.hashing import forms
from tests.unit.hashing.projects import Project

REMEDY = (
    "the digest of these sources changed, so every stored result is of another version; if it is "
    "meant, run `python -m tests.unit.hashing.forms` and note it in the changelog"
)
# Statements of one form; others have one of their own.
ALIKE = (
    {"def f(x): pass", 'def f(x):\n    """Doc."""'},
    {'def f(x): return f"a" "b"', 'def f(x): return "ab"'},
)


def test_golden_forms():
    """Each source, and each part of a project, has the digest that it always had, on every Python."""
    expected = json.loads(forms.FILE.read_text("utf-8"))
    actual = forms.digests()

    assert sorted(expected) == sorted(actual)
    assert [] == [source for source in actual if expected[source] != actual[source]], REMEDY


def test_different_sources_have_different_forms():
    """No two of the golden sources are the same program, but for those that are said to be."""
    known: dict[bytes, set[str]] = {}
    for source in forms.statements():
        known.setdefault(forms.form_of(source), set()).add(source)
    shared = [sources for sources in known.values() if len(sources) > 1]

    assert sorted(map(sorted, ALIKE)) == sorted(map(sorted, shared))


@pytest.mark.parametrize("source", forms.statements())
def test_layout_does_not_count(source):
    """A source that the interpreter writes down in its own way has the same form."""
    assert forms.form_of(source) == forms.form_of(ast.unparse(ast.parse(source)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{None: x}", "{**x}"),
        ("lambda: lambda *, a: a", "lambda: lambda *, a=None: a"),
        ("[x]", "(x,)"),
        ("x, y", "(x, y), "),
        ("f(x, *y)", "f(*y, x)"),
        ("f(a=x, **y)", "f(**y, a=x)"),
        ("'x'", "x"),
        ("x.y", "x['y']"),
        ("'12'", "12"),
        ("0", "False"),
        ("0.0", "-0.0"),
        ("1", "1.0"),
        ("1", "1j"),
        ("f'{x}y'", "f'{x}' 'z'"),
        ("f'{x}'", "'{x}'"),
        ("f'{x}'", "f'{x!s}'"),
        ("f'{x:a}'", "f'{x}a'"),
        ("x[1:]", "x[:1]"),
        ("x[1:None]", "x[1]"),
        ("[a for a in x if y]", "[a for a in x for _ in y]"),
        ("lambda a, b: a", "lambda b, a: a"),
        ("lambda a, /: a", "lambda a: a"),
        ("x and y or z", "x and (y or z)"),
    ],
)
def test_expressions_are_told_apart(one, other):
    """Expressions that mean something else have another form, however alike they are written."""
    forms_of_both = [source_form(ast.parse(source, mode="eval").body) for source in (one, other)]

    assert forms_of_both[0] != forms_of_both[1]


def test_names_decorators_and_defaults_belong_to_the_statement():
    """A function is known without its name, decorators and defaults; the statement has them."""
    plain, other = (
        ast.parse(source).body[0]
        for source in ("def f(x): return x", "@d\ndef g(x=1) -> int: return x")
    )

    assert source_form(plain) == source_form(other)
    assert source_form(plain, whole=True) != source_form(other, whole=True)


def test_annotations_of_fields_count_where_they_are_read():
    """Annotations in a class count if it has bases or decorators, which may read them."""

    def form(source):
        return source_form(ast.parse(source).body[0])

    assert form("class A:\n x: int = 1") == form("class A:\n x: str = 1")
    assert form("class A(B):\n x: int = 1") != form("class A(B):\n x: str = 1")
    assert form("@d\nclass A:\n x: int = 1") != form("@d\nclass A:\n x: str = 1")
    assert form("class A(B):\n def f(x: int): pass") == form("class A(B):\n def f(x: str): pass")


def compiled(source):
    """Return the code of the function `f` of *source*."""
    scope = {}
    exec(source, scope)
    return scope["f"].__code__


@pytest.mark.parametrize(
    "other",
    [
        "def f(x):\n    'Doc.'\n    return [x, 'a', 1.5]",
        "# Above.\n\n\ndef f(x):\n\n    # Inside.\n    return [x, 'a', 1.5]",
        "def f(x: int = 3) -> list:\n    y: int\n    return [x, 'a', 1.5]",
        "def g(x):\n    return [x, 'a', 1.5]\nf = g",
    ],
)
def test_bytecode_without_lines_docstrings_and_names(other):
    """Neither lines nor docstring, annotations, defaults or the name count in bytecode."""
    code = compiled("def f(x):\n    return [x, 'a', 1.5]")

    assert bytecode_form(code) == bytecode_form(compiled(other))


@pytest.mark.parametrize(
    "other",
    [
        "def f(x):\n    return [x, 'b', 1.5]",
        "def f(x):\n    return [x, 'a', 2.5]",
        "def f(x):\n    return [x, 1.5, 'a']",
        "def f(y):\n    return [y, 'a', 1.5]",
        "def f(x, y=1):\n    return [x, 'a', 1.5]",
        "async def f(x):\n    return [x, 'a', 1.5]",
        "def f(x):\n    return (x, 'a', 1.5)",
        "def f(x):\n    return [x, 'a', 1.5].y",
    ],
)
def test_bytecode_that_does_something_else(other):
    """Whatever else bytecode does counts."""
    code = compiled("def f(x):\n    return [x, 'a', 1.5]")

    assert digest(bytecode_form(code)) != digest(bytecode_form(compiled(other)))


def test_docstrings_do_not_shift_constants():
    """Constants count by their values, whichever numbers the compiler has given them."""
    plain, documented = (
        compiled(f"def f(x):\n    {text}x.y('a')\n    return None") for text in ("", "'Doc.'\n    ")
    )

    assert plain.co_consts != documented.co_consts
    assert bytecode_form(plain) == bytecode_form(documented)


def test_lambdas_of_one_line_that_compile_alike(tmp_path):
    """The columns tell lambdas of one line apart that compile to the same code."""
    with Project(tmp_path).importable() as project:
        project.write({"one.py": "f, g = (lambda x: x[1 + 1]), (lambda x: x[2])\n"})
        module = project.load("one")
        found = [normal_form(module.f), normal_form(module.g)]

    assert [forms.form_of(f"f = lambda x: x[{index}]") for index in ("1 + 1", "2")] == found


def test_inner_code_counts_in_bytecode():
    """The functions inside of a function are part of its bytecode, by name and by what they do."""
    sources = [
        "def f(x):\n    def g(): return 1\n    return g",
        "def f(x):\n    def g(): return 2\n    return g",
        "def f(x):\n    def g():\n        'Doc.'\n        return 1\n    return g",
    ]
    one, two, documented = (digest(bytecode_form(compiled(source))) for source in sources)

    assert one != two
    assert one == documented


def test_expressions_as_deep_as_the_stack(tmp_path):
    """A source that nests too deeply to be written down is known by its bytecode."""
    deep = " + ".join(["x"] * 700)
    with Project(tmp_path).importable() as project:
        project.write({"pkg/__init__.py": "", "pkg/main.py": f"def f(x, y):\n    return {deep}\n"})
        function = project.load().f
        one = components(function)

        assert normal_form(function) is None
        project.edit("return x", "return y")

        assert one != project.parts()


def test_nothing_else_has_a_source():
    """Only functions and classes have one."""
    assert [None, None, None] == [normal_form(len), normal_form(5), normal_form(int)]
