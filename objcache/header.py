"""The versioned header of a record: docs/design/format.md is normative.

Knows: the layout of the bytes before the payload. Must not know: what the payload means,
or whether it is authentic.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from objcache.errors import FormatError, UnsupportedFormatError

__all__ = [
    "BUFFERS",
    "BUFFER_ALIGNMENT",
    "COST",
    "DEADLINE",
    "DIGEST_BYTES",
    "FORMAT_VERSION",
    "FULL_KEY",
    "HEADER_BYTES",
    "MAC_BYTES",
    "MAC_END",
    "MOMENT",
    "SIGNED",
    "TAGS",
    "Buffer",
    "Header",
    "aligned",
    "pack_fields",
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
_KNOWN_FLAGS: Final = SIGNED | DEADLINE | TAGS | FULL_KEY | BUFFERS | COST


class Buffer(NamedTuple):
    """One out-of-band buffer: where it lies in the record, and the BLAKE3 of its bytes."""

    start: int
    end: int
    digest: bytes


class Header(NamedTuple):
    """What a record says about itself before its payload."""

    codec_id: int
    codec_version: int
    flags: int
    mac: bytes
    deadline_us: int | None
    cost_us: int | None
    tags: tuple[str, ...]
    full_key: bytes
    buffers: tuple[Buffer, ...]
    payload_start: int
    payload_end: int


def aligned(offset: int) -> int:
    """Return the first multiple of `BUFFER_ALIGNMENT` that is not below *offset*."""
    return -(-offset // BUFFER_ALIGNMENT) * BUFFER_ALIGNMENT


def pack_prefix(codec_id: int, codec_version: int, flags: int) -> bytes:
    """Return the first `HEADER_BYTES` bytes of a record."""
    return _PREFIX.pack(MAGIC, FORMAT_VERSION, codec_id, codec_version, 0, flags)


def pack_fields(
    *,
    deadline_us: int | None = None,
    cost_us: int | None = None,
    tags: tuple[str, ...] = (),
    full_key: bytes = b"",
    payload_bytes: int = 0,
    buffers: tuple[tuple[int, bytes], ...] = (),
) -> tuple[int, bytes]:
    """Return the flags and the bytes of the optional fields that have something to say.

    Args:
        deadline_us: microseconds since the Unix epoch, 0 to 2**64 - 1.
        cost_us: microseconds that it took to compute the value, 0 to 2**64 - 1.
        tags: at most 65,535 tags of at most 65,535 UTF-8 bytes.
        full_key: the encoded key, where the engine key is a shortened one.
        payload_bytes: the size of the payload, recorded only before buffers.
        buffers: size and BLAKE3 digest of each out-of-band buffer.
    """
    flags = 0
    parts: list[bytes] = []
    if deadline_us is not None:
        flags |= DEADLINE
        parts.append(MOMENT.pack(deadline_us))
    if cost_us is not None:
        flags |= COST
        parts.append(MOMENT.pack(cost_us))
    if tags:
        flags |= TAGS
        parts.append(_U16.pack(len(tags)))
        for tag in tags:
            text = tag.encode()
            parts += (_U16.pack(len(text)), text)
    if full_key:
        flags |= FULL_KEY
        parts += (_U32.pack(len(full_key)), full_key)
    if buffers:
        flags |= BUFFERS
        parts.append(_BUFFER_TABLE.pack(len(buffers), payload_bytes))
        parts += (_BUFFER.pack(size, digest) for size, digest in buffers)
    return flags, b"".join(parts)


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
    deadline_us = None
    if flags & DEADLINE:
        (deadline_us,) = MOMENT.unpack_from(record, offset)
        offset += MOMENT.size
    cost_us = None
    if flags & COST:
        (cost_us,) = MOMENT.unpack_from(record, offset)
        offset += MOMENT.size
    tags: tuple[str, ...] = ()
    if flags & TAGS:
        tags, offset = _unpack_tags(record, offset)
    full_key = b""
    if flags & FULL_KEY:
        (size,) = _U32.unpack_from(record, offset)
        full_key = _take(record, offset + _U32.size, size)
        offset += _U32.size + size
    buffers: tuple[Buffer, ...] = ()
    payload_start, payload_end = offset, len(record)
    if flags & BUFFERS:
        payload_start, payload_end, buffers = _unpack_buffers(record, offset)
    return Header(
        codec_id,
        codec_version,
        flags,
        mac,
        deadline_us,
        cost_us,
        tags,
        full_key,
        buffers,
        payload_start,
        payload_end,
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


def _unpack_buffers(record: bytes, offset: int) -> tuple[int, int, tuple[Buffer, ...]]:
    count, payload_bytes = _BUFFER_TABLE.unpack_from(record, offset)
    offset += _BUFFER_TABLE.size
    payload_start = offset + count * _BUFFER.size
    payload_end = position = payload_start + payload_bytes
    if payload_end > len(record):
        raise FormatError(
            f"a payload up to {payload_end} ends after the record's {len(record)} bytes"
        )
    buffers = []
    for _ in range(count):
        size, digest = _BUFFER.unpack_from(record, offset)
        offset += _BUFFER.size
        start = aligned(position)
        position = start + size
        buffers.append(Buffer(start, position, digest))
    if position != len(record):
        raise FormatError(f"buffers up to {position} do not fill the record's {len(record)} bytes")
    return payload_start, payload_end, tuple(buffers)
