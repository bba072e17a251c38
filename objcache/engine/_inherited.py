"""What a forked child may do with an environment that belongs to its parent: nothing.

Knows: py-lmdb's guard against opening a file twice. Must not know: what is in the file.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import lmdb
import lmdb._envid

__all__ = ["Inherited"]

_NO_KEYS: Final[tuple[object, ...]] = ()


class Inherited:
    """The parent's environment in the child, between fork() and its replacement.

    Dropping the last reference to it is safe (nothing of the parent's is touched), and then
    the child opens the file anew. A thread of the parent that was inside a read when the
    process forked left a reference that nobody can drop. Closing that environment later
    would close the lock file, and with it release the locks of the child's own
    environment (fcntl locks belong to process and file). So it is kept for ever, and
    py-lmdb's guard, which only protects from that close, is told nothing of it.
    """

    __slots__ = ("_handle", "_leaked")

    def __init__(self, handle: lmdb.Environment) -> None:
        self._handle: lmdb.Environment | None = handle
        self._leaked = False

    @contextmanager
    def replaced(self) -> Iterator[None]:
        """Within this block the child may open the file of the inherited environment."""
        if self._handle is not None:
            self._drop()
        if not self._leaked:
            yield
            return
        original = lmdb._envid.env_keys  # noqa: SLF001  # the guard has no public switch
        lmdb._envid.env_keys = lambda _path, _subdir: _NO_KEYS  # noqa: SLF001
        try:
            yield
        finally:
            lmdb._envid.env_keys = original  # noqa: SLF001

    def _drop(self) -> None:
        handle, self._handle = self._handle, None
        assert handle is not None
        left = weakref.ref(handle)
        del handle
        leaked = left()
        if leaked is not None:
            import ctypes  # noqa: PLC0415  # only where others held it at the fork

            ctypes.pythonapi.Py_IncRef(ctypes.py_object(leaked))
            self._leaked = True
