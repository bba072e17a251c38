"""One file a question.

Knows: which questions there are, in the order of the page. Must not know: how they are run.
"""

from __future__ import annotations

from typing import Final

from bench.workloads import (
    argument_keys,
    batch,
    cache_clear,
    cache_expire,
    cache_fill,
    cache_get,
    cache_set,
    classic_mix,
    cold_start,
    commits,
    delete,
    disk_traffic,
    get_hit,
    get_miss,
    import_time,
    iterate,
    large_values,
    memo_hit,
    memo_map,
    memo_miss,
    open_store,
    set_one,
    transaction,
)
from bench.workloads._workload import Subject as Subject
from bench.workloads._workload import Workload as Workload
from bench.workloads._workload import file_bytes as file_bytes
from bench.workloads._workload import filled as filled

__all__ = ["WORKLOADS", "Subject", "Workload", "file_bytes", "filled"]

WORKLOADS: Final[tuple[Workload, ...]] = (
    *get_hit.WORKLOADS,
    *get_miss.WORKLOADS,
    *set_one.WORKLOADS,
    *delete.WORKLOADS,
    *transaction.WORKLOADS,
    *batch.WORKLOADS,
    *commits.WORKLOADS,
    *classic_mix.WORKLOADS,
    *disk_traffic.WORKLOADS,
    *cache_get.WORKLOADS,
    *cache_set.WORKLOADS,
    *cache_fill.WORKLOADS,
    *cache_expire.WORKLOADS,
    *cache_clear.WORKLOADS,
    *iterate.WORKLOADS,
    *large_values.WORKLOADS,
    *memo_hit.WORKLOADS,
    *memo_miss.WORKLOADS,
    *memo_map.WORKLOADS,
    *argument_keys.WORKLOADS,
    *cold_start.WORKLOADS,
    *open_store.WORKLOADS,
    *import_time.WORKLOADS,
)
