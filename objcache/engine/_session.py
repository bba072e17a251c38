"""One user of an environment: what a store calls to read and write bytes.

Knows: how to join, wait, commit and roll back. Must not know: what keys and records mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import TYPE_CHECKING, TypeVar

from objcache.engine._environment import Environment
from objcache.engine._faults import EngineFault
from objcache.engine._scopes import nested, outermost
from objcache.engine._transactions import ReadSnapshot, WriteTransaction
from objcache.errors import ReadOnlyStoreError, StoreClosedError
from objcache.listeners import LISTENERS, held_so_far, hold, release, undo_since

if TYPE_CHECKING:
    import lmdb

__all__ = ["JoinedSession", "Session"]

T = TypeVar("T")


def _put(
    transaction: lmdb.Transaction[bytes], engine_key: bytes, record: bytes | bytearray
) -> None:
    transaction.put(engine_key, record)


class Session:
    """A store's connection to the environment it shares with other stores of the process.

    `begin()` returns a read transaction. It must be dropped at once, and nothing read from
    it may be a view into the map (I6): the environment hands out bytes only.

    Attributes:
        replace: writes a record where there may be one with a side file; the store sets it.

    Concurrency: any thread; a write transaction belongs to the thread that began it.
    """

    __slots__ = (
        "__weakref__",
        "_guarded",
        "begin",
        "closed",
        "directory",
        "environment",
        "readonly",
        "replace",
        "timeout_s",
    )

    def __init__(
        self, environment: Environment, *, readonly: bool, timeout_s: float | None
    ) -> None:
        self.environment = environment
        self.readonly = readonly
        self.timeout_s = timeout_s
        self.closed = False
        self.directory = environment.options.directory
        # One test on the hot path stands for three rare states.
        self._guarded = readonly or timeout_s is not None
        self.replace: Callable[[lmdb.Transaction[bytes], bytes, bytes | bytearray], object] = _put
        self.begin: Callable[[], lmdb.Transaction[bytes]]
        environment.members.join(self, environment.begin_function)

    def close(self) -> None:
        """Refuse all further use. The environment is closed by its last session's registry."""
        self.closed = self._guarded = True
        self.environment.members.leave(self)
        self.begin = self._begin_closed

    def _begin_closed(self) -> lmdb.Transaction[bytes]:
        raise StoreClosedError(self.directory)

    def check_writable(self) -> None:
        """Raise unless this session may write now."""
        if self.closed:
            raise StoreClosedError(self.directory)
        if self.readonly:
            raise ReadOnlyStoreError(self.directory)

    @property
    def in_transaction(self) -> bool:
        """Whether this thread has a write transaction of the file open."""
        joined = self.environment.open_write
        return joined is not None and joined.owner == get_ident()

    # -- reading -----------------------------------------------------------------------------

    def get_again(self, engine_key: bytes, fault: EngineFault) -> bytes | None:
        """Read a record after *fault* was met; mend what can be mended."""
        return self.read(lambda transaction: transaction.get(engine_key), fault)

    def read(
        self,
        function: Callable[[lmdb.Transaction[bytes]], T],
        fault: EngineFault | None = None,
    ) -> T:
        """Return what *function* makes of one read transaction; it must return no views."""
        for attempt in range(3):
            if fault is not None:
                self.environment.mend(fault)
            try:
                return function(self.begin())
            except EngineFault as error:
                fault = error
                if attempt == 2:
                    raise self.fault(fault) from fault
        raise AssertionError

    def fault(self, fault: EngineFault) -> Exception:
        """Return the error of objcache that *fault* means."""
        if self.closed:
            return StoreClosedError(self.directory)
        return self.environment.translated(fault)

    def snapshot(self) -> ReadSnapshot:
        """Return a read transaction that is kept until it is ended."""
        if self.closed:
            raise StoreClosedError(self.directory)
        try:
            return self.environment.snapshot()
        except EngineFault as fault:
            self.environment.mend(fault)
            return self.environment.snapshot()

    # -- writing -----------------------------------------------------------------------------

    def put(self, engine_key: bytes, record: bytes | bytearray) -> None:
        """Write one record, in the open transaction of this thread or in one of its own.

        Cost: with `durability="commit"` one or two fsyncs.
        """
        # Flat on purpose: bench/workloads/set_one.py; oracle: `write`.
        environment = self.environment
        joined = environment.open_write
        if self._guarded or (joined is not None and joined.owner == get_ident()):
            self.write(
                lambda transaction: self._put_in(transaction, engine_key, record), brief=True
            )
            return
        lock = environment.write_lock
        # Who has just let the lock go would get it again before those who wait for it wake.
        if environment.queue.waiting or not lock.acquire(blocking=False):
            environment.queue.write(
                lambda transaction: self._put_in(transaction, engine_key, record), len(record)
            )
            environment.side.collect()
            return
        try:
            transaction = environment.begin_write(wanted_bytes=len(record))
            try:
                # Under lmdb's mutex: who attaches a side file sets the flag before its commit.
                if environment.side.flag[0]:
                    self.replace(transaction, engine_key, record)
                else:
                    transaction.put(engine_key, record)
                transaction.commit()
            except BaseException:
                # The traceback keeps the transaction alive, and it the writers' mutex.
                transaction.abort()
                raise
        except EngineFault as fault:
            raise environment.durability.failed(fault, len(record)) from fault
        finally:
            lock.release()
            if environment.queue.waiting:
                environment.queue.pass_on()
        environment.side.collect()

    def _put_in(
        self,
        transaction: lmdb.Transaction[bytes],
        engine_key: bytes,
        record: bytes | bytearray,
    ) -> None:
        if self.environment.side.flag[0]:
            self.replace(transaction, engine_key, record)
        else:
            transaction.put(engine_key, record)

    def write(
        self,
        function: Callable[[lmdb.Transaction[bytes]], T],
        *,
        brief: bool = False,
        wanted_bytes: int = 0,
    ) -> T:
        """Return what *function* did in one write transaction, committed; rolled back if it raised.

        Args:
            function: must not call user code; it may not use the store. A brief one may be run by
                another thread that writes at the same moment, and twice if that one's write fails.
            brief: it writes a record or two; long ones announce themselves to other processes.
            wanted_bytes: that it writes, about.
        """
        # Flat on purpose, as `put`: bench/workloads/cache_set.py; oracle: `_write_guarded`.
        environment = self.environment
        joined = environment.open_write
        if self._guarded or not brief or (joined is not None and joined.owner == get_ident()):
            return self._write_guarded(function, brief=brief, wanted_bytes=wanted_bytes)
        lock = environment.write_lock
        if environment.queue.waiting or not lock.acquire(blocking=False):
            result = environment.queue.write(function, wanted_bytes)
            environment.side.collect()
            return result
        try:
            transaction = environment.begin_write(wanted_bytes=wanted_bytes)
            try:
                result = function(transaction)
                transaction.commit()
            except BaseException:
                # The traceback keeps the transaction alive, and it the writers' mutex.
                transaction.abort()
                raise
        except EngineFault as fault:
            raise environment.durability.failed(fault, wanted_bytes or None) from fault
        finally:
            lock.release()
            if environment.queue.waiting:
                environment.queue.pass_on()
        environment.side.collect()
        return result

    def _write_guarded(
        self,
        function: Callable[[lmdb.Transaction[bytes]], T],
        *,
        brief: bool,
        wanted_bytes: int,
    ) -> T:
        self.check_writable()
        environment = self.environment
        joined = environment.open_write
        if joined is not None and joined.owner == get_ident():
            return self._write_joined(joined, function)
        with environment.writing(self.timeout_s, brief=brief):
            result = environment.write_once(function, wanted_bytes)
        environment.side.collect()
        return result

    def _write_joined(
        self, joined: WriteTransaction, function: Callable[[lmdb.Transaction[bytes]], T]
    ) -> T:
        try:
            return function(joined.current())
        except EngineFault as fault:
            # I4: after a failed write lmdb's transaction is dead, and it cannot be replayed.
            error = self.environment.translated(fault)
            joined.end(f"it was rolled back: {error}")
            raise error from fault

    @contextmanager
    def transaction(self) -> Iterator[WriteTransaction]:
        """Make all operations of this thread on the file one transaction; nests."""
        self.check_writable()
        environment = self.environment
        joined = environment.open_write
        if joined is not None and joined.owner == get_ident():
            held_before = held_so_far() if LISTENERS else 0
            try:
                with nested(environment, joined):
                    yield joined
            except BaseException:
                undo_since(held_before)
                raise
            return
        held = hold() if LISTENERS else None
        committed = False
        try:
            with environment.writing(self.timeout_s, brief=False), outermost(environment) as opened:
                yield opened
            committed = True
        finally:
            environment.side.collect()
            if held is not None:  # told when nobody waits for this thread any more
                release(held, committed=committed)

    def joined(self, opened: WriteTransaction) -> JoinedSession:
        """Return this session as seen through *opened*."""
        return JoinedSession(self, opened)

    # -- the whole file ----------------------------------------------------------------------

    def sync(self) -> None:
        """Flush all that was committed to the disk.

        Raises:
            PoisonedStoreError: that failed, now or before.

        Cost: one flush; two where it is a checkpoint.
        """
        if self.closed:
            raise StoreClosedError(self.directory)
        self.environment.durability.sync()

    def durable_up_to(self) -> int:
        """Return the last transaction that a power cut of this moment would leave."""
        if self.closed:
            raise StoreClosedError(self.directory)
        return self.environment.durability.durable_up_to()

    def wait_durable(self, timeout_s: float | None) -> bool:
        """Wait until what this process has committed is durable; return whether it is."""
        if self.closed:
            raise StoreClosedError(self.directory)
        return self.environment.durability.wait(timeout_s)


