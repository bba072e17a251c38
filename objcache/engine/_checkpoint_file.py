"""The record of the last checkpoint, beside the data file: what a power cut leaves.

Knows: two slots, LMDB's meta pages, and how to put a file back to a checkpoint. Must not know:
when checkpoints are made.

docs/design/format.md draws the slot; docs/design/durability.md says why two are enough.
"""

# Annotations are not postponed: NamedTuple would compile each (bench/workloads/import_time.py).
import os
import struct
from typing import Final, NamedTuple

from blake3 import blake3

from objcache.engine._boot import boot_id
from objcache.engine._files import write_whole
from objcache.errors import CorruptStoreError

__all__ = [
    "CHECKPOINT",
    "CHECKPOINT_FILE_NAME",
    "SCRATCH",
    "CheckpointFile",
    "Record",
    "Restored",
    "checkpoint_of",
    "newest_id",
    "read_metas",
    "restore",
]

CHECKPOINT_FILE_NAME: Final = "checkpoint"

# On disk. Never renumber: docs/design/format.md, "The checkpoint file".
CHECKPOINT: Final = 1
SCRATCH: Final = 2

_MAGIC: Final = b"occkpt01"
_SLOT_BYTES: Final = 1 << 14
# All that LMDB ever writes of a meta page lies in its first sector.
_META_BYTES: Final = 512
_DIGEST_BYTES: Final = 32
#   0       8      9         12          16     32         40      48      56     64     576    1088
#   +-------+------+---------+-----------+------+----------+-------+-------+------+------+------+---
#   | magic | kind | 3 zeros | page size | boot | sequence | txnid | inode | size | meta | meta | BLAKE3
#   +-------+------+---------+-----------+------+----------+-------+-------+------+------+------+---
_SLOT: Final = struct.Struct(f">8sB3xI16sQQQQ{_META_BYTES}s{_META_BYTES}s")

# mdb.c: a page header of 16 bytes, then MDB_meta, in native byte order.
_META: Final = struct.Struct("=16xIIQQ")
_TRANSACTION: Final = struct.Struct("=Q")
_TRANSACTION_OFFSET: Final = 144
_LMDB_MAGIC: Final = 0xBEEFC0DE
_LMDB_VERSION: Final = 1


class Record(NamedTuple):
    """One slot.

    Attributes:
        kind: `CHECKPOINT`: the file is whole as these meta pages say; `SCRATCH`: nothing of it
            survives a power cut.
        page_bytes: the size of a page of the data file.
        boot: of the machine, when it was written.
        sequence: which of two slots is the newer one.
        transaction_id: of the checkpoint.
        inode: of the data file.
        file_bytes: its size, which a power cut does not make smaller. What its last page in use
            needs may be more: pages at the end that were freed again were never written.
        metas: the beginnings of its two meta pages.
    """

    kind: int
    page_bytes: int
    boot: bytes
    sequence: int
    transaction_id: int
    inode: int
    file_bytes: int
    metas: tuple[bytes, bytes]

    @property
    def is_of_this_boot(self) -> bool:
        """Whether the machine has not gone down since it was written."""
        return self.boot == boot_id()


class Restored(NamedTuple):
    """What a power cut has cost.

    Attributes:
        transaction_id: the checkpoint that was restored; 0 for a store that was emptied.
        lost_up_to: the last transaction after it that left a trace in the file, None if none did.
    """

    transaction_id: int
    lost_up_to: int | None


