"""The stored results of one memoized function.

Knows: where results, rows and versions lie, and what belongs to one write. Must not know: when
a result is good, or who computes it.

Below the namespace of the store that was chosen: `objcache.memoize`, then the function's name.
There lie the results; below it `entries` (a row for each result), `versions` (the versions of the
code), `arguments` (whole encoded arguments, where they are compared) and `chunks` (of generators).
Only results are pickled. docs/design/memoize.md is normative.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from blake3 import blake3

from objcache.flights import flights_of
from objcache.hashing import digest
from objcache.memo._entries import MICROSECONDS, VERSION_BYTES, Row
from objcache.store import Namespace, Store
from objcache.store.dated import DatedRecords, Found
from objcache.tallies import NAME_BYTES, Tally, tallies_of

__all__ = ["NAMESPACE", "Identity", "Kept", "Opened", "Place", "Results"]

NAMESPACE: Final = "objcache.memoize"

Place = Store[Any, Any] | Namespace[Any, Any]

_RESULT: Final = b"="
_RAISED: Final = b"!"


class Identity(NamedTuple):
    """Which function, in which version, a result is of.

    Attributes:
        name: module and qualified name.
        fingerprint: of the code and whatever else makes a version.
        components: digests of the parts of the code, by name.
        since: the parameters that were added without losing results.
    """

    name: str
    fingerprint: bytes
    components: Mapping[str, bytes]
    since: tuple[str, ...] = ()


class Kept(NamedTuple):
    """What one write stores: a result, its row, and what hangs on them."""

    record: bytes | bytearray
    row: Row
    raised: bool = False
    form: bytes | None = None


class Opened:
    """The open results of one function in this process.

    Attributes:
        results: the records of the present version.
        raised: those of exceptions.
        tally: hits, misses and saved microseconds of this process.
        version: what all keys of the present version begin with.
        now: the clock of the store.
        flights: who computes what, among all users of the directory.
    """

    __slots__ = (
        *("arguments", "chunks", "flights", "mapping", "name", "now", "place", "raised", "results"),
        *("rows", "tally", "version", "versions"),
    )

    def __init__(self, place: Place, identity: Identity) -> None:
        self.place = place
        self.mapping = mapping = place.namespace(NAMESPACE).namespace(identity.name)
        self.rows: Namespace[bytes, Row] = mapping.namespace("entries").using("json")
        self.versions: Namespace[str, Any] = mapping.namespace("versions").using("json")
        self.arguments: Namespace[bytes, bytes] = mapping.namespace("arguments").using("raw")
        self.chunks: Namespace[bytes, Any] = mapping.namespace("chunks")
        self.now = place.clock.now
        self.version = self._version_of(identity)
        self.results = DatedRecords(mapping, self.version + _RESULT)
        self.raised = DatedRecords(mapping, self.version + _RAISED)
        directory = None if place.readonly else os.path.join(place.directory, "tallies")
        self.flights = flights_of(None if place.readonly else place.directory, mode=place.file_mode)
        # One function below two namespaces is counted twice.
        self.name = blake3("\0".join(mapping.names).encode()).digest(NAME_BYTES)
        self.tally: Tally = tallies_of(directory, mode=place.file_mode).tally(self.name)

    def _version_of(self, identity: Identity) -> bytes:
        known = self.versions.get(identity.fingerprint.hex())
        if known is None and identity.since:
            # since= says that a parameter was added to the version before, and nothing else.
            before = self.version_before(identity)
            if before is not None and set(before["since"]) < set(identity.since):
                known = before
        return bytes.fromhex(known["id"]) if known else identity.fingerprint[:VERSION_BYTES]

    def version_rows(self, but: str = "") -> list[Row]:
        """Return the rows of the versions, without that of the fingerprint *but*."""
        return [
            row
            for fingerprint, row in self.versions.items()
            if type(row) is dict and fingerprint != but
        ]

    def version_before(self, identity: Identity) -> Row | None:
        """Return the row of the version that was used last, other than *identity*."""
        rows = self.version_rows(but=identity.fingerprint.hex())
        return max(rows, key=lambda row: row["turn"], default=None)

    def records_of(self, kept: Kept) -> DatedRecords:
        """Return where *kept* belongs."""
        return self.raised if kept.raised else self.results


_all: weakref.WeakSet[Results] = weakref.WeakSet()


class Results:
    """The results of one memoized function, opened when they are first wanted.

    Args:
        choose: returns where they are kept.
        identify: returns which function in which version they are of; called once.

    Concurrency: any thread, any process; a write is one transaction.
    """

    def __init__(self, choose: Callable[[], Place], identify: Callable[[], Identity]) -> None:
        self._choose = choose
        self._identify = identify
        self._identity: Identity | None = None
        self._opening = threading.RLock()
        self.opened: Opened | None = None
        _all.add(self)

    @property
    def identity(self) -> Identity:
        """Which function, in which version, these results are of."""
        with self._opening:
            if self._identity is None:
                self._identity = self._identify()
            return self._identity

    def open(self) -> Opened:
        """Return where the results are now.

        Raises:
            ObjcacheError: the store cannot be opened.
            UnkeyableArgumentError: the function depends on a value that has no stable form.
        """
        with self._opening:
            place = self._choose()
            opened = self.opened
            if opened is None or opened.place is not place:
                opened = Opened(place, self.identity)
                if not place.readonly:
                    self._take_turn(opened)
                self.opened = opened
            return opened

    def reset(self) -> None:
        """Open anew at the next use: the store was closed, or this is a forked child."""
        self.opened = None

    def after_fork_in_child(self) -> None:
        """Forget what belongs to the parent."""
        self._opening = threading.RLock()
        self.opened = None

    # -- writing -----------------------------------------------------------------------------

    def keep(self, kept: Mapping[bytes, Kept]) -> None:
        """Store results, all in one transaction.

        Args:
            kept: by the tail of their key.

        Raises:
            ObjcacheError: nothing was stored.
        """
        opened = self.opened or self.open()
        with opened.place.atomic():
            self._remember_version(opened)
            added = 0
            for tail, one in kept.items():
                added += one.row["size_bytes"] - self._remove(opened, tail)
                opened.records_of(one).put(tail, one.record)
                opened.rows[opened.version + tail] = one.row
                if one.form is not None:
                    opened.arguments[opened.version + tail] = one.form
            self._add_bytes(opened, added)

    def forget(self, tail: bytes) -> bool:
        """Remove the result of a call; return whether there was one."""
        opened = self.opened or self.open()
        with opened.place.atomic():
            removed = self._remove(opened, tail)
            if removed:
                self._add_bytes(opened, -removed)
            return bool(removed)

    def clear(self, tag: str | None = None) -> int:
        """Remove the results of all versions, or those with *tag*; return how many there were."""
        opened = self.opened or self.open()
        with opened.place.atomic():
            if tag is None:
                removed = len(opened.rows)
                for mapping in (opened.mapping, opened.rows, opened.arguments, opened.chunks):
                    mapping.clear()
                opened.versions.clear()
                self._remember_version(opened)
                opened.versions["counted"] = list(self._totals(opened))
                return removed
            tagged = [key for key, row in opened.rows.items() if tag in row["tags"]]
            for key in tagged:
                size = self._remove(opened, key[VERSION_BYTES:], key[:VERSION_BYTES])
                self._add_bytes(opened, -size)
            return len(tagged)

    def adopt(self) -> int:
        """Take the results of the version before this one for this one's; return how many."""
        opened = self.opened or self.open()
        with opened.place.atomic():
            before = opened.version_before(self.identity)
            if before is None or before["id"] == opened.version.hex():
                return 0
            self._write_version(opened, before["id"])
        self.reset()
        opened = self.open()
        return sum(1 for _ in opened.rows.prefix(opened.version).keys())  # noqa: SIM118  # keys only

    def _remember_version(self, opened: Opened) -> None:
        if self.identity.fingerprint.hex() not in opened.versions:
            self._write_version(opened, opened.version.hex())

    def _take_turn(self, opened: Opened) -> None:
        """Make a version that is there already the last used one: an edit was undone."""
        known = opened.versions.get(self.identity.fingerprint.hex())
        before = opened.version_before(self.identity)
        if known is not None and before is not None and before["turn"] > known["turn"]:
            with opened.place.atomic():
                self._write_version(opened, known["id"])

    def _write_version(self, opened: Opened, version: str) -> None:
        identity = self.identity
        opened.versions[identity.fingerprint.hex()] = {
            "id": version,
            "turn": 1 + max((row["turn"] for row in opened.version_rows()), default=0),
            "used": opened.place.clock.now(),
            "components": {name: part.hex() for name, part in identity.components.items()},
            "since": list(identity.since),
        }

    def _remove(self, opened: Opened, tail: bytes, version: bytes | None = None) -> int:
        """Remove a result with all that hangs on it; return the bytes that were counted for it."""
        version = version or opened.version
        key = version + tail
        row = opened.rows.pop(key, None)
        if row is None:
            return 0
        opened.mapping.delete_many([version + _RESULT + tail, version + _RAISED + tail])
        opened.arguments.pop(key, None)
        if "stream" in row:
            self.drop_chunks(opened, bytes.fromhex(row["stream"]))
        size: int = row["size_bytes"]
        return size

    def drop_chunks(self, opened: Opened, stream: bytes) -> None:
        """Remove the chunks of a stream."""
        opened.chunks.delete_many(list(opened.chunks.prefix(stream).keys()))

    def _add_bytes(self, opened: Opened, change: int) -> None:
        opened.versions["bytes"] = max(opened.versions.get("bytes", 0) + change, 0)

    # -- reading -----------------------------------------------------------------------------

    def row(self, tail: bytes) -> Row | None:
        """Return the row of a call."""
        opened = self.opened or self.open()
        return opened.rows.get(opened.version + tail)

    def rows(self) -> Iterator[tuple[bytes, Row]]:
        """Iterate over key and row of all results, of all versions."""
        opened = self.opened or self.open()
        return iter(opened.rows.range())

    def found(self, key: bytes, *, raised: bool) -> Found | None:
        """Return the result with the *key* of a row, of whatever version."""
        opened = self.opened or self.open()
        version, tail = key[:VERSION_BYTES], key[VERSION_BYTES:]
        stem = version + (_RAISED if raised else _RESULT)
        return DatedRecords(opened.mapping, stem).get(tail)

    def components_of(self, version: str) -> dict[str, str]:
        """Return the digests of the parts of the code in *version*; the latest if it has several."""
        opened = self.opened or self.open()
        found: dict[str, str] = {}
        latest = 0
        for row in opened.version_rows():
            if row["id"] == version and row["turn"] > latest:
                latest, found = row["turn"], row["components"]
        return found

    def counts(self) -> tuple[int, int, float, int, int]:
        """Return hits, misses and saved seconds of all processes, entries, and bytes."""
        opened = self.opened or self.open()
        hits, misses, saved_us = self._totals(opened)
        before = opened.versions.get("counted", [0, 0, 0])
        # Another version of a counter file, or one that was removed, never makes a count negative.
        hits, misses = max(hits - before[0], 0), max(misses - before[1], 0)
        saved_s = max(saved_us - before[2], 0) / MICROSECONDS
        return hits, misses, saved_s, len(opened.rows), opened.versions.get("bytes", 0)

    def _totals(self, opened: Opened) -> tuple[int, int, int]:
        directory = (
            None if opened.place.readonly else os.path.join(opened.place.directory, "tallies")
        )
        if directory is None:
            return opened.tally[0], opened.tally[1], opened.tally[2]
        return tallies_of(directory, mode=opened.place.file_mode).totals(opened.name)


def fingerprint(parts: Mapping[str, Any]) -> bytes:
    """Return the digest of what makes a version."""
    return digest(dict(parts))[:VERSION_BYTES]


def _after_fork_in_child() -> None:
    for results in list(_all):
        results.after_fork_in_child()


os.register_at_fork(after_in_child=_after_fork_in_child)
