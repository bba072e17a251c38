"""The pages build, and the lists on them are whole."""

from __future__ import annotations

import configparser
import importlib
import importlib.util
import inspect
import pathlib
import re
import subprocess
import sys

import pytest

import objcache
from objcache import Cache, Store, errors
from objcache.memo._settings import Options

DOCS = pathlib.Path(__file__).parents[2] / "docs"
REFERENCE = DOCS / "reference"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The pages as Sphinx builds them; a warning is an error."""
    target = tmp_path_factory.mktemp("docs")
    command = ["-W", "-n", "--keep-going", "-q", "-d", target / "doctrees", DOCS, target / "html"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *command], capture_output=True, text=True, check=False
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    return target / "html"


def test_every_page_is_built_and_is_in_the_contents(built):
    """No page is left out, and each is reached from the first one."""
    pages = {page.relative_to(DOCS).with_suffix("") for page in DOCS.rglob("*.md")}
    first = (built / "index.html").read_text()

    for page in pages - {pathlib.Path("index")}:
        assert (built / page).with_suffix(".html").exists()
        assert f'href="{page}.html"' in first, page


def test_pages_fetch_nothing_from_elsewhere(built):
    """What a page shows comes with it: no script, style or image from another host."""
    for page in built.rglob("*.html"):
        fetched = re.findall(
            r'<(?:script|img|link)[^>]+(?:src|href)="(https?:[^"]+)"', page.read_text()
        )
        assert [] == fetched, page


def test_every_public_name_is_in_the_reference(built):
    """What `objcache` offers is described, with its docstring or on the page of errors."""
    reference = (built / "reference" / "api.html").read_text()
    described = set(re.findall(r'id="objcache\.(\w+)"', reference))

    assert set(objcache.__all__) - described == {
        *(name for name in errors.__all__ if hasattr(objcache, name)),
        *("__version__", "errors"),
    }
    for method in ("Store.set_many", "Store.view", "Cache.get", "MemoizedFunction.why"):
        assert f'id="objcache.{method}"' in reference, method


@pytest.mark.parametrize(
    "module",
    ["events", "hashing", "integrations.opentelemetry", "integrations.prometheus", "testing"],
)
def test_every_name_of_public_modules_is_in_the_reference(built, module):
    """What the modules beside `objcache` itself offer is described, each class and function."""
    reference = (built / "reference" / "api.html").read_text()
    offered = importlib.import_module(f"objcache.{module}")
    names = offered.__all__ if hasattr(offered, "__all__") else dir(offered)
    public = {name for name in names if not name.startswith("_") and name != "Event"}
    described = set(re.findall(rf'id="objcache\.{re.escape(module)}\.(\w+)"', reference))

    assert public == described


def test_every_error_has_cause_and_remedy():
    """The page of errors has them all, in the order of the tree, with their bases and attributes."""
    text = (REFERENCE / "errors.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))

    assert set(errors.__all__) == set(sections)
    for name, section in sections.items():
        error = getattr(errors, name)
        own = re.findall(r"self\.(\w+) = ", inspect.getsource(error))
        told = section.partition("**Attributes:**")[2]

        assert "**Cause:**" in section
        assert "**Remedy:**" in section
        assert [base.__name__ for base in error.__bases__] == re.findall(
            r"`(\w+)`", section.partition("**Is a:**")[2].partition("\n")[0]
        )
        assert {*own} - {"args", "errno"} <= set(re.findall(r"`(\w+)`", told)), name


def table_of(heading):
    """Settings and their defaults, as the table under *heading* says."""
    text = (REFERENCE / "settings.md").read_text()
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, re.MULTILINE))


@pytest.mark.parametrize("of", [Store, Cache], ids=lambda of: of.__name__)
def test_every_setting_is_told_with_its_default(of):
    """The tables of settings are the signatures."""
    told = table_of(of.__name__)
    parameters = inspect.signature(of).parameters.values()
    named = {each.name: each.default for each in parameters if each.kind is not each.VAR_KEYWORD}

    assert list(named) == list(told)
    for name, default in named.items():
        shown = "required" if default is inspect.Parameter.empty else f"`{default!r}`"
        if name == "clock":
            shown = "the system's"
        assert shown.replace("'", '"') == told[name].replace("'", '"'), name


def test_every_option_of_memoize_is_told():
    """The tables of options are those that memoize takes."""
    text = (REFERENCE / "memoize.md").read_text()
    section = text.partition("\n## The decorator\n")[2].partition("\n## ")[0]

    assert Options.__optional_keys__ == set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


def test_errors_that_share_a_text_stay_together(built):
    """A docstring may list errors on several lines; the page shows them with their text."""
    shown = re.sub(r"<[^>]+>", "", (built / "reference" / "api.html").read_text()).splitlines()

    assert any(
        line.startswith("StoreNotFoundError, StoreError, ") and "nothing was changed" in line
        for line in shown
    )


def test_every_extra_is_told():
    """The table of extras has those that can be installed."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(DOCS.parent / "setup.cfg")
    section = (REFERENCE / "settings.md").read_text().partition("\n## Extras\n")[2]
    firsts = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)

    assert sorted(settings["options.extras_require"]) == sorted(
        name for first in firsts for name in re.findall(r"`(\w+)`", first)
    )


def test_every_environment_variable_is_told():
    """What the code reads from the environment is in the table, and nothing else."""
    package = importlib.util.find_spec("objcache").submodule_search_locations[0]
    read = {
        name
        for file in pathlib.Path(package).rglob("*.py")
        for name in re.findall(r'Final = "(OBJCACHE_\w+)"', file.read_text())
    }
    text = (REFERENCE / "settings.md").read_text()

    assert read == set(re.findall(r"^\| `(OBJCACHE_\w+)`", text, re.MULTILINE))
