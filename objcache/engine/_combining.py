"""Writes of several threads that wait at the same moment, in one transaction.

Knows: who waits with what. Must not know: what is written.

"Flat combining": Hendler, Incze, Shavit, Tzafrir, SPAA 2010: who gets the lock does the work of
all who wait for it. With `durability="commit"` they share the flushes, else the pages.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from objcache.engine._environment import Environment
    from objcache.engine._transactions import Transaction

__all__ = ["WriteQueue"]

_MOST_WRITES: Final = 1000

T = TypeVar("T")


class _Waiting:
    """One write, until it is done.

    Attributes:
        turn: set when it is done, or when its thread may find the lock free.
    """

    __slots__ = ("done", "error", "function", "result", "turn", "wanted_bytes")

    def __init__(self, function: Callable[[Transaction], Any], wanted_bytes: int) -> None:
        self.function = function
        self.wanted_bytes = wanted_bytes
        self.result: Any = None
        self.error: Exception | None = None
        self.done = False
        self.turn = threading.Event()


class WriteQueue:
    """The writes of one environment that found another one under way.

    Nobody waits for the lock itself: who was led would stand behind the next leader's flush before
    it saw that its write is done. Whoever lets the lock go calls `pass_on`.

    Attributes:
        waiting: those that nobody has taken yet.
    """

    __slots__ = ("_environment", "waiting")

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.waiting: deque[_Waiting] = deque()

    def write(self, function: Callable[[Transaction], T], wanted_bytes: int = 0) -> T:
        """Return what *function* did, in a transaction with others or one of its own.

        Args:
            function: may be run by another thread, and once more if another's write failed.
            wanted_bytes: that it writes, for messages.
        """
        own = _Waiting(function, wanted_bytes)
        self.waiting.append(own)
        lock = self._environment.write_lock
        try:
            while not own.done:
                # After the append: who holds the lock looks at the queue after letting it go.
                if lock.acquire(blocking=False):
                    try:
                        self._lead()
                    finally:
                        lock.release()
                        self.pass_on()
                else:
                    own.turn.wait()
                    own.turn.clear()
        except BaseException:
            # As Ctrl-C while it waited: it is not to be written any more, unless somebody is at it.
            with contextlib.suppress(ValueError):
                self.waiting.remove(own)
            self.pass_on()
            raise
        if own.error is not None:
            raise own.error
        result: T = own.result
        return result

    def pass_on(self) -> None:
        """Wake the one that waits longest, after the lock was let go."""
        try:
            first = self.waiting[0]
        except IndexError:
            return
        first.turn.set()

    def _lead(self) -> None:
        batch: list[_Waiting] = []
        while self.waiting and len(batch) < _MOST_WRITES:
            batch.append(self.waiting.popleft())
        try:
            if len(batch) == 1 or not self._together(batch):
                for one in batch:
                    self._alone(one)
        finally:
            # Left over only after what is not ours to catch, as Ctrl-C: the others go on.
            self.waiting.extendleft(one for one in reversed(batch) if not one.done)
            for one in batch:
                one.turn.set()

    def _together(self, batch: list[_Waiting]) -> bool:
        """Do all of *batch* in one transaction; return whether that went well."""
        environment = self._environment
        try:
            transaction = environment.begin_write(
                wanted_bytes=sum(one.wanted_bytes for one in batch)
            )
            try:
                for one in batch:
                    one.result = one.function(transaction)
                transaction.commit()
            except BaseException:
                transaction.abort()
                raise
        except Exception:  # noqa: BLE001  # whose fault it is shows when each is alone
            return False
        for one in batch:
            one.done = True
        return True

    def _alone(self, one: _Waiting) -> None:
        try:
            one.result = self._environment.write_once(one.function, one.wanted_bytes)
        except Exception as error:  # noqa: BLE001  # raised by the thread it belongs to
            one.error = error
        one.done = True
