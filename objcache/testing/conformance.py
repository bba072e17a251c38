"""What every backend must do: classes of tests, to be run on one's own.

    class TestMine(StoreConformance):
        @pytest.fixture
        def store(self, tmp_path):
            with MyStore(tmp_path) as opened:
                yield opened

Knows: what a mapping and a cache promise to one thread. Must not know: who keeps the promise. Needs
pytest. Our own stores and caches pass the same tests.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

import pytest

from objcache.errors import EncodeError, KeyEncodingError

__all__ = ["CacheConformance", "StoreConformance"]


class StoreConformance:
    """The behaviour of `objcache.Store` as a mapping, for a subclass with a fixture `store`.

    Leave out what a backend does not promise by setting the test to None in the subclass.
    """

    @pytest.fixture
    def store(self) -> Any:
        """Open an empty store; to be replaced."""
        raise NotImplementedError("a conformance suite needs a fixture `store` that opens one")

    def test_it_is_a_mutable_mapping(self, store: Any) -> None:
        """Everything that MutableMapping promises is there, and equality is that of mappings."""
        store.update({"a": 1}, b=2)
        store.update([("c", 3)])

        assert issubclass(type(store), MutableMapping)
        assert store == {"a": 1, "b": 2, "c": 3}
        assert ["a", "b", "c"] == list(store) == list(store.keys())
        assert ["c", "b", "a"] == list(reversed(store)) == list(reversed(store.keys()))
        assert list(store.values()) == [1, 2, 3]
        assert list(reversed(store.values())) == [3, 2, 1]
        assert list(reversed(store.items())) == [("c", 3), ("b", 2), ("a", 1)]
        assert 3 == len(store) == len(store.keys()) == len(store.items())
        assert "a" in store
        assert "z" not in store
        assert ("a", 1) in store.items()
        assert {"a", "z"} & store.keys() == {"a"}
        assert bool(store)
        store.clear()
        assert not store

    def test_missing_keys(self, store: Any) -> None:
        """A missing key is a KeyError of that key, None or the default."""
        for fails in (store.__getitem__, store.pop, store.__delitem__):
            with pytest.raises(KeyError) as caught:
                fails("no")

            assert caught.value.args == ("no",)
        assert store.get("no") is None
        assert store.get("no", 1) == 1
        assert store.pop("no", 1) == 1
        with pytest.raises(KeyError):
            store.popitem()
        with pytest.raises(KeyError):
            store.first()
        with pytest.raises(KeyError):
            store.last()

    def test_none_is_a_value(self, store: Any) -> None:
        """None is stored and told apart from nothing."""
        store["none"] = None

        assert "none" in store
        assert store.get("none", 1) is None
        assert store.pop("none", 1) is None
        assert "none" not in store

    def test_values_are_copies(self, store: Any) -> None:
        """What came out of the store is the caller's own."""
        store["list"] = [1]
        store["list"].append(2)

        assert store["list"] == [1]

    def test_typed_keys(self, store: Any) -> None:
        """1, 1.0 and True are three keys."""
        store.set_many([(1, "int"), (1.0, "float"), (True, "bool")])

        assert len(store) == 3
        assert store[1.0] == "float"

    def test_popitem_takes_either_end(self, store: Any) -> None:
        """Popitem removes the last entry in key order, or the first."""
        store.update({1: "a", 2: "b", 3: "c"})

        assert store.popitem() == (3, "c")
        assert store.popitem(last=False) == (1, "a")
        assert store == {2: "b"}

    def test_first_and_last(self, store: Any) -> None:
        """First and last give the ends of the key order, unordered keys behind all others."""
        store.update({"b": 2, "a": 1, 5: 3})

        assert store.first() == ("a", 1)
        assert store.last() == (5, 3)
        store[frozenset()] = 4
        assert (frozenset(), 4) == store.last()

    def test_ranges_and_prefixes(self, store: Any) -> None:
        """Ranges and prefixes give entries in order, their keys or their values, either way."""
        store.update({("user", number): number for number in range(5)})
        store.update({("users", 0): "no", "user": "no", "username": "no"})
        view = store.range(("user", 1), ("user", 4))

        assert list(view) == [(("user", 1), 1), (("user", 2), 2), (("user", 3), 3)]
        assert list(view.values()) == [1, 2, 3]
        assert [key for key, _ in reversed(view)] == [("user", 3), ("user", 2), ("user", 1)]
        assert list(store.prefix(("user",), reverse=True).values()) == [4, 3, 2, 1, 0]
        assert list(store.prefix("user").keys()) == ["user", "username"]
        assert list(store.range(("user", 4), ("users",)).values()) == [4]
        assert len(list(store.range())) == 8
        with pytest.raises(KeyEncodingError, match="no place in the order"):
            store.range(frozenset())
        with pytest.raises(KeyEncodingError, match="a prefix is a tuple, str or bytes"):
            store.prefix(5)

    def test_batches(self, store: Any) -> None:
        """get_many gives what is there, set_many is all or nothing, delete_many counts."""
        store.set_many({"a": 1, "b": 2})

        assert store.get_many(["a", "z"]) == {"a": 1}
        with pytest.raises(EncodeError):
            store.set_many({"c": 3, "d": lambda: 0})
        assert "c" not in store
        assert store.delete_many(["a", "z"]) == 1
        store.set_many({})
        assert store == {"b": 2}

    def test_update_with(self, store: Any) -> None:
        """update_with reads, changes and writes in one step; a failing function changes nothing."""
        assert store.update_with("n", lambda n: n + 1, default=0) == 1
        assert store.update_with("n", lambda n: n + 1) == 2
        with pytest.raises(ZeroDivisionError):
            store.update_with("n", lambda n: n / 0)
        with pytest.raises(KeyError):
            store.update_with("missing", lambda n: n)
        assert store == {"n": 2}

    def test_iteration_goes_on_while_others_write(self, store: Any) -> None:
        """Each key that stays is seen exactly once, whatever is added and removed meanwhile."""
        store.set_many({number: number for number in range(3000)})
        seen = []
        for key in store:
            seen.append(key)
            if key % 3 == 0:
                store.pop(key + 1500, None)
                store[key + 10_000] = 0

        stayed = [key for key in range(3000) if key in store]
        assert len(seen) == len(set(seen))
        assert set(stayed) <= set(seen)
        assert sorted(seen) == seen

    def test_deleting_while_iterating(self, store: Any) -> None:
        """A loop may delete what it has just been given, forwards and backwards."""
        store.set_many({number: number for number in range(2000)})
        for key in store:
            if key < 1000:
                del store[key]
        for key, _ in reversed(store.items()):
            del store[key]

        assert len(store) == 0

    def test_large_values_are_walked_one_at_a_time(self, store: Any) -> None:
        """Values that fill a batch do not end the walk early."""
        store.set_many({number: bytes(400_000) for number in range(10)})

        assert list(range(10)) == [key for key, _ in store.items()]
        assert list(range(10))[::-1] == [key for key, _ in reversed(store.items())]


