"""Whether the rows of caches belong to a cache, and are as many as they are said to be.

Knows: generations and their numbers. Must not know: what the indexes of a cache say of its
records: `Cache.check` does.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator

from objcache.errors import ObjcacheError
from objcache.keys import CACHE_REGISTRY, CACHES, CACHES_OVER, decode_key
from objcache.store.generations import (
    BESIDE,
    NUMBER,
    PREFIX_BYTES,
    ROWS,
    STATE,
    generation_prefix,
    is_row_of_caches,
    record_prefix,
)

__all__ = ["CacheRows"]


class CacheRows:
    """The rows of all caches of a file, in the order of their engine keys.

    Attributes:
        found: how many rows there are of each generation, by its prefix.
    """

    def __init__(self) -> None:
        self.found: Counter[bytes] = Counter()
        self._said: dict[bytes, int] = {}
        self._over: set[bytes] = set()
        self._names: dict[bytes, tuple[object, ...]] = {}
        self._damaged: list[bytes] = []

    def take(self, located: bytes, record: bytes) -> bool:
        """Note a row; return whether it is one of caches, and no record that is to be checked."""
        section = located[:1]
        if section == CACHES and (record_prefix(located) or is_row_of_caches(located)):
            return self._take_row(located, record)
        if section == CACHE_REGISTRY:
            self._take_cache(located, record)
        elif section == CACHES_OVER:
            self._take_over(located, record)
        else:
            return False
        return True

    def names(self, prefix: bytes) -> tuple[object, ...]:
        """Return the names of the cache whose generation has *prefix*."""
        return self._names.get(prefix, (prefix,))

    def problems(self) -> Iterator[tuple[object, str, str]]:
        """Yield key, kind and message of what is wrong, after all was taken."""
        for located in self._damaged:
            yield located, "cache", "a row about caches is damaged"
        for prefix in sorted({*self.found, *self._said}):
            if prefix not in self._names and prefix not in self._over:
                yield prefix, "stray", f"rows of no cache: {self.found[prefix]}"
            elif self._said.get(prefix, 0) != self.found[prefix]:
                said = f"the cache says it has {self._said.get(prefix, 0)} rows"
                yield self.names(prefix), "count", f"{said}, there are {self.found[prefix]}"

    def _take_row(self, located: bytes, record: bytes) -> bool:
        prefix = located[:PREFIX_BYTES]
        self.found[prefix] += 1
        if located[PREFIX_BYTES:] == STATE and prefix not in self._over:
            try:
                (self._said[prefix],) = ROWS.unpack_from(record, 1)
            except struct.error:
                self._damaged.append(located)
        return record_prefix(located) is None or prefix not in self._names

    def _take_cache(self, located: bytes, record: bytes) -> None:
        if located == CACHE_REGISTRY:
            return
        try:
            (number,) = NUMBER.unpack(record)
            names = decode_key(located[1:])
            assert isinstance(names, tuple)
        except (struct.error, ObjcacheError, AssertionError):
            self._damaged.append(located)
        else:
            self._names[generation_prefix(number)] = (BESIDE, *names)

    def _take_over(self, located: bytes, record: bytes) -> None:
        try:
            prefix = generation_prefix(*NUMBER.unpack(located[1:]))
            (self._said[prefix],) = ROWS.unpack(record)
            self._over.add(prefix)
        except struct.error:
            self._damaged.append(located)
