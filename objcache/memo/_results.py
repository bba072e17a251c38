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
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar

from objcache.clock import MICROSECONDS
from objcache.errors import StoreFullError
from objcache.flights import flights_of
from objcache.hashing import digest
from objcache.memo._entries import VERSION_BYTES, Kept, Row
from objcache.store import Namespace, Store
from objcache.store.dated import MEMOIZE, DatedRecords, Found
from objcache.tallies import Tally, counted_since, tallied_name, tallies_beside

if TYPE_CHECKING:
    from objcache.cache.places import CachePlace
    from objcache.memo._bounded import Bounds

__all__ = ["OFF", "Identity", "Opened", "Place", "Results", "caching_off"]

T = TypeVar("T")

Place: TypeAlias = "Store[Any, Any] | Namespace[Any, Any] | CachePlace"

_RESULT: Final = b"="
_RAISED: Final = b"!"
_ATTEMPTS: Final = 3


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


class Opened:
    """The open results of one function in this process.

    Attributes:
        results: the records of the present version.
        raised: those of exceptions.
        tally: hits, misses and saved microseconds of this process.
        version: what all keys of the present version begin with.
        now: the clock of the store.
        flights: who computes what, among all users of the directory.
        flight: what the key of a flight begins with.
        bounds: makes results entries of a cache; None in a store.
        generation: of the cache; 0 in a store.
        over: tells whether another generation has begun.
    """

    __slots__ = (
        *("arguments", "bounds", "chunks", "flight", "flights", "generation", "mapping", "name"),
        *("now", "over", "place", "raised", "results", "rows", "tallies", "tally", "version"),
        "versions",
    )

    def __init__(
        self, place: Place, identity: Identity, *, views: bool, reading: bool = False
    ) -> None:
        reading = reading or place.readonly
        self.place = place
        self.mapping = mapping = place.namespace(MEMOIZE).namespace(identity.name)
        self.rows: Namespace[bytes, Row] = mapping.namespace("entries").using("json")
        self.versions: Namespace[str, Any] = mapping.namespace("versions").using("json")
        self.arguments: Namespace[bytes, bytes] = mapping.namespace("arguments").using("raw")
        self.chunks: Namespace[bytes, Any] = mapping.namespace("chunks")
        self.now = place.clock.now
        self.version = self._version_of(identity)
        self._set_bounds(place, views=views, marks=not reading)
        self.flights = flights_of(None if reading else place.directory, mode=place.file_mode)
        # One function below two namespaces is counted twice. What is counted outlives `clear`.
        names = mapping.names
        if self.generation:
            names = (*getattr(place, "names", ()), MEMOIZE, identity.name)
        self.name = tallied_name(names)
        self.flight: tuple[Any, ...] = self.name, self.version
        if self.generation:  # what was begun before `clear` is for those who asked before
            self.flight += (self.generation,)
        self.tallies = tallies_beside(place.directory, mode=place.file_mode, readonly=reading)
        self.tally: Tally = self.tallies.tally(self.name)

    def _set_bounds(self, place: Place, *, views: bool, marks: bool) -> None:
        self.bounds: Bounds | None = None
        self.generation = 0
        self.over: Callable[[], bool] = _never
        dated: Callable[..., DatedRecords] = DatedRecords
        tracker = getattr(place, "tracker", None)
        if tracker is not None:
            bounded: CachePlace = place  # type: ignore[assignment]  # it has a tracker
            from objcache.memo._bounded import Bounds  # noqa: PLC0415  # most have no cache

            self.bounds = Bounds(tracker, self.rows, self.arguments, self.chunks)
            self.generation, self.over = bounded.number, bounded.over
            if marks or place.readonly:  # who may not write has nothing to mark
                dated = bounded.dated
        self.results = dated(self.mapping, self.version + _RESULT, views=views)
        self.raised = dated(self.mapping, self.version + _RAISED)

    @property
    def counted(self) -> tuple[Namespace[str, Any], str]:
        """Where the totals at the last `cache_clear` are, and under which key."""
        if self.bounds is None:
            return self.versions, "counted"
        lasting: Namespace[str, Any] = self.place.lasting.using("json")  # type: ignore[union-attr]
        return lasting, self.name.hex()

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


def _never() -> bool:
    return False


# Not empty where no result is to be looked up or stored.
OFF: Final[list[object]] = []
_all: weakref.WeakSet[Results] = weakref.WeakSet()


