"""Keep Python objects on disk: memoize functions, or open a directory as a dict.

>>> with objcache.Store(path) as store:
...     store["user", 7] = {"name": "ada"}
...     store["user", 7]["name"]
'ada'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from objcache import errors as errors
from objcache._version import __version__ as __version__
from objcache.clock import ManualClock as ManualClock
from objcache.errors import AuditError as AuditError
from objcache.errors import BlobError as BlobError
from objcache.errors import ComputationTimeoutError as ComputationTimeoutError
from objcache.errors import CorruptRecordError as CorruptRecordError
from objcache.errors import CorruptStoreError as CorruptStoreError
from objcache.errors import DecodeError as DecodeError
from objcache.errors import EncodeError as EncodeError
from objcache.errors import KeyEncodingError as KeyEncodingError
from objcache.errors import ObjcacheError as ObjcacheError
from objcache.errors import SignatureError as SignatureError
from objcache.errors import StoreBusyError as StoreBusyError
from objcache.errors import StoreClosedError as StoreClosedError
from objcache.errors import StoreFullError as StoreFullError
from objcache.errors import UnkeyableArgumentError as UnkeyableArgumentError
from objcache.errors import UnsupportedFormatError as UnsupportedFormatError
from objcache.errors import WrongSecretError as WrongSecretError
from objcache.protocols import Codec as Codec
from objcache.store import Namespace as Namespace
from objcache.store import Snapshot as Snapshot
from objcache.store import Store as Store
from objcache.store import Transaction as Transaction

if TYPE_CHECKING:
    from objcache.cache import Cache as Cache
    from objcache.cache import CacheEntry as CacheEntry
    from objcache.memo import CacheInfo as CacheInfo
    from objcache.memo import Entry as Entry
    from objcache.memo import Env as Env
    from objcache.memo import File as File
    from objcache.memo import MemoizedFunction as MemoizedFunction
    from objcache.memo import Package as Package
    from objcache.memo import default_path as default_path
    from objcache.memo import default_store as default_store
    from objcache.memo import memoize as memoize
    from objcache.shelf import Shelf as Shelf
    from objcache.shelf import open as open  # noqa: A004  # the name that shelve has
    from objcache.store.blobs import BlobReader as BlobReader
    from objcache.store.blobs import BlobWriter as BlobWriter
    from objcache.store.entries import StoreEntry as StoreEntry

__all__ = [
    "AuditError",
    "BlobError",
    "BlobReader",
    "BlobWriter",
    "Cache",
    "CacheEntry",
    "CacheInfo",
    "Codec",
    "ComputationTimeoutError",
    "CorruptRecordError",
    "CorruptStoreError",
    "DecodeError",
    "EncodeError",
    "Entry",
    "Env",
    "File",
    "KeyEncodingError",
    "ManualClock",
    "MemoizedFunction",
    "Namespace",
    "ObjcacheError",
    "Package",
    "Shelf",
    "SignatureError",
    "Snapshot",
    "Store",
    "StoreBusyError",
    "StoreClosedError",
    "StoreEntry",
    "StoreFullError",
    "Transaction",
    "UnkeyableArgumentError",
    "UnsupportedFormatError",
    "WrongSecretError",
    "__version__",
    "default_path",
    "default_store",
    "errors",
    "memoize",
    "open",
]

# Loaded on first use: `import objcache` has a budget (bench/workloads/import_time.py), and
# memoize needs inspect, which alone takes a third of it.
_LATE = {
    "BlobReader": "store.blobs",
    "BlobWriter": "store.blobs",
    "StoreEntry": "store.entries",
    "Cache": "cache",
    "CacheEntry": "cache",
    "CacheInfo": "memo",
    "Entry": "memo",
    "Env": "memo",
    "File": "memo",
    "MemoizedFunction": "memo",
    "Package": "memo",
    "default_path": "memo",
    "default_store": "memo",
    "memoize": "memo",
    "Shelf": "shelf",
    "open": "shelf",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        import importlib  # noqa: PLC0415  # loaded already by the interpreter's start

        module = importlib.import_module(f"objcache.{_LATE[name]}")
        value = globals()[name] = getattr(module, name)
        return value
    raise AttributeError(f"module 'objcache' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
