"""Records of other mappings that a cache bounds: results of memoized functions.

Knows: how they become entries of a cache's queue. Must not know: what they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zlib import crc32

from objcache.cache._layout import SPREAD, Owned
from objcache.cache._ledger import Ledger
from objcache.cache._rules import size_on_disk
from objcache.engine import EngineFault, Pulse, SideFileMissingError
from objcache.header import MOMENT
from objcache.listeners import tell_all
from objcache.store.dated import DatedRecords, Found

if TYPE_CHECKING:
    from objcache.cache._cache import Cache

__all__ = ["BoundedRecords", "Tracked", "Tracker"]

_TIE_BYTES: Final = 8


class Tracked(NamedTuple):
    """Records that are one entry of a cache, though they lie beside it.

    Attributes:
        owned: prefix length and engine key of each; the first is the one that is read.
        size_bytes: what all of them take on disk: the sum of `Tracker.size_of`.
        deadline_us: when they are over, microseconds since the epoch; None for never.
        tags: the tags of the entry.
        cost_us: what they took to compute.
    """

    owned: tuple[Owned, ...]
    size_bytes: int
    deadline_us: int | None = None
    tags: tuple[str, ...] = ()
    cost_us: int | None = None


class Tracker:
    """What makes records beside a cache entries of it: they expire, are evicted, have tags.

    Concurrency: as the cache; within a transaction of the cache's file the steps are part of it.
    """

    __slots__ = ("_cache",)

    def __init__(self, cache: Cache[Any, Any]) -> None:
        self._cache = cache

    def position(self) -> bytes:
        """Return a new position: behind all others, to be given to `track`."""
        cache = self._cache  # the other half of one class
        moment_us = cache._moment_us(cache._mend_time())  # noqa: SLF001
        return MOMENT.pack(moment_us) + os.urandom(_TIE_BYTES)

    @staticmethod
    def size_of(located: bytes, record: bytes | bytearray) -> int:
        """Return about how many bytes of the file *record* takes at *located*."""
        return size_on_disk(located, record)

    def refuse_too_large(self, size_bytes: int) -> None:
        """Raise if no entry may be so large, as evicting all others would not make room for it.

        Raises:
            StoreFullError: naming the bound.
        """
        self._cache._check_size(size_bytes)  # noqa: SLF001

    def track(self, position: bytes, tracked: Tracked) -> None:
        """Take records for the entry at *position*, and make room for it.

        Raises:
            StoreFullError: it is too large, or the cache must not evict.
        """
        cache = self._cache
        size_bytes = tracked.size_bytes
        cache._check_size(size_bytes)  # noqa: SLF001

        def store(ledger: Ledger) -> None:
            ledger.track(position, tracked, size_bytes)
            ledger.make_room(size_bytes)

        cache._retried(lambda rules: cache._change(rules, store, size_bytes))  # noqa: SLF001

    def untrack(self, positions: Iterable[bytes]) -> None:
        """Forget the entries at *positions*, whose records the caller removes."""
        cache = self._cache

        def forget(ledger: Ledger) -> None:
            for position in positions:
                ledger.untrack(position)

        cache._retried(  # noqa: SLF001
            lambda rules: cache._change(rules, forget, 0, expires=False)  # noqa: SLF001
        )

    def free(self, wanted_bytes: int) -> bool:
        """Make room in a file that is full; return whether a write may work now.

        For whoever met a `StoreFullError` in a transaction, which cannot be run again by itself.
        """
        cache = self._cache
        limits = cache._rules.limits  # noqa: SLF001
        if limits.file_bytes is None or not limits.evicts or cache._session.in_transaction:  # noqa: SLF001
            return False
        noted: list[object] = []
        try:
            return cache._free(wanted_bytes, noted)  # noqa: SLF001
        finally:
            tell_all(noted)


class BoundedRecords(DatedRecords):
    """Dated records beside a cache: there are none once the cache was cleared.

    Reading one leaves a mark for the policy.

    Args:
        cache: that they are beside of.
        number: of the generation of it that they end with.
        mapping: as for `DatedRecords`.
        stem: as for `DatedRecords`.
        views: as for `DatedRecords`.
    """

    __slots__ = ("_cache", "_epoch", "_known_epoch", "_marks", "_mask", "_number")

    def __init__(
        self,
        cache: Cache[Any, Any],
        number: int,
        mapping: Any,
        stem: bytes,
        *,
        views: bool = False,
    ) -> None:
        super().__init__(mapping, stem, views=views)
        self._cache = cache
        self._number = number
        self._epoch = cache._epoch  # noqa: SLF001  # the other half of one class
        self._known_epoch = -1  # at which the generation was still this one
        self._marks, self._mask, _ = cache._hints  # noqa: SLF001
        if not cache._flags_reads:  # noqa: SLF001
            self._mask = -1

    def get(self, key: bytes) -> Found | None:
        """Return the value of *key* with its cost and deadline, and mark it; None if there is none.

        Raises:
            SignatureError, CorruptRecordError, UnsupportedFormatError, DecodeError, StoreError:
                there is a record and it cannot be read.

        Cost: as of `DatedRecords.get`, and two looks at shared memory.
        """
        # Flat on purpose, as the method that it replaces: bench/workloads/memo_hit.py.
        if self._epoch[1] != self._known_epoch and self._is_over():
            return None
        located = self._head + key.replace(b"\0", b"\0\xff") + b"\0"
        try:
            record = self._source.begin().get(located)
        except EngineFault as fault:
            record = self._source.get_again(located, fault)
        if record is None:
            return None
        try:
            found = self._records.decode_dated(key, located, record)
        except SideFileMissingError:
            return self._get_again(key, located, record)
        mask = self._mask
        if mask < 0:
            self._cache._mark(located)  # noqa: SLF001
        else:
            self._marks[(crc32(located) * SPREAD >> 20) & mask] |= 1
        return found

    def stamped(self, key: bytes, pulse: Pulse) -> tuple[bytes | None, int]:
        """Return the record of *key*, and mark it; see `DatedRecords.stamped`."""
        record, stamp = super().stamped(key, pulse)
        # After the pulse was taken: a generation that begins later has a commit of its own, and
        # so another pulse.
        if record is None or self._is_over():
            return None, -1
        self._cache._mark(self.locate(key))  # noqa: SLF001
        return record, stamp

    def get_many(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return the records of those *keys* that have one, and mark them."""
        if self._is_over():
            return {}
        found = super().get_many(keys)
        for key in found:
            self._cache._mark(self.locate(key))  # noqa: SLF001
        return found

    def _is_over(self) -> bool:
        cache = self._cache
        cache._settle()  # noqa: SLF001
        if cache._number != self._number:  # noqa: SLF001
            return True
        self._known_epoch = cache._known_epoch  # noqa: SLF001
        return False
