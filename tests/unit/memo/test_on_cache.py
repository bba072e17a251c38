"""Memoized functions on a cache: their results are bounded, evicted, over and tagged as its other entries."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import threading

import pytest

import objcache
from objcache.cache import Cache
from objcache.cache._layout import unpack_row
from objcache.clock import SYSTEM_CLOCK
from objcache.errors import StoreFullError, TransactionClosedError
from objcache.keys import decode_key, section_range
from objcache.store._counters import namespace_counts
from objcache.store._memo_rows import memo_disagreements
from objcache.store._scan import scan
from objcache.store.generations import BESIDE, QUEUE, beside, generation_prefix, over_generations
from tests import scripts
from tests.conftest import SECRET
from tests.unit.memo.conftest import finished

KIB = 1024

SCRIPT = """
from objcache.cache import Cache
def opened(**options):
    options.setdefault("durability", "process")
    return Cache(path, secret=SECRET, **options)
def square(x):
    print("computing", x, flush=True)
    return x * x
"""


@pytest.fixture
def open_cache(clock):
    """Open caches whose time is *clock*, which are whole and closed after the test."""
    opened = []

    def open_one(**options):
        options = {"clock": clock, "secret": SECRET, **options}
        opened.append(Cache.temporary(**options))
        return opened[-1]

    yield open_one
    for cache in opened:
        if not cache.closed:
            assert [] == wrong(cache)
        cache.close()


@pytest.fixture
def cache(open_cache):
    """A cache of default size."""
    return open_cache()


def wrong(cache):
    """Return all in which rows, results, counters and queue of *cache* do not agree."""
    snapshot = cache._session.snapshot()
    try:
        counts = snapshot.read(namespace_counts)
        names = [decode_key(encoded) for _, encoded, _ in counts]
        found = list(memo_disagreements(snapshot, cache._records, names))
        for prefix, encoded, count in counts:
            low, high = section_range(prefix)[:2]
            there = sum(1 for _ in scan(snapshot, low, high, lambda _: False))
            if there != count:
                found.append((decode_key(encoded), f"{count} are counted, there are {there}"))
        number = cache.place.number
        functions = [one for one in names if one[:2] == beside(number) and one[-1] == "entries"]
        queue = generation_prefix(number) + QUEUE
        rows = [
            unpack_row(key[len(queue) :], row)
            for key, row in scan(snapshot, queue, queue + b"\xff" * 17, lambda _: True)
        ]
    finally:
        snapshot.end("looked")
    positions = set()
    for function in functions:
        mapping = cache._store.namespace(function[0])
        for name in function[1:]:
            mapping = mapping.namespace(name)
        positions.update(row["position"] for row in mapping.using("json").values())
    tracked = {row.position.hex() for row in rows if row.owned and not row.owned[0].many}
    if positions != tracked:
        found.append(("queue", f"{len(positions)} rows, {len(tracked)} of the queue"))
    return [*found, *cache.check().problems, *cache._store.check().problems]


def remaining(cache):
    """Return how many records lie beside the cache, but for what outlives generations."""
    counts = cache._session.read(namespace_counts)
    return sum(count for _, names, count in counts if decode_key(names)[1] != "lasting")


def squares(memoize, calls, **options):
    """A memoized function of a kilobyte or so."""

    @memoize(**options)
    def square(x):
        calls.append(x)
        return x * x, os.urandom(KIB)

    return square


def opened_of(memoized):
    return memoized.__objcache_recall__.results.opened


# -- a cache is a place ------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["method", "option"])
def test_a_cache_keeps_results(cache, calls, how):
    """`cache.memoize` and `memoize(store=cache)` keep results in the cache, as one entry each."""
    memoize = cache.memoize if how == "method" else objcache.memoize

    @memoize(**({} if how == "method" else {"store": cache}))
    def square(x):
        calls.append(x)
        return x * x

    assert [9, 9, 16] == [square(3), square(3), square(x=4)]
    assert [3, 4] == calls
    assert 2 == len(cache) == cache.stats().entries
    assert (1, 2, 2) == square.cache_info()[:3]
    assert [] == wrong(cache)


def test_what_is_no_place_is_refused():
    """What is neither a store nor a cache is named in the error."""
    with pytest.raises(TypeError, match="or a Cache, not int"):
        objcache.memoize(store=1)(len)


def test_sizes_are_those_of_the_rows(cache, calls):
    """`cache_info().size_bytes` is what the results take that are there."""
    square = squares(cache.memoize, calls)
    for x in range(5):
        square(x)
    assert sum(entry.size_bytes for entry in square.entries()) == square.cache_info().size_bytes

    square.forget(1)

    assert 4 == len(cache) == square.cache_info().entries
    assert sum(entry.size_bytes for entry in square.entries()) == square.cache_info().size_bytes


def test_saved_time_is_in_the_stats(cache, clock):
    """The statistics of a cache say what the hits of its functions have saved."""

    @cache.memoize
    def slow(x):
        clock.advance(x)

    slow(7)
    slow(7)

    assert 7 == slow.cache_info().saved_s == cache.stats().saved_s


def test_put_refresh_and_forget_are_one_entry(cache, calls):
    """What replaces a result replaces its entry, and what is forgotten leaves none."""
    square = squares(cache.memoize, calls)
    square(2), square.refresh(2)
    square.put("four", 2)

    assert 1 == len(cache)
    assert "four" == square(2)
    assert [] == wrong(cache)
    assert square.forget(2)
    assert (0, False) == (len(cache), square.forget(2))


def test_cache_clear_removes_its_own(cache, calls):
    """`cache_clear` removes the results of one function, with a tag or without, and no others."""
    square = squares(cache.memoize, calls, tag="squares")
    other = cache.memoize(lambda x: -x)
    cache["mine"] = 1
    square(1), square(2), other(1)

    assert 0 == square.cache_clear("cubes")
    assert 2 == square.cache_clear("squares")
    assert [] == wrong(cache)
    square(3)
    assert 1 == square.cache_clear()
    assert (0, 0, 0, 0) == square.cache_info()[:4]
    assert other.is_cached(1)
    assert 2 == len(cache)


# -- what goes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["gate", "lru", "lfu", "fifo"])
def test_evicted_by_number(open_cache, calls, policy):
    """Beyond `max_entries` results go with all that hangs on them, and are computed again."""
    cache = open_cache(max_entries=10, policy=policy)
    square = squares(cache.memoize, calls, strict_args=True)
    texts = [f"{number} {'x' * 200}" for number in range(30)]
    keyed = cache.memoize(lambda text: text.upper(), strict_args=True)
    for text in texts:
        keyed(text)

    there = [text for text in texts if keyed.is_cached(text)]
    assert 10 == len(there) == len(cache) == keyed.cache_info().entries
    assert sorted(there) == sorted(entry.value.lower() for entry in keyed.entries())
    assert 10 == len(opened_of(keyed).arguments)
    for x in range(30):
        square(x)
    assert 10 == len(cache) == square.cache_info().entries + keyed.cache_info().entries
    gone = next(x for x in range(30) if not square.is_cached(x))
    square(gone)
    assert [*range(30), gone] == calls


def test_evicted_by_size(open_cache, calls):
    """A small cache takes any number of results, and keeps within its bound."""
    cache = open_cache(size_limit="1 MiB")
    square = squares(cache.memoize, calls)
    for x in range(1000):
        assert x * x == square(x)[0]

    assert cache.volume() <= 1 << 20
    assert 0 < square.cache_info().entries < 800
    assert square.cache_info().entries == len(cache)


def test_a_namespace_has_its_own_budget(cache, calls):
    """Results in a namespace of a cache are bounded by the namespace's limits."""
    square = squares(cache.namespace("pages", max_entries=3).memoize, calls)
    other = squares(cache.memoize, calls)
    for x in range(10):
        square(x), other(x)

    assert (3, 10) == (square.cache_info().entries, other.cache_info().entries)


