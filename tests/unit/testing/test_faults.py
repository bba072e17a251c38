"""Faults on demand: what programs meet, and that it ends with the block."""

from __future__ import annotations

import threading

import pytest

from objcache import Cache, Store
from objcache.errors import (
    CorruptRecordError,
    SignatureError,
    StoreBusyError,
    StoreClosedError,
    StoreFullError,
)
from objcache.testing import (
    JumpingClock,
    damage,
    damage_result,
    die,
    failing_writes,
    forge,
    forge_result,
    run_until_killed,
)


@pytest.fixture
def cache(path):
    """A cache with a bound, that evicts."""
    with Cache(path, size_limit="4 MiB", durability="process") as opened:
        yield opened


def ways(store):
    """The ways to write one entry."""
    return (
        lambda: store.__setitem__("k", 1),
        lambda: store.set_many({"k": 1}),
        lambda: store.update(k=1),
        lambda: store.setdefault("k", 1),
        lambda: store.namespace("n").update({"k": 1}),
    )


@pytest.mark.parametrize("fault", [StoreFullError, StoreBusyError, OSError])
def test_every_way_to_write_fails(store, cache, fault):
    """In the block each write raises the fault, of stores and caches, and writes nothing."""
    for target in (store, cache):
        with failing_writes(target, fault) as writes:
            for write in ways(target):
                with pytest.raises(fault):
                    write()
            with pytest.raises(fault), target.transaction():
                pass

        assert writes.failed == writes.seen >= 6
        assert "k" not in target
        target["k"] = 1
        assert 1 == target["k"]


def test_faults_of_ones_own_are_raised_as_they_are(store):
    """An instance of an exception is what is raised."""
    error = StoreClosedError("mine")
    with failing_writes(store.namespace("n"), error), pytest.raises(StoreClosedError) as raised:
        store["a"] = 1

    assert error is raised.value


def test_writes_fail_from_one_to_another(store):
    """`after` go well, `times` fail, and the others go well."""
    done = []
    with failing_writes(store, after=2, times=3) as writes:
        for number in range(7):
            try:
                store[number] = number
                done.append(number)
            except StoreFullError:
                pass

    assert [0, 1, 5, 6] == done == list(store)
    assert (7, 3) == (writes.seen, writes.failed)


def test_a_cache_fails_as_often_as_it_is_told(cache):
    """One failing write is one failing `set`, though a full cache makes room and tries again."""
    with failing_writes(cache, times=1) as writes:
        with pytest.raises(StoreFullError):
            cache["a"] = 1
        cache["b"] = 2

    assert (["b"], 2) == (list(cache), writes.seen)


def test_writes_of_other_threads_fail(store):
    """Threads that write at the same moment fail like one alone."""
    failed = []

    def write(number):
        try:
            store[number] = number
        except StoreFullError:
            failed.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    with failing_writes(store):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

    assert list(range(8)) == sorted(failed)
    assert not store


def test_a_function_goes_on_with_a_full_store(store, caplog):
    """A memoized function whose results cannot be stored returns them."""
    square = store.memoize(lambda x: x * x)
    with failing_writes(square):
        assert [9, 9] == [square(3), square(3)]
    assert "could not be stored: StoreFullError" in caplog.text
    assert 0 == square.cache_info().entries


def test_reads_go_on(store):
    """What fails is writing."""
    store["a"] = 1
    with failing_writes(store):
        assert 1 == store["a"]
        assert {"a": 1} == dict(store)


def test_what_has_no_file_is_refused():
    """A dict has no writes that could fail."""
    with pytest.raises(TypeError, match="not dict"), failing_writes({}):
        pass


@pytest.mark.damages
@pytest.mark.parametrize(
    ("spoil", "error"), [(damage, CorruptRecordError), (forge, SignatureError)]
)
@pytest.mark.parametrize("key", ["short", "x" * 700])
def test_spoiled_records_of_stores_raise(store, spoil, error, key):
    """A record that was cut is corrupt, one that was altered not authentic; the others are well."""
    for mapping in (store, store.namespace("n")):
        mapping[key] = mapping["other"] = 1
        spoil(mapping, key)
        with pytest.raises(error):
            mapping[key]

        assert 1 == mapping["other"]
        with pytest.raises(KeyError):
            spoil(mapping, "none")


@pytest.mark.damages
@pytest.mark.parametrize("spoil", [damage, forge])
def test_spoiled_records_of_caches_are_missing(cache, spoil, caplog):
    """They count as missing, and the log says so."""
    for mapping in (cache, cache.namespace("n")):
        mapping["a"] = 1
        spoil(mapping, "a")

        assert mapping.get("a", "missing") == "missing"
    assert 2 == caplog.text.count("cannot be read, and counts as missing")
    with Cache(cache.directory, size_limit="4 MiB", durability="process") as other:
        other.clear()
        other["a"] = 2
        spoil(cache, "a")
        assert other.get("a") is None


@pytest.mark.damages
@pytest.mark.parametrize("spoil", [damage_result, forge_result])
@pytest.mark.parametrize("hot", [0, 10])
def test_spoiled_results_are_computed_again(store, spoil, hot):
    """A result that cannot be read is computed again, and then stored."""
    calls = []
    square = store.memoize(lambda x: calls.append(x) or x * x, hot=hot)
    square(3), square(x=3)
    spoil(square, 3)

    assert [9, 9] == [square(3), square(3)]
    assert [3, 3] == calls
    with pytest.raises(KeyError):
        spoil(square, 4)


def waiting_for_ever():
    threading.Event().wait()


def killed_in_a_transaction(store):
    store["before"] = 1
    with store.transaction():
        store["within"] = 1
        die()


def killed_at_the_third_write(store):
    with failing_writes(store, die, after=2):
        for number in range(10):
            store[number] = number


def not_killed():
    pass


def test_processes_die_when_told_to(store):
    """A killed process leaves what it has committed, and nothing of an open transaction."""
    run_until_killed(killed_in_a_transaction, store)

    assert ["before"] == list(store)
    store.clear()
    run_until_killed(killed_at_the_third_write, store)
    assert [0, 1] == list(store)


def test_a_process_that_does_not_die_is_told():
    """A test does not pass because its process ended well, or never."""
    with pytest.raises(AssertionError, match="ended with 0"):
        run_until_killed(not_killed)
    with pytest.raises(AssertionError, match="did not die within 0.1 s"):
        run_until_killed(waiting_for_ever, timeout=0.1)


def test_a_clock_that_jumps(path):
    """Deadlines follow the clock ahead; what was over stays over when it is set back."""
    clock = JumpingClock()
    began = clock.monotonic()
    with Cache(path, clock=clock, durability="process") as cache:
        cache.set("a", 1, expire=60)
        clock.jump(-30)
        assert 1 == cache["a"]
        clock.jump(3600)
        assert cache.get("a") is None
        clock.jump(-3600)
        assert cache.get("a") is None
    assert began == clock.monotonic()
    clock.advance(5)
    assert (began + 5, began + 5 - 30) == (clock.monotonic(), clock.now())


def test_what_is_read_only_is_not_spoiled(path):
    """A store that was opened only for reading is not spoiled by mistake."""
    Store(path, durability="process").close()
    with Store(path, readonly=True) as readonly, pytest.raises(PermissionError):
        forge(readonly, "a")
