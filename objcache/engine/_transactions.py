"""Write transactions and snapshots: who may use them, and until when.

Knows: owners and ends. Must not know: how the environment gets its locks.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from objcache.engine._faults import EngineFault, translated
from objcache.errors import ForkedStoreError, TransactionClosedError, WrongThreadError

if TYPE_CHECKING:
    import lmdb

__all__ = ["ReadSnapshot", "Transaction", "WriteTransaction"]

FORKED: Final = "forked"

T = TypeVar("T")

Transaction: TypeAlias = "lmdb.Transaction[bytes]"
"""What reads and writes bytes; hands out copies, never views (I6)."""


class WriteTransaction:
    """The write transaction of one thread, with the nested ones inside it.

    I2, I5: py-lmdb accepts a transaction in another thread, and in a forked child; the first
    blocks the next writer for ever, the second damages the parent. Both are refused here.
    """

    __slots__ = ("_ended", "_stack", "owner")

    def __init__(self, outermost: lmdb.Transaction[bytes]) -> None:
        self.owner = get_ident()
        self._stack = [outermost]
        self._ended = ""

    @property
    def depth(self) -> int:
        """How many transactions are open, one inside the other; 0 when it has ended."""
        return 0 if self._ended else len(self._stack)

    def current(self) -> lmdb.Transaction[bytes]:
        """Return the innermost transaction.

        Raises:
            WrongThreadError, ForkedStoreError, TransactionClosedError: it cannot be used here.
        """
        if self._ended:
            self._raise_ended()
        if get_ident() != self.owner:
            raise WrongThreadError("transaction")
        return self._stack[-1]

    def nest(self, inner: lmdb.Transaction[bytes]) -> None:
        """Make *inner* the innermost transaction."""
        self._stack.append(inner)

    def unnest(self) -> lmdb.Transaction[bytes]:
        """Take the innermost transaction off; the caller ends it."""
        return self._stack.pop()

    def end(self, reason: str) -> None:
        """Abort all that is open; every later use raises with *reason*. Idempotent."""
        if self._ended:
            return
        self._ended = reason
        if reason == FORKED:
            # The child must neither abort what belongs to the parent nor drop it: with the last
            # reference lmdb would close the environment, and wait for a thread that is not here.
            return
        stack, self._stack = self._stack, []
        for transaction in reversed(stack):
            transaction.abort()

    def _raise_ended(self) -> None:
        if self._ended == FORKED:
            raise ForkedStoreError("transaction")
        raise TransactionClosedError("transaction", self._ended)


class ReadSnapshot:
    """One read transaction that is kept: the store as it was at one moment.

    A source of reads like a session, whose `begin` always returns the same transaction.
    """

    __slots__ = ("__weakref__", "_ended", "_forget", "_transaction", "directory")

    def __init__(
        self,
        transaction: lmdb.Transaction[bytes],
        forget: Callable[[ReadSnapshot], None],
        directory: str,
    ) -> None:
        self._transaction: lmdb.Transaction[bytes] | None = transaction
        self._forget = forget
        self.directory = directory
        self._ended = ""

    def begin(self) -> lmdb.Transaction[bytes]:
        """Return the transaction; the caller must not end it.

        Raises:
            TransactionClosedError, ForkedStoreError: it has ended, or belongs to the parent.
        """
        if self._transaction is None:
            if self._ended == FORKED:
                raise ForkedStoreError("snapshot")
            raise TransactionClosedError("snapshot", self._ended)
        return self._transaction

    def read(self, function: Callable[[lmdb.Transaction[bytes]], T]) -> T:
        """Return what *function* makes of the transaction; it must return no views."""
        try:
            return function(self.begin())
        except EngineFault as fault:
            raise translated(fault, self.directory) from fault

    def get_again(self, _engine_key: bytes, fault: EngineFault) -> bytes | None:
        """Raise what *fault* means: a snapshot cannot be begun again."""
        raise translated(fault, self.directory) from fault

    def end(self, reason: str) -> None:
        """Let the pages of that moment be used again. Idempotent."""
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            self._ended = reason
            if reason != FORKED:
                transaction.abort()
                self._forget(self)
