"""The store: a mapping of Python objects on disk.

Knows: keys, records, sessions of the engine. Must not know: lmdb, caches, memoized functions.
Read docs/design/format.md and docs/design/keys.md first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from objcache.store._reading import ObjectReader as ObjectReader
from objcache.store._reading import RangeView as RangeView
from objcache.store._secrets import user_secret_file as user_secret_file
from objcache.store._store import Namespace as Namespace
from objcache.store._store import Snapshot as Snapshot
from objcache.store._store import Store as Store
from objcache.store._store import Transaction as Transaction
from objcache.store._writing import ObjectWriter as ObjectWriter

if TYPE_CHECKING:
    from objcache.store._check import CheckReport as CheckReport
    from objcache.store._check import check_path as check_path
    from objcache.store._damaged import Problem as Problem
    from objcache.store._raw_records import Mapped as Mapped
    from objcache.store._raw_records import RawRecord as RawRecord
    from objcache.store._raw_records import RawRecords as RawRecords
    from objcache.store._raw_records import refuse_damaged as refuse_damaged
    from objcache.store._repair import Recovered as Recovered
    from objcache.store._repair import Repaired as Repaired
    from objcache.store._repair import repair_store as repair_store
    from objcache.store._resigning import Resigned as Resigned
    from objcache.store._resigning import trust_store as trust_store
    from objcache.store._stats import StoreStats as StoreStats

__all__ = [
    "CheckReport",
    "Mapped",
    "Namespace",
    "ObjectReader",
    "ObjectWriter",
    "Problem",
    "RangeView",
    "RawRecord",
    "RawRecords",
    "Recovered",
    "Repaired",
    "Resigned",
    "Snapshot",
    "Store",
    "StoreStats",
    "Transaction",
    "check_path",
    "refuse_damaged",
    "repair_store",
    "trust_store",
    "user_secret_file",
]


# Loaded on first use: they are seldom needed, and `import objcache` has a budget.
_LATE = {
    "CheckReport": "_check",
    "Mapped": "_raw_records",
    "Problem": "_damaged",
    "RawRecord": "_raw_records",
    "RawRecords": "_raw_records",
    "Recovered": "_repair",
    "Repaired": "_repair",
    "Resigned": "_resigning",
    "StoreStats": "_stats",
    "check_path": "_check",
    "refuse_damaged": "_raw_records",
    "repair_store": "_repair",
    "trust_store": "_resigning",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        import importlib  # noqa: PLC0415  # loaded already by the interpreter's start

        return getattr(importlib.import_module(f"objcache.store.{_LATE[name]}"), name)
    raise AttributeError(f"module 'objcache.store' has no attribute {name!r}")
