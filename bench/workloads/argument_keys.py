"""How long does it take to make a key of an argument?"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

from bench._timing import time_calls
from bench._values import KINDS, Kind
from bench.engines import HASH, Engine
from bench.workloads._workload import Subject, Workload

__all__ = ["WORKLOADS", "ArgumentKey"]


class ArgumentKey(Workload):
    """The hash of one argument."""

    needs = HASH
    keeps = False
    reference = "objcache-digest"

    def __init__(self, kind: Kind) -> None:
        self.name = kind.name  # type: ignore[misc]  # several workloads of one class
        self.title = kind.title  # type: ignore[misc]
        self.question = f"The hash of {kind.words}."  # type: ignore[misc]
        self.operations = kind.operations  # type: ignore[misc]
        self._kind = kind

    def subjects(self, engines: Iterable[Engine], directory: str) -> list[Subject]:
        """Return the rows, or none where pandas is not installed."""
        if importlib.util.find_spec("pandas") is None:
            return []
        return super().subjects(engines, directory)

    def subject(self, engine: Engine, directory: str) -> Subject:
        """Return the row of *engine*, whose hashes are seen to tell values apart."""
        handle = engine.open(directory)
        value = self._kind.make()
        key = handle.hash(value)
        assert key == handle.hash(value), engine.name
        assert key != handle.hash(self._kind.change(value)), engine.name
        if engine.name == self.reference:  # others may tell equal values apart
            assert key == handle.hash(self._kind.make()), engine.name

        def measure(_round: int) -> list[int]:
            return time_calls(handle.hash, [value] * self.operations)

        def close() -> None:
            assert key == handle.hash(value), engine.name
            handle.close()

        return Subject(engine.name, measure, close)


WORKLOADS = tuple(ArgumentKey(kind) for kind in KINDS)
