"""Who is told what happens in stores and caches.

Knows: functions, and how they are called. Must not know: which events there are (`objcache.events`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, Final, Self

__all__ = ["LISTENERS", "Listening", "listen", "tell", "tell_all", "tell_full"]

_changing = threading.Lock()
_telling = threading.local()


class Listening:
    """A function that is told of events, until `close`; what `listen` returns.

    Concurrency: any thread. A child that goes on after a fork listens too.
    """

    __slots__ = ("_hook", "_kinds")

    def __init__(self, hook: Callable[[Any], object], kinds: tuple[type, ...]) -> None:
        self._hook = hook
        self._kinds = kinds

    def close(self) -> None:
        """Tell the function nothing any more. Idempotent."""
        with _changing:
            LISTENERS[:] = [other for other in LISTENERS if other is not self]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tell(self, event: object) -> None:
        """Call the function with *event*, if it is of a kind that it wants; raise nothing."""
        if self._kinds and type(event) not in self._kinds:
            return
        try:
            self._hook(event)
        except Exception:  # whatever it is, it must not break the cache
            import logging  # noqa: PLC0415  # not needed by those whose hooks are well

            logging.getLogger("objcache").exception(
                "the event hook %r failed on %s", self._hook, type(event).__name__
            )


LISTENERS: Final[list[Listening]] = []
"""Those who listen. Where it is empty nothing else is looked at, and no event is made."""


def listen(hook: Callable[[Any], object], *kinds: type) -> Listening:
    """Call *hook* with each event of this process from now on.

    It is called by the thread in which the event happened, after the step was committed, and holds
    up that thread: hand slow work to another one. What it raises is logged. What it does with
    stores and caches itself is not told.

    Args:
        hook: called with one event, a named tuple of `objcache.events`.
        kinds: those that it wants; none given are all.

    Returns:
        What ends it: call `close`, or use it as a context manager.

    Cost:
        Hits, and reads of a store, are no events and take as long as without. Where nobody listens
        a miss or a write looks at one empty list.

    >>> from objcache import Cache, events
    >>> with Cache.temporary() as cache, events.listen(print, events.Evicted):
    ...     small = cache.namespace("small", max_entries=1)
    ...     small["a"], small["b"] = 1, 2
    Evicted(path=..., names=('small',), key='a', size_bytes=..., tags=())
    """
    listening = Listening(hook, kinds)
    with _changing:
        LISTENERS.append(listening)
    return listening


def tell(event: object) -> None:
    """Tell all who listen of *event*, unless one of them has caused it."""
    if getattr(_telling, "now", False):
        return
    _telling.now = True
    try:
        for listening in tuple(LISTENERS):
            listening.tell(event)
    finally:
        _telling.now = False


def tell_full(path: str, error: Exception) -> None:
    """Tell that a write below *path* was refused."""
    from objcache.events import Full  # noqa: PLC0415  # loaded by those who listen

    tell(Full(path, error))


def tell_all(events: Iterable[object]) -> None:
    """Tell all who listen of some *events*."""
    for event in tuple(events):
        tell(event)
