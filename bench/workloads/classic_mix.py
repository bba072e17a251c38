"""How long do reads, writes and deletions take while seven other processes do the same?"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from time import perf_counter_ns
from typing import Any, Final

from bench._crowd import Answer, Crowd, Errand
from bench._inputs import ENTRIES, KEYS, NEW_VALUES, SEED, VALUES
from bench._statistics import summary
from bench._timing import without_gc
from bench.engines import PROCESSES, Engine, Handle
from bench.workloads._workload import Subject, Workload, filled, new_directory

__all__ = ["WORKLOADS", "ClassicMix"]

_PROCESSES: Final = 8
_OPERATIONS: Final = 10_000
_READS: Final = 0.9
_READS_AND_WRITES: Final = 0.99
_FEWER: Final = 8

_Operation = tuple[str, Callable[..., Any], tuple[Any, ...], int]


class ClassicMix(Workload):
    """90 % get, 9 % set, 1 % delete."""

    name = "mix"
    title = "classic mix of 8 processes"
    question = (
        f"{_PROCESSES} processes have one store of 10,000 entries open, wait at a barrier, and do "
        f"{_OPERATIONS:,} operations each (a fifth where every commit is flushed): 90 % `store.get(key)` of any key, 9 % "
        "`store[key] = value`, 1 % `del store[key]`, both of keys that no other process changes, so "
        "that every answer can be verified. The first table is of the writes."
    )
    writes = True
    operations = _OPERATIONS
    needs = PROCESSES

    def rounds(self, asked: int) -> int:
        """Return fewer: each takes seconds."""
        return max(1, asked // _FEWER)

    def subjects(self, engines: Iterable[Engine], directory: str) -> list[Subject]:
        """Return the rows; they share the processes."""
        asked = [engine for engine in engines if self.needs in engine.offers]
        if not asked:
            return []
        crowd = Crowd(_PROCESSES, [engine.name for engine in asked])
        return [self._row(engine, new_directory(directory, engine.name), crowd) for engine in asked]

    def subject(self, engine: Engine, directory: str) -> Subject:
        """Refuse: the rows share their processes."""
        raise NotImplementedError

    def _row(self, engine: Engine, directory: str, crowd: Crowd) -> Subject:
        with filled(engine, directory):
            pass
        others: dict[str, list[int]] = {"get": [], "delete": []}
        facts: dict[str, Any] = {}
        operations = self.operations // engine.slow.get(self.name, 1)

        def measure(round_: int) -> list[int]:
            answers = crowd.send(Errand(engine.name, directory, partial(_mix, round_, operations)))
            if round_ >= self.warm_rounds:
                for kind, taken in others.items():
                    taken += [each for answer in answers for each in answer.result[kind]]
            return [each for answer in answers for each in answer.result["set"]]

        def close() -> None:
            crowd.close()
            facts["others"] = {
                kind: summary(taken)._asdict() for kind, taken in others.items() if taken
            }

        return Subject(engine.name, measure, close, facts)


def _mix(round_: int, count: int, handle: Handle, rank: int, wait: Callable[[], object]) -> Answer:
    source = random.Random(f"{SEED} mix {round_} {rank}")
    own = dict.fromkeys(range(rank, ENTRIES, _PROCESSES), VALUES)
    operations = list(_planned(source, count, handle, own))
    taken: defaultdict[str, list[int]] = defaultdict(list)
    clock, answers = perf_counter_ns, []
    wait()
    began = clock()
    with without_gc():
        for kind, function, arguments, _ in operations:
            begun = clock()
            answer = function(*arguments)
            taken[kind].append(clock() - begun)
            answers.append(answer)
    ended = clock()
    _check(handle, own, operations, answers)
    handle.put_many({KEYS[index]: VALUES[index] for index in range(rank, ENTRIES, _PROCESSES)})
    handle.close()
    return Answer(began, ended, dict(taken))


def _planned(
    source: random.Random, count: int, handle: Handle, own: dict[int, Any]
) -> Iterator[_Operation]:
    """Yield what is to be done; *own* becomes what will be there of the process's own keys."""
    indexes = list(own)
    for _ in range(count):
        kind = source.random()
        index = source.choice(indexes)
        if kind < _READS:
            index = source.randrange(ENTRIES)
            yield "get", handle.find, (KEYS[index],), index
        elif kind < _READS_AND_WRITES or index not in own:
            own[index] = NEW_VALUES
            yield "set", handle.put, (KEYS[index], NEW_VALUES[index]), index
        else:
            del own[index]
            yield "delete", handle.delete, (KEYS[index],), index


def _check(
    handle: Handle, own: dict[int, Any], operations: list[_Operation], answers: list[Any]
) -> None:
    """Compare what was read, and what is there now, with what was written."""
    for (kind, _, _, index), answer in zip(operations, answers, strict=True):
        if kind == "get":
            assert answer in (None, VALUES[index], NEW_VALUES[index]), "a value nobody wrote"
        else:
            expected = own[index][index] if index in own else None
            assert expected == handle.find(KEYS[index]), "a write was lost"


WORKLOADS = (ClassicMix(),)
