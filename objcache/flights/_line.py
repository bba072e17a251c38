"""Threads that wait for locks of other processes, for those who will not wait for ever.

Knows: who waits in which thread. Must not know: what the locks are for.
"""

from __future__ import annotations

import contextlib
import errno
import threading
from collections.abc import Callable

from objcache.flights._locks import Lock

__all__ = ["Line", "Turn"]


class Turn:
    """One thread that waits for one lock, and whom it tells; None: everybody gave up."""

    __slots__ = ("key", "lock", "over", "tell")

    def __init__(self, key: bytes, lock: Lock, tell: Callable[[], None]) -> None:
        self.key = key
        self.lock = lock
        self.tell: Callable[[], None] | None = tell
        self.over = False


class Line:
    """The threads that wait for locks.

    Nothing ends a thread's wait for a lock. So who gives up leaves the thread to the next one who
    wants the same: however many give up, one thread waits for each lock. If nobody comes, the
    lock is released as soon as it is got.
    """

    def __init__(self) -> None:
        self._guard = threading.RLock()
        self._given_up: dict[bytes, Turn] = {}

    def join(self, key: bytes, lock: Lock, tell: Callable[[], None]) -> Turn:
        """Wait for *lock*, or one of the same key; call *tell* once it is held.

        Args:
            key: what is wanted.
            lock: not held; the turn may be that of another one.
            tell: raises RuntimeError if nobody waits any more.

        Raises:
            OSError: there can be no more threads.
        """
        with self._guard:
            turn = self._given_up.pop(key, None)
            if turn is not None:
                turn.tell = tell
        if turn is not None:
            lock.release()
            return turn
        turn = Turn(key, lock, tell)
        # Not in a pool: waiters that fill it would stop those who could release the lock.
        waiting = threading.Thread(
            target=self._wait, args=(turn,), name="objcache-flight", daemon=True
        )
        try:
            waiting.start()
        except RuntimeError as error:
            lock.release()
            raise OSError(errno.EAGAIN, str(error)) from error
        except BaseException:
            turn.tell = None  # not known whether it runs: nobody can take it over
            raise
        return turn

    def leave(self, turn: Turn) -> None:
        """Give up: now, or as soon as the thread has got it, the lock is released."""
        with self._guard:
            turn.tell = None
            if not turn.over:
                self._given_up[turn.key] = turn
                return
        turn.lock.release()

    def _wait(self, turn: Turn) -> None:
        # No lock to be had: the caller goes ahead, nothing is wrong but the work.
        with contextlib.suppress(OSError):
            turn.lock.wait()
        with self._guard:
            turn.over = True
            if self._given_up.get(turn.key) is turn:
                del self._given_up[turn.key]
            tell = turn.tell
        try:
            if tell is not None:
                tell()
                return
        except RuntimeError:
            pass
        turn.lock.release()
