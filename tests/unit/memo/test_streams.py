"""Memoized generator functions: items are kept as they are produced, and only whole."""

from __future__ import annotations

import asyncio

import pytest

from objcache.memo import Entry
from tests.unit.memo.conftest import finished


@pytest.fixture
def count(store, calls):
    """A memoized generator function."""

    @store.memoize
    def count(n):
        for i in range(n):
            calls.append(i)
            yield [i]
        return "done"

    return count


def returned(generator):
    """Return the items of *generator* and what it returns."""
    items = []
    while True:
        try:
            items.append(next(generator))
        except StopIteration as ended:
            return items, ended.value


def test_items_and_return_value_are_kept(count, calls):
    """The second time the items come from the store, and so does what the generator returned."""
    expected = [[0], [1], [2]], "done"

    assert [expected, expected] == [returned(count(3)), returned(count(3))]
    assert [0, 1, 2] == calls
    assert (1, 1, 1) == count.cache_info()[:3]


def test_items_come_one_by_one(count, calls):
    """Nothing is produced before it is asked for."""
    generator = count(1_000_000)
    assert [[0], [1]] == [next(generator), next(generator)]
    assert [0, 1] == calls
    generator.close()


def test_a_part_is_not_the_whole(count, calls, store):
    """A generator that was not run to its end leaves nothing."""
    generator = count(5000)
    for _ in range(3000):
        next(generator)
    generator.close()

    assert 0 == count.cache_info().entries
    assert 0 == len(count.__objcache_recall__.results.opened.chunks)
    calls.clear()
    assert 5000 == len(list(count(5000)))
    assert 5000 == len(calls)


def test_many_items(count):
    """More items than fit into one write, or one read."""
    first = list(count(3000))

    assert first == list(count(3000)) == [[i] for i in range(3000)]


def test_callers_may_change_what_they_get(count):
    """Items are stored as they were when they were produced."""
    for item in count(3):
        item.append("changed")
    items = list(count(3))
    items[0].append("changed")

    assert [[0], [1], [2]] == list(count(3))


def test_an_exception_leaves_nothing(store, calls):
    """A generator that fails is run again."""

    @store.memoize
    def f(n):
        calls.append(n)
        yield 1
        yield 1 / n

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            list(f(0))
    assert [0, 0] == calls
    assert [[1, 1.0]] * 2 == [list(f(1)), list(f(1))]
    assert [0, 0, 1] == calls


def echo():
    """A generator that answers what it is sent."""
    received = yield "begin"
    while True:
        try:
            received = yield f"got {received}"
        except KeyError as error:
            received = f"error {error}"


def test_what_is_sent_reaches_the_generator(store):
    """A generator that is sent something, or thrown at, does what the plain one does."""
    memoized = store.memoize(echo)
    for _ in range(2):
        generator = memoized()
        assert "begin" == next(generator)
        assert "got hello" == generator.send("hello")
        assert "got error 'x'" == generator.throw(KeyError("x"))
        generator.close()
    assert 0 == memoized.cache_info().entries


def test_what_is_sent_into_stored_items_reaches_the_generator(count, store):
    """Also where the items before came from the store."""

    @store.memoize
    def f():
        received = yield 1
        while received is None:
            received = yield 2
            if received is None:
                return
        yield received

    assert [1, 2] == list(f())
    generator = f()
    assert [1, 2] == [next(generator), next(generator)]
    generator = f()
    assert 1 == next(generator)
    assert "sent" == generator.send("sent")


def test_items_that_are_removed_while_they_are_read(count, calls):
    """Whoever is reading goes on with the function itself."""
    list(count(200))
    calls.clear()
    generator = count(200)
    assert [[i] for i in range(10)] == [next(generator) for _ in range(10)]
    count.cache_clear()

    assert [[i] for i in range(10, 200)] == list(generator)
    assert calls[-1] == 199


