"""How long do 16 processes wait that want one unknown result at the same moment?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from time import perf_counter_ns
from typing import Any, Final

from bench._crowd import Answer, Crowd, Errand
from bench._inputs import SLOW_S, slow_answer
from bench.engines import SHARED, Engine, Handle
from bench.workloads._workload import Subject, Workload, new_directory

__all__ = ["WORKLOADS", "ColdStart"]

_PROCESSES: Final = 16
_FEWER: Final = 8


class ColdStart(Workload):
    """One call of one memoized function of a second, by 16 processes."""

    name = "cold"
    title = "cold start of 16 processes"
    question = (
        f"{_PROCESSES} fresh processes that have opened one empty store and decorated a function "
        f"wait at a barrier, and all call it: it sleeps for {SLOW_S:g} s. From the moment the first "
        "is let go until the last has its answer. The last column is how often the function ran: "
        "`Cache.memoize` and `joblib.Memory` have nothing that makes one wait for another, and a "
        "function that works instead of sleeping would take them much longer."
    )
    operations = 1
    needs = SHARED
    warm_rounds = 0

    def rounds(self, asked: int) -> int:
        """Return fewer: each takes a second and more for each engine."""
        return max(1, asked // _FEWER)

    def subjects(self, engines: Iterable[Engine], directory: str) -> list[Subject]:
        """Return the rows; they share the processes of a round, new ones in each round."""
        asked = [engine for engine in engines if self.needs in engine.offers]
        rounds = _Rounds([engine.name for engine in asked])
        return [
            self._row(engine, new_directory(directory, engine.name), rounds) for engine in asked
        ]

    def subject(self, engine: Engine, directory: str) -> Subject:
        """Refuse: the rows share their processes."""
        raise NotImplementedError

    def _row(self, engine: Engine, directory: str, rounds: _Rounds) -> Subject:
        calls: list[int] = []

        def measure(round_: int) -> list[int]:
            own = new_directory(directory, f"round{round_}")
            log = os.path.join(directory, f"log{round_}")
            open(log, "wb").close()  # it is only made
            answers = rounds.crowd(round_).send(Errand(engine.name, own, partial(_ask, log)))
            ran = os.path.getsize(log)
            makers = {answer.result[1]["by"] for answer in answers}
            assert len(makers) <= ran, engine.name
            assert makers <= {answer.result[0] for answer in answers}, engine.name
            calls.append(ran)
            began = min(answer.began_ns for answer in answers)
            return [max(answer.ended_ns for answer in answers) - began]

        facts: dict[str, Any] = {"calls": calls}
        return Subject(engine.name, measure, rounds.close, facts)


class _Rounds:
    """The processes of the present round."""

    def __init__(self, engines: list[str]) -> None:
        self._engines = engines
        self._round = -1
        self._crowd: Crowd | None = None

    def crowd(self, round_: int) -> Crowd:
        """Return the processes of *round_*; those of the round before end."""
        if self._crowd is None or self._round != round_:
            self.close()
            self._crowd = Crowd(_PROCESSES, self._engines)
            self._round = round_
        return self._crowd

    def close(self) -> None:
        """End the processes; again is no error."""
        if self._crowd is not None:
            self._crowd.close()
            self._crowd = None


def _ask(log: str, handle: Handle, _rank: int, wait: Callable[[], object]) -> Answer:
    # A module that decorates its functions opens the store and decorates while it is imported.
    memoized = handle.memoize(slow_answer)
    wait()
    began = perf_counter_ns()
    result = memoized(log)
    ended = perf_counter_ns()
    handle.close()
    return Answer(began, ended, (os.getpid(), result))


WORKLOADS = (ColdStart(),)
