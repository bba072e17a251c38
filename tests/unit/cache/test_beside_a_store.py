"""A cache and a store in one directory, and the tools of the store on what a cache has written."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from objcache import Store
from objcache.store import check_path
from objcache.store.generations import DEADLINES, QUEUE, STATE, TAGS

OLD = b"the old secret, of 16 bytes"
NEW = b"the new secret, of 16 bytes"


def fill(cache):
    """Entries of all kinds, in two caches and two generations."""
    cache["over"] = 0
    cache.clear()
    for one in (cache, cache.namespace("n")):
        one.set("a", 1, expire=1000, tag=("x", "y"))
        one.set("k" * 600, 2)
        one.set(frozenset({1}), np.arange(3000))


def test_both_in_one_directory(open_cache, open_store):
    """Neither sees entries of the other; both lengths and every check are right."""
    store = open_store()
    cache = open_cache()
    store["s"] = 1
    store.namespace("n")["s"] = 2
    fill(cache)

    assert (1, 1, 3) == (len(store), len(store.namespace("n")), len(cache))
    assert (["s"], [("n",)]) == (list(store), store.namespaces())
    assert 1 == store.stats().entries
    for report in (store.check(), store.check(deep=True), check_path(store.path, deep=True)):
        assert ((), 8) == (report.problems, report.entries)
    store.clear()
    assert (0, 3) == (len(store), len(cache))
    cache.clear()
    cache.namespace("n").clear()
    assert (0, 0, 1) == (len(cache), len(store), len(store.namespace("n")))
    assert store.check().ok
    cache.cull()
    assert store.check().ok
    assert (0, 1) == (len(store), len(store.namespace("n")))


def test_copy_and_compact(open_cache, tmp_path):
    """A copy of the file has the cache, with its indexes; a compacted file too."""
    cache = open_cache()
    fill(cache)
    cache.copy(tmp_path / "copy")
    cache.compact()

    with open_cache(tmp_path / "copy") as copy:
        assert ([1, 1], 3) == ([one["a"] for one in (cache, copy)], len(copy))
        assert copy.check().ok
        assert ["a"] == list(copy.keys(tag="x"))


def test_rekey(open_cache, path):
    """`Store.rekey` signs the records of caches too, and none of their other rows."""
    with open_cache(secret=OLD) as cache:
        fill(cache)
    with Store(path, secret=[NEW, OLD], durability="process") as store:
        done = store.rekey()

    assert (6, 0, 0) == done
    with open_cache(secret=NEW) as cache:
        assert (1, 2, 1) == (cache["a"], cache["k" * 600], cache.namespace("n")["a"])
        assert cache.check().ok
    with Store(path, secret=NEW, durability="process") as store:
        assert store.check().ok
        store.rekey()
    with Store(path, secret=[b"the secret of the tests, 32 bytes", NEW]) as store:
        store.rekey()


def rows(cache, kind):
    """The rows of one kind, as they lie in the file."""
    first = cache._rules.prefix + kind

    def read(transaction):
        cursor = transaction.cursor()
        cursor.set_range(first)
        return [(key, value) for key, value in cursor if key.startswith(first)]

    return cache._session.read(read)


def write(cache, change):
    """Change the file behind the cache's back."""
    cache._session.write(change)


DAMAGES = {
    "a record is gone": (b"\x10", "delete"),
    "a record is altered": (b"\x10", "flip"),
    "a row of the queue is gone": (QUEUE, "delete"),
    "a row of the queue is cut": (QUEUE, "cut"),
    "a deadline is gone": (DEADLINES, "delete"),
    "a deadline of nothing": (DEADLINES, "another"),
    "a tag is gone": (TAGS, "delete"),
    "a tag of nothing": (TAGS, "another"),
    "the numbers are wrong": (STATE, "flip"),
    "the numbers are cut": (STATE, "cut"),
}


@pytest.mark.damages
@pytest.mark.parametrize("damage", DAMAGES)
def test_check_finds_every_damage(path, clock, damage):
    """Each row of each index is compared with the record, and `clear` makes the cache whole."""
    from objcache.cache import Cache

    kind, how = DAMAGES[damage]
    with Cache(path, durability="process", clock=clock) as cache:
        for number in range(5):
            cache.set(("k", number), number, expire=1000, tag="t")
        assert cache.check().ok
        key, value = rows(cache, kind)[0]

        def change(transaction):
            if how == "delete":
                transaction.delete(key)
            elif how == "another":
                transaction.put(key[:-1] + bytes([key[-1] ^ 1]), value)
            elif how == "cut":
                transaction.put(key, value[:5])
            else:
                place = 20 if kind == STATE else 30
                transaction.put(key, value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :])

        write(cache, change)

        assert not cache.check().ok
        cache.clear()
        assert cache.check().ok
        cache["new"] = 1
        assert {"new": 1} == dict(cache)


@pytest.mark.damages
def test_a_damaged_record_takes_no_other_along(path, clock, caplog):
    """A record that was altered is missing; stored again, it stays when the old row goes."""
    from objcache.cache import Cache

    with Cache(path, durability="process", clock=clock, policy="fifo", max_entries=3) as cache:
        cache.set("a", 1, expire=1000)
        cache.set("b", 2)
        key, record = rows(cache, b"\x10")[0]
        # The moment it was stored, which its place in the queue is made of.
        write(cache, lambda found: found.put(key, record[:39] + b"\x77" + record[40:]))

        assert cache.get("a") is None
        assert "a" not in cache
        assert ["b"] == list(cache)
        assert not cache.touch("a", 5)
        assert 3 == cache.incr("a", 3)
        assert cache.check().ok
        clock.advance(2000)
        cache["c"] = 3
        assert {"a": 3, "b": 2, "c": 3} == dict(cache)
        assert 4 <= cache.stats().unreadable
        write(cache, lambda found: found.put(key, b"no record"))
        assert not cache.delete("a")
        assert cache.check().ok
    assert "cannot be read" in caplog.text


@pytest.mark.damages
def test_store_check_finds_rows_of_no_cache(path, clock):
    """`Store.check` tells of rows that belong to no cache, and of a wrong number of rows."""
    from objcache.cache import Cache

    with (
        Cache(path, durability="process", clock=clock) as cache,
        Store(path, durability="process") as store,
    ):
        cache["a"] = 1
        prefix = cache._rules.prefix
        write(cache, lambda found: found.put(b"\x30\0\0\1\0" + QUEUE + bytes(16), b""))

        assert (
            {"stray", "count"} >= {problem.kind for problem in store.check().problems} >= {"stray"}
        )
        write(cache, lambda found: found.delete(b"\x30\0\0\1\0" + QUEUE + bytes(16)))
        assert store.check().ok
        state = rows(cache, STATE)[0][1]
        write(
            cache,
            lambda found: found.put(prefix + STATE, state[:1] + struct.pack(">Q", 99) + state[9:]),
        )
        (problem,) = store.check().problems
        assert ("count", ("objcache.cache",)) == (problem.kind, problem.key)
        write(cache, lambda found: found.put(b"\x03" + b"x", b"1"))
        assert any(problem.kind == "cache" for problem in store.check().problems)