class JoinedSession:
    """A session as seen through one open transaction of it: usable only while that lasts."""

    __slots__ = ("_opened", "_session", "begin", "directory", "environment", "readonly")

    def __init__(self, session: Session, opened: WriteTransaction) -> None:
        self.directory = session.directory
        self.environment = session.environment
        self.readonly = session.readonly
        self._session = session
        self._opened = opened
        self.begin = opened.current

    @property
    def in_transaction(self) -> bool:
        """Whether this thread has a write transaction of the file open."""
        return self._session.in_transaction

    def read(self, function: Callable[[lmdb.Transaction[bytes]], T]) -> T:
        """Return what *function* makes of the transaction."""
        self._opened.current()
        return self._session.read(function)

    def get_again(self, _engine_key: bytes, fault: EngineFault) -> bytes | None:
        """Raise what *fault* means: a write transaction cannot be begun again."""
        raise self._session.fault(fault) from fault

    def put(self, engine_key: bytes, record: bytes | bytearray) -> None:
        """Write one record in the transaction."""
        self._opened.current()
        self._session.put(engine_key, record)

    def write(
        self,
        function: Callable[[lmdb.Transaction[bytes]], T],
        *,
        brief: bool = False,
        wanted_bytes: int = 0,
    ) -> T:
        """Return what *function* did in the transaction."""
        self._opened.current()
        return self._session.write(function, brief=brief, wanted_bytes=wanted_bytes)

    @contextmanager
    def transaction(self) -> Iterator[WriteTransaction]:
        """Begin a transaction inside this one."""
        self._opened.current()
        with self._session.transaction() as opened:
            yield opened

    def joined(self, opened: WriteTransaction) -> JoinedSession:
        """Return the session as seen through *opened*, a transaction inside this one."""
        return JoinedSession(self._session, opened)
