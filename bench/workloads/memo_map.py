"""How long do 10,000 hits take, asked at once and one by one?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from bench._inputs import ENTRIES, of_number
from bench._timing import time_calls
from bench.engines import Engine
from bench.workloads._workload import Subject, Workload, new_directory

__all__ = ["WORKLOADS", "MemoMap"]

_ENGINE: Final = "objcache-process"


class MemoMap(Workload):
    """`f.map(arguments)` beside `[f(argument) for argument in arguments]`."""

    name = "memo_map"
    title = "10,000 memo hits, by map"
    question = (
        "`f.map(numbers)` of 10,000 ints whose results are all stored, beside a call for each of "
        "them; one operation is all 10,000. Both are `objcache-process`."
    )
    operations = 1
    keeps = False
    reference = "a call for each"

    def subjects(self, engines: Iterable[Engine], directory: str) -> list[Subject]:
        """Return the rows: two ways to ask one store; the results are seen to be the same."""
        for engine in engines:
            if engine.name == _ENGINE:
                return self._ways(engine, new_directory(directory, engine.name))
        return []

    def subject(self, engine: Engine, directory: str) -> Subject:
        """Refuse: the rows are no engines."""
        raise NotImplementedError

    def _ways(self, engine: Engine, directory: str) -> list[Subject]:
        handle = engine.open(directory)
        memoized = handle.memoize(of_number)
        numbers = range(ENTRIES)
        computed = handle.map(memoized, numbers)

        def each(asked: Sequence[int]) -> list[Any]:
            return [memoized(number) for number in asked]

        def at_once(asked: Sequence[int]) -> Sequence[Any]:
            return handle.map(memoized, asked)

        def measured(way: Callable[[Sequence[int]], Sequence[Any]]) -> Callable[[int], list[int]]:
            def measure(_round: int) -> list[int]:
                return time_calls(way, [numbers] * self.operations)

            return measure

        def close() -> None:
            assert computed == each(numbers)
            assert computed == at_once(numbers)
            handle.close()

        return [
            Subject(self.reference, measured(each)),
            Subject("map", measured(at_once), close),
        ]


WORKLOADS = (MemoMap(),)
