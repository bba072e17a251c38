"""Writing and removing records together with their side files.

Knows: which record names a side file. Must not know: keys, values, and what the files hold.
"""

from __future__ import annotations

from typing import Final

from objcache.engine import SideKeeper, Transaction
from objcache.errors import FormatError
from objcache.header import SIDE_FILE, unpack

__all__ = ["names_side_file", "put_record", "remove_record", "side_file_of"]

_FLAGS_LOW: Final = 7  # the low byte of the flags in the header of a record


def names_side_file(record: bytes | bytearray) -> bool:
    """Return whether *record* has a side file; whatever is no record has none."""
    return len(record) > _FLAGS_LOW and record[_FLAGS_LOW] >= SIDE_FILE


def side_file_of(record: bytes | bytearray | None) -> bytes:
    """Return the name of the side file of *record*, b"" if it has none."""
    if record is None or not names_side_file(record):
        return b""
    try:
        return unpack(bytes(record)).side_file
    except FormatError:
        return b""  # damaged: `check` tells of the file that nobody names


def put_record(
    side: SideKeeper, transaction: Transaction, located: bytes, record: bytes | bytearray
) -> bool:
    """Write *record* at *located*, side files with it; return whether there was none before."""
    old = transaction.get(located)
    before, name = side_file_of(old), side_file_of(record)
    if before != name:
        if before:
            side.detach(transaction, before)
        if name:
            side.attach(transaction, name, located)
    transaction.put(located, record)
    return old is None


def remove_record(side: SideKeeper, transaction: Transaction, located: bytes) -> bool:
    """Remove the record at *located*, with its side file; return whether there was one."""
    if side.flag[0] and (name := side_file_of(transaction.get(located))):
        side.detach(transaction, name)
    return bool(transaction.delete(located))