def test_evicted_by_tag(cache, calls):
    """`evict` removes the results of all functions with a tag, and entries of the cache too."""
    square = squares(cache.memoize, calls, tag=("squares", "numbers"))
    other = cache.memoize(lambda x: -x, tag="numbers")
    cache.set("one", 1, tag="numbers")
    cache.set("two", 2)
    square(1), square(2), other(1)

    assert ["numbers", "squares"] == cache.tags()
    assert 2 == cache.evict("squares")
    assert (False, []) == (square.is_cached(1), list(square.entries()))
    assert 2 == cache.evict("numbers")
    assert (False, ["two"]) == (other.is_cached(1), list(cache))


def test_expired_with_the_default_of_the_cache(open_cache, calls, clock):
    """A cache's `expire` is that of its functions unless they say otherwise; None is never."""
    cache = open_cache(expire=60)
    square = squares(cache.memoize, calls)
    lasting = squares(cache.memoize, calls, version="lasting", expire=None)
    short = squares(cache.memoize, calls, version="short", expire=5)
    square(1), lasting(1), short(1)

    clock.advance(10)
    assert [True, True, False] == [each.is_cached(1) for each in (square, lasting, short)]
    clock.advance(60)
    assert [False, True, False] == [each.is_cached(1) for each in (square, lasting, short)]
    assert 2 == cache.expire()
    assert 1 == len(cache)
    assert [False] == [entry.current for entry in square.entries()]  # that of the other version


