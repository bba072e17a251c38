"""Counters and queues in a cache: values that are made from what is there.

Knows: how a value follows from another, in one step. Must not know: records.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar, cast

from objcache.cache._blobs import CacheBlobs
from objcache.cache._writing import Tags
from objcache.keys import key_of, prefix_range
from objcache.protocols import MISSING, Missing
from objcache.store._scan import scan

__all__ = ["CacheCounters"]

K = TypeVar("K")
V = TypeVar("V")

_QUEUE: Final = "objcache.queue"
_LONGEST_NAME_BYTES: Final = 200


class CacheCounters(CacheBlobs[K, V]):
    """A cache with steps that read a value and write another."""

    __slots__ = ()

    def update_with(self, key: K, function: Callable[[V], V], default: V | Missing = MISSING) -> V:
        """Replace the value of *key* by `function(value)`, atomically; return the new value.

        Deadline and tags of the entry stay. *function* is called with the write transaction
        open: keep it short. It is called again if the file was full.

        Args:
            key: whose value.
            function: makes the new value; if it raises, nothing is changed.
            default: what *function* gets where there is no live value.

        Raises:
            KeyError: no live entry, and no default.
        """

        def step() -> V:
            found = self._found(key)
            if found is None:
                if default is MISSING:
                    raise KeyError(key)
                value = function(default)
                self.set(key, value)
                return value
            value = function(found.value)
            self._admit(key, value, found.header.deadline_us, found.header.tags)
            return value

        return self._atomic(step)

    def incr(self, key: K, delta: int = 1, default: int | Missing = MISSING) -> int:
        """Add *delta* to the number at *key*, atomically; return the new number.

        Args:
            key: whose number; deadline and tags stay.
            delta: what to add.
            default: what is added to where there is no live entry; 0 if left out.

        >>> from objcache.cache import Cache
        >>> with Cache.temporary() as cache:
        ...     cache.incr("visits"), cache.incr("visits", 10), cache.decr("visits")
        (1, 11, 10)
        """
        start: Any = 0 if default is MISSING else default

        def added(value: Any) -> Any:
            return value + delta

        return cast(int, self.update_with(key, added, start))

    def decr(self, key: K, delta: int = 1, default: int | Missing = MISSING) -> int:
        """Take *delta* from the number at *key*, atomically; see `incr`."""
        return self.incr(key, -delta, default)

    def push(
        self,
        value: V,
        *,
        queue: str = "",
        side: Literal["back", "front"] = "back",
        expire: float | Missing | None = MISSING,
        tag: Tags = None,
    ) -> tuple[str, str, int]:
        """Put *value* into a queue, atomically; return the key that it is stored under.

        It is an entry as others are: it expires, and may be evicted. A queue that must lose
        nothing is kept in a `Store`, or in a cache with `on_full="error"`.

        Args:
            value: what.
            queue: which.
            side: `"back"`, or `"front"` for what is to be pulled next.
            expire: as for `set`.
            tag: as for `set`.

        >>> from objcache.cache import Cache
        >>> with Cache.temporary() as cache:
        ...     for job in ("a", "b"):
        ...         key = cache.push(job)
        ...     cache.pull(), cache.pull(), cache.pull()
        ('a', 'b', None)
        """
        forward = _is_back(side)
        _check_name(queue)

        def step() -> tuple[str, str, int]:
            last = self._end_of(queue, reverse=forward)
            number = 0 if last is None else last + (1 if forward else -1)
            key = (_QUEUE, queue, number)
            self.set(cast(K, key), value, expire, tag)
            return key

        return self._atomic(step)

    def pull(
        self, *, queue: str = "", side: Literal["back", "front"] = "front", default: Any = None
    ) -> Any:
        """Remove the value at one end of a queue and return it, atomically; *default* if it is empty.

        Args:
            queue: which.
            side: `"front"`: what was pushed first, or `"back"`.
            default: what is returned where there is no live value.
        """
        reverse = _is_back(side)
        _check_name(queue)

        def step() -> Any:
            for key, value in self.prefix((_QUEUE, queue), reverse=reverse):
                if _number_in(key) is not None:
                    self.delete(key)
                    return value
            return default

        return self._atomic(step)

    def _end_of(self, queue: str, *, reverse: bool) -> int | None:
        """Return the number of the last entry of a queue, live or not; None if it has none."""
        prefix = self._rules.prefix
        low, high = prefix_range(prefix, (_QUEUE, queue))[:2]
        for located, _ in scan(
            self._source, low, high, lambda _: False, reverse=reverse, first_batch=1
        ):
            number = _number_in(key_of(len(prefix), located, b""))
            if number is not None:
                return number
        return None


def _number_in(key: Any) -> int | None:
    """Return the number of the *key* of an entry of a queue; None for another key."""
    return key[2] if len(key) == 3 and type(key[2]) is int else None


def _check_name(queue: object) -> None:
    # What lies under a shortened key has no order.
    if not isinstance(queue, str) or len(queue.encode(errors="replace")) > _LONGEST_NAME_BYTES:
        raise ValueError(
            f"a queue is named by text of {_LONGEST_NAME_BYTES} bytes at most, not {queue!r:.50}"
        )


def _is_back(side: str) -> bool:
    if side not in {"back", "front"}:
        raise ValueError(f"side={side!r} is neither 'back' nor 'front'")
    return side == "back"
