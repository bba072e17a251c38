"""Processes that do one thing at the same moment.

Knows: how they are started, and when they are let go. Must not know: what is measured with them.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Final, NamedTuple

from bench.engines import Engine, Handle, load_engines

__all__ = ["Answer", "Crowd", "Errand"]

_PATIENCE_S: Final = 120.0


class Answer(NamedTuple):
    """What one of them got; the times are of one clock for all processes."""

    began_ns: int
    ended_ns: int
    result: Any


class Errand(NamedTuple):
    """What all of them do once.

    Attributes:
        engine: whose store is opened.
        directory: where.
        work: takes the open store, which it closes, the number of the process among them, and
            what waits until all of them have come so far.
    """

    engine: str
    directory: str
    work: Callable[[Handle, int, Callable[[], object]], Answer]


class Crowd:
    """Fresh interpreters that have imported the engines and wait.

    Args:
        size: how many.
        engines: the names of those that they import.
    """

    def __init__(self, size: int, engines: list[str]) -> None:
        context = multiprocessing.get_context("spawn")
        self._barrier = context.Barrier(size)
        self._processes: list[BaseProcess] = []
        self._pipes: list[Connection] = []
        for rank in range(size):
            ours, theirs = context.Pipe()
            process = context.Process(target=_live, args=(theirs, self._barrier, engines, rank))
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        for pipe in self._pipes:
            assert _received(pipe) == "ready"

    def send(self, errand: Errand) -> list[Answer]:
        """Have all of them run *errand* at once; return what each got."""
        for pipe in self._pipes:
            pipe.send(errand)
        return [_received(pipe) for pipe in self._pipes]

    def close(self) -> None:
        """Send all of them home; again is no error."""
        for pipe in self._pipes:
            pipe.close()  # each sees the end of its pipe
        for process in self._processes:
            process.join(_PATIENCE_S)


def _received(pipe: Connection) -> Any:
    if not pipe.poll(_PATIENCE_S):
        raise TimeoutError(f"a process did not answer for {_PATIENCE_S:g} s")
    received = pipe.recv()
    if isinstance(received, BaseException):
        raise received
    return received


def _live(pipe: Connection, barrier: Any, names: list[str], rank: int) -> None:
    engines = {engine.name: engine for engine in load_engines(names)[0]}
    pipe.send("ready")
    while True:
        try:
            errand = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(_run(errand, engines[errand.engine], barrier, rank))
        except Exception as error:  # noqa: BLE001  # raised by the one who asked
            barrier.abort()  # nobody waits for this one
            pipe.send(error)
            return


def _run(errand: Errand, engine: Engine, barrier: Any, rank: int) -> Answer:
    return errand.work(engine.open(errand.directory), rank, lambda: barrier.wait(_PATIENCE_S))
