"""How long does it take to store a hundred entries in one transaction?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bench._inputs import KEYS, NEW_VALUES
from bench._timing import time_calls
from bench.engines import Handle
from bench.workloads._workload import Mapped

__all__ = ["WORKLOADS", "Batch"]

_SIZE: Final = 100


class Batch(Mapped):
    """`store.set_many(mapping)`."""

    name = "batch"
    title = "batch of 100"
    question = (
        "`store.set_many(mapping)` of 100 entries over existing ones, in one transaction; one "
        "operation is the whole batch."
    )
    writes = True
    operations = 5 * _SIZE

    def time(self, handle: Handle, indexes: Sequence[int]) -> list[int]:
        """Time one batch for each hundred of the indexes."""
        batches = [
            {KEYS[index]: NEW_VALUES[index] for index in indexes[start : start + _SIZE]}
            for start in range(0, len(indexes), _SIZE)
        ]
        return time_calls(handle.put_many, batches)


WORKLOADS = (Batch(),)
