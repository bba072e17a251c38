"""Which entries of a cache have a tag, which tags there are, and whether an entry is over.

Knows: the indexes of tags and deadlines. Must not know: who changes it.
"""

from __future__ import annotations

from collections.abc import Iterator, KeysView
from typing import TYPE_CHECKING, Any, Final, TypeVar

from objcache.cache._layout import POSITION_BYTES, tag_prefix, unpack_row
from objcache.engine import Transaction
from objcache.header import MOMENT
from objcache.keys import decode_key
from objcache.store.generations import DEADLINES, QUEUE, TAGS, generation_prefix

if TYPE_CHECKING:
    from objcache.cache._reading import CacheReader

__all__ = ["TaggedKeys", "is_due", "tags_in"]

K = TypeVar("K")

_BATCH: Final = 256


def tags_in(transaction: Transaction, prefix: bytes) -> list[str]:
    """Return the tags that the index below *prefix* names, sorted. Cost: O(tags)."""
    first = prefix + TAGS
    cursor = transaction.cursor()
    found = []
    position = first
    while cursor.set_range(position):
        key = cursor.key()
        if not key.startswith(first):
            break
        encoded = key[len(first) : -POSITION_BYTES]
        tag = decode_key(encoded)
        assert isinstance(tag, str)
        found.append(tag)
        # Behind the positions of this tag, before a tag that goes on with NUL.
        position = first + encoded + b"\xff"
    return sorted(found)


def is_due(transaction: Transaction, prefix: bytes, now_us: int) -> bool:
    """Return whether an entry below *prefix* is over at *now_us*."""
    first = prefix + DEADLINES
    cursor = transaction.cursor()
    if not cursor.set_range(first) or not cursor.key().startswith(first):
        return False
    return bool(MOMENT.unpack_from(cursor.key(), len(first))[0] <= now_us)


class TaggedKeys(KeysView[K]):
    """The keys of the live entries with one tag, oldest first."""

    __slots__ = ("_tag",)

    _mapping: Any  # a cache: the other half of one class

    def __init__(self, cache: CacheReader[K, Any], tag: str) -> None:
        super().__init__(cache)
        self._tag = tag

    def __iter__(self) -> Iterator[K]:
        cache = self._mapping
        cache._settle()  # noqa: SLF001
        prefix = generation_prefix(cache._number)  # noqa: SLF001
        after = b""
        while True:
            batch = cache._source.read(  # noqa: SLF001
                lambda transaction, after=after: _batch(transaction, prefix, self._tag, after)
            )
            for position, located in batch:
                yield from cache._live_key(located, self._tag)  # noqa: SLF001
                after = position
            if len(batch) < _BATCH:
                return

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, key: object) -> bool:
        entry = self._mapping.entry(key)
        return entry is not None and self._tag in entry.tags


def _batch(
    transaction: Transaction, prefix: bytes, tag: str, after: bytes
) -> list[tuple[bytes, bytes]]:
    """Return position and engine key of some entries with *tag*, behind the position *after*."""
    first = tag_prefix(prefix, tag)
    cursor = transaction.cursor()
    found: list[tuple[bytes, bytes]] = []
    if not cursor.set_range(first + after + (b"\0" if after else b"")):
        return found
    for key in cursor.iternext(values=False):
        if not key.startswith(first) or len(key) != len(first) + POSITION_BYTES:
            break
        position = key[-POSITION_BYTES:]
        packed = transaction.get(prefix + QUEUE + position)
        located = b"" if packed is None else unpack_row(position, packed).located
        found.append((position, prefix + located if located else b""))
        if len(found) == _BATCH:
            break
    return found
