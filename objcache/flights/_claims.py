"""Who makes what, in this process; the others wait for what comes of it.

Knows: claims, and who holds them. Must not know: how processes lock each other out.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from objcache.clock import SYSTEM_CLOCK
from objcache.flights._line import Line
from objcache.flights._locks import PLACE_BYTES, Lock, lock_of

if TYPE_CHECKING:
    import asyncio

__all__ = ["Claim", "Flights", "Landed", "WaitTimeoutError", "flights_of"]

_held: ContextVar[tuple[tuple[Flights, bytes], ...]] = ContextVar("objcache_claims", default=())


class WaitTimeoutError(Exception):
    """Whoever makes the thing took longer than the caller would wait."""


class Landed:
    """What another thread or task of this process has made.

    Attributes:
        stored: whether it can be read where it was to be stored.
        result: the thing itself; shared with the one who made it.
    """

    __slots__ = ("result", "stored")

    def __init__(self, result: Any, *, stored: bool) -> None:
        self.result = result
        self.stored = stored


class Outcome:
    """What came of a claim: threads wait for it, tasks are told.

    Not a future of `concurrent.futures`: its import would take longer than the whole rest, and a
    child forked by another thread meanwhile could never finish it.
    """

    __slots__ = ("_over", "_tell", "landed")

    def __init__(self) -> None:
        self.landed: Landed | None = None
        self._over = threading.Event()
        self._tell: list[Callable[[], None]] = []

    @property
    def over(self) -> bool:
        """Whether it has come."""
        return self._over.is_set()

    def wait(self, timeout_s: float | None) -> bool:
        """Wait for it; return whether it came in time."""
        return self._over.wait(timeout_s)

    def tell(self, wake: Callable[[], None]) -> None:
        """Call *wake* once it comes, perhaps twice, from any thread; now if it has come."""
        # Append, then look; `come` sets, then calls: one of the two sees the other.
        self._tell.append(wake)
        if self.over:
            wake()

    def come(self, landed: Landed | None) -> None:
        """Wake all who wait."""
        self.landed = landed
        self._over.set()
        for wake in self._tell:
            with contextlib.suppress(RuntimeError):  # its loop is closed
                wake()


class Claim:
    """The right, and the duty, to make the thing; `release` it whatever happens.

    Between `enter` and `release`, which belong in one thread or task, recursion does not wait
    for itself.
    """

    __slots__ = ("_flights", "_process", "_token", "key", "lock", "outcome")

    def __init__(self, flights: Flights, key: bytes) -> None:
        self.key = key
        self.outcome = Outcome()
        self.lock: Lock | None = None
        self._flights = flights
        self._process = os.getpid()
        self._token: Token[tuple[tuple[Flights, bytes], ...]] | None = None

    def enter(self) -> None:
        """Let what this thread or task calls from here on ask for the same thing itself."""
        self._token = _held.set((*_held.get(), (self._flights, self.key)))

    def release(self, landed: Landed | None = None) -> None:
        """Wake the others: with what was made, or for one of them to try. Idempotent."""
        token, self._token = self._token, None
        if token is not None:
            # A coroutine that its loop has dropped is closed in another context.
            with contextlib.suppress(ValueError):
                _held.reset(token)
        # In a forked child its waiters are not here, and one may have held a lock of the outcome.
        if self._process != os.getpid() or self.outcome.over:
            return
        # Whatever interrupts this, nobody waits for ever.
        try:
            if self.lock is not None:
                self.lock.release()
        finally:
            try:
                self._flights.forget(self)
            finally:
                self.outcome.come(landed)


class Flights:
    """All claims on the things of one directory; get it from `flights_of`.

    Keys are digests, or their first 8 bytes differ for another reason: where those are equal,
    processes wait for each other although they want different things. That costs time and nothing
    else.

    Args:
        directory: where the lock file is; None for claims within this process only.
        mode: of a new lock file.

    Concurrency: any thread, any task; a table entry is made by one atomic step on a dict, so
        there is no lock that a signal handler or a forked child could find taken.
    """

    def __init__(self, directory: str | None, *, mode: int = 0o600) -> None:
        self._directory = directory
        self._mode = mode
        self._flying: dict[bytes, Claim] = {}
        self._line = Line()

    def claim(self, key: bytes, timeout_s: float | None = None) -> Claim | Landed | None:
        """Return the claim on *key*, or what another caller has made meanwhile.

        None: the caller itself holds the claim further up, and goes ahead without one. Where
        the file system has no locks, or the directory cannot be written, a claim is one within
        this process.

        Raises:
            WaitTimeoutError: the others took longer than *timeout_s*.
        """
        give_up_at = _moment(timeout_s)
        while True:
            claim, mine = self._join(key)
            if claim is None:
                return None
            if mine:
                break
            if not claim.outcome.wait(_left(give_up_at)):
                raise WaitTimeoutError
            if claim.outcome.landed is not None:
                return claim.outcome.landed
        try:
            claim.lock = self._locked(key, give_up_at)
        except OSError:  # no locks to be had: one flight in each process
            return claim
        except BaseException:
            claim.release()
            raise
        return claim

    async def claim_async(
        self, key: bytes, timeout_s: float | None = None
    ) -> Claim | Landed | None:
        """Do what `claim` does, without blocking the event loop."""
        give_up_at = _moment(timeout_s)
        while True:
            claim, mine = self._join(key)
            if claim is None:
                return None
            if mine:
                break
            told, wake = _bell()
            claim.outcome.tell(wake)
            await _within(told, _left(give_up_at))
            if claim.outcome.landed is not None:
                return claim.outcome.landed
        try:
            claim.lock = await self._locked_async(key, give_up_at)
        except OSError:  # no locks to be had: one flight in each process
            return claim
        except BaseException:
            claim.release()
            raise
        return claim

    def forget(self, claim: Claim) -> None:
        """Take a claim that is released from the table."""
        if self._flying.get(claim.key) is claim:
            del self._flying[claim.key]

    def after_fork_in_child(self) -> None:
        """Forget the claims of the parent's threads, which are not here."""
        self._flying = {}
        self._line = Line()

    def _join(self, key: bytes) -> tuple[Claim | None, bool]:
        """Return the claim on *key* and whether it is the caller's; None for recursion."""
        if (self, key) in _held.get():
            return None, False
        found = self._flying.get(key)
        if found is not None:
            return found, False
        claim = Claim(self, key)
        try:
            found = self._flying.setdefault(key, claim)
        except BaseException:  # from a signal handler
            claim.release()
            raise
        return found, found is claim

    def _locked(self, key: bytes, give_up_at: float | None) -> Lock | None:
        """Return the lock between processes, held; None where there is to be none."""
        lock = self._new_lock(key)
        if lock is None:
            return None
        if lock.attempt():
            return lock
        left_s = _left(give_up_at)
        if left_s is None:
            lock.wait()
            return lock
        if left_s == 0:
            lock.release()
            raise WaitTimeoutError
        got = threading.Event()
        turn = self._line.join(key, lock, got.set)
        try:
            in_time = got.wait(left_s)
        except BaseException:
            self._line.leave(turn)
            raise
        if not in_time:
            self._line.leave(turn)
            raise WaitTimeoutError
        return turn.lock

    async def _locked_async(self, key: bytes, give_up_at: float | None) -> Lock | None:
        lock = self._new_lock(key)
        if lock is None:
            return None
        if lock.attempt():
            return lock
        left_s = _left(give_up_at)
        if left_s == 0:
            lock.release()
            raise WaitTimeoutError
        got, wake = _bell()
        turn = self._line.join(key, lock, wake)
        try:
            await _within(got, left_s)
        except BaseException:
            self._line.leave(turn)
            raise
        return turn.lock

    def _new_lock(self, key: bytes) -> Lock | None:
        if self._directory is None:
            return None
        place = key[:PLACE_BYTES]
        if any(flights is self and held.startswith(place) for flights, held in _held.get()):
            return None  # another thing at the same offset: the caller would wait for itself
        return lock_of(self._directory, key, self._mode)


