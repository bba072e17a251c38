"""Writing blobs to a cache: values larger than memory, within its bounds, with deadlines and tags.

Knows: when a blob is too large, and what stores it. Must not know: how it is written piece by piece.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeVar, overload

from objcache.cache._rows import Incoming, entry_of
from objcache.cache._rules import Rules
from objcache.cache._telling import tell_stored
from objcache.cache._writing import CacheWriter, Tags, tags_of
from objcache.header import pack_fields
from objcache.keys import engine_key
from objcache.listeners import LISTENERS
from objcache.protocols import MISSING, Missing
from objcache.records import BlobContent, Encoded, blob_record, blobs_aside_from, encoded_record
from objcache.store.side import side_file_of

if TYPE_CHECKING:
    from objcache.store.blobs import BlobReader, BlobWriter

__all__ = ["CacheBlobs"]

K = TypeVar("K")
V = TypeVar("V")


class CacheBlobs(CacheWriter[K, V]):
    """A cache with values that are written piece by piece."""

    __slots__ = ()

    @overload
    def open_blob(
        self, key: K, mode: Literal["rb"] = "rb", *, verify: bool = False
    ) -> BlobReader: ...
    @overload
    def open_blob(
        self,
        key: K,
        mode: Literal["wb"],
        *,
        expire: float | Missing | None = MISSING,
        tag: Tags = None,
    ) -> BlobWriter: ...
    def open_blob(
        self,
        key: K,
        mode: str = "rb",
        *,
        verify: bool = False,
        expire: float | Missing | None = MISSING,
        tag: Tags = None,
    ) -> BlobReader | BlobWriter:
        """Open the live value of *key*, which is bytes, as a file; it need not fit into memory.

        What is written counts from `close` on, as of which it is stored; see `Store.open_blob`.

        Args:
            key: whose value.
            mode: `"rb"` to read, `"wb"` to write.
            verify: read all of it now, and compare it with its signed digest.
            expire: of what is written, from `close` on, as for `set`.
            tag: of what is written, as for `set`.

        Raises:
            KeyError: there is none to be read, or it cannot be, which is logged.
            BlobError: the value is something else than bytes, or *mode* is none.
            ReadOnlyStoreError, StoreClosedError, KeyEncodingError: it cannot be written.
            StoreFullError: from the writer, as soon as it is too large for the cache, or from its
                `close`; nothing of it is left then, and nothing was evicted for it.
        """
        from objcache.store.blobs import BlobWriter, checked_mode  # noqa: PLC0415  # for blobs only

        if checked_mode(key, mode, verify=verify) == "rb":
            return super().open_blob(key, verify=verify)
        self._session.check_writable()
        self._settle()
        engine_key(self._rules.prefix, key)  # refuses what is no key now
        self._deadline_us(expire)
        tags = tags_of(tag)

        def commit(content: BlobContent) -> None:
            self._store_blob(key, content, expire, tags)

        aside_bytes = blobs_aside_from(self._records)
        files = self._session.environment.side.files
        return BlobWriter(key, files, aside_bytes, self._check_size, commit)

    def put_file(
        self,
        key: K,
        path: str | os.PathLike[str],
        expire: float | Missing | None = MISSING,
        tag: Tags = None,
    ) -> None:
        """Store the content of the file at *path* under *key*, as a blob.

        Args:
            key: where.
            path: of a regular file, which nobody should change meanwhile.
            expire: as for `set`.
            tag: as for `set`.

        Raises:
            OSError: the file cannot be read.
            BlobError: it is no regular file, or was changed meanwhile; nothing is stored.
            StoreFullError: as for `set`; a file that is too large is not copied.
        """
        with self.open_blob(key, "wb", expire=expire, tag=tag) as blob:
            blob.write_file(path)

    def _store_blob(
        self,
        key: K,
        content: BlobContent,
        expire: float | Missing | None,
        tags: tuple[str, ...],
    ) -> None:
        def encode(located: bytes, fields: tuple[int, bytes]) -> bytes | bytearray:
            return blob_record(self._records, located, content, fields)

        try:
            # Not discarded with each attempt, as another generation may begin under it.
            self._store_record(key, encode, expire, tags)
        except BaseException:
            self._session.environment.side.discard(content.side_file)
            raise

    def _put_encoded(
        self, key: K, encoded: Encoded, expire: float | Missing | None, tag: Tags
    ) -> None:
        def encode(located: bytes, fields: tuple[int, bytes]) -> bytes | bytearray:
            return encoded_record(self._records, located, encoded, fields)

        def failed(record: bytes | bytearray) -> None:
            self._session.environment.side.discard(side_file_of(record))

        self._store_record(key, encode, expire, tags_of(tag), failed=failed)

    def _store_record(
        self,
        key: K,
        encode: Callable[[bytes, tuple[int, bytes]], bytes | bytearray],
        expire: float | Missing | None,
        tags: tuple[str, ...],
        *,
        failed: Callable[[bytes | bytearray], None] | None = None,
    ) -> None:
        """Store the record that *encode* makes for an engine key and fields.

        It makes another one for each attempt; *failed* is told of those that were not stored.
        """
        deadline_us = self._deadline_us(expire)
        created_us = self._moment_us(self._mend_time())

        def write(rules: Rules) -> Incoming:
            located, full_key = engine_key(rules.prefix, key)
            fields = pack_fields(deadline_us, None, created_us, tags, full_key)
            record = encode(located, fields)
            entry = entry_of(located, record, created_us, deadline_us, tags)
            try:
                self._check_size(entry.size_bytes)
                self._change(rules, lambda ledger: ledger.admit(entry), entry.size_bytes)
            except BaseException:
                if failed is not None:
                    failed(record)
                raise
            return entry

        entry = self._retried(write)
        if LISTENERS:
            tell_stored(self._rules.path, self._names, key, entry)
