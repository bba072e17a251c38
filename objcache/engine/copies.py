"""Copies of a whole store: hot ones beside it, and compact ones in its place.

Knows: how a file is written completely or not at all. Must not know: what is in it.
"""

from __future__ import annotations

import os

import lmdb

from objcache.engine._environment import Environment

__all__ = ["compact_into", "copy_to"]


def copy_to(environment: Environment, file: str, *, compact: bool) -> None:
    """Write a consistent copy of the store to the new *file*, and flush it.

    Cost: reads every page; writers go on meanwhile, the pages they free are kept.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(file, flags, environment.options.file_mode)
    try:
        environment.handle.copyfd(descriptor, compact=compact)
        os.fsync(descriptor)
    except BaseException as error:
        os.unlink(file)
        if isinstance(error, lmdb.Error):
            raise environment.translated(error) from error
        raise
    finally:
        os.close(descriptor)


def compact_into(environment: Environment) -> str:
    """Write a compact copy beside the file, within `Environment.alone`; return its path."""
    fresh = f"{environment.options.file}-compact"
    if os.path.exists(fresh):
        os.unlink(fresh)  # of a process that was killed here
    copy_to(environment, fresh, compact=True)
    return fresh
