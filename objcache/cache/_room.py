"""Making room in a file that was found full: evictions, and checkpoints that let their pages go.

Knows: who makes room, one process at a time, and when pages can be used again. Must not know: what
is written.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

from objcache.cache._ledger import Ledger
from objcache.cache._ordered import CacheView
from objcache.cache._rules import Rules
from objcache.engine import Session, Transaction
from objcache.engine.stats import stats_of
from objcache.errors import StoreBusyError, StoreFullError
from objcache.listeners import LISTENERS, tell_all, tell_full

__all__ = ["CacheRoom", "OverError"]

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

_ATTEMPTS: Final = 16
_GENTLE: Final = 8
_MANY: Final = 1000
_FEW: Final = 8
_LEAST_BYTES: Final = 1 << 14
# Two checkpoints of the default interval, in which every process lets its pages go.
_TURN_S: Final = 0.02
_TURNS: Final = 125
_LOCK: Final = "room.lock"


class OverError(Exception):
    """Another generation of the cache began between the encoding of a record and its write."""


class CacheRoom(CacheView[K, V]):
    """A cache that makes room where LMDB finds no pages for a write any more."""

    __slots__ = ("_rules", "_session")

    _rules: Rules
    _session: Session

    def _ledger(self, transaction: Transaction, rules: Rules, noted: list[object] | None) -> Ledger:
        """Return the rows; what is to be told is *noted*, anew as it may have been before."""
        key, value = rules.registered
        if transaction.get(key) != value:
            raise OverError
        ledger = Ledger(transaction, rules, self._now_us)
        if noted is not None:
            noted.clear()
            ledger.noted = noted
        return ledger

    def _with_room(self, write: Callable[[], T]) -> T:
        """Return what *write* did; where the file is full, make room and run it again."""
        try:
            return write()
        except StoreFullError as error:
            return self._having_room(write, 0, error)

    def _having_room(self, write: Callable[[], T], wanted_bytes: int, full: StoreFullError) -> T:
        """Make room in a file that was found *full*, and return what *write* did then."""
        noted: list[object] = []
        try:
            return self._made_room(write, wanted_bytes, full, noted)
        except StoreFullError as error:
            if LISTENERS and error.bound != StoreFullError.LARGEST_ENTRY:  # which is told already
                tell_full(self._session.directory, error)
            raise
        finally:
            tell_all(noted)

    def _made_room(
        self, write: Callable[[], T], wanted_bytes: int, full: StoreFullError, noted: list[object]
    ) -> T:
        limits = self._rules.limits
        if (
            limits.file_bytes is None
            or not limits.evicts
            or full.bound == StoreFullError.LARGEST_ENTRY
        ):
            raise full
        lock = self._session.environment.file_lock(_LOCK)
        try:
            self._take_turn(lock)
            for attempt in range(_ATTEMPTS):
                try:
                    return write()
                except StoreFullError as error:
                    wanted = max(wanted_bytes, error.wanted_bytes or 0, _LEAST_BYTES)
                    gently = attempt < _GENTLE
                    wanted <<= min(attempt, _GENTLE)
                    if attempt == _ATTEMPTS - 1 or not self._free(wanted, noted, gently=gently):
                        raise
        finally:
            lock.close()
        raise AssertionError

    def _take_turn(self, lock: Any) -> None:
        """Wait for the *lock* of who makes room: what one has freed, another would use before it."""
        timeout_s = self._session.timeout_s
        begun_s = self._clock.monotonic()
        while True:
            try:
                lock.acquire(exclusive=True, timeout_s=_TURN_S)
            except StoreBusyError:
                if timeout_s is not None and self._clock.monotonic() - begun_s > timeout_s:
                    raise
                self._session.sync()  # the checkpoint of this process keeps pages from the other
            else:
                return

    def _wait_for_pages(self) -> None:
        """Wait a little for checkpoints of other processes, which keep the pages just freed."""
        for _ in range(_TURNS):
            engine = stats_of(self._session.environment)
            freed_id = engine.last_transaction_id - 1
            own = os.getpid()
            if not any(
                reader.pid != own and reader.transaction_id < freed_id for reader in engine.readers
            ):
                return
            self._clock.sleep(_TURN_S)

    def _free(self, wanted_bytes: int, noted: list[object], *, gently: bool = True) -> bool:
        """Make room in a file that is full; return whether a write may work now.

        Args:
            wanted_bytes: how many bytes it wants.
            noted: what there is to tell once no lock is held is added to it.
            gently: leave small caches alone.
        """
        # Removing needs pages too: where they lack, a few rows may still go.
        for most in (_MANY, _FEW):
            # Pages of the last checkpoint are used again after the next one only.
            self._session.sync()
            try:
                fresh: list[object] = []
                self._session.write(
                    self._freeing(wanted_bytes, most, fresh, gently=gently), brief=True
                )
                noted += fresh
                self._session.sync()
                # LMDB uses pages that were freed before the oldest reader's transaction, not in
                # it, and a checkpoint is such a reader: so one more transaction.
                self._session.write(self._freeing(0, 0, [], gently=True), brief=True)
            except OverError:
                return True
            except StoreFullError:
                self._wait_for_pages()
                continue
            self._session.sync()
            self._wait_for_pages()
            # Even if nothing was removed: others may have, and the next write finds their pages.
            return True
        return False  # a reader holds all pages

    def _freeing(
        self, wanted_bytes: int, most: int, noted: list[object], *, gently: bool
    ) -> Callable[[Transaction], None]:
        rules = self._rules

        def free(transaction: Transaction) -> None:
            ledger = self._ledger(transaction, rules, noted if LISTENERS else None)
            if most and not ledger.drop_over(most) and not ledger.expire(most):
                ledger.free(2 * wanted_bytes if most == _MANY else 1, gently=gently)
            ledger.finish()

        return free

    def _check_size(self, size_bytes: int) -> None:
        largest = self._rules.largest_bytes
        if size_bytes > largest:
            error = StoreFullError(
                self._session.directory, largest, size_bytes, StoreFullError.LARGEST_ENTRY
            )
            if LISTENERS:
                tell_full(self._session.directory, error)
            raise error
