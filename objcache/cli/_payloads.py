"""What is in an encoded value, told without decoding it.

Knows: what the first bytes of each codec say. Must not know: terminals.
"""

from __future__ import annotations

from typing import Final

from objcache.codecs import CodecId, PickleShape, shape_of_pickle
from objcache.errors import ObjcacheError
from objcache.store import RawRecord, RawRecords

__all__ = ["pickle_shape", "type_of"]

_LOOKED_AT_BYTES: Final = 400
_LOOKED_AT_OPCODES: Final = 10_000
_LARGEST_BYTES: Final = 1 << 24

_JSON: Final = {
    ord("{"): "dict",
    ord("["): "list",
    ord('"'): "str",
    ord("t"): "bool",
    ord("f"): "bool",
    ord("n"): "None",
}


def pickle_shape(records: RawRecords, raw: RawRecord) -> PickleShape | None:
    """Return what the pickle of a record would make; None if it is no pickle.

    Raises:
        FormatError, CorruptStoreError, StoreError, MissingExtraError: it cannot be looked at.
    """
    if raw.header is None or raw.header.codec_id != CodecId.PICKLE:
        return None  # a blob may be larger than memory
    return shape_of_pickle(records.payload(raw))


def type_of(records: RawRecords, raw: RawRecord) -> str:
    """Return the name of the type of a record's value, as its bytes tell it; "?" if they do not."""
    header = raw.header
    if header is None:
        return "?"
    if header.codec_id == CodecId.RAW:
        return "bytes"
    aside_bytes = header.buffers[0].end if header.payload_aside else 0
    if max(aside_bytes, header.payload_raw_bytes) > _LARGEST_BYTES:
        return "?"  # it would have to be read, or decompressed, as a whole
    try:
        payload = records.payload(raw)
    except ObjcacheError:
        return "?"
    if header.codec_id == CodecId.PICKLE:
        root = shape_of_pickle(payload, most_opcodes=_LOOKED_AT_OPCODES).root
        return f"type {root.text}" if root.kind == "class" else root.kind
    if header.codec_id == CodecId.JSON:
        return _json_type(bytes(payload[:_LOOKED_AT_BYTES]))
    if header.codec_id == CodecId.MSGPACK:
        return _msgpack_type(payload[0]) if payload else "?"
    return "?"


def _json_type(payload: bytes) -> str:
    first = payload.lstrip()[:1]
    if not first:
        return "?"
    number = "float" if any(letter in payload for letter in b".eEIN") else "int"
    return _JSON.get(first[0], number)


def _msgpack_type(first: int) -> str:
    """Return what a value begins with, by the MessagePack specification."""
    for below, name in _MSGPACK:
        if first < below:
            return name
    return "int"


_MSGPACK: Final = (
    *((0x80, "int"), (0x90, "dict"), (0xA0, "list"), (0xC0, "str"), (0xC1, "None"), (0xC2, "?")),
    *((0xC4, "bool"), (0xC7, "bytes"), (0xCA, "extension"), (0xCC, "float"), (0xD4, "int")),
    *((0xD9, "extension"), (0xDC, "str"), (0xDE, "list"), (0xE0, "dict")),
)
