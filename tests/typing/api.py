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

with objcache.Store[str, bytes]("path").open_blob("a") as reader:
    assert_type(reader, objcache.BlobReader)
    assert_type(reader.read(), bytes)
    assert_type(reader.size, int)
with store.open_blob("a", "wb") as writer:
    assert_type(writer, objcache.BlobWriter)
    assert_type(writer.write(b"x"), int)
assert_type(store.open_blob("a", "rb", verify=True), objcache.BlobReader)
assert_type(store.entry("a"), objcache.StoreEntry | None)
store.put_file("a", "file")
store.open_blob("a", "r")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]

with store as same:
    assert_type(same, objcache.Store[str, int])
with store.transaction() as transaction:
    assert_type(transaction["a"], int)
with store.snapshot() as snapshot:
    assert_type(snapshot["a"], int)
    assert_type(snapshot.open_blob("a"), objcache.BlobReader)
