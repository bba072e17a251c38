"""Blobs: values that are bytes, too long for memory, and their bytes one after the other.

Knows: how a blob is recorded, and how its bytes are compared while they are read. Must not know:
keys, and where records are kept.

A blob is an ordinary record of the codec `raw`. One that is long lies in a side file, as its payload.
"""

# Annotations are not postponed: NamedTuple would compile each (bench/workloads/import_time.py).
import io
import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from objcache.codecs import CodecId
from objcache.errors import BlobError, CorruptRecordError
from objcache.header import Header, pack_parts
from objcache.protocols import Files
from objcache.signing import stream_digest

if TYPE_CHECKING:
    from objcache.records._records import Records

__all__ = [
    "PIECE_BYTES",
    "BlobContent",
    "SideStream",
    "blob_record",
    "blobs_aside_from",
    "check_side_file",
    "check_value",
    "is_blob",
    "read_blob",
    "value_stream",
]

_CODEC: Final = int(CodecId.RAW), 0
PIECE_BYTES: Final = 1 << 20
"""What is read or written, and hashed, at once: it stays in the processor's cache meanwhile."""


class BlobContent(NamedTuple):
    """The bytes of a blob that was written.

    Attributes:
        payload: all of them, where they are few.
        side_file: else the name of the file where they lie.
        size_bytes: how many lie there.
        digest: their BLAKE3.
    """

    payload: bytes = b""
    side_file: bytes = b""
    size_bytes: int = 0
    digest: bytes = b""


def is_blob(header: Header) -> bool:
    """Return whether the bytes of a side file, as they are, are the value of its record."""
    return (
        header.payload_aside
        and not header.compression
        and len(header.buffers) == 1
        and (header.codec_id, header.codec_version) == _CODEC
    )


def blobs_aside_from(records: "Records") -> int:
    """Return from how many bytes on a blob lies in a side file."""
    return records._assembly.aside_payload_bytes  # noqa: SLF001  # the other half of one class


def blob_record(
    records: "Records", engine_key: bytes, content: BlobContent, fields: tuple[int, bytes]
) -> bytes:
    """Return the signed record of a blob; it is not compressed, so that one can seek in it.

    Args:
        records: of the store.
        engine_key: where it will lie.
        content: its bytes.
        fields: what `pack_fields` has returned.
    """
    flags, signed = fields
    if content.side_file:
        part_flags, parts = pack_parts(
            buffers=((content.size_bytes, content.digest),),
            side_file=content.side_file,
            payload_aside=True,
        )
        flags, signed = flags | part_flags, signed + parts
    assembly = records._assembly  # noqa: SLF001  # as above
    return assembly.signed(engine_key, _CODEC, flags, signed + content.payload)


def read_blob(key: object, header: Header, files: Files) -> bytes:
    """Return all bytes of a blob in a side file.

    Raises:
        CorruptRecordError: they were altered.
        SideFileMissingError: the file is gone.

    Cost: each byte is copied once.
    """
    with SideStream(key, header, files) as stream, io.BufferedReader(stream) as reader:
        return reader.read(stream.size)


def value_stream(
    records: "Records", key: object, header: Header, record: bytes, *, verify: bool
) -> tuple[io.RawIOBase | io.BytesIO, int]:
    """Return the bytes that are the value of a *record*, as a stream, and how many there are.

    Args:
        records: of the store.
        key: for messages.
        header: of the record, as `Records.authenticate` has returned it.
        record: the bytes found.
        verify: read all of a side file now, and compare it.

    Raises:
        BlobError: the value is something else than bytes.
        SideFileMissingError, CorruptRecordError, UnsupportedFormatError, DecodeError:
            as for `Records.load`.

    Cost: a value that was not written as a blob is read into memory.
    """
    files = records._files  # noqa: SLF001  # as above
    if files is not None and is_blob(header):
        stream = SideStream(key, header, files)
        try:
            if verify:
                stream.verify()
        except BaseException:
            stream.close()
            raise
        return stream, stream.size
    value = records.load(key, header, record)
    if not isinstance(value, bytes | bytearray):
        raise BlobError(key, f"is a value of type {type(value).__name__}, not bytes")
    return io.BytesIO(value), len(value)


