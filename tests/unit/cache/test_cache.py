"""What a cache promises to one thread: entries, deadlines, tags, bounds."""

from __future__ import annotations

import os
import pickle
import shutil
import threading

import numpy as np
import pytest

from objcache import Store
from objcache.cache import Cache
from objcache.cache._sweeping import Sweeper
from objcache.errors import (
    EncodeError,
    ReadOnlyStoreError,
    StoreClosedError,
    StoreFullError,
    WrongSecretError,
)

DAY_S = 86400.0


def test_what_is_stored_is_returned(cache):
    """Any value comes back under any key, until it is deleted."""
    for key in ("a", 1, 1.0, ("user", 7), b"b", None, "x" * 600, "x" * 601, frozenset({1, 2})):
        cache.set(key, [key], tag="all")

    assert 9 == len(cache) == len(list(cache)) == len(list(cache.keys(tag="all")))
    assert ["x" * 600] == cache["x" * 600] == cache.get("x" * 600)
    assert "x" * 602 not in cache
    assert [frozenset({1, 2})] == cache.get_many([frozenset({1, 2}), "none"])[frozenset({1, 2})]
    assert cache.delete("x" * 600)
    assert not cache.delete("x" * 600)
    assert ["x" * 601] == cache["x" * 601]
    assert cache.check().ok


def test_buffers_come_back(cache):
    """Values with buffers of their own survive, also when their deadline is changed."""
    array = np.arange(5000)
    cache.set("array", array, expire=10, tag=("x", "y"))
    cache.set("bytes", bytearray(b"z" * 9000))

    assert cache.touch("array", None)
    assert cache.touch("bytes", 50)
    assert np.array_equal(array, cache["array"])
    assert bytearray(b"z" * 9000) == cache["bytes"]
    assert ("x", "y") == cache.entry("array").tags
    assert cache.check().ok


def test_expired_entries_do_not_count_as_evicted_by_tag(cache, clock):
    """`evict` says how many live entries it has removed; the others count as expired."""
    cache.set("dead", 1, expire=1, tag="t")
    for number in range(20):
        cache.set(number, 1, expire=1, tag="t")
    cache.set("live", 1, tag="t")
    clock.advance(1)

    assert 1 == cache.evict("t")
    assert 21 == cache.stats().expired


def test_a_clock_that_is_set_back_brings_nothing_back(open_cache, clock):
    """What was over stays over when the clock is set back, and what is live stays live."""
    cache = open_cache()
    cache.set("short", 1, expire=10)
    cache.set("long", 2, expire=DAY_S)
    cache.set("ever", 3)
    clock.advance(10)
    assert cache.get("short") is None

    clock.advance(-3600)

    assert cache.get("short") is None
    assert (2, 3) == (cache["long"], cache["ever"])

    cache.set("new", 4, expire=10)
    other = open_cache()

    assert other.get("short") is None
    assert (4, 2, 3) == (other["new"], cache["long"], other["ever"])
    clock.advance(10)
    assert other.get("new") is None


def test_a_clock_that_was_ahead_does_not_stop_time(cache, clock):
    """After a clock was years ahead, entries expire again as they should."""
    cache.set("a", 1, expire=10)
    clock.advance(20 * 365 * DAY_S)
    assert cache.get("a") is None
    clock.advance(-20 * 365 * DAY_S)
    cache.set("b", 2, expire=10)

    assert 2 == cache["b"]
    clock.advance(10)
    assert cache.get("b") is None


def test_a_small_step_back_is_waited_out(cache, clock):
    """A clock set back by less than a second makes time stand still: no entry is born dead."""
    cache.set("old", 1, expire=1)
    clock.advance(1)
    assert cache.get("old") is None
    clock.advance(-0.5)
    cache.set("new", 2, expire=0.1)

    assert cache.get("old") is None
    assert 2 == cache["new"]
    clock.advance(0.6)
    assert cache.get("new") is None


