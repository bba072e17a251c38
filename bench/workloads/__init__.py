"""One file a question.

Knows: which questions there are, in the order of the page. Must not know: how they are run.
"""

from __future__ import annotations

from typing import Final

from bench.workloads import (
    argument_keys,
    batch,
    cold_start,
    delete,
    get_hit,
    get_miss,
    import_time,
    iterate,
    memo_hit,
    memo_map,
    memo_miss,
    open_store,
    set_one,
)
from bench.workloads._workload import Subject as Subject
from bench.workloads._workload import Workload as Workload
from bench.workloads._workload import filled as filled

__all__ = ["WORKLOADS", "Subject", "Workload", "filled"]

WORKLOADS: Final[tuple[Workload, ...]] = (
    *get_hit.WORKLOADS,
    *get_miss.WORKLOADS,
    *set_one.WORKLOADS,
    *delete.WORKLOADS,
    *batch.WORKLOADS,
    *iterate.WORKLOADS,
    *memo_hit.WORKLOADS,
    *memo_miss.WORKLOADS,
    *memo_map.WORKLOADS,
    *argument_keys.WORKLOADS,
    *cold_start.WORKLOADS,
    *open_store.WORKLOADS,
    *import_time.WORKLOADS,
)