class Results:
    """The results of one memoized function, opened when they are first wanted.

    Args:
        choose: returns where they are kept.
        identify: returns which function in which version they are of; called once.
        views: whether large arrays of results are read-only and not copied.
        reading: whether nothing is written, counted or marked, whatever the place would allow.

    Attributes:
        choose: as given.

    Concurrency: any thread, any process; a write is one transaction.
    """

    def __init__(
        self,
        choose: Callable[[], Place],
        identify: Callable[[], Identity],
        *,
        views: bool = False,
        reading: bool = False,
    ) -> None:
        self.choose = choose
        self._identify = identify
        self._views = views
        self._reading = reading
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
            place = self.choose()
            opened = self.opened
            if opened is None or opened.place is not place:
                opened = Opened(place, self.identity, views=self._views, reading=self._reading)
                if not (self._reading or place.readonly):
                    self._take_turn(opened)
                if not OFF:
                    self.opened = opened
            return opened

    def current(self) -> Opened:
        """Return where the results are now; as `open`, without a lock where that is known."""
        opened = self.opened
        return self.open() if opened is None or opened.over() else opened

    def for_reading(self, choose: Callable[[], Place]) -> Results:
        """Return the same results as one sees them who changes nothing.

        Args:
            choose: returns where they are.
        """
        return Results(choose, lambda: self.identity, views=self._views, reading=True)

    def reset(self) -> None:
        """Open anew at the next use: the store was closed, or this is a forked child."""
        self.opened = None

    def forget_place(self) -> None:
        """Open anew at the next use, also where another thread is just opening."""
        with self._opening:
            self.opened = None

    def after_fork_in_child(self) -> None:
        """Forget what belongs to the parent."""
        self._opening = threading.RLock()
        self.opened = None

    # -- writing -----------------------------------------------------------------------------

    def change(self, step: Callable[[Opened], T], wanted_bytes: int = 0) -> T:
        """Return what *step* did where the results are, in one transaction.

        Args:
            step: is done again where the file was full and the cache has made room.
            wanted_bytes: about how many bytes it writes.
        """
        full = 0
        while True:
            opened = self.current()
            try:
                with opened.place.atomic():
                    if not opened.over():
                        return step(opened)
            except StoreFullError:
                bounds, wanted_bytes = opened.bounds, max(wanted_bytes, 1) << full
                full += 1
                if bounds is None or full > _ATTEMPTS or not bounds.tracker.free(wanted_bytes):
                    raise

    def keep(self, kept: Mapping[bytes, Kept]) -> bool:
        """Store results, all in one transaction; return whether they are stored.

        They are not if the cache that they were computed for was cleared meanwhile.

        Args:
            kept: by the tail of their key.

        Raises:
            StoreFullError: nothing was stored; or those are not that are larger than a cache takes.
            ObjcacheError: nothing was stored.
        """
        size_bytes = sum(one.row["size_bytes"] for one in kept.values())
        stored, refused = self.change(lambda opened: self.keep_in(opened, kept), size_bytes)
        if refused is not None:
            raise refused
        return stored

    def keep_in(
        self, opened: Opened, kept: Mapping[bytes, Kept]
    ) -> tuple[bool, StoreFullError | None]:
        """Store results, within a transaction.

        Returns:
            Whether all are stored, and why one is not that is larger than a cache takes.
        """
        self._remember_version(opened)
        added = 0
        refused = None
        stored = True
        for tail, one in kept.items():
            if one.generation != opened.generation:
                stored = False
            elif opened.bounds is not None:
                try:
                    entry = opened.bounds.entry(opened.records_of(one), opened.version, tail, one)
                except StoreFullError as error:
                    refused, stored = error, False
                    continue
                self._remove(opened, tail)
                entry.put(opened.bounds.tracker)
            else:
                added += one.row["size_bytes"] - self._remove(opened, tail)
                opened.records_of(one).put(tail, one.record)
                opened.rows[opened.version + tail] = one.row
                if one.form is not None:
                    opened.arguments[opened.version + tail] = one.form
        self._add_bytes(opened, added)
        return stored, refused

    def forget(self, tail: bytes) -> bool:
        """Remove the result of a call; return whether there was one."""

        def forget(opened: Opened) -> bool:
            removed = self._remove(opened, tail)
            if removed:
                self._add_bytes(opened, -removed)
            return bool(removed)

        return self.change(forget)

    def clear(self, tag: str | None = None) -> int:
        """Remove the results of all versions, or those with *tag*; return how many there were."""
        return self.change(
            self._clear_all if tag is None else lambda opened: self._clear_tagged(opened, tag)
        )

    def _clear_all(self, opened: Opened) -> int:
        removed = len(opened.rows)
        if opened.bounds is not None:
            opened.bounds.forget(opened.rows.values())
        for mapping in (opened.mapping, opened.rows, opened.arguments, opened.chunks):
            mapping.clear()
        opened.versions.clear()
        self._remember_version(opened)
        counted, key = opened.counted
        counted[key] = list(opened.tallies.totals(opened.name))
        return removed

    def _clear_tagged(self, opened: Opened, tag: str) -> int:
        tagged = [key for key, row in opened.rows.items() if tag in row["tags"]]
        for key in tagged:
            size = self._remove(opened, key[VERSION_BYTES:], key[:VERSION_BYTES])
            self._add_bytes(opened, -size)
        return len(tagged)

    def adopt(self) -> int:
        """Take the results of the version before this one for this one's; return how many."""

        def adopt(opened: Opened) -> bool:
            before = opened.version_before(self.identity)
            if before is None or before["id"] == opened.version.hex():
                return False
            self._write_version(opened, before["id"])
            return True

        if not self.change(adopt):
            return 0
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
                if not opened.over():
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
        if opened.bounds is not None:
            opened.bounds.forget([row])
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
        # A cache that evicts knows nothing of this number.
        if opened.bounds is None:
            opened.versions["bytes"] = max(opened.versions.get("bytes", 0) + change, 0)

    # -- reading -----------------------------------------------------------------------------

    def row(self, tail: bytes) -> Row | None:
        """Return the row of a call."""
        opened = self.current()
        return opened.rows.get(opened.version + tail)

    def rows(self) -> Iterator[tuple[bytes, Row]]:
        """Iterate over key and row of all results, of all versions."""
        opened = self.current()
        return iter(opened.rows.range())

    def found(self, key: bytes, *, raised: bool) -> Found | None:
        """Return the result with the *key* of a row, of whatever version."""
        opened = self.current()
        version, tail = key[:VERSION_BYTES], key[VERSION_BYTES:]
        stem = version + (_RAISED if raised else _RESULT)
        views = self._views and not raised
        return DatedRecords(opened.mapping, stem, views=views).get(tail)

    def components_of(self, version: str) -> dict[str, str]:
        """Return the digests of the parts of the code in *version*; the latest if it has several."""
        opened = self.current()
        found: dict[str, str] = {}
        latest = 0
        for row in opened.version_rows():
            if row["id"] == version and row["turn"] > latest:
                latest, found = row["turn"], row["components"]
        return found

    def counts(self) -> tuple[int, int, float, int, int]:
        """Return hits, misses and saved seconds of all processes, entries, and bytes."""
        opened = self.current()
        counted, key = opened.counted
        totals = opened.tallies.totals(opened.name)
        hits, misses, saved_us = counted_since(totals, counted.get(key))
        if opened.bounds is None:
            size_bytes = opened.versions.get("bytes", 0)
        else:
            size_bytes = sum(row["size_bytes"] for row in opened.rows.values())
        return hits, misses, saved_us / MICROSECONDS, len(opened.rows), size_bytes


def fingerprint(parts: Mapping[str, Any]) -> bytes:
    """Return the digest of what makes a version."""
    return digest(dict(parts))[:VERSION_BYTES]


@contextmanager
def caching_off() -> Iterator[None]:
    """Let all memoized functions of this process compute always, in the block; nests.

    Nothing is looked up, stored or counted, and nobody waits for anybody. What they offer beside
    being called works on: `cache_info`, `entries`, `put`. Arguments still must have a key.

    Concurrency: of all threads; a child that is forked in the block keeps it.

    >>> with Store.temporary() as store:
    ...     twice = store.memoize(lambda x: [x, x])
    ...     with caching_off():
    ...         twice(1) == twice(1), twice.is_cached(1)
    (True, False)
    """
    mark = object()
    OFF.append(mark)
    # Their first lines answer only where the place is known; `open` notes none meanwhile.
    for results in list(_all):
        results.forget_place()
    try:
        yield
    finally:
        OFF.remove(mark)


def _after_fork_in_child() -> None:
    for results in list(_all):
        results.after_fork_in_child()


os.register_at_fork(after_in_child=_after_fork_in_child)
