"""Checked by mypy --strict, never run: what users may rely on."""

from __future__ import annotations

from typing import Any, assert_type

import objcache

store: objcache.Store[str, int] = objcache.Store("path")
assert_type(store["a"], int)
assert_type(store.get("a"), int | None)
assert_type(store.get("a", "none"), int | str)
assert_type(store.get_many(["a"]), dict[str, int])
assert_type(store.first(), tuple[str, int])
assert_type(store.update_with("a", lambda value: value + 1), int)
store["a"] = 1
store["a"] = "text"  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]
store[1] = 1  # type: ignore[index]  # pyright: ignore[reportArgumentType]

anything = objcache.Store("path")
assert_type(anything, objcache.Store[Any, Any])
anything["user", 7] = {"name": "ada"}

with store as same:
    assert_type(same, objcache.Store[str, int])
with store.transaction() as transaction:
    assert_type(transaction["a"], int)
with store.snapshot() as snapshot:
    assert_type(snapshot["a"], int)
