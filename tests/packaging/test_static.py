"""The checks that need no run: style, types, layers, sizes, names."""

from __future__ import annotations

import ast
import importlib
import pathlib
import pkgutil
import re
import subprocess
import sys

import pytest

import objcache

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = ROOT / "objcache"
MODULES = sorted(PACKAGE.rglob("*.py"))
BUDGET = {ast.Module: 400, ast.ClassDef: 250, ast.FunctionDef: 40, ast.AsyncFunctionDef: 40}
GRANTED: dict[str, int] = {
    # One class for each failure that a user can meet, each with its message and its remedy.
    "objcache/errors.py": 450,
    # What one call of a memoized function does first, flat on purpose.
    "objcache/memo/_plain.py::plain_call": 45,
    # Reading and writing a small record are written out twice, flat on purpose.
    "objcache/records/_records.py::Records": 295,
    "objcache/records/_records.py::decode_dated": 45,
    "objcache/records/_records.py::encode": 55,
    # One open file: its handle, locks, members and pulse live and die together.
    "objcache/engine/_environment.py::Environment": 318,
    # One protocol: its steps, their order, and what happens when one of them fails.
    "objcache/engine/_checkpoints.py::Checkpoints": 275,
    # A third of it is its signature.
    "objcache/store/_store.py::__init__": 82,
}


def run(*command):
    """Run a tool of the test extra on the whole project; what it prints is the failure."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert 0 == done.returncode, done.stdout + done.stderr


def test_ruff_finds_nothing():
    """All rules that pyproject.toml does not switch off with a reason hold everywhere."""
    run("ruff", "check", ".")


def test_ruff_would_reformat_nothing():
    """Everything is formatted."""
    run("ruff", "format", "--check", ".")


def test_mypy_finds_nothing():
    """The package and the typing examples are clean under mypy --strict."""
    run("mypy")


def test_pyright_finds_nothing():
    """The typing examples are clean under pyright too, and what must be an error is one."""
    run("pyright")


def test_layers_hold():
    """A module imports only from layers below it; only the engine imports lmdb (setup.cfg)."""
    code = "from importlinter.cli import lint_imports_command as main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert 0 == done.returncode, done.stdout
    assert "2 kept, 0 broken" in done.stdout


def code_lines(node, whole):
    """Lines of *node* without its docstrings: explaining is free."""
    return whole - sum(
        inner.body[0].end_lineno - inner.body[0].lineno + 1
        for inner in ast.walk(node)
        if isinstance(inner, tuple(BUDGET)) and ast.get_docstring(inner, clean=False) is not None
    )


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(ROOT)))
def test_within_budget(file):
    """No module, class or function outgrows what a reader can hold."""
    source = file.read_text()
    tree = ast.parse(source)
    over = []
    for node in ast.walk(tree):
        if limit := BUDGET.get(type(node)):
            whole = len(source.splitlines())
            name = str(file.relative_to(ROOT))
            if node is not tree:
                whole = node.end_lineno - node.lineno + 1
                name += f"::{node.name}"
            size = code_lines(node, whole)
            if size > GRANTED.get(name, limit):
                over.append(f"{name}: {size} lines, budget {GRANTED.get(name, limit)}")

    assert [] == over


def test_time_is_an_argument():
    """Only objcache.clock uses the clocks of the system."""
    users = {
        file.name
        for file in MODULES
        for node in ast.walk(ast.parse(file.read_text()))
        if (isinstance(node, ast.Import) and any(alias.name == "time" for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "time")
    }

    assert {"clock.py"} == users


PUBLIC = sorted(
    module.name
    for module in pkgutil.walk_packages([str(PACKAGE)], "objcache.")
    if not any(part.startswith("_") for part in module.name.split("."))
)


@pytest.mark.parametrize("name", ["objcache", *PUBLIC])
def test_surface(name):
    """`__all__` is what a module offers, each name has a docstring, and no class is private by path."""
    module = importlib.import_module(name)

    assert module.__doc__
    assert sorted(module.__all__) == sorted(set(module.__all__))
    for exported in module.__all__:
        value = getattr(module, exported)
        if isinstance(value, type) or callable(value):
            foreign = not (getattr(value, "__module__", None) or "").startswith("objcache")

            assert foreign or value.__doc__, f"{name}.{exported}"


def test_unknown_names_are_attribute_errors():
    """The package offers what it lists, and nothing else."""
    assert set(objcache.__all__) == set(dir(objcache))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        objcache.nonsense


def test_nothing_of_this_machine_is_written_down():
    """No file of the project holds a path of some machine."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        return  # not a checkout
    pattern = re.compile(r"(^|[^A-Za-z0-9._])/(work|root|farm)/")
    found = [
        name
        for name in listed.stdout.splitlines()
        if (ROOT / name).is_file() and pattern.search((ROOT / name).read_text(errors="ignore"))
    ]

    assert [] == found
