"""Memoized functions: results that survive the process.

Knows: stores and the hash of arguments. Must not know: the engine, records, other containers.
Read docs/design/hashing.md first.
"""

from objcache.memo._default import default_path as default_path
from objcache.memo._default import default_store as default_store
from objcache.memo._memoize import CacheInfo as CacheInfo
from objcache.memo._memoize import MemoizedFunction as MemoizedFunction
from objcache.memo._memoize import StoreMemoize as StoreMemoize
from objcache.memo._memoize import memoize as memoize

__all__ = [
    "CacheInfo",
    "MemoizedFunction",
    "StoreMemoize",
    "default_path",
    "default_store",
    "memoize",
]
