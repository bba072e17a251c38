"""One open file: its handle, its locks, and the one open write transaction.

Knows: lmdb, and rules I1 to I9 of docs/design/concurrency.md. Must not know: what keys
and records mean.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

import lmdb

from objcache.engine._checkpoint_file import Restored
from objcache.engine._combining import WriteQueue
from objcache.engine._durability import Durability
from objcache.engine._faults import fault_kind, translated, translating
from objcache.engine._files import FileLock
from objcache.engine._inherited import Inherited
from objcache.engine._members import Members
from objcache.engine._opening import Options, create, lmdb_open, open_largest_map
from objcache.engine._pulse import Pulse
from objcache.engine._recovery import recover, refuse_unrecovered
from objcache.engine._side_keeper import SideKeeper
from objcache.engine._transactions import FORKED, ReadSnapshot, Transaction, WriteTransaction
from objcache.engine._users import Users
from objcache.errors import StoreBusyError, StoreClosedError

__all__ = ["Environment"]

T = TypeVar("T")


class Environment:
    """The one lmdb environment of a file in this process (I1).

    `begin` is a plain attribute of each session, and it is another function in each state:
    lmdb's own while nothing is special, one that joins while a write transaction is open,
    one that opens the file anew in a forked child (I5). So the hot path checks nothing.

    Concurrency: reads need no lock; `write_lock` orders the writers of this process, lmdb's
    mutex those of all; `writers` (a file lock) is held for long writes, so that a timeout
    can be kept across processes; lmdb's mutex alone knows none.
    """

    __slots__ = (
        "_handle",
        "_inherited",
        "_opened_identity",
        "_opening",
        "durability",
        "map_bytes",
        "members",
        "open_write",
        "options",
        "pulse",
        "queue",
        "references",
        "restored",
        "side",
        "users",
        "write_lock",
        "writers",
    )

    def __init__(self, options: Options) -> None:
        self.options = options
        self.map_bytes = options.map_bytes
        self.references = 0
        self.open_write: WriteTransaction | None = None
        self.write_lock = threading.Lock()
        self.users: Users | None = None
        self.writers: FileLock | None = None
        self._opening = threading.RLock()
        self.members = Members()
        self.queue = WriteQueue(self)
        self.durability = Durability(self)
        self.side = SideKeeper(self)
        self.restored: Restored | None = None
        self._inherited: Inherited | None = None
        self._handle: lmdb.Environment | None = None
        # Read by who remembers what it has read; None until then, and after the file was replaced.
        self.pulse: Pulse | None = None
        self._open()

    @property
    def handle(self) -> lmdb.Environment:
        """The open lmdb environment; opened anew after a fork."""
        return self._handle or self._reopened()

    def identity(self) -> tuple[int, int]:
        """Return device and inode of the file."""
        status = os.stat(self.options.file)
        return status.st_dev, status.st_ino

    def feel_pulse(self) -> Pulse:
        """Return what tells of commits of all processes, from now until the file is replaced."""
        with self._opening, translating(self.options.directory, "watched for commits"):
            if self.pulse is None:
                self.pulse = Pulse(self.options.file, self.handle.stat()["psize"])
                if self.identity() != self._opened_identity:
                    self.pulse.end()  # another file lies there: its pulse is none of ours
            return self.pulse

    # -- opening and closing -----------------------------------------------------------------

    def _open(self) -> None:
        try:
            if self.options.lockable:
                self._open_guarded()
                self.durability.opened()
            else:
                refuse_unrecovered(self.options.directory, self.options.file)
                self._open_handle()
        except BaseException:
            self._abandon()
            raise

    def _abandon(self) -> None:
        """Close all, whatever state it is in; the next use opens the file anew."""
        self.durability.abandon()
        handle, self._handle = self._handle, None
        self.rewire()
        self.side.closed()
        if handle is not None:
            handle.close()
        self._end_pulse()
        self._close_locks()

    def _open_guarded(self) -> None:
        options = self.options
        self.users = Users(self.file_lock)
        self.writers = self.file_lock("writers.lock")
        with self.users.entering() as alone:
            if alone:
                restored = recover(options.directory, options.file, options.file_mode)
                self.restored = restored or self.restored
                if not os.path.exists(options.file):
                    create(options)
            self._open_handle()
            self.side.opened(alone=alone)

    def _open_handle(self) -> None:
        # Kept: if this does not go well it is needed once more.
        inherited = self._inherited
        with inherited.replaced() if inherited is not None else nullcontext():
            self._handle, self.map_bytes = open_largest_map(self.options, self.map_bytes)
        self._handle.reader_check()
        self._end_pulse()
        self._opened_identity = self.identity()
        self.rewire()

    def _end_pulse(self) -> None:
        if self.pulse is not None:
            self.pulse.end()
            self.pulse = None

    def file_lock(self, name: str) -> FileLock:
        """Return the lock file *name* beside the file, opened."""
        directory = self.options.directory
        path = os.path.join(directory, name)
        return FileLock(path, directory, self.options.clock, self.options.file_mode)

    def _reopened(self) -> lmdb.Environment:
        with self._opening:
            if self._handle is None:
                if self.references == 0:
                    raise StoreClosedError(self.options.directory)
                with translating(self.options.directory, "opened again"):
                    self._open()
            assert self._handle is not None
            return self._handle

    @contextmanager
    def between_writes(self) -> Iterator[None]:
        """Wait for the writer of this moment, and keep the next one out.

        A thread may be inside a transaction of its own: then it holds that right already.
        """
        joined = self.open_write
        if joined is not None and joined.owner == threading.get_ident():
            yield
            return
        with self.holding_writes():
            yield

    @contextmanager
    def holding_writes(self) -> Iterator[None]:
        """Hold the right to write in this process; then let those go on who wait for it."""
        lock = self.write_lock
        lock.acquire()
        try:
            yield
        finally:
            lock.release()
            self.queue.pass_on()

    def close(self) -> None:
        """Close the file, within `between_writes`; what is open ends."""
        if self.open_write is not None:
            self.open_write.end("its store was closed")
        self.members.end_snapshots("its store was closed")
        try:
            if self._handle is not None:
                self.durability.close()
        finally:
            self._abandon()

    def _close_locks(self) -> None:
        for lock in (self.users, self.writers):
            if lock is not None:
                lock.close()
        self.users = self.writers = None

    def after_fork_in_child(self) -> None:
        """Forget all that belongs to the parent, without ending any of it (I5)."""
        self.write_lock = threading.Lock()
        self._opening = threading.RLock()
        if self.open_write is not None:
            self.open_write.end(FORKED)
            self.open_write = None
        self.members.after_fork_in_child()
        self.members.end_snapshots(FORKED)
        self._close_locks()
        self.queue = WriteQueue(self)
        self.side.after_fork_in_child()
        self.durability.after_fork_in_child()
        if self._handle is not None:
            self._inherited = Inherited(self._handle)
            self._handle = None
        self.rewire()

    # -- reading -----------------------------------------------------------------------------

    def rewire(self) -> None:
        """Give each session the `begin` of the state we are in now."""
        self.members.rewire(self.begin_function)

    def begin_function(self) -> Callable[[], Transaction]:
        """Return the function that begins a read in the state we are in now."""
        if self._handle is None:
            return self._begin_reopened
        if self.open_write is not None:
            return self._begin_joined
        return self._handle.begin

    def _begin_reopened(self) -> Transaction:
        return self._reopened().begin()

    def _begin_joined(self) -> Transaction:
        joined = self.open_write
        if joined is not None and joined.owner == threading.get_ident():
            return joined.current()
        return self.handle.begin()

    def snapshot(self) -> ReadSnapshot:
        """Return a read transaction that stays, seen by `stats` and ended by `close`."""
        snapshot = ReadSnapshot(self.handle.begin(), self.side.forget, self.options.directory)
        self.members.keep(snapshot)
        return snapshot

    def mend(self, fault: lmdb.Error) -> None:
        """Make the next attempt succeed after *fault*, or raise what it means.

        Three faults pass: another process grew the map, dead processes filled the reader
        table, the file was swapped by `compact` between two calls.
        """
        if isinstance(fault, lmdb.MapResizedError):
            with self.holding_writes():
                # I3: this ends the snapshots of this process; better than reading beyond the map.
                self.members.end_snapshots("another process enlarged the store")
                self._enlarge()
                self.map_bytes = int(self.handle.info()["map_size"])
            return
        if isinstance(fault, lmdb.ReadersFullError) and self.handle.reader_check() > 0:
            return
        if fault_kind(fault) == "gone" and self.references:
            return
        raise self.translated(fault) from fault

    def translated(self, fault: lmdb.Error, wanted_bytes: int | None = None) -> Exception:
        """Return what *fault* means for the user."""
        if isinstance(fault, lmdb.PanicError):
            # lmdb does nothing any more with this file: no last checkpoint either.
            self.durability.poisoned(str(fault))
        return translated(fault, self.options.directory, self.map_bytes, wanted_bytes)

    # -- writing -----------------------------------------------------------------------------

    @contextmanager
    def writing(self, timeout_s: float | None, *, brief: bool) -> Iterator[None]:
        """Hold the right to write: of the process, and where it may last, of all processes.

        Raises:
            StoreBusyError: *timeout_s* seconds passed.
        """
        lock, writers = self.write_lock, self.writers
        begun = self.options.clock.monotonic()
        if not lock.acquire(timeout=-1 if timeout_s is None else timeout_s):
            raise StoreBusyError(self.options.directory, "another thread", timeout_s)
        try:
            if writers is None or (brief and timeout_s is None):
                yield
            else:
                if timeout_s is not None:
                    timeout_s = max(0.0, timeout_s - self.options.clock.monotonic() + begun)
                writers.acquire(exclusive=True, timeout_s=timeout_s)
                try:
                    yield
                finally:
                    if writers is self.writers:  # closed meanwhile, or by a forked child
                        writers.release()
        finally:
            lock.release()
            self.queue.pass_on()

    def begin_write(self, parent: Transaction | None = None, wanted_bytes: int = 0) -> Transaction:
        """Begin a write transaction; the caller holds `writing`.

        Raises:
            PoisonedStoreError: an earlier flush has failed.
        """
        if parent is None:
            return self.durability.begin_write(wanted_bytes)
        return self.begin_plain(parent)

    def begin_plain(self, parent: Transaction | None = None) -> Transaction:
        """Begin a write transaction, whatever a power cut would make of it."""
        try:
            return self.handle.begin(parent=parent, write=True)
        except lmdb.MapResizedError:
            self._enlarge()
            return self.handle.begin(parent=parent, write=True)

    def write_once(self, function: Callable[[Transaction], T], wanted_bytes: int = 0) -> T:
        """Return what *function* did in a transaction of its own; the caller holds `writing`."""
        try:
            transaction = self.begin_write(wanted_bytes=wanted_bytes)
            try:
                result = function(transaction)
                transaction.commit()
            except BaseException:
                # The traceback keeps the transaction alive, and it the writers' mutex.
                transaction.abort()
                raise
        except lmdb.Error as fault:
            raise self.durability.failed(fault, wanted_bytes or None) from fault
        return result

    def _enlarge(self) -> None:
        """Adopt the map that another process has enlarged; the caller holds `write_lock`."""
        checkpoints = self.durability.checkpoints
        with checkpoints.enlarging() if checkpoints is not None else nullcontext():
            self.handle.set_mapsize(0)

    # -- the whole file ----------------------------------------------------------------------

    @contextmanager
    def alone(self, timeout_s: float | None) -> Iterator[None]:
        """Be the only user of the file: no other process, no writer, no snapshot.

        Raises:
            StoreBusyError: another process has the store open, or this one has a snapshot.
        """
        directory = self.options.directory
        with self.writing(timeout_s, brief=False), self._opening:
            if snapshots := self.members.snapshots():
                raise StoreBusyError(directory, f"{len(snapshots)} snapshots of this process")
            users = self.users
            assert users is not None
            with users.alone(timeout_s, self.close):
                yield

    @contextmanager
    def let_go(self) -> Iterator[None]:
        """Close the file for the block, which may replace it, within `alone`; readers wait."""
        handle = self.handle
        try:
            self.durability.replacing()
            self._handle = None
            self.rewire()  # readers wait in `_reopened` until we are done
            handle.close()
            yield
        finally:
            try:
                self._handle = self._handle or lmdb_open(self.options, self.map_bytes)
                self.durability.replaced()
                self._end_pulse()
                self._opened_identity = self.identity()
                self.rewire()
            except BaseException:
                self._abandon()
                raise
