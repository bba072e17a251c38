"""Reading every record of a store, to say what is wrong with it.

Knows: what must be true of all records together. Must not know: how to repair it.
"""

from __future__ import annotations

from typing import NamedTuple

from objcache.engine import ReadSnapshot, Session
from objcache.errors import KeyEncodingError, ObjcacheError
from objcache.keys import decode_key, key_of, namespace_prefix, needs_full_key, section_range
from objcache.records import Records
from objcache.store._counters import OTHERS_KEY, namespace_counts, read_count
from objcache.store._scan import scan
from objcache.store._settings import SETTINGS_KEY

__all__ = ["CheckReport", "Problem", "check_store"]


class Problem(NamedTuple):
    """Something wrong with one record, or with a counter."""

    key: object
    kind: str
    message: str


class CheckReport(NamedTuple):
    """What `Store.check` has found.

    Attributes:
        entries: how many entries were read, in the store and its namespaces.
        problems: what is wrong; empty if all is well.
    """

    entries: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def check_store(session: Session, records: Records) -> CheckReport:
    """Read every record that *session* can reach; see `Store.check`.

    Concurrency: reads from one snapshot, so that counters agree with records while others write.
    """
    snapshot = session.snapshot()
    try:
        check = _Check(snapshot, records)
        check.settings()
        check.mapping((), b"")
        for prefix, names, count in snapshot.read(namespace_counts):
            check.namespace(prefix, names, count)
        check.totals()
        return CheckReport(check.entries, tuple(check.problems))
    finally:
        snapshot.end("the check is done")


class _Check:
    """One walk over a store."""

    def __init__(self, snapshot: ReadSnapshot, records: Records) -> None:
        self._snapshot = snapshot
        self._records = records
        self._others = 1  # the counter of the others is one of them
        self._root = 0
        self.entries = 0
        self.problems: list[Problem] = []

    def settings(self) -> None:
        """Check the store's own settings."""
        record = self._snapshot.read(lambda transaction: transaction.get(SETTINGS_KEY))
        if record is None:
            self._report("settings", "missing", "the store has no settings")
            return
        self._others += 1
        try:
            self._records.authenticate("settings", SETTINGS_KEY, record)
        except ObjcacheError as error:
            self._report("settings", type(error).__name__, str(error))

    def namespace(self, prefix: bytes, encoded_names: bytes, count: int) -> None:
        """Check the records of one namespace against its counter."""
        self._others += 1
        try:
            names = decode_key(encoded_names)
            if not isinstance(names, tuple) or namespace_prefix(names) != prefix:
                raise KeyEncodingError(f"names {names!r} do not belong to this prefix")
        except ObjcacheError as error:
            self._report(prefix, type(error).__name__, f"the names of a namespace: {error}")
            names = (prefix,)
        found = self.mapping(names, prefix)
        self._others += found
        if found != count:
            self._report(names, "count", f"the counter says {count} entries, there are {found}")

    def mapping(self, names: tuple[object, ...], prefix: bytes) -> int:
        """Check the records of one mapping; return how many there are."""
        low, high = section_range(prefix)[:2]
        found = 0
        for located, record in scan(self._snapshot, low, high, lambda _: True):
            found += 1
            try:
                self._entry(names, len(prefix), located, record)
            except ObjcacheError as error:
                self._report((*names, located), type(error).__name__, str(error))
        self.entries += found
        if not prefix:
            self._root = found
        return found

    def _entry(
        self, names: tuple[object, ...], prefix_length: int, located: bytes, record: bytes
    ) -> None:
        header = self._records.authenticate(located, located, record)
        if bool(header.full_key) != needs_full_key(prefix_length, located):
            raise KeyEncodingError("the record keeps a full key it needs not, or lacks it")
        key: object = located
        try:
            key = key_of(prefix_length, located, header.full_key)
            self._records.load(key, header, record)
        except ObjcacheError as error:
            self._report((*names, key), type(error).__name__, str(error))

    def totals(self) -> None:
        """Check that each record belongs to a mapping, and that the root's length is right."""
        counted = self._snapshot.read(lambda transaction: read_count(transaction.get(OTHERS_KEY)))
        if counted != self._others:
            self._report(
                "counter of others",
                "count",
                f"the counter says {counted} records beside the root's, there are {self._others}",
            )
        every = self._snapshot.read(lambda transaction: transaction.stat()["entries"])
        if every != self._others + self._root:
            self._report("store", "stray", "some records belong to no mapping")

    def _report(self, key: object, kind: str, message: str) -> None:
        self.problems.append(Problem(key, kind, message))
