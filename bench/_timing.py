"""How one call is timed.

Knows: the clock. Must not know: what it times.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter_ns
from typing import Any

__all__ = ["time_calls", "time_pairs", "timer_cost_ns", "without_gc"]


@contextmanager
def without_gc() -> Iterator[None]:
    """Keep the garbage collector off inside the block."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def time_calls(operation: Callable[[Any], object], arguments: Iterable[Any]) -> list[int]:
    """Return the nanoseconds of each `operation(argument)`; nothing is subtracted."""
    clock = perf_counter_ns
    taken: list[int] = []
    append = taken.append
    with without_gc():
        for argument in arguments:
            begun = clock()
            operation(argument)
            append(clock() - begun)
    return taken


def time_pairs(
    operation: Callable[[Any, Any], object], arguments: Iterable[tuple[Any, Any]]
) -> list[int]:
    """Return the nanoseconds of each `operation(first, second)`; nothing is subtracted."""
    clock = perf_counter_ns
    taken: list[int] = []
    append = taken.append
    with without_gc():
        for first, second in arguments:
            begun = clock()
            operation(first, second)
            append(clock() - begun)
    return taken


def timer_cost_ns() -> float:
    """Return what `time_calls` reports for a C function that does nothing: `callable(None)`."""
    return median(time_calls(callable, [None] * 20_000))