class CheckpointFile:
    """Two slots, written in turn.

    Args:
        directory: of the store.
        mode: of a new file; None to read only.
        create: make the file if it is missing.

    Attributes:
        flushed: the newest record that this process has flushed, as it stands there.

    Concurrency: the caller holds `checkpoint.lock`.
    """

    __slots__ = ("_descriptor", "flushed")

    def __init__(self, directory: str, mode: int | None, *, create: bool = False) -> None:
        path = os.path.join(directory, CHECKPOINT_FILE_NAME)
        flags = os.O_RDONLY if mode is None else os.O_RDWR | (os.O_CREAT if create else 0)
        self._descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, mode or 0)
        self.flushed: Record | None = None

    def newest(self) -> Record | None:
        """Return the newest record that is whole; None if there is none."""
        found = [record for record in map(self._read, (0, 1)) if record is not None]
        return max(found, key=lambda record: record.sequence, default=None)

    def write(self, record: Record) -> None:
        """Write *record*, one sequence after the newest, over the older slot; flush it.

        Raises:
            OSError: the older slot may be damaged, the newer one is as it was.
        """
        newest = self.newest()
        if newest is not None and newest != self.flushed:
            # Another process wrote it, and may have died before it flushed it; once the older
            # slot is overwritten, this one is all there is.
            os.fdatasync(self._descriptor)
            self.flushed = newest
        sequence = 1 if newest is None else newest.sequence + 1
        record = record._replace(sequence=sequence)
        write_whole(self._descriptor, _packed(record), sequence % 2 * _SLOT_BYTES)
        os.fdatasync(self._descriptor)
        self.flushed = record

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _read(self, number: int) -> Record | None:
        slot = os.pread(self._descriptor, _SLOT.size + _DIGEST_BYTES, number * _SLOT_BYTES)
        content, digest = slot[: _SLOT.size], slot[_SLOT.size :]
        if not content.startswith(_MAGIC) or blake3(content).digest() != digest:
            return None
        _, *fields, first, second = _SLOT.unpack(content)
        return Record._make([*fields, (first, second)])


def _packed(record: Record) -> bytes:
    content = _SLOT.pack(_MAGIC, *record[:-1], *record.metas)
    return content + blake3(content).digest()


# -- the data file ---------------------------------------------------------------------------


def read_metas(descriptor: int, page_bytes: int) -> tuple[bytes, bytes]:
    """Return the beginnings of the two meta pages."""
    return (
        os.pread(descriptor, _META_BYTES, 0),
        os.pread(descriptor, _META_BYTES, page_bytes),
    )


def checkpoint_of(
    descriptor: int, page_bytes: int, transaction_id: int, metas: tuple[bytes, bytes]
) -> Record:
    """Return the record of a checkpoint of the data file; `CheckpointFile.write` numbers it."""
    boot = boot_id()
    assert boot is not None  # else there are no checkpoints
    status = os.fstat(descriptor)
    return Record(
        kind=CHECKPOINT,
        page_bytes=page_bytes,
        boot=boot,
        sequence=0,
        transaction_id=transaction_id,
        inode=status.st_ino,
        file_bytes=status.st_size,
        metas=metas,
    )


def newest_id(metas: tuple[bytes, bytes]) -> int | None:
    """Return the transaction of the newer of two meta pages; None if neither is valid."""
    return max((_transaction_id(meta) for meta in metas if _is_valid(meta)), default=None)


def _is_valid(meta: bytes) -> bool:
    if len(meta) < _META_BYTES:
        return False
    magic, version, _, _ = _META.unpack_from(meta)
    return bool(magic == _LMDB_MAGIC and version == _LMDB_VERSION)


def _transaction_id(meta: bytes) -> int:
    (transaction_id,) = _TRANSACTION.unpack_from(meta, _TRANSACTION_OFFSET)
    return int(transaction_id)


def restore(file: str, record: Record) -> Restored | None:
    """Put the data file back to the checkpoint of *record*, unless it is there already.

    Raises:
        CorruptStoreError: the file cannot be the one that the record is about; nothing was changed.

    Cost: two flushes, if anything is to do. Doing it twice is doing it once.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        metas = read_metas(descriptor, record.page_bytes)
        if metas == record.metas:
            return None
        status = os.fstat(descriptor)
        newest = newest_id(metas)
        behind = newest is not None and newest < record.transaction_id
        if behind and all(map(_is_valid, metas)):
            # A checkpoint is noted after the file was flushed: a power cut leaves nothing older.
            if status.st_ino != record.inode:
                return None  # an older copy was put in its place: it is whole by itself
            raise CorruptStoreError(
                f"{file!r} ends with transaction {newest}, its checkpoint with "
                f"{record.transaction_id}: the file is older than the checkpoint beside it; "
                "restore both from one backup, or remove the file `checkpoint` if the data "
                "file is a whole copy"
            )
        if status.st_size < record.file_bytes:
            raise CorruptStoreError(
                f"{file!r} has {status.st_size} bytes, and had {record.file_bytes} at its "
                "checkpoint: it was cut off; restore it from a backup"
            )
        for number, meta in enumerate(record.metas):
            write_whole(descriptor, meta, number * record.page_bytes)
        os.fsync(descriptor)
        lost = newest if newest is not None and newest > record.transaction_id else None
        return Restored(record.transaction_id, lost)
    finally:
        os.close(descriptor)
