"""Caching switched off: memoized functions of all kinds compute always, and find theirs after it."""

from __future__ import annotations

import asyncio

import pytest

from objcache import Cache
from objcache.testing import caching_off


@pytest.fixture(params=["store", "cache"])
def place(request, path):
    """Where results are kept."""
    if request.param == "store":
        yield request.getfixturevalue("store")
    else:
        with Cache(path, durability="process") as cache:
            yield cache


def test_every_call_computes(place):
    """In the block nothing is looked up, stored or counted; after it all is as before."""
    calls = []

    @place.memoize
    def square(x):
        calls.append(x)
        return [x * x]

    square(1)
    info = square.cache_info()
    with caching_off():
        assert [[1], [1], [4], [4]] == [square(1), square(1), square(2), square(2)]
        assert [[1], [4]] == square.map([1, 2])
        assert not square.is_cached(1)
        assert info == square.cache_info()
    assert [1, 1, 1, 2, 2, 1, 2] == calls

    assert [[1], [4]] == [square(1), square(2)]
    assert 8 == len(calls)
    assert (info.hits + 1, info.misses + 1) == square.cache_info()[:2]


@pytest.mark.parametrize("options", [{"hot": 5}, {"expire": 60, "early": 1.0}, {"audit": 1.0}])
def test_whatever_the_settings(place, options):
    """Results in memory are not served, and nothing is audited or refreshed."""
    calls = []
    square = place.memoize(lambda x: calls.append(x) or x * x, **options)
    square(1), square(1)
    before = len(calls)
    with caching_off(), caching_off():
        square(1), square(1), square(1)

    assert before + 3 == len(calls)
    assert square.is_cached(1)


def test_every_kind_of_function(place):
    """Coroutines and generators compute always, too."""
    calls = []

    @place.memoize
    async def task(x):
        calls.append("task")
        return x

    @place.memoize
    def stream(x):
        calls.append("stream")
        yield x

    @place.memoize
    async def async_stream(x):
        calls.append("async_stream")
        yield x

    async def all_of_them():
        await task(1)
        await asyncio.gather(task(1), task(1))
        for _ in range(2):
            assert [1] == [item async for item in async_stream(1)]
            assert [1] == list(stream(1))

    asyncio.run(all_of_them())
    assert 3 == len(calls)
    calls.clear()
    with caching_off():
        asyncio.run(all_of_them())
    assert 7 == len(calls)
    asyncio.run(all_of_them())
    assert 7 == len(calls)


def test_functions_made_in_the_block(store):
    """A function that is first decorated, or first called, in the block computes always, too."""
    calls = []
    with caching_off():
        double = store.memoize(lambda x: calls.append(x) or 2 * x)
        double(1), double(1)
        double.put(7, 1)
        double(1)

    assert 3 == len(calls)
    assert 7 == double(1)


def test_nested_blocks_end_one_by_one(store):
    """Caching is on again when the last block has ended."""
    calls = []
    double = store.memoize(lambda x: calls.append(x) or 2 * x)
    with caching_off():
        with caching_off():
            double(1)
        double(1)
    double(1), double(1)

    assert 3 == len(calls)
