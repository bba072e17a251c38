"""What those who listen are told: each event, when, and what a hook may do wrong."""

from __future__ import annotations

import asyncio
import logging
import os
import threading

import pytest

from objcache import Cache, ManualClock, Store, events
from objcache.engine import Session, _scopes
from objcache.errors import PoisonedStoreError, SignatureError, StoreError, StoreFullError
from objcache.listeners import LISTENERS
from tests.conftest import SECRET
from tests.unit.engine.conftest import boot  # noqa: F401  # a fixture


@pytest.fixture
def clock():
    """Time that moves only when told to."""
    return ManualClock()


@pytest.fixture
def told():
    """All events, as they come."""
    seen = []
    with events.listen(seen.append):
        yield seen


@pytest.fixture
def cache(path, clock):
    """A cache with room for three."""
    opened = Cache(path, max_entries=3, durability="process", clock=clock)
    yield opened
    opened.close()


def test_entries_of_a_cache_tell_their_life(cache, clock, told):
    """A miss, a write, an eviction and an expiry are told once each, with key, size and tags."""
    long = ("long", "x" * 600)
    cache.get("a")
    cache.set("a", 1, tag="t")
    cache.set(long, 2, expire=10, tag=("x", "y"))
    cache["c"] = 3
    size = {event.key: event.size_bytes for event in told[1:]}
    path = cache.directory
    now = clock.now()

    assert [
        events.Miss(path, (), "a"),
        events.Stored(path, (), "a", size["a"], None, ("t",)),
        events.Stored(path, (), long, size[long], now + 10, ("x", "y")),
        events.Stored(path, (), "c", size["c"], None, ()),
    ] == told
    assert all(size.values())
    told.clear()
    clock.advance(10)
    cache["d"] = 4
    cache["e"] = 5
    gone = [event for event in told if not isinstance(event, events.Stored)]

    assert events.Expired(path, (), long, size[long], ("x", "y")) == gone[0]
    assert [events.Evicted(path, (), "a", size["a"], ("t",))] == gone[1:]


def test_each_way_of_missing_is_told(cache, told):
    """Every read that counts a miss tells one."""
    for miss in (
        lambda: cache.get("short"),
        lambda: cache.get(("a", "tuple")),
        lambda: cache.get("short", max_age=1),
        lambda: cache.get_many(["a", "b"]),
    ):
        miss()
    for refused in (lambda: cache["a"], lambda: cache.view("a"), lambda: cache.open_blob("a")):
        with pytest.raises(KeyError):
            refused()

    assert cache.stats().misses == len(told) == 8
    assert {events.Miss} == {type(event) for event in told}


def test_hits_are_no_events(cache, told):
    """What was only read is not told."""
    cache["a"] = 1
    told.clear()
    cache.get("a")
    cache.get_many(["a"])
    cache.view("a")
    cache.entry("b")
    with Store.temporary() as store:
        store["a"] = 1
        store.get("a")
        store.get("b")

    assert [] == told


def test_batches_and_namespaces(cache, told):
    """A batch tells each entry; an event says in which namespace it happened."""
    below = cache.namespace("n", max_entries=1)
    below.set_many({"a": 1, "b": 2})

    assert [("a", ("n",)), ("b", ("n",))] == [
        (event.key, event.names) for event in told if isinstance(event, events.Stored)
    ]
    assert [("a", ("n",))] == [
        (event.key, event.names) for event in told if isinstance(event, events.Evicted)
    ]


def test_what_expires_by_hand_or_tag_is_told(cache, clock, told):
    """`expire`, and `evict` of a tag that comes by, tell as many as `stats` counts."""
    cache.set("a", 1, expire=1)
    cache.set("b", 1, expire=1, tag="t")
    cache.set("c", 1, tag="t")
    clock.advance(1)
    told.clear()
    cache.evict("t")
    cache.expire()

    assert {"a", "b"} == {event.key for event in told}
    assert {events.Expired} == {type(event) for event in told}
    assert 2 == cache.stats().expired


def test_evictions_of_a_full_file_are_told(path, told, monkeypatch):
    """As many evictions are told as are counted, also those that make room in a full file."""
    write = Session.write
    left = [0]

    def failing(self, function, *, brief=False, wanted_bytes=0):
        if wanted_bytes and left[0]:
            left[0] -= 1
            raise StoreFullError(path, 1, 1, "the file")
        return write(self, function, brief=brief, wanted_bytes=wanted_bytes)

    monkeypatch.setattr(Session, "write", failing)
    with Cache(path, size_limit="1 MiB", durability="process") as cache:
        for number in range(40):
            cache[number] = os.urandom(9000)
        told.clear()
        before = cache.stats().evicted
        left[0] = 2
        cache["more"] = 1
        evicted = [event.key for event in told if isinstance(event, events.Evicted)]

        assert 0 < cache.stats().evicted - before == len(evicted)
        assert all(isinstance(key, int) and key not in cache for key in evicted)


