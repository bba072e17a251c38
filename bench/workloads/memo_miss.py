"""How long does a call take whose result is not known yet?"""

from __future__ import annotations

from time import perf_counter_ns

from bench._inputs import of_number
from bench._timing import time_calls
from bench.engines import MEMOIZE, Engine
from bench.workloads._workload import Subject, Workload

__all__ = ["WORKLOADS", "MemoMiss"]


class MemoMiss(Workload):
    """`f(argument)` of a memoized function that was never called with it."""

    name = "memo_miss"
    title = "memo miss"
    question = (
        "A call of a memoized `f(number)` with an int that was never asked: the function makes a "
        "dict of four fields, so nearly all of the time goes into looking and storing."
    )
    writes = True
    operations = 100
    needs = MEMOIZE

    def subject(self, engine: Engine, directory: str) -> Subject:
        """Return the row of *engine*; each result is seen to be computed once, and stored."""
        handle = engine.open(directory)
        memoized = handle.memoize(of_number)
        operations = max(1, self.operations // engine.slow.get(self.name, 1))

        def measure(round_: int) -> list[int]:
            numbers = range(round_ * self.operations, round_ * self.operations + operations)
            begun = perf_counter_ns()
            taken = time_calls(memoized, numbers)
            ended = perf_counter_ns()
            for number in numbers:
                result = memoized(number)
                assert number == result["number"], engine.name
                assert begun < result["made"] < ended, engine.name
            return taken

        return Subject(engine.name, measure, handle.close)


WORKLOADS = (MemoMiss(),)
