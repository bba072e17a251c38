"""`objcache watch`: what was asked of a store since the look before."""

from __future__ import annotations

import json

import pytest

from objcache import Cache, ManualClock, Store
from objcache.cli import _watch, main
from tests.unit.cli.conftest import double
from tests.unit.cli.processes import content, objcache
from tests.unit.cli.terminals import on_terminal


class BusyClock(ManualClock):
    """A clock in whose sleep others use the store; they do the same each time."""

    def __init__(self, use):
        super().__init__(1_700_000_000.0)
        self.use = use

    def sleep(self, seconds):
        self.use()
        super().sleep(seconds)


@pytest.fixture
def busy(shop, monkeypatch):
    """A store that is used between two looks: 3 reads of a cache, 4 calls of a function."""

    def use():
        with Cache(shop) as cache, Store(shop) as store:
            cache.get("lasting"), cache.get("lasting"), cache.get("nothing")
            memoized = store.memoize(double)
            [memoized(number) for number in (1, 1, 1, 2)]

    monkeypatch.setattr(_watch, "SYSTEM_CLOCK", BusyClock(use))
    return shop


def looked(capsys, *arguments):
    """What the command prints with --json."""
    assert 0 == main(["watch", *map(str, arguments), "--json"])
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_changes_are_told(busy, capsys):
    """Each look tells what was asked since the one before, over all processes."""
    first, second = looked(capsys, busy, "--count", 2, "--interval", 5)
    name = f"{double.__module__}.double"

    for one in (first, second):
        assert (5.0, 6) == (one["seconds"], one["entries"])
        assert [("/", 2, 1, 2 / 3), ("sub", 0, 0, None)] == [
            (cache["name"], cache["hits"], cache["misses"], cache["hit_ratio"])
            for cache in one["caches"]
        ]
        assert [(name, 4, 0, 1.0)] == [
            tuple(function[key] for key in ("name", "hits", "misses", "hit_ratio"))
            for function in one["functions"]
        ]


def test_functions_that_are_called_most_come_first(shop, capsys, monkeypatch):
    """Functions are told in the order of their calls; one that nobody calls is not."""

    def use():
        with Cache(shop) as cache, Store(shop) as store:
            store.memoize(double)(1)
            [cache.memoize(double)(1) for _ in range(3)]

    monkeypatch.setattr(_watch, "SYSTEM_CLOCK", BusyClock(use))
    (one,) = looked(capsys, shop, "--count", 1)

    assert [3, 1] == [function["hits"] for function in one["functions"]]
    monkeypatch.setattr(_watch, "SYSTEM_CLOCK", BusyClock(lambda: None))
    (one,) = looked(capsys, shop, "--count", 1)
    assert [] == one["functions"]


def test_counts_that_begin_anew(shop, capsys, monkeypatch):
    """After `cache_clear` nothing is told to be less than nothing."""

    def use():
        with Store(shop) as store:
            store.memoize(double).cache_clear()

    monkeypatch.setattr(_watch, "SYSTEM_CLOCK", BusyClock(use))
    (one,) = looked(capsys, shop, "--count", 1)

    assert [] == one["functions"]


def test_for_people(busy, capsys):
    """People see rates, ratios and sizes."""
    assert 0 == main(["watch", busy, "--count", "1", "--interval", "2"])
    printed = capsys.readouterr().out

    assert "66.7%" in printed
    assert "100.0%" in printed
    assert "6 entries, " in printed
    assert "in 2 s" in printed


def test_the_store_is_not_held(busy, capsys, monkeypatch):
    """Between two looks nobody has the store open: others may compact it."""
    use = _watch.SYSTEM_CLOCK.use

    def compacting():
        use()
        with Store(busy) as store:
            store.compact()

    monkeypatch.setattr(_watch.SYSTEM_CLOCK, "use", compacting)

    assert 2 == len(looked(capsys, busy, "--count", 2))


def test_as_a_process(shop):
    """It runs on a terminal and in a pipe, and changes nothing."""
    before = content(shop)
    done = objcache("watch", shop, "--count", 1, "--interval", 0.1)

    assert (0, "") == (done.returncode, done.stderr)
    assert "6 entries" in done.stdout
    assert "6 entries" in on_terminal("watch", shop, "--count", 1, "--interval", 0.1)
    assert before == content(shop)


def test_ctrl_c(shop, monkeypatch, capsys):
    """Ctrl-C ends it, with the code that this has everywhere."""

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(_watch, "SYSTEM_CLOCK", BusyClock(interrupt))

    assert 130 == main(["watch", shop])
    assert "interrupted" in capsys.readouterr().err
