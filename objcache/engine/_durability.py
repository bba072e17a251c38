"""How an environment keeps what it promises of a power cut.

Knows: checkpoints, what all writers agree on, and flushes that failed. Must not know: what is
written.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import lmdb

from objcache.engine._agreement import Agreement
from objcache.engine._checkpoint_file import CHECKPOINT_FILE_NAME, SCRATCH
from objcache.engine._checkpoints import Checkpoints
from objcache.engine._files import sync_directory
from objcache.engine._recovery import newest_record, note_scratch
from objcache.errors import PoisonedStoreError, StoreError

if TYPE_CHECKING:
    from objcache.engine._environment import Environment
    from objcache.engine._transactions import Transaction

__all__ = ["Durability"]


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
        lock = self._environment.file_lock("durability.lock")
        agreement = Agreement(lock, options.directory, options.durability, options.file_mode)
        try:
            if agreement.alone:
                self._begin()
            agreement.settle()
        except OSError as error:
            agreement.close()
            raise StoreError(f"the store at {options.directory!r}: {error}") from error
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
                self.checkpoints.make()
        elif record is not None:
            self._end_checkpoints()

    def _end_checkpoints(self) -> None:
        """Flush what there is; then let nobody put the store back to a checkpoint."""
        self._environment.handle.sync(True)  # lmdb's own "force"
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
            raise PoisonedStoreError(self._environment.options.directory, self.poison)
        if self.checkpoints is not None:
            return self.checkpoints.begin_write(wanted_bytes)
        return self._environment.begin_plain()

    def failed(self, fault: lmdb.Error, wanted_bytes: int | None = None) -> Exception:
        """Return what the *fault* of a commit means, and remember it if it was a lost flush."""
        error = self._environment.translated(fault, wanted_bytes)
        if self._environment.options.durability == "commit" and type(error) is StoreError:
            # Whether the pages reached the disk is not known, and the kernel will not say again.
            self.poison = str(fault)
        return error

    # -- syncing -----------------------------------------------------------------------------

    def sync(self) -> None:
        """Make all that was committed durable. No transaction of this thread may be open.

        Raises:
            PoisonedStoreError: that failed, now or before.
        """
        handle = self._environment.handle  # opened anew after a fork
        if self.poison:
            raise PoisonedStoreError(self._environment.options.directory, self.poison)
        try:
            if self.checkpoints is not None:
                self.checkpoints.make()
            else:
                handle.sync(True)  # lmdb's own "force"
        except lmdb.Error as fault:
            raise self.failed(fault) from fault

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until what this process has committed is durable; return whether it is."""
        if self._environment.options.durability == "process":
            return False
        return self.checkpoints is None or self.checkpoints.wait(timeout_s)

    def durable_up_to(self) -> int:
        """Return the last transaction that a power cut of this moment would leave."""
        options = self._environment.options
        if options.durability == "process":
            return 0
        newest = int(self._environment.handle.info()["last_txnid"])
        if self.checkpoints is None:
            return newest
        record = newest_record(options.directory, options.file_mode)
        # Without a record of this boot nothing was written in it.
        if record is None or not record.is_of_this_boot:
            return newest
        return record.transaction_id

    @property
    def _is_scratch(self) -> bool:
        return self._environment.options.durability == "process"

    # -- the end -----------------------------------------------------------------------------

    def close(self) -> None:
        """End, before the file is closed; the caller holds `write_lock`."""
        checkpoints, self.checkpoints = self.checkpoints, None
        agreement, self._agreement = self._agreement, None
        try:
            if checkpoints is not None:
                checkpoints.close()
            elif agreement and self._is_scratch and agreement.ends():
                self._end_checkpoints()
        finally:
            if agreement is not None:
                agreement.close()

    def replacing(self) -> None:
        """End, before another file takes the place of this one, within `alone`."""
        if self.checkpoints is not None:
            # Not `close`, which would wait for `checkpoint.lock`: who opens the store holds it, and
            # waits for us to be alone no more.
            self.checkpoints.discard()
            self.checkpoints = None
        # Meta pages of the old file must never be put into the new one.
        self._end_checkpoints()

    def replaced(self) -> None:
        """Begin again, for the other file."""
        options = self._environment.options
        if options.makes_checkpoints:
            self.checkpoints = Checkpoints(self._environment)
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
