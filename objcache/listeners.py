"""Who is told what happens in stores and caches.

Knows: functions, and how they are called. Must not know: which events there are (`objcache.events`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, Final, Self

__all__ = [
    "LISTENERS",
    "Listening",
    "held_so_far",
    "hold",
    "listen",
    "release",
    "tell",
    "tell_all",
    "tell_full",
    "undo_since",
]

_changing = threading.Lock()


class _Telling(threading.local):
    """What a thread is at: calling hooks, or in a transaction whose end nobody knows yet."""

    now = False
    held: list[tuple[object, bool]] | None = None


_telling = _Telling()


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

    It is called by the thread in which the event happened, after the commit of what was written
    (of the whole block, within `transaction()`; not at all if that is rolled back), and holds up
    that thread: hand slow work to another one. What it raises is logged. What it does with
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


def hold() -> list[tuple[object, bool]] | None:
    """Tell what happens in this thread only at `release`; return what is held, None if it was."""
    if _telling.held is not None:
        return None
    held: list[tuple[object, bool]] = []
    _telling.held = held
    return held


def release(held: list[tuple[object, bool]], *, committed: bool) -> None:
    """Tell what was *held*; what was written only if it was *committed*."""
    _telling.held = None
    for event, written in held:
        if committed or not written:
            tell(event)


def held_so_far() -> int:
    """Return how many events are held."""
    return len(_telling.held or ())


def undo_since(count: int) -> None:
    """Forget what was written since *count* events were held: it was rolled back."""
    if _telling.held is not None:
        _telling.held[count:] = [one for one in _telling.held[count:] if not one[1]]


def tell(event: object, *, written: bool = False) -> None:
    """Tell all who listen of *event*, unless one of them has caused it.

    Args:
        event: what happened.
        written: whether it happens with the commit: not at all where that is rolled back.
    """
    if _telling.now:
        return
    if _telling.held is not None:
        _telling.held.append((event, written))
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
    """Tell all who listen of some *events*, which happen with a commit."""
    for event in tuple(events):
        tell(event, written=True)