def test_stale_results_stay_until_they_are_of_no_use(open_cache, calls, clock):
    """While a result may be served stale the cache does not remove it as expired."""
    cache = open_cache(expire=60)
    square = squares(cache.memoize, calls, stale=60)
    first = square(1)
    clock.advance(90)

    assert 0 == cache.expire()
    assert first == square(1)
    finished(square)
    assert [1, 1] == calls
    assert first != square(1)
    clock.advance(121)
    assert 1 == cache.expire()


def test_a_very_long_expire_of_the_cache_is_never(open_cache):
    """What `memoize` would refuse as too long is for ever."""
    cache = open_cache(expire=1e12)
    square = cache.memoize(lambda x: x * x)

    assert 9 == square(3)
    assert [None] == [entry.deadline for entry in square.entries()]


def test_tags_are_those_of_a_cache(cache):
    """A tag that no entry of a cache can have is refused when the function is memoized."""
    with pytest.raises(ValueError, match="a tag has 1 to 200 bytes"):
        cache.memoize(tag="x" * 201)


def test_why_knows_of_eviction(cache, calls):
    """What the cache has removed is explained as something that may have been evicted."""
    square = squares(cache.memoize, calls, tag="squares")
    square(1)
    assert "hit" == square.why(1).reason

    cache.evict("squares")

    assert ("never called", ("or it was evicted",)) == square.why(1)
    square(2)
    assert "arguments" == square.why(1).reason
    assert "or it was evicted" == square.why(1).details[-1]


def test_hits_keep_a_result(open_cache):
    """What is read again stays in the cache, whatever passes through: plain, hot and in batches."""
    for hot, ask in ((0, "call"), (16, "call"), (0, "map")):
        cache = open_cache(max_entries=20)

        @cache.memoize(hot=hot)
        def double(x):
            return 2 * x

        double("kept")
        for x in range(200):
            double(x)
            if ask == "map":
                double.map(["kept"])
            else:
                double("kept")

        assert 201 == double.cache_info().misses, (hot, ask)


def test_what_was_dear_stays_longer(open_cache, clock):
    """Of results that nobody reads again, what took long to compute is evicted last."""
    cache = open_cache(max_entries=50)

    @cache.memoize
    def compute(x, seconds):
        clock.advance(seconds)
        return x

    for x in range(20):
        compute(x, 0.001)
    compute("dear", 100)
    for x in range(20, 120):
        compute(x, 0.001)

    assert compute.is_cached("dear", 100)
    assert not compute.is_cached(0, 0.001)


