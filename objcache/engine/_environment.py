"""One open file: its handle, its locks, and the one open write transaction.

Knows: lmdb, and rules I1 to I9 of docs/design/concurrency.md. Must not know: what keys
and records mean.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import lmdb

from objcache.clock import Clock
from objcache.engine._faults import fault_kind, translated
from objcache.engine._files import FileLock
from objcache.engine._inherited import Inherited
from objcache.engine._members import Members
from objcache.engine._pulse import Pulse
from objcache.engine._transactions import FORKED, ReadSnapshot, WriteTransaction
from objcache.errors import StoreBusyError, StoreClosedError

__all__ = ["DEFAULT_MAP_BYTES", "Environment", "Options"]

DEFAULT_MAP_BYTES: Final = 1 << 40
"""Address space, not disk: the file is only as long as what was written."""

_SMALLEST_MAP_BYTES: Final = 1 << 20
_MAX_READERS: Final = 2048


class Options(NamedTuple):
    """How a file is opened; shared by all sessions of a process on it."""

    directory: str
    file: str
    durability: str
    map_bytes: int
    shared: bool
    lockable: bool
    clock: Clock

    @property
    def file_mode(self) -> int:
        """The mode of new files."""
        return 0o660 if self.shared else 0o600


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
        "map_bytes",
        "members",
        "open_write",
        "options",
        "pulse",
        "references",
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
        self.users: FileLock | None = None
        self.writers: FileLock | None = None
        self._opening = threading.RLock()
        self.members = Members()
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
        with self._opening:
            if self.pulse is None:
                self.pulse = Pulse(self.options.file, self.handle.stat()["psize"])
                if self.identity() != self._opened_identity:
                    self.pulse.end()  # another file lies there: its pulse is none of ours
            return self.pulse

    # -- opening and closing -----------------------------------------------------------------

    def _open(self) -> None:
        if self.options.lockable:
            self.users = self._file_lock("users.lock")
            self.writers = self._file_lock("writers.lock")
            self.users.acquire(exclusive=False, timeout_s=None)
        try:
            self._handle = self._open_handle()
        except lmdb.Error as fault:
            self._close_locks()
            raise translated(fault, self.options.directory, self.map_bytes) from fault
        except BaseException:
            self._close_locks()
            raise
        self._handle.reader_check()
        self._end_pulse()
        self._opened_identity = self.identity()
        self.rewire()

    def _end_pulse(self) -> None:
        if self.pulse is not None:
            self.pulse.end()
            self.pulse = None

    def _file_lock(self, name: str) -> FileLock:
        directory = self.options.directory
        path = os.path.join(directory, name)
        return FileLock(path, directory, self.options.clock, self.options.file_mode)

    def _open_handle(self) -> lmdb.Environment:
        if self._inherited is None:
            return self._open_largest_map()
        with self._inherited.replaced():
            handle = self._open_largest_map()
        self._inherited = None
        return handle

    def _open_largest_map(self) -> lmdb.Environment:
        while True:
            try:
                return self._lmdb_open()
            except lmdb.MemoryError:
                # Under `ulimit -v` there is less address space than the map we would like.
                if self.map_bytes // 2 < _SMALLEST_MAP_BYTES:
                    raise
                self.map_bytes //= 2

    def _lmdb_open(self) -> lmdb.Environment:
        options = self.options
        # I9: never writemap; sync=False only where the user chose to lose all in a power cut.
        return lmdb.open(
            options.file,
            subdir=False,
            map_size=self.map_bytes,
            max_readers=_MAX_READERS,
            max_dbs=0,
            max_spare_txns=0,
            sync=options.durability != "process",
            metasync=options.durability != "process",
            mode=options.file_mode,
            readonly=not options.lockable,
            lock=options.lockable,
            lib_version=0,
        )

    def _reopened(self) -> lmdb.Environment:
        with self._opening:
            if self._handle is None:
                if self.references == 0:
                    raise StoreClosedError(self.options.directory)
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
        with self.write_lock:
            yield

    def close(self) -> None:
        """Close the file, within `between_writes`; what is open ends."""
        if self.open_write is not None:
            self.open_write.end("its store was closed")
        self.members.end_snapshots("its store was closed")
        if self._handle is not None:
            self._handle.close()
            self._handle = None
        self._end_pulse()
        self._close_locks()

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
        if self._handle is not None:
            self._inherited = Inherited(self._handle)
            self._handle = None
        self.rewire()

    # -- reading -----------------------------------------------------------------------------

    def rewire(self) -> None:
        """Give each session the `begin` of the state we are in now."""
        self.members.rewire(self.begin_function)

    def begin_function(self) -> Callable[[], lmdb.Transaction[bytes]]:
        """Return the function that begins a read in the state we are in now."""
        if self._handle is None:
            return self._begin_reopened
        if self.open_write is not None:
            return self._begin_joined
        return self._handle.begin

    def _begin_reopened(self) -> lmdb.Transaction[bytes]:
        return self._reopened().begin()

    def _begin_joined(self) -> lmdb.Transaction[bytes]:
        joined = self.open_write
        if joined is not None and joined.owner == threading.get_ident():
            return joined.current()
        return self.handle.begin()

    def snapshot(self) -> ReadSnapshot:
        """Return a read transaction that stays, seen by `stats` and ended by `close`."""
        snapshot = ReadSnapshot(self.handle.begin(), self.members.forget, self.options.directory)
        self.members.keep(snapshot)
        return snapshot

    def mend(self, fault: lmdb.Error) -> None:
        """Make the next attempt succeed after *fault*, or raise what it means.

        Three faults pass: another process grew the map, dead processes filled the reader
        table, the file was swapped by `compact` between two calls.
        """
        if isinstance(fault, lmdb.MapResizedError):
            with self.write_lock:
                # I3: this ends the snapshots of this process; better than reading beyond the map.
                self.members.end_snapshots("another process enlarged the store")
                self.handle.set_mapsize(0)
                self.map_bytes = int(self.handle.info()["map_size"])
            return
        if isinstance(fault, lmdb.ReadersFullError) and self.handle.reader_check() > 0:
            return
        if fault_kind(fault) == "gone" and self.references:
            return
        raise self.translated(fault) from fault

    def translated(self, fault: lmdb.Error, wanted_bytes: int | None = None) -> Exception:
        """Return what *fault* means for the user."""
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

    def begin_write(self, parent: lmdb.Transaction[bytes] | None = None) -> lmdb.Transaction[bytes]:
        """Begin a write transaction; the caller holds `writing`."""
        try:
            return self.handle.begin(parent=parent, write=True)
        except lmdb.MapResizedError:
            self.handle.set_mapsize(0)
            return self.handle.begin(parent=parent, write=True)

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
            try:
                # The conversion may lose the shared lock for a moment (flock(2)). Nobody can
                # use that moment to replace the file: who converts holds `writers`.
                users.acquire(exclusive=True, timeout_s=0.0)
                yield
            finally:
                users.acquire(exclusive=False, timeout_s=None)

    def replace_file(self, fresh: str) -> None:
        """Put the file *fresh* in the place of this one, within `alone`."""
        handle = self.handle
        self._handle = None
        self.rewire()  # readers wait in `_reopened` until we are done
        try:
            handle.close()
            os.rename(fresh, self.options.file)
            sync_directory(self.options.directory)
        finally:
            self._handle = self._lmdb_open()
            self._end_pulse()
            self._opened_identity = self.identity()
            self.rewire()


def sync_directory(directory: str) -> None:
    """Make the names in *directory* durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
