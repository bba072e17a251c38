"""Copies of a whole store: hot ones beside it, and compact ones in its place.

Knows: how a file is written completely or not at all. Must not know: what is in it.
"""

from __future__ import annotations

import contextlib
import os

import lmdb

from objcache.engine import _side_rows
from objcache.engine._environment import Environment
from objcache.engine._faults import translating
from objcache.engine._files import FILE_NAME, sync_directory
from objcache.engine.side_files import (
    SideFileMissingError,
    SideFiles,
    copy_side_file,
)
from objcache.errors import CorruptStoreError, StoreExistsError

__all__ = ["compact_into", "copy_into", "copy_to", "put_in_place"]


def copy_into(environment: Environment, directory: str, *, compact: bool) -> None:
    """Make a store that is a copy in the empty or missing *directory*, durably.

    Raises:
        StoreExistsError: something is there already.
        CorruptStoreError: a side file of a record is gone.
        StoreFullError, StoreError: there is no copy, or one whose name a power cut may take away.
    """
    unfinished = os.path.join(directory, f"{FILE_NAME}-unfinished")
    mode = environment.options.file_mode
    copied = SideFiles(directory, mode, flushes=False, ready=lambda: None)
    names: list[bytes] = []
    with translating(directory, "copied to"):
        try:
            _claim(directory)
            # While it is open, no side file of the copy's state, or of a later one, is unlinked.
            with environment.handle.begin():
                copy_to(environment, unfinished, compact=compact)
                _complete(environment, copied, names, unfinished)
            os.rename(unfinished, os.path.join(directory, FILE_NAME))
        except FileExistsError:
            raise StoreExistsError(directory) from None
        except BaseException:
            # Ctrl-C may come at any moment: when the file has its name already, it has its parts.
            if os.path.exists(unfinished):
                _discard(copied, names, unfinished)
            raise
        sync_directory(directory)
        sync_directory(os.path.dirname(directory))


def _claim(directory: str) -> None:
    os.makedirs(directory, mode=0o700, exist_ok=True)
    if os.listdir(directory):
        raise FileExistsError(directory)


def _complete(
    environment: Environment, copied: SideFiles, names: list[bytes], unfinished: str
) -> None:
    """Copy the side files that the *unfinished* copy has, durably; add each to *names* first."""
    try:
        for name in _own_names(unfinished):
            names.append(name)
            copy_side_file(environment.side.files, copied, name)
        copied.flush(names)
    except SideFileMissingError as error:
        raise CorruptStoreError(
            f"the store at {environment.options.directory!r} cannot be copied: its side file "
            f"{error} is gone; check() names the key, delete or replace that first"
        ) from error


def _discard(copied: SideFiles, names: list[bytes], unfinished: str) -> None:
    for name in names:
        copied.unlink(name)
    with contextlib.suppress(OSError):
        os.rmdir(copied.directory)
    with contextlib.suppress(OSError):
        os.unlink(unfinished)


def _own_names(file: str) -> list[bytes]:
    """Return the names of the side files that the copy *file* has; forget those of its original.

    The transactions of a copy have other numbers, all its files are flushed, and it has none that
    were dropped.
    """
    map_bytes = 2 * os.path.getsize(file) + (1 << 20)
    copy = lmdb.open(file, subdir=False, map_size=map_bytes, lock=False, lib_version=0)
    try:
        with copy.begin() as transaction:
            if not _side_rows.side_rows(transaction):
                return []
            names = [name for name, _ in _side_rows.live_files(transaction)]
        with copy.begin(write=True) as transaction:
            _side_rows.forget_dated(transaction)
        copy.sync(True)  # lmdb's own "force"
    finally:
        copy.close()
    return names


def copy_to(environment: Environment, file: str, *, compact: bool) -> None:
    """Write a consistent copy of the store to the new *file*, and flush it.

    Raises:
        FileExistsError: there is such a file.
        StoreFullError, StoreError: nothing is left of it.

    Cost: reads every page; writers go on meanwhile, the pages they free are kept.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(file, flags, environment.options.file_mode)
    try:
        with translating(os.path.dirname(file), "copied to"):
            environment.handle.copyfd(descriptor, compact=compact)
            os.fsync(descriptor)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(file)
        raise
    finally:
        os.close(descriptor)


def compact_into(environment: Environment, fresh: str) -> None:
    """Write a compact copy to the file *fresh*, which the caller removes, within `alone`."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)  # of a process that was killed here
    copy_to(environment, fresh, compact=True)
    with translating(environment.options.directory, "compacted"):
        _own_names(fresh)


def put_in_place(environment: Environment, fresh: str) -> None:
    """Put the file *fresh* in the place of the store's, within `Environment.alone`."""
    options = environment.options
    with environment.let_go():
        os.rename(fresh, options.file)
        try:
            sync_directory(options.directory)
        except OSError as error:
            # The disk may have either file: what is written from now on may go with the new one.
            environment.durability.poisoned(str(error))
            raise
    environment.side.sweep()  # rows of dropped files are not in the new one