# -- full --------------------------------------------------------------------------------------


def test_too_large_for_the_cache(open_cache, calls, caplog):
    """A result larger than the cache takes is returned with one warning, and nothing goes for it."""
    cache = open_cache(size_limit="1 MiB")
    square = squares(cache.memoize, calls)
    for x in range(100):
        square(x)
    big = cache.memoize(lambda x: bytes(x))
    with caplog.at_level(logging.WARNING, "objcache"):
        assert [700_000, 700_000] == [len(big(700_000)), len(big(700_000))]

    assert 1 == len(caplog.records)
    assert "StoreFullError" in caplog.text
    assert (0, 100) == (big.cache_info().entries, square.cache_info().entries)


def test_too_large_within_a_batch(open_cache, caplog):
    """Of a batch all is kept but what is larger than the cache takes."""
    cache = open_cache(size_limit="1 MiB")
    big = cache.memoize(lambda x: bytes(x))
    with caplog.at_level(logging.WARNING, "objcache"):
        big.map([10, 700_000, 20])

    assert [True, False, True] == [big.is_cached(x) for x in (10, 700_000, 20)]
    assert 1 == len(caplog.records)


def test_a_full_file_makes_room(open_cache, calls, caplog):
    """Where the file itself is full, results are evicted and the new one is kept."""
    cache = open_cache(size_limit="1 MiB")
    blob = cache.memoize(lambda x: os.urandom(60 * KIB))
    # A snapshot holds the pages that are freed meanwhile.
    with caplog.at_level(logging.WARNING, "objcache"):
        for x in range(100):
            blob(x)

    assert [] == caplog.records
    assert blob.is_cached(99)


def test_a_cache_that_must_not_evict(open_cache, calls, caplog):
    """With `on_full="error"` new results are not kept, old ones stay, and the function works."""
    cache = open_cache(max_entries=5, on_full="error")
    square = squares(cache.memoize, calls)
    with caplog.at_level(logging.WARNING, "objcache"):
        for x in range(10):
            assert x * x == square(x)[0]

    assert 1 == len(caplog.records)
    assert [True] * 5 + [False] * 5 == [square.is_cached(x) for x in range(10)]


def test_read_only(open_cache, calls):
    """A cache opened read-only serves what is there, and keeps nothing."""
    cache = open_cache()
    cache.memoize(abs)(-3)
    code = """
        cache = opened(readonly=True)
        kept = cache.memoize(abs)
        print(kept.is_cached(-3), kept.is_cached(-4), kept(-3))
    """

    assert "True False 3\n" == scripts.run(SCRIPT + _dedented(code), cache.directory)


# -- clear -------------------------------------------------------------------------------------


def test_clear_removes_results(cache, calls):
    """After `clear` nothing is there, and functions begin again."""
    square = squares(cache.memoize, calls)
    square(1), square(2)

    cache.clear()

    assert not square.is_cached(1)
    assert (0, [], 0) == (len(cache), list(square.entries()), square.cache_info().entries)
    assert "never called" == square.why(1).reason
    square(1)
    assert [1, 2, 1] == calls
    assert 1 == len(cache) == square.cache_info().entries


def test_counts_outlive_clear(cache, calls):
    """`clear` of the cache removes results; the counts go on from the last `cache_clear`."""
    square = squares(cache.memoize, calls)
    square(1), square(1)
    square.cache_clear()
    square(1), square(1), square(1)
    cache.clear()

    assert (2, 1) == square.cache_info()[:2]


def test_clear_in_a_transaction(cache, calls):
    """Within a transaction the results are removed one by one, and come back if it fails."""
    square = squares(cache.memoize, calls)
    square(1)
    with pytest.raises(ZeroDivisionError), cache.transaction():
        cache.clear()
        assert not square.is_cached(1)
        raise ZeroDivisionError
    assert square.is_cached(1)

    with cache.transaction():
        cache.clear()
    assert not square.is_cached(1)


