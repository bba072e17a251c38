"""What one change of a cache is: one transaction, run again where room or a generation is lacking.

Knows: generations, bounds, the time that all processes agree on. Must not know: what is changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from objcache.cache._ledger import Ledger
from objcache.cache._limits import checked_seconds
from objcache.cache._room import CacheRoom, OverError
from objcache.cache._rows import Incoming, entry_of
from objcache.cache._rules import Rules
from objcache.cache._telling import tell_stored
from objcache.clock import MICROSECONDS
from objcache.engine import Transaction
from objcache.errors import StoreFullError
from objcache.keys import engine_key
from objcache.listeners import LISTENERS, tell_all
from objcache.protocols import MISSING, Missing
from objcache.store.generations import (
    begin_generation,
    current_generation,
    generation_prefix,
    registry_row,
)
from objcache.store.side import side_file_of

__all__ = ["CacheSteps"]

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

_LOOKS_MASK: Final = 7
_BATCH: Final = 1000
# What a change writes beside a record: pages of the queue, and of what is evicted.
_INDEX_BYTES: Final = 1 << 14
_LAST_US: Final = (1 << 63) - 1
# Clocks are set back by less all the time; for so long time stands still.
_STANDSTILL_US: Final = 1_000_000


class CacheSteps(CacheRoom[K, V]):
    """A cache as what writes to it sees it: steps that are done wholly, once, or not at all."""

    __slots__ = ("_expire_s", "_last_us")

    _expire_s: float | None
    _last_us: int

    # -- which generation --------------------------------------------------------------------

    def _adopt(self, number: int) -> None:
        super()._adopt(number)
        self._rules = self._rules._replace(
            number=number,
            prefix=generation_prefix(number),
            registered=registry_row(self._names, number),
        )

    def _refresh(self) -> None:
        super()._refresh()
        if not self._number and not self._session.readonly:
            self._begin()

    def _begin(self) -> None:
        """Begin the first generation, unless another process has meanwhile."""

        def begin(transaction: Transaction) -> int:
            number = current_generation(transaction, self._names)
            return number or begin_generation(transaction, self._names)

        # In a transaction that may be rolled back each read looks anew: `_known_epoch` stays.
        self._adopt(self._session.write(begin))

    # -- one step ----------------------------------------------------------------------------

    def _retried(self, write: Callable[[Rules], T]) -> T:
        """Return what *write* did; again, if another generation began under it."""
        self._mend_time()
        while True:
            self._settle()
            try:
                return write(self._rules)
            except OverError:
                self._known_epoch = -1

    def _atomic(self, step: Callable[[], T]) -> T:
        """Return what *step*, of several reads and writes, did in one transaction.

        Run again where the file was full: *step* may be called several times.

        Raises:
            StoreFullError: there is no room even after evictions, or this thread is in a
                transaction that only its owner can run again.
        """

        def run() -> T:
            with self._session.transaction():
                self._refresh()
                self._mend_time()
                return step()

        return run() if self._session.in_transaction else self._with_room(run)

    def _change(
        self, rules: Rules, step: Callable[[Ledger], T], wanted_bytes: int, *, expires: bool = True
    ) -> T:
        """Return what *step* did with the rows of the cache, in one transaction.

        Raises:
            OverError: the generation that the caller means is over.
            StoreFullError: there is no room even after evictions.
        """
        noted: list[object] | None = [] if LISTENERS else None

        # May be run by another thread, and again if the transaction of several has failed.
        def write(transaction: Transaction) -> T:
            ledger = self._ledger(transaction, rules, noted)
            state = ledger.state
            if expires and state.deadlines:
                ledger.expire()
            # Rows of generations that are over: at each eighth write, until there are none.
            if rules.kept.over_left or not state.stored & _LOOKS_MASK:
                ledger.drop_over()
            result = step(ledger)
            ledger.finish()
            return result

        session = self._session
        if session.in_transaction:
            # What is refused half way must not stay in a block that goes on.
            with session.transaction():
                result = session.write(write)
        else:
            taken_bytes = wanted_bytes + _INDEX_BYTES
            try:
                result = session.write(write, brief=True, wanted_bytes=taken_bytes)
            except StoreFullError as error:
                result = self._having_room(
                    lambda: session.write(write, brief=True, wanted_bytes=taken_bytes),
                    wanted_bytes,
                    error,
                )
        if noted:
            tell_all(noted)
        return result

    def _admit(self, key: K, value: V, deadline_us: int | None, tags: tuple[str, ...]) -> None:
        # Flat on purpose, as `_retried`: bench/workloads/cache_set.py.
        created_us = self._moment_us(self._mend_time())
        while True:
            if self._epoch[1] != self._known_epoch:
                self._refresh()
            rules = self._rules
            entry = self._incoming(rules, key, value, deadline_us, tags, created_us)
            try:
                self._change(rules, lambda ledger: ledger.admit(entry), entry.size_bytes)  # noqa: B023  # run at once
            except OverError:
                self._session.environment.side.discard(side_file_of(entry.record))
                self._known_epoch = -1
            except BaseException:
                self._session.environment.side.discard(side_file_of(entry.record))
                raise
            else:
                if LISTENERS:
                    tell_stored(rules.path, rules.names, key, entry)
                return

    def _incoming(
        self,
        rules: Rules,
        key: K,
        value: V,
        deadline_us: int | None,
        tags: tuple[str, ...],
        created_us: int,
    ) -> Incoming:
        """Return the entry of *key*, encoded.

        Raises:
            EncodeError, KeyEncodingError: it cannot be.
            StoreFullError: it is too large for the cache.
        """
        located, full_key = engine_key(rules.prefix, key)
        record = self._records.encode(located, full_key, value, deadline_us, tags, None, created_us)
        entry = entry_of(located, record, created_us, deadline_us, tags)
        if entry.size_bytes > rules.largest_bytes:
            self._session.environment.side.discard(side_file_of(record))
            self._check_size(entry.size_bytes)
        return entry

    def _in_batches(self, step: Callable[[Ledger, int], int]) -> int:
        """Do *step*, up to so many at a time, which returns how many, until there are no more."""
        done = 0
        while True:
            count = self._retried(
                lambda rules: self._change(
                    rules, lambda ledger: step(ledger, _BATCH), 0, expires=False
                )
            )
            done += count
            if count < _BATCH:
                return done

    # -- time --------------------------------------------------------------------------------

    def _mend_time(self) -> int:
        """Remove what was over before the clock was set back; return the time, microseconds.

        Else an entry that was over would be back, or time would stand still for long.
        """
        latest = self._latest
        now_us = int(self._clock.now() * MICROSECONDS)
        if latest[0] - now_us <= _STANDSTILL_US or self._session.readonly:
            return now_us
        count = _BATCH
        while count >= _BATCH:
            self._settle()
            try:
                count = self._change(
                    self._rules, lambda ledger: ledger.expire(_BATCH), 0, expires=False
                )
            except OverError:
                self._known_epoch = -1
        latest[0] = max(now_us, 0)
        return now_us

    def _moment_us(self, now_us: int) -> int:
        """Return when an entry is stored: now, and behind all that this object has stored."""
        self._last_us = moment = max(now_us, self._last_us + 1)
        return moment

    def _deadline_us(self, expire: float | Missing | None) -> int | None:
        """Return when an entry is over that is stored now.

        Raises:
            ValueError: *expire* is no number of seconds.
        """
        seconds = self._expire_s if expire is MISSING else checked_seconds(expire)
        if seconds is None:
            return None
        now_us = int(self._clock.now() * MICROSECONDS)
        if now_us < self._latest[0] <= now_us + _STANDSTILL_US:
            now_us = self._latest[0]
        if seconds >= (_LAST_US - now_us) / MICROSECONDS:
            return _LAST_US
        return max(now_us + int(seconds * MICROSECONDS), 0)
