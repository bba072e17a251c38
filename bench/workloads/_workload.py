"""What a workload is: one question, asked of several subjects in turns.

Knows: engines, inputs. Must not know: rounds, statistics, pages.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from bench._inputs import ABSENT_KEYS, ENTRIES, KEYS, VALUES, chosen
from bench.engines import MAPPING, Engine, Handle

__all__ = [
    "Mapped",
    "Subject",
    "Workload",
    "file_bytes",
    "filled",
    "filled_handle",
    "new_directory",
]

_FILL: Final = 1000


@dataclass(frozen=True, slots=True)
class Subject:
    """One row of a workload.

    Attributes:
        name: of the row; the engine's, where it is one.
        measure: time one slice; takes the number of the round, returns nanoseconds.
        close: end it.
        facts: what else is known of it, for the results.
    """

    name: str
    measure: Callable[[int], list[int]]
    close: Callable[[], object] = lambda: None
    facts: Mapping[str, Any] = field(default_factory=dict)


class Workload(ABC):
    """One question.

    Attributes:
        name: for `--workloads`.
        title: for the page.
        question: one sentence: what is timed.
        writes: whether durability matters for it.
        operations: how many a slice has.
        needs: the group of operations an engine must offer.
        keeps: whether anything is kept, so that durability is worth a column.
        reference: the row that the others are compared with.
        warm_rounds: how many rounds are not recorded.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    question: ClassVar[str]
    writes: ClassVar[bool] = False
    operations: ClassVar[int] = 300
    needs: ClassVar[str] = MAPPING
    keeps: ClassVar[bool] = True
    reference: ClassVar[str] = "objcache-process"
    warm_rounds: ClassVar[int] = 1

    def rounds(self, asked: int) -> int:
        """Return how many rounds are recorded where *asked* were asked for."""
        return asked

    def subjects(self, engines: Iterable[Engine], directory: str) -> list[Subject]:
        """Open and fill what will be timed."""
        return [
            self.subject(engine, new_directory(directory, engine.name))
            for engine in engines
            if self.needs in engine.offers
        ]

    @abstractmethod
    def subject(self, engine: Engine, directory: str) -> Subject:
        """Return the row of *engine*, with its store in the empty *directory*."""


class Mapped(Workload):
    """A question about an open store of 10,000 entries."""

    def subject(self, engine: Engine, directory: str) -> Subject:
        """Return the row of *engine*: the operation on keys chosen for the round."""
        handle = filled_handle(engine, directory)
        operations = max(1, self.operations // engine.slow.get(self.name, 1))

        def measure(round_: int) -> list[int]:
            indexes = chosen(self.name, round_, self.operations)[:operations]
            taken = self.time(handle, indexes)
            self.restore(handle, indexes)
            return taken

        return Subject(engine.name, measure, handle.close)

    @abstractmethod
    def time(self, handle: Handle, indexes: Sequence[int]) -> list[int]:
        """Time the operation for the entries of *indexes*."""

    def restore(self, handle: Handle, indexes: Sequence[int]) -> None:
        """Undo, outside the timed slice, what would change the next one."""


def new_directory(parent: str, name: str) -> str:
    """Make and return a directory of one engine; all of them are on the same disk."""
    directory = os.path.join(parent, name)
    os.mkdir(directory, mode=0o700)
    return directory


def filled_handle(engine: Engine, directory: str) -> Handle:
    """Open a store of *engine*, fill it, and check that it keeps what it was given.

    Raises:
        AssertionError: it does not; nothing it does is worth timing.
    """
    handle = engine.open(directory)
    for start in range(0, ENTRIES, _FILL):
        part = slice(start, start + _FILL)
        handle.put_many(dict(zip(KEYS[part], VALUES[part], strict=True)))
    for index in (0, ENTRIES // 2, ENTRIES - 1):
        assert VALUES[index] == handle.get(KEYS[index]), engine.name
        assert handle.find(ABSENT_KEYS[index]) is None, engine.name
    assert sum(1 for _ in handle.items()) == ENTRIES, engine.name
    return handle


def file_bytes(directory: str) -> int:
    """Return how much of the disk the files take; sparse files count what is written."""
    return sum(
        os.stat(os.path.join(root, name)).st_blocks * 512
        for root, _, names in os.walk(directory)
        for name in names
    )


@contextmanager
def filled(engine: Engine, directory: str) -> Iterator[Handle]:
    """Give a filled store of *engine* for a block, and close it."""
    handle = filled_handle(engine, directory)
    try:
        yield handle
    finally:
        handle.close()
