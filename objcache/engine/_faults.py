"""The one place where errors of lmdb and of the system become errors of objcache.

I8 of docs/design/concurrency.md. Knows: every error class of lmdb. Must not know: what was being done.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import lmdb

from objcache.errors import (
    CorruptStoreError,
    InternalError,
    ObjcacheError,
    PoisonedStoreError,
    ReadOnlyStoreError,
    StoreBusyError,
    StoreClosedError,
    StoreError,
    StoreFullError,
)

__all__ = ["EngineFault", "fault_kind", "translated", "translating"]

EngineFault = lmdb.Error
"""What the layers above may catch, to hand it to `translated`; never to show it."""

_DAMAGED: Final = "damaged"
_BUG: Final = "bug"
_FULL: Final = "full"
_BUSY: Final = "busy"
_READ_ONLY: Final = "read-only"
_GONE: Final = "gone"
_IO: Final = "io"
_POISONED: Final = "poisoned"

# Every class is named here; tests/unit/engine proves that none is missing.
_KINDS: Final[dict[type[lmdb.Error], str]] = {
    lmdb.BadChecksumError: _DAMAGED,
    lmdb.BadDbiError: _BUG,
    lmdb.BadRslotError: _BUG,
    lmdb.BadTxnError: _BUG,
    lmdb.BadValsizeError: _BUG,
    lmdb.CorruptedError: _DAMAGED,
    lmdb.CryptoFailError: _DAMAGED,
    lmdb.CursorFullError: _BUG,
    lmdb.DbsFullError: _BUG,
    lmdb.DiskError: _FULL,  # lmdb's name for ENOSPC
    lmdb.EnvEncryptionError: _DAMAGED,
    lmdb.IncompatibleError: _BUG,
    lmdb.InvalidError: _DAMAGED,
    lmdb.InvalidParameterError: _BUG,
    lmdb.KeyExistsError: _BUG,
    lmdb.LockError: _BUSY,
    lmdb.MapFullError: _FULL,
    lmdb.MapResizedError: _BUSY,
    lmdb.MemoryError: _IO,
    lmdb.NotFoundError: _BUG,
    lmdb.PageFullError: _DAMAGED,
    lmdb.PageNotFoundError: _DAMAGED,
    # A meta page could not be written; lmdb refuses even to read until the file is opened again.
    lmdb.PanicError: _POISONED,
    lmdb.ProblemError: _BUG,
    lmdb.ReadersFullError: _BUSY,
    lmdb.ReadonlyError: _READ_ONLY,
    lmdb.TlsFullError: _BUG,
    lmdb.TxnFullError: _FULL,
    lmdb.VersionMismatchError: _DAMAGED,
}
_ERRNO_KINDS: Final = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EAGAIN: _BUSY,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _READ_ONLY,
    errno.EPERM: _READ_ONLY,
}


def fault_kind(fault: lmdb.Error) -> str:
    """Return which kind of trouble *fault* is; "io" where lmdb says only its errno."""
    kind = _KINDS.get(type(fault))
    if kind is not None:
        return kind
    text = str(fault)
    if "closed/deleted/dropped" in text:
        return _GONE
    for number, errno_kind in _ERRNO_KINDS.items():
        if os.strerror(number) in text:
            return errno_kind
    return _IO


def translated(
    fault: lmdb.Error, path: str, map_bytes: int = 0, wanted_bytes: int | None = None
) -> ObjcacheError:
    """Return the error of objcache that says what *fault* means for the user of *path*.

    Args:
        fault: what lmdb raised.
        path: the store's directory.
        map_bytes: the bound of the file's size, named when it was hit.
        wanted_bytes: the size of the write that failed, where known.
    """
    kind = fault_kind(fault)
    if kind == _FULL and isinstance(fault, lmdb.MapFullError):
        return StoreFullError(path, map_bytes, wanted_bytes, "the bound of its file")
    if kind == _FULL or (kind == _IO and _free_bytes(path) < _HARDLY_FREE_BYTES):
        # lmdb answers a short write with EIO: what the disk says tells the two apart.
        return StoreFullError(path, _free_bytes(path), wanted_bytes, "free space on its disk")
    if kind == _BUSY:
        return StoreBusyError(path, f"other processes ({fault})")
    if kind == _READ_ONLY:
        return ReadOnlyStoreError(path)
    if kind == _GONE:
        return StoreClosedError(path)
    if kind == _POISONED:
        return PoisonedStoreError(path, str(fault))
    if kind == _DAMAGED:
        return CorruptStoreError(f"the file of the store at {path!r} is damaged: {fault}")
    if kind == _IO:
        return StoreError(f"the store at {path!r} met an I/O error: {fault}")
    return InternalError(f"{type(fault).__name__} at {path!r}: {fault}; please report this")


@contextmanager
def translating(path: str, deed: str) -> Iterator[None]:
    """Let errors of lmdb and of the system leave the block as errors of objcache.

    Args:
        path: the store's directory.
        deed: what could not be done to the store, for the message.
    """
    try:
        yield
    except ObjcacheError:
        raise  # some are errors of the system as well
    except lmdb.Error as fault:
        raise translated(fault, path) from fault
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreFullError(path, _free_bytes(path), None, "free space on its disk") from error
        raise StoreError(f"the store at {path!r} cannot be {deed}: {error}") from error


_HARDLY_FREE_BYTES: Final = 1 << 20


def _free_bytes(path: str) -> int:
    try:
        status = os.statvfs(path)
    except OSError:
        return _HARDLY_FREE_BYTES
    return status.f_bavail * status.f_frsize