def test_items_that_cannot_be_stored(store, caplog):
    """The items are given out all the same, and it is told once."""

    @store.memoize
    def f():
        yield 1
        yield lambda: 2
        yield 3

    for _ in range(2):
        one, two, three = f()
        assert (1, 2, 3) == (one, two(), three)
    assert 1 == len(caplog.records)


def test_controls(count, calls):
    """put, refresh, forget, entries and is_cached know items."""
    count.put(["a", "b"], 2)
    assert count.is_cached(2)
    assert ["a", "b"] == list(count(2))
    (entry,) = count.entries()
    assert isinstance(entry, Entry)
    assert ["a", "b"] == entry.value
    assert [[0], [1]] == list(count.refresh(2)) == list(count(2))
    assert count.forget(2)
    assert 0 == len(count.__objcache_recall__.results.opened.chunks)
    assert not hasattr(count, "map")


def test_bytes_of_items_are_counted(store):
    """The size of a result is that of its items."""

    @store.memoize
    def f():
        yield from ["x" * 1000] * 5

    list(f())
    assert 5000 < f.cache_info().size_bytes < 6000
    f.cache_clear()
    assert 0 == f.cache_info().size_bytes


def test_expire_and_stale(timed, clock, calls):
    """Items end together, and are produced anew in the background for some time."""

    @timed.memoize(expire=10, stale=5)
    def f():
        calls.append(1)
        yield len(calls)

    assert [1] == list(f())
    clock.advance(12)
    assert [1] == list(f())
    finished(f)
    assert [2] == list(f())
    clock.advance(20)
    assert [3] == list(f())


# -- asynchronous generators -----------------------------------------------------------------


@pytest.fixture
def async_count(store, calls):
    """A memoized asynchronous generator function."""

    @store.memoize
    async def count(n):
        for i in range(n):
            calls.append(i)
            await asyncio.sleep(0)
            yield [i]

    return count


async def collected(items):
    """Return the items of an asynchronous generator."""
    return [item async for item in items]


def test_async_items_are_kept(async_count, calls):
    """The second time the items come from the store."""

    async def main():
        return [await collected(async_count(3)), await collected(async_count(3))]

    assert [[[0], [1], [2]]] * 2 == asyncio.run(main())
    assert [0, 1, 2] == calls


def test_a_part_of_async_items_is_not_the_whole(async_count, calls):
    """An asynchronous generator that was not run to its end leaves nothing."""

    async def main():
        items = async_count(10)
        assert [0] == await anext(items)
        await items.aclose()
        assert not async_count.is_cached(10)
        return await collected(async_count(10))

    assert 10 == len(asyncio.run(main()))
    assert [0, *range(10)] == calls


def test_async_sending_and_throwing(store):
    """What is sent or thrown reaches the generator, before and after it was stored."""

    @store.memoize
    async def f():
        try:
            received = yield 1
            yield received
        except KeyError:
            yield "caught"

    async def main():
        for _ in range(2):
            items = f()
            assert 1 == await anext(items)
            assert "sent" == await items.asend("sent")
            await items.aclose()
            items = f()
            assert 1 == await anext(items)
            assert "caught" == await items.athrow(KeyError())
            await items.aclose()
            assert [1, None] == await collected(f())

    asyncio.run(main())


def test_async_controls(async_count):
    """put takes items of any kind, refresh runs the generator."""

    async def main():
        await async_count.put(["a"], 1)
        assert ["a"] == await collected(async_count(1))
        await async_count.put(async_count.bypass(2), 1)
        assert [[0], [1]] == await collected(async_count(1))
        assert [[0]] == await collected(async_count.refresh(1))
        assert [[0]] == await collected(async_count(1))

    asyncio.run(main())


def test_async_items_are_refreshed_in_the_background(timed, clock, calls):
    """What has ended is served while it is produced anew by a task."""

    @timed.memoize(expire=10, stale=5)
    async def f():
        calls.append(1)
        yield len(calls)

    async def main():
        assert [1] == await collected(f())
        clock.advance(12)
        assert [1] == await collected(f())
        for _ in range(20):
            await asyncio.sleep(0)
        assert [2] == await collected(f())

    asyncio.run(main())
