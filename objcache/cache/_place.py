"""A cache as a place for the results of memoized functions.

Knows: what `objcache.memo` asks of a place. Must not know: functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from objcache.cache._tracking import BoundedRecords, Tracker
from objcache.cache._writing import tags_of
from objcache.clock import Clock
from objcache.keys import namespace_prefix
from objcache.store import Namespace
from objcache.store.generations import BESIDE, LASTING, beside

if TYPE_CHECKING:
    from objcache.cache._cache import Cache

__all__ = ["CachePlace"]

# As much as `memoize(expire=)` takes: three thousand years, which is never.
_NEVER_S: Final = 1e11


class CachePlace:
    """Mappings beside one generation of a cache, whose records the cache bounds.

    Attributes:
        number: of the generation. When it is over, `present` is another place.
        tracker: makes records of the mappings entries of the cache.
    """

    __slots__ = ("_cache", "_latest", "number", "tracker")

    def __init__(self, cache: Cache[Any, Any]) -> None:
        self._cache = cache
        cache._settle()  # noqa: SLF001  # the other half of one class
        self.number = cache._number  # noqa: SLF001
        self.tracker = Tracker(cache)
        self._latest: CachePlace | None = None

    def present(self) -> CachePlace:
        """Return this place, or the one that has followed it: the same until `over` is true."""
        if not self.over():
            return self
        latest = self._latest
        if latest is None or latest.over():
            latest = self._latest = CachePlace(self._cache)
        return latest

    def over(self) -> bool:
        """Whether another generation has begun. Within a transaction that is the last word."""
        cache = self._cache
        cache._settle()  # noqa: SLF001
        return cache._number != self.number  # noqa: SLF001

    def options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the *options* of a memoized function, with what the cache says of them.

        Raises:
            ValueError, TypeError: a tag that entries of a cache cannot have.
        """
        found = dict(options)
        tags_of(found.get("tag"))
        expire_s = self._cache._expire_s  # noqa: SLF001
        if expire_s is not None and expire_s < _NEVER_S:
            found.setdefault("expire", expire_s)
        return found

    # -- mappings ----------------------------------------------------------------------------

    def namespace(self, name: str) -> Namespace[Any, Any]:
        """Return the mapping *name* beside the cache, which is empty when the cache is cleared."""
        return self._below(*beside(self.number), name)

    @property
    def lasting(self) -> Namespace[Any, Any]:
        """What is kept beside all caches of the file when they are cleared."""
        return self._below(*LASTING)

    @property
    def names(self) -> tuple[str, ...]:
        """What tells the cache from others of the file, whatever generation it is in."""
        return BESIDE, *self._cache._names  # noqa: SLF001

    def dated(
        self, mapping: Namespace[Any, Any], stem: bytes, *, views: bool = False
    ) -> BoundedRecords:
        """Return the dated records of a *mapping* beside the cache; see `DatedRecords`."""
        return BoundedRecords(self._cache, self.number, mapping, stem, views=views)

    def _below(self, *names: str) -> Namespace[Any, Any]:
        cache = self._cache
        # With the records of the cache: what it bounds lies in its file, all of it.
        prefix = namespace_prefix(names)
        return Namespace(cache._session, cache._records, prefix, names)  # noqa: SLF001

    # -- as a store --------------------------------------------------------------------------

    @property
    def directory(self) -> str:
        """The directory of the cache."""
        return self._cache.directory

    @property
    def file_mode(self) -> int:
        """The mode of new files of the cache."""
        return self._cache._store.file_mode  # noqa: SLF001

    @property
    def readonly(self) -> bool:
        """Whether writes are refused."""
        return self._cache._store.readonly  # noqa: SLF001

    @property
    def clock(self) -> Clock:
        """Where the cache's times come from."""
        return self._cache._clock  # noqa: SLF001

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is inside a transaction of the cache's file."""
        return self._cache._session.in_transaction  # noqa: SLF001

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Make what this thread does to the file in the block one transaction of it."""
        with self._cache.transaction():
            yield