def test_what_was_cleared_is_dropped(cache, calls):
    """The records of results that were cleared are removed bit by bit, until nothing is left."""
    square = squares(cache.memoize, calls)
    strict = cache.memoize(strict_args=True)(lambda text: text)
    long = cache.memoize(_named("n" * 300))

    @cache.memoize
    def count(n):
        yield from range(n)

    for x in range(50):
        square(x), strict("x" * 200 + str(x)), long(x)
    list(count(3000))
    before = remaining(cache)
    cache.clear()
    square(1)
    present = remaining(cache) - before
    before += present
    assert 3000 < before

    cache.clear()
    square(1)  # a second generation that is over

    steps = 0
    while cache._session.write(lambda transaction: _drop(cache, transaction, 100)):
        assert [] == wrong(cache)
        steps += 1

    assert before // 100 < steps
    assert present == remaining(cache)
    assert [] == cache._session.read(over_generations)
    assert square.is_cached(1)


def _drop(cache, transaction, most):
    from objcache.store.generations import drop_rows

    return drop_rows(cache._session.environment.side, transaction, most)


def _named(name):
    def function(x):
        return x

    function.__qualname__ = name
    return function


def test_clear_while_it_computes(cache, calls, caplog):
    """What was begun before `clear` is returned, but not kept for those who come after it."""
    began, cleared = threading.Event(), threading.Event()

    @cache.memoize(ignore=("began", "cleared"))
    def slow(x):
        calls.append(x)
        if len(calls) == 1:
            began.set()
            assert cleared.wait(20)
        return len(calls)

    thread = threading.Thread(target=slow, args=(1,))
    thread.start()
    assert began.wait(20)
    cache.clear()

    assert 2 == slow(1)  # does not wait for the one that is older than `clear`
    cleared.set()
    thread.join(20)
    assert 2 == slow(1)
    assert [] == caplog.records


def test_clear_between_encoding_and_keeping(cache, calls):
    """A result that was encoded for a generation that is over is not kept in the next one."""
    square = cache.memoize(lambda x: x * x)
    recall = square.__objcache_recall__
    square(1)
    call = recall.call((2,), {})
    kept = recall.kept(call, recall.picture(call), 4, 0.0)
    cache.clear()

    assert not recall.write({call.tail: kept})
    assert not square.is_cached(2)
    assert 0 == remaining(cache) or [] == wrong(cache)


def test_hot_results_are_cleared(cache, calls):
    """A result in memory is not served after `clear` of the cache, nor after its eviction."""

    @cache.memoize(hot=8, tag="hot")
    def double(x):
        calls.append(x)
        return 2 * x

    double(1), double(1)
    cache.clear()
    double(1), double(1)
    cache.evict("hot")
    double(1), double(1)

    assert [1, 1, 1] == calls


def test_a_hot_result_of_a_generation_that_is_over(cache, calls, monkeypatch):
    """A clear in the middle of a reading leaves nothing in memory that is served later."""

    @cache.memoize(hot=8)
    def double(x):
        calls.append(x)
        return 2 * x

    double(1)
    opened, hot = opened_of(double), double.__objcache_recall__.hot
    tail = double.__objcache_recall__.call((1,), {}).tail
    hot.clear()
    cache.clear()  # after `opened` was looked at, before the record is read

    assert hot.keep(tail, opened) is None
    double(1)
    assert [1, 1] == calls


# -- all kinds of functions --------------------------------------------------------------------


def test_coroutines(open_cache, calls):
    """Coroutine functions are kept and evicted like others."""
    cache = open_cache(max_entries=4)

    @cache.memoize(tag="all")
    async def square(x):
        calls.append(x)
        return x * x

    async def ask():
        return [await square(1), await square(1), *await square.map(range(8))]

    assert [1, 1, 0, 1, 4, 9, 16, 25, 36, 49] == asyncio.run(ask())
    assert 4 == square.cache_info().entries
    assert 4 == cache.evict("all")


