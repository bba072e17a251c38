"""Which side files belong to a store, in rows of its own file: live, not yet flushed, dropped.

Knows: the rows. Must not know: what the files hold, and what their records are.

A row is written in the transaction that writes or removes the record, so that both are there or
neither. docs/design/side-files.md tells why a file is never missed, and never in the way.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from objcache.engine._transactions import Transaction

__all__ = [
    "attach",
    "detach",
    "dropped",
    "forget_dated",
    "is_live",
    "known_names",
    "live_files",
    "pending_after",
    "prune",
    "side_bytes",
    "side_row",
    "side_rows",
    "unknown",
]

# On disk. Never renumber, never reuse, only append: docs/design/format.md, "Side files".
_LIVE: Final = b"\x05"
_PENDING: Final = b"\x06"
_DROPPED: Final = b"\x07"
_COUNT: Final = struct.Struct(">Q")
_NAME_BYTES: Final = 16
_KINDS: Final = {_LIVE: "live", _PENDING: "pending", _DROPPED: "dropped"}
_DATED_BYTES: Final = 1 + _COUNT.size + _NAME_BYTES


def attach(
    transaction: Transaction, name: bytes, located: bytes, size_bytes: int, *, pending: bool
) -> None:
    """Say that the record at *located* has the side file *name*, in the write *transaction*.

    Args:
        transaction: that writes the record.
        name: of the file.
        located: the engine key of the record.
        size_bytes: of the file.
        pending: whether the next checkpoint has to flush the file.
    """
    new = bool(transaction.put(_LIVE + name, located, overwrite=False))
    added = int(new)
    if pending:
        added += transaction.put(_dated(_PENDING, transaction, name), b"")
    _add(transaction, added, size_bytes if new else 0)


def detach(transaction: Transaction, name: bytes, size_bytes: int) -> None:
    """Say that no record has the side file *name*, of *size_bytes*, any more."""
    if transaction.delete(_LIVE + name):
        transaction.put(_dated(_DROPPED, transaction, name), b"")
        _add(transaction, 0, -size_bytes)


def is_live(transaction: Transaction, name: bytes) -> bool:
    """Return whether a record has the side file *name*."""
    return transaction.get(_LIVE + name) is not None


def live_files(transaction: Transaction) -> Iterator[tuple[bytes, bytes]]:
    """Iterate over name and engine key of the files that records have."""
    cursor = transaction.cursor()
    if cursor.set_range(_LIVE + b"\0"):
        for key, located in cursor:
            if not key.startswith(_LIVE):
                return
            if len(key) == 1 + _NAME_BYTES:
                yield key[1:], located


def pending_after(transaction: Transaction, transaction_id: int) -> list[bytes]:
    """Return the names of live files that were attached later than by *transaction_id*."""
    found = _dated_from(transaction, _PENDING, transaction_id + 1)
    names = [key[-_NAME_BYTES:] for key, _ in found]
    return [name for name in names if is_live(transaction, name)]


def dropped(transaction: Transaction) -> Iterator[tuple[bytes, int]]:
    """Iterate over the names of dropped files and the transactions that dropped them, in order."""
    for key, dropped_by in _dated_from(transaction, _DROPPED, 0):
        yield key[-_NAME_BYTES:], dropped_by


def known_names(transaction: Transaction) -> set[bytes]:
    """Return the names of all files that are live or dropped; others belong to nobody."""
    names = {name for name, _ in live_files(transaction)}
    names.update(name for name, _ in dropped(transaction))
    return names


def unknown(transaction: Transaction, names: Iterable[bytes]) -> list[bytes]:
    """Return those *names* that are neither live nor dropped."""
    left = [name for name in names if not is_live(transaction, name)]
    known = {name for name, _ in dropped(transaction)} if left else set()
    return [name for name in left if name not in known]


def prune(transaction: Transaction, flushed_up_to: int, gone: Iterable[bytes]) -> None:
    """Remove rows that say nothing any more, in the write *transaction*.

    Args:
        transaction: of a write that has to do with side files.
        flushed_up_to: the transaction up to which all files are durable.
        gone: names of dropped files that were unlinked.
    """
    stale: list[bytes] = []
    for key, attached_by in _dated_from(transaction, _PENDING, 0):
        if attached_by > flushed_up_to:
            break
        stale.append(key)
    unlinked = set(gone)
    for key, _ in _dated_from(transaction, _DROPPED, 0) if unlinked else ():
        if key[-_NAME_BYTES:] in unlinked:
            stale.append(key)
    _add(transaction, -sum(transaction.delete(key) for key in stale))


def forget_dated(transaction: Transaction) -> None:
    """Remove the rows that name transactions: in a copy, whose transactions are others."""
    stale = [key for kind in (_PENDING, _DROPPED) for key, _ in _dated_from(transaction, kind, 0)]
    _add(transaction, -sum(transaction.delete(key) for key in stale))


def side_row(located: bytes) -> tuple[str, bytes] | None:
    """Return the kind of the row at *located*, and the name in it; None where none of these lies.

    Kinds: "count", "live", "pending", "dropped", and "damaged".
    """
    kind = _KINDS.get(located[:1])
    if kind is None:
        return None
    if located == _LIVE:
        return "count", b""
    if len(located) != (1 + _NAME_BYTES if kind == "live" else _DATED_BYTES):
        return "damaged", b""
    return kind, located[-_NAME_BYTES:]


def side_rows(transaction: Transaction) -> int:
    """Return how many records of the engine are rows of this module."""
    found = transaction.get(_LIVE)
    if found is None or len(found) < _COUNT.size:
        return 0
    count: int = _COUNT.unpack_from(found)[0]
    return count


def side_bytes(transaction: Transaction) -> int:
    """Return how many bytes the files have that records have."""
    found = transaction.get(_LIVE)
    if found is None or len(found) < 2 * _COUNT.size:
        return 0
    total: int = _COUNT.unpack_from(found, _COUNT.size)[0]
    return total


def _add(transaction: Transaction, change: int, change_bytes: int = 0) -> None:
    if change or change_bytes:
        count = max((side_rows(transaction) or 1) + change, 1)  # this row too
        total = max(side_bytes(transaction) + change_bytes, 0)
        transaction.put(_LIVE, _COUNT.pack(count) + _COUNT.pack(total))


def _dated(kind: bytes, transaction: Transaction, name: bytes) -> bytes:
    return kind + _COUNT.pack(transaction.id()) + name


def _dated_from(transaction: Transaction, kind: bytes, first: int) -> Iterator[tuple[bytes, int]]:
    """Yield keys of *kind* from transaction *first* on, with the transaction that each names."""
    cursor = transaction.cursor()
    if cursor.set_range(kind + _COUNT.pack(first)):
        for key in cursor.iternext(values=False):
            if not key.startswith(kind):
                return
            if len(key) == _DATED_BYTES:
                yield key, _COUNT.unpack_from(key, 1)[0]
