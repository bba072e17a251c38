"""How long does it take to store one entry?"""

from __future__ import annotations

from collections.abc import Sequence

from bench._inputs import KEYS, NEW_VALUES
from bench._timing import time_pairs
from bench.engines import Handle
from bench.workloads._workload import Mapped

__all__ = ["WORKLOADS", "SetOne"]


class SetOne(Mapped):
    """`store[key] = value`."""

    name = "set"
    title = "set"
    question = "`store[key] = value` over an entry that exists, a transaction each."
    writes = True

    def time(self, handle: Handle, indexes: Sequence[int]) -> list[int]:
        """Time one write for each index."""
        return time_pairs(handle.put, [(KEYS[index], NEW_VALUES[index]) for index in indexes])


WORKLOADS = (SetOne(),)
