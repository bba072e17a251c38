"""How many entries there are, kept so that `len` never counts.

Knows: the counter records. Must not know: what is counted.

lmdb counts all records of the file. `others` counts those that are not entries of the root
mapping, so that the root's hot path updates no counter: its length is lmdb's count less that.
A namespace has a counter of its own. Counters are plain numbers, not signed: altered ones are
a wrong length, which `check` finds, and never code.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from objcache.errors import CorruptStoreError
from objcache.keys import COUNTERS, successor

if TYPE_CHECKING:
    from objcache.engine import Transaction

__all__ = [
    "OTHERS_KEY",
    "add_to_namespace",
    "add_to_others",
    "counter_key",
    "namespace_counts",
    "pack_count",
    "read_count",
]

OTHERS_KEY: Final = b"\x01others"
_COUNT: Final = struct.Struct(">Q")


def pack_count(count: int) -> bytes:
    """Return *count* as it is stored."""
    return _COUNT.pack(count)


def read_count(record: bytes | None) -> int:
    """Return the count of a counter record; 0 where there is none.

    Raises:
        CorruptStoreError: the record is too short to be one.
    """
    if record is None:
        return 0
    if len(record) < _COUNT.size:
        raise CorruptStoreError(f"a counter of the store has {len(record)} bytes; run check()")
    count: int = _COUNT.unpack_from(record)[0]
    return count


def counter_key(prefix: bytes) -> bytes:
    """Return where the count of the namespace with *prefix* is kept."""
    return COUNTERS + prefix


def add_to_namespace(
    transaction: Transaction, prefix: bytes, names: bytes | None, change: int
) -> None:
    """Count *change* more entries in a namespace, and in `others`.

    Args:
        transaction: the write transaction that makes the change.
        prefix: the namespace's prefix of engine keys.
        names: its encoded names, kept beside the count so that it can be listed; None where
            there is a count already.
        change: how many were added; negative for removed.
    """
    key = counter_key(prefix)
    found = transaction.get(key)
    count = read_count(found) + change
    others = change
    if count > 0:
        kept = (found or b"")[_COUNT.size :] if names is None else names
        transaction.put(key, _COUNT.pack(count) + kept)
        others += found is None
    elif found is not None:
        transaction.delete(key)
        others -= 1
    add_to_others(transaction, others)


def add_to_others(transaction: Transaction, change: int) -> None:
    """Count *change* more records that are no entries of the root mapping."""
    count = max(read_count(transaction.get(OTHERS_KEY)) + change, 0)
    transaction.put(OTHERS_KEY, _COUNT.pack(count))


def namespace_counts(transaction: Transaction) -> list[tuple[bytes, bytes, int]]:
    """Return prefix, encoded names and count of each namespace."""
    cursor = transaction.cursor()
    found = []
    if cursor.set_range(COUNTERS):
        end = successor(COUNTERS)
        for key, record in cursor.iternext():
            if key >= end:
                break
            found.append((key[1:], record[_COUNT.size :], read_count(record)))
    return found
