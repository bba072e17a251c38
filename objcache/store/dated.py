"""Records that say what they cost to compute and how long they are good.

Knows: how they are located, read and written. Must not know: who decides that one is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

from objcache.engine import (
    EngineFault,
    Environment,
    Pulse,
    SideFileMissingError,
    Transaction,
)
from objcache.keys import ORDERED
from objcache.protocols import MISSING
from objcache.store._writing import ObjectWriter
from objcache.store.side import (
    file_gone,
    names_side_file,
    read_current,
    side_bytes_of,
    side_file_of,
)

__all__ = ["MEMOIZE", "DatedRecords", "Found", "stored_bytes"]

MEMOIZE: Final = "objcache.memoize"
"""The namespace below which memoized functions keep theirs: docs/design/memoize.md."""

Found = tuple[Any, int, int | None]
"""A value, its cost and its deadline, both in microseconds; the deadline may be None."""


class DatedRecords:
    """The records of one mapping by short keys of bytes, with cost, deadline and tags.

    A key is an ordinary key of the mapping: what is written here is read there.

    Args:
        mapping: the store or namespace that they are part of.
        stem: what all keys begin with; with the rest they have at most 120 bytes.
        views: whether large arrays of values are read-only and not copied, as of `Store.view`.
    """

    __slots__ = ("_head", "_mapping", "_records", "_source", "stem")

    def __init__(
        self, mapping: ObjectWriter[bytes, Any], stem: bytes = b"", *, views: bool = False
    ) -> None:
        self.stem = stem
        self._mapping = mapping
        records = mapping._records  # noqa: SLF001  # the other half of one class
        self._records = records.viewing() if views else records
        self._source = mapping._target  # noqa: SLF001
        start = mapping._prefix + ORDERED + b"\x01"  # noqa: SLF001  # docs/design/keys.md
        self._head = start + stem.replace(b"\0", b"\0\xff")

    @property
    def prefix_bytes(self) -> int:
        """How many of the first bytes of an engine key are the mapping's prefix."""
        return len(self._mapping._prefix)  # noqa: SLF001

    @property
    def head(self) -> bytes:
        """What all engine keys of these records begin with, and no others."""
        return self._head

    def locate(self, key: bytes) -> bytes:
        """Return the engine key of *key*."""
        return self._head + key.replace(b"\0", b"\0\xff") + b"\0"

    def get(self, key: bytes) -> Found | None:
        """Return the value of *key* with its cost and deadline; None if there is none.

        Raises:
            SignatureError, CorruptRecordError, UnsupportedFormatError, DecodeError, StoreError:
                there is a record and it cannot be read.

        Cost: one read transaction, one keyed hash, one decoding; no lock, no write.
        """
        # Flat on purpose: bench/workloads/memo_hit.py. No view leaves the engine (I6).
        located = self._head + key.replace(b"\0", b"\0\xff") + b"\0"
        try:
            record = self._source.begin().get(located)
        except EngineFault as fault:
            record = self._source.get_again(located, fault)
        if record is None:
            return None
        try:
            return self._records.decode_dated(key, located, record)
        except SideFileMissingError:
            return self._get_again(key, located, record)

    def _get_again(self, key: bytes, located: bytes, before: bytes) -> Found | None:
        """Return what `get` returns, after a record whose side file is gone was found."""
        decode = partial(self._records.decode_dated, key, located)
        found = read_current(self._source, key, located, decode, before)
        return None if found is MISSING else found

    @property
    def environment(self) -> Environment:
        """The open file."""
        return self._source.environment

    def stamped(self, key: bytes, pulse: Pulse) -> tuple[bytes | None, int]:
        """Return the record of *key*, not authenticated, and the pulse at which it is current.

        The pulse is -1, which it never is, where that cannot be told: somebody is committing, or
        this thread has a transaction of its own open.
        """
        located = self.locate(key)
        before = pulse.now()

        def read(transaction: Transaction) -> tuple[bytes | None, int]:
            return transaction.get(located), transaction.id()

        record, transaction_id = self._source.read(read)
        # The pages of a commit are there a moment before readers see it:
        #   A: writes its meta page     B: takes the pulse, reads the record before A's
        #   B: would believe it current until the next commit      A: lets readers see its pages
        current = pulse.last() == transaction_id and pulse.now() == before
        return record, before if current else -1

    def decode(self, key: bytes, record: bytes) -> Found:
        """Return what `get` returns, of a *record* that `stamped` or `get_many` has returned."""
        try:
            return self._records.decode_dated(key, self.locate(key), record)
        except SideFileMissingError as missing:
            raise file_gone(key, missing) from missing

    def get_many(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return the records of those *keys* that have one, all of one moment: one transaction."""
        located = {key: self.locate(key) for key in keys}
        found = self._source.read(
            lambda transaction: [transaction.get(place) for place in located.values()]
        )
        return {
            key: record for key, record in zip(located, found, strict=True) if record is not None
        }

    def encode(
        self,
        key: bytes,
        value: Any,
        *,
        cost_us: int | None = None,
        deadline_us: int | None = None,
        tags: tuple[str, ...] = (),
    ) -> bytes | bytearray:
        """Return the signed record of *value*, to be given to `put`.

        Raises:
            EncodeError: naming the part of the value that cannot be stored.
        """
        return self._records.encode(self.locate(key), b"", value, deadline_us, tags, cost_us)

    def put(self, key: bytes, record: bytes | bytearray) -> None:
        """Write a *record* that `encode` made for *key*."""
        located = self.locate(key)
        self._source.write(lambda transaction: self._put(transaction, located, record), brief=True)

    def put_many(self, records: Mapping[bytes, bytes | bytearray]) -> None:
        """Write several *records*, in one transaction."""
        located = [(self.locate(key), record) for key, record in records.items()]

        def put_all(transaction: Transaction) -> None:
            for place, record in located:
                self._put(transaction, place, record)

        if located:
            self._source.write(put_all)

    def discard_unwritten(self, records: Iterable[bytes | bytearray]) -> None:
        """Unlink the side files of *records* of `encode` that were not written."""
        for record in records:
            if names_side_file(record):
                self.environment.side.discard(side_file_of(record))

    def delete(self, key: bytes) -> bool:
        """Remove *key*; return whether there was one."""
        return bool(self._mapping.delete_many([self.stem + key]))

    def _put(self, transaction: Transaction, located: bytes, record: bytes | bytearray) -> None:
        self._mapping._put(transaction, located, record)  # noqa: SLF001


def stored_bytes(record: bytes | bytearray) -> int:
    """Return how many bytes *record* has, its side file with it."""
    return len(record) + side_bytes_of(record)