def test_evictions_from_another_namespace_are_told(path, told):
    """What makes room for an entry elsewhere in the file is told with its own namespace."""
    with Cache(path, size_limit="1 MiB", durability="process") as cache:
        large = cache.namespace("large")
        for number in range(200):
            large[number] = os.urandom(4000)
        told.clear()
        for number in range(20):
            cache[number] = os.urandom(4000)
        evicted = [event for event in told if isinstance(event, events.Evicted)]

        assert evicted
        assert {("large",)} == {event.names for event in evicted}
        assert not any(event.key in large for event in evicted)


def test_a_rolled_back_write_tells_nothing(path, told):
    """What a write that was refused would have evicted is not told; the refusal is."""
    with Cache(path, max_entries=1, on_full="error", durability="process") as cache:
        cache["a"] = 1
        told.clear()
        with pytest.raises(StoreFullError) as refused:
            cache["b"] = 2

    assert [events.Full(os.path.abspath(path), refused.value)] == told


def test_blobs_are_told_when_they_are_stored(cache, told, tmp_path):
    """A value that is written piece by piece is one entry, when it is closed."""
    with cache.open_blob("a", "wb", tag="t") as blob:
        blob.write(b"a" * 100_000)

        assert [] == told
    (stored,) = told
    size_bytes = stored.size_bytes
    assert events.Stored(cache.directory, (), "a", size_bytes, None, ("t",)) == stored
    assert size_bytes >= 100_000


def test_blocks_are_told_when_they_are_committed(cache, told):
    """Nothing within a block is told before its end; then all, in the order it happened."""
    with cache.transaction():
        cache["a"] = 1
        cache.get("none")
        cache["b"] = 2

        assert [] == told
        with pytest.raises(KeyError), cache.transaction():
            cache["undone"] = 1
            cache.get("also none")
            raise KeyError
    assert ["a", "none", "b", "also none"] == [event.key for event in told]


def test_blocks_that_are_rolled_back_tell_no_write(cache, told):
    """What was only read in a block that was rolled back is told, what was written is not."""
    with pytest.raises(ZeroDivisionError), cache.transaction():
        cache["a"] = 1
        cache.get("none")
        raise ZeroDivisionError
    assert [events.Miss(cache.directory, (), "none")] == told
    cache["a"] = 2
    assert "a" == told[1].key


def test_steps_that_are_run_again_are_told_once(path, told, monkeypatch):
    """`add` to a full file is one write, though it is run again after room was made."""
    commit = _scopes._commit
    left = [1]

    def failing(environment, opened):
        if left[0]:
            left[0] -= 1
            opened.end("it was rolled back")
            raise StoreFullError(path, 1, 1, "the file")
        commit(environment, opened)

    with Cache(path, size_limit="1 MiB", durability="process") as cache:
        cache["other"] = 1
        told.clear()
        with monkeypatch.context() as patched:
            patched.setattr(_scopes, "_commit", failing)
            assert cache.add("a", 1)

    assert 0 == left[0]
    assert ["a"] == [event.key for event in told if isinstance(event, events.Stored)]


@pytest.mark.parametrize("way", ["root", "one", "many", "large", "blob", "cache"])
def test_full_is_told_once(path, tmp_path, told, way):
    """A write that finds no room is told once, with the error that was raised."""
    if way == "cache":
        full = Cache(path, size_limit="1 MiB", durability="process")
    else:
        full = Store(path, map_size_bytes=1 << 20, durability="process")
    value = os.urandom(9_000_000 if way == "cache" else 900_000)
    file = tmp_path / "blob"
    file.write_bytes(value)
    write = {
        "root": lambda: full.__setitem__(os.urandom(1), value),
        "one": lambda: full.namespace("n").__setitem__(os.urandom(1), value),
        "many": lambda: full.set_many({"a": value, "b": value, "c": value}),
        "large": lambda: full.update(dict.fromkeys(range(5), value)),
        "blob": lambda: full.put_file(os.urandom(1), file),
        "cache": lambda: full.add("a", value),
    }[way]
    with full, pytest.raises(StoreFullError) as refused:
        for _ in range(3):
            write()

    assert [events.Full(full.directory, refused.value)] == [
        event for event in told if isinstance(event, events.Full)
    ]


@pytest.mark.damages
def test_unreadable_entries_are_told(cache, told):
    """An entry that counts as missing because it was altered is told with the reason."""
    cache["a"] = 1
    located = cache._text + b"a\0"
    record = bytearray(cache._session.read(lambda found: found.get(located)))
    record[-1] ^= 1
    cache._session.write(lambda found: found.put(located, bytes(record)))
    told.clear()

    assert cache.get("a") is None
    unreadable, miss = told
    assert (cache.directory, (), "a") == unreadable[:3]
    assert isinstance(unreadable.error, SignatureError)
    assert isinstance(miss, events.Miss)


