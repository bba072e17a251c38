"""Side files: large parts of values, each set of parts in a file of its own below `blobs/`.

Knows: how such a file is written, read and mapped, and which ones there are. Must not know: which
of them belong to a record (`_side_rows` does), or what is in them.

A side file is written once, before the record that names it, and never changed. Its name is
random, and never used again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import mmap
import os
import stat
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from objcache.engine._faults import translating
from objcache.engine._files import sync_directory
from objcache.errors import ObjcacheError

__all__ = [
    "SIDE_DIRECTORY",
    "SIDE_NAME_BYTES",
    "SideFileMissingError",
    "SideFiles",
    "copy_side_file",
]

SIDE_NAME_BYTES: Final = 16
SIDE_DIRECTORY: Final = "blobs"
_ALIGNMENT: Final = 64
_MOST_VECTORS: Final = 512
_UNFILLED_BYTES: Final = 1 << 16
_HUGE_BYTES: Final = 1 << 22
_COPIED_AT_ONCE_BYTES: Final = 1 << 30
_CLONE: Final = 0x40049409  # FICLONE of linux/fs.h
_OPEN_FLAGS: Final = (
    os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
)  # nobody waits for a pipe's writer
# A live view would hold a file descriptor as well; before 3.13 it cannot be told not to.
_UNTRACKED: Final[dict[str, Any]] = {"trackfd": False} if sys.version_info >= (3, 13) else {}

# The mappings of this process that are alive, by their ids: a view may outlive its store.
_mapped: dict[int, tuple[weakref.ref[mmap.mmap], str, bytes]] = {}


class _SideMapping(mmap.mmap):
    """A side file in memory, read-only: neither the file nor anybody in this process changes it.

    Attributes:
        __objcache_contents__: what `objcache.hashing` knows of arrays in this memory; it finds it
            by this name, and forgets it with the mapping.
    """

    def __init__(self, *_: Any, **__: Any) -> None:
        self.__objcache_contents__: dict[Any, str] = {}


class SideFileMissingError(ObjcacheError):
    """A side file is not there: its record was overwritten a moment ago, or it was removed."""


class SideFiles:
    """The side files of one store.

    Args:
        directory: the store's.
        mode: of new files.
        flushes: make each file durable before it is named anywhere.
        ready: called before a file is written: makes this process a user of the store, so that
            nobody opens the store alone and removes what no record has yet.

    Attributes:
        directory: where the files lie.
        unnamed: names of files that this process has written, and no transaction has named yet.

    Concurrency: any thread, any process.
    """

    __slots__ = ("_flushes", "_is_named", "_mode", "_ready", "_store", "directory", "unnamed")

    def __init__(
        self, directory: str, mode: int, *, flushes: bool, ready: Callable[[], object]
    ) -> None:
        self._store = directory
        self.directory = os.path.join(directory, SIDE_DIRECTORY)
        self._mode = mode
        self._flushes = flushes
        self._ready = ready
        self._is_named = False
        self.unnamed: set[bytes] = set()

    def path(self, name: bytes) -> str:
        """Return where the side file *name* lies."""
        return os.path.join(self.directory, name.hex())

    # -- one file ----------------------------------------------------------------------------

    def write(self, parts: Sequence[memoryview]) -> tuple[bytes, list[tuple[int, int]]]:
        """Write *parts* to a new file; return its name, and start and end of each.

        Each part begins at the next multiple of 64 bytes.

        Raises:
            StoreFullError, StoreError: nothing is left of it.

        Cost:
            Each byte is copied once, into the file's pages. No lock.
        """
        name = os.urandom(SIDE_NAME_BYTES)
        with translating(self._store, "written to"):
            self._ready()
            self.unnamed.add(name)
            try:
                return name, self._write(self.path(name), parts)
            except BaseException:
                self.unlink(name)
                raise

    def begin(self) -> tuple[bytes, int]:
        """Make an empty file; return its name, and a descriptor for `append` and `finish`.

        The caller closes that. Until a transaction attaches it, the file is the caller's to unlink.

        Raises:
            ReadOnlyStoreError, StoreFullError, StoreError: nothing is left of it.
        """
        name = os.urandom(SIDE_NAME_BYTES)
        with translating(self._store, "written to"):
            self._ready()
            self.unnamed.add(name)
            try:
                return name, self._created(self.path(name))
            except BaseException:
                self.unlink(name)
                raise

    def append(self, descriptor: int, piece: memoryview) -> None:
        """Write *piece* behind what was written.

        Raises:
            StoreFullError, StoreError: a part of it may be written.
        """
        with translating(self._store, "written to"):
            _write_all(descriptor, [piece])

    def clone(self, descriptor: int, source: int) -> bool:
        """Let an empty file share the blocks of the open file *source*; return whether it can."""
        return _cloned(source, descriptor)

    def reserve(self, descriptor: int, size_bytes: int) -> None:
        """Let a disk that is full say so before *size_bytes* are written, where the system can.

        Raises:
            StoreFullError, StoreError: there is no room.
        """
        with translating(self._store, "written to"):
            _reserve(descriptor, size_bytes)

    def finish(self, descriptor: int) -> None:
        """Make the file durable, if that is done before it is named anywhere.

        Raises:
            StoreFullError, StoreError: it may never be.
        """
        if self._flushes:
            with translating(self._store, "written to"):
                os.fsync(descriptor)
                self._sync_names()

    def adopt(self, name: bytes, source: int) -> None:
        """Write the file *name* as a copy of the open file *source*; the caller attaches it.

        Raises:
            OSError: nothing is left of it.
        """
        self.unlink(name)  # of an earlier attempt
        descriptor = self._created(self.path(name))
        try:
            _copy_all(source, descriptor)
            if self._flushes:
                os.fsync(descriptor)
                self._sync_names()
        except BaseException:
            self.unlink(name)
            raise
        finally:
            os.close(descriptor)

    def _write(self, path: str, parts: Sequence[memoryview]) -> list[tuple[int, int]]:
        descriptor = self._created(path)
        try:
            vectors, places = _laid_out(parts)
            _reserve(descriptor, places[-1][1] if places else 0)
            _write_all(descriptor, vectors)
            if self._flushes:
                os.fsync(descriptor)
                self._sync_names()
        finally:
            os.close(descriptor)
        return places

    def read(self, name: bytes, places: Sequence[tuple[int, int]]) -> list[bytearray]:
        """Return copies of what lies between each start and end of *places*.

        Raises:
            SideFileMissingError: there is no such file.
            StoreError: it cannot be read.
        """
        with translating(self._store, "read"):
            descriptor = self.open(name, places)
            try:
                return [_copied(descriptor, start, end) for start, end in places]
            finally:
                os.close(descriptor)

    def view(self, name: bytes, places: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Return what lies between each start and end of *places*, read-only, without a copy.

        A view stays what it is whatever becomes of the file and the store; the last one of a
        file ends its mapping.

        Raises:
            SideFileMissingError, StoreError: as for `read`.
        """
        try:
            with translating(self._store, "read"):
                mapped = self._map(name, places)
        except BaseException:
            if name in self.unnamed:
                self.unlink(name)  # its writer was to look at it, and can do nothing with it
            raise
        if mapped is None:
            return [memoryview(b"") for _ in places]
        number = id(mapped)
        gone = weakref.ref(mapped, lambda _: _mapped.pop(number, None))
        _mapped[number] = gone, self.directory, name
        view = memoryview(mapped)
        return [view[start:end] for start, end in places]

    def _map(self, name: bytes, places: Sequence[tuple[int, int]]) -> mmap.mmap | None:
        descriptor = self.open(name, places)
        try:
            size = os.fstat(descriptor).st_size
            if not size:
                return None
            return _SideMapping(descriptor, size, access=mmap.ACCESS_READ, **_UNTRACKED)
        finally:
            os.close(descriptor)

    def mapped(self) -> list[bytes]:
        """Return the name of the file of each mapping that is alive in this process."""
        return [name for _, where, name in list(_mapped.values()) if where == self.directory]

    def open(self, name: bytes, places: Sequence[tuple[int, int]] = ()) -> int:
        """Return a descriptor of a file, to be read and closed.

        Raises:
            SideFileMissingError: there is no such file, or a shorter one than *places* ask for.
            OSError: it cannot be opened.
        """
        try:
            descriptor = os.open(self.path(name), os.O_RDONLY | _OPEN_FLAGS)
        except FileNotFoundError:
            raise SideFileMissingError(name.hex()) from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size < (places[-1][1] if places else 0):
            os.close(descriptor)
            raise SideFileMissingError(f"{name.hex()}, as it was written,")
        return descriptor

    def reading(self, name: bytes, size_bytes: int) -> int:
        """Return a descriptor of a file, to be read by `read_into` and closed.

        Raises:
            SideFileMissingError: there is no such file, or one shorter than *size_bytes*.
            StoreError: it cannot be opened.
        """
        with translating(self._store, "read"):
            return self.open(name, [(0, size_bytes)])

    def read_into(self, descriptor: int, target: memoryview, start: int) -> int:
        """Read from *start* on into *target*; return how many bytes, 0 behind the end.

        Raises:
            StoreError: it cannot be read.
        """
        with translating(self._store, "read"):
            return os.preadv(descriptor, [target], start)

    def size_of(self, name: bytes) -> int | None:
        """Return the size of a file, None if it is not there."""
        try:
            return os.stat(self.path(name)).st_size
        except OSError:
            return None

    # -- all files ---------------------------------------------------------------------------

    def flush(self, names: Sequence[bytes]) -> None:
        """Make files and their names durable; those that are gone are passed over.

        Raises:
            StoreError: one could not be opened; nothing is lost, another attempt may go well.
            OSError: they may never be durable.
        """
        for name in names:
            try:
                with translating(self._store, "made durable"):
                    descriptor = self.open(name)
            except SideFileMissingError:
                continue
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        if names:
            with contextlib.suppress(FileNotFoundError):  # somebody has removed them all
                self._sync_names()

    def _sync_names(self) -> None:
        sync_directory(self.directory)
        if not self._is_named:
            # Another process may have made the directory, and died before its name was durable.
            sync_directory(self._store)
            self._is_named = True

    def unlink(self, name: bytes) -> None:
        """Remove a file, if it is there; who has it mapped keeps what it sees."""
        with contextlib.suppress(OSError):
            os.unlink(self.path(name))
        self.unnamed.discard(name)

    def names(self) -> Iterator[bytes]:
        """Iterate over the names of the files that are there."""
        try:
            found = os.listdir(self.directory)
        except OSError:
            return
        for text in found:
            with contextlib.suppress(ValueError):
                name = bytes.fromhex(text)
                if len(name) == SIDE_NAME_BYTES:
                    yield name

    def _created(self, path: str) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _OPEN_FLAGS
        try:
            return os.open(path, flags, self._mode)
        except FileNotFoundError:
            self.make_directory()
            return os.open(path, flags, self._mode)

    def make_directory(self) -> None:
        """Make the directory of the files, if it is missing; `flush` makes it durable."""
        # Who may read the files may enter.
        os.makedirs(self.directory, self._mode | (self._mode & 0o444) >> 2, exist_ok=True)
        self._is_named = False


