"""Encoded keys back to keys; bytes that are none are refused.

Knows: the encoding. Must not know: prefixes, limits. Never unpickles, never imports.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from objcache.errors import KeyEncodingError
from objcache.keys._codes import (
    AWARE_DATETIME,
    BIG_NEGATIVE,
    BIG_POSITIVE,
    BYTES,
    END,
    ESCAPE,
    EXTENSION,
    FALSE,
    FLOAT,
    INT_ZERO,
    MAX_DEPTH,
    NAIVE_DATETIME,
    NONE,
    STR,
    TRUE,
    TUPLE,
    UUID,
)
from objcache.keys._encode import encode_key

__all__ = ["decode_key"]

_DOUBLE: Final = struct.Struct(">d")
_U64: Final = struct.Struct(">Q")
_BIAS: Final = 1 << 63
_ALL_64: Final = (1 << 64) - 1

Decoded = tuple[Any, int]


def decode_key(encoded: bytes) -> Any:
    """Return the key that `encode_key` made *encoded* from.

    Raises:
        KeyEncodingError: these bytes are not what `encode_key` makes of any key.
    """
    # A text key, as most are: one search says that it has no escapes and ends where it should.
    if encoded[:1] == b"\x02" and encoded.find(b"\0") == len(encoded) - 1:
        try:
            return encoded[1:-1].decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise KeyEncodingError(f"not the bytes of a key: {error}") from error
    try:
        key, end = _decode(encoded, 0, 0)
        canonical = end == len(encoded) and encode_key(key) == encoded
    except KeyEncodingError:
        raise
    except (
        IndexError,
        struct.error,
        ValueError,
        OverflowError,
        TypeError,
        RecursionError,
    ) as error:
        raise KeyEncodingError(f"not the bytes of a key: {error}") from error
    if not canonical:
        raise KeyEncodingError(
            "not the bytes of a key: another encoding of it is the canonical one"
        )
    return key


def _decode(encoded: bytes, start: int, depth: int) -> Decoded:
    code = encoded[start]
    if code in {STR, BYTES}:
        content, end = _terminated(encoded, start + 1)
        return (content if code == BYTES else content.decode("utf-8", "surrogatepass")), end
    if INT_ZERO - 8 <= code <= INT_ZERO + 8:
        return _small_int(encoded, start, code - INT_ZERO)
    if code == TUPLE:
        return _tuple(encoded, start + 1, depth)
    if code == NONE:
        return None, start + 1
    if code in {FALSE, TRUE}:
        return code == TRUE, start + 1
    if code == FLOAT:
        (bits,) = _U64.unpack_from(encoded, start + 1)
        plain = bits ^ (_BIAS if bits & _BIAS else _ALL_64)
        return _DOUBLE.unpack(_U64.pack(plain))[0], start + 9
    if code in {BIG_NEGATIVE, BIG_POSITIVE}:
        return _big_int(encoded, start)
    return _rare(encoded, start, code, depth)


def _rare(encoded: bytes, start: int, code: int, depth: int) -> Decoded:
    if code == UUID:
        import uuid  # noqa: PLC0415  # loaded by those who use such keys

        return uuid.UUID(bytes=_exactly(encoded, start + 1, 16)), start + 17
    if code in {NAIVE_DATETIME, AWARE_DATETIME}:
        import datetime as dt  # noqa: PLC0415  # loaded by those who use such keys

        (biased,) = _U64.unpack_from(encoded, start + 1)
        zone = dt.UTC if code == AWARE_DATETIME else None
        epoch = dt.datetime(1970, 1, 1, tzinfo=zone)
        return epoch + dt.timedelta(microseconds=biased - _BIAS), start + 9
    if code == EXTENSION:
        end = encoded.index(b"\0", start + 1)
        name = encoded[start + 1 : end].decode("ascii")
        if encoded[end + 1] != TUPLE:
            raise KeyEncodingError("not the bytes of a key: an extension without parts")
        from objcache.keys.extended import value_of  # noqa: PLC0415  # rare types only

        parts, end = _tuple(encoded, end + 2, depth)
        return value_of(name, parts), end
    raise KeyEncodingError(f"not the bytes of a key: type code 0x{code:02x} at {start}")


def _tuple(encoded: bytes, start: int, depth: int) -> tuple[tuple[Any, ...], int]:
    if depth == MAX_DEPTH:
        raise KeyEncodingError(f"not the bytes of a key: nested deeper than {MAX_DEPTH}")
    parts: list[Any] = []
    while True:
        if encoded[start] == END:
            if encoded[start + 1 : start + 2] != b"\xff":
                return tuple(parts), start + 1
            parts.append(None)
            start += 2
        else:
            part, start = _decode(encoded, start, depth + 1)
            parts.append(part)


def _terminated(encoded: bytes, start: int) -> tuple[bytes, int]:
    end = encoded.index(b"\0", start)
    if encoded[end + 1 : end + 2] != b"\xff":
        return encoded[start:end], end + 1
    while encoded[end + 1 : end + 2] == bytes((ESCAPE,)):
        end = encoded.index(b"\0", end + 2)
    return encoded[start:end].replace(b"\0\xff", b"\0"), end + 1


def _small_int(encoded: bytes, start: int, size: int) -> Decoded:
    magnitude = int.from_bytes(_exactly(encoded, start + 1, abs(size)), "big")
    if size < 0:
        magnitude -= (1 << (8 * -size)) - 1
    return magnitude, start + 1 + abs(size)


def _big_int(encoded: bytes, start: int) -> Decoded:
    flip = 0xFF if encoded[start] == BIG_NEGATIVE else 0
    size, start = encoded[start + 1] ^ flip, start + 2
    if size == 255:
        size = int.from_bytes(bytes(b ^ flip for b in _exactly(encoded, start, 4)), "big")
        start += 4
    magnitude = int.from_bytes(_exactly(encoded, start, size), "big")
    if flip:
        magnitude -= (1 << (8 * size)) - 1
    return magnitude, start + size


def _exactly(encoded: bytes, start: int, size: int) -> bytes:
    part = encoded[start : start + size]
    if len(part) != size:
        raise KeyEncodingError(f"not the bytes of a key: {size} more expected at {start}")
    return part
