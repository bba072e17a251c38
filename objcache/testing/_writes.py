"""Writes that fail as those to a full disk or a busy store do.

Knows: where all writes of an open file begin. Must not know: what is written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from objcache.cache import Cache
from objcache.engine import Environment, Transaction
from objcache.errors import StoreBusyError, StoreFullError
from objcache.memo import MemoizedFunction
from objcache.store import Namespace, Store

__all__ = ["FailingWrites", "Target", "environment_of", "failing_writes"]

Target = Store[Any, Any] | Namespace[Any, Any] | Cache[Any, Any] | MemoizedFunction[..., Any]

_Fault = Callable[[], object] | Exception | type[Exception]

_OF_STORES: Final = "the disk"


class FailingWrites:
    """How far a fault has come; what `failing_writes` gives.

    Attributes:
        seen: how many writes have begun.
        failed: how many of them have failed.
    """

    __slots__ = ("_counting", "_fault", "_first", "_last", "failed", "seen")

    def __init__(self, fault: Callable[[], object], first: int, last: int | None) -> None:
        self._fault = fault
        self._first = first
        self._last = last
        self._counting = threading.Lock()
        self.seen = 0
        self.failed = 0

    def step(self) -> None:
        """Let the write that begins fail, if it is one that is to."""
        with self._counting:
            self.seen += 1
            failing = self.seen >= self._first and (self._last is None or self.seen <= self._last)
            self.failed += failing
        if failing:
            self._fault()


@contextmanager
def failing_writes(
    target: Target,
    fault: _Fault = StoreFullError,
    *,
    after: int = 0,
    times: int | None = None,
) -> Iterator[FailingWrites]:
    """Make writes to the file of *target* fail in the block, of this process and all its threads.

    A write is a transaction: what belongs to one fails together, and nothing of it is written.

    Args:
        target: a store, a namespace, a cache, or a memoized function.
        fault: what is raised: `StoreFullError`, `StoreBusyError`, another exception or a class of
            one; or a function that is called at the beginning of the write, as `die`.
        after: how many writes go well before.
        times: how many fail then; None is all in the block. A cache that keeps results of memoized
            functions makes room and tries again where it is full: there each attempt counts.

    >>> with Store.temporary() as store:
    ...     with failing_writes(store, times=1) as writes:
    ...         try:
    ...             store["a"] = 1
    ...         except objcache.StoreFullError:
    ...             store["b"] = 2
    ...     dict(store), writes.seen, writes.failed
    ({'b': 2}, 2, 1)
    """
    environment = environment_of(target)
    last = None if times is None else after + times
    # One that no eviction helps against, so that a cache does not try again.
    bound = StoreFullError.LARGEST_ENTRY if isinstance(target, Cache) else _OF_STORES
    writes = FailingWrites(_raising(fault, environment, bound), after + 1, last)
    before = environment.durability
    environment.durability = _Failing(before, writes)  # type: ignore[assignment]
    try:
        yield writes
    finally:
        environment.durability = before


def environment_of(target: Any) -> Environment:
    """Return the open file of *target*.

    Raises:
        TypeError: it has none.
    """
    recall = getattr(target, "__objcache_recall__", None)
    mapping = target if recall is None else recall.results.current().mapping
    source = getattr(mapping, "_source", None)
    if source is None:
        raise TypeError(
            "this is a store, a namespace, a cache or a memoized function, not "
            f"{type(target).__name__}"
        )
    environment: Environment = source.environment
    return environment


class _Failing:
    """What keeps the promises of a file, where writes may fail before they begin."""

    def __init__(self, durability: Any, writes: FailingWrites) -> None:
        self._durability = durability
        self._writes = writes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._durability, name)

    def begin_write(self, wanted_bytes: int) -> Transaction:
        """Fail, or begin a write transaction."""
        self._writes.step()
        transaction: Transaction = self._durability.begin_write(wanted_bytes)
        return transaction


def _raising(fault: _Fault, environment: Environment, bound: str) -> Callable[[], object]:
    path, map_bytes = environment.options.directory, environment.options.map_bytes
    error: Any = fault
    if fault is StoreFullError:
        error = StoreFullError(path, map_bytes, None, bound)
    elif fault is StoreBusyError:
        error = StoreBusyError(path, "a fault of objcache.testing")
    elif isinstance(fault, type):
        error = fault("a fault of objcache.testing")
    elif not isinstance(fault, Exception):
        return fault

    def fail() -> None:
        raise error

    return fail
