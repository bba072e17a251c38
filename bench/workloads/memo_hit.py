"""How long does a call take whose result is known already?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench._inputs import NUMBERS, TREES, chosen, of_number, of_tree
from bench._timing import time_calls
from bench.engines import MEMOIZE, MEMOIZE_DICT, Engine
from bench.workloads._workload import Subject, Workload

__all__ = ["WORKLOADS", "MemoHit"]


class MemoHit(Workload):
    """`f(argument)` of a memoized function that was called with each argument before."""

    def __init__(
        self,
        name: str,
        title: str,
        question: str,
        needs: str,
        function: Callable[[Any], Any],
        arguments: Sequence[Any],
    ) -> None:
        self.name = name  # type: ignore[misc]  # two workloads of one class
        self.title = title  # type: ignore[misc]
        self.question = question  # type: ignore[misc]
        self.needs = needs  # type: ignore[misc]
        self._function = function
        self._arguments = arguments

    def subject(self, engine: Engine, directory: str) -> Subject:
        """Return the row of *engine*, all results stored and seen to be stored."""
        handle = engine.open(directory)
        memoized = handle.memoize(self._function)
        computed = [memoized(argument) for argument in self._arguments]
        assert computed == [memoized(argument) for argument in self._arguments], engine.name

        def measure(round_: int) -> list[int]:
            indexes = chosen(self.name, round_, self.operations, len(self._arguments))
            return time_calls(memoized, [self._arguments[index] for index in indexes])

        return Subject(engine.name, measure, handle.close)


WORKLOADS = (
    MemoHit(
        "memo_int",
        "memo hit, int argument",
        "A call of a memoized `f(number)` whose result is stored: a dict of four fields, for one "
        "of 100 ints.",
        MEMOIZE,
        of_number,
        NUMBERS,
    ),
    MemoHit(
        "memo_dict",
        "memo hit, dict argument",
        "A call of a memoized `f(tree)` whose result is stored, for one of 20 nested dicts of 200 "
        "leaves: most of it is the hash of the argument.",
        MEMOIZE_DICT,
        of_tree,
        TREES,
    ),
)
