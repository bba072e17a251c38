"""How long does it take to learn that there is no such entry?"""

from __future__ import annotations

from collections.abc import Sequence

from bench._inputs import ABSENT_KEYS
from bench._timing import time_calls
from bench.engines import Handle
from bench.workloads._workload import Mapped

__all__ = ["WORKLOADS", "GetMiss"]


class GetMiss(Mapped):
    """`store.get(key)` of an absent key."""

    name = "get_miss"
    title = "get miss"
    question = "`store.get(key)` of a key that does not exist, between keys that do."

    def time(self, handle: Handle, indexes: Sequence[int]) -> list[int]:
        """Time one miss for each index."""
        return time_calls(handle.find, [ABSENT_KEYS[index] for index in indexes])


WORKLOADS = (GetMiss(),)