def copy_side_file(source: SideFiles, target: SideFiles, name: bytes) -> None:
    """Copy the side file *name* of one store to another, durably where *target* flushes.

    Raises:
        SideFileMissingError: it is gone.
        StoreFullError, StoreError: nothing is left of the copy.
    """
    with translating(source.directory, "read"):
        read = source.open(name)
    with translating(target.directory, "written to"):
        try:
            target.adopt(name, read)
        finally:
            os.close(read)


def _laid_out(parts: Sequence[memoryview]) -> tuple[list[memoryview], list[tuple[int, int]]]:
    """Return *parts* as bytes with what aligns them between, and start and end of each part."""
    vectors: list[memoryview] = []
    places: list[tuple[int, int]] = []
    end = 0
    for part in parts:
        start = -(-end // _ALIGNMENT) * _ALIGNMENT
        if start > end:
            vectors.append(memoryview(bytes(start - end)))
        vectors.append(part.cast("B"))
        end = start + part.nbytes
        places.append((start, end))
    return vectors, places


def _reserve(descriptor: int, size: int) -> None:
    """Let a disk that is full say so before anything is copied, where the system can."""
    if not size or not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL}:
            raise


def _write_all(descriptor: int, vectors: list[memoryview]) -> None:
    left = [vector for vector in vectors if vector.nbytes]
    while left:
        written = os.writev(descriptor, left[:_MOST_VECTORS])
        while left and written >= left[0].nbytes:
            written -= left.pop(0).nbytes
        if written:
            left[0] = left[0][written:]


