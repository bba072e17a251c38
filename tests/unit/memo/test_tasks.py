"""Memoized coroutine functions."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from objcache.errors import ComputationTimeoutError


@pytest.fixture
def f(store, calls):
    """A memoized coroutine function."""

    @store.memoize
    async def f(x):
        calls.append(x)
        await asyncio.sleep(0)
        return [x]

    return f


def test_computed_once(f, calls):
    """It is awaited like the plain one, and run once."""

    async def main():
        return [await f(1), await f(x=1), await f(2)]

    assert [[1], [1], [2]] == asyncio.run(main())
    assert [1, 2] == calls
    assert inspect.iscoroutinefunction(f)


def test_several_event_loops(f, calls):
    """Results belong to no loop."""
    assert [[1], [1]] == [asyncio.run(f(1)), asyncio.run(f(1))]
    assert [1] == calls


def test_tasks_join(f, calls):
    """Tasks that ask for one result at once wait for one of them, and get copies of their own."""

    async def main():
        return await asyncio.gather(*(f(1) for _ in range(50)))

    results = asyncio.run(main())

    assert [[1]] * 50 == results
    assert [1] == calls
    assert 50 == len({id(result) for result in results})


def test_an_exception_wakes_all_and_is_not_stored(store, calls):
    """Each of those who waited tries in turn: none gets another's exception."""

    @store.memoize
    async def f(x):
        calls.append(x)
        await asyncio.sleep(0)
        if len(calls) < 3:
            raise ValueError(len(calls))
        return "third"

    async def main():
        return await asyncio.gather(*(f(1) for _ in range(5)), return_exceptions=True)

    results = asyncio.run(main())

    assert 3 == len(calls)
    assert 3 == results.count("third")
    assert {1, 2} == {error.args[0] for error in results if error != "third"}


def test_cancelling_one_does_not_cancel_the_others(f, calls):
    """A waiter that is cancelled leaves; if the one who computes is, another begins."""

    async def main():
        first = asyncio.create_task(f(1))
        second = asyncio.create_task(f(1))
        third = asyncio.create_task(f(1))
        await asyncio.sleep(0)
        first.cancel()
        third.cancel()
        return await asyncio.gather(first, second, third, return_exceptions=True)

    first, second, third = asyncio.run(main())

    assert isinstance(first, asyncio.CancelledError)
    assert isinstance(third, asyncio.CancelledError)
    assert [1] == second


def test_recursion(store):
    """A coroutine that awaits itself for another argument works."""

    @store.memoize
    async def fibonacci(n):
        return n if n < 2 else await fibonacci(n - 1) + await fibonacci(n - 2)

    assert 6765 == asyncio.run(fibonacci(20))


def test_timeout(store):
    """Whoever would not wait longer says so, or computes as well."""
    release = None

    async def slow(x):
        await release.wait()
        return x

    raising = store.memoize(timeout=0.01, ignore=("release",))(slow)
    computing = store.memoize(timeout=0.01, on_timeout="compute", ignore=("release",))(slow)

    async def main():
        nonlocal release
        release = asyncio.Event()
        owner = asyncio.create_task(raising(1))
        await asyncio.sleep(0)
        with pytest.raises(ComputationTimeoutError, match=r"slow.* more than timeout=0.01 s"):
            await raising(1)
        other = asyncio.create_task(computing(1))
        release.set()
        return await owner, await other

    assert (1, 1) == asyncio.run(main())


def test_refresh_and_map(f, calls):
    """refresh and map are awaited; map runs so many at a time."""

    async def main():
        f.put(["old"], 1)
        assert [1] == await f.refresh(1)
        return await f.map([1, 2, 3, 2], concurrency=2)

    assert [[1], [2], [3], [2]] == asyncio.run(main())
    assert [1, 2, 3] == calls
    with pytest.raises(ValueError, match="concurrency=0 would run nothing"):
        asyncio.run(f.map([1], concurrency=0))


def test_map_runs_so_many_at_a_time(store):
    """No more than `concurrency` run at once."""
    running, most = 0, []

    @store.memoize(ignore=("running",))
    async def f(x):
        nonlocal running
        running += 1
        most.append(running)
        await asyncio.sleep(0)
        running -= 1
        return x

    assert list(range(10)) == asyncio.run(f.map(range(10), concurrency=3))
    assert 3 == max(most)


def test_map_raises_what_the_function_raises(store, calls):
    """The plain exception, as awaiting one after the other would; what is done is kept."""

    @store.memoize
    async def f(x):
        calls.append(x)
        return 1 / x

    with pytest.raises(ZeroDivisionError):
        asyncio.run(f.map([1, 0, 2], concurrency=1))
    assert f.is_cached(1)


def test_stale(timed, clock, calls):
    """What has ended is served while a task computes it anew."""

    @timed.memoize(expire=10, stale=5)
    async def f(x):
        calls.append(x)
        return len(calls)

    async def main():
        assert 1 == await f(0)
        clock.advance(12)
        assert 1 == await f(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert 2 == await f(0)

    asyncio.run(main())


def test_a_refresh_that_is_cancelled_lets_others_go_on(timed, clock, calls):
    """A loop that ends before the refresh began keeps nobody waiting."""

    @timed.memoize(expire=10, stale=5)
    async def f(x):
        calls.append(x)
        return len(calls)

    asyncio.run(f(0))
    clock.advance(12)
    assert 1 == asyncio.run(f(0))
    clock.advance(12)
    assert 1 < asyncio.run(f(0))


def test_hot(store, calls):
    """Results in memory work for coroutines too."""

    @store.memoize(hot=5)
    async def f(x):
        calls.append(x)
        return [x]

    async def main():
        return [await f(1) for _ in range(3)]

    assert [[1]] * 3 == asyncio.run(main())
    assert [1] == calls


def test_cached_exceptions(store, calls):
    """Exceptions are stored for coroutines as for plain functions."""

    @store.memoize(cache_exceptions=KeyError)
    async def f(x):
        calls.append(x)
        raise KeyError(x)

    for _ in range(2):
        with pytest.raises(KeyError):
            asyncio.run(f(1))
    assert [1] == calls
