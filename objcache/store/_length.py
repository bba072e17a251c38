"""How many entries a mapping has: never counted, always known.

Knows: the counters, and which rows are no entries. Must not know: entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from objcache.engine import side_rows
from objcache.keys import CACHE_REGISTRY, CACHES_OVER
from objcache.store._counters import OTHERS_KEY, counter_key, read_count

if TYPE_CHECKING:
    from objcache.engine import Transaction

__all__ = ["length_of"]


def length_of(transaction: Transaction, prefix: bytes) -> int:
    """Return how many entries the mapping with *prefix* has; a damaged counter cannot make it raise."""
    records = transaction.stat()["entries"]
    if prefix:
        return min(read_count(transaction.get(counter_key(prefix))), records)
    others = read_count(transaction.get(OTHERS_KEY)) + side_rows(transaction)
    cursor = transaction.cursor()
    if cursor.set_range(CACHE_REGISTRY) and cursor.key()[:1] in {CACHE_REGISTRY, CACHES_OVER}:
        from objcache.store.generations import rows_of_caches  # noqa: PLC0415  # for caches only

        others += rows_of_caches(transaction)
    return max(records - others, 0)
