"""Questions about caches of several sizes, each of which is made anew for every slice.

Knows: workloads. Must not know: which question.
"""

from __future__ import annotations

import shutil
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from bench.engines import BOUNDED, Engine
from bench.workloads._workload import Subject, Workload, new_directory

__all__ = ["Bounded"]


class Bounded(Workload):
    """A row for each engine and scale.

    Attributes:
        scales: what the engines are compared at: by words for the row, a number.
        fewer: by what the rounds that are asked for are divided; each takes seconds.
    """

    needs = BOUNDED
    writes = True
    reference = ""
    warm_rounds = 0
    scales: ClassVar[dict[str, int]]
    fewer: ClassVar[int]

    def rounds(self, asked: int) -> int:
        """Return fewer: each takes seconds."""
        return max(1, asked // self.fewer)

    def subjects(self, engines: Iterable[Engine], directory: str) -> list[Subject]:
        """Return a row for each engine and scale."""
        return [
            self._row(engine, words, new_directory(directory, f"{engine.name}-{scale}"))
            for words, scale in self.scales.items()
            for engine in engines
            if self.needs in engine.offers
        ]

    def subject(self, engine: Engine, directory: str) -> Subject:
        """Refuse: an engine has several rows."""
        raise NotImplementedError

    def _row(self, engine: Engine, words: str, directory: str) -> Subject:
        scale = self.scales[words]
        facts: dict[str, Any] = {"engine": engine.name, "scale": scale}

        def measure(round_: int) -> list[int]:
            own = new_directory(directory, f"round{round_}")
            try:
                return self.measured(engine, own, scale, facts)
            finally:
                shutil.rmtree(own)

        return Subject(f"{engine.name}: {words}", measure, lambda: self.ended(facts), facts)

    @abstractmethod
    def measured(
        self, engine: Engine, directory: str, scale: int, facts: dict[str, Any]
    ) -> list[int]:
        """Make a cache in the empty *directory*, time one slice; add to the *facts* of the row."""

    def ended(self, facts: dict[str, Any]) -> None:
        """Turn what was noted in *facts* into what is reported."""
