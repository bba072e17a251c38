"""How long does a transaction of ten writes take?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bench._inputs import KEYS, NEW_VALUES
from bench._timing import time_calls
from bench.engines import TRANSACTION, Handle
from bench.workloads._workload import Mapped

__all__ = ["WORKLOADS", "TransactionOfTen"]

_SIZE: Final = 10


class TransactionOfTen(Mapped):
    """`with store.transaction() as transaction: transaction[key] = value`, ten times."""

    name = "transaction"
    title = "transaction of 10"
    question = (
        "`with store.transaction() as transaction:` with ten times `transaction[key] = value` in "
        "it, over existing entries; `with cache.transact():` of diskcache. One operation is the "
        "whole transaction."
    )
    writes = True
    operations = 30 * _SIZE
    needs = TRANSACTION

    def time(self, handle: Handle, indexes: Sequence[int]) -> list[int]:
        """Time one transaction for each ten of the indexes."""
        batches = [
            {KEYS[index]: NEW_VALUES[index] for index in indexes[start : start + _SIZE]}
            for start in range(0, len(indexes), _SIZE)
        ]
        return time_calls(handle.put_each, batches)


WORKLOADS = (TransactionOfTen(),)
