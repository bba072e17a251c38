"""What a read leaves in shared memory, for each way of reading marks.

Knows: the elements of marks. Must not know: what a policy makes of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from objcache.cache._policy import Reading
from objcache.cache._shared import Hints

__all__ = ["READS"]


def _flag(hints: Hints, slot: int) -> None:
    hints.marks[slot] |= 1


def _count(hints: Hints, slot: int) -> None:
    marks = hints.marks
    if marks[slot] < 255:
        marks[slot] += 1


def _stamp(hints: Hints, slot: int) -> None:
    hints.marks[slot] = hints.ghosts[0]


def _nothing(hints: Hints, slot: int) -> None:
    """Leave nothing."""


READS: Final[dict[Reading, Callable[[Hints, int], None]]] = {
    Reading.FLAG: _flag,
    Reading.COUNT: _count,
    Reading.STAMP: _stamp,
    Reading.NOTHING: _nothing,
}
"""What `Cache.get` does to the mark of what it has read; `FLAG` it does by itself."""
