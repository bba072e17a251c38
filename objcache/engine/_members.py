"""Who uses an environment: sessions that are told of each change, snapshots that can be ended.

Knows: the two sets. Must not know: why the state changes.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from objcache.engine._transactions import ReadSnapshot

if TYPE_CHECKING:
    from objcache.engine._session import Session
    from objcache.engine._transactions import Transaction

__all__ = ["Members"]


class Members:
    """The sessions and snapshots of one environment.

    Concurrency: any thread. The lock is reentrant, as a collected snapshot leaves in the middle
    of anything, and nothing is waited for while it is held.
    """

    __slots__ = ("_lock", "_sessions", "_snapshots")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        self._snapshots: weakref.WeakSet[ReadSnapshot] = weakref.WeakSet()

    def join(
        self, session: Session, begin_function: Callable[[], Callable[[], Transaction]]
    ) -> None:
        """Add *session*, with the `begin` of now."""
        with self._lock:
            self._sessions.add(session)
            session.begin = begin_function()

    def leave(self, session: Session) -> None:
        """Change the `begin` of *session* no more."""
        with self._lock:
            self._sessions.discard(session)

    def rewire(self, begin_function: Callable[[], Callable[[], Transaction]]) -> None:
        """Give each session the `begin` of now."""
        with self._lock:
            begin = begin_function()
            for session in self._sessions:
                session.begin = begin

    def keep(self, snapshot: ReadSnapshot) -> None:
        """Add *snapshot*."""
        with self._lock:
            self._snapshots.add(snapshot)

    def forget(self, snapshot: ReadSnapshot) -> None:
        """Remove *snapshot*."""
        with self._lock:
            self._snapshots.discard(snapshot)

    def snapshots(self) -> list[ReadSnapshot]:
        """Return the snapshots that are open."""
        with self._lock:
            return list(self._snapshots)

    def end_snapshots(self, reason: str) -> None:
        """End all snapshots; later use of them raises with *reason*."""
        for snapshot in self.snapshots():
            snapshot.end(reason)

    def after_fork_in_child(self) -> None:
        """Forget a lock that a thread of the parent may have held."""
        self._lock = threading.RLock()
