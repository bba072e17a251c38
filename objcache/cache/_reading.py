"""Reading a cache: what is over is not there, and a read leaves a mark for the policy.

Knows: records with deadlines, marks, and which generation is current. Must not know: who writes,
and what is evicted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple, TypeVar, overload
from zlib import crc32

from objcache.cache._layout import SPREAD, slot_of
from objcache.cache._ranges import UNREADABLE
from objcache.cache._shared import Epoch, Hints
from objcache.cache._telling import tell_miss, tell_unreadable
from objcache.clock import MICROSECONDS, Clock
from objcache.engine import EngineFault, Session, SideFileMissingError
from objcache.header import Header
from objcache.keys import (
    ENGINE_KEY_LIMIT,
    ORDERED,
    engine_key,
    key_of,
)
from objcache.listeners import LISTENERS
from objcache.protocols import MISSING
from objcache.records import Records
from objcache.store import ObjectReader
from objcache.store.generations import current_generation, generation_prefix
from objcache.store.side import file_gone
from objcache.tallies import Tally

__all__ = ["CacheReader", "Found"]

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

_HITS: Final = 0
_MISSES: Final = 1
_UNREADABLE: Final = 2


class Found(NamedTuple):
    """A live entry as it was read."""

    value: Any
    header: Header
    located: bytes
    record_bytes: int


class CacheReader(ObjectReader[K, V]):
    """The live entries of one generation of a cache.

    Attributes:
        unreadable: how many reads of this process met an entry that could not be read.
    """

    __slots__ = (
        *("_clock", "_committed", "_epoch", "_flags_reads", "_hints", "_known_epoch"),
        *("_latest", "_names", "_number", "_read", "_session", "_tally"),
    )

    _clock: Clock
    _committed: int | None
    _epoch: Epoch
    _flags_reads: bool
    _hints: Hints
    _known_epoch: int
    _latest: memoryview
    _names: tuple[str, ...]
    _number: int
    _read: Callable[[Hints, int], None]
    _records: Records
    _session: Session
    _tally: Tally

    # -- which generation --------------------------------------------------------------------

    def _refresh(self) -> None:
        """Find out which generation is current, after the epoch has changed."""
        seen = self._epoch[1]  # before the look, or a change after it would go unseen
        number = self._source.read(lambda found: current_generation(found, self._names))
        self._adopt(number or 0)
        if not self._session.in_transaction:
            self._committed = number
        # One begun in an open transaction may be rolled back, and the first changes no epoch.
        sure = seen % 2 == 0 and number and number == self._committed
        self._known_epoch = seen if sure else -1

    def _adopt(self, number: int) -> None:
        prefix = generation_prefix(number)
        self._number = number
        self._prefix = prefix
        self._text = prefix + ORDERED + b"\x02"
        self._short = (ENGINE_KEY_LIMIT - 2 - len(self._text)) // 4

    # -- single entries ----------------------------------------------------------------------

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, /, default: V | D) -> V | D: ...
    @overload
    def get(
        self, key: K, /, default: V | D = ..., *, max_age: float | None = ...
    ) -> V | D | None: ...
    def get(self, key: K, /, default: Any = None, *, max_age: float | None = None) -> Any:
        """Return the live value of *key*, or *default*.

        Args:
            key: whose value.
            default: what is returned where there is no live value.
            max_age: an entry that was stored more than so many seconds ago counts as missing.

        Cost:
            One read transaction, one keyed hash, one decoding, a mark in memory; no lock, and
            nothing is written to the store. An entry that cannot be read is logged, and missing.
        """
        # Flat on purpose: bench/workloads/cache_get.py; oracle: `_look`. No view leaves the
        # engine (I6).
        if self._epoch[1] != self._known_epoch:
            self._refresh()
        text: Any = key
        if type(text) is str and max_age is None and len(text) <= self._short and "\0" not in text:
            try:
                located = self._text + text.encode() + b"\0"
                record = self._source.begin().get(located)
                if record is None:
                    self._tally[1] += 1
                    if LISTENERS:
                        tell_miss(self._source.directory, self._names, key)
                    return default
                value = self._records.decode_entry(key, located, b"", record, self._now_s)
            except (EngineFault, UnicodeEncodeError, SideFileMissingError, *UNREADABLE):
                value = self._look(key, None)
            if value is not MISSING:
                marks, mask, _ = self._hints
                if self._flags_reads:
                    marks[(crc32(located) * SPREAD >> 20) & mask] |= 1
                else:
                    self._mark(located)
                self._tally[0] += 1
                return value
        else:
            value = self._look(key, max_age)
        if value is MISSING:
            self._tally[1] += 1
            if LISTENERS:
                tell_miss(self._source.directory, self._names, key)
            return default
        self._tally[0] += 1
        return value

    def __getitem__(self, key: K) -> V:
        """Return the live value of *key*.

        Raises:
            KeyError: there is none.
        """
        value = self.get(key, default=MISSING)
        if value is MISSING:
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        """Return whether *key* has a live entry; its value is not decoded."""
        self._settle()
        located, full_key = engine_key(self._prefix, key)
        record = self._source.read(lambda transaction: transaction.get(located))
        if record is None:
            return False
        try:
            header = self._records.authenticate(key, located, record)
        except UNREADABLE as error:
            self._tell(key, error)
            return False
        return header.full_key == full_key and self._is_live(header)

    def get_many(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the live values of those *keys* that have one, all of one moment.

        Cost: one read transaction; all records are in memory at once.
        """
        self._settle()
        wanted = [(key, *engine_key(self._prefix, key)) for key in keys]
        found = self._source.read(
            lambda transaction: [transaction.get(located) for _, located, _ in wanted]
        )
        values: dict[K, V] = {}
        for (key, located, full_key), record in zip(wanted, found, strict=True):
            value: Any = MISSING
            if record is not None:
                value = self._decoded(key, located, full_key, record)
            if value is MISSING:
                self._tally[_MISSES] += 1
                if LISTENERS:
                    tell_miss(self._source.directory, self._names, key)
            else:
                self._mark(located)
                self._tally[_HITS] += 1
                values[key] = value
        return values

    def _find(self, key: Any) -> Any:
        return self._look(key, None)

    def _look(self, key: Any, max_age: float | None) -> Any:
        """Return the live value of *key*, or `MISSING`; mark it."""
        if max_age is not None:
            found = self._found(key)
            if found is None:
                return MISSING
            age = self._clock.now() - (found.header.created_us or 0) / MICROSECONDS
            if age > max_age:
                return MISSING
            self._mark(found.located)
            return found.value
        self._settle()
        located, full_key = engine_key(self._prefix, key)
        record = self._record_at(located)
        if record is None:
            return MISSING
        value = self._decoded(key, located, full_key, record)
        if value is not MISSING:
            self._mark(located)
        return value

    def _found(
        self, key: Any, load: Callable[[Any, Header, bytes], Any] | None = None
    ) -> Found | None:
        self._settle()
        located, full_key = engine_key(self._prefix, key)
        record = self._record_at(located)
        while record is not None:
            try:
                header = self._records.authenticate(key, located, record)
                if header.full_key != full_key or not self._is_live(header):
                    return None
                value = (load or self._records.load)(key, header, record)
                return Found(value, header, located, len(record))
            except SideFileMissingError as missing:
                record = self._again(key, located, record, missing)
            except UNREADABLE as error:
                self._tell(key, error)
                return None
        return None

    def _again(
        self, key: object, located: bytes, before: bytes, missing: SideFileMissingError
    ) -> bytes | None:
        """Return the record after one whose side file is gone: overwritten or evicted meanwhile."""
        record = self._record_at(located)
        if record == before:
            self._tell(key, file_gone(key, missing))
            return None
        return record

    def _settle(self) -> None:
        if self._epoch[1] != self._known_epoch:
            self._refresh()

    def _record_at(self, located: bytes) -> bytes | None:
        try:
            return self._source.begin().get(located)
        except EngineFault as fault:
            return self._source.get_again(located, fault)

    def _decoded(self, key: Any, located: bytes, full_key: bytes, record: bytes) -> Any:
        found: bytes | None = record
        while found is not None:
            try:
                return self._records.decode_entry(key, located, full_key, found, self._now_s)
            except SideFileMissingError as missing:
                found = self._again(key, located, found, missing)
            except UNREADABLE as error:
                self._tell(key, error)
                return MISSING
        return MISSING

    def _is_live(self, header: Header) -> bool:
        deadline_us = header.deadline_us
        return deadline_us is None or deadline_us > self._now_us()

    def _now_s(self) -> float:
        """Return the time; what was over stays over where the clock was set back."""
        now_s = self._clock.now()
        now_us = int(now_s * MICROSECONDS)
        latest = self._latest
        if now_us >= latest[0]:
            latest[0] = now_us
            return now_s
        return (latest[0] + 0.5) / MICROSECONDS  # on no side of a microsecond when multiplied

    def _now_us(self) -> int:
        return int(self._now_s() * MICROSECONDS)

    def _mark(self, located: bytes) -> None:
        self._read(self._hints, slot_of(located) & self._hints.mask)

    def _live_key(self, located: bytes, tag: str) -> Iterator[K]:
        """Yield the key of the record at *located* if it is live, and still has *tag*."""
        record = self._record_at(located) if located else None
        if record is None:
            return
        try:
            header = self._records.authenticate(located, located, record)
        except UNREADABLE as error:
            self._tell(located, error)
            return
        if self._is_live(header) and tag in header.tags:
            yield key_of(len(self._prefix), located, header.full_key)

    def _tell(self, key: object, error: Exception) -> None:
        self._tally[_UNREADABLE] += 1
        logging.getLogger("objcache").warning(
            "the entry %r of the cache at %r cannot be read, and counts as missing: %s",
            key,
            self._source.directory,
            error,
        )
        if LISTENERS:
            tell_unreadable(self._source.directory, self._names, key, error)
