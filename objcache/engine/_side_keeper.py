"""The life of a store's side files: made durable with their records, unlinked when nobody needs them.

Knows: which transactions are durable, and who still reads. Must not know: what the files hold.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
from typing import TYPE_CHECKING, Final

import lmdb

from objcache.engine import _side_rows
from objcache.engine._files import write_whole
from objcache.engine.side_files import SideFileMissingError, SideFiles
from objcache.errors import ObjcacheError, ReadOnlyStoreError, StoreBusyError

if TYPE_CHECKING:
    from objcache.engine._environment import Environment
    from objcache.engine._transactions import ReadSnapshot, Transaction

__all__ = ["SideKeeper"]

_FLAG_NAME: Final = "side-files"
_FLAG_BYTES: Final = 64
_NEVER: Final = 1 << 64


class SideKeeper:
    """The side files of one environment.

    A file that was written is *unnamed* until a transaction attaches it. Of a transaction that
    may not have been committed its files are *doubtful*, until somebody who holds `write_lock`
    looks; those that no row names are then *doomed*, and unlinked when no lock is held.

    Attributes:
        files: the files.
        flag: one byte in memory that all processes share: whether a record may have a side file.
            While it is 0, no write needs to look at what it replaces.

    Concurrency: any thread, any process.
    """

    __slots__ = (
        *("_doomed", "_doubtful", "_environment", "_first_dropped", "_gone", "_lock", "_pending"),
        *("_pruned_in", "files", "flag"),
    )

    def __init__(self, environment: Environment) -> None:
        options = environment.options
        self._environment = environment
        commits_flush = options.durability != "process" and not options.makes_checkpoints
        self.files = SideFiles(
            options.directory, options.file_mode, flushes=commits_flush, ready=self._be_user
        )
        self._pending = options.makes_checkpoints
        # Reentrant: a snapshot may be collected, and end, in the middle of anything.
        self._lock = threading.RLock()
        self._doubtful: list[bytes] = []
        self._doomed: list[bytes] = []
        self._gone: set[bytes] = set()
        # Nothing that was dropped before it waits; 0 where nobody has looked.
        self._first_dropped = 0
        self._pruned_in = 0
        self.flag: memoryview = memoryview(bytearray(1))

    def _be_user(self) -> None:
        if not self._environment.options.lockable:
            raise ReadOnlyStoreError(self._environment.options.directory)
        _opened = self._environment.handle  # in a forked child: anew

    def opened(self, *, alone: bool) -> None:
        """Begin, for a file that was opened; remove files that belong to nobody if *alone*."""
        options = self._environment.options
        path = os.path.join(options.directory, _FLAG_NAME)
        self.flag = _shared_flag(path, options.file_mode, alone=alone)
        # A reader perhaps looks at a damaged file, of which lmdb shall read no page: it may crash.
        self._first_dropped = _NEVER if options.readonly else 0
        if alone and options.readonly:
            self.flag[0] = 1
        elif alone:
            self.sweep()

    def sweep(self) -> None:
        """Unlink every file that belongs to nobody; set the flag anew.

        The caller is the only user of the store, and holds off this process's writers.
        """
        with self._environment.handle.begin() as transaction:
            known = _side_rows.known_names(transaction)
        # A power cut may have left any byte there.
        self.flag[0] = 1 if known else 0
        for name in self.files.names():
            if name not in known and name not in self.files.unnamed:
                self.files.unlink(name)

    def collect_orphans(self) -> None:
        """Unlink files that belong to nobody, unless somebody else uses the store now."""
        environment = self._environment
        if environment.options.lockable and self.has_unknown():
            with contextlib.suppress(StoreBusyError), environment.alone(0.0):
                self.sweep()

    def has_unknown(self) -> bool:
        """Whether there are files that no row names: of writes under way, or of killed writers."""
        with self._environment.handle.begin() as transaction:
            known = _side_rows.known_names(transaction)
        return any(name not in known for name in self.files.names())

    def file_bytes(self) -> int:
        """Return the size of the store's file as of the last commit, free pages included."""
        handle = self._environment.handle
        return int((handle.info()["last_pgno"] + 1) * handle.stat()["psize"])

    def closed(self) -> None:
        """Let go of the flag."""
        self.flag = memoryview(bytearray(b"\1"))

    def after_fork_in_child(self) -> None:
        """Forget what belongs to the parent's transactions, and a lock that a thread may have held."""
        self._lock = threading.RLock()
        self._doubtful = []
        self._doomed = []

    # -- within a write transaction ----------------------------------------------------------

    def attach(self, transaction: Transaction, name: bytes, located: bytes) -> None:
        """Say that the record at *located* has the side file *name*: once for each name.

        Raises:
            SideFileMissingError: the file was discarded, or removed by somebody.
        """
        self.flag[0] = 1  # before the commit: from then on others look at what they replace
        with self._lock:
            self.files.unnamed.discard(name)
            size_bytes = self.files.size_of(name)
            if size_bytes is None:
                raise SideFileMissingError(name.hex())
            if self._environment.open_write is not None:
                self._doubtful.append(name)
        _side_rows.attach(transaction, name, located, size_bytes, pending=self._pending)
        self._prune(transaction)

    def detach(self, transaction: Transaction, name: bytes) -> None:
        """Say that no record has the side file *name* any more."""
        _side_rows.detach(transaction, name, self.files.size_of(name) or 0)
        with self._lock:
            self._first_dropped = min(self._first_dropped, transaction.id())
        self._prune(transaction)

    def _prune(self, transaction: Transaction) -> None:
        if transaction.id() == self._pruned_in:
            return
        self._pruned_in = transaction.id()
        checkpoints = self._environment.durability.checkpoints
        flushed = checkpoints.durable_id if checkpoints is not None else transaction.id() - 1
        with self._lock:
            gone, self._gone = self._gone, set()
        _side_rows.prune(transaction, flushed, gone)

    # -- behind it ---------------------------------------------------------------------------

    def discard(self, name: bytes) -> None:
        """Unlink the side file *name*, b"" for none, of a record whose write has failed.

        A write that was interrupted from outside may yet be committed, by the thread that leads:
        the file then stays.
        """
        if not name:
            return
        with self._lock:
            if name in self.files.unnamed:
                self.files.unlink(name)
                return
            self._doubtful.append(name)
        lock = self._environment.write_lock
        # Held by this thread in a transaction, at whose end `settle` is called, or by another one.
        if lock.acquire(blocking=False):
            try:
                self.settle()
            finally:
                lock.release()
                self._environment.queue.pass_on()
            self._bury()

    def settle(self) -> None:
        """Doom the doubtful files that no row names.

        The caller holds `write_lock`, and no transaction of this process is open.
        """
        if not self._doubtful:
            return
        handle = self._environment._handle  # noqa: SLF001  # not opened anew for this
        with contextlib.suppress(lmdb.Error), self._lock:
            if handle is None:
                return  # closed within its own transaction: who opens it next looks
            names, self._doubtful = self._doubtful, []
            with handle.begin() as transaction:
                # One that another process has dropped meanwhile is needed until that is durable.
                self._doomed += _side_rows.unknown(transaction, names)

    def _bury(self) -> None:
        with self._lock:
            names, self._doomed = self._doomed, []
        for name in names:
            self.files.unlink(name)

    def collect(self, *, anew: bool = False) -> None:
        """Unlink the files that no durable state needs any more, and no reader.

        Args:
            anew: other processes may have dropped some.

        Cost: a look at two numbers where nothing waits. The caller should hold no lock: to
            unlink a large file takes long.
        """
        if self._doomed:
            self._bury()
        if anew:
            self._first_dropped = 0
        if self._first_dropped == _NEVER or not self.flag[0]:
            return
        with contextlib.suppress(lmdb.Error, OSError, ObjcacheError):
            handle = self._environment._handle  # noqa: SLF001  # not opened anew for this
            settled = self._environment.durability.settled_up_to()
            if handle is not None and self._first_dropped <= settled:
                self._collect(handle, settled)

    def _collect(self, handle: lmdb.Environment, settled: int) -> None:
        with self._lock:
            self._first_dropped = _NEVER
        # After that line: who has dropped before it, and not committed yet, holds this lock.
        writing = self._environment.write_lock.locked()
        with handle.begin() as transaction:
            waiting = [
                pair for pair in _side_rows.dropped(transaction) if pair[0] not in self._gone
            ]
            next_dropped = transaction.id() + 1 if writing else _NEVER
        bound = settled
        if waiting and waiting[0][1] <= settled:
            bound = min(settled, _oldest_reader(handle))
            if waiting[0][1] > bound and handle.reader_check():
                bound = min(settled, _oldest_reader(handle))
        for name, dropped_by in waiting:
            if dropped_by > bound:
                next_dropped = min(next_dropped, dropped_by)
                break
            self.files.unlink(name)
            with self._lock:
                self._gone.add(name)
        with self._lock:
            self._first_dropped = min(self._first_dropped, next_dropped)

    def forget(self, snapshot: ReadSnapshot) -> None:
        """Know that *snapshot* has ended: it may have been the one that kept files."""
        self._environment.members.forget(snapshot)
        self.collect()

    # -- with checkpoints and commits --------------------------------------------------------

    def flush(self, transaction: lmdb.Transaction[bytes], durable_id: int) -> None:
        """Make the files durable that *transaction* sees, and an earlier checkpoint did not.

        Raises:
            StoreError: one could not be opened; another attempt may go well.
            OSError: they may never be durable.
        """
        if self.flag[0]:
            self.files.flush(_side_rows.pending_after(transaction, durable_id))

    def flush_all(self) -> None:
        """Make all files durable that records have.

        Raises:
            StoreError, OSError: as for `flush`.
        """
        if self.flag[0]:
            with self._environment.handle.begin() as transaction:
                names = [name for name, _ in _side_rows.live_files(transaction)]
            self.files.flush(names)

    def held(self, transaction: Transaction) -> int:
        """Return how many mappings of this process hold a file that no record has any more."""
        return sum(not _side_rows.is_live(transaction, name) for name in self.files.mapped())


def _oldest_reader(handle: lmdb.Environment) -> int:
    """Return the transaction of the oldest reader of all processes."""
    from objcache.engine.stats import readers_of  # noqa: PLC0415  # only where a file waits

    return min((reader.transaction_id for reader in readers_of(handle)), default=_NEVER)


def _shared_flag(path: str, mode: int, *, alone: bool) -> memoryview:
    """Return the flag at *path*, made if it is missing.

    Raises:
        OSError: it cannot be shared, and who does not know of others' files must not write.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, mode)
    try:
        if os.fstat(descriptor).st_size < _FLAG_BYTES:
            # Others have another file open, which somebody has removed: it may have said yes.
            write_whole(descriptor, bytes([not alone]) + bytes(_FLAG_BYTES - 1), 0)
        return memoryview(mmap.mmap(descriptor, _FLAG_BYTES))
    finally:
        os.close(descriptor)