class Refused:
    """What can be stored, and not loaded."""

    def __init__(self):
        self.content = np.arange(1000.0)

    def __setstate__(self, _state):
        raise ZeroDivisionError


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_touch_decodes_nothing(open_cache, clock, compression):
    """`touch` moves the deadline of any value: one that cannot be loaded, or has read-only buffers."""
    cache = open_cache(compression=compression)
    cache["refused"] = Refused()
    cache["bytes"] = pickle.PickleBuffer(b"ab" * 2000)
    for key in ("refused", "bytes"):
        assert cache.touch(key, 50)
        assert cache.touch(key, None)
        assert cache.touch(key, 100)
        assert clock.now() + 100 == cache.entry(key).deadline
    assert b"ab" * 2000 == bytes(cache["bytes"])
    del cache["refused"]


@pytest.mark.damages
def test_touch_signs_nothing_that_was_altered(open_cache, caplog):
    """A record whose buffer was altered keeps its old signature, and counts as missing."""
    cache = open_cache()
    cache["bytes"] = pickle.PickleBuffer(b"ab" * 2000)
    located = cache._text + b"bytes\0"
    record = bytearray(cache._record_at(located))
    record[-1] ^= 1
    cache._session.write(lambda transaction: transaction.put(located, bytes(record)))

    assert not cache.touch("bytes", 50)
    assert "buffer 0 was altered" in caplog.text
    assert cache.get("bytes") is None
    assert cache.delete("bytes")


@pytest.mark.parametrize("expire", [-1, float("nan"), "1", True])
def test_no_deadline(cache, expire, tmp_path):
    """What is no number of seconds is refused, and no file is made for it."""
    with pytest.raises(ValueError, match="not a number of seconds"):
        cache.set("a", 1, expire=expire)
    with pytest.raises(ValueError, match="not a number of seconds"):
        Cache(tmp_path / "new", expire=expire)
    assert not (tmp_path / "new").exists()
    cache.set("a", 1, expire=float("inf"))
    cache.set("b", 1, expire=1e300)
    assert 2 == len(list(cache))


@pytest.mark.parametrize("tag", ["", "x" * 201, "\udc80", [str(n) for n in range(101)]])
def test_no_tags(cache, tag):
    """What cannot be a tag is refused before anything is written."""
    with pytest.raises(ValueError, match="tag"):
        cache.set("a", 1, tag=tag)
    with pytest.raises(TypeError):
        cache.set("a", 1, tag=[1])
    assert 0 == len(cache)


def test_clear_is_seen_by_other_objects(open_cache):
    """An object that was open before sees nothing of what another one has cleared."""
    one, other = open_cache(), open_cache()
    one["a"] = 1
    assert (1, ["a"]) == (other["a"], list(other))
    one.clear()

    with pytest.raises(KeyError):
        other.first()
    with pytest.raises(KeyError):
        other.popitem()
    assert [] == list(other.range()) == list(other.keys())
    other["b"] = 2
    assert {"b": 2} == dict(one)


def test_rows_of_a_cleared_generation_go(cache):
    """Later writes remove what `clear` has left, and evict nothing live for it."""
    cache.set_many([(number, b"x" * 1000) for number in range(5000)])
    cache.clear()
    for number in range(200):
        cache[number] = number

    assert 200 == len(cache)
    assert 0 == cache.stats().evicted
    assert cache.stats().used_bytes < 200_000


def test_clear_of_a_full_cache_evicts_nothing_new(open_cache):
    """Room is made from what was cleared before anything live goes."""
    cache = open_cache(size_limit="2 MiB")
    for number in range(3000):
        cache[number] = b"x" * 1000
    cache.clear()
    for number in range(300):
        cache[number] = b"y" * 1000

    assert 300 == len(cache)


def test_clear_within_a_transaction_is_rolled_back(cache):
    """In a block `clear` is a part of it, and so are its index rows."""
    cache.set_many([(number, number) for number in range(2500)], tag="t")
    with pytest.raises(ZeroDivisionError), cache.transaction():
        cache.clear()
        assert [] == list(cache)
        cache["new"] = 1 // 0

    assert 2500 == len(list(cache)) == len(cache)
    with cache.transaction():
        cache.clear()
    assert 0 == len(cache)


