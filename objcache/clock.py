"""Where objcache gets the time from.

Knows: the system's clocks. Must not know: what the time is used for.
The only module of the package that may call the `time` module (tests/packaging checks it).
"""

from __future__ import annotations

import time
from typing import Final, Protocol

__all__ = [
    "LOADED_AT",
    "MICROSECONDS",
    "SYSTEM_CLOCK",
    "Clock",
    "ManualClock",
    "SystemClock",
    "in_seconds",
    "nanoseconds",
]

MICROSECONDS: Final = 1_000_000
"""How many make a second. Records and rows tell the time in them."""


def in_seconds(moment_us: int | None) -> float | None:
    """Return a moment, or a span, in seconds; None for none."""
    return None if moment_us is None else moment_us / MICROSECONDS


class Clock(Protocol):
    """A source of time; pass another one to make time an argument."""

    def now(self) -> float:
        """Seconds since the Unix epoch, as written into records."""
        ...

    def monotonic(self) -> float:
        """Seconds of a clock that never goes backwards, for timeouts and durations."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let *seconds* pass."""
        ...


class SystemClock:
    """The clocks of the operating system."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never goes backwards."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Suspend the calling thread for *seconds*."""
        time.sleep(seconds)


class ManualClock:
    """A clock that moves only when told to, for tests.

    >>> clock = ManualClock(100.0)
    >>> clock.advance(2.5)
    >>> clock.now()
    102.5
    """

    def __init__(self, start: float = 1_000_000.0) -> None:
        self._now = start

    def now(self) -> float:
        """Seconds since the epoch, as last set."""
        return self._now

    def monotonic(self) -> float:
        """The same reading as `now`."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Return at once, *seconds* later by this clock."""
        self._now += seconds

    def advance(self, seconds: float) -> None:
        """Move time forward by *seconds*."""
        self._now += seconds


SYSTEM_CLOCK: Final[Clock] = SystemClock()
"""The clock that is used where none is passed."""

nanoseconds: Final = time.perf_counter_ns
"""The system's finest clock, from an arbitrary moment: for those who measure single calls."""

LOADED_AT: Final = time.time()
"""When this process loaded objcache, in seconds since the Unix epoch."""
