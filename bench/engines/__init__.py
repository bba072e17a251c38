"""One adapter a rival; each imports its own dependency.

Knows: in which module each engine is. Must not know: workloads.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Final

from bench.engines._engine import ARRAYS as ARRAYS
from bench.engines._engine import BOUNDED as BOUNDED
from bench.engines._engine import CACHE as CACHE
from bench.engines._engine import DISK as DISK
from bench.engines._engine import FRAMES as FRAMES
from bench.engines._engine import HASH as HASH
from bench.engines._engine import MAPPING as MAPPING
from bench.engines._engine import MEMOIZE as MEMOIZE
from bench.engines._engine import MEMOIZE_DICT as MEMOIZE_DICT
from bench.engines._engine import PROCESSES as PROCESSES
from bench.engines._engine import SHARED as SHARED
from bench.engines._engine import THREADS as THREADS
from bench.engines._engine import TRANSACTION as TRANSACTION
from bench.engines._engine import VIEWS as VIEWS
from bench.engines._engine import Engine as Engine
from bench.engines._engine import Handle as Handle
from bench.engines._engine import Loss as Loss

__all__ = [
    "ARRAYS",
    "BOUNDED",
    "CACHE",
    "DISK",
    "ENGINE_NAMES",
    "FRAMES",
    "HASH",
    "MAPPING",
    "MEMOIZE",
    "MEMOIZE_DICT",
    "PROCESSES",
    "SHARED",
    "THREADS",
    "TRANSACTION",
    "VIEWS",
    "Engine",
    "Handle",
    "Loss",
    "load_engines",
]

_MODULES: Final = {
    "objcache-process": "objcache",
    "objcache-checkpoint": "objcache",
    "objcache-commit": "objcache",
    "objcache-cache-process": "objcache_cache",
    "objcache-cache-checkpoint": "objcache_cache",
    "objcache-hot": "objcache",
    "objcache-hot-shared": "objcache",
    "objcache-digest": "objcache",
    "limit-process": "limit",
    "limit-commit": "limit",
    "diskcache": "diskcache",
    "sqlite-full": "sqlite",
    "sqlitedict": "sqlitedict",
    "rocksdict": "rocksdict",
    "shelve": "shelve",
    "joblib": "joblib",
    "joblib-hash": "joblib",
    "lru_cache": "lru_cache",
    "numpy-files": "numpy_files",
}

ENGINE_NAMES: Final = tuple(_MODULES)


def load_engines(names: Iterable[str] = ENGINE_NAMES) -> tuple[list[Engine], dict[str, str]]:
    """Return the engines of *names*, and why others of them are absent."""
    present, absent = [], {}
    for name in names:
        try:
            module = importlib.import_module(f"bench.engines.{_MODULES[name]}")
        except ImportError as error:
            absent[name] = str(error)
        else:
            present += [engine for engine in module.ENGINES if engine.name == name]
    return present, absent
