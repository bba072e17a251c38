"""The versioned header of a record: docs/design/format.md is normative.

Knows: the layout of the bytes before the payload. Must not know: what the payload means,
or whether it is authentic.
"""

# Annotations are not postponed: NamedTuple would compile each (bench/workloads/import_time.py).
import struct
from typing import Final, NamedTuple

from objcache.errors import FormatError, UnsupportedFormatError

__all__ = [
    "BUFFERS",
    "BUFFER_ALIGNMENT",
    "COMPRESSED",
    "COST",
    "CREATED",
    "DEADLINE",
    "DIGEST_BYTES",
    "FORMAT_VERSION",
    "FULL_KEY",
    "HEADER_BYTES",
    "MAC_BYTES",
    "MAC_END",
    "MOMENT",
    "SIDE_FILE",
    "SIDE_NAME_BYTES",
    "SIGNED",
    "TAGS",
    "Buffer",
    "Header",
    "aligned",
    "pack_fields",
    "pack_parts",
    "pack_prefix",
    "unpack",
]

#   0        2         3          4           5        6       8                24
#   +--------+---------+----------+-----------+--------+-------+----------------+--------
#   | "oc"   | format  | codec id | codec     | zero   | flags | MAC            | fields,
#   |        | version |          | version   |        | u16   | 16 bytes       | payload
#   +--------+---------+----------+-----------+--------+-------+----------------+--------
_PREFIX: Final = struct.Struct(">2sBBBBH")
_U16: Final = struct.Struct(">H")
_U32: Final = struct.Struct(">I")
MOMENT: Final = struct.Struct(">Q")
_BUFFER_TABLE: Final = struct.Struct(">IQ")
_BUFFER: Final = struct.Struct(">Q32s")
_SIDE_FILE: Final = struct.Struct(">16sB")

MAGIC: Final = b"oc"
FORMAT_VERSION: Final = 1
HEADER_BYTES: Final = 8
MAC_BYTES: Final = 16
MAC_END: Final = HEADER_BYTES + MAC_BYTES
DIGEST_BYTES: Final = 32
BUFFER_ALIGNMENT: Final = 64

# On disk. Never renumber, never reuse, only append: docs/design/format.md, "Flags".
SIGNED: Final = 1
DEADLINE: Final = 2
TAGS: Final = 4
FULL_KEY: Final = 8
BUFFERS: Final = 16
COST: Final = 32
CREATED: Final = 64
SIDE_FILE: Final = 128
COMPRESSED: Final = 256
_KNOWN_FLAGS: Final = (
    SIGNED | DEADLINE | TAGS | FULL_KEY | BUFFERS | COST | CREATED | SIDE_FILE | COMPRESSED
)
_PARTS: Final = BUFFERS | SIDE_FILE | COMPRESSED
SIDE_NAME_BYTES: Final = 16


class Buffer(NamedTuple):
    """One out-of-band buffer: where it lies, and the BLAKE3 of the bytes that lie there.

    In the record, or in the side file of one that has one. `raw_bytes` is its size once
    decompressed, 0 where it is stored as it is.
    """

    start: int
    end: int
    digest: bytes
    raw_bytes: int = 0


class Header(NamedTuple):
    """What a record says about itself before its payload."""

    codec_id: int
    codec_version: int
    flags: int
    mac: bytes
    deadline_us: int | None
    cost_us: int | None
    created_us: int | None
    tags: tuple[str, ...]
    full_key: bytes
    buffers: tuple[Buffer, ...]
    payload_start: int
    payload_end: int
    side_file: bytes = b""
    payload_aside: bool = False
    compression: int = 0
    payload_raw_bytes: int = 0

    @property
    def raw_sizes(self) -> tuple[int, ...]:
        """The size of the payload and of each buffer, as `pack_parts` takes them."""
        return self.payload_raw_bytes, *(buffer.raw_bytes for buffer in self.buffers)

    @property
    def side_file_bytes(self) -> int:
        """The size of the side file; 0 without one."""
        return self.buffers[-1].end if self.side_file and self.buffers else 0


