"""The pytest plugin: what its fixtures are, and who has them."""

from __future__ import annotations

import configparser
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[3]


def run_pytest(tmp_path, source, *options, plugin="objcache.testing.plugin"):
    """Run pytest with the plugin, and no other, on *source*; return what it printed."""
    (tmp_path / "test_it.py").write_text(source)
    asked = () if plugin is None else ("-p", plugin)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *asked, *options, "test_it.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_the_fixtures(tmp_path):
    """Store and cache are empty, share a clock and are closed; memoized functions compute."""
    source = """
import objcache
left = []

def test_store(objcache_store, objcache_clock, tmp_path):
    left.append(objcache_store)
    objcache_store["a"] = 1
    assert objcache_store.path.startswith(str(tmp_path))
    assert objcache_store.clock is objcache_clock

def test_cache(objcache_cache, objcache_clock):
    assert left[0].closed
    objcache_cache.set("a", 1, expire=10)
    objcache_clock.advance(10)
    assert "a" not in objcache_cache

def test_both(objcache_store, objcache_cache):
    assert not objcache_store and not objcache_cache

calls = []

def test_off(objcache_off, objcache_store):
    f = objcache_store.memoize(lambda x: calls.append(x))
    f(1), f(1)
    assert calls == [1, 1]

def test_on(objcache_store):
    f = objcache_store.memoize(lambda x: calls.append(x))
    f(1), f(1)
    assert calls == [1, 1, 1]
"""

    assert "5 passed" in run_pytest(tmp_path, source)


def test_every_name_is_prefixed(tmp_path):
    """No fixture of a common name: a test that forgets its own `store` is told so."""
    listed = run_pytest(tmp_path, "", "--fixtures", "-v")
    ours = {
        line.split(" ")[0]
        for line in listed.splitlines()
        if "objcache_" in line and "plugin.py" in line
    }

    assert {"objcache_cache", "objcache_clock", "objcache_off", "objcache_store"} == ours
    source = "def test_it(store): pass"
    assert "fixture 'store' not found" in run_pytest(tmp_path, source)


def test_suites_tell_what_they_compare(tmp_path):
    """A backend that breaks the promise is shown with both values; one without a fixture is told."""
    source = """
import pytest
from objcache.testing.conformance import CacheConformance, StoreConformance

class TestDict(StoreConformance):
    @pytest.fixture
    def store(self):
        return {}

class TestNothing(CacheConformance):
    pass
"""
    printed = run_pytest(tmp_path, source, "-k", "none_is_a_value or values_are_copies or sliding")

    assert "1 failed, 1 passed" in printed
    assert "1 error" in printed
    assert "assert [1, 2] == [1]" in printed
    assert "needs a fixture `open_cache`" in printed


def test_a_conftest_asks_for_it(tmp_path):
    """As the page says; nobody else has it: no entry point of pytest is ours."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["objcache.testing.plugin"]')
    source = "def test_it(objcache_store): pass"

    assert "1 passed" in run_pytest(tmp_path, source, plugin=None)
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "setup.cfg")
    assert {"console_scripts"} == set(settings["options.entry_points"])
