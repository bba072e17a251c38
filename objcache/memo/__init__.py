"""Memoized functions: results that survive the process.

Knows: stores and the hash of arguments. Must not know: the engine, records, other containers.
Read docs/design/memoize.md first.
"""

from objcache.memo._batches import Progress as Progress
from objcache.memo._controls import CacheInfo as CacheInfo
from objcache.memo._default import default_path as default_path
from objcache.memo._default import default_store as default_store
from objcache.memo._entries import Entry as Entry
from objcache.memo._inputs import Env as Env
from objcache.memo._inputs import File as File
from objcache.memo._inputs import Input as Input
from objcache.memo._inputs import Package as Package
from objcache.memo._memoize import Decorator as Decorator
from objcache.memo._memoize import StoreMemoize as StoreMemoize
from objcache.memo._memoize import memoize as memoize
from objcache.memo._results import caching_off as caching_off
from objcache.memo._settings import Options as Options
from objcache.memo._types import AsyncMemoizedFunction as AsyncMemoizedFunction
from objcache.memo._types import MemoizedFunction as MemoizedFunction
from objcache.memo._types import MemoizedMethod as MemoizedMethod
from objcache.memo._why import Explanation as Explanation

__all__ = [
    "AsyncMemoizedFunction",
    "CacheInfo",
    "Decorator",
    "Entry",
    "Env",
    "Explanation",
    "File",
    "Input",
    "MemoizedFunction",
    "MemoizedMethod",
    "Options",
    "Package",
    "Progress",
    "StoreMemoize",
    "caching_off",
    "default_path",
    "default_store",
    "memoize",
]