def _moment(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else SYSTEM_CLOCK.monotonic() + timeout_s


def _left(give_up_at: float | None) -> float | None:
    return None if give_up_at is None else max(0.0, give_up_at - SYSTEM_CLOCK.monotonic())


def _bell() -> tuple[asyncio.Event, Callable[[], None]]:
    """Return what a task waits for, and what any thread calls to end that.

    The call raises RuntimeError when the loop is closed: nobody waits any more.
    """
    import asyncio  # noqa: PLC0415  # loaded by those who use it

    loop = asyncio.get_running_loop()
    rung = asyncio.Event()

    def ring() -> None:
        loop.call_soon_threadsafe(rung.set)

    return rung, ring


async def _within(event: asyncio.Event, timeout_s: float | None) -> None:
    import asyncio  # noqa: PLC0415

    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        raise WaitTimeoutError from None


# -- one for each directory ------------------------------------------------------------------

_flights: dict[str | None, Flights] = {}


def flights_of(directory: str | None, *, mode: int = 0o600) -> Flights:
    """Return the claims on what is in *directory*, the same for all its users of this process.

    Args:
        directory: None for claims within this process only.
        mode: of a new lock file.
    """
    place = None if directory is None else os.path.realpath(directory)
    found = _flights.get(place)
    if found is None:
        found = _flights.setdefault(place, Flights(place, mode=mode))
    return found


def _after_fork_in_child() -> None:
    for flights in _flights.values():
        flights.after_fork_in_child()


os.register_at_fork(after_in_child=_after_fork_in_child)