class CacheConformance:
    """The behaviour of `objcache.Cache`, for a subclass with the fixtures `open_cache` and `clock`.

    Leave out what a backend does not promise by setting the test to None in the subclass.
    """

    @pytest.fixture
    def clock(self) -> Any:
        """Return the clock of the caches, with `now` and `advance`; to be replaced."""
        raise NotImplementedError("a conformance suite needs a fixture `clock`")

    @pytest.fixture
    def open_cache(self) -> Callable[..., Any]:
        """Return what opens an empty cache, with `expire=` and `max_entries=`; to be replaced."""
        raise NotImplementedError("a conformance suite needs a fixture `open_cache`")

    @pytest.fixture
    def cache(self, open_cache: Callable[..., Any]) -> Any:
        """Open an empty cache."""
        return open_cache()

    def test_entries_come_back(self, cache: Any) -> None:
        """Any value comes back under any key, until it is deleted; types of keys are told apart."""
        for key in ("a", 1, 1.0, True, ("user", 7), b"b", None, "x" * 600, "x" * 601):
            cache.set(key, [key])

        assert len(cache) == len(list(cache)) == 9
        assert cache["x" * 600] == cache.get("x" * 600) == ["x" * 600]
        assert cache.get("x" * 602) is None
        assert cache.get("x" * 602, "default") == "default"
        assert cache.get_many([1, "none"]) == {1: [1]}
        assert type(cache[True][0]) is bool
        assert cache.delete("x" * 600)
        assert not cache.delete("x" * 600)
        cache.clear()
        assert not list(cache)

    def test_max_entries_bound_the_cache(self, open_cache: Callable[..., Any]) -> None:
        """There are never more entries than `max_entries`, and what was stored last is there."""
        cache = open_cache(max_entries=10)
        for number in range(100):
            cache[number] = number

            assert len(cache) <= 10
            assert cache[number] == number

    def test_an_entry_is_over_from_its_deadline_on(self, cache: Any, clock: Any) -> None:
        """From the very moment of its deadline no way of reading shows an entry."""
        cache.set("a", 1, expire=10, tag="t")
        clock.advance(9.999)

        assert cache["a"] == 1

        clock.advance(0.001)

        assert cache.get("a") is None
        assert "a" not in cache
        assert cache.entry("a") is None
        assert cache.get_many(["a"]) == {}
        assert (
            [] == list(cache) == list(cache.items()) == list(cache.values()) == list(cache.range())
        )
        assert list(cache.keys(tag="t")) == []
        assert not cache.delete("a")
        with pytest.raises(KeyError):
            cache["a"]
        with pytest.raises(KeyError):
            cache.pop("a")
        with pytest.raises(KeyError):
            cache.first()

    def test_expire_removes_what_is_over(self, cache: Any, clock: Any) -> None:
        """`expire` removes exactly what is over, and counts it."""
        for number in range(30):
            cache.set(number, number, expire=number + 1)
        clock.advance(10)

        assert cache.expire() == 10
        assert list(range(10, 30)) == list(cache)
        assert cache.expire() == 0

    def test_touch_changes_the_deadline_only(self, cache: Any, clock: Any) -> None:
        """`touch` moves the deadline of a live entry; value, tags and age stay."""
        cache.set("a", 1, expire=10, tag="t")
        clock.advance(5)

        assert cache.touch("a", 100)
        assert not cache.touch("none", 100)
        entry = cache.entry("a")
        assert (entry.value, entry.tags, entry.deadline - entry.created) == (1, ("t",), 5 + 100)
        assert cache.touch("a", None)
        assert cache.entry("a").deadline is None
        assert cache.touch("a", 1)
        clock.advance(1)
        assert not cache.touch("a", 100)

    def test_sliding_expiry(self, cache: Any, clock: Any) -> None:
        """What is read by `get_and_touch` often enough stays."""
        cache.set("session", "data", expire=10)
        for _ in range(5):
            clock.advance(9)

            assert cache.get_and_touch("session", expire=10) == "data"
        clock.advance(10)
        assert cache.get_and_touch("session", "gone", expire=10) == "gone"

    def test_max_age(self, cache: Any, clock: Any) -> None:
        """A reader may want nothing older than it says."""
        cache.set("a", 1)
        clock.advance(60)

        assert cache.get("a", max_age=60) == 1
        assert cache.get("a", max_age=59) is None

    def test_default_deadline(self, open_cache: Any, clock: Any) -> None:
        """A cache's `expire` is for all entries that say nothing else."""
        cache = open_cache(expire=5)
        cache["default"] = 1
        cache.set("never", 1, expire=None)
        clock.advance(5)

        assert list(cache) == ["never"]

    def test_tags(self, cache: Any) -> None:
        """Entries are found and removed by each of their tags."""
        cache.set("a", 1, tag=("x", "y"))
        cache.set("b", 2, tag="y")
        cache.set("c", 3)

        assert cache.tags() == ["x", "y"]
        assert list(cache.keys(tag="y")) == ["a", "b"]
        assert "a" in cache.keys(tag="x")
        assert "b" not in cache.keys(tag="x")
        assert cache.evict("x") == 1
        assert list(cache) == ["b", "c"]
        cache["b"] = 2
        assert cache.tags() == []
        assert cache.evict(["x", "y"]) == 0

    def test_tags_that_go_on_with_nul(self, cache: Any) -> None:
        """A tag and one that goes on with NUL are two."""
        cache.set("a", 1, tag="t")
        cache.set("b", 1, tag="t\0u")
        cache.set("c", 1, tag="t\0")

        assert cache.tags() == ["t", "t\0", "t\0u"]
        assert list(cache.keys(tag="t")) == ["a"]
        assert cache.evict("t") == 1
        assert list(cache) == ["b", "c"]

    def test_counters_keep_deadline_and_tags(self, cache: Any, clock: Any) -> None:
        """`incr` and `update_with` change the value only."""
        cache.set("n", 1, expire=10, tag="t")
        clock.advance(5)

        assert cache.incr("n", 5) == 6
        assert cache.update_with("n", lambda value: [value]) == [6]
        entry = cache.entry("n")
        assert (entry.tags, round(entry.deadline - clock.now(), 3)) == (("t",), 5.0)
        clock.advance(5)
        assert cache.incr("n") == 1
        assert cache.decr("other") == -1
        with pytest.raises(KeyError):
            cache.update_with("none", lambda value: value)
        with pytest.raises(ZeroDivisionError):
            cache.update_with("n", lambda value: value // 0)
        assert cache["n"] == 1

    def test_single_steps(self, cache: Any) -> None:
        """`add`, `pop`, `setdefault` and `popitem` do what dict's do, in one step."""
        assert cache.add("a", 1)
        assert not cache.add("a", 2)
        assert cache.setdefault("a", 3) == 1
        assert cache.setdefault("b", 3) == 3
        assert cache.popitem() == ("b", 3)
        assert cache.pop("a") == 1
        assert cache.pop("a", "none") == "none"
        with pytest.raises(KeyError):
            cache.popitem()
        with pytest.raises(KeyError):
            del cache["a"]
        cache.set_many([("x", 1), ("y", 2)], tag="t")
        cache.update({"z": 3}, w=4)
        assert cache.delete_many(["x", "y", "z", "none"]) == 3
        assert dict(cache) == {"w": 4}

    def test_queues(self, cache: Any, clock: Any) -> None:
        """What is pushed is pulled in order, from either end; what is over is passed over."""
        for number in range(3):
            cache.push(number, queue="q")
        cache.push("first", queue="q", side="front", tag="t")
        cache.push("dead", queue="q", expire=1)
        cache.push("other")
        clock.advance(1)

        assert cache.pull(queue="q") == "first"
        assert [cache.pull(queue="q", side=side) for side in ("back", "front", "front")] == [
            2,
            0,
            1,
        ]
        assert cache.pull(queue="q") is None
        assert cache.pull(queue="q", default="empty") == "empty"
        cache.push("again", queue="q")
        assert cache.pull(queue="q", side="back") == "again"
        assert cache.pull() == "other"
        with pytest.raises(ValueError, match="side"):
            cache.push(1, side="left")
        with pytest.raises(ValueError, match="queue"):
            cache.pull(queue="x" * 201)

    def test_views_follow_clear(self, cache: Any) -> None:
        """A range that was made before `clear` shows what is there after it, and only that."""
        cache.set_many([(number, number) for number in range(100)])
        view = cache.range(0, 1000)
        walk = iter(view)
        next(walk)
        keys = cache.keys()
        cache.clear()

        assert list(walk) == []
        cache[5] = "new"
        assert [(5, "new")] == list(view) == list(reversed(view))
        assert list(keys) == [5]
        assert (5, "new") == cache.first() == cache.last()