def test_a_cache_begun_in_a_transaction_that_is_rolled_back(open_cache, open_store):
    """A first generation that was rolled back is begun again, and never another's."""
    store = open_store()
    with pytest.raises(ZeroDivisionError), store.transaction():
        cache = open_cache()
        cache["lost"] = 1
        below = cache.namespace("below")
        below["a"] = "lost"
        assert "lost" == below["a"]
        raise ZeroDivisionError
    other = open_cache().namespace("other")
    other["a"] = "other's"

    assert (None, None, 0) == (cache.get("a"), below.get("a"), len(below))
    cache["a"] = "own"
    below["a"] = "below"
    assert ["own", "other's", "below"] == [one["a"] for one in (cache, other, below)]


def test_max_entries(open_cache):
    """There are never more entries than `max_entries`."""
    cache = open_cache(max_entries=10, policy="fifo")
    for number in range(100):
        cache[number] = number

        assert len(cache) <= 10
    assert list(range(90, 100)) == list(cache)
    cache.set_many([(number, 0) for number in range(200, 230)])
    assert 10 == len(cache) == len(list(cache))


def test_what_is_over_goes_before_what_is_live(open_cache, clock):
    """No live entry is evicted while there is one that is over."""
    cache = open_cache(max_entries=20, policy="fifo")
    for number in range(10):
        cache[number] = number
    for number in range(10, 20):
        cache.set(number, number, expire=1)
    clock.advance(1)
    for number in range(20, 30):
        cache[number] = number

    assert [*range(10), *range(20, 30)] == list(cache)
    assert 0 == cache.stats().evicted


@pytest.mark.parametrize("bound", [{"max_entries": 5}, {"size_limit": "1 MiB"}])
def test_on_full_error(open_cache, bound, clock):
    """A cache that must not evict refuses what does not fit, keeps the rest, and is usable."""
    cache = open_cache(on_full="error", **bound)
    stored = 0
    with pytest.raises(StoreFullError):
        for number in range(10_000):
            cache.set(number, b"x" * 3000, expire=10)
            stored += 1

    assert list(range(stored)) == list(cache)
    with cache.transaction():
        with pytest.raises(StoreFullError):
            cache.set("more", b"x" * 3000)
        cache.delete(0)
        cache.delete(1)
    assert "more" not in cache
    assert cache.check().ok
    clock.advance(10)
    cache.set("more", b"x" * 3000)
    assert ["more"] == list(cache)


def test_what_is_too_large_evicts_nothing(open_cache):
    """A value larger than the cache is refused, and everything else stays."""
    cache = open_cache(size_limit="1 MiB")
    cache.set_many([(number, b"x") for number in range(100)])
    with pytest.raises(StoreFullError, match="largest entry"):
        cache["big"] = b"x" * (1 << 20)
    with pytest.raises(StoreFullError, match="largest entry"):
        cache.update_with("big", lambda _: b"x" * (1 << 20), default=b"")
    with pytest.raises(StoreFullError, match="largest entry"):
        cache.set_many([(number, b"x" * 100_000) for number in range(20)])

    assert 100 == len(cache)


@pytest.mark.parametrize("size", [10, 1000, 3000, 100_000])
def test_the_file_stays_within_its_limit(open_cache, size):
    """The file never grows beyond `size_limit`, whatever the size of values."""
    cache = open_cache(size_limit="1 MiB", durability="checkpoint")
    total = largest = 0
    number = 0
    while total < 3 << 20 and number < 500:
        cache[number] = b"x" * size
        cache.incr("count")
        total += size + 100
        number += 1
        largest = max(largest, cache.volume())

    assert largest <= 1 << 20
    assert number - 1 in cache
    assert cache.check().ok


def test_steps_of_several_calls_make_room(open_cache):
    """`add`, `incr` and the like find room in a full file as `set` does."""
    cache = open_cache(size_limit="1 MiB")
    for number in range(60):
        assert cache.add(number, b"x" * 90_000)
        cache.update_with("big", lambda _: b"y" * 90_000, default=b"")

    assert cache.volume() <= 1 << 20