def test_batches(open_cache, calls):
    """`map` keeps what fits, and asks again for what was evicted."""
    cache = open_cache(max_entries=10)
    square = cache.memoize(lambda x: calls.append(x) or x * x)

    assert [x * x for x in range(30)] == square.map(range(30))
    assert 10 == square.cache_info().entries
    assert [x * x for x in range(30)] == square.map(range(30))
    assert 10 == len(cache)


def test_exceptions(cache, calls):
    """Exceptions that are kept are entries like results."""

    @cache.memoize(cache_exceptions=(ZeroDivisionError,), tag="all")
    def invert(x):
        calls.append(x)
        return 1 / x

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            invert(0)
    assert [0] == calls
    assert 1 == cache.evict("all")
    with pytest.raises(ZeroDivisionError):
        invert(0)
    assert [0, 0] == calls


def test_generators_are_one_entry(cache, calls):
    """A generator's items are one entry with its result, and go with it."""

    @cache.memoize(tag="all")
    def count(n):
        calls.append(n)
        yield from range(n)

    expected = list(range(2500))
    assert [expected, expected] == [list(count(2500)), list(count(2500))]
    assert [2500] == calls
    assert 1 == len(cache)
    assert 2500 == len(opened_of(count).chunks)
    assert [] == wrong(cache)

    assert 1 == cache.evict("all")
    assert 0 == len(opened_of(count).chunks)
    assert expected == list(count(2500))


def test_more_items_than_a_row_could_name(cache):
    """A generator of 70,000 items is one entry, whose row names no single one of them."""

    @cache.memoize(tag="all")
    def count(n):
        yield from range(n)

    assert 70_000 == sum(1 for _ in count(70_000))
    assert count.is_cached(70_000)
    assert 1 == cache.evict("all")
    assert 0 == len(opened_of(count).chunks)


def test_a_generator_that_runs_is_an_entry(cache):
    """What a running generator has stored so far is bounded, and is removed when it is given up."""

    @cache.memoize
    def count(n):
        yield from range(n)

    generator = count(5000)
    for _ in range(3500):
        next(generator)
    assert 1 == len(cache)
    assert 3000 == len(opened_of(count).chunks)
    assert [] == wrong(cache)

    generator.close()
    assert (0, 0) == (len(cache), len(opened_of(count).chunks))


@pytest.mark.parametrize("how", ["clear", "evict", "cache_clear"])
def test_a_part_that_was_removed_is_no_whole(cache, calls, how):
    """A generator whose first items went while it ran is not kept."""

    @cache.memoize(tag="all")
    def count(n):
        yield from range(n)

    generator = count(5000)
    for _ in range(3500):
        next(generator)
    {"clear": cache.clear, "evict": lambda: cache.evict("all"), "cache_clear": count.cache_clear}[
        how
    ]()

    assert 1500 == sum(1 for _ in generator)
    assert not count.is_cached(5000)
    assert 0 == len(cache)
    assert 0 == len(opened_of(count).chunks)


def test_a_generator_that_was_begun_before_clear(cache):
    """A generator that `clear` finds before anything of it was stored is not kept."""

    @cache.memoize
    def count(n):
        yield from range(n)

    generator = count(10)
    next(generator)
    cache.clear()

    assert 9 == sum(1 for _ in generator)
    assert not count.is_cached(10)
    assert 0 == remaining(cache)


def test_a_killed_generator_is_evicted(open_cache):
    """What a process has left that was killed in a generator makes room like anything else."""
    cache = open_cache(max_entries=5, clock=SYSTEM_CLOCK)
    code = """
        cache = opened(max_entries=5)
        @cache.memoize
        def count(n):
            yield from range(n)
        generator = count(5000)
        for _ in range(3500):
            next(generator)
        os.kill(os.getpid(), 9)
    """
    process = scripts.start(SCRIPT + _dedented(code), cache.directory)
    process.communicate(timeout=60)
    assert 1 == len(cache)
    assert 3000 == remaining(cache)

    square = cache.memoize(lambda x: x * x)
    for x in range(50):
        square(x)

    assert remaining(cache) < 100


