"""Removing what is over now and then, though nobody writes.

Knows: a thread, and when it ends. Must not know: what is removed.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from objcache.errors import ObjcacheError, StoreClosedError

if TYPE_CHECKING:
    from objcache.cache._cache import Cache

__all__ = ["Sweeper", "checked_interval"]

_JOIN_S: Final = 10.0
_LONGEST_S: Final = 1e6


def checked_interval(interval_s: float | None) -> float | None:
    """Return *interval_s*, a number of seconds above 0, or None for never.

    Raises:
        ValueError: it is neither.
    """
    if interval_s is None:
        return None
    if type(interval_s) in {int, float} and 0 < interval_s <= _LONGEST_S:
        return interval_s
    raise ValueError(
        f"sweep_interval={interval_s!r} is not a number of seconds above 0 and up to "
        f"{_LONGEST_S:,.0f}, nor None for never"
    )


class Sweeper:
    """A thread that calls `expire` of some caches, until it is stopped or they are gone.

    Args:
        interval_s: between two sweeps.
        wait: waits so many seconds for the event that stops the thread; returns whether it is set.

    Attributes:
        swept: set after each sweep.

    Concurrency: a child that goes on after a fork has a thread of its own, from its next write or
        change of generation on.
    """

    __slots__ = ("__weakref__", "_caches", "_interval_s", "_stop", "_thread", "_wait", "swept")

    def __init__(
        self,
        interval_s: float,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        self._caches: weakref.WeakValueDictionary[int, Cache[Any, Any]] = (
            weakref.WeakValueDictionary()
        )
        self._interval_s = interval_s
        self._wait = wait
        self.swept = threading.Event()
        self.start()

    def start(self) -> None:
        """Begin to sweep, with a new thread."""
        self._stop = threading.Event()
        # It must not keep this alive: what nobody has any more needs no sweep.
        self._thread = threading.Thread(
            target=_sweep_on,
            args=(weakref.ref(self), self._stop, self._wait, self._interval_s),
            name="objcache sweeper",
            daemon=True,
        )
        self._thread.start()

    def watch(self, cache: Cache[Any, Any]) -> None:
        """Sweep *cache* too."""
        self._caches[id(cache)] = cache  # a mapping has no hash

    def sweep(self) -> None:
        """Remove from all caches what is over."""
        for cache in list(self._caches.values()):
            try:
                cache.sweep()
            except StoreClosedError:
                self._stop.set()
            except ObjcacheError as error:
                logging.getLogger("objcache").warning(
                    "the cache at %r could not be swept: %s", cache.directory, error
                )
        self.swept.set()

    def stop(self, *, join: bool) -> None:
        """End the thread; wait for that unless it may itself wait for the caller."""
        self._stop.set()
        if join and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)


def _sweep_on(
    sweeper: weakref.ref[Sweeper],
    stop: threading.Event,
    wait: Callable[[threading.Event, float], bool],
    interval_s: float,
) -> None:
    while not wait(stop, interval_s):
        found = sweeper()
        if found is None:
            return
        found.sweep()
        del found
