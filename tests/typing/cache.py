"""Checked by mypy --strict, never run: what users of a cache may rely on."""

from __future__ import annotations

from typing import Any, assert_type

from objcache import BlobReader, BlobWriter
from objcache.cache import Cache, CacheEntry, CacheReport, CacheStats

cache: Cache[str, int] = Cache("path", size_limit="1 GiB", expire=60)
assert_type(cache["a"], int)
assert_type(cache.get("a"), int | None)
assert_type(cache.get("a", "none"), int | str)
assert_type(cache.get("a", max_age=5), int | None)
assert_type(cache.entry("a"), CacheEntry | None)
assert_type(cache.get_many(["a"]), dict[str, int])
assert_type(cache.add("a", 1, expire=None, tag=("x", "y")), bool)
assert_type(cache.touch("a", 5.0), bool)
assert_type(cache.incr("a"), int)
assert_type(cache.update_with("a", lambda value: value + 1), int)
assert_type(cache.evict("x"), int)
assert_type(cache.tags(), list[str])
assert_type(cache.stats(), CacheStats)
assert_type(cache.check(), CacheReport)
assert_type(cache.namespace("n", max_entries=5), Cache[Any, Any])
assert_type(cache.open_blob("a"), BlobReader)
assert_type(cache.open_blob("a", "wb", expire=5, tag="x"), BlobWriter)
cache.put_file("a", "file", expire=None, tag=("x", "y"))
cache.push(1, queue="q", side="front")
cache["a"] = 1
cache["a"] = "text"  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]
cache.set(1, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
cache.push(1, side="left")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

anything = Cache("path")
assert_type(anything, Cache[Any, Any])

with cache as same:
    assert_type(same, Cache[str, int])
with cache.transaction() as within:
    assert_type(within["a"], int)
