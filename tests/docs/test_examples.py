"""Every example runs: those of the docstrings, of the README and of the pages."""

from __future__ import annotations

import doctest
import importlib
import os
import pathlib
import pkgutil
import re
import subprocess
import sys
import types
from unittest import mock

import pytest

import objcache
from objcache import Store
from tests.docs.printed import steady

ROOT = pathlib.Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def docstring_examples():
    """Each docstring with an example, by name."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    for module in pkgutil.walk_packages(objcache.__path__, "objcache."):
        if module.name.endswith("__main__"):
            continue
        try:
            loaded = importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            assert not error.name.startswith("objcache"), error
            continue  # of a library that is not installed
        for found in finder.find(loaded):
            if found.examples:
                yield found
    yield from (found for found in finder.find(objcache, "objcache") if found.examples)


@pytest.mark.parametrize("example", list(docstring_examples()), ids=lambda example: example.name)
def test_docstring_examples_run(example, path):
    """The examples of a docstring print what they say."""
    example.globs.update({"objcache": objcache, "Store": Store, "path": path})
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    printed = []
    runner.run(example, out=printed.append)

    assert 0 == runner.failures, "".join(printed)


def test_the_main_names_have_examples():
    """What a newcomer meets first shows how it is used."""
    names = {example.name for example in docstring_examples()}

    for wanted in (
        "Store",
        "Store.transaction",
        "Store.namespace",
        "memoize",
        "open",
        "ManualClock",
    ):
        assert any(name.endswith(f".{wanted}") for name in names), wanted


def blocks_of(page):
    """The blocks of Python on a page, each with what it prints, if the page says that next.

    A block of text that begins with a prompt is of the command line, not of the block above.
    """
    return re.findall(
        r"^```python\n(.*?)^```\n(?:\n```text\n(?!\$)(.*?)^```)?",
        page.read_text(),
        re.DOTALL | re.MULTILINE,
    )


def assert_printed(told, printed):
    """A block printed what its page says, but for moments and durations."""
    if told:
        assert steady(told) == steady(printed)


def named(block):
    """The name of the file that a block begins with (`# worker.py`), if it does."""
    found = re.match(r"# (\w+\.py)\n", block)
    return found and found[1]


def marks_of(text):
    """Of a store with a secret of its own, or with altered records, nothing can be checked."""
    unchecked = ("secret=", "OBJCACHE_SECRET", "lmdb.open")
    return [pytest.mark.damages] if any(word in text for word in unchecked) else []


def page_examples():
    """Each block of Python on a page that stands for itself."""
    for page in PAGES:
        for number, (block, told) in enumerate(blocks_of(page)):
            if not named(block):
                name = f"{page.relative_to(ROOT)}-{number}"
                yield pytest.param(block, told, id=name, marks=marks_of(block))


@pytest.mark.parametrize(("block", "told"), list(page_examples()))
def test_page_examples_run(block, told, tmp_path, monkeypatch, capsys):
    """The examples of the README and the pages run as they stand, and print what is said."""
    monkeypatch.chdir(tmp_path)
    example = types.ModuleType("example")  # where its classes are found again
    monkeypatch.setitem(sys.modules, "example", example)
    monkeypatch.setattr(sys, "path", [*sys.path])  # examples may add to it
    with mock.patch.dict(os.environ):
        exec(compile(block, "example", "exec"), example.__dict__)

    printed = capsys.readouterr().out
    assert "Traceback" not in printed
    assert_printed(told, printed)


def pages_with_files():
    """Each page with blocks that are files, and so belong together."""
    for page in PAGES:
        if any(named(block) for block, _ in blocks_of(page)):
            marks = marks_of(page.read_text())
            yield pytest.param(page, id=str(page.relative_to(ROOT)), marks=marks)


@pytest.mark.parametrize("page", list(pages_with_files()))
def test_page_files_run(page, tmp_path):
    """The files of a page, saved in one folder and run in their order, do what they say.

    A name that comes twice is an edit: what comes later finds the new file.
    """
    for block, told in blocks_of(page):
        if not named(block):
            continue
        (tmp_path / named(block)).write_text(block)
        tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command = [*(tests if named(block).startswith("test_") else ["-W", "error"]), named(block)]
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

        assert 0 == done.returncode, f"{named(block)}: {done.stdout}{done.stderr}"
        assert_printed(told, done.stdout)


def test_links_lead_somewhere():
    """Every relative link of a page leads to a file that is there."""
    for page in PAGES:
        text = re.sub(r"```.*?```|`[^`]+`", "", page.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_readme_commands_are_those_of_ci():
    """The two commands of the README are what CI finds there, and runs."""
    finds = "^(readme_command|demo=|tests=)"
    code = f"""eval "$(grep -E '{finds}' .ci/run)"; echo "$demo"; echo "$tests" """
    found = subprocess.run(
        ["bash", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert [
        "pip install '.[cli]' && objcache demo",
        "pip install -e '.[test]' && python -m pytest",
    ] == found.stdout.splitlines()
