"""How many commits do the threads of a process make together?"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import perf_counter_ns
from typing import Final

from bench._inputs import ENTRIES, KEYS, VALUES, chosen
from bench.engines import THREADS, Engine, Handle
from bench.workloads._workload import Subject, Workload, filled_handle

__all__ = ["WORKLOADS", "Commits"]

_SLICE_NS: Final = 300_000_000
_FEWER: Final = 4
_PATIENCE_S: Final = 60.0


class Commits(Workload):
    """`store[key] = value` by several threads for a while."""

    writes = True
    needs = THREADS
    reference = "objcache-commit"

    def __init__(self, threads: int) -> None:
        one = threads == 1
        self.name = f"commits_{threads}"  # type: ignore[misc]  # several workloads of one class
        self.title = f"commits of {threads} thread{'' if one else 's'}"  # type: ignore[misc]
        self.question = (  # type: ignore[misc]
            f"{'One thread does' if one else f'{threads} threads of one process do'} "
            f"`store[key] = value` over entries that exist, a transaction each, for "
            f"{_SLICE_NS / 1e9:g} s. An operation is that time divided by the number of commits: "
            "its inverse is the throughput."
        )
        self._threads = threads

    def rounds(self, asked: int) -> int:
        """Return fewer: each takes seconds."""
        return max(1, asked // _FEWER)

    def subject(self, engine: Engine, directory: str) -> Subject:
        """Return the row of *engine*; what was written is read again after each slice."""
        handle = filled_handle(engine, directory)
        pool = ThreadPoolExecutor(self._threads)
        barrier = Barrier(self._threads)

        def measure(round_: int) -> list[int]:
            indexes = chosen(self.name, round_, ENTRIES)
            shares = [indexes[number :: self._threads] for number in range(self._threads)]
            works = [pool.submit(_write, handle, share, round_, barrier) for share in shares]
            written = [work.result() for work in works]
            self._check(engine, handle, [last for _, _, _, last in written])
            began = min(began for began, _, _, _ in written)
            ended = max(ended for _, ended, _, _ in written)
            return [(ended - began) // sum(commits for _, _, commits, _ in written)]

        def close() -> None:
            pool.shutdown()
            handle.close()

        return Subject(engine.name, measure, close)

    @staticmethod
    def _check(engine: Engine, handle: Handle, written: list[dict[int, int]]) -> None:
        for index, value in itertools.chain.from_iterable(last.items() for last in written):
            assert VALUES[value] == handle.get(KEYS[index]), engine.name


def _write(
    handle: Handle, indexes: list[int], round_: int, barrier: Barrier
) -> tuple[int, int, int, dict[int, int]]:
    """Return when it began and ended, how many commits it made, and the last value of each key."""
    clock, put, last = perf_counter_ns, handle.put, {}
    handle.find(KEYS[indexes[0]])  # a connection of the thread is opened before
    barrier.wait(_PATIENCE_S)
    began = now = clock()
    commits = 0
    for index in itertools.cycle(indexes):
        value = (index + round_ + commits) % ENTRIES
        put(KEYS[index], VALUES[value])
        last[index] = value
        commits += 1
        now = clock()
        if now - began > _SLICE_NS:
            break
    return began, now, commits, last


WORKLOADS = (Commits(1), Commits(4), Commits(16))
