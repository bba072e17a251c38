"""The store: a mapping of Python objects on disk.

Knows: keys, records, sessions of the engine. Must not know: lmdb, caches, memoized functions.
Read docs/design/format.md and docs/design/keys.md first.
"""

from objcache.store._check import CheckReport as CheckReport
from objcache.store._check import Problem as Problem
from objcache.store._reading import ObjectReader as ObjectReader
from objcache.store._reading import RangeView as RangeView
from objcache.store._secrets import user_secret_file as user_secret_file
from objcache.store._store import Namespace as Namespace
from objcache.store._store import Snapshot as Snapshot
from objcache.store._store import Store as Store
from objcache.store._store import StoreStats as StoreStats
from objcache.store._store import Transaction as Transaction
from objcache.store._writing import ObjectWriter as ObjectWriter

__all__ = [
    "CheckReport",
    "Namespace",
    "ObjectReader",
    "ObjectWriter",
    "Problem",
    "RangeView",
    "Snapshot",
    "Store",
    "StoreStats",
    "Transaction",
    "user_secret_file",
]