def test_generators_larger_than_the_cache(open_cache, calls, caplog):
    """A generator of more than the cache takes is run, with one warning, and nothing goes for it."""
    cache = open_cache(size_limit="1 MiB")
    square = squares(cache.memoize, calls)
    for x in range(50):
        square(x)

    @cache.memoize
    def blobs(n):
        for _ in range(n):
            yield os.urandom(10 * KIB)

    with caplog.at_level(logging.WARNING, "objcache"):
        assert 100 == sum(1 for _ in blobs(100))

    assert 1 == len(caplog.records)
    assert (50, 50) == (len(cache), square.cache_info().entries)


def test_a_generator_fills_the_file(open_cache, caplog):
    """The items of a generator make room where the file is full."""
    cache = open_cache(size_limit="8 MiB")
    blob = cache.memoize(lambda x: os.urandom(50 * KIB))

    @cache.memoize
    def blobs(n):
        for _ in range(n):
            yield os.urandom(10 * KIB)

    with caplog.at_level(logging.WARNING, "objcache"):
        for x in range(300):
            blob(x)
        list(blobs(300))

    assert [] == caplog.records
    assert blobs.is_cached(300)
    assert cache.volume() <= 8 << 20


def test_asynchronous_generators(cache, calls):
    """Asynchronous generators are kept as one entry, too."""

    @cache.memoize(tag="all")
    async def count(n):
        calls.append(n)
        for i in range(n):
            yield i

    async def ask():
        return [i async for i in count(1500)]

    assert list(range(1500)) == asyncio.run(ask()) == asyncio.run(ask())
    assert [1500] == calls
    assert 1 == len(cache) == cache.evict("all")


def test_strict_arguments(cache, calls):
    """Whole arguments are kept, compared and removed with the result."""
    square = cache.memoize(strict_args=True, tag="all")(lambda text: calls.append(1) or len(text))
    square("x" * 500), square("x" * 500)
    assert [1] == calls
    assert 1 == len(opened_of(square).arguments)

    cache.evict("all")

    assert 0 == len(opened_of(square).arguments)


def test_an_edit_on_a_cache(cache):
    """Versions of the code work as on a store: an edit begins anew, and results can be adopted."""
    one = cache.memoize(version=1, track=None)(_versioned)
    two = cache.memoize(version=2, track=None)(_versioned)
    one(1)

    assert not two.is_cached(1)
    assert 1 == two.keep_entries()
    assert two.is_cached(1)
    cache.clear()
    assert 0 == two.keep_entries()


def _versioned(x):
    return x


# -- processes ---------------------------------------------------------------------------------


def _dedented(code):
    import textwrap

    return textwrap.dedent(code)


def test_processes_share_results_and_clears(open_cache):
    """Another process finds results, and notices an eviction and a clear from the next call on."""
    cache = open_cache()
    code = """
        cache = opened()
        kept = cache.memoize(tag="all", track=None)(square)
        for line in sys.stdin:
            print(kept(3), flush=True)
    """
    process = scripts.start(SCRIPT + _dedented(code), cache.directory)

    def ask():
        process.stdin.write("\n")
        process.stdin.flush()
        answer = [process.stdout.readline().strip()]
        if answer[0].startswith("computing"):
            answer.append(process.stdout.readline().strip())
        return answer

    assert ["computing 3", "9"] == ask()
    assert ["9"] == ask()
    assert 1 == cache.evict("all")
    assert ["computing 3", "9"] == ask()
    cache.clear()
    assert ["computing 3", "9"] == ask()
    assert ["9"] == ask()
    assert 1 == len(cache)
    scripts.finish(process)


def test_forked_children_share_results(open_cache):
    """A child made by fork goes on with the same results, and its own are the parent's."""
    cache = open_cache()
    cache.close()
    code = """
        cache = opened()
        kept = cache.memoize(square)
        print(kept(2), flush=True)
        child = os.fork()
        if not child:
            print(kept(2), kept(3), flush=True)
            cache.clear()
            print(kept(4), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(kept(4), kept.is_cached(2), len(cache), flush=True)
    """
    output = scripts.run(SCRIPT + _dedented(code), cache.directory + "-forked")

    assert "computing 2\n4\ncomputing 3\n4 9\ncomputing 4\n16\n16 False 1\n" == output


