"""Encoded keys back to keys; bytes that are none are refused.

Knows: the encoding. Must not know: prefixes, limits. Never unpickles.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

from objcache.errors import KeyEncodingError
from objcache.keys._codes import (
    ALL_64_BITS,
    AWARE_DATETIME,
    BIG_NEGATIVE,
    BIG_POSITIVE,
    BYTES,
    EXTENSION,
    FALSE,
    FLOAT,
    INT_ZERO,
    LONG_LENGTH,
    LONG_LENGTH_BYTES,
    MAX_DEPTH,
    NAIVE_DATETIME,
    NAN_BITS,
    NONE,
    SIGN_BIT,
    STR,
    TRUE,
    TUPLE,
    UUID,
)
from objcache.keys._encode import encode_key

__all__ = ["decode_key", "decode_ordered_key", "decode_without_classes"]

_DOUBLE: Final = struct.Struct(">d")
_U64: Final = struct.Struct(">Q")
_MINUS_ZERO: Final = SIGN_BIT - 1
"""What -0.0 would be written as, were it not 0.0."""
_NOT_A_KEY: Final = "not the bytes of a key"

Decoded = tuple[Any, int]
Decoders = Mapping[int, Callable[[bytes, int, int, Any], Decoded]]
# A decoder gets the bytes, where its code stands, the depth, and the decoders of parts.


def decode_key(encoded: bytes) -> Any:
    """Return the key that `encode_key` made *encoded* from.

    Raises:
        KeyEncodingError: these bytes are not what `encode_key` makes of any key, or the key
            needs a class whose module is not loaded.
    """
    return _whole(encoded, _ALL)


def decode_without_classes(encoded: bytes) -> Any:
    """Return the same, with `Unloaded` in the place of instances of the user's classes.

    Raises:
        KeyEncodingError: these bytes are not what `encode_key` makes of any key.
    """
    return _whole(encoded, _WITHOUT_CLASSES)


def decode_ordered_key(encoded: bytes) -> Any:
    """Return the same for a key that has an order; no class of the user's has a part in it.

    Raises:
        KeyEncodingError: these bytes are not what `encode_key` makes of any such key.
    """
    return _whole(encoded, _ORDERED)


def _whole(encoded: bytes, decoders: Decoders) -> Any:
    # A text key, as most are: one search says that it has no escapes and ends where it should.
    if encoded[:1] == b"\x02" and encoded.find(b"\0") == len(encoded) - 1:
        try:
            return encoded[1:-1].decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise KeyEncodingError(f"{_NOT_A_KEY}: {error}") from error
    try:
        return _canonical(encoded, decoders)
    except KeyEncodingError:
        raise
    # Whatever bytes, or the classes that they name, can raise.
    except Exception as error:
        raise KeyEncodingError(f"{_NOT_A_KEY}: {error}") from error


def _canonical(encoded: bytes, decoders: Decoders) -> Any:
    key, end = decoders.get(encoded[0], _unknown)(encoded, 0, 0, decoders)
    if end != len(encoded):
        raise KeyEncodingError(f"{_NOT_A_KEY}: {len(encoded) - end} bytes follow one")
    # Decoders of ordered types accept one encoding only; values with parts are encoded again.
    if decoders is not _ORDERED and EXTENSION in encoded and encode_key(key) != encoded:
        raise _overlong(0)
    return key


def _overlong(start: int) -> KeyEncodingError:
    return KeyEncodingError(f"{_NOT_A_KEY}: at {start} another encoding is the canonical one")


def _unknown(encoded: bytes, start: int, _depth: int, _decoders: Decoders) -> Decoded:
    raise KeyEncodingError(f"{_NOT_A_KEY}: type code 0x{encoded[start]:02x} at {start}")


def _none(_encoded: bytes, start: int, _depth: int, _decoders: Decoders) -> Decoded:
    return None, start + 1


def _false(_encoded: bytes, start: int, _depth: int, _decoders: Decoders) -> Decoded:
    return False, start + 1


def _true(_encoded: bytes, start: int, _depth: int, _decoders: Decoders) -> Decoded:
    return True, start + 1


def _bytes(encoded: bytes, start: int, _depth: int, _decoders: Decoders) -> Decoded:
    start += 1
    end = encoded.index(b"\0", start)
    if encoded[end + 1 : end + 2] != b"\xff":
        return encoded[start:end], end + 1
    while encoded[end + 1 : end + 2] == b"\xff":
        end = encoded.index(b"\0", end + 2)
    return encoded[start:end].replace(b"\0\xff", b"\0"), end + 1


def _str(encoded: bytes, start: int, depth: int, decoders: Decoders) -> Decoded:
    text, end = _bytes(encoded, start, depth, decoders)
    return text.decode("utf-8", "surrogatepass"), end


def _tuple(encoded: bytes, start: int, depth: int, decoders: Decoders) -> Decoded:
    if depth == MAX_DEPTH:
        raise KeyEncodingError(f"{_NOT_A_KEY}: nested deeper than {MAX_DEPTH}")
    parts: list[Any] = []
    start += 1
    while True:
        code = encoded[start]
        if code:
            part, start = decoders.get(code, _unknown)(encoded, start, depth + 1, decoders)
            parts.append(part)
        elif encoded[start + 1 : start + 2] == b"\xff":
            parts.append(None)
            start += 2
        else:
            return tuple(parts), start + 1


def _zero(_encoded: bytes, start: int, _depth: int, _decoders: Decoders) -> Decoded:
    return 0, start + 1


def _positive(encoded: bytes, start: int, _depth: int, _decoders: Decoders) -> Decoded:
    return _magnitude(encoded, start + 1, encoded[start] - INT_ZERO, 0)


def _negative(encoded: bytes, start: int, _depth: int, _decoders: Decoders) -> Decoded:
    return _magnitude(encoded, start + 1, INT_ZERO - encoded[start], 0xFF)


def _big(encoded: bytes, start: int, _depth: int, _decoders: Decoders) -> Decoded:
    flip = 0xFF if encoded[start] == BIG_NEGATIVE else 0
    size, begin, shortest = encoded[start + 1] ^ flip, start + 2, 9
    if size == LONG_LENGTH:
        length = _exactly(encoded, begin, LONG_LENGTH_BYTES)
        size = int.from_bytes(bytes(byte ^ flip for byte in length), "big")
        begin, shortest = begin + LONG_LENGTH_BYTES, LONG_LENGTH
    if size < shortest:
        raise _overlong(start)
    return _magnitude(encoded, begin, size, flip)


def _magnitude(encoded: bytes, start: int, size: int, flip: int) -> Decoded:
    if encoded[start] == flip:  # a leading zero
        raise _overlong(start)
    number = int.from_bytes(_exactly(encoded, start, size), "big")
    if flip:
        number -= (1 << (8 * size)) - 1
    return number, start + size


def _float(encoded: bytes, start: int, _depth: int, _decoders: Decoders) -> Decoded:
    (written,) = _U64.unpack_from(encoded, start + 1)
    bits = written ^ (SIGN_BIT if written & SIGN_BIT else ALL_64_BITS)
    (number,) = _DOUBLE.unpack(_U64.pack(bits))
    if written == _MINUS_ZERO or (number != number and written != NAN_BITS):  # noqa: PLR0124  # the test for NaN
        raise _overlong(start)
    return number, start + 9


def _uuid(encoded: bytes, start: int, _depth: int, _decoders: Decoders) -> Decoded:
    import uuid  # noqa: PLC0415  # loaded by those who use such keys

    return uuid.UUID(bytes=_exactly(encoded, start + 1, 16)), start + 17


def _datetime(encoded: bytes, start: int, _depth: int, _decoders: Decoders) -> Decoded:
    import datetime as dt  # noqa: PLC0415  # loaded by those who use such keys

    (biased,) = _U64.unpack_from(encoded, start + 1)
    zone = dt.UTC if encoded[start] == AWARE_DATETIME else None
    epoch = dt.datetime(1970, 1, 1, tzinfo=zone)
    return epoch + dt.timedelta(microseconds=biased - SIGN_BIT), start + 9


def _extension(encoded: bytes, start: int, depth: int, decoders: Decoders) -> Decoded:
    from objcache.keys.extended import value_of  # noqa: PLC0415  # rare types only

    name, parts, end = _named_parts(encoded, start, depth, decoders)
    return value_of(name, parts), end


def _unloaded(encoded: bytes, start: int, depth: int, decoders: Decoders) -> Decoded:
    from objcache.keys.extended import unloaded_value_of  # noqa: PLC0415  # rare types only

    name, parts, end = _named_parts(encoded, start, depth, decoders)
    return unloaded_value_of(name, parts), end


def _named_parts(
    encoded: bytes, start: int, depth: int, decoders: Decoders
) -> tuple[str, tuple[Any, ...], int]:
    end = encoded.index(b"\0", start + 1)
    name = encoded[start + 1 : end].decode("ascii")
    if encoded[end + 1] != TUPLE:
        raise KeyEncodingError(f"{_NOT_A_KEY}: an extension without parts at {start}")
    parts, end = _tuple(encoded, end + 1, depth, decoders)
    return name, parts, end


def _exactly(encoded: bytes, start: int, size: int) -> bytes:
    part = encoded[start : start + size]
    if len(part) != size:
        raise KeyEncodingError(f"{_NOT_A_KEY}: {size} bytes expected at {start}")
    return part


_ORDERED: Final[Decoders] = {
    NONE: _none,
    BYTES: _bytes,
    STR: _str,
    TUPLE: _tuple,
    BIG_NEGATIVE: _big,
    **dict.fromkeys(range(INT_ZERO - 8, INT_ZERO), _negative),
    INT_ZERO: _zero,
    **dict.fromkeys(range(INT_ZERO + 1, INT_ZERO + 9), _positive),
    BIG_POSITIVE: _big,
    FLOAT: _float,
    FALSE: _false,
    TRUE: _true,
    UUID: _uuid,
    NAIVE_DATETIME: _datetime,
    AWARE_DATETIME: _datetime,
}
_ALL: Final[Decoders] = {**_ORDERED, EXTENSION: _extension}
_WITHOUT_CLASSES: Final[Decoders] = {**_ORDERED, EXTENSION: _unloaded}
