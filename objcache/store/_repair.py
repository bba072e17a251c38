"""Saving every readable record of a damaged store into a new one.

Knows: which of several finds is the right one, and how to say what is lost. Must not know: what
values mean; nothing is decoded here. LMDB never sees the damaged file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from objcache.engine import (
    Session,
    SideFileMissingError,
    SideFiles,
    Transaction,
    close_session,
    copy_side_file,
    open_session,
    side_row,
)
from objcache.engine.raw import Meta, PageError, PageFile, Ranges, Strays, Walk, in_turn, states_of
from objcache.errors import (
    CorruptStoreError,
    ObjcacheError,
    StoreBusyError,
    StoreError,
    StoreExistsError,
)
from objcache.header import unpack
from objcache.keys import COUNTERS, LONG_NAMESPACE, encode_key
from objcache.records import Records
from objcache.signing import Signer
from objcache.store._counters import OTHERS_KEY, counter_key, pack_count
from objcache.store._damaged import (
    FoundSettings,
    Problem,
    damaged_file,
    out_of_turn,
    problem_of,
    refuse_other_paths,
    settings_of,
)
from objcache.store._locations import ENTRIES, names_of, place_of, prefix_of, text_of
from objcache.store._scan import scan
from objcache.store._secrets import Secret, find_secrets
from objcache.store._settings import SETTINGS_KEY
from objcache.store.side import file_gone, put_record

__all__ = ["Recovered", "Repaired", "repair_store"]

_BATCH_RECORDS: Final = 1000
_BATCH_BYTES: Final = 1 << 24

_DETACHED: Final = "pages of the present state that nothing leads to"
_MIXED: Final = "pages that may be of an older state"
_OLDER: Final = "an older state"
_UNREACHABLE: Final = "unreachable pages"

_EVERYTHING: Final = Ranges([(b"", None)])
_NOTHING: Final = Ranges([])

Advance = Callable[[int, int], None]


class Recovered(NamedTuple):
    """A record that was found elsewhere than where the present state leads, or only by damaged pages.

    It may be older than the one that was lost, or of an entry that had been deleted.

    Attributes:
        key: names and key, as in a `Problem`.
        source: where it was found, in words.
    """

    key: object
    source: str

    @property
    def where(self) -> str:
        """The key, with the names of its namespace, as people write it."""
        return text_of(self.key)


class Repaired(NamedTuple):
    """What `repair_store` has saved, and what is lost.

    Attributes:
        target: the directory of the new store.
        entries: how many entries that has.
        present: how many of them are of the present state of the damaged store.
        recovered: the others.
        missing: how many entries the damaged store had beside those; None if nothing says so.
        problems: what is damaged, and what could not be taken.
    """

    target: str
    entries: int
    present: int
    recovered: tuple[Recovered, ...]
    missing: int | None
    problems: tuple[Problem, ...]

    @property
    def complete(self) -> bool:
        """Whether everything came back, as it was."""
        return not (self.problems or self.recovered or self.missing)


def repair_store(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    secret: Secret | None = None,
    settings_from: str | os.PathLike[str] | None = None,
    advance: Advance | None = None,
    shared: bool = False,
    allow_network: bool = False,
) -> Repaired:
    """Save every readable record of the store below *path* into a new store below *target*.

    Only authentic records are taken. The damaged store is read, never written to. The new one has
    its identity and its secret; counters are counted anew.

    Args:
        path: the damaged store's directory.
        target: an empty or missing directory.
        secret: as for `Store`.
        settings_from: a copy or backup of the same store, where the settings of *path* are lost:
            without the store's id no record can be verified.
        advance: called now and then with the number of pages that were read, and of all.
        shared: as for `Store`, for the target.
        allow_network: as for `Store`, for the target.

    Raises:
        StoreNotFoundError, StoreExistsError, StoreBusyError, SecretError, WrongSecretError:
            nothing was made.
        CorruptStoreError: there is nothing to be saved, or the settings are lost.
    """
    directory = os.path.abspath(os.fsdecode(path))
    destination = os.path.abspath(os.fsdecode(target))
    refuse_other_paths(directory)
    if os.path.lexists(destination) and not _is_empty_directory(destination):
        raise StoreExistsError(destination)
    if os.path.realpath(destination).startswith(os.path.realpath(directory) + os.sep):
        raise StoreError(f"{destination!r} lies inside the damaged store; choose another path")
    secrets = find_secrets(secret, directory)
    with damaged_file(directory) as file:
        settings, problems = _settings(file, directory, secrets, settings_from)
        signer = Signer(secrets, settings.store_id)
        made = not os.path.lexists(destination)
        try:
            session = open_session(
                destination, durability="commit", shared=shared, allow_network=allow_network
            )
            try:
                states = states_of(file, directory)
                salvage = _Salvage(file, states, signer, session)
                salvage.problems += problems
                salvage.run(advance)
                if states_of(file, directory) != states:
                    raise StoreBusyError(directory, "a writer")
                return salvage.finish(destination, settings.record)
            finally:
                close_session(session)
        except BaseException:
            _remove(destination, made=made)
            raise


def _settings(
    file: PageFile,
    directory: str,
    secrets: tuple[bytes, ...],
    settings_from: str | os.PathLike[str] | None,
) -> tuple[FoundSettings, list[Problem]]:
    """Return who the damaged store is, and what is to be said of that."""
    settings = settings_of(file, directory, secrets)
    if settings is not None:
        return settings, []
    if settings_from is not None:
        origin = os.path.abspath(os.fsdecode(settings_from))
        with damaged_file(origin) as other:
            settings = settings_of(other, origin, secrets)
    if settings is None:
        raise CorruptStoreError(
            f"the settings of the store at {directory!r} are lost, and with them the id that "
            "every signature is made with: no record can be verified; if there is a copy or a "
            "backup of this store, however old, name it with --settings-from (settings_from=)"
        )
    return settings, [
        Problem("settings", "missing", f"they are lost, and were taken from {origin!r}")
    ]


def _is_empty_directory(path: str) -> bool:
    return os.path.isdir(path) and not os.listdir(path)


def _remove(directory: str, *, made: bool) -> None:
    """Remove what was begun: nobody may take it for a store that was saved."""
    if made:
        shutil.rmtree(directory, ignore_errors=True)
        return
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if os.path.isdir(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)


class _Salvage:
    """One repair: reads *file*, writes to *session*.

    What a newer source has is not replaced by what an older one has: first the present state,
    then the older ones that are known, then pages that no state leads to. The older ones count
    only for keys whose page in the present state is damaged: what was deleted stays deleted.
    """

    def __init__(
        self, file: PageFile, states: list[Meta], signer: Signer, session: Session
    ) -> None:
        self._file = file
        self._states = states
        self._session = session
        self._batch: dict[bytes, bytes] = {}
        self._batch_bytes = 0
        self._names: dict[bytes, bytes] = {}
        self._refused: dict[bytes, str] = {}
        self._claimed: int | None = None
        self._counters: set[bytes] = set()  # and the settings
        self._side_rows: set[bytes] = set()
        directory = os.path.dirname(file.path)
        self._side_files = SideFiles(directory, 0o600, flushes=False, ready=lambda: None)
        self._records = Records(signer, files=self._side_files)
        self._taken = 0
        self.problems: list[Problem] = []
        self.recovered: list[Recovered] = []

    def run(self, advance: Advance | None) -> None:
        """Take whatever can be taken."""
        walk = Walk(self._file, self._states[0], advance) if self._states else None
        follow = self._report_metas()
        strays = Strays(self._file, walk, seek_newer=not follow)
        doubtful = False
        if strays.newest or walk is None:
            suspect = _EVERYTHING  # the present state has no meta page any more
            older = self._states
        else:
            suspect = self._present(walk)
            older = self._states[1:]
            more = self._file.pages > walk.meta.last_page + 1 or walk.unaccounted
            # A later state may have lost both its meta page and its list of free pages.
            doubtful = not follow and bool(more or not strays.make_sense(free=True))
        if doubtful:
            suspect = _EVERYTHING
        if suspect and strays.tell_free:
            self._others(strays.records(free=False, advance=advance), suspect, _DETACHED)
            if self._is_all() or (strays.make_sense(free=False) and not self._refused):
                suspect = _EVERYTHING if doubtful else _NOTHING
        if suspect:
            for meta in older:
                self._others(Walk(self._file, meta, advance).records(), suspect, _OLDER)
            for free in (False, True):
                found = strays.records(free=free, advance=advance)
                self._others(found, suspect, _UNREACHABLE)

    def _is_all(self) -> bool:
        """Return whether as many records were found as the present state had."""
        return self._claimed == self._taken + len(self._counters)

    def _report_metas(self) -> bool:
        """Report what is wrong with the meta pages; return whether two states in turn are there."""
        ids = []
        for number in (0, 1):
            state: Meta | None
            try:
                state = self._file.meta(number)
            except PageError as error:
                state = self._file.damaged_meta(number)
                self.problems.append(Problem(f"page {number}", "page", str(error)))
            if state is not None:
                ids.append(state.transaction_id)
        if len(ids) == 2 and not in_turn(ids):
            self.problems.append(out_of_turn(ids))
        return in_turn(ids)

    def _present(self, walk: Walk) -> Ranges:
        walk.free_list()
        for located, record in walk.records():
            self._note_names(located, record)
            reason = self._take(located, record)
            if reason:
                self._refused[located] = reason
            elif walk.is_doubtful and located >= ENTRIES[0]:
                self._say_mixed(located, record)
        walk.coverage()
        if walk.is_mixed:
            self._flush()
            self.recovered.clear()
            for located, record in scan(self._session, *ENTRIES, lambda _: True):
                self._say_mixed(located, record)
        self._claimed = walk.meta.main.entries
        self.problems += map(problem_of, walk.damages)
        broken = [(located, located + b"\0") for located in self._refused]
        return Ranges([*walk.suspect().pairs(), *broken])

    def _say_mixed(self, located: bytes, record: bytes) -> None:
        place = place_of(located, unpack(record).full_key)
        self.recovered.append(Recovered(place, _MIXED))

    def _others(self, found: Iterator[tuple[bytes, bytes]], suspect: Ranges, source: str) -> None:
        for located, record in found:
            self._note_names(located, record)
            if located not in suspect or prefix_of(located) is None or self._has(located):
                continue
            if not self._take(located, record):
                self._refused.pop(located, None)
                full_key = unpack(record).full_key
                self.recovered.append(Recovered(place_of(located, full_key), source))

    def _has(self, located: bytes) -> bool:
        return located in self._batch or (
            self._session.read(lambda transaction: transaction.get(located)) is not None
        )

    def _note_names(self, located: bytes, record: bytes) -> None:
        """Keep the names of a namespace whose prefix does not tell them."""
        if located < ENTRIES[0]:
            self._counters.add(located)
        if side_row(located) is not None:
            self._side_rows.add(located)
        if located.startswith(COUNTERS + LONG_NAMESPACE):
            prefix, names = located[1:], record[8:]
            if names_of(prefix, names) is not None:
                self._names.setdefault(prefix, names)

    def _take(self, located: bytes, record: bytes) -> str:
        """Take an authentic record; return why not, "" if it was taken or is made anew."""
        if located < ENTRIES[0]:
            return ""
        if prefix_of(located) is None:
            return "it lies where no entry can"
        try:
            header = self._records.authenticate(located, located, record)
            self._records.verify(located, header, record)
        except SideFileMissingError as missing:
            return file_gone(located, missing).reason
        except ObjcacheError as error:
            return str(getattr(error, "reason", error))
        if header.side_file:
            copy_side_file(self._side_files, self._session.environment.side.files, header.side_file)
        self._taken += 1
        self._batch[located] = record
        self._batch_bytes += len(record)
        if len(self._batch) >= _BATCH_RECORDS or self._batch_bytes >= _BATCH_BYTES:
            self._flush()
        return ""

    def _flush(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, {}, 0

        side = self._session.environment.side

        def write(transaction: Transaction) -> None:
            for located, record in batch.items():
                put_record(side, transaction, located, record)

        self._session.write(write)

    def finish(self, target: str, settings: bytes) -> Repaired:
        """Write counters and settings, the settings last; return what was saved."""
        self._flush()
        counts: dict[bytes, int] = {}
        for located, _ in scan(self._session, *ENTRIES, lambda _: False):
            prefix = prefix_of(located) or b""
            counts[prefix] = counts.get(prefix, 0) + 1
        entries = sum(counts.values())
        root = counts.pop(b"", 0)
        counters = {
            counter_key(prefix): pack_count(count) + self._encoded_names(prefix, count)
            for prefix, count in counts.items()
        }
        others = entries - root + len(counters) + 2

        def write(transaction: Transaction) -> None:
            for located, record in counters.items():
                transaction.put(located, record)
            transaction.put(OTHERS_KEY, pack_count(others))
            transaction.put(SETTINGS_KEY, settings)

        self._session.write(write)
        self.problems += (
            Problem(place_of(located), "record", reason)
            for located, reason in self._refused.items()
        )
        missing = self._claimed
        if missing is not None:
            missing = max(missing - len(counters) - 2 - len(self._side_rows) - entries, 0)
        return Repaired(
            target,
            entries,
            self._taken - len(self.recovered),
            tuple(self.recovered),
            missing,
            tuple(self.problems),
        )

    def _encoded_names(self, prefix: bytes, count: int) -> bytes:
        if not prefix.startswith(LONG_NAMESPACE):
            return prefix[1:]
        names = self._names.get(prefix)
        if names is None:
            self.problems.append(
                Problem(
                    prefix,
                    "names",
                    f"the names of a namespace with {count} entries are lost; open it by its names, "
                    "and the first write to it puts them back",
                )
            )
            # The next write to the namespace brings its names.
            names = encode_key((f"names lost: {prefix[1:].hex()}",))
        return names
