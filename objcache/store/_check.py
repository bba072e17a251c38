"""Reading every record of a store, to say what is wrong with it.

Knows: what must be true of all records together. Must not know: how to repair it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, NamedTuple

from objcache.engine import (
    FILE_NAME,
    ReadSnapshot,
    Session,
    SideFileMissingError,
    close_session,
    open_session,
)
from objcache.engine.raw import (
    Content,
    Meta,
    PageFile,
    Walk,
    in_turn,
    pinned_meta,
    probe,
)
from objcache.errors import (
    CorruptRecordError,
    CorruptStoreError,
    KeyEncodingError,
    ObjcacheError,
    SignatureError,
    StoreBusyError,
    StoreConflictError,
    WrongSecretError,
)
from objcache.keys import COUNTERS, ORDERED, RECORDS, key_of, needs_full_key
from objcache.records import Records, check_value
from objcache.signing import Signer
from objcache.store._cache_rows import CacheRows
from objcache.store._counters import OTHERS_KEY, read_count
from objcache.store._damaged import (
    Problem,
    first_pages,
    out_of_turn,
    problem_of,
    refuse_other_paths,
)
from objcache.store._locations import names_of, place_of, prefix_of
from objcache.store._memo_rows import memo_disagreements
from objcache.store._scan import scan
from objcache.store._secrets import Secret, find_secrets
from objcache.store._settings import SETTINGS_KEY, parse_settings
from objcache.store._side_check import SideFileRows
from objcache.store.generations import record_prefix
from objcache.store.side import file_gone, side_file_of

__all__ = ["CheckReport", "Problem", "check_path", "check_store", "reading_session"]

_EVERYTHING: Final = (b"\x00", b"\xff" * 512)
_ATTEMPTS: Final = 3


class CheckReport(NamedTuple):
    """What `Store.check` has found.

    Attributes:
        entries: how many entries were read, in the store, its namespaces and caches.
        problems: what is wrong; empty if all is well.
    """

    entries: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def check_store(session: Session, records: Records, *, deep: bool = False) -> CheckReport:
    """Read every record that *session* can reach; see `Store.check`.

    Concurrency: reads from one snapshot, so that counters agree with records while others write.
    """
    check = _Check(records, values=True)
    if deep:
        with PageFile(session.environment.options.file) as file:
            snapshot, meta = pinned_meta(session, file)
            try:
                _check_pages(_State(session, snapshot, meta, file), check, deep=True)
            finally:
                snapshot.end("the check is done")
        return check.report()
    if not session.readonly:
        session.environment.side.collect_orphans()
    snapshot = session.snapshot()
    try:
        for located, record in scan(snapshot, *_EVERYTHING, lambda _: True):
            check.take(located, record)
        check.totals()
        return check.report()
    finally:
        snapshot.end("the check is done")


def check_path(
    path: str | os.PathLike[str],
    *,
    deep: bool = False,
    secret: Secret | None = None,
    advance: Callable[[int, int], None] | None = None,
    shared: bool = False,
    allow_network: bool = False,
) -> CheckReport:
    """Check the store below *path*, even one that is too damaged to be opened as a `Store`.

    LMDB reads no page of it in this process. Values are not decoded: their classes need not be
    importable here.

    Args:
        path: the store's directory.
        deep: as for `Store.check`.
        secret: as for `Store`.
        advance: called now and then with the number of pages that were read, and of all.
        shared: as for `Store`.
        allow_network: as for `Store`.

    Raises:
        StoreNotFoundError, WrongSecretError, SecretError, UntrustedStoreError,
        NetworkFilesystemError: it is not ours to read.
        CorruptStoreError: it must be put back to its last checkpoint, and may not be written to.
        StoreError: it cannot be read.
    """
    directory = os.path.abspath(os.fsdecode(path))
    data_file = os.path.join(directory, FILE_NAME)
    refuse_other_paths(directory)
    secrets = find_secrets(secret, directory)
    if problems := first_pages(data_file):
        return CheckReport(0, problems)
    try:
        session = reading_session(directory, shared=shared, allow_network=allow_network)
    except CorruptStoreError as error:
        if not os.access(directory, os.W_OK):
            raise  # perhaps whole, but for a checkpoint that we may not put it back to
        return CheckReport(0, (Problem("the file", "page", str(error)),))
    try:
        # Opened after LMDB has: that may have put the store back to a checkpoint.
        with PageFile(data_file) as file:
            state = _State(session, *pinned_meta(session, file), file)
            signer = _signer(state, secrets)
            files = session.environment.side.files
            records = None if signer is None else Records(signer, files=files)
            check = _Check(records, values=False)
            _check_pages(state, check, deep=deep, advance=advance)
            if check.problems and not session.environment.options.lockable:
                _refuse_written(state)
            return check.report()
    finally:
        close_session(session)  # ends the snapshot


def _refuse_written(state: _State) -> None:
    """Take nothing for damaged that was found in a file without locks while others wrote.

    Raises:
        StoreBusyError: they did.
    """
    if state.file.metas()[:1] != [state.meta]:
        directory = state.session.directory
        raise StoreBusyError(directory, "a writer, and you lack the permission to hold it off")


def reading_session(directory: str, *, shared: bool, allow_network: bool) -> Session:
    """Open the store in *directory* for reading, whatever durability this process has it open with."""
    opened = partial(
        open_session,
        directory,
        create=False,
        readonly=True,
        shared=shared,
        allow_network=allow_network,
    )
    try:
        return opened()
    except StoreConflictError as conflict:
        # It is open in this process; which durability it has is nothing to a reader.
        return opened(durability=str(conflict.current))


class _State(NamedTuple):
    """One state of a file, and the snapshot that keeps it."""

    session: Session
    snapshot: ReadSnapshot
    meta: Meta
    file: PageFile


def _signer(state: _State, secrets: tuple[bytes, ...]) -> Signer | None:
    """Return what verifies the records; None where the settings cannot be read."""
    for located, record in Walk(state.file, state.meta).records():
        if located == SETTINGS_KEY:
            directory = state.session.directory
            try:
                settings = parse_settings(record, directory)
            except ObjcacheError:
                return None
            signer = Signer(secrets, settings.store_id)
            if settings.fingerprint not in signer.fingerprints:
                raise WrongSecretError(directory, settings.fingerprint, signer.fingerprints)
            return signer
        if located > SETTINGS_KEY:
            return None
    return None


def _check_pages(
    state: _State,
    check: _Check,
    *,
    deep: bool,
    advance: Callable[[int, int], None] | None = None,
) -> None:
    """Read every page of a state, and the records on them."""
    walk = Walk(state.file, state.meta, advance)
    content = Content()
    if deep:
        walk.free_list()
    for located, record in walk.records():
        check.take(located, record)
        content.add(located, record)
    if deep:
        walk.coverage()
        _check_metas(state.file, check)
    check.problems += map(problem_of, walk.damages)
    check.totals()
    # Looking rows up leads LMDB over the pages in this process.
    if deep and _check_engine(state.session, walk, content, check) and not walk.damages:
        _check_memo(state.snapshot, check)


def _check_metas(file: PageFile, check: _Check) -> None:
    found: list[int] = []
    for _ in range(_ATTEMPTS):  # one of them may just be written
        found = [meta.transaction_id for meta in file.metas()]
        if in_turn(found):
            return
    check.problems.append(out_of_turn(found))


def _check_memo(snapshot: ReadSnapshot, check: _Check) -> None:
    if check.records is None:
        return
    for where, message in memo_disagreements(snapshot, check.records, check.namespaces()):
        check.report_problem(where, "memo", message)


def _check_engine(session: Session, walk: Walk, content: Content, check: _Check) -> bool:
    """Compare what was read with what LMDB reads; return whether it could read the file."""
    options = session.environment.options
    probed = probe(options.file, content.entries, lock=options.lockable)
    if probed.failure:
        check.report_problem("the file", "engine", probed.failure)
    elif (
        probed.transaction_id == walk.meta.transaction_id
        and not walk.damages
        and probed.digest != content.hexdigest()
    ):
        check.report_problem(
            "the file",
            "engine",
            f"LMDB reads {probed.entries} records where {content.entries} are, or other ones",
        )
    return not probed.failure


class _Namespace:
    """What is known of one namespace."""

    def __init__(self, names: tuple[object, ...], counted: int) -> None:
        self.names = names
        self.counted = counted
        self.found = 0


class _Check:
    """One pass over the records of a store, in the order of their engine keys.

    Args:
        records: authenticates and decodes; None where the settings are lost.
        values: decode keys and values too.
    """

    def __init__(self, records: Records | None, *, values: bool) -> None:
        self.records = records
        self._side = SideFileRows()
        self.problems: list[Problem] = []
        self._values = values
        self._namespaces: dict[bytes, _Namespace] = {}
        self._last: _Namespace | None = None
        self._last_prefix: bytes = b"?"
        self._settings = False
        self._caches = CacheRows()
        self._cached = 0
        self._counted_others = 0
        self._all = self._root = self._stray = 0

    def report(self) -> CheckReport:
        """Return what was found."""
        found = sum(namespace.found for namespace in self._namespaces.values())
        return CheckReport(self._root + found + self._cached, tuple(self.problems))

    def namespaces(self) -> Iterable[tuple[object, ...]]:
        """Return the names of all namespaces that were met."""
        return [namespace.names for namespace in self._namespaces.values()]

    def report_problem(self, key: object, kind: str, message: str) -> None:
        """Note that something is wrong."""
        self.problems.append(Problem(key, kind, message))

    def take(self, located: bytes, record: bytes) -> None:
        """Check one record."""
        self._all += 1
        if located == SETTINGS_KEY:
            self._check_settings(record)
        elif located == OTHERS_KEY:
            self._counted_others = self._count_of("the counter of others", record)
        elif located.startswith(COUNTERS):
            self._counter(located[1:], record)
        elif self._caches.take(located, record):
            self._side.excuse(side_file_of(record))  # of a generation that is over
        elif self._side.take(located, record):
            pass
        elif located[:1] in RECORDS:
            self._root += 1
            self._entry((), 0, located, record)
        elif prefix := record_prefix(located):
            self._cached += 1
            self._entry(self._caches.names(prefix), len(prefix), located, record)
        else:
            self._inside(located, record)

    def _check_settings(self, record: bytes) -> None:
        self._settings = True
        try:
            if self.records is None:
                parse_settings(record, "this store")
            else:
                self.records.authenticate("settings", SETTINGS_KEY, record)
        except ObjcacheError as error:
            self.report_problem("settings", type(error).__name__, str(error))

    def _count_of(self, key: object, record: bytes) -> int:
        try:
            return read_count(record)
        except CorruptStoreError as error:
            self.report_problem(key, "count", str(error))
            return 0

    def _counter(self, prefix: bytes, record: bytes) -> None:
        count = self._count_of(prefix, record)
        names: tuple[object, ...] | None = names_of(prefix, record[8:])
        if names is None:
            names = (prefix,)
            self.report_problem(
                prefix, "KeyEncodingError", "the names of a namespace do not belong to its prefix"
            )
        self._namespaces[prefix] = _Namespace(names, count)

    def _inside(self, located: bytes, record: bytes) -> None:
        prefix = self._last_prefix
        if not (located.startswith(prefix) and located[len(prefix) :][:1] in RECORDS):
            found = prefix_of(located)
            if found is None:
                self._stray += 1
                return
            prefix = self._last_prefix = found
            self._last = self._namespaces.get(prefix)
            if self._last is None:
                names: tuple[object, ...] = names_of(prefix) or (prefix,)
                self._last = self._namespaces[prefix] = _Namespace(names, 0)
        assert self._last is not None
        self._last.found += 1
        self._entry(self._last.names, len(prefix), located, record)

    def _entry(
        self, names: tuple[object, ...], prefix_length: int, located: bytes, record: bytes
    ) -> None:
        if self.records is None:
            return
        full_key = b""
        try:
            header = self.records.authenticate(located, located, record)
            full_key = header.full_key
            if wrong := self._side.note(located, header):
                raise CorruptRecordError(located, wrong)
            if bool(full_key) != needs_full_key(prefix_length, located):
                raise KeyEncodingError("the record keeps a full key it needs not, or lacks it")
            # A key without an order may need a class that only its program has.
            if self._values or located[prefix_length : prefix_length + 1] == ORDERED:
                found = key_of(prefix_length, located, full_key)
            if self._values:
                check_value(self.records, found, header, record)
            else:
                self.records.verify(located, header, record)
        except ObjcacheError as error:
            where = place_of(located, full_key, names)
            if record_prefix(located):
                where = (*names, located)
            shown = file_gone(located, error) if isinstance(error, SideFileMissingError) else error
            if isinstance(shown, SignatureError | CorruptRecordError):
                key = where[-1] if isinstance(where, tuple) else where
                shown = type(shown)(key, shown.reason)
            self.report_problem(where, type(shown).__name__, str(shown))

    def totals(self) -> None:
        """Compare the counters with what was found, after all was taken."""
        if not self._all and not self.problems:
            return  # emptied after a power cut, as scratch data is: the next to open it begins anew
        if not self._settings:
            self.report_problem("settings", "missing", "the store has no settings")
        elif self.records is None:
            self.report_problem(
                "settings", "missing", "the settings cannot be read: no record could be checked"
            )
        for namespace in self._namespaces.values():
            if namespace.found != namespace.counted:
                self.report_problem(
                    namespace.names,
                    "count",
                    f"the counter says {namespace.counted} entries, there are {namespace.found}",
                )
        for key, kind, message in (*self._caches.problems(), *self._side.problems()):
            self.report_problem(key, kind, message)
        others = self._all - self._root - self._caches.found.total() - self._side.found
        if self._counted_others != others:
            self.report_problem(
                "counter of others",
                "count",
                f"the counter says {self._counted_others} records beside the root's, "
                f"there are {others}",
            )
        if self._stray:
            self.report_problem(
                "store", "stray", f"records that belong to no mapping: {self._stray}"
            )
