"""File objects for values that are bytes, too long for memory.

Knows: side files that are written and read piece by piece. Must not know: how a record gets into
the store; who opens a blob does.
"""

from __future__ import annotations

import io
import logging
import os
import stat
import sys
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from objcache.engine.side_files import SideFiles
from objcache.errors import BlobError, ForkedStoreError
from objcache.records import PIECE_BYTES, BlobContent
from objcache.signing import stream_digest

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["BlobReader", "BlobWriter", "checked_mode", "no_bound"]

# Reads of a few bytes are served from so much; larger ones go past it.
_BUFFER_BYTES: Final = 1 << 17


class BlobReader(io.BufferedIOBase):
    """A value that is bytes, opened for reading; see `Store.open_blob`.

    It reads what was there when it was opened, whatever becomes of the key and the store. Who
    reads from the first byte to the last in order gets what was stored, or `CorruptRecordError`
    in the place of the last bytes: what was read before may then be wrong too.

    Attributes:
        size: how many bytes the value has.
        mode: `"rb"`.

    Concurrency: one thread at a time; after fork() parent and child each read on by themselves.
    """

    mode: Final = "rb"

    def __init__(self, key: object, stream: io.RawIOBase | io.BytesIO, size: int) -> None:
        self._key = key
        self.size = size
        self._inner = io.BufferedReader(stream, _BUFFER_BYTES)

    def _opened(self) -> io.BufferedReader[Any]:
        if self.closed:
            raise BlobError(self._key, "is closed")
        return self._inner

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to *size* bytes from here on, all where it is negative or None.

        Raises:
            CorruptRecordError: they, or what was read before in order, are not what was stored.
            StoreError: they cannot be read.
            BlobError: it was closed.
        """
        inner = self._opened()
        left = max(self.size - inner.tell(), 0)
        return inner.read(left if size is None or size < 0 else min(size, left))

    def read1(self, size: int = -1, /) -> bytes:
        """Return up to *size* bytes with one read of the file at most; raises as `read`."""
        return self._opened().read1(size)

    def readinto(self, target: WriteableBuffer, /) -> int:
        """Fill *target*, as far as the value goes; return how many bytes; raises as `read`."""
        return self._opened().readinto(target)

    def readinto1(self, target: WriteableBuffer, /) -> int:
        """As `readinto`, with one read of the file at most."""
        return self._opened().readinto1(target)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the bytes up to the next newline, and with it; raises as `read`."""
        return self._opened().readline(size)

    def peek(self, size: int = 0, /) -> bytes:
        """Return some of the next bytes, which stay the next; raises as `read`."""
        return self._opened().peek(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to *offset*, from the start, from here, or from the end; return where that is.

        Raises:
            ValueError: before the start.
            BlobError: it was closed.
        """
        return self._opened().seek(offset, whence)

    def tell(self) -> int:
        """Return where the next byte is read."""
        return self._opened().tell()

    def close(self) -> None:
        """Let the file go. Idempotent."""
        if not self.closed:
            super().close()
            self._inner.close()

    def __del__(self) -> None:
        if hasattr(self, "_inner") and not self.closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            self.close()

    def __repr__(self) -> str:
        return f"<objcache.BlobReader of {self._key!r}, {self.size} bytes>"


class BlobWriter(io.BufferedIOBase):
    """A value that is being written piece by piece; see `Store.open_blob`.

    Nothing of it is to be seen before `close`, which stores all of it in one atomic step. It is
    not stored, and nothing is left of it, if an exception leaves its `with` block, if it is closed
    while an exception is being handled that was not when it was opened, if a write has failed, if
    it is discarded, or never closed.

    Attributes:
        mode: `"wb"`.

    Args:
        key: for messages.
        files: where it is written to.
        aside_bytes: from how many bytes on it lies in a file.
        allow: called with the size that it will have; raises if that is too much.
        commit: stores it, or discards its side file and raises.

    Concurrency: one thread at a time. It belongs to the process that has opened it.
    """

    mode: Final = "wb"

    def __init__(
        self,
        key: object,
        files: SideFiles,
        aside_bytes: int,
        allow: Callable[[int], None],
        commit: Callable[[BlobContent], None],
    ) -> None:
        self._key = key
        self._files = files
        self._aside_bytes = aside_bytes
        self._allow = allow
        self._commit = commit
        self._buffer = memoryview(bytearray(max(PIECE_BYTES, aside_bytes)))
        self._filled = 0
        self._aside = 0
        self._name = b""
        self._descriptor = -1
        self._hasher = stream_digest()
        self._failure = ""
        self._owner_pid = os.getpid()
        self._handled = sys.exception()

    @property
    def size(self) -> int:
        """How many bytes were written."""
        return self._aside + self._filled

    def writable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return how many bytes were written."""
        self._check_opened()
        return self.size

    def write(self, piece: ReadableBuffer, /) -> int:
        """Write *piece*, a contiguous buffer, behind what was written; return its size in bytes.

        Raises:
            StoreFullError, StoreError: the blob will not be stored.
            BlobError: it was closed, or an earlier write has failed.
            ForkedStoreError: it belongs to the parent process.

        Cost: each byte is copied twice, and hashed.
        """
        self._check_opened()
        with memoryview(piece) as given:
            if not given.nbytes:
                return 0
            with given.cast("B") as content:
                try:
                    self._allow(self.size + len(content))
                    self._take(content)
                except BaseException as error:
                    self._fail(error)
                    raise
                return len(content)

    def write_file(self, path: str | os.PathLike[str]) -> int:
        """Write the content of the file at *path*; return its size in bytes.

        Where the filesystem can share blocks between files, an empty blob shares those of the
        file, and only what is written to either later takes room.

        Args:
            path: of a regular file, which nobody should change meanwhile.

        Raises:
            OSError: the file cannot be read.
            BlobError: it is no regular file; its size or time of change is another one
                afterwards; or as for `write`. The blob will not be stored.
            StoreFullError, StoreError, ForkedStoreError: as for `write`.

        Cost: each byte is copied twice, and hashed; a MiB of memory.
        """
        self._check_opened()
        try:
            source = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                return self._take_file(source, os.fsdecode(path))
            finally:
                os.close(source)
        except BaseException as error:
            self._fail(error)
            raise

    def _take_file(self, source: int, path: str) -> int:
        before = os.fstat(source)
        if not stat.S_ISREG(before.st_mode):
            raise BlobError(self._key, f"cannot be made from {path!r}: it is no regular file")
        size = before.st_size
        self._allow(self.size + size)
        if size >= self._aside_bytes:
            self._begin()
            if self.size or not self._files.clone(self._descriptor, source):
                self._files.reserve(self._descriptor, self.size + size)
                self._copy(source, size)
            else:
                self._hash_clone(size)
        else:
            self._copy(source, size)
        after = os.fstat(source)
        if (after.st_size, after.st_mtime_ns) != (size, before.st_mtime_ns):
            raise BlobError(self._key, f"cannot be made from {path!r}: it was changed meanwhile")
        return size

    def _copy(self, source: int, size: int) -> None:
        """Take *size* bytes of *source*, or fewer if it was cut short meanwhile."""
        done = 0
        while done < size:
            room = self._room()
            count = os.preadv(source, [room[: size - done]], done)
            if not count:
                return
            self._filled += count
            done += count

    def _hash_clone(self, size: int) -> None:
        while self._aside < size:
            count = self._files.read_into(self._descriptor, self._buffer, self._aside)
            if not count:
                return
            self._hasher.update(self._buffer[:count])
            self._aside += count

    # -- pieces ------------------------------------------------------------------------------

    def _take(self, content: memoryview) -> None:
        done = 0
        while done < len(content):
            room = self._room()
            count = min(len(room), len(content) - done)
            # Another thread may be writing to the original: what is hashed is what is written.
            room[:count] = content[done : done + count]
            self._filled += count
            done += count

    def _room(self) -> memoryview:
        """Return what is free of the buffer, which is written out if it is full."""
        if self._filled == len(self._buffer):
            self._write_out()
        return self._buffer[self._filled :]

    def _begin(self) -> None:
        if not self._name:
            self._name, self._descriptor = self._files.begin()

    def _write_out(self) -> None:
        self._begin()
        piece = self._buffer[: self._filled]
        self._hasher.update(piece)
        self._files.append(self._descriptor, piece)
        self._aside += self._filled
        self._filled = 0

    # -- the end -----------------------------------------------------------------------------

    def close(self) -> None:
        """Store the blob, in a transaction of its own or in the one this thread has open. Idempotent.

        Raises:
            StoreFullError, StoreBusyError, StoreClosedError, TransactionClosedError, StoreError:
                it was not stored, and nothing is left of it.
            BlobError: a write to it has failed.
            ForkedStoreError: it belongs to the parent process.
        """
        if self.closed:
            return
        handled = sys.exception()
        if handled is not None and self._is_new(handled):
            logging.getLogger("objcache").warning(
                "the blob at %r was closed while an exception was being handled, and was not "
                "stored: %r",
                self._key,
                handled,
            )
            self.discard()
            return
        try:
            self._check_opened()
            content = self._content()
        except BaseException:
            self.discard()
            raise
        self._let_go()
        self._commit(content)

    def discard(self) -> None:
        """Close the blob without storing it. Idempotent."""
        name = self._name if not self.closed else b""
        self._let_go()
        if name and os.getpid() == self._owner_pid:
            self._files.unlink(name)

    def _content(self) -> BlobContent:
        if not self._name and self._filled < self._aside_bytes:
            return BlobContent(bytes(self._buffer[: self._filled]))
        self._write_out()
        self._files.finish(self._descriptor)
        return BlobContent(b"", self._name, self._aside, self._hasher.digest())

    def _let_go(self) -> None:
        super().close()
        self._handled = None
        self._buffer = memoryview(b"")
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _is_new(self, handled: BaseException) -> bool:
        """Return whether *handled* was not being handled when the blob was opened."""
        known = self._handled
        while known is not None:
            if known is handled:
                return False
            known = known.__context__
        return True

    def _fail(self, error: BaseException) -> None:
        """Give up the file at once: a full disk has room again."""
        self._failure = f"{type(error).__name__}: {error}"
        name, self._name = self._name, b""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
        if name:
            self._files.unlink(name)

    def _check_opened(self) -> None:
        if self.closed:
            raise BlobError(self._key, "is closed")
        if os.getpid() != self._owner_pid:
            raise ForkedStoreError("blob")
        if self._failure:
            raise BlobError(
                self._key, f"cannot be stored, as a write to it has failed ({self._failure})"
            )

    def __enter__(self) -> Self:
        self._check_opened()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        # Not `close`, which is what the base class would call.
        if not hasattr(self, "_handled") or self.closed:
            return
        if os.getpid() == self._owner_pid:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
        self.discard()

    def __repr__(self) -> str:
        return f"<objcache.BlobWriter of {self._key!r}, {self.size} bytes so far>"


def checked_mode(key: object, mode: str, *, verify: bool) -> str:
    """Return *mode*.

    Raises:
        BlobError: it is none, or *verify* is asked of one that writes.
    """
    if mode not in {"rb", "wb"}:
        raise BlobError(key, f"cannot be opened with mode {mode!r}: it is 'rb' or 'wb'")
    if verify and mode == "wb":
        raise BlobError(key, "cannot be opened with mode 'wb' and verify=True, which is for 'rb'")
    return mode


def no_bound(_size: int) -> None:
    """Allow any size."""