def test_computations_are_told(store, told):
    """Each run of a memoized function is told, of each kind; hits are not."""

    @store.memoize(cache_exceptions=ValueError, cache_if=lambda result: result != 2)
    def plain(x):
        if x == 3:
            raise ValueError(x)
        return x

    @store.memoize
    async def task(x):
        return x

    @store.memoize
    def stream(x):
        yield x

    @store.memoize
    async def async_stream(x):
        yield x

    async def twice():
        for _ in range(2):
            await task(1)
            [item async for item in async_stream(1)]

    for _ in range(2):
        plain(1)
        list(stream(1))
    plain(2)
    with pytest.raises(ValueError, match="3"):
        plain(3)
    asyncio.run(twice())
    plain.map([1, 5])
    names = [(event.function.rpartition(".")[2], event.stored, event.raised) for event in told]

    assert [
        ("plain", True, False),
        ("stream", True, False),
        ("plain", False, False),
        ("plain", True, True),
        ("task", True, False),
        ("async_stream", True, False),
        ("plain", True, False),
    ] == names
    assert all(event.seconds >= 0 for event in told)


def test_results_that_fail_are_told_each_time(store, told, caplog):
    """The log tells a cause once, the events each time."""

    @store.memoize
    def unstorable(x):
        return lambda: x

    for _ in range(3):
        unstorable(1)
    failed = [event for event in told if isinstance(event, events.ResultFailed)]

    assert 3 == len(failed)
    assert ("stored", 1) == (failed[0].step, len(caplog.records))
    assert [False] * 3 == [event.stored for event in told if isinstance(event, events.Computed)]


def test_a_power_cut_is_told(path, boot, told):  # noqa: F811
    """Who opens a store after a power cut is told what it was put back to."""
    killed = os.fork()
    if not killed:
        Store(path, durability="process", secret=SECRET)["a"] = 1
        os._exit(0)
    os.waitpid(killed, 0)
    boot()
    with Store(path, durability="process", secret=SECRET), Store(path, durability="process"):
        pass

    assert [events.Recovered(os.path.abspath(path), 0, None)] == told


@pytest.mark.parametrize("final", [False, True])
def test_failed_checkpoints_are_told(path, told, monkeypatch, final):
    """A checkpoint that fails in the background is told, and whether another attempt follows."""
    seen = threading.Event()
    with Store(path, checkpoint_interval=0.001) as store:
        checkpoints = store._session.environment.durability.checkpoints
        make = type(checkpoints).make

        def failing(self):
            if not seen.is_set() and threading.current_thread() is not threading.main_thread():
                seen.set()
                error = StoreError("no checkpoint")
                raise PoisonedStoreError(path, "no checkpoint") if final else error
            make(self)

        monkeypatch.setattr(type(checkpoints), "make", failing)
        store["a"] = 1

        assert seen.wait(20)
        if final:
            checkpoints._thread.join(20)
        else:
            assert store.wait_durable(20)
    (failed,) = told
    assert (os.path.abspath(path), final) == (failed.path, failed.final)
    assert "no checkpoint" in str(failed.error)


def test_discarding_is_told(path, told):
    """A cache of another secret that is emptied is told."""
    Cache(path, secret=b"another secret of 16 bytes", durability="process").close()
    Cache(path, on_untrusted="discard", durability="process").close()

    assert [events.Discarded(os.path.abspath(path))] == told


def test_a_failing_hook_breaks_nothing(cache, told, caplog):
    """What a hook raises is logged with its traceback; the others are told nevertheless."""

    def failing(event):
        raise ZeroDivisionError(event.key)

    with events.listen(failing), caplog.at_level(logging.ERROR, "objcache"):
        last = []
        with events.listen(last.append):
            assert cache.get("a") is None

    assert "failed on Miss" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert 1 == len(told) == len(last)


def test_only_what_is_wanted_until_it_is_closed(cache, told):
    """A hook gets the kinds that it asked for, and nothing after it was closed."""
    seen = []
    listening = events.listen(seen.append, events.Stored)
    cache.get("a")
    cache["a"] = 1
    listening.close()
    listening.close()
    cache["b"] = 1

    assert ["a"] == [event.key for event in seen]
    assert 3 == len(told)


def test_what_a_hook_does_is_not_told(cache):
    """A hook that uses the cache is not called for what it does itself."""
    calls = []

    def counting(event):
        calls.append(event.key)
        cache.incr("calls")

    with events.listen(counting, events.Miss, events.Stored):
        cache.get("a")

    assert ["a"] == calls
    assert 1 == cache["calls"]


def test_nobody_listens_after_the_tests():
    """Where nobody listens no event is made: the list is empty."""
    assert [] == LISTENERS
