"""Checked by mypy --strict, never run: what users may rely on."""

from __future__ import annotations

from typing import Any, assert_type

import objcache
from objcache.memo import CacheInfo, MemoizedFunction

store: objcache.Store[str, int] = objcache.Store("path")
assert_type(store["a"], int)
assert_type(store.get("a"), int | None)
assert_type(store.get("a", "none"), int | str)
assert_type(store.get_many(["a"]), dict[str, int])
assert_type(store.first(), tuple[str, int])
assert_type(store.update_with("a", lambda value: value + 1), int)
store["a"] = 1
store["a"] = "text"  # type: ignore[assignment]
store[1] = 1  # type: ignore[index]

anything = objcache.Store("path")
assert_type(anything, objcache.Store[Any, Any])
anything["user", 7] = {"name": "ada"}

with store as same:
    assert_type(same, objcache.Store[str, int])
with store.transaction() as transaction:
    assert_type(transaction["a"], int)
with store.snapshot() as snapshot:
    assert_type(snapshot["a"], int)


@objcache.memoize
def bare(x: int, *, scale: float = 1.0) -> str:
    """Decorate without arguments."""
    return str(x * scale)


assert_type(bare(1, scale=2.0), str)
assert_type(bare.cache_info(), CacheInfo)
bare("text")  # type: ignore[arg-type]
bare(1, wrong=2)  # type: ignore[call-arg]


@objcache.memoize(ignore=("log",))
def with_arguments(x: int, log: Any = None) -> list[int]:
    """Decorate with arguments."""
    return [x]


assert_type(with_arguments(1), list[int])


@store.memoize
def on_store(x: bytes) -> bytes:
    """Decorate on a store."""
    return x


assert_type(on_store(b""), bytes)


def use(function: MemoizedFunction[[int], str]) -> None:
    """Take a memoized function as a value."""
    assert_type(function(1), str)
