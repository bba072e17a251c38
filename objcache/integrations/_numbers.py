"""The numbers of stores, caches and memoized functions, for those who collect numbers.

Knows: `stats` and `cache_info`. Must not know: any library of metrics. Nothing is counted here: all
numbers are read when they are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from objcache.cache import Cache
from objcache.errors import ObjcacheError
from objcache.memo import MemoizedFunction
from objcache.store import Store

__all__ = ["NUMBERS", "Number", "Watched", "checked", "read"]

Watched = Store[Any, Any] | Cache[Any, Any] | MemoizedFunction[..., Any]
"""What has numbers."""


class Number(NamedTuple):
    """One number, as it is declared.

    Attributes:
        kind: of what: "store", "cache" or "function"; "" for all.
        field: of their statistics, or "up".
        unit: "bytes", "seconds" or "".
        grows: whether it only grows, until the store is cleared.
        help: what it counts.
    """

    kind: str
    field: str
    unit: str
    grows: bool
    help: str

    @property
    def words(self) -> tuple[str, ...]:
        """The parts of its name, without its unit."""
        name = self.field.removesuffix("_bytes").removesuffix("_s")
        return ("objcache", self.kind, name) if self.kind else ("objcache", name)


NUMBERS: Final = (
    Number("", "up", "", False, "Whether the store could be read just now."),
    Number("store", "entries", "", False, "Entries of the root mapping."),
    Number("store", "file_bytes", "bytes", False, "Size of the file, with free pages."),
    Number("store", "used_bytes", "bytes", False, "Size of the pages in use."),
    Number("store", "side_files", "", False, "Files beside the store, of large values."),
    Number("store", "side_file_bytes", "bytes", False, "Sizes of these files together."),
    Number("store", "last_transaction_id", "", True, "Commits of all processes."),
    Number("store", "durable_up_to", "", True, "The last commit that a power cut would leave."),
    Number("store", "oldest_reader_age", "", False, "Commits since the oldest open read began."),
    Number("cache", "hits", "", True, "Reads that found a live entry, of all processes."),
    Number("cache", "misses", "", True, "Reads that found none, of all processes."),
    Number("cache", "unreadable", "", True, "Reads that met an entry that cannot be read."),
    Number("cache", "stored", "", True, "Entries that were written."),
    Number("cache", "evicted", "", True, "Live entries that were removed to make room."),
    Number("cache", "expired", "", True, "Entries that were removed after their deadline."),
    Number("cache", "removed", "", True, "Entries that were removed by key, tag or another value."),
    Number("cache", "entries", "", False, "Entries, expired ones that are still there included."),
    Number("cache", "size_bytes", "bytes", False, "What the entries take on disk, about."),
    Number("cache", "file_bytes", "bytes", False, "Size of the file, with free pages."),
    Number("cache", "used_bytes", "bytes", False, "Size of the pages in use."),
    Number("cache", "saved_s", "seconds", True, "Computing saved by hits of memoized functions."),
    Number("function", "hits", "", True, "Calls answered without running the function."),
    Number("function", "misses", "", True, "Calls that ran the function."),
    Number("function", "entries", "", False, "Results that are stored, of all versions."),
    Number("function", "size_bytes", "bytes", False, "Sizes of these results together."),
    Number("function", "saved_s", "seconds", True, "Computing that hits have saved."),
)
"""All of them."""

_UP: Final = NUMBERS[0]


def checked(watched: Mapping[str, Watched]) -> dict[str, Watched]:
    """Return *watched* by name.

    Raises:
        TypeError: something of it has no numbers.
    """
    for name, thing in watched.items():
        if not _kind_of(thing):
            raise TypeError(
                f"{name}= is a Store, a Cache or a memoized function, not {type(thing).__name__}"
            )
    return dict(watched)


def read(watched: Mapping[str, Watched]) -> list[tuple[Number, str, float]]:
    """Return the numbers of all *watched*, each with the name it is of.

    What cannot be read, as a store that was closed, is not up, and has no others.

    Cost: one `stats` or `cache_info` for each; nothing in between.
    """
    found: list[tuple[Number, str, float]] = []
    for name, thing in watched.items():
        kind = _kind_of(thing)
        try:
            stats: Any = thing.cache_info() if kind == "function" else thing.stats()  # type: ignore[union-attr]
        except (ObjcacheError, OSError):
            found.append((_UP, name, 0.0))
            continue
        found.append((_UP, name, 1.0))
        found += [
            (number, name, float(getattr(stats, number.field)))
            for number in NUMBERS
            if number.kind == kind
        ]
    return found


def _kind_of(thing: object) -> str:
    if isinstance(thing, Store):
        return "store"
    if isinstance(thing, Cache):
        return "cache"
    return "function" if hasattr(thing, "__objcache_recall__") else ""
