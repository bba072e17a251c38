"""The queue of a cache as it lies: what is told to go next is what goes."""

from __future__ import annotations

import os
import random

import pytest

from objcache import Cache, ManualClock, Store, events
from objcache.cache._policy import POLICIES
from objcache.cache.queue import next_evictions, queue_of
from objcache.keys import key_of
from objcache.store.generations import PREFIX_BYTES, caches_of
from tests.unit.cli.conftest import double
from tests.unit.cli.processes import content

BORN = 1_700_000_000.0


def read(path, function, names=()):
    """Return what *function* makes of a read-only store and of one of its caches."""
    with Store(path, readonly=True) as store:
        caches = {cache.names: cache for cache in store._session.read(caches_of)}
        return function(store, caches[names])


def forecast(path, most, now=BORN, names=()):
    """Return the policy, and the keys that would go next."""
    policy, entries = read(path, lambda store, one: next_evictions(store, one, most, now), names)
    return policy, [key_of(PREFIX_BYTES, entry.located, b"") for entry in entries]


def fill(cache, seed):
    """Store and read at random."""
    chance = random.Random(seed)
    for _ in range(900):
        key = int(chance.paretovariate(0.5)) % 400
        if chance.random() < 0.5 or cache.get(key) is None:
            cache.set(key, b"x" * chance.randrange(500))


@pytest.mark.parametrize("policy", [name for name in POLICIES if name != "none"])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_told_is_what_goes(path, policy, seed):
    """The next evictions are those that happen, in their order, whatever the policy remembers."""
    gone = []
    with Cache(path, max_entries=120, policy=policy) as cache:
        fill(cache, seed)
        before = len(cache)
    told = forecast(path, 40)
    with (
        events.listen(gone.append, events.Evicted),
        Cache(path, max_entries=80, policy=policy) as cache,
    ):
        cache.cull()

    assert (120, 80, 40) == (before, before - len(gone), len(gone))
    assert (policy, [event.key for event in gone]) == told


def test_looking_changes_nothing(path):
    """Looking twice tells the same, and no file changes."""
    with Cache(path, max_entries=50) as cache:
        fill(cache, 0)
    before = content(path)

    assert forecast(path, 30) == forecast(path, 30)
    assert before == content(path)


def test_what_is_over_goes_first(path):
    """Entries whose deadline has come go before all others, the first deadline first."""
    with Cache(path, clock=ManualClock(BORN)) as cache:
        cache.set("stays", 1)
        cache.set("second", 1, expire=20)
        cache.set("first", 1, expire=10)
        cache.set("later", 1, expire=1000)

    assert ["first", "second", "stays", "later"] == forecast(path, 9, BORN + 20)[1]
    assert ["stays", "second", "first", "later"] == forecast(path, 9, BORN + 9)[1]
    assert ["first"] == forecast(path, 1, BORN + 20)[1]


def test_nothing_goes_where_nothing_may(path):
    """The policy `none` lets nothing go but what is over."""
    with Cache(path, policy="none", on_full="error", clock=ManualClock(BORN)) as cache:
        cache.set("stays", 1)
        cache.set("goes", 1, expire=1)

    assert ("none", ["goes"]) == forecast(path, 9, BORN + 1)


def test_an_unknown_policy_is_told(path):
    """Without the marks of reads the default policy chooses, and that is told by an empty name."""
    with Cache(path) as cache:
        cache.set("a", 1)
        cache.set("b", 1)
    for name in os.listdir(os.path.join(path, "caches")):
        os.unlink(os.path.join(path, "caches", name))

    assert ("", ["a", "b"]) == forecast(path, 9)


@pytest.mark.parametrize("marks", [b"", b"short", b"\xff" * 5000])
def test_damaged_marks_do_no_harm(path, marks):
    """Marks of another size are none, marks of any content only change the choice."""
    with Cache(path, max_entries=9) as cache:
        cache.update({number: number for number in range(9)})
    place = os.path.join(path, "caches")
    for name in os.listdir(place):
        if name.endswith(".hints"):
            with open(os.path.join(place, name), "r+b") as file:
                file.write(marks)
                if len(marks) < 10:
                    file.truncate(len(marks))

    assert set(range(9)) == set(forecast(path, 99)[1])


def test_the_queue(path):
    """The queue has every entry in the order of storing, with what the cache knows of it."""
    with Cache(path, clock=ManualClock(BORN)) as cache:
        cache.set("b", "x" * 3000, expire=60, tag=["one", "two"])
        cache.set("a", 1)
        cache.memoize(double)(1)
        size_bytes = cache.stats().size_bytes
    entries = read(path, lambda store, cache: list(queue_of(store, cache)))

    assert ["b", "a"] == [key_of(PREFIX_BYTES, entry.located, b"") for entry in entries[:2]]
    assert [False, False, True] == [entry.is_result for entry in entries]
    assert (BORN, BORN + 60, ("one", "two")) == (
        entries[0].created,
        entries[0].deadline,
        entries[0].tags,
    )
    assert (None, ()) == (entries[1].deadline, entries[1].tags)
    assert size_bytes == sum(entry.size_bytes for entry in entries)
