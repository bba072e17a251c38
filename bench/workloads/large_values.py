"""How long do large values take: an array of 100 MB, and a frame of 100,000 rows?"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from bench._timing import time_calls, time_pairs
from bench._values import KINDS
from bench.engines import ARRAYS, FRAMES, VIEWS, Engine, Handle
from bench.workloads._workload import Subject, Workload

__all__ = ["WORKLOADS", "Large"]

_KEYS: Final = ("first", "second")
_FEWER: Final = 4
_MAKE: Final = {kind.name.removeprefix("key_"): kind.make for kind in KINDS}
_Time = Callable[[Handle, Sequence[Any], Sequence[str]], list[int]]


class Large(Workload):
    """One operation on one large value."""

    def __init__(self, name: str, title: str, question: str, needs: str, time: _Time) -> None:
        self.name = name  # type: ignore[misc]  # several workloads of one class
        self.title = title  # type: ignore[misc]
        self.question = question  # type: ignore[misc]
        self.needs = needs  # type: ignore[misc]
        self.writes = name.endswith("_set")  # type: ignore[misc]
        self._kind = name.partition("_")[0]
        self._time = time

    def rounds(self, asked: int) -> int:
        """Return fewer: the disk is flushed before each slice."""
        return max(1, asked // _FEWER)

    def subjects(self, engines: Iterable[Engine], directory: str) -> list[Subject]:
        """Return the rows, or none where pandas is not installed."""
        if importlib.util.find_spec("pandas") is None:
            return []
        self._values = [_MAKE[self._kind]() for _ in _KEYS]
        return super().subjects(engines, directory)

    def subject(self, engine: Engine, directory: str) -> Subject:
        """Return the row of *engine*, which is seen to give back what it was given."""
        handle = engine.open(directory)
        for key, value in zip(_KEYS, self._values, strict=True):
            handle.put(key, value)
            assert _equal(value, handle.get(key)), engine.name
            if self.needs == VIEWS:
                assert _equal(value, handle.view(key)), engine.name

        def measure(_round: int) -> list[int]:
            os.sync()  # a checkpoint of one engine shall not write in the slice of another
            return self._time(handle, self._values, _KEYS)

        return Subject(engine.name, measure, handle.close)


def _equal(value: Any, other: Any) -> bool:
    return bool(value.equals(other) if hasattr(value, "equals") else (value == other).all())


def _set(handle: Handle, values: Sequence[Any], keys: Sequence[str]) -> list[int]:
    return time_pairs(handle.put, list(zip(keys, values, strict=True)))


def _get(handle: Handle, _: Sequence[Any], keys: Sequence[str]) -> list[int]:
    return time_calls(handle.get, keys)


def _view(handle: Handle, _: Sequence[Any], keys: Sequence[str]) -> list[int]:
    return time_calls(lambda key: handle.view(key)[1_000_000], keys)


def _view_sum(handle: Handle, _: Sequence[Any], keys: Sequence[str]) -> list[int]:
    return time_calls(lambda key: handle.view(key).sum(), keys)


_ARRAY: Final = "a numpy array of 12,500,000 float64, 100 MB"
_FRAME: Final = "a pandas frame of 100,000 rows, 7 MB: numbers, a categorical, texts"

WORKLOADS = (
    Large(
        "array_set", "set of 100 MB", f"`store[key] = array` over {_ARRAY}, of the same size.",
        ARRAYS, _set,
    ),
    Large(
        "array_get",
        "get of 100 MB",
        f"`store[key]`, {_ARRAY}, whose file is in the system's cache: a copy, whose digest was "
        "compared. The array is freed in the time that is taken.",
        ARRAYS, _get,
    ),
    Large(
        "array_view", "view of 100 MB and one element",
        f"`store.view(key)[1_000_000]` of {_ARRAY}.", VIEWS, _view,
    ),
    Large(
        "array_sum", "view of 100 MB and its sum", f"`store.view(key).sum()` of {_ARRAY}.",
        VIEWS, _view_sum,
    ),
    Large("frame_set", "set of a frame", f"`store[key] = frame` over {_FRAME}.", FRAMES, _set),
    Large("frame_get", "get of a frame", f"`store[key]`, {_FRAME}.", FRAMES, _get),
)  # fmt: skip
