"""Every example runs: those of the docstrings, of the README and of the pages."""

from __future__ import annotations

import doctest
import importlib
import pathlib
import pkgutil
import re

import pytest

import objcache
from objcache import Store

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


def page_examples():
    """Each block of Python on a page."""
    for page in PAGES:
        for number, block in enumerate(
            re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
        ):
            yield pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")


@pytest.mark.parametrize("block", list(page_examples()))
def test_page_examples_run(block, tmp_path, monkeypatch, capsys):
    """The examples of the README and the pages run as they stand."""
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "example", "exec"), {"__name__": "example"})

    assert "Traceback" not in capsys.readouterr().out


def test_links_lead_somewhere():
    """Every relative link of a page leads to a file that is there."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_readme_commands_are_those_of_ci():
    """The two commands of the README are what CI runs."""
    readme, ci = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()

    assert 1 == readme.count("pip install '.[cli]' && objcache demo")
    assert 1 == readme.count("pip install -e '.[test]' && python -m pytest")
    assert 'grep -m1 -F "$1" README.md' in ci
