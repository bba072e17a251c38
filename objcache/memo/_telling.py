"""What memoized functions tell those who listen.

Knows: which event a run or a failure makes. Must not know: who listens.
"""

from __future__ import annotations

from objcache.listeners import LISTENERS, tell

__all__ = ["tell_computed", "tell_failed"]


def tell_computed(function: str, seconds: float, *, stored: bool, raised: bool = False) -> None:
    """Tell that *function* ran to its end, if anybody listens."""
    if not LISTENERS:
        return
    from objcache.events import Computed  # noqa: PLC0415  # loaded by those who listen

    tell(Computed(function, seconds, stored, raised))


def tell_failed(function: str, step: str, error: Exception) -> None:
    """Tell that a result of *function* could not be kept or read."""
    from objcache.events import ResultFailed  # noqa: PLC0415  # as above

    tell(ResultFailed(function, step, error))