def test_limits_are_shown(open_cache):
    """A cache says its bounds."""
    cache = open_cache(size_limit="2 MiB", max_entries=7)

    assert "size_limit='2 MiB', max_entries=7" in repr(cache)
    assert (2 << 20, 7) == (cache.stats().size_limit_bytes, cache.stats().max_entries)
    unbounded = open_cache(cache.directory + "2", size_limit=None)
    assert unbounded.stats().size_limit_bytes is None


@pytest.mark.parametrize(
    "settings",
    [
        {"size_limit": "1 parsec"},
        {"size_limit": 1000},
        {"max_entries": 0},
        {"policy": "best"},
        {"on_full": "panic"},
        {"on_untrusted": "run"},
        {"sweep_interval": 0},
    ],
)
def test_no_settings(path, settings):
    """A setting that makes no sense is named, and no file is made."""
    with pytest.raises(ValueError, match=next(iter(settings))):
        Cache(path, **settings)


def test_namespaces(open_cache):
    """A namespace has keys, tags, and a budget of its own, and is cleared alone."""
    cache = open_cache()
    small = cache.namespace("small", max_entries=2, policy="fifo")
    deep = small.namespace("deep")
    cache["a"] = deep["a"] = 0
    for number in range(5):
        small.set(number, number, tag="t")

    assert ([3, 4], ["t"], []) == (list(small), small.tags(), cache.tags())
    assert 1 == len(cache) == len(deep)
    assert ("small", "deep") == deep.stats().names
    assert small.check().ok
    assert deep.check().ok
    cache.clear()
    assert (0, 2, 1) == (len(cache), len(small), len(deep))
    bounded = cache.namespace("bytes", size_limit=10_000)
    for number in range(50):
        bounded[number] = b"x" * 500
    assert bounded.stats().size_bytes <= 10_000


@pytest.mark.parametrize("name", ["", 1, None, "\udc80", "x" * 201])
def test_no_namespace(cache, name):
    """What cannot name a namespace is refused."""
    with pytest.raises(ValueError, match="name"):
        cache.namespace(name)


def test_names_with_nul_are_two(cache):
    """The names of two namespaces never fall together."""
    one, other = cache.namespace("a\0b"), cache.namespace("a").namespace("b")
    one["k"] = 1
    one.get("k")

    assert other.get("k") is None
    assert (1, 0) == (one.stats().hits, other.stats().hits)


def test_pickling(cache):
    """A cache and a namespace pickle as path and settings, and open again."""
    cache["a"] = 1
    cache.namespace("n", max_entries=3)["b"] = 2
    with pickle.loads(pickle.dumps(cache)) as again:
        assert 1 == again["a"]
    with pickle.loads(pickle.dumps(cache.namespace("n", max_entries=3))) as below:
        assert 2 == below["b"]
        assert 3 == below.stats().max_entries
    with pytest.raises(StoreClosedError):
        below.get("b")


def test_a_closed_cache_refuses(open_cache):
    """Every method of a closed cache, and of its namespaces, raises `StoreClosedError`."""
    cache = open_cache()
    below = cache.namespace("n")
    cache.close()
    cache.close()
    uses = {
        "set": ("a", 1),
        "get": ("a",),
        "add": ("a", 1),
        "touch": ("a",),
        "get_and_touch": ("a",),
        "incr": ("a",),
        "decr": ("a",),
        "push": (1,),
        "pull": (),
        "pop": ("a", 1),
        "popitem": (),
        "setdefault": ("a",),
        "update_with": ("a", len),
        "delete": ("a",),
        "delete_many": (["a"],),
        "get_many": (["a"],),
        "set_many": ([("a", 1)],),
        "update": ({"a": 1},),
        "entry": ("a",),
        "evict": ("a",),
        "tags": (),
        "first": (),
        "last": (),
        "expire": (),
        "sweep": (),
        "cull": (),
        "clear": (),
        "volume": (),
        "stats": (),
        "check": (),
        "sync": (),
        "compact": (),
        "copy": ("x",),
        "namespace": ("x",),
        "__len__": (),
        "__contains__": ("a",),
        "__getitem__": ("a",),
    }
    for one in (cache, below):
        for name, arguments in uses.items():
            with pytest.raises(StoreClosedError):
                getattr(one, name)(*arguments)
        with pytest.raises(StoreClosedError):
            list(one)
        with pytest.raises(StoreClosedError):
            list(one.keys(tag="t"))
        with pytest.raises(StoreClosedError), one.transaction():
            pass
        assert "closed" in repr(one)


