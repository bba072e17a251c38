"""Records as they lie in a store: who signed them and what they say, with no value decoded.

Knows: where records lie, and their headers. Must not know: what a pickle means.
What is read here need not be authentic: nothing of it is imported, called or unpickled, and no
secret is needed. Only `RawRecords.value` decodes, after it has verified.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, Final, NamedTuple, Self, TypeVar

from objcache.codecs import CodecId, decompress
from objcache.engine import FILE_NAME, Session, SideFileMissingError, close_session
from objcache.engine.raw import PageFile, Walk
from objcache.errors import (
    CorruptStoreError,
    FormatError,
    KeyEncodingError,
    StoreError,
    WrongSecretError,
)
from objcache.header import SIGNED, Header, unpack
from objcache.keys import (
    CACHES,
    RECORDS,
    UNORDERED,
    engine_key,
    key_of,
    namespace_prefix,
    prefix_range,
    section_range,
)
from objcache.protocols import MISSING
from objcache.records import Encoded, Records, encoded_value, value_stream
from objcache.signing import Signer
from objcache.store._check import reading_session
from objcache.store._counters import namespace_counts
from objcache.store._damaged import Problem, first_pages, problem_of, refuse_other_paths
from objcache.store._locations import ENTRIES, names_of, prefix_of
from objcache.store._scan import Source, scan
from objcache.store._secrets import Secret, find_secrets
from objcache.store._settings import SETTINGS_KEY, SETTINGS_NAME, Settings, parse_settings
from objcache.store.generations import caches_of, generation_prefix, record_prefix
from objcache.store.side import file_gone, read_current

__all__ = ["Mapped", "RawRecord", "RawRecords", "refuse_damaged"]

_LARGEST_UNSIGNED_BYTES: Final = 1 << 26

T = TypeVar("T")


class Mapped(NamedTuple):
    """One mapping of a store.

    Attributes:
        names: of the namespace or cache; empty for the store itself and for its first cache.
        is_cache: whether its entries are those of a `Cache`.
        prefix: what its engine keys begin with.
    """

    names: tuple[str, ...]
    is_cache: bool
    prefix: bytes


class RawRecord(NamedTuple):
    """One record as it lies there.

    Attributes:
        mapping: what it is an entry of.
        located: its engine key.
        key: its key; its engine key, as bytes, where that cannot be told.
        is_key_known: whether *key* is the key.
        record: the bytes.
        header: what it says of itself; None where it cannot be read.
        trust: `"signed"` by a secret of ours, `"unsigned"`, `"foreign"` where another secret
            signed it or it was altered, or `"damaged"`.
        problem: why the header cannot be read; "" if it can.
    """

    mapping: Mapped
    located: bytes
    key: Any
    is_key_known: bool
    record: bytes
    header: Header | None
    trust: str
    problem: str

    @property
    def size_bytes(self) -> int:
        """The size of the record and its side file."""
        return len(self.record) + (0 if self.header is None else self.header.side_file_bytes)


def refuse_damaged(path: str | os.PathLike[str]) -> None:
    """Refuse what is no store, or one that would make LMDB crash for want of its first or last pages.

    Raises:
        StoreNotFoundError, StoreError: it is no store, or cannot be read.
        CorruptStoreError: its first pages are damaged, or it was cut off.

    Cost: two pages; of a file that ends before its last page, all of it.
    """
    directory = os.path.abspath(os.fsdecode(path))
    refuse_other_paths(directory)
    file = os.path.join(directory, FILE_NAME)
    for problem in chain(first_pages(file), _cut_off(file)):
        raise CorruptStoreError(
            f"the store at {directory!r} is damaged: {problem.where}: {problem.message}; "
            "objcache check tells more, and saves what can be saved"
        )


def _cut_off(data_file: str) -> Iterator[Problem]:
    """Yield what is wrong with a file that ends early: LMDB would read behind its end, and crash."""
    with PageFile(data_file) as file:
        for meta in file.metas()[:1]:
            if os.path.getsize(data_file) > meta.last_page * meta.page_bytes:
                return
            # LMDB leaves out last pages that were free again before they were written.
            walk = Walk(file, meta)
            walk.free_list()
            for _ in walk.records():
                pass
            if file.metas()[:1] == [meta]:  # else somebody has written meanwhile
                yield from map(problem_of, walk.damages)


class RawRecords:
    """The records of one store, opened for looking at them.

    Args:
        path: the store's directory.
        secret: as for `Store`.
        foreign: open also a store of another secret.
        trust: as for `Store`, for `value`.
        shared: as for `Store`.
        allow_network: as for `Store`.

    Attributes:
        directory: the store's directory.
        settings: what the store says of itself; authentic only if `own`.
        own: whether its secret is ours.

    Raises:
        WrongSecretError: it is of another secret, and not *foreign*.
        StoreNotFoundError, StoreError, UntrustedStoreError, NetworkFilesystemError, SecretError,
        CorruptStoreError: it was not opened.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        secret: Secret | None = None,
        foreign: bool = False,
        trust: Iterable[str | type] | None = None,
        shared: bool = False,
        allow_network: bool = False,
    ) -> None:
        self.directory = os.path.abspath(os.fsdecode(path))
        refuse_damaged(path)
        secrets = find_secrets(secret, self.directory)
        self._session: Session = reading_session(
            self.directory, shared=shared, allow_network=allow_network
        )
        self._source: Source = self._session
        try:
            self.settings, signer = self._settings(secrets, foreign=foreign)
        except BaseException:
            close_session(self._session)
            raise
        self.own = self.settings.fingerprint in signer.fingerprints
        self._signer = signer
        self._files = self._session.environment.side.files
        self._records = Records(signer, files=self._files, trust=trust)

    def _settings(self, secrets: tuple[bytes, ...], *, foreign: bool) -> tuple[Settings, Signer]:
        record = self._record_at(SETTINGS_KEY)
        if record is None:
            raise CorruptStoreError(f"the store at {self.directory!r} has no settings")
        settings = parse_settings(record, self.directory)
        signer = Signer(secrets, settings.store_id)
        if settings.fingerprint in signer.fingerprints:
            Records(signer).authenticate(SETTINGS_NAME, SETTINGS_KEY, record)
        elif not foreign:
            raise WrongSecretError(self.directory, settings.fingerprint, signer.fingerprints)
        return settings, signer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        close_session(self._session)

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        """Show the store as it is now until the block is left, whatever is written meanwhile.

        Cost: as `Store.snapshot`.
        """
        snapshot = self._source = self._session.snapshot()
        try:
            yield
        finally:
            self._source = self._session
            snapshot.end("its block was left")

    # -- which mappings ----------------------------------------------------------------------

    def mapping(self, names: tuple[str, ...], *, is_cache: bool) -> Mapped | None:
        """Return the mapping *names*; None where there is no such cache."""
        if not is_cache:
            return Mapped(names, False, namespace_prefix(names) if names else b"")
        return next((found for found in self.caches() if found.names == names), None)

    def caches(self) -> list[Mapped]:
        """Return all caches of the store."""
        return [
            Mapped(cache.names, True, generation_prefix(cache.number))
            for cache in self._source.read(caches_of)
        ]

    # -- records -----------------------------------------------------------------------------

    def records(
        self, mapping: Mapped, key_prefix: Any = MISSING, *, reverse: bool = False
    ) -> Iterator[RawRecord]:
        """Yield the records of a mapping in the order of their keys; see `Store.prefix`."""
        whole = section_range(mapping.prefix)
        span = whole if key_prefix is MISSING else prefix_range(mapping.prefix, key_prefix)
        found = scan(self._source, span.low, span.high, lambda _: True, reverse=reverse)
        for located, record in found:
            raw = self._raw(mapping, located, record)
            full_key = raw.header.full_key if raw.header is not None else b""
            encoded = full_key or located[len(mapping.prefix) + 1 :]
            if span.full_low is not None and encoded < span.full_low:
                continue
            if span.full_high is None or encoded < span.full_high:
                yield raw

    def record_of(self, mapping: Mapped, key: Any) -> RawRecord | None:
        """Return the record of *key*; None where there is none."""
        located, full_key = engine_key(mapping.prefix, key)
        record = self._record_at(located)
        if record is None:
            return None
        raw = self._raw(mapping, located, record)
        if raw.header is not None and raw.header.full_key != full_key:
            return None
        return raw

    def record_at(self, located: bytes) -> RawRecord | None:
        """Return the record at an engine key; None where there is none of a mapping."""
        found = self.all_records(located, located + b"\0")
        return next(found, None)

    def all_records(
        self, low: bytes = ENTRIES[0], high: bytes = CACHES + b"\xff" * 5
    ) -> Iterator[RawRecord]:
        """Yield every record of the store, its namespaces and its caches."""
        mappings = {cache.prefix: cache for cache in self.caches()}
        counts = self._source.read(namespace_counts)
        for prefix, encoded, _ in counts:
            mappings[prefix] = Mapped(names_of(prefix, encoded) or (), False, prefix)
        for located, record in scan(self._source, low, high, lambda _: True):
            prefix_here = record_prefix(located) or prefix_of(located)
            if prefix_here is None or located[len(prefix_here) :][:1] not in RECORDS:
                continue
            if located[:1] == CACHES and prefix_here not in mappings:
                continue  # of a cache that was cleared: nobody reads it again
            if prefix_here not in mappings:
                mappings[prefix_here] = Mapped(names_of(prefix_here) or (), False, prefix_here)
            yield self._raw(mappings[prefix_here], located, record)

    def _record_at(self, located: bytes) -> bytes | None:
        return self._source.read(lambda transaction: transaction.get(located))

    def count(self) -> int:
        """Return how many rows the file has: records, and what is about them."""
        return self._source.read(lambda transaction: int(transaction.stat()["entries"]))

    def _raw(self, mapping: Mapped, located: bytes, record: bytes) -> RawRecord:
        header, trust, problem = None, "damaged", ""
        try:
            header = unpack(record)
        except FormatError as error:
            problem = str(error)
        else:
            if not header.flags & SIGNED:
                trust = "unsigned"
            elif self._signer.verifies(located, record, header.payload_end):
                trust = "signed"
            else:
                trust = "foreign"
        key, known = self._key(mapping, located, header, trust)
        return RawRecord(mapping, located, key, known, record, header, trust, problem)

    def _key(
        self, mapping: Mapped, located: bytes, header: Header | None, trust: str
    ) -> tuple[Any, bool]:
        length = len(mapping.prefix)
        if located[length : length + 1] == UNORDERED and trust != "signed":
            return located, False  # such a key may look for a class of its own
        try:
            return key_of(length, located, b"" if header is None else header.full_key), True
        except KeyEncodingError:
            return located, False

    # -- what is in them ---------------------------------------------------------------------

    def payload(self, raw: RawRecord) -> bytes | memoryview:
        """Return the encoded value of a record, decompressed; nothing is decoded.

        Raises:
            FormatError, CorruptStoreError, StoreError, MissingExtraError: it cannot be had.
        """
        header = raw.header
        if header is None:
            raise FormatError(raw.problem)
        raw_bytes = header.payload_raw_bytes
        payload: Any = memoryview(raw.record)[header.payload_start : header.payload_end]
        if header.payload_aside:
            part = header.buffers[0]
            raw_bytes = part.raw_bytes
            self._refuse_large(raw, part.end - part.start)
            try:
                (payload,) = self._files.read(header.side_file, [(part.start, part.end)])
            except SideFileMissingError as missing:
                raise file_gone(raw.key, missing) from missing
        if raw_bytes:
            self._refuse_large(raw, raw_bytes)
            payload = decompress(header.compression, payload, raw_bytes)
        return payload  # type: ignore[no-any-return]

    def _refuse_large(self, raw: RawRecord, size: int) -> None:
        # What is not authentic says whatever it likes of its size.
        if raw.trust != "signed" and size > _LARGEST_UNSIGNED_BYTES:
            raise StoreError(
                f"it says that it has {size:,} bytes, and is not authentic: more than "
                f"{_LARGEST_UNSIGNED_BYTES:,} are not looked at"
            )

    def value(self, raw: RawRecord) -> Any:
        """Return the value of a record, once it is authentic.

        Raises:
            SignatureError, CorruptRecordError, UnsupportedFormatError, DecodeError: it cannot be
                read; of what is not authentic nothing was decoded.
        """
        return self._made_of(
            raw, lambda header, record: self._records.load(raw.key, header, record)
        )

    def encoded(self, raw: RawRecord) -> Encoded:
        """Return the value of a record as it is encoded, once it is authentic; nothing is decoded.

        Raises:
            SignatureError, CorruptRecordError, UnsupportedFormatError, MissingExtraError: it
                cannot be read.
        """
        return self._made_of(
            raw, lambda header, record: encoded_value(self._records, raw.key, header, record)
        )

    def blob(self, raw: RawRecord) -> tuple[io.RawIOBase | io.BytesIO, int]:
        """Return the bytes that are the value of a record of codec `raw`, and how many there are.

        All of them were compared with what was stored; whoever asks closes the stream.

        Raises:
            SignatureError, CorruptRecordError, UnsupportedFormatError, DecodeError: as `value`.
        """

        def opened(header: Header, record: bytes) -> tuple[io.RawIOBase | io.BytesIO, int]:
            return value_stream(self._records, raw.key, header, record, verify=True)

        return self._made_of(raw, opened)

    def _made_of(self, raw: RawRecord, make: Callable[[Header, bytes], T]) -> T:
        def made(record: bytes) -> T:
            header = self._records.authenticate(raw.key, raw.located, record)
            return make(header, record)

        try:
            return made(raw.record)
        except SideFileMissingError as missing:
            found = read_current(self._source, raw.key, raw.located, made, raw.record)
            if found is MISSING:
                raise file_gone(raw.key, missing) from missing
            return found

    def kind(self, raw: RawRecord) -> str:
        """Return the codec of a record by its name; "" where its header cannot be read."""
        if raw.header is None:
            return ""
        try:
            return CodecId(raw.header.codec_id).name.lower()
        except ValueError:
            return f"codec {raw.header.codec_id}"
