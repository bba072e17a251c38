"""Writing and removing records together with their side files.

Knows: which record names a side file, and what it means if that is gone. Must not know: values, and
what the files hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from objcache.engine import SideFileMissingError, SideKeeper, Transaction
from objcache.errors import CorruptRecordError, FormatError
from objcache.header import SIDE_FILE, unpack
from objcache.protocols import MISSING, Missing
from objcache.store._scan import Source

__all__ = [
    "file_gone",
    "names_side_file",
    "put_record",
    "read_current",
    "remove_between",
    "remove_record",
    "side_bytes_of",
    "side_file_of",
]

T = TypeVar("T")

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


def side_bytes_of(record: bytes | bytearray) -> int:
    """Return the size of the side file of *record*, 0 if it has none."""
    if not names_side_file(record):
        return 0
    try:
        return unpack(bytes(record)).side_file_bytes
    except FormatError:
        return 0


def file_gone(key: object, missing: SideFileMissingError) -> CorruptRecordError:
    """Return what it means that the side file of the record of *key* is *missing*, for good."""
    return CorruptRecordError(key, f"its side file {missing} is gone")


def read_current(
    source: Source,
    key: object,
    located: bytes,
    decode: Callable[[bytes], T],
    before: bytes | None = None,
) -> T | Missing:
    """Return what *decode* makes of the record at *located*, `MISSING` if there is none.

    Args:
        source: where to read.
        key: for messages.
        located: the engine key of the record.
        decode: raises SideFileMissingError where the side file of a record is gone.
        before: the record for which it has done so just now.

    Raises:
        CorruptRecordError: the side file is gone, and the record that names it is still there.
    """
    # A: reads the record     B: overwrites it, unlinks its file     A: finds no file
    while True:
        record = source.read(lambda transaction: transaction.get(located))
        if record is None:
            return MISSING
        try:
            return decode(record)
        except SideFileMissingError as missing:
            if record == before:
                raise file_gone(key, missing) from missing
            before = record


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


def remove_between(
    side: SideKeeper, transaction: Transaction, low: bytes, high: bytes, most: int | None = None
) -> int:
    """Remove up to *most* records with *low* <= engine key < *high*, with their side files.

    Returns:
        How many there were.
    """
    cursor = transaction.cursor()
    removed = 0
    if cursor.set_range(low):
        # Behind the last record of the file there is no key.
        while (most is None or removed < most) and low <= cursor.key() < high:
            if side.flag[0] and (name := side_file_of(cursor.value())):
                side.detach(transaction, name)
            cursor.delete()
            removed += 1
    return removed