def test_readonly(open_cache, open_store):
    """A read-only cache reads, refuses writes, and sees a first generation that begins later."""
    open_store()["in the store"] = 1
    reader = open_cache(readonly=True)
    assert (None, 0, []) == (reader.get("a"), len(reader), list(reader))
    writer = open_cache()
    writer.set("a", 1, tag="t")

    assert (1, 1, ["a"], ["t"]) == (reader["a"], len(reader), list(reader), reader.tags())
    writer.clear()
    assert reader.get("a") is None
    for write in (lambda: reader.set("a", 1), lambda: reader.incr("n"), reader.clear):
        with pytest.raises(ReadOnlyStoreError):
            write()


def test_stats(open_cache):
    """Counts are of all objects and processes."""
    cache = open_cache(max_entries=2)
    for number in range(3):
        cache[number] = number
    cache.get("none")
    cache.get(2)
    del cache[2]
    stats = open_cache().stats()

    assert (1, 1, 3, 1, 1, 1) == (
        *(stats.hits, stats.misses, stats.stored, stats.evicted),
        *(stats.removed, stats.entries),
    )
    assert 0.5 == stats.hit_ratio
    assert stats.oldest is not None


def test_encode_errors_name_the_culprit(cache):
    """A value that cannot be stored is refused, and what was there stays."""
    cache["a"] = 1
    with pytest.raises(EncodeError):
        cache["a"] = threading.Lock()

    assert 1 == cache["a"]


def test_discarding(tmp_path, clock):
    """`on_untrusted="discard"` begins anew; a store in the same file is not thrown away."""
    other = {"secret": b"another secret of 16 bytes", "durability": "process"}
    own = {"secret": b"the own secret, 16 bytes", "durability": "process"}
    with Cache(tmp_path / "c", **other) as cache:
        cache["a"] = 1
    with pytest.raises(WrongSecretError):
        Cache(tmp_path / "c", **own)
    with Cache(tmp_path / "c", on_untrusted="discard", **own) as cache:
        assert [] == list(cache)
    with Cache(tmp_path / "d", **other), Store(tmp_path / "d", **other) as store:
        store["precious"] = 1
    with pytest.raises(WrongSecretError):
        Cache(tmp_path / "d", on_untrusted="discard", **own)
    with Cache(tmp_path / "c", **own) as cache:
        cache.set("x", 1)
    for left in ("c", "d"):
        shutil.rmtree(tmp_path / left)


def test_sweeper_removes_without_a_write(open_cache, clock):
    """With `sweep_interval` a thread removes what is over, from namespaces too, until `close`."""
    cache = open_cache(sweep_interval=0.001)
    below = cache.namespace("n")
    cache.set("a", 1, expire=1)
    below.set("b", 1, expire=1)
    clock.advance(1)
    sweeper = cache._sweeper
    thread = sweeper._thread
    for _ in range(3):
        sweeper.swept.clear()

        assert sweeper.swept.wait(30)

    assert (0, 0) == (len(cache), len(below))
    cache.close()
    assert not thread.is_alive()


def test_sweeper_ends_with_what_it_sweeps():
    """A sweeper that nobody has any more ends its thread."""
    turns = threading.Semaphore(0)
    sweeper = Sweeper(1, lambda stop, _: turns.acquire(timeout=30) and stop.is_set())
    thread = sweeper._thread
    del sweeper
    turns.release()
    thread.join(30)

    assert not thread.is_alive()


def test_positions_that_fall_together(cache, monkeypatch):
    """Two keys whose positions are the same leave one entry, and sound indexes."""
    monkeypatch.setattr("objcache.cache._layout.adler32", lambda _: 0)
    monkeypatch.setattr("objcache.cache._layout.crc32", lambda _: 0)
    monkeypatch.setattr(type(cache), "_moment_us", lambda *_: 5)
    cache.set("a", 1, tag="t")
    cache.set("b", 2, expire=5)

    assert ["b"] == list(cache)
    assert cache.check().ok


