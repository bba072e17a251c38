"""How long does it take to read everything?"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from bench._timing import time_calls
from bench.engines import Handle
from bench.workloads._workload import Mapped

__all__ = ["WORKLOADS", "Iterate"]


class Iterate(Mapped):
    """`for key, value in store.items()`."""

    name = "iterate"
    title = "iterate over 10,000"
    question = "All of `store.items()`, 10,000 keys and values; one operation is the whole pass."
    operations = 1

    def time(self, handle: Handle, indexes: Sequence[int]) -> list[int]:
        """Time one pass for each index; which index does not matter."""
        return time_calls(lambda _: deque(handle.items(), maxlen=0), indexes)


WORKLOADS = (Iterate(),)
