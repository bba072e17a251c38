"""Reading single entries of a cache beside their values: what is known of them, views, blobs.

Knows: live entries. Must not know: who writes, and what is evicted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

from objcache.cache._ranges import UNREADABLE
from objcache.cache._reading import CacheReader, Found
from objcache.cache._telling import tell_miss
from objcache.clock import MICROSECONDS, in_seconds
from objcache.engine import SideFileMissingError
from objcache.errors import ReadOnlyStoreError
from objcache.header import Header
from objcache.listeners import LISTENERS
from objcache.records import check_side_file, value_stream
from objcache.store.entries import StoreEntry

if TYPE_CHECKING:
    from objcache.store.blobs import BlobReader

__all__ = ["CacheEntries", "CacheEntry"]

K = TypeVar("K")
V = TypeVar("V")


class CacheEntry(StoreEntry):
    """An entry of a cache, and what is known of it without reading its value.

    Attributes:
        created: when it was stored, in seconds since the epoch.
        deadline: when it is over, in seconds since the epoch; None for never.
        tags: the tags it was stored with.
        size: bytes of the value as it is stored; see `StoreEntry`.
        size_bytes: of the whole record, its side file included.
    """

    __slots__ = ("created", "deadline", "tags")

    def __init__(self, header: Header, record: bytes, load: Any) -> None:
        super().__init__(header, record, load)
        self.created = (header.created_us or 0) / MICROSECONDS
        self.deadline = in_seconds(header.deadline_us)
        self.tags = header.tags


class CacheEntries(CacheReader[K, V]):
    """The live entries of a cache, one by one."""

    __slots__ = ()

    def entry(self, key: K) -> CacheEntry | None:
        """Return what is known of the live entry of *key*; None where there is none.

        It counts as no hit and no miss, and leaves no mark. Its value is read when it is asked for.
        """

        def keep(_key: Any, header: Header, record: bytes) -> bytes:
            check_side_file(self._records, header)
            return record

        found = self._found(key, keep)
        if found is None:
            return None
        header, record = found.header, found.value

        def load() -> Any:
            try:
                return self._records.load(key, header, record)
            except SideFileMissingError:
                raise KeyError(key) from None  # replaced or evicted meanwhile
            except UNREADABLE as error:
                self._tell(key, error)
                raise KeyError(key) from error

        return CacheEntry(header, record, load)

    def view(self, key: K, *, verify: bool = False) -> V:
        """Return the live value of *key*, its large arrays read-only and not copied.

        They stay what they are, whatever becomes of the entry; see `Store.view`.

        Args:
            key: whose value.
            verify: compare all of it with its signed digests, which reads it.

        Raises:
            KeyError: there is none.
        """

        def load(key: Any, header: Header, record: bytes) -> Any:
            return self._records.view(key, header, record, verify=verify)

        return self._hit(key, self._found(key, load)).value  # type: ignore[no-any-return]

    def open_blob(self, key: K, mode: Literal["rb"] = "rb", *, verify: bool = False) -> BlobReader:
        """Open the live value of *key*, which is bytes, as a file; see `Store.open_blob`.

        Args:
            key: whose value.
            mode: `"rb"`.
            verify: read all of it now, and compare it with its signed digest.

        Raises:
            KeyError: there is none, or it cannot be read, which is logged.
            BlobError: the value is something else than bytes, or *mode* is none.
        """
        from objcache.store.blobs import BlobReader, checked_mode  # noqa: PLC0415  # for blobs only

        if checked_mode(key, mode, verify=verify) == "wb":
            raise ReadOnlyStoreError(self._source.directory)

        def load(key: Any, header: Header, record: bytes) -> BlobReader:
            return BlobReader(key, *value_stream(self._records, key, header, record, verify=verify))

        return self._hit(key, self._found(key, load)).value  # type: ignore[no-any-return]

    def _hit(self, key: K, found: Found | None) -> Found:
        """Return *found*, counted and marked.

        Raises:
            KeyError: it is None.
        """
        if found is None:
            self._tally[1] += 1
            if LISTENERS:
                tell_miss(self._source.directory, self._names, key)
            raise KeyError(key)
        self._tally[0] += 1
        self._mark(found.located)
        return found
