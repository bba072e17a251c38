"""Storing values that are encoded already, on their way from another store.

Knows: who can store them. Must not know: what they are.
"""

from __future__ import annotations

from typing import Any

from objcache.protocols import MISSING
from objcache.records import Encoded
from objcache.store._writing import ObjectWriter

__all__ = ["put_encoded"]


def put_encoded(
    mapping: Any, key: Any, encoded: Encoded, *, expire: Any = MISSING, tag: Any = None
) -> None:
    """Store a value that is encoded already; nothing is decoded.

    It is signed, so that all who use the store will load it: only for what its user trusts.

    Args:
        mapping: a store, a namespace, or a cache.
        key: where.
        encoded: the value.
        expire: in a cache, as for `Cache.set`.
        tag: likewise.

    Raises:
        KeyEncodingError, EncodeError, StoreFullError, StoreError: nothing is written.
    """
    if isinstance(mapping, ObjectWriter):
        mapping._put_encoded(key, encoded)  # noqa: SLF001  # the other half of one class
    else:
        mapping._put_encoded(key, encoded, expire, tag)  # noqa: SLF001  # of a cache, likewise
