"""Whether all indexes of a cache agree with its records.

Knows: every row of a generation. Must not know: how to mend it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from objcache.cache._layout import (
    POSITION_BYTES,
    Row,
    State,
    deadline_key,
    position_of,
    tag_key,
    unpack_row,
)
from objcache.cache._rules import size_on_disk
from objcache.errors import ObjcacheError
from objcache.keys import ORDERED, UNORDERED, key_of
from objcache.records import check_value
from objcache.store.generations import DEADLINES, QUEUE, STATE, TAGS, generation_prefix

if TYPE_CHECKING:
    from objcache.cache._cache import Cache

__all__ = ["CacheProblem", "CacheReport", "check_cache"]


class CacheProblem(NamedTuple):
    """Something wrong in a cache.

    Attributes:
        key: of the entry, or its bytes where it cannot be told.
        message: what is wrong.
    """

    key: object
    message: str


class CacheReport(NamedTuple):
    """What `Cache.check` has found.

    Attributes:
        entries: how many were read.
        problems: what is wrong; none in a sound cache.
    """

    entries: int
    problems: tuple[CacheProblem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def check_cache(cache: Cache[Any, Any]) -> CacheReport:
    """Read every record and every row of *cache*, from one snapshot, and compare them."""
    cache._settle()  # noqa: SLF001  # the other half of one class
    snapshot = cache._session.snapshot()  # noqa: SLF001
    try:
        check = _Check(cache, generation_prefix(cache._number))  # noqa: SLF001
        snapshot.read(check.collect)
        check.compare()
        return CacheReport(check.entries, tuple(check.problems))
    finally:
        snapshot.end("the check is done")


_INDEXES: Final = (QUEUE, STATE, DEADLINES, TAGS)


class _Check:
    """One pass over the rows of a generation."""

    def __init__(self, cache: Cache[Any, Any], prefix: bytes) -> None:
        self._cache = cache
        self._prefix = prefix
        self._records: dict[bytes, tuple[bytes, int]] = {}
        self._rows: dict[bytes, Row] = {}
        self._index: set[bytes] = set()
        self._owned_there: set[bytes] = set()
        self._state = State(None)
        self._count = 0
        self.entries = 0
        self.problems: list[CacheProblem] = []

    def _tell(self, key: object, message: str) -> None:
        self.problems.append(CacheProblem(key, message))

    def collect(self, transaction: Any) -> None:
        """Read all rows."""
        cursor = transaction.cursor()
        prefix = self._prefix
        if not cursor.set_range(prefix):
            return
        for key, value in cursor:
            if not key.startswith(prefix):
                break
            self._count += 1
            kind = key[len(prefix) : len(prefix) + 1]
            if kind in {ORDERED, UNORDERED}:
                self._take_record(key, value)
            elif kind == QUEUE:
                self._take_row(key, value)
            elif kind in {DEADLINES, TAGS}:
                self._index.add(key)
            elif kind == STATE:
                self._take_state(value)
            else:
                self._tell(key, "a row of no index")
        for row in self._rows.values():
            for owned in row.owned:
                found = cursor.set_range(owned.located) and cursor.key()
                if found == owned.located or (
                    owned.many and found and found.startswith(owned.located)
                ):
                    self._owned_there.add(owned.located)

    def _take_state(self, value: bytes) -> None:
        try:
            self._state = State(value)
        except ObjcacheError as error:
            self._tell("the numbers", str(error))

    def _take_row(self, key: bytes, value: bytes) -> None:
        position = key[-POSITION_BYTES:]
        try:
            self._rows[position] = unpack_row(position, value)
        except ObjcacheError as error:
            self._tell(position, str(error))

    def _take_record(self, located: bytes, record: bytes) -> None:
        self.entries += 1
        cache = self._cache
        key: object = located
        try:
            header = cache._records.authenticate(located, located, record)  # noqa: SLF001
            key = key_of(len(self._prefix), located, header.full_key)
            check_value(cache._records, key, header, record)  # noqa: SLF001
            self._records[located] = position_of(located, record), size_on_disk(located, record)
        except ObjcacheError as error:
            self._tell(key, f"{type(error).__name__}: {error}")

    def compare(self) -> None:
        """Compare records with the queue, the queue with the other indexes, all with the numbers."""
        expected = set()
        size_bytes = 0
        for position, row in self._rows.items():
            size_bytes += row.size_bytes
            self._compare_row(position, row)
            if row.deadline_us is not None:
                expected.add(deadline_key(self._prefix, row.deadline_us, position))
            expected.update(tag_key(self._prefix, tag, position) for tag in row.tags)
        for located, (position, _) in self._records.items():
            if position not in self._rows:
                self._tell(self._key(located), "it stands in no queue")
        for key in expected - self._index:
            self._tell(key, "a row of an index is missing")
        for key in self._index - expected:
            self._tell(key, "a row of an index belongs to no entry")
        self._compare_numbers(size_bytes)

    def _compare_row(self, position: bytes, row: Row) -> None:
        if row.owned:
            if row.owned[0].located not in self._owned_there:
                self._tell(row.owned[0].located, "a record that the cache bounds is not there")
            return
        located = self._prefix + row.located
        found = self._records.get(located)
        if found is None or found[0] != position:
            self._tell(self._key(located), "the queue has a row of no entry")
        elif row.size_bytes != found[1]:
            self._tell(self._key(located), "the queue says another size")

    def _compare_numbers(self, size_bytes: int) -> None:
        state = self._state
        deadlines = sum(row.deadline_us is not None for row in self._rows.values())
        counted = Counter(
            rows=state.rows,
            entries=state.entries,
            size_bytes=state.size_bytes,
            deadlines=state.deadlines,
        )
        found = Counter(
            rows=self._count,
            entries=len(self._rows),
            size_bytes=size_bytes,
            deadlines=deadlines,
        )
        for name, number in counted.items():
            if number != found[name]:
                self._tell(name, f"the numbers say {number}, there are {found[name]}")

    def _key(self, located: bytes) -> object:
        try:
            return key_of(len(self._prefix), located, b"")
        except ObjcacheError:
            return located
