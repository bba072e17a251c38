"""How long does it take to remove one entry?"""

from __future__ import annotations

from collections.abc import Sequence

from bench._inputs import KEYS, VALUES
from bench._timing import time_calls
from bench.engines import Handle
from bench.workloads._workload import Mapped

__all__ = ["WORKLOADS", "Delete"]


class Delete(Mapped):
    """`del store[key]`."""

    name = "delete"
    title = "delete"
    question = (
        "`del store[key]` of a key that exists, a transaction each; the entries are put back "
        "between the slices, untimed."
    )
    writes = True

    def time(self, handle: Handle, indexes: Sequence[int]) -> list[int]:
        """Time one deletion for each index."""
        return time_calls(handle.delete, [KEYS[index] for index in indexes])

    def restore(self, handle: Handle, indexes: Sequence[int]) -> None:
        """Put back what was deleted."""
        handle.put_many({KEYS[index]: VALUES[index] for index in indexes})


WORKLOADS = (Delete(),)
