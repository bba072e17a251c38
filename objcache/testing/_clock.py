"""A clock that people and time servers set.

Knows: two readings. Must not know: who reads them.
"""

from __future__ import annotations

from objcache.clock import ManualClock

__all__ = ["JumpingClock"]


class JumpingClock(ManualClock):
    """A clock that moves only when told to, and can be set to another time meanwhile.

    Deadlines go by the time of day, which jumps; timeouts and durations by a clock that does not.

    >>> clock = JumpingClock(100.0)
    >>> clock.advance(1)
    >>> clock.jump(-3600)
    >>> clock.now(), clock.monotonic()
    (-3499.0, 101.0)
    """

    def __init__(self, start: float = 1_000_000.0) -> None:
        super().__init__(start)
        self._jumped = 0.0

    def now(self) -> float:
        """Seconds since the epoch, as the clock is set."""
        return super().now() + self._jumped

    def jump(self, seconds: float) -> None:
        """Set the time of day *seconds* ahead, or back, while no time passes."""
        self._jumped += seconds
