"""How an environment keeps what it promises of a power cut.

Knows: checkpoints, what all writers agree on, and flushes that failed. Must not know: what is
written.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

import lmdb

from objcache.engine._agreement import Agreement
from objcache.engine._checkpoint_file import CHECKPOINT_FILE_NAME, SCRATCH
from objcache.engine._checkpoints import Checkpoints
from objcache.engine._faults import translating
from objcache.engine._files import sync_directory
from objcache.engine._recovery import newest_record, note_scratch, warn
from objcache.errors import ObjcacheError, PoisonedStoreError, StoreError

if TYPE_CHECKING:
    from objcache.engine._environment import Environment
    from objcache.engine._transactions import Transaction

__all__ = ["Durability"]

_EXIT_S: Final = 1.0


class Durability:
    """The promise of one environment.

    Attributes:
        checkpoints: where commits are not flushed, and checkpoints are.
        poison: what was said when a flush failed; from then on nothing is written.

    Concurrency: as each method says.
    """

    __slots__ = ("_agreement", "_environment", "_writes", "checkpoints", "poison")

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._agreement: Agreement | None = None
        self._writes = False
        self.checkpoints: Checkpoints | None = None
        self.poison = ""

    def opened(self) -> None:
        """Begin, for a file that was opened: for the first time, or anew in a forked child."""
        if self._environment.options.makes_checkpoints:
            self.checkpoints = Checkpoints(self._environment)
        if self._writes:
            self.take_part()

    def take_part(self) -> None:
        """Agree with all who write to the store on its durability. Idempotent.

        Raises:
            StoreConflictError: others write with another one.
        """
        options = self._environment.options
        if self._agreement is not None or not options.lockable:
            return
        with translating(options.directory, "written to"):
            lock = self._environment.file_lock("durability.lock")
            agreement = Agreement(lock, options.directory, options.durability, options.file_mode)
            try:
                if agreement.alone:
                    self._begin()
                agreement.settle()
            except BaseException:
                agreement.close()
                raise
        self._agreement = agreement
        self._writes = True

    def _begin(self) -> None:
        """Make the checkpoint file say what a power cut leaves from now on."""
        options = self._environment.options
        record = newest_record(options.directory, options.file_mode)
        if options.durability == "process":
            if record is None or record.kind != SCRATCH or not record.is_of_this_boot:
                note_scratch(options.directory, options.file, options.file_mode)
        elif self.checkpoints is not None:
            if record is not None and record.kind == SCRATCH:
                self._flush()  # nobody has noted which side files are not
                self.checkpoints.make()
        elif record is not None:
            self._end_checkpoints()

    def _end_checkpoints(self) -> None:
        """Flush what there is; then let nobody put the store back to a checkpoint."""
        self._flush()
        self._forget_checkpoints()

    def _forget_checkpoints(self) -> None:
        directory = self._environment.options.directory
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(directory, CHECKPOINT_FILE_NAME))
            sync_directory(directory)

    # -- writing -----------------------------------------------------------------------------

    def begin_write(self, wanted_bytes: int) -> Transaction:
        """Begin a write transaction; the caller holds `write_lock`.

        Raises:
            PoisonedStoreError: an earlier flush has failed.
        """
        if self.poison:
            self.check_poison()
        if self.checkpoints is None:
            _opened = self._environment.handle  # in a forked child: anew, and its checkpoints too
            if self.checkpoints is None:
                return self._environment.begin_plain()
        return self.checkpoints.begin_write(wanted_bytes)

    def failed(self, fault: lmdb.Error, wanted_bytes: int | None = None) -> Exception:
        """Return what the *fault* of a commit means, and remember it if it was a lost flush."""
        error = self._environment.translated(fault, wanted_bytes)
        lost = self._environment.options.durability == "commit" and type(error) is StoreError
        # Whether the pages reached the disk is not known, and the kernel will not say again. On a
        # full disk they belong to no commit, and who uses them next writes them again.
        if lost:
            self.poisoned(str(fault))
        return error

    def poisoned(self, reason: str) -> None:
        """Refuse all writes from now on."""
        self.poison = self.poison or reason
        if self.checkpoints is not None:
            self.checkpoints.tell()

    def check_poison(self) -> None:
        """Raise if an earlier flush has failed."""
        if self.poison:
            raise PoisonedStoreError(self._environment.options.directory, self.poison)

    # -- syncing -----------------------------------------------------------------------------

    def sync(self) -> None:
        """Make all that was committed durable. No transaction of this thread may be open.

        Raises:
            PoisonedStoreError: that failed, now or before.
        """
        _opened = self._environment.handle  # anew after a fork
        self.check_poison()
        if self.checkpoints is not None:
            self.checkpoints.make()
        else:
            self._flush()
        self._environment.side.collect(anew=True)

    def _flush(self) -> None:
        try:
            self._environment.side.flush_all()
            self._environment.handle.sync(True)  # lmdb's own "force"
        except (lmdb.Error, OSError) as fault:
            self.poisoned(str(fault))
            raise PoisonedStoreError(self._environment.options.directory, self.poison) from fault

    def settled_up_to(self) -> int:
        """Return the last transaction that nothing can undo any more, as far as this process knows."""
        if self.checkpoints is not None:
            return self.checkpoints.durable_id
        return int(self._environment.handle.info()["last_txnid"])

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until what this process has committed is durable; return whether it is."""
        if self._environment.options.durability == "process":
            return False
        _opened = self._environment.handle  # in a forked child: anew
        self.check_poison()
        return self.checkpoints is None or self.checkpoints.wait(timeout_s)

    def durable_up_to(self) -> int:
        """Return the last transaction that a power cut of this moment would leave."""
        options = self._environment.options
        if options.durability == "process":
            return 0
        newest = int(self._environment.handle.info()["last_txnid"])
        if self.checkpoints is None:
            return newest
        # After a failed flush the newest record may be one that is not on the disk.
        record = self.checkpoints.flushed() if self.poison else None
        if record is None:
            with translating(options.directory, "asked for its last checkpoint"):
                record = newest_record(options.directory, options.file_mode)
        # Without a record of this boot nothing was written in it.
        if record is None or not record.is_of_this_boot:
            return newest
        return record.transaction_id

    # -- the end -----------------------------------------------------------------------------

    def exiting(self) -> None:
        """Make a last checkpoint for a program that ends with the store open."""
        checkpoints, lock = self.checkpoints, self._environment.write_lock
        # A thread may be in a transaction that nothing will end any more.
        if checkpoints is None or not checkpoints.dirty or not lock.acquire(timeout=_EXIT_S):
            return
        try:
            checkpoints.make()
        except ObjcacheError as error:
            warn("no last checkpoint could be made: %s", error)
        finally:
            lock.release()
            self._environment.queue.pass_on()

    def close(self) -> None:
        """End, before the file is closed; the caller holds `write_lock`."""
        checkpoints, self.checkpoints = self.checkpoints, None
        agreement, self._agreement = self._agreement, None
        scratch = self._environment.options.durability == "process"
        try:
            if self.poison:
                # Nothing can be made durable any more, and all who wrote were told.
                if checkpoints is not None:
                    checkpoints.discard()
            elif checkpoints is not None:
                checkpoints.close()
            elif agreement and scratch and agreement.ends():
                self._end_checkpoints()
        finally:
            if agreement is not None:
                agreement.close()

    def abandon(self) -> None:
        """End, after the file could not be replaced; `opened` begins anew."""
        checkpoints, self.checkpoints = self.checkpoints, None
        agreement, self._agreement = self._agreement, None
        if checkpoints is not None:
            checkpoints.discard()
        if agreement is not None:
            agreement.close()

    def replacing(self) -> None:
        """End, before another file takes the place of this one, within `alone`.

        Raises:
            PoisonedStoreError: a flush failed, now or before: the last checkpoint is needed.
        """
        self.check_poison()
        if self.checkpoints is not None:
            self.checkpoints.make()  # a power cut may leave the old file in its place
            self.checkpoints.discard()
            self.checkpoints = None
        else:
            self._flush()
        # Meta pages of the old file must never be put into the new one.
        self._forget_checkpoints()

    def replaced(self) -> None:
        """Begin again, for the other file, or for the same one if it could not be replaced."""
        options = self._environment.options
        if options.makes_checkpoints:
            self.checkpoints = self.checkpoints or Checkpoints(self._environment)
        elif options.durability == "process":
            note_scratch(options.directory, options.file, options.file_mode)

    def after_fork_in_child(self) -> None:
        """Forget what belongs to the parent."""
        if self.checkpoints is not None:
            self.checkpoints.after_fork_in_child()
            self.checkpoints = None
        if self._agreement is not None:
            self._agreement.close()
            self._agreement = None
