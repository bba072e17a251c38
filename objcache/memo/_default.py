"""The store that memoized functions share when they name none.

Knows: where it lies, and that it is opened once. Must not know: what is kept in it.
"""

from __future__ import annotations

import atexit
import os
import threading
from typing import Any, Final

from objcache.store import Store

__all__ = ["DIRECTORY_VARIABLE", "default_path", "default_store"]

DIRECTORY_VARIABLE: Final = "OBJCACHE_DIR"

_lock = threading.Lock()
_stores: dict[str, Store[Any, Any]] = {}


def default_path() -> str:
    """Return where the default store lies: `$OBJCACHE_DIR`, else below the user's cache directory."""
    if directory := os.environ.get(DIRECTORY_VARIABLE):
        return os.path.abspath(directory)
    import platformdirs  # noqa: PLC0415  # a third of the import time of objcache

    return os.path.join(platformdirs.user_cache_dir("objcache", appauthor=False), "default")


def default_store() -> Store[Any, Any]:
    """Return the default store, opened on first use and closed when the process ends.

    Concurrency: any thread; all get the same store.
    """
    path = default_path()
    with _lock:
        store = _stores.get(path)
        if store is None or store.closed:
            store = _stores[path] = Store(path)
        return store


def _close_all() -> None:
    for store in _stores.values():
        store.close()


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603  # a thread that is not here may have held it
    _lock = threading.Lock()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_after_fork_in_child)