def aligned(offset: int) -> int:
    """Return the first multiple of `BUFFER_ALIGNMENT` that is not below *offset*."""
    return -(-offset // BUFFER_ALIGNMENT) * BUFFER_ALIGNMENT


def pack_prefix(codec_id: int, codec_version: int, flags: int) -> bytes:
    """Return the first `HEADER_BYTES` bytes of a record."""
    return _PREFIX.pack(MAGIC, FORMAT_VERSION, codec_id, codec_version, 0, flags)


def pack_fields(
    deadline_us: int | None = None,
    cost_us: int | None = None,
    created_us: int | None = None,
    tags: tuple[str, ...] = (),
    full_key: bytes = b"",
) -> tuple[int, bytes]:
    """Return the flags and the bytes of the optional fields that have something to say.

    Args:
        deadline_us: microseconds since the Unix epoch, 0 to 2**64 - 1.
        cost_us: microseconds that it took to compute the value, 0 to 2**64 - 1.
        created_us: when it was stored, microseconds since the Unix epoch, 0 to 2**64 - 1.
        tags: at most 65,535 tags of at most 65,535 UTF-8 bytes.
        full_key: the encoded key, where the engine key is a shortened one.
    """
    flags = 0
    fields: list[bytes] = []
    if deadline_us is not None:
        flags |= DEADLINE
        fields.append(MOMENT.pack(deadline_us))
    if cost_us is not None:
        flags |= COST
        fields.append(MOMENT.pack(cost_us))
    if created_us is not None:
        flags |= CREATED
        fields.append(MOMENT.pack(created_us))
    if tags:
        flags |= TAGS
        fields.append(_U16.pack(len(tags)))
        for tag in tags:
            text = tag.encode()
            fields += (_U16.pack(len(text)), text)
    if full_key:
        flags |= FULL_KEY
        fields += (_U32.pack(len(full_key)), full_key)
    return flags, b"".join(fields)


def pack_parts(
    *,
    payload_bytes: int = 0,
    buffers: tuple[tuple[int, bytes], ...] = (),
    side_file: bytes = b"",
    payload_aside: bool = False,
    compression: int = 0,
    raw_sizes: tuple[int, ...] = (),
) -> tuple[int, bytes]:
    """Return the flags and the bytes of the fields, behind all others, that tell of its parts.

    Args:
        payload_bytes: the size of the payload, recorded only before buffers.
        buffers: size and BLAKE3 digest of each out-of-band buffer.
        side_file: the name of the file where the buffers lie, `SIDE_NAME_BYTES` long.
        payload_aside: the payload lies there too, as the first of *buffers*.
        compression: the id of the algorithm, 0 where nothing is compressed.
        raw_sizes: of the payload and each buffer, once decompressed; 0 for what is as it is.
    """
    flags = 0
    fields: list[bytes] = []
    if side_file:
        flags |= SIDE_FILE
        fields.append(_SIDE_FILE.pack(side_file, payload_aside))
    if buffers:
        flags |= BUFFERS
        fields.append(_BUFFER_TABLE.pack(len(buffers), payload_bytes))
        fields += (_BUFFER.pack(size, digest) for size, digest in buffers)
    if compression:
        flags |= COMPRESSED
        fields.append(struct.pack(f">B{len(raw_sizes)}Q", compression, *raw_sizes))
    return flags, b"".join(fields)


def unpack(record: bytes) -> Header:
    """Return the header of *record*.

    Raises:
        UnsupportedFormatError: a newer format version, or a flag of one.
        FormatError: the bytes are not a record, or end too early.

    Nothing of it may be believed before the MAC was checked, not even the sizes: each is
    checked against the bytes that are there.
    """
    try:
        return _unpack(record)
    except (struct.error, UnicodeDecodeError) as error:
        raise FormatError(
            f"a record of {len(record)} bytes has a damaged header: {error}"
        ) from error


def _unpack_prefix(record: bytes) -> tuple[int, int, int]:
    """Return codec id, codec version and flags."""
    magic, version, codec_id, codec_version, zero, flags = _PREFIX.unpack_from(record)
    if magic != MAGIC:
        raise FormatError(f"a record begins with {MAGIC!r}, found {magic!r}")
    if version > FORMAT_VERSION:
        raise UnsupportedFormatError("record format", version, FORMAT_VERSION)
    if version == 0 or zero:
        raise FormatError(
            f"a record of format {FORMAT_VERSION} was expected, found {version}.{zero}"
        )
    if flags & ~_KNOWN_FLAGS:
        raise UnsupportedFormatError("record flags", flags, _KNOWN_FLAGS)
    return codec_id, codec_version, flags


def _unpack(record: bytes) -> Header:
    codec_id, codec_version, flags = _unpack_prefix(record)
    offset = HEADER_BYTES
    mac = b""
    if flags & SIGNED:
        mac = _take(record, offset, MAC_BYTES)
        offset = MAC_END
    deadline_us = cost_us = created_us = None
    if flags & DEADLINE:
        (deadline_us,) = MOMENT.unpack_from(record, offset)
        offset += MOMENT.size
    if flags & COST:
        (cost_us,) = MOMENT.unpack_from(record, offset)
        offset += MOMENT.size
    if flags & CREATED:
        (created_us,) = MOMENT.unpack_from(record, offset)
        offset += MOMENT.size
    tags: tuple[str, ...] = ()
    if flags & TAGS:
        tags, offset = _unpack_tags(record, offset)
    full_key = b""
    if flags & FULL_KEY:
        (size,) = _U32.unpack_from(record, offset)
        full_key = _take(record, offset + _U32.size, size)
        offset += _U32.size + size
    return Header(
        codec_id,
        codec_version,
        flags,
        mac,
        deadline_us,
        cost_us,
        created_us,
        tags,
        full_key,
        *(_unpack_parts(record, offset, flags) if flags & _PARTS else ((), offset, len(record))),
    )


def _take(record: bytes, start: int, size: int) -> bytes:
    part = record[start : start + size]
    if len(part) != size:
        raise FormatError(
            f"a field of {size} bytes at {start} ends after the record's {len(record)}"
        )
    return bytes(part)


def _unpack_tags(record: bytes, offset: int) -> tuple[tuple[str, ...], int]:
    (count,) = _U16.unpack_from(record, offset)
    offset += _U16.size
    tags = []
    for _ in range(count):
        (size,) = _U16.unpack_from(record, offset)
        tags.append(_take(record, offset + _U16.size, size).decode())
        offset += _U16.size + size
    return tuple(tags), offset


def _unpack_parts(
    record: bytes, offset: int, flags: int
) -> tuple[tuple[Buffer, ...], int, int, bytes, bool, int, int]:
    """Return all that a `Header` says from its buffers on."""
    side_file, kind = b"", 0
    if flags & SIDE_FILE:
        side_file, kind = _SIDE_FILE.unpack_from(record, offset)
        offset += _SIDE_FILE.size
        if kind > 1 or not flags & BUFFERS:
            raise FormatError(f"a record names a side file of kind {kind} and no buffers")
    count, payload_bytes, table = 0, 0, offset
    if flags & BUFFERS:
        count, payload_bytes = _BUFFER_TABLE.unpack_from(record, offset)
        table += _BUFFER_TABLE.size
        offset = table + count * _BUFFER.size
    compression, raw_sizes, start = _unpack_raw_sizes(record, offset, flags, count)
    end = start + payload_bytes if flags & BUFFERS else len(record)
    if end > len(record):
        raise FormatError(f"a payload up to {end} ends after the record's {len(record)} bytes")
    buffers: tuple[Buffer, ...] = ()
    if flags & BUFFERS:
        buffers = _unpack_buffers(record, table, raw_sizes[1:], 0 if side_file else end)
        filled = buffers[-1].end if buffers and not side_file else end
        if filled != len(record) or (side_file and not buffers):
            raise FormatError(
                f"{count} buffers up to {filled} do not fill the record's {len(record)} bytes"
            )
    return buffers, start, end, side_file, kind == 1, compression, raw_sizes[0]


def _unpack_raw_sizes(
    record: bytes, offset: int, flags: int, count: int
) -> tuple[int, tuple[int, ...], int]:
    """Return the compression, the sizes of the payload and of *count* buffers, and the end."""
    if offset > len(record):
        raise FormatError(f"a table of {count} buffers ends after the record's {len(record)} bytes")
    if not flags & COMPRESSED:
        return 0, (0,) * (count + 1), offset
    compression, *raw_sizes = struct.unpack_from(f">B{count + 1}Q", record, offset)
    if not compression:
        raise FormatError("a record is compressed by no algorithm")
    return compression, tuple(raw_sizes), offset + 1 + (count + 1) * MOMENT.size


def _unpack_buffers(
    record: bytes, table: int, raw_sizes: tuple[int, ...], position: int
) -> tuple[Buffer, ...]:
    """Return the buffers of the table at *table*; the first lies at *position* or soon after."""
    buffers = []
    for raw_bytes in raw_sizes:
        size, digest = _BUFFER.unpack_from(record, table)
        table += _BUFFER.size
        start = aligned(position)
        position = start + size
        buffers.append(Buffer(start, position, digest, raw_bytes))
    return tuple(buffers)