def _copy_all(source: int, target: int) -> None:
    """Copy a file within the kernel; blocks may be shared."""
    done, size = 0, os.fstat(source).st_size
    _reserve(target, size)
    while done < size:
        count = os.sendfile(target, source, done, min(size - done, _COPIED_AT_ONCE_BYTES))
        if not count:  # cut short under our eyes
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        done += count


def _cloned(source: int, target: int) -> bool:
    """Share the blocks of a file, of which each side gets its own where it is written to."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        fcntl.ioctl(target, _CLONE, source)
    except OSError:  # another filesystem, or one that shares no blocks
        return False
    return True


def _copied(descriptor: int, start: int, end: int) -> bytearray:
    """Return a copy of a part of a file; shorter where the file is."""
    copy = _uninitialised(end - start)
    done = 0
    with memoryview(copy) as view:
        while done < len(view):
            with view[done:] as left:
                count = os.preadv(descriptor, [left], start + done)
            if not count:
                break
            done += count
    if done < len(copy):
        del copy[done:]
    return copy


def _uninitialised(size: int) -> bytearray:
    """Return *size* bytes of anything, in huge pages if they are many.

    To fill 100 MB with zeros first, and to fault them in by 4 KiB, takes five times as long as
    to read them (docs/design/decisions/0015).
    """
    if size < _UNFILLED_BYTES:
        return bytearray(size)
    new, advise = _memory()
    fresh = new(None, size)
    if size >= _HUGE_BYTES and advise is not None:
        import ctypes  # noqa: PLC0415  # as below

        page = mmap.PAGESIZE
        first = -(-ctypes.addressof(ctypes.c_char.from_buffer(fresh)) // page) * page
        advise(first, (size - page) // page * page, mmap.MADV_HUGEPAGE)  # a hint: may fail
    return fresh


@functools.cache
def _memory() -> tuple[Callable[[None, int], bytearray], Callable[[int, int, int], int] | None]:
    """Return what makes a bytearray that is not filled, and `madvise`, if that knows huge pages."""
    import ctypes  # noqa: PLC0415  # for large values only

    new = ctypes.pythonapi.PyByteArray_FromStringAndSize
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_char_p, ctypes.c_ssize_t]
    advise = getattr(ctypes.CDLL(None), "madvise", None)
    if advise is None or not hasattr(mmap, "MADV_HUGEPAGE"):
        return new, None
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return new, advise