def test_a_small_namespace_of_a_full_file_keeps_what_it_has(open_cache):
    """Who fills the file makes room for others: a small cache beside it loses nothing."""
    cache = open_cache(size_limit="1 MiB")
    small = cache.namespace("small")
    for number in range(200):
        cache[number] = b"x" * 30_000
        small.incr("count")
        small[number] = number

    assert 200 == small["count"]
    assert 201 == len(small)
    assert cache.stats().evicted > 100
    assert small.check().ok


def test_writes_look_how_full_it_is_where_the_map_is_no_bound(open_cache):
    """Far from its limit a write need not look; beside side files each does, in every process."""
    cache = open_cache(size_limit="8 MiB")
    cache["small"] = 1
    assert cache._rules.kept.quiet_writes > 0
    cache["aside"] = bytes(1 << 15)
    cache["small"] = 2
    assert 0 == cache._rules.kept.quiet_writes


def test_large_values_lie_in_side_files_that_the_limit_counts(open_cache):
    """Values of mixed sizes fill the limit and never exceed it: large ones need no pages in a row."""
    cache = open_cache(size_limit="8 MiB")
    blobs = os.path.join(cache.directory, "blobs")
    largest = 0
    for number in range(600):
        size = (100, 5_000, 40_000, 300_000)[number % 4]
        cache.set(number, bytes([number % 256]) * size)
        files = [os.path.join(blobs, name) for name in os.listdir(blobs)] if number > 2 else []
        largest = max(largest, cache.volume() + sum(map(os.path.getsize, files)))

    assert largest <= 8 << 20
    assert cache.stats().size_bytes > 4 << 20
    assert all(bytes([key % 256]) * len(value) == value for key, value in cache.items())
    assert cache.check().ok


def test_a_view_outlives_its_entry(open_cache):
    """Arrays of a view stay what they are when the entry is replaced, evicted, and the cache closed."""
    cache = open_cache(size_limit="4 MiB")
    cache["array"] = np.arange(50_000)
    seen = cache.view("array")
    cache["array"] = 1
    for number in range(100):
        cache[number] = bytes(200_000)
    cache.close()

    assert not seen.flags.writeable
    assert np.array_equal(np.arange(50_000), seen)


def test_a_view_is_of_what_is_live(cache, clock):
    """An entry that is over has no view, and one that is not counts as a hit."""
    cache.set("array", np.arange(50_000), expire=10)
    assert 7 == cache.view("array")[7]
    clock.advance(10)

    with pytest.raises(KeyError):
        cache.view("array")
    assert (1, 1) == (cache.stats().hits, cache.stats().misses)


def test_an_entry_whose_side_file_is_gone_is_missing(open_cache, caplog):
    """It is logged and missing, on every way; it can be replaced."""
    cache = open_cache(size_limit="4 MiB")
    cache["array"] = bytes(100_000)
    blobs = os.path.join(cache.directory, "blobs")
    for name in os.listdir(blobs):
        os.unlink(os.path.join(blobs, name))

    assert cache.get("array") is None
    assert {} == cache.get_many(["array"])
    assert cache.entry("array") is None
    assert "is gone" in caplog.text
    cache["array"] = bytes(100_001)
    assert 100_001 == len(cache["array"])


def test_what_is_refused_leaves_no_side_file(open_cache):
    """A value that is too large, or stands beside one that cannot be stored, leaves nothing behind."""
    cache = open_cache(size_limit="2 MiB")
    blobs = os.path.join(cache.directory, "blobs")
    with pytest.raises(StoreFullError):
        cache.set("large", bytes(5_000_000))
    with pytest.raises(StoreFullError):
        cache.set_many({number: bytes(500_000) for number in range(8)})
    with pytest.raises(EncodeError):
        cache.set_many({"a": bytes(50_000), "b": threading.Lock()})

    assert [] == os.listdir(blobs)
    assert 0 == len(cache)
    large = cache.memoize(lambda size: bytes(size))
    assert 5_000_000 == len(large(5_000_000))
    assert [] == os.listdir(blobs)
