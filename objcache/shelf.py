"""A drop-in for the standard library's `shelve`.

Knows: the interface of `shelve.Shelf`. Must not know: how a store works.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from typing import Any, Literal, Self

from objcache.errors import StoreClosedError
from objcache.store import Store

__all__ = ["Shelf", "open"]


class Shelf(MutableMapping[Any, Any]):
    """A store behind the interface of `shelve.Shelf`; made by `objcache.open`.

    With *writeback*, every value that was read or written is kept in memory, so that changes
    to mutable values are seen, and written on `sync` and `close`: as in `shelve`, that takes
    memory and makes closing slow.
    """

    def __init__(self, store: Store[Any, Any], *, writeback: bool = False) -> None:
        self.store = store
        self.writeback = writeback
        self.cache: dict[Any, Any] = {}

    def __getitem__(self, key: Any) -> Any:
        if self.writeback and key in self.cache:
            return self.cache[key]
        value = self.store[key]
        if self.writeback:
            self.cache[key] = value
        return value

    def __setitem__(self, key: Any, value: Any) -> None:
        self.store[key] = value
        if self.writeback:
            self.cache[key] = value

    def __delitem__(self, key: Any) -> None:
        del self.store[key]
        self.cache.pop(key, None)

    def __contains__(self, key: object) -> bool:
        return key in self.store

    def __len__(self) -> int:
        return len(self.store)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.store)

    def sync(self) -> None:
        """Write what was changed in memory under *writeback*, and flush to the disk."""
        if self.store.closed:
            raise StoreClosedError(self.store.path)
        if self.cache:
            self.store.set_many(self.cache)
            self.cache = {}
        if not self.store.readonly:
            self.store.sync()

    def close(self) -> None:
        """Write what was changed in memory, and close. Idempotent."""
        if self.store.closed:
            return
        try:
            if self.cache and not self.store.readonly:
                self.sync()
        finally:
            self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<objcache.Shelf of {self.store!r}>"


def open(  # noqa: A001  # the name that shelve has
    path: str | os.PathLike[str],
    flag: Literal["r", "w", "c", "n"] = "c",
    protocol: int | None = None,
    writeback: bool = False,  # noqa: FBT001, FBT002  # the signature of shelve.open
    **options: Any,
) -> Shelf:
    """Open a persistent dictionary, like `shelve.open`.

    Args:
        path: a directory.
        flag: `"r"` for reading, `"w"` for an existing one, `"c"` to make it if missing,
            `"n"` for a new, empty one.
        protocol: the pickle protocol to write.
        writeback: keep values in memory, and write them on `sync` and `close`.
        options: further arguments of `Store`.

    Raises:
        ValueError: an unknown flag.
        StoreNotFoundError: `"r"` or `"w"`, and there is no store.

    >>> with objcache.open(path) as shelf:
    ...     shelf["names"] = ["ada", "alan"]
    ...     sorted(shelf)
    ['names']
    """
    if flag not in {"r", "w", "c", "n"}:
        raise ValueError(f"flag {flag!r} is not one of 'r', 'w', 'c', 'n'")
    store = Store(
        path, protocol=protocol, readonly=flag == "r", create=flag in {"c", "n"}, **options
    )
    if flag == "n":
        store.clear()
    return Shelf(store, writeback=writeback)
