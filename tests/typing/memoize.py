"""Checked by mypy --strict and pyright, never run: the types of memoized functions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator
from typing import Any, assert_type

import objcache
from objcache.memo import CacheInfo, Entry, Explanation, MemoizedFunction

store: objcache.Store[str, int] = objcache.Store("path")


@objcache.memoize
def bare(x: int, *, scale: float = 1.0) -> str:
    """Decorate without arguments."""
    return str(x * scale)


assert_type(bare(1, scale=2.0), str)
assert_type(bare.cache_info(), CacheInfo)
assert_type(bare.refresh(1), str)
assert_type(bare.bypass(1, scale=2), str)
assert_type(bare.is_cached(1), bool)
assert_type(bare.cache_key(1), str)
assert_type(bare.why(1), Explanation)
assert_type(bare.entries(), Iterator[Entry])
assert_type(bare.map([1, 2]), list[str])
assert_type(bare.cache_clear("tag"), int)
bare("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
bare(1, wrong=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
bare.is_cached("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
bare.forget()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@objcache.memoize(ignore=("log",), expire=60, tag="reports", hot=100)
def with_options(x: int, log: Any = None) -> list[int]:
    """Decorate with options."""
    return [x]


assert_type(with_options(1), list[int])
assert_type(with_options.map([1]), list[list[int]])
objcache.memoize(expiry=60)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
objcache.memoize(hot="10")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


@store.memoize
def on_store(x: bytes) -> bytes:
    """Decorate on a store."""
    return x


@store.namespace("part").memoize(version=2)
def on_namespace(x: bytes) -> bytes:
    """Decorate on a namespace, with options."""
    return x


assert_type(on_store(b""), bytes)
assert_type(on_namespace(b""), bytes)


@objcache.memoize
async def task(x: int) -> str:
    """Decorate a coroutine function."""
    return str(x)


@objcache.memoize(expire=60)
async def task_with_options(x: int) -> str:
    """Decorate a coroutine function with options."""
    return str(x)


async def use_tasks() -> None:
    """Await memoized functions."""
    assert_type(await task(1), str)
    assert_type(await task_with_options(1), str)
    assert_type(await task.map([1], concurrency=2), list[str])
    assert_type(await task.refresh(1), str)
    assert_type(task.put("1", 1), None)
    task.forget("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@objcache.memoize
def stream(n: int) -> Iterator[int]:
    """Decorate a generator function."""
    yield from range(n)


@objcache.memoize
async def async_stream(n: int) -> AsyncIterator[int]:
    """Decorate an asynchronous generator function."""
    for i in range(n):
        yield i


async def use_streams() -> None:
    """Iterate over the items of memoized functions."""
    assert_type(list(stream(3)), list[int])
    assert_type([item async for item in async_stream(3)], list[int])


class Model:
    """Memoized methods."""

    @store.memoize
    def run(self, x: int) -> str:
        """Decorate a method."""
        return str(x)

    @staticmethod
    @store.memoize(expire=5)
    def plain(x: int) -> str:
        """Decorate a static method."""
        return str(x)

    @store.memoize
    async def task(self, x: int) -> str:
        """Decorate a coroutine method."""
        return str(x)


model = Model()
assert_type(model.run(1), str)
assert_type(Model.run(model, 1), str)
assert_type(Model.plain(1), str)
assert_type(model.run.is_cached(model, 1), bool)
assert_type(model.run.cache_info(), CacheInfo)
model.run("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
awaited: Awaitable[str] = model.task(1)


def use(function: MemoizedFunction[[int], str]) -> None:
    """Take a memoized function as a value."""
    assert_type(function(1), str)


def later() -> Coroutine[Any, Any, str]:
    """Return a coroutine."""
    return task_with_options.__wrapped__(1)  # type: ignore[return-value]  # pyright: ignore[reportReturnType]
