"""What is put to the test: stores of objcache, plain LMDB in each of its modes, a bare prototype.

Knows: how each is opened, written, synced and read. Must not know: what is recorded.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Protocol

import lmdb

from objcache.engine._side_rows import known_names
from tests.crash.recording import DATA_NAMES, PAGE, Operation, State, value_of

SECRET: Final = b"the secret of the tests, 32 bytes"
NAMESPACE: Final = "in a namespace "
"""Keys that begin with this are kept in a namespace, where the subject has such a thing."""

_ASIDE_BYTES: Final = 8192


class Subject(Protocol):
    """Something that keeps keys and values in a directory."""

    def apply(self, operations: Iterable[Operation]) -> None:
        """Do *operations* in one transaction."""
        ...

    def abandon(self, operations: Iterable[Operation]) -> None:
        """Do *operations* in one transaction, and roll it back."""
        ...

    def sync(self) -> None:
        """Make all that was committed durable."""
        ...

    def close(self) -> None:
        """Close."""
        ...

    def last_transaction(self) -> int:
        """Return the number of the last transaction that a reader sees."""
        ...

    def differences(self, expected: State) -> list[str]:
        """Return how what is stored differs from *expected*."""
        ...

    def problems(self) -> list[str]:
        """Return what the subject itself finds wrong with what it holds."""
        ...

    def held(self) -> contextlib.AbstractContextManager[Any]:
        """Keep a reader open."""
        ...


def data_file(directory: str) -> str | None:
    """Return the data file below *directory*, None if there is none."""
    for name in sorted(DATA_NAMES):
        path = os.path.join(directory, name)
        if os.path.exists(path):
            return path
    return None


def _compared(found: dict[str, bytes], expected: State) -> list[str]:
    differences = []
    for key in sorted(found.keys() | expected.keys()):
        if key not in expected:
            differences.append(f"{key!r} is there, and should not be")
        elif key not in found:
            differences.append(f"{key!r} is missing")
        elif found[key] != value_of(*expected[key]):
            differences.append(f"{key!r} has another value")
    return differences


class PlainLmdb:
    """py-lmdb alone, with the flags of one mode."""

    FLAGS: Final[dict[str, dict[str, bool]]] = {
        "full": {},
        "metasync": {"metasync": False},
        "nosync": {"sync": False},
        "periodic": {"sync": False},
    }

    def __init__(self, directory: str, mode: str) -> None:
        os.makedirs(directory, exist_ok=True)
        self._mode = mode
        self._env = lmdb.open(directory, map_size=1 << 32, lib_version=0, **self.FLAGS[mode])

    def apply(self, operations: Iterable[Operation]) -> None:
        with self._env.begin(write=True) as transaction:
            _put_all(transaction, operations)

    def abandon(self, operations: Iterable[Operation]) -> None:
        with self._env.begin(write=True) as transaction:
            _put_all(transaction, operations)
            transaction.abort()

    def sync(self) -> None:
        if self._mode != "nosync":
            self._env.sync(True)

    def close(self) -> None:
        self._env.close()

    def last_transaction(self) -> int:
        return int(self._env.info()["last_txnid"])

    def differences(self, expected: State) -> list[str]:
        with self._env.begin() as transaction, transaction.cursor() as cursor:
            return _compared({bytes(key).decode(): bytes(value) for key, value in cursor}, expected)

    def problems(self) -> list[str]:
        return []

    def held(self) -> contextlib.AbstractContextManager[Any]:
        return self._env.begin()


def _put_all(transaction: Any, operations: Iterable[Operation]) -> None:
    for key, tag, length in operations:
        if length < 0:
            transaction.delete(key.encode())
        else:
            transaction.put(key.encode(), value_of(tag, length))


class Prototype(PlainLmdb):
    """The protocol of docs/design/durability.md in its barest form, for one process.

    It shows what the simulator can find: each fault is one step left out or done too early.

    Args:
        directory: where.
        fault: "none"; "unpinned": no reader holds the checkpoint's pages; "early": the reader
            of the checkpoint before is ended before the new record is on the disk; "record first":
            the record is written before the pages are synced; "one slot": it overwrites
            the only record there is.
        between: called between any two steps of a checkpoint; other threads would commit there.
    """

    _SLOT: Final = 1 << 14
    _RECORD: Final = struct.Struct("=8sQ36s")

    def __init__(
        self, directory: str, fault: str, between: Callable[[], object] = lambda: None
    ) -> None:
        os.makedirs(directory, exist_ok=True)
        self._fault = fault
        self._between = between
        self._record = os.open(os.path.join(directory, "checkpoint"), os.O_RDWR | os.O_CREAT)
        path = os.path.join(directory, "data.mdb")
        if os.path.exists(path):
            self._recover(path)
        super().__init__(directory, "nosync")
        self._pin: Any = None
        self._data = os.open(path, os.O_RDONLY)

    def _slots(self) -> list[tuple[int, int, bytes]]:
        """Return sequence, slot number and meta pages of each whole record, newest first."""
        found = []
        for number in (0, 1):
            slot = os.pread(self._record, self._SLOT, number * self._SLOT)
            if len(slot) < self._SLOT:
                continue
            magic, sequence, boot = self._RECORD.unpack_from(slot)
            if magic == b"pinned!\0" and slot[-8:] == struct.pack("=Q", zlib.crc32(slot[:-8])):
                found.append((sequence, number, boot + slot[64 : 64 + 2 * PAGE]))
        return sorted(found, reverse=True)

    def _recover(self, path: str) -> None:
        slots = self._slots()
        if not slots or slots[0][2][:36] == boot_id().encode():
            return
        with open(path, "r+b") as file:
            file.write(slots[0][2][36:])
            file.flush()
            os.fdatasync(file.fileno())

    def apply(self, operations: Iterable[Operation]) -> None:
        if self._pin is None:
            self.sync()
        super().apply(operations)

    def sync(self) -> None:
        with self._env.begin(write=True):
            fresh = self._env.begin()
            metas = os.pread(self._data, 2 * PAGE, 0)
        if self._fault in {"early", "unpinned"} and self._pin is not None:
            self._pin.abort()
        if self._fault == "unpinned":
            fresh.abort()
        self._step()
        steps = [lambda: self._env.sync(True), lambda: self._write_record(metas)]
        for step in reversed(steps) if self._fault == "record first" else steps:
            step()
            self._step()
        before, self._pin = self._pin, fresh
        if before is not None:
            before.abort()

    def _step(self) -> None:
        if self._pin is not None:
            self._between()

    def _write_record(self, metas: bytes) -> None:
        slots = self._slots()
        sequence, number, _ = slots[0] if slots else (0, 1, b"")
        number = 0 if self._fault == "one slot" else 1 - number
        slot = self._RECORD.pack(b"pinned!\0", sequence + 1, boot_id().encode()).ljust(64, b"\0")
        slot = (slot + metas).ljust(self._SLOT - 8, b"\0")
        slot += struct.pack("=Q", zlib.crc32(slot))
        os.pwrite(self._record, slot, number * self._SLOT)
        self._step()
        os.fdatasync(self._record)

    def close(self) -> None:
        if self._pin is not None:
            self._pin.abort()
        os.close(self._data)
        os.close(self._record)
        super().close()


class _AbandonedError(Exception):
    pass


class ObjectStore:
    """A `Store` of objcache."""

    def __init__(self, directory: str, **options: Any) -> None:
        from objcache import Store

        self.store: Any = Store(directory, secret=SECRET, **options)
        self._inner = self.store.namespace("n")

    def apply(self, operations: Iterable[Operation]) -> None:
        operations = list(operations)
        if len(operations) == 1:  # the shortest way through the engine is one of its own
            self._do(self.store, self._inner, operations[0])
            return
        with self.store.transaction() as transaction:
            inner = transaction.namespace("n")
            for operation in operations:
                self._do(transaction, inner, operation)

    def abandon(self, operations: Iterable[Operation]) -> None:
        with contextlib.suppress(_AbandonedError), self.store.transaction() as transaction:
            for operation in operations:
                self._do(transaction, transaction.namespace("n"), operation)
            raise _AbandonedError

    def _do(self, outer: Any, inner: Any, operation: Operation) -> None:
        key, tag, length = operation
        place = inner if key.startswith(NAMESPACE) else outer
        if length < 0:
            with contextlib.suppress(KeyError):  # not `pop`: that is a transaction inside this one
                del place[key]
        else:
            place[key] = self._value(tag, length)

    @staticmethod
    def _value(tag: int, length: int) -> Any:
        return value_of(tag, length)

    def sync(self) -> None:
        self.store.sync()

    def close(self) -> None:
        self.store.close()

    def last_transaction(self) -> int:
        return int(self.store._session.environment.handle.info()["last_txnid"])

    def differences(self, expected: State) -> list[str]:
        return _compared(dict(self.store.items()) | dict(self._inner.items()), expected)

    def problems(self) -> list[str]:
        return [str(problem) for problem in self.store.check().problems]

    @contextlib.contextmanager
    def held(self) -> Iterator[Any]:
        with self.store.snapshot() as snapshot:
            yield snapshot


class AsideStore(ObjectStore):
    """A `Store` of objcache that keeps longer values in side files.

    What the engine does from 256 KiB on it does here from 8 KiB on: more happens in a recording.
    A third of them are written piece by piece as blobs, another third are files that are stored.

    Args:
        directory: where.
        fault: "": none; "unflushed": no checkpoint flushes side files; "unnamed": none flushes
            their directory; "at once": what was dropped is unlinked without a checkpoint;
            "unfinished": no blob is flushed when it is closed.
        options: of the store.
    """

    def __init__(self, directory: str, fault: str = "", **options: Any) -> None:
        from objcache.records import _assembly

        assert hasattr(_assembly, "ASIDE_BUFFERS_BYTES")
        _assembly.ASIDE_BUFFERS_BYTES = _ASIDE_BYTES
        _break(fault)
        super().__init__(directory, **options)

    def _do(self, outer: Any, inner: Any, operation: Operation) -> None:
        key, tag, length = operation
        if length < _ASIDE_BYTES or not tag % 3:
            super()._do(outer, inner, operation)
            return
        place = inner if key.startswith(NAMESPACE) else outer
        with place.open_blob(key, "wb") as blob:
            blob._aside_bytes, blob._buffer = _ASIDE_BYTES, memoryview(bytearray(_ASIDE_BYTES))
            value = value_of(tag, length)
            if tag % 3 == 1:
                for start in range(0, length, 3000):
                    blob.write(value[start : start + 3000])
            else:
                with tempfile.NamedTemporaryFile() as source:
                    source.write(value)
                    source.flush()
                    blob.write_file(source.name)

    @staticmethod
    def _value(tag: int, length: int) -> Any:
        value = value_of(tag, length)
        return pickle.PickleBuffer(value) if length >= _ASIDE_BYTES else value

    def problems(self) -> list[str]:
        # Not those that the check collects: of what is in the directory nothing may be too much.
        environment = self.store._session.environment
        with environment.handle.begin() as transaction:
            known = known_names(transaction)
        extra = [name.hex() for name in environment.side.files.names() if name not in known]
        return [*super().problems(), *(f"file {name} belongs to nobody" for name in extra)]


def _break(fault: str) -> None:
    """Make the engine of this process do one thing wrong."""
    from objcache.engine import _side_keeper
    from objcache.engine._durability import Durability
    from objcache.engine._side_keeper import SideKeeper
    from objcache.engine.side_files import SideFiles

    changes: dict[str, Callable[[], object]] = {
        "": lambda: None,
        "unflushed": lambda: setattr(SideKeeper, "flush", lambda *_: None),
        "unnamed": lambda: setattr(SideFiles, "_sync_names", lambda *_: None),
        "unfinished": lambda: setattr(SideFiles, "finish", lambda *_: None),
        # A pin is a reader, too: it keeps what the number of the last checkpoint does.
        "at once": lambda: (
            setattr(Durability, "settled_up_to", lambda *_: 1 << 60),
            setattr(_side_keeper, "_oldest_reader", lambda *_: 1 << 60),
        ),
    }
    changes[fault]()


# -- the boot id that everything here goes by ------------------------------------------------------

_BOOT_ID_FILE: Final = "/proc/sys/kernel/random/boot_id"
_boot_id_file = _BOOT_ID_FILE


def boot_id() -> str:
    """Return the boot id of this process's machine, as far as it knows."""
    with open(_boot_id_file, encoding="ascii") as file:
        return file.read().strip()


def pretend_boot(file: str) -> None:
    """Let this process believe in the boot id in *file*; before anything is opened."""
    global _boot_id_file
    from objcache.engine import _boot

    _boot_id_file = _boot.BOOT_ID_FILE = file


# -- by name ---------------------------------------------------------------------------------------


def open_subject(name: str, directory: str, **more: Any) -> Subject:
    """Open the subject *name*: "store commit", "lmdb nosync", "prototype early" and so on."""
    family, _, mode = name.partition(" ")
    if family == "lmdb":
        return PlainLmdb(directory, mode)
    if family == "prototype":
        return Prototype(directory, mode, **more)
    mode, aside, fault = mode.partition(" aside")
    if aside:
        return AsideStore(directory, fault.strip(), durability=mode, **more)
    return ObjectStore(directory, durability=mode, **more)
