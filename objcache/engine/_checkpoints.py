"""Commits without a flush, and checkpoints behind them: at most a second is lost in a power cut.

Knows: the protocol of docs/design/durability.md. Must not know: what is written.

A checkpoint pins its pages by a read transaction: while that is open, no commit writes a page
that the checkpoint needs, and only the two meta pages are overwritten. Copies of these are kept
in the checkpoint file. So whatever of later commits has reached the disk, in whatever order, the
file can be put back to the checkpoint.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NoReturn

import lmdb

from objcache.engine._checkpoint_file import (
    CHECKPOINT,
    CheckpointFile,
    Record,
    checkpoint_of,
    newest_id,
    read_metas,
)
from objcache.engine._faults import translating
from objcache.engine._files import sync_directory
from objcache.engine._recovery import mark_poisoned, warn
from objcache.errors import (
    InternalError,
    ObjcacheError,
    PoisonedStoreError,
    StoreBusyError,
    StoreClosedError,
    StoreError,
)
from objcache.listeners import LISTENERS, tell

if TYPE_CHECKING:
    from objcache.engine._environment import Environment
    from objcache.engine._transactions import Transaction

__all__ = ["Checkpoints"]

_LOCK_NAME: Final = "checkpoint.lock"

# What one commit writes beside its values: the pages from a leaf to the root, and the free list.
_COMMIT_BYTES: Final = 1 << 14
_EARLY_BYTES: Final = 64 << 20
_WAIT_BYTES: Final = 4 * _EARLY_BYTES
# Of a small map: pages that wait for a checkpoint must leave room for others.
_WAIT_PART: Final = 16
_MORE_WAIT_BYTES: Final = 1 << 17
_PATIENCE_S: Final = 0.1


class Checkpoints:
    """The checkpoints of one environment.

    Order of locks: the environment's `write_lock`, `writers.lock`, then `_mutex`, `checkpoint.lock`,
    then lmdb's mutex. `pin` and `dirty` change under lmdb's mutex, that is within a write
    transaction: writers and checkpoints have no other lock in common.

    Attributes:
        pin: the read transaction at a checkpoint that is durable, or at an older one; without
            one nothing is written.
        dirty: whether there are commits of this process after the last checkpoint.
        durable_id: the transaction of the last checkpoint of this process.

    Concurrency: any thread.
    """

    __slots__ = (
        *("_closed", "_data", "_early_bytes", "_environment", "_file", "_flushed_bytes"),
        *("_flushing", "_lock"),
        *("_mutex", "_page_bytes", "_settled", "_thread", "_unsynced_bytes"),
        *("_wait_bytes", "_wake"),
        *("dirty", "durable_id", "pin"),
    )

    def __init__(self, environment: Environment) -> None:
        options = environment.options
        self._environment = environment
        self._page_bytes = int(environment.handle.stat()["psize"])
        self._file: CheckpointFile | None = None
        self._lock = environment.file_lock(_LOCK_NAME)
        try:
            self._data = os.open(options.file, os.O_RDONLY | os.O_CLOEXEC)
        except BaseException:
            self._lock.close()
            raise
        self._mutex = threading.RLock()
        self._settled = threading.Condition()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        part_bytes = options.map_bytes // _WAIT_PART
        wait_bytes = part_bytes + min(part_bytes, _MORE_WAIT_BYTES)
        self._early_bytes = min(_EARLY_BYTES, wait_bytes // 2)
        self._wait_bytes = min(_WAIT_BYTES, wait_bytes)
        self._closed = self._flushing = False
        self._unsynced_bytes = self._flushed_bytes = 0
        self.pin: Transaction | None = None
        self.dirty = False
        self.durable_id = 0

    # -- writing -----------------------------------------------------------------------------

    def begin_write(self, wanted_bytes: int) -> Transaction:
        """Begin a write transaction that a power cut cannot make dangerous.

        Raises:
            PoisonedStoreError, StoreError: it needs a checkpoint, and none can be made.
        """
        environment = self._environment
        while True:
            if self.pin is None:
                self.make()
                continue
            if self._unsynced_bytes > self._wait_bytes:
                self._wait_for_another()
                continue
            transaction = environment.begin_plain()
            if self._is_pinned():  # begin may have enlarged the map, which ends the pin
                break
            transaction.abort()
        self._unsynced_bytes += _COMMIT_BYTES + wanted_bytes
        if not self.dirty:
            self.dirty = True
            self._begin_thread()
        elif self._unsynced_bytes > self._early_bytes:
            self._wake.set()
        return transaction

    def _wait_for_another(self) -> None:
        """Wait until the thread has begun another checkpoint; it is flushed while writing goes on."""
        if self._thread is not None:
            self._wake.set()
            with self._settled:
                if self._settled.wait_for(
                    lambda: self._unsynced_bytes <= self._wait_bytes, _PATIENCE_S
                ):
                    return
        self.make()

    def _is_pinned(self) -> bool:
        return self.pin is not None

    @contextmanager
    def enlarging(self) -> Iterator[None]:
        """Know that the map is enlarged in the block, which ends the pin.

        The caller holds `write_lock`, and so no write transaction of this process is open.
        """
        with self._mutex:
            self.pin = None
            yield

    # -- checkpoints -------------------------------------------------------------------------

    def make(self) -> None:
        """Make the commits up to now durable.

        Raises:
            PoisonedStoreError: the flush failed, now or before. The last checkpoint stays.
            StoreBusyError: this thread has a transaction of the store open.
            StoreError: it could not begin; another attempt may go well.

        Cost: two flushes; writers wait for some microseconds.
        """
        environment = self._environment
        joined = environment.open_write
        if joined is not None and joined.depth and joined.owner == threading.get_ident():
            raise StoreBusyError(environment.options.directory, "this thread's own transaction")
        with self._mutex:
            environment.durability.check_poison()
            if self._closed:
                raise StoreClosedError(environment.options.directory)
            with translating(environment.options.directory, "made durable"):
                self._lock.acquire(exclusive=True, timeout_s=None)
                try:
                    self._make_locked()
                except lmdb.Error as fault:
                    raise environment.translated(fault) from fault
                finally:
                    self._lock.release()

    def _make_locked(self) -> None:
        # First: where no file can be opened, nothing has happened that would poison the store.
        options = self._environment.options
        if self._file is None:
            self._file = CheckpointFile(options.directory, options.file_mode, create=True)
        fresh, metas = self._pin_newest(self._environment)
        try:
            self._environment.side.flush(fresh, _noted_id(self._file))
            self._environment.handle.sync(True)  # lmdb's own "force"
            self._note(self._file, fresh.id(), metas)
        except (lmdb.Error, OSError, StoreError) as error:
            fresh.abort()
            self._fail(error)
        before, self.pin = self.pin, fresh
        if before is not None:
            before.abort()
        with self._settled:
            self.durable_id = fresh.id()
            self._flushing = False
            self._settled.notify_all()

    def _pin_newest(self, environment: Environment) -> tuple[Transaction, tuple[bytes, bytes]]:
        standing = environment.begin_plain()  # while it is open the meta pages stand still
        try:
            fresh = environment.handle.begin()
            metas = self._metas_of(fresh.id())
            self._flushed_bytes = os.fstat(self._data).st_size
            # From here on what is committed is of the next checkpoint.
            self.dirty, self._flushing = False, True
            self._unsynced_bytes = 0
        finally:
            standing.abort()
        self.tell()
        return fresh, metas

    def _metas_of(self, transaction_id: int) -> tuple[bytes, bytes]:
        metas = read_metas(self._data, self._page_bytes)
        if newest_id(metas) != transaction_id:
            raise InternalError(f"meta pages of {newest_id(metas)} beside {transaction_id}")
        return metas

    def _note(self, file: CheckpointFile, transaction_id: int, metas: tuple[bytes, bytes]) -> None:
        if file.flushed is None:
            sync_directory(self._environment.options.directory)  # it may be new
        noted = checkpoint_of(self._data, self._page_bytes, transaction_id, metas)
        file.write(noted._replace(file_bytes=self._flushed_bytes))

    def _fail(self, error: Exception) -> NoReturn:
        """Refuse all writes from now on: the kernel may have dropped what it could not flush."""
        options, durability = self._environment.options, self._environment.durability
        self.dirty, self._flushing = True, False
        if isinstance(error, StoreError):  # a side file could not be opened: nothing is lost
            raise error
        mark_poisoned(options.directory, options.file_mode)
        durability.poisoned(f"{type(error).__name__}: {error}")
        self.tell()
        raise PoisonedStoreError(options.directory, durability.poison) from error

    def flushed(self) -> Record | None:
        """Return the newest record that this process knows to be on the disk."""
        file = self._file
        return file.flushed if file is not None else None

    # -- waiting -----------------------------------------------------------------------------

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until the commits of this process up to now are durable; return whether they are.

        Raises:
            PoisonedStoreError: they will never be.
        """
        target = int(self._environment.handle.info()["last_txnid"])
        durability = self._environment.durability
        with self._settled:
            done = self._settled.wait_for(
                lambda: (
                    durability.poison
                    or self._closed
                    or not (self.dirty or self._flushing)
                    or self.durable_id >= target
                ),
                timeout_s,
            )
        durability.check_poison()
        if self._closed and self.dirty and self.durable_id < target:
            raise StoreClosedError(self._environment.options.directory)
        return bool(done)

    def tell(self) -> None:
        """Let all who wait look again."""
        with self._settled:
            self._settled.notify_all()

    # -- the thread --------------------------------------------------------------------------

    def _begin_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="objcache-checkpoint", daemon=True
            )
            self._thread.start()

    def _run(self) -> None:
        """Make a checkpoint each interval while there are commits, then let the pages go.

        What fails is tried again, and told once: nobody else would begin the thread anew.
        """
        idle = told = False
        directory = self._environment.options.directory
        while True:
            self._wake.wait(self._environment.options.checkpoint_interval_s)
            self._wake.clear()
            if self._closed:
                return
            try:
                if self.dirty:
                    idle = False
                    self.make()
                    self._environment.side.collect(anew=True)
                elif not idle:
                    idle = True
                elif self._end_thread():
                    self._environment.side.collect(anew=True)  # the pin may have kept files
                    return
                told = False
            except StoreClosedError:
                return
            except PoisonedStoreError as error:
                warn("no checkpoint could be made: %s", error)
                _tell_failure(directory, error, final=True)
                return
            except ObjcacheError as error:
                if not told:
                    warn("no checkpoint could be made, another attempt follows: %s", error)
                told = True
                _tell_failure(directory, error, final=False)

    def _end_thread(self) -> bool:
        """Let the pages of the checkpoint be used again, unless somebody has written meanwhile."""
        with self._mutex:
            if self._closed:
                return True
            # Under lmdb's mutex: no writer has tested the pin, or looked for free pages, and not
            # committed.
            with translating(self._environment.options.directory, "relieved of its checkpoint"):
                standing = self._environment.begin_plain()
            try:
                if self.dirty:
                    return False
                if self.pin is not None:
                    self.pin.abort()
                    self.pin = None
                self._thread = None
                return True
            finally:
                standing.abort()

    # -- the end -----------------------------------------------------------------------------

    def close(self) -> None:
        """Make a last checkpoint if there is anything to sync; let go of all files.

        The caller holds `write_lock`.

        Raises:
            PoisonedStoreError: the flush failed; all is closed nevertheless.
        """
        with self._mutex:
            try:
                if self.dirty:
                    self.make()
            finally:
                self._end()

    def discard(self) -> None:
        """Let go of all files without a last checkpoint: another file takes the place of this one."""
        with self._mutex:
            self.dirty = False
            self._end()

    def _end(self) -> None:
        if self.pin is not None:
            self.pin.abort()
            self.pin = None
        self._close_files()
        self._wake.set()
        self.tell()

    def after_fork_in_child(self) -> None:
        """Forget what belongs to the parent: neither end its pin nor keep its locks alive.

        The thread is not here, and it may have held the lock inside of `_wake` at the fork.
        """
        self.pin = None
        self._close_files()

    def _close_files(self) -> None:
        self._closed = True
        os.close(self._data)
        self._lock.close()
        if self._file is not None:
            self._file.close()
            self._file = None


def _tell_failure(directory: str, error: Exception, *, final: bool) -> None:
    if LISTENERS:
        from objcache.events import CheckpointFailed  # noqa: PLC0415  # loaded by those who listen

        tell(CheckpointFailed(directory, error, final))


def _noted_id(file: CheckpointFile) -> int:
    """Return the transaction of the newest record of all processes: its side files are flushed."""
    newest = file.newest()
    return newest.transaction_id if newest is not None and newest.kind == CHECKPOINT else 0
