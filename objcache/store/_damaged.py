"""A damaged store: what is said of it, its first pages, and who it is.

Knows: files, and the settings record wherever it lies. Must not know: what else is to be saved.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from objcache.engine import FILE_NAME
from objcache.engine.raw import (
    USERS_LOCK_NAME,
    Damage,
    PageError,
    PageFile,
    Strays,
    Walk,
    states_of,
)
from objcache.errors import (
    CorruptStoreError,
    ObjcacheError,
    StoreBusyError,
    StoreError,
    StoreNotFoundError,
    WrongSecretError,
)
from objcache.records import Records
from objcache.signing import Signer
from objcache.store._locations import place_of, text_of
from objcache.store._settings import SETTINGS_KEY, parse_settings

__all__ = [
    "FoundSettings",
    "Problem",
    "damaged_file",
    "first_pages",
    "out_of_turn",
    "problem_of",
    "refuse_other_paths",
    "settings_of",
]


class Problem(NamedTuple):
    """Something wrong with one record, a counter, or a page of the file."""

    key: object
    kind: str
    message: str

    @property
    def where(self) -> str:
        """The key, with the names of its namespace, as people write it."""
        if self.kind == "count" and isinstance(self.key, tuple):
            return "namespace " + "/".join(map(str, self.key))
        return text_of(self.key)


def problem_of(damage: Damage) -> Problem:
    """Return what a damaged page means for the user."""
    where = "the file" if damage.page is None else f"page {damage.page}"
    lost = ""
    if damage.high is None:
        lost = (
            f"; entries from {_bound(damage.low)} on may be lost"
            if damage.low
            else ("; any entry may be lost")
        )
    elif damage.high == damage.low + b"\0":
        lost = f"; it holds the value of {text_of(place_of(damage.low))}"
    elif damage.high > damage.low:
        lost = f"; entries from {_bound(damage.low)} up to {_bound(damage.high)} may be lost"
    return Problem(where, "page", damage.reason + lost)


def out_of_turn(transaction_ids: list[int]) -> Problem:
    """Return what it is that the meta pages name states of *transaction_ids*."""
    message = f"they name transactions {transaction_ids}, which do not follow one another"
    return Problem("pages 0 and 1", "page", message)


def _bound(key: bytes) -> str:
    return text_of(place_of(key)) if key else "the first"


def first_pages(data_file: str) -> tuple[Problem, ...]:
    """Return what is wrong with the two pages that LMDB believes when it opens a file.

    Raises:
        StoreError: the file cannot be read.
    """
    problems: list[Problem] = []
    try:
        with PageFile(data_file) as file:
            for number in (0, 1):
                try:
                    file.meta(number)
                except PageError as fault:
                    problems.append(Problem(f"page {number}", "page", str(fault)))
    except CorruptStoreError as error:
        problems.append(Problem("the file", "page", str(error)))
    except OSError as error:
        raise StoreError(f"cannot read {data_file!r}: {error}") from error
    return tuple(problems)


def refuse_other_paths(directory: str) -> None:
    """Refuse what is not the directory of a store.

    Raises:
        StoreNotFoundError, StoreError: naming what it is.
    """
    path = os.path.join(directory, FILE_NAME)
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        raise StoreNotFoundError(directory) from None
    except NotADirectoryError:
        message = f"{directory!r} is a file; a store is a directory with {FILE_NAME!r} in it"
        raise StoreError(message) from None
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read {path!r}: {error}") from error
    if not regular:
        raise StoreError(f"{path!r} is no file, and so {directory!r} no store")


@contextmanager
def damaged_file(directory: str) -> Iterator[PageFile]:
    """Open the file of a store for reading, while nobody else has the store open.

    Raises:
        StoreBusyError: somebody has.
    """
    refuse_other_paths(directory)
    path = os.path.join(directory, FILE_NAME)
    lock: int | None = None
    try:
        try:
            lock = os.open(os.path.join(directory, USERS_LOCK_NAME), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            lock = None  # a copy of the data file alone
        else:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreBusyError(directory, "a program that has it open") from None
        try:
            file = PageFile(path)
        except OSError as error:
            raise StoreError(f"cannot read {path!r}: {error}") from error
        with file:
            yield file
    finally:
        if lock is not None:
            os.close(lock)


class FoundSettings(NamedTuple):
    """The settings of a store, and their record."""

    store_id: bytes
    record: bytes


def settings_of(file: PageFile, directory: str, secrets: tuple[bytes, ...]) -> FoundSettings | None:
    """Return the newest authentic settings that lie anywhere in *file*.

    Raises:
        WrongSecretError: there are settings, of another secret.
    """
    refused: WrongSecretError | None = None
    for record in _settings_records(file, directory):
        try:
            settings = parse_settings(record, directory)
            signer = Signer(secrets, settings.store_id)
            if settings.fingerprint not in signer.fingerprints:
                refused = WrongSecretError(directory, settings.fingerprint, signer.fingerprints)
                continue
            Records(signer).authenticate("settings", SETTINGS_KEY, record)
        except ObjcacheError:
            continue
        return FoundSettings(settings.store_id, record)
    if refused is not None:
        raise refused
    return None


def _settings_records(file: PageFile, directory: str) -> Iterator[bytes]:
    for meta in states_of(file, directory):
        for located, record in Walk(file, meta).records():
            if located == SETTINGS_KEY:
                yield record
            if located >= SETTINGS_KEY:
                break
    strays = Strays(file, None, seek_newer=True)
    for free in (False, True):
        for located, record in strays.records(free=free):
            if located == SETTINGS_KEY:
                yield record