# -- all at once -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_all_agrees(open_cache, clock, seed):
    """After any mix of calls, forgetting, evictions and clears, rows, results and queue agree."""
    random_ = random.Random(seed)
    limits = {"max_entries": 25} if seed % 2 else {"size_limit": "1 MiB"}
    cache = open_cache(policy=random_.choice(["gate", "lru", "lfu", "fifo"]), expire=50, **limits)

    def plain(x):
        clock.advance(random_.random() / 100)
        return x, bytes(x * 300)

    def items(n):
        yield from range(n * 60)

    values = cache.memoize(tag="plain", strict_args=True, stale=5)(plain)
    counted = cache.memoize(tag=("items", "all"))(items)

    def rewind():
        clock.advance(random_.choice([0, 1, 20]))

    def in_transaction():
        # A block that finds the file full cannot be run again: who goes on in it is told.
        with contextlib.suppress(StoreFullError, TransactionClosedError), cache.transaction():
            values(random_.randrange(60)), cache.set("x", 1, tag="all"), values.forget(1)

    steps = [
        *[lambda: values(random_.randrange(60))] * 8,
        *[lambda: list(counted(random_.randrange(40)))] * 3,
        lambda: next(counted(60)),
        lambda: values.map(random_.sample(range(60), 10)),
        lambda: values.forget(random_.randrange(60)),
        lambda: values.refresh(random_.randrange(60)),
        lambda: values.put(b"put", random_.randrange(60)),
        lambda: cache.set(random_.randrange(20), bytes(2000), tag=random_.choice([None, "all"])),
        lambda: cache.evict(random_.choice(["plain", "items", "all"])),
        cache.expire,
        cache.cull,
        rewind,
        in_transaction,
        lambda: random_.random() < 0.2 and cache.clear(),
        lambda: random_.random() < 0.2 and counted.cache_clear(),
    ]
    for number in range(300):
        random_.choice(steps)()
        if number % 25 == 24:
            finished(values)
            assert [] == wrong(cache), (seed, number)

    assert BESIDE == cache.place.names[0]
    assert len(cache) <= 25 or seed % 2 == 0


def test_large_results_count_with_their_side_files(open_cache):
    """What lies in side files is bounded, counted and removed with the results."""
    cache = open_cache(size_limit="8 MiB")
    blobs = os.path.join(cache.directory, "blobs")
    large = cache.memoize(lambda number: bytes([number]) * (1 << 20))
    for number in range(20):
        assert 1 << 20 == len(large(number))

    there = [os.path.getsize(os.path.join(blobs, name)) for name in os.listdir(blobs)]
    assert 1 < len(there) == large.cache_info().entries < 8
    assert sum(there) <= large.cache_info().size_bytes <= 8 << 20
    assert large(19) == bytes([19]) * (1 << 20)
    cache.clear()
    assert not large.is_cached(19)
    for number in range(20):
        cache[number] = number
    assert [] == os.listdir(blobs)


def test_record_replaced_between_record_and_file(cache, monkeypatch):
    """A read beside a cache that finds a record, and then its file unlinked, returns what is there now."""
    dated = cache.place.dated(cache.place.namespace("of none"), b"")
    values = [bytes([number]) * (1 << 20) for number in range(2)]

    def put():
        dated.put(b"k", dated.encode(b"k", values.pop(), cost_us=len(values)))

    put()
    files = cache._session.environment.side.files
    open_file = type(files).open

    def replaced(self, *arguments):
        if values:
            put()
            cache._store.sync()
        return open_file(self, *arguments)

    monkeypatch.setattr(type(files), "open", replaced)

    assert (bytes(1 << 20), 0, None) == dated.get(b"k")
