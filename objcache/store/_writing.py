"""Writing as a mapping: what a store, a namespace and a transaction have in common.

Knows: what is one atomic step. Must not know: when commits reach the disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, overload

from objcache.engine import Environment, SideKeeper, Transaction, WriteTransaction
from objcache.errors import ReadOnlyStoreError, StoreFullError
from objcache.header import SIDE_FILE, pack_fields, unpack
from objcache.keys import encode_key, engine_key, section_range
from objcache.listeners import LISTENERS, tell_full
from objcache.protocols import MISSING, Missing
from objcache.records import (
    BlobContent,
    Encoded,
    Records,
    blob_record,
    blobs_aside_from,
    encoded_record,
)
from objcache.store._counters import add_to_namespace
from objcache.store._reading import ObjectReader
from objcache.store._scan import Source
from objcache.store.side import (
    names_side_file,
    put_record,
    remove_between,
    remove_record,
    side_file_of,
)

if TYPE_CHECKING:
    from objcache.store.blobs import BlobReader, BlobWriter

__all__ = ["ObjectWriter", "Target"]

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")
T = TypeVar("T")


class Target(Source, Protocol):
    """What can be written to: a session, or a transaction of one."""

    @property
    def environment(self) -> Environment:
        """The open file."""
        ...

    @property
    def readonly(self) -> bool:
        """Whether writes are refused."""
        ...

    @property
    def in_transaction(self) -> bool:
        """Whether this thread has a write transaction of the file open."""
        ...

    def put(self, engine_key: bytes, record: bytes | bytearray, /) -> None:
        """Write one record."""
        ...

    def write(
        self, function: Callable[[Transaction], T], /, *, brief: bool = False, wanted_bytes: int = 0
    ) -> T:
        """Return what *function* did in one write transaction."""
        ...

    def transaction(self) -> AbstractContextManager[WriteTransaction]:
        """Make what this thread does one transaction."""
        ...

    def joined(self, opened: WriteTransaction, /) -> Target:
        """Return the target as seen through *opened*, usable only while that lasts."""
        ...


class ObjectWriter(ObjectReader[K, V], MutableMapping[K, V]):
    """A mapping whose every method is one atomic step, for all processes.

    Concurrency: any thread, any process; writers wait for each other.
    """

    __slots__ = ("_names", "_target")

    def __init__(
        self, target: Target, records: Records, prefix: bytes, names: tuple[str, ...] = ()
    ) -> None:
        super().__init__(target, records, prefix)
        self._target = target
        self._names = names

    # -- single entries ----------------------------------------------------------------------

    def __setitem__(self, key: K, value: V) -> None:
        """Store *value* under *key*.

        Raises:
            EncodeError: naming the part of the value that cannot be stored; nothing is written.
            KeyEncodingError: *key* cannot be a key.
            StoreFullError, StoreBusyError, ReadOnlyStoreError: nothing is written.

        Cost:
            One encoding, one keyed hash, one write transaction with the durability of the store.
        """
        # Flat on purpose: bench/workloads/set_one.py.
        text: Any = key
        if type(text) is str and len(text) <= self._short and "\0" not in text and text.isascii():
            located, full_key = self._text + text.encode() + b"\0", b""
        else:
            located, full_key = engine_key(self._prefix, key)
        record = self._records.encode(located, full_key, value)
        if self._prefix or record[7] >= SIDE_FILE:  # the low byte of its flags
            self._write_one(located, record)
            return
        try:
            self._target.put(located, record)
        except StoreFullError as error:
            if LISTENERS:
                tell_full(self._target.directory, error)
            raise

    def __delitem__(self, key: K) -> None:
        """Remove *key*.

        Raises:
            KeyError: no such key.
        """
        located, full_key = engine_key(self._prefix, key)
        if not self._target.write(
            lambda transaction: self._delete(transaction, located, full_key), brief=True
        ):
            raise KeyError(key)

    @overload
    def pop(self, key: K) -> V: ...
    @overload
    def pop(self, key: K, default: V | D) -> V | D: ...
    def pop(self, key: K, default: Any = MISSING) -> Any:
        """Remove *key* and return its value, in one atomic step; *default* if there is none.

        Raises:
            KeyError: no such key, and no default.
        """
        with self._target.transaction():
            value = self._find(key)
            if value is not MISSING:
                del self[key]
                return value
        if default is MISSING:
            raise KeyError(key)
        return default

    def popitem(self, last: bool = True) -> tuple[K, V]:  # noqa: FBT001, FBT002  # OrderedDict's
        """Remove and return the last entry in key order, or the first.

        Raises:
            KeyError: the mapping is empty.
        """
        with self._target.transaction():
            key, value = self.last() if last else self.first()
            del self[key]
            return key, value

    @overload
    def setdefault(self: MutableMapping[K, V | None], key: K, default: None = None) -> V | None: ...
    @overload
    def setdefault(self, key: K, default: V) -> V: ...
    def setdefault(self, key: K, default: Any = None) -> Any:
        """Return the value of *key*; store *default* first if there is none, atomically."""
        with self._target.transaction():
            value = self._find(key)
            if value is MISSING:
                self[key] = value = default
            return value

    def update_with(self, key: K, function: Callable[[V], V], default: V | Missing = MISSING) -> V:
        """Replace the value of *key* by `function(value)`, atomically; return the new value.

        Args:
            key: whose value.
            function: is called with the write transaction open: keep it short. If it raises,
                nothing is changed.
            default: what *function* gets where there is no value.

        Raises:
            KeyError: no such key, and no default.

        >>> with Store.temporary() as store:
        ...     store.update_with("hits", lambda count: count + 1, default=0)
        1
        """
        with self._target.transaction():
            value = self._find(key)
            if value is MISSING:
                if default is MISSING:
                    raise KeyError(key)
                value = default
            self[key] = value = function(value)
            return value

    # -- values larger than memory -----------------------------------------------------------

    @overload
    def open_blob(
        self, key: K, mode: Literal["rb"] = "rb", *, verify: bool = False
    ) -> BlobReader: ...
    @overload
    def open_blob(self, key: K, mode: Literal["wb"]) -> BlobWriter: ...
    def open_blob(
        self, key: K, mode: str = "rb", *, verify: bool = False
    ) -> BlobReader | BlobWriter:
        """Open the value of *key*, which is bytes, as a file; it need not fit into memory.

        What is written is seen by nobody before it is closed, and stored as a whole then, in the
        transaction that the closing thread has open or in one of its own. It is not stored if an
        exception leaves the `with` block.

        Args:
            key: whose value.
            mode: `"rb"` to read, `"wb"` to write; `store[key]` gives all of either as bytes.
            verify: read all of it now, and compare it with its signed digest. Without, who reads
                from the first byte to the last in order is told at the end; see `BlobReader`.

        Raises:
            KeyError: no such key to be read.
            BlobError: the value is something else than bytes, or *mode* is none.
            ReadOnlyStoreError, StoreClosedError, KeyEncodingError: it cannot be written.
            SignatureError, CorruptRecordError, UnsupportedFormatError, DecodeError:
                the record is there and cannot be read; it stays.

        Cost: a file descriptor while it is open; a MiB of memory to write. A value that was not
            written as a blob, nor with `codec="raw"`, is read into memory.

        >>> with Store.temporary() as store:
        ...     with store.open_blob("log", "wb") as blob:
        ...         for number in range(3):
        ...             _ = blob.write(b"line %d, " % number)
        ...     with store.open_blob("log") as blob:
        ...         blob.size, blob.read(6), blob.seek(16), blob.read()
        (24, b'line 0', 16, b'line 2, ')
        """
        from objcache.store.blobs import BlobWriter, checked_mode, no_bound  # noqa: PLC0415

        if checked_mode(key, mode, verify=verify) == "rb":
            return super().open_blob(key, verify=verify)
        target = self._target
        located, full_key = engine_key(self._prefix, key)
        target.read(lambda _: None)  # raises if it is closed
        if target.readonly:
            raise ReadOnlyStoreError(target.directory)

        def commit(content: BlobContent) -> None:
            fields = pack_fields(full_key=full_key)
            self._write_one(located, blob_record(self._records, located, content, fields))

        aside_bytes = blobs_aside_from(self._records)
        return BlobWriter(key, self._side.files, aside_bytes, no_bound, commit)

    def put_file(self, key: K, path: str | os.PathLike[str]) -> None:
        """Store the content of the file at *path* under *key*, as a blob.

        Raises:
            OSError: the file cannot be read.
            BlobError: it is no regular file, or was changed meanwhile; nothing is stored.
            StoreFullError, StoreBusyError, ReadOnlyStoreError, StoreError: nothing is stored.

        Cost: as `BlobWriter.write_file`; where the filesystem can, the blocks are shared.
        """
        with self.open_blob(key, "wb") as blob:
            blob.write_file(path)

    def _put_encoded(self, key: K, encoded: Encoded) -> None:
        located, full_key = engine_key(self._prefix, key)
        fields = pack_fields(full_key=full_key)
        self._write_one(located, encoded_record(self._records, located, encoded, fields))

    # -- many entries ------------------------------------------------------------------------

    def set_many(self, entries: Mapping[K, V] | Iterable[tuple[K, V]]) -> None:
        """Store all *entries* in one transaction: all of them, or none.

        Cost: all are encoded before the first is written; one commit.
        """
        pairs = entries.items() if isinstance(entries, Mapping) else entries
        encode, prefix = self._records.encode, self._prefix
        encoded: list[tuple[bytes, bytes | bytearray]] = []
        aside: list[bytes] = []

        def put_all(transaction: Transaction) -> None:
            if prefix or aside or self._side.flag[0]:
                for located, record in encoded:
                    self._put(transaction, located, record)
            else:
                transaction.cursor().putmulti(encoded)

        try:
            for key, value in pairs:
                located, full_key = engine_key(prefix, key)
                encoded.append((located, encode(located, full_key, value)))
                if names_side_file(encoded[-1][1]):
                    aside.append(side_file_of(encoded[-1][1]))
            if encoded:
                self._target.write(put_all)
        except BaseException as error:
            for name in aside:
                self._side.discard(name)
            if LISTENERS and isinstance(error, StoreFullError):
                tell_full(self._target.directory, error)
            raise

    def update(self, other: Any = (), /, **named: V) -> None:
        """Store all entries of *other* and *named* in one transaction."""
        self.set_many({**dict(other), **named} if named else dict(other))

    def delete_many(self, keys: Iterable[K]) -> int:
        """Remove those *keys* that exist, in one transaction; return how many there were."""
        located = [engine_key(self._prefix, key) for key in keys]
        return self._target.write(
            lambda transaction: sum(self._delete(transaction, *pair) for pair in located)
        )

    def clear(self) -> None:
        """Remove all entries of this mapping, in one transaction; namespaces below it stay.

        Cost: proportional to the number of entries.
        """
        self._target.write(self._delete_all)

    # -- atomic steps over several calls -----------------------------------------------------

    def _write_one(self, located: bytes, record: bytes | bytearray) -> None:
        try:
            self._target.write(
                lambda transaction: self._put(transaction, located, record),
                brief=True,
                wanted_bytes=len(record),
            )
        except BaseException as error:
            self._side.discard(side_file_of(record))
            if LISTENERS and isinstance(error, StoreFullError):
                tell_full(self._target.directory, error)
            raise

    @property
    def _side(self) -> SideKeeper:
        return self._target.environment.side

    def _delete_all(self, transaction: Transaction) -> None:
        low, high = section_range(self._prefix)[:2]
        removed = remove_between(self._side, transaction, low, high)
        if removed and self._prefix:
            self._count(transaction, -removed)

    def _put(self, transaction: Transaction, located: bytes, record: bytes | bytearray) -> None:
        side = self._side
        if side.flag[0] or names_side_file(record):
            added = put_record(side, transaction, located, record)
        else:
            added = transaction.put(located, record, overwrite=False)
            if not added:
                transaction.put(located, record)
        if added and self._prefix:  # the root mapping has no counter
            self._count(transaction, 1)

    def _delete(self, transaction: Transaction, located: bytes, full_key: bytes) -> bool:
        if full_key:
            record = transaction.get(located)
            if record is None or unpack(record).full_key != full_key:
                return False
        if not remove_record(self._side, transaction, located):
            return False
        if self._prefix:
            self._count(transaction, -1)
        return True

    def _count(self, transaction: Transaction, change: int) -> None:
        add_to_namespace(transaction, self._prefix, encode_key(self._names), change)
