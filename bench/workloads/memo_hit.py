"""How long does a call take whose result is known already?"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from bench._inputs import NUMBERS, TREES, chosen, moment_of, of_number, of_tree
from bench._timing import time_calls
from bench.engines import MEMOIZE, MEMOIZE_DICT, Engine, Handle
from bench.workloads._workload import Subject, Workload

__all__ = ["WORKLOADS", "FirstMemoHit", "MemoHit", "MemoLoop"]

_LOOP: Final = 100
_LOOPS: Final = 5


class MemoHit(Workload):
    """`f(argument)` of a memoized function that was called with each argument before.

    The arguments are written as JSON, and built anew for each call: no two calls get one object.
    """

    def __init__(
        self,
        name: str,
        title: str,
        question: str,
        needs: str,
        function: Callable[[Any], Any],
        arguments: Sequence[Any],
    ) -> None:
        self.name = name  # type: ignore[misc]  # several workloads of one class
        self.title = title  # type: ignore[misc]
        self.question = question  # type: ignore[misc]
        self.needs = needs  # type: ignore[misc]
        self._function = function
        self._texts = [json.dumps(argument) for argument in arguments]

    def subject(self, engine: Engine, directory: str) -> Subject:
        """Return the row of *engine*, all results stored and seen to be stored."""
        handle = engine.open(directory)
        memoized = handle.memoize(self._function)
        computed = [memoized(json.loads(text)) for text in self._texts]
        self._check(engine, memoized, computed)

        def measure(round_: int) -> list[int]:
            indexes = chosen(self.name, round_, self.operations, len(self._texts))
            arguments = [json.loads(self._texts[index]) for index in indexes]
            return self.time(self.wrapped(handle, memoized), arguments)

        def close() -> None:
            self._check(engine, memoized, computed)
            handle.close()

        return Subject(engine.name, measure, close)

    def wrapped(self, handle: Handle, memoized: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return the memoized function that is timed."""
        del handle
        return memoized

    def time(self, memoized: Callable[[Any], Any], arguments: Sequence[Any]) -> list[int]:
        """Time one call for each of *arguments*."""
        return time_calls(memoized, arguments)

    def _check(
        self, engine: Engine, memoized: Callable[[Any], Any], computed: Sequence[Any]
    ) -> None:
        # A result says when it was computed: one that was computed again is another one.
        assert computed == [memoized(json.loads(text)) for text in self._texts], engine.name


class MemoLoop(MemoHit):
    """A hundred calls between two looks at the clock."""

    operations = _LOOP * _LOOPS

    def time(self, memoized: Callable[[Any], Any], arguments: Sequence[Any]) -> list[int]:
        """Time one loop for each hundred of *arguments*."""

        def loop(some: Sequence[Any]) -> None:
            for argument in some:
                memoized(argument)

        starts = range(0, len(arguments), _LOOP)
        return time_calls(loop, [arguments[start : start + _LOOP] for start in starts])


class FirstMemoHit(MemoHit):
    """The first call with each argument by a wrapper that has learnt nothing yet."""

    operations = len(TREES)

    def wrapped(self, handle: Handle, memoized: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return another wrapper of the same function, which has answered one call."""
        del memoized
        new = handle.memoize(self._function)
        new({})  # it opens the store, and knows none of the others
        return new


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
    MemoLoop(
        "memo_loop",
        "100 memo hits in a loop",
        "The same calls, 100 of them between two looks at the clock, which is a large part of one "
        "call of `lru_cache`; one operation is the whole loop. The result is a dict, and each "
        "caller gets one of its own from `objcache-hot`.",
        MEMOIZE,
        of_number,
        NUMBERS,
    ),
    MemoLoop(
        "memo_loop_int",
        "100 memo hits in a loop, int result",
        "The same with a function that returns an int, which needs no copy.",
        MEMOIZE,
        moment_of,
        NUMBERS,
    ),
    MemoHit(
        "memo_dict",
        "memo hit, dict argument",
        "A call of a memoized `f(tree)` whose result is stored, for one of 20 nested dicts and "
        "lists of 200 leaves (str, int, float), built anew for each call: most of it is the key. "
        "This process has asked for each of the 20 before, and objcache remembers keys of "
        "arguments of this size.",
        MEMOIZE_DICT,
        of_tree,
        TREES,
    ),
    FirstMemoHit(
        "memo_dict_first",
        "memo hit, dict argument, for the first time",
        "The same for dicts that this process has not asked for yet, but another has: the result "
        "is stored, and nobody remembers the key.",
        MEMOIZE_DICT,
        of_tree,
        TREES,
    ),
)
