"""Reading as a mapping: what a store, a namespace, a transaction and a snapshot have in common.

Knows: keys and records. Must not know: who writes, and when reads begin and end.
"""

from __future__ import annotations

from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    Sequence,
    ValuesView,
)
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from objcache.engine import EngineFault, SideFileMissingError, Transaction
from objcache.errors import CorruptRecordError, ReadOnlyStoreError
from objcache.header import Header
from objcache.keys import (
    ENGINE_KEY_LIMIT,
    ORDERED,
    KeyRange,
    engine_key,
    key_of,
    needs_full_key,
    prefix_range,
    range_of,
    section_range,
)
from objcache.protocols import MISSING, Missing
from objcache.records import Records, value_stream
from objcache.store._length import length_of
from objcache.store._scan import Source, scan
from objcache.store.side import file_gone, names_side_file, read_current

if TYPE_CHECKING:
    from objcache.store.blobs import BlobReader
    from objcache.store.entries import StoreEntry

__all__ = ["ObjectReader", "RangeView"]

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")
T = TypeVar("T")


class ObjectReader(Mapping[K, V]):
    """A read-only mapping over the records that begin with one prefix.

    Iteration is in key order (docs/design/keys.md), and defined while others write: see
    `objcache.store._scan`.
    """

    __slots__ = ("_decode", "_prefix", "_records", "_short", "_source", "_text")

    def __init__(self, source: Source, records: Records, prefix: bytes) -> None:
        self._source = source
        self._records = records
        self._decode = records.decode
        self._prefix = prefix
        # A str key this short is encoded on the spot: UTF-8 needs at most 4 bytes a character.
        self._text = prefix + ORDERED + b"\x02"
        self._short = (ENGINE_KEY_LIMIT - 2 - len(self._text)) // 4

    # -- single entries ----------------------------------------------------------------------

    def __getitem__(self, key: K) -> V:
        """Return the value of *key*, a copy of its own each time.

        Raises:
            KeyError: no such key.
            SignatureError, CorruptRecordError, UnsupportedFormatError, DecodeError:
                the record is there and cannot be read; it stays.

        Cost:
            One read transaction, one keyed hash, one decoding; no lock, no write.
        """
        # Flat on purpose: bench/workloads/get_hit.py; oracle: `_find`. A str of this length
        # without NUL has this engine key (docs/design/keys.md). No view leaves the engine (I6).
        text: Any = key
        if type(text) is str and len(text) <= self._short and "\0" not in text:
            try:
                located = self._text + text.encode() + b"\0"
                record = self._source.begin().get(located)
            except (EngineFault, UnicodeEncodeError):
                value = self._find(key)
            else:
                if record is None:
                    raise KeyError(key)
                try:
                    value = self._decode(key, located, b"", record)
                except SideFileMissingError:
                    value = self._find(key)
        else:
            value = self._find(key)
        if value is MISSING:
            raise KeyError(key)
        return value  # type: ignore[no-any-return]

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: V | D) -> V | D: ...
    def get(self, key: K, default: Any = None) -> Any:
        """Return the value of *key*, or *default*."""
        text: Any = key  # the rest as in `__getitem__`
        if type(text) is str and len(text) <= self._short and "\0" not in text:
            try:
                located = self._text + text.encode() + b"\0"
                record = self._source.begin().get(located)
            except (EngineFault, UnicodeEncodeError):
                value = self._find(key)
            else:
                if record is None:
                    return default
                try:
                    value = self._decode(key, located, b"", record)
                except SideFileMissingError:
                    value = self._find(key)
        else:
            value = self._find(key)
        return default if value is MISSING else value

    def _find(self, key: Any) -> Any:
        located, full_key = engine_key(self._prefix, key)
        try:
            record = self._source.begin().get(located)
        except EngineFault as fault:
            record = self._source.get_again(located, fault)
        if record is None:
            return MISSING
        try:
            return self._decode(key, located, full_key, record)
        except SideFileMissingError:
            decode = partial(self._decode, key, located, full_key)
            return read_current(self._source, key, located, decode, record)

    def __contains__(self, key: object) -> bool:
        """Return whether *key* has an entry; its value is not read, nor its signature checked."""
        located, full_key = engine_key(self._prefix, key)
        if not full_key:
            return self._source.read(lambda transaction: transaction.cursor().set_key(located))
        record = self._source.read(lambda transaction: transaction.get(located))
        if record is None:
            return False
        return self._records.authenticate(key, located, record).full_key == full_key

    def get_many(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the values of those *keys* that have one, all of one moment.

        Cost: one read transaction; all records are in memory at once.
        """
        wanted = [(key, *engine_key(self._prefix, key)) for key in keys]

        def find(transaction: Transaction) -> tuple[list[bytes | None], dict[K, V] | None]:
            found = [transaction.get(located) for _, located, _ in wanted]
            aside = any(record is not None and names_side_file(record) for record in found)
            # Side files of this moment are there while the transaction is open.
            return found, self._values_of(wanted, found) if aside else None

        found, values = self._source.read(find)
        return self._values_of(wanted, found) if values is None else values

    def _values_of(
        self, wanted: Sequence[tuple[K, bytes, bytes]], found: list[bytes | None]
    ) -> dict[K, V]:
        values = {}
        for (key, located, full_key), record in zip(wanted, found, strict=True):
            if record is not None:
                try:
                    value = self._records.decode(key, located, full_key, record)
                except SideFileMissingError as missing:
                    raise file_gone(key, missing) from missing
                if value is not MISSING:
                    values[key] = value
        return values

    def view(self, key: K, *, verify: bool = False) -> V:
        """Return the value of *key* with its large arrays read-only, mapped and not copied.

        Arrays of 256 KiB and more together lie in a file beside the store; they are read from it
        when they are used, and shared with all processes that do. They stay what they are
        whatever becomes of the key and of the store. Smaller values are as from `[]`.

        Args:
            key: whose value.
            verify: read all of it now, and compare it with its signed digests. Without, bytes
                that somebody altered on the disk are wrong numbers, but never code.

        Raises:
            KeyError: no such key.
            SignatureError, CorruptRecordError, UnsupportedFormatError, DecodeError:
                the record is there and cannot be read; it stays.

        Cost: microseconds, whatever the size; without *verify* nothing of the arrays is read.
        """

        def load(header: Header, record: bytes) -> V:
            return self._records.view(key, header, record, verify=verify)  # type: ignore[no-any-return]

        return self._made_of(key, load)

    def open_blob(self, key: K, mode: Literal["rb"] = "rb", *, verify: bool = False) -> BlobReader:
        """Open the value of *key*, which is bytes, as a file; it need not fit into memory.

        Args:
            key: whose value.
            mode: `"rb"`.
            verify: read all of it now, and compare it with its signed digest. Without, who reads
                from the first byte to the last in order is told at the end; see `BlobReader`.

        Raises:
            KeyError: no such key.
            BlobError: the value is something else than bytes, or *mode* is none.
            SignatureError, CorruptRecordError, UnsupportedFormatError, DecodeError:
                the record is there and cannot be read; it stays.

        Cost: a file descriptor while it is open. A value that was not written as a blob, nor with
            `codec="raw"`, is read into memory.
        """
        from objcache.store.blobs import BlobReader, checked_mode  # noqa: PLC0415  # for blobs only

        if checked_mode(key, mode, verify=verify) == "wb":
            raise ReadOnlyStoreError(self._source.directory)

        def load(header: Header, record: bytes) -> BlobReader:
            return BlobReader(key, *value_stream(self._records, key, header, record, verify=verify))

        return self._made_of(key, load)

    def entry(self, key: K) -> StoreEntry | None:
        """Return what is known of the entry of *key*, None where there is none.

        Cost: one read transaction, one keyed hash; its value is read when it is asked for.

        >>> with Store.temporary() as store:
        ...     with store.open_blob("logo", "wb") as blob:
        ...         blob.write(b"GIF89a")
        ...     store.entry("logo").size
        6
        6
        """
        from objcache.store.entries import StoreEntry  # noqa: PLC0415  # seldom needed

        located, full_key = engine_key(self._prefix, key)
        record = self._source.read(lambda transaction: transaction.get(located))
        if record is None:
            return None
        header = self._records.authenticate(key, located, record)
        if header.full_key != full_key:
            return None

        def load() -> Any:
            try:
                return self._records.load(key, header, record)
            except SideFileMissingError as missing:
                if self._source.read(lambda transaction: transaction.get(located)) == record:
                    raise file_gone(key, missing) from missing
                raise KeyError(key) from None

        return StoreEntry(header, record, load)

    def _made_of(self, key: Any, load: Callable[[Header, bytes], T]) -> T:
        """Return what *load* makes of the record of *key*; again, if it was overwritten meanwhile.

        Raises:
            KeyError: no such key.
            CorruptRecordError: its side file is gone.
        """
        located, full_key = engine_key(self._prefix, key)

        def found(record: bytes) -> T | Missing:
            header = self._records.authenticate(key, located, record)
            if header.full_key != full_key:
                return MISSING
            return load(header, record)

        made = read_current(self._source, key, located, found)
        if made is MISSING:
            raise KeyError(key)
        return made

    # -- the whole ---------------------------------------------------------------------------

    def __len__(self) -> int:
        """Return the number of entries, from a counter: O(1)."""
        return self._source.read(lambda transaction: length_of(transaction, self._prefix))

    def _whole(self, *, reverse: bool = False) -> RangeView[K, V]:
        return RangeView(self, section_range(self._prefix), reverse=reverse)

    def __iter__(self) -> Iterator[K]:
        return self._whole().keys()

    def __reversed__(self) -> Iterator[K]:
        return self._whole(reverse=True).keys()

    def keys(self) -> KeysView[K]:
        """Return a live view of the keys, in key order."""
        return _Keys(self)

    def values(self) -> ValuesView[V]:
        """Return a live view of the values, in key order; reads each record once."""
        return _Values(self)

    def items(self) -> ItemsView[K, V]:
        """Return a live view of the entries, in key order; reads each record once."""
        return _Items(self)

    # -- in order ----------------------------------------------------------------------------

    def range(
        self, start: object = MISSING, stop: object = MISSING, *, reverse: bool = False
    ) -> RangeView[K, V]:
        """Return the entries with *start* <= key < *stop*, in key order.

        Keys that have no order (frozensets, enums, dataclasses ...) are in no range.

        Args:
            start: the first key; open where left out.
            stop: the first key behind the range; open where left out.
            reverse: from the last to the first.

        >>> with Store.temporary() as store:
        ...     store.update({("user", 1): "ada", ("user", 2): "alan", ("group", 1): "all"})
        ...     list(store.range(("user", 1), ("user", 2)))
        [(('user', 1), 'ada')]
        """
        return RangeView(self, range_of(self._prefix, start, stop), reverse=reverse)

    def prefix(self, key_prefix: object, *, reverse: bool = False) -> RangeView[K, V]:
        """Return the entries whose key begins with *key_prefix*, in key order.

        Args:
            key_prefix: a tuple for all tuples that begin with its elements; a str or bytes
                for all keys of that type that begin with it.
            reverse: from the last to the first.

        >>> with Store.temporary() as store:
        ...     store.update({("user", 1): "ada", ("user", 2): "alan", ("group", 1): "all"})
        ...     list(store.prefix(("user",)).values())
        ['ada', 'alan']
        """
        return RangeView(self, prefix_range(self._prefix, key_prefix), reverse=reverse)

    def first(self) -> tuple[K, V]:
        """Return key and value of the first entry in key order.

        Raises:
            KeyError: there is none.
        """
        return self._end(reverse=False)

    def last(self) -> tuple[K, V]:
        """Return key and value of the last entry in key order.

        Raises:
            KeyError: there is none.
        """
        return self._end(reverse=True)

    def _end(self, *, reverse: bool) -> tuple[K, V]:
        view = RangeView(self, section_range(self._prefix), reverse=reverse, first_batch=1)
        for entry in view:
            return entry
        raise KeyError("the mapping is empty")


class RangeView(Generic[K, V]):
    """Entries of a mapping between two keys; iterate it, or its `keys()` or `values()`.

    Lazy and live: nothing is read before it is iterated, and each iteration reads anew.
    """

    __slots__ = ("_batch", "_range", "_reader", "_reverse")

    def __init__(
        self,
        reader: ObjectReader[K, V],
        key_range: KeyRange,
        *,
        reverse: bool,
        first_batch: int = 16,
    ) -> None:
        self._batch = first_batch
        self._reader = reader
        self._range = key_range
        self._reverse = reverse

    def __iter__(self) -> Iterator[tuple[K, V]]:
        records = self._reader._records  # noqa: SLF001  # the other half of one class
        prefix_length = len(self._reader._prefix)  # noqa: SLF001
        for located, record in self._scan(lambda _: True):
            if needs_full_key(prefix_length, located):
                header = records.authenticate(located, located, record)
                if not self._covers(header.full_key):
                    continue
                key = key_of(prefix_length, located, header.full_key)
                try:
                    value = records.load(key, header, record)
                except SideFileMissingError:
                    value = self._reader._find(key)  # noqa: SLF001
                if value is not MISSING:
                    yield key, value
            elif self._covers(located[prefix_length + 1 :]):
                key = key_of(prefix_length, located, b"")
                try:
                    value = records.decode(key, located, b"", record)
                except SideFileMissingError:
                    value = self._reader._find(key)  # noqa: SLF001
                    if value is MISSING:
                        continue
                if value is MISSING:
                    raise CorruptRecordError(key, "it keeps a full key that it does not need")
                yield key, value

    def keys(self) -> Iterator[K]:
        """Iterate over the keys; values are not read."""
        records = self._reader._records  # noqa: SLF001
        prefix_length = len(self._reader._prefix)  # noqa: SLF001
        for located, record in self._scan(lambda found: needs_full_key(prefix_length, found)):
            full_key = records.authenticate(located, located, record).full_key if record else b""
            if self._covers(full_key or located[prefix_length + 1 :]):
                yield key_of(prefix_length, located, full_key)

    def values(self) -> Iterator[V]:
        """Iterate over the values, in the order of their keys."""
        return (value for _, value in self)

    def __reversed__(self) -> Iterator[tuple[K, V]]:
        return iter(type(self)(self._reader, self._range, reverse=not self._reverse))

    def _scan(self, wants_record: Callable[[bytes], bool]) -> Iterator[tuple[bytes, bytes]]:
        source = self._reader._source  # noqa: SLF001
        low, high = self._range.low, self._range.high
        return scan(source, low, high, wants_record, reverse=self._reverse, first_batch=self._batch)

    def _covers(self, full_key: bytes) -> bool:
        """Whether a key is inside a bound that is itself too long for the engine."""
        full_low, full_high = self._range.full_low, self._range.full_high
        if full_low is not None and full_key < full_low:
            return False
        return full_high is None or full_key < full_high


class _Keys(KeysView[K]):
    """Keys in order, either way."""

    _mapping: ObjectReader[K, Any]

    def __reversed__(self) -> Iterator[K]:
        return reversed(self._mapping)


class _Values(ValuesView[V]):
    """Values in key order, one read of each record."""

    _mapping: ObjectReader[Any, V]

    def __iter__(self) -> Iterator[V]:
        return self._mapping._whole().values()  # noqa: SLF001

    def __reversed__(self) -> Iterator[V]:
        return self._mapping._whole(reverse=True).values()  # noqa: SLF001


class _Items(ItemsView[K, V]):
    """Entries in key order, one read of each record."""

    _mapping: ObjectReader[K, V]

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return iter(self._mapping._whole())  # noqa: SLF001

    def __reversed__(self) -> Iterator[tuple[K, V]]:
        return iter(self._mapping._whole(reverse=True))  # noqa: SLF001
