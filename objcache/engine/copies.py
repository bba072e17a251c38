"""Copies of a whole store: hot ones beside it, and compact ones in its place.

Knows: how a file is written completely or not at all. Must not know: what is in it.
"""

from __future__ import annotations

import contextlib
import os

from objcache.engine._environment import Environment
from objcache.engine._faults import translating
from objcache.engine._files import FILE_NAME, sync_directory
from objcache.errors import StoreExistsError

__all__ = ["compact_into", "copy_into", "copy_to", "put_in_place"]


def copy_into(environment: Environment, directory: str, *, compact: bool) -> None:
    """Make a store that is a copy in the empty or missing *directory*, durably.

    Raises:
        StoreExistsError: something is there already.
        StoreFullError, StoreError: there is no copy, or one whose name a power cut may take away.
    """
    unfinished = os.path.join(directory, f"{FILE_NAME}-unfinished")
    with translating(directory, "copied to"):
        try:
            _claim(directory)
            copy_to(environment, unfinished, compact=compact)
        except FileExistsError:
            raise StoreExistsError(directory) from None
        try:
            os.rename(unfinished, os.path.join(directory, FILE_NAME))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(unfinished)
            raise
        sync_directory(directory)
        sync_directory(os.path.dirname(directory))


def _claim(directory: str) -> None:
    os.makedirs(directory, mode=0o700, exist_ok=True)
    if os.listdir(directory):
        raise FileExistsError(directory)


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


def compact_into(environment: Environment) -> str:
    """Write a compact copy beside the file, within `Environment.alone`; return its path."""
    fresh = f"{environment.options.file}-compact"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)  # of a process that was killed here
    copy_to(environment, fresh, compact=True)
    return fresh


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
