"""How long does it take to read an entry that exists?"""

from __future__ import annotations

from collections.abc import Sequence

from bench._inputs import KEYS
from bench._timing import time_calls
from bench.engines import Handle
from bench.workloads._workload import Mapped

__all__ = ["WORKLOADS", "GetHit"]


class GetHit(Mapped):
    """`store[key]`."""

    name = "get_hit"
    title = "get hit"
    question = "`store[key]` of a key that exists: the value comes back as a new dict."

    def time(self, handle: Handle, indexes: Sequence[int]) -> list[int]:
        """Time one read for each index."""
        return time_calls(handle.get, [KEYS[index] for index in indexes])


WORKLOADS = (GetHit(),)