def check_value(records: "Records", key: object, header: Header, record: bytes) -> None:
    """Read the value of a *record* as `Records.load` does; a blob is compared piece by piece.

    Raises:
        SideFileMissingError, CorruptRecordError, UnsupportedFormatError, DecodeError: as there.
    """
    files = records._files  # noqa: SLF001  # as above
    if files is None or not is_blob(header):
        records.load(key, header, record)
        return
    with SideStream(key, header, files) as stream:
        stream.verify()


def check_side_file(records: "Records", header: Header) -> None:
    """Look whether the side file of a record is there, if it has one; nothing of it is read.

    Raises:
        SideFileMissingError: it is not, or it is shorter than it was.
        StoreError: it cannot be opened.
    """
    files = records._files  # noqa: SLF001  # as above
    if files is not None and header.side_file:
        os.close(files.reading(header.side_file, header.side_file_bytes))


class SideStream(io.RawIOBase):
    """The bytes of a blob in a side file, read by a descriptor: it goes on when the file is gone.

    Who reads from the first byte to the last in order gets the bytes that were stored, or
    `CorruptRecordError` in the place of the last ones.

    Args:
        key: for messages.
        header: of an authentic record, for which `is_blob` is true.
        files: where the file is.

    Attributes:
        size: how many bytes there are.

    Raises:
        SideFileMissingError: the file is gone, or shorter than it was.
        StoreError: it cannot be read.

    Concurrency: one thread at a time; after fork() parent and child each read on by themselves.
    """

    def __init__(self, key: object, header: Header, files: Files) -> None:
        super().__init__()
        self._descriptor = -1
        (part,) = header.buffers
        self.size = part.end
        self._key = key
        self._name = header.side_file.hex()
        self._expected = part.digest
        self._files = files
        self._position = 0
        self._hasher = stream_digest()
        self._hashed_bytes = 0
        self._altered = False
        self._descriptor = files.reading(header.side_file, part.end)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return where the next byte is read."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to *offset*, from the start, from here, or from the end; return where that is.

        Raises:
            ValueError: before the start.
        """
        starts = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}
        if whence not in starts or starts[whence] + offset < 0:
            raise ValueError(f"cannot seek to {offset} from {whence}")
        self._position = starts[whence] + offset
        return self._position

    def readinto(self, target: Any, /) -> int:
        """Read up to a MiB into *target*; return how many bytes, 0 at the end.

        Raises:
            CorruptRecordError: the bytes up to here are not those that were stored.
            StoreError: they cannot be read.
        """
        position = self._position
        wanted = min(len(target), self.size - position, PIECE_BYTES)
        if wanted <= 0:
            return 0
        with memoryview(target)[:wanted] as piece:
            count = self._files.read_into(self._descriptor, piece, position)
            if not count:
                raise self._corrupt("cut short")
            self._compare(piece[:count], position)
        self._position += count
        return count

    def _compare(self, piece: memoryview, position: int) -> None:
        if position == 0:  # from the start once more
            self._hasher, self._hashed_bytes = stream_digest(), 0
        end = position + len(piece)
        if position <= self._hashed_bytes < end:
            self._hasher.update(piece[self._hashed_bytes - position :])
            self._hashed_bytes = end
            if end == self.size and self._hasher.digest() != self._expected:
                self._altered = True
        if self._altered:
            raise self._corrupt("altered")

    def _corrupt(self, how: str) -> CorruptRecordError:
        return CorruptRecordError(self._key, f"buffer 0 of its side file {self._name} was {how}")

    def verify(self) -> None:
        """Read all of it, and compare.

        Raises:
            CorruptRecordError, StoreError: as `readinto`.
        """
        piece = bytearray(min(self.size, PIECE_BYTES))
        self._position = 0
        while self.readinto(piece):
            pass
        self._position = 0

    def close(self) -> None:
        """Let the file go. Idempotent."""
        super().close()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
