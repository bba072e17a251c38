"""Keys to bytes, such that the order of the bytes is the order of the keys.

Knows: the ordered types. Must not know: prefixes, limits, what is stored.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from typing import Any, Final

from objcache.errors import KeyEncodingError
from objcache.keys._codes import (
    AWARE_DATETIME,
    BIG_NEGATIVE,
    BIG_POSITIVE,
    EXTENSION,
    FALSE,
    FLOAT,
    INT_ZERO,
    MAX_DEPTH,
    NAIVE_DATETIME,
    TRUE,
    UUID,
)

__all__ = ["encode_key", "is_ordered"]

_DOUBLE: Final = struct.Struct(">d")
_MICROS: Final = struct.Struct(">Q")
_MICROS_BIAS: Final = 1 << 63
_MICROS_MIN: Final = -62135596800000000
"""0001-01-01 in microseconds since 1970."""
_MICROS_MAX: Final = 253402300799999999
"""The last microsecond of 9999."""
_SIGN: Final = 1 << 63
_ALL_64: Final = (1 << 64) - 1
_NAN: Final = bytes([FLOAT]) + b"\xff" * 8
_BIG_LENGTH_BYTES: Final = 4

Encoder = Callable[[Any, int, str], bytes]


def encode_key(key: object) -> bytes:
    """Return the canonical encoding of *key*.

    Raises:
        KeyEncodingError: naming the part that cannot be in a key, and the remedy.
    """
    return _encode(key, 0, "key")


def is_ordered(key: object) -> bool:
    """Return whether *key* has a place in the order of keys: no extension is in it."""
    kind = type(key)
    if kind is tuple:
        return all(map(is_ordered, key))  # type: ignore[call-overload]
    if kind in _ENCODERS:
        return True
    return kind in {_late_type("uuid", "UUID"), _late_type("datetime", "datetime")}


def _late_type(module: str, name: str) -> Any:
    """Return a type of a module that only those have loaded who use it."""
    return getattr(sys.modules.get(module), name, None)


def _encode(key: Any, depth: int, path: str) -> bytes:
    encoder = _ENCODERS.get(type(key))
    if encoder is not None:
        return encoder(key, depth, path)
    return _encode_rare(key, depth, path)


def _encode_none(_key: None, _depth: int, _path: str) -> bytes:
    return b"\x00"


def _encode_bytes(key: bytes, _depth: int, _path: str) -> bytes:
    if b"\0" in key:
        key = key.replace(b"\0", b"\0\xff")
    return b"\x01" + key + b"\0"


def _encode_str(key: str, _depth: int, _path: str) -> bytes:
    text = key.encode("utf-8", "surrogatepass")
    if b"\0" in text:
        text = text.replace(b"\0", b"\0\xff")
    return b"\x02" + text + b"\0"


def _encode_tuple(key: tuple[Any, ...], depth: int, path: str) -> bytes:
    if depth == MAX_DEPTH:
        raise KeyEncodingError(f"{path}: tuples nest deeper than {MAX_DEPTH}; flatten the key")
    parts = [b"\x05"]
    encoders = _ENCODERS
    for number, part in enumerate(key):
        encoder = encoders.get(type(part))
        if part is None:
            parts.append(b"\x00\xff")
        elif encoder is not None:
            parts.append(encoder(part, depth + 1, path))
        else:
            parts.append(_encode_rare(part, depth + 1, f"{path}[{number}]"))
    parts.append(b"\x00")
    return b"".join(parts)


def _encode_int(key: int, _depth: int, _path: str) -> bytes:
    if -256 < key < 256:
        if key > 0:
            return bytes((INT_ZERO + 1, key))
        return bytes((INT_ZERO - 1, key + 255)) if key else b"\x14"
    size = (abs(key).bit_length() + 7) >> 3
    if key > 0:
        if size <= 8:
            return bytes((INT_ZERO + size,)) + key.to_bytes(size, "big")
        return _big(BIG_POSITIVE, size, key.to_bytes(size, "big"), 0)
    # One's complement, so that larger magnitudes sort first.
    complement = (key + (1 << (8 * size)) - 1).to_bytes(size, "big")
    if size <= 8:
        return bytes((INT_ZERO - size,)) + complement
    return _big(BIG_NEGATIVE, size, complement, 0xFF)


def _big(code: int, size: int, magnitude: bytes, flip: int) -> bytes:
    # One length byte as in FoundationDB up to 254 bytes; 255 announces four more, so that
    # longer integers still sort behind shorter ones.
    if size < 255:
        length = bytes((size,))
    elif size < 1 << (8 * _BIG_LENGTH_BYTES):
        length = b"\xff" + size.to_bytes(_BIG_LENGTH_BYTES, "big")
    else:
        raise KeyEncodingError(f"an integer of {size} bytes is too large for a key")
    return bytes((code,)) + bytes(byte ^ flip for byte in length) + magnitude


def _encode_bool(key: bool, _depth: int, _path: str) -> bytes:  # noqa: FBT001  # the key itself
    return bytes((TRUE if key else FALSE,))


def _encode_float(key: float, _depth: int, _path: str) -> bytes:
    if key != key:  # noqa: PLR0124  # the test for NaN
        return _NAN
    # -0.0 == 0.0: one key, as in a dict.
    (bits,) = _MICROS.unpack(_DOUBLE.pack(key + 0.0))
    return bytes((FLOAT,)) + _MICROS.pack(bits ^ (_ALL_64 if bits & _SIGN else _SIGN))


_ENCODERS: Final[dict[type, Encoder]] = {
    type(None): _encode_none,
    bytes: _encode_bytes,
    str: _encode_str,
    tuple: _encode_tuple,
    int: _encode_int,
    bool: _encode_bool,
    float: _encode_float,
}


def _encode_rare(key: Any, depth: int, path: str) -> bytes:
    """Types whose modules are loaded only by those who use them, then extensions."""
    kind = type(key)
    if kind is _late_type("uuid", "UUID"):
        return bytes((UUID,)) + bytes(key.bytes)
    if kind is _late_type("datetime", "datetime"):
        return _encode_datetime(key, path)
    if depth == MAX_DEPTH:
        raise KeyEncodingError(f"{path}: parts nest deeper than {MAX_DEPTH}; flatten the key")
    from objcache.keys.extended import parts_of  # noqa: PLC0415  # rare types only

    name, parts, is_set = parts_of(key, path)
    encoded = [_encode(part, depth + 1, path) for part in parts]
    if is_set:
        encoded.sort()
    # A part that is None keeps its escape, as in a tuple.
    body = b"".join(b"\x00\xff" if part == b"\x00" else part for part in encoded)
    return bytes((EXTENSION,)) + name.encode() + b"\0\x05" + body + b"\x00"


def _encode_datetime(key: Any, path: str) -> bytes:
    datetime: Any = sys.modules["datetime"]
    offset = key.utcoffset()
    moment = key.replace(tzinfo=None) - datetime.datetime(1970, 1, 1)
    if offset is None:
        code = NAIVE_DATETIME
    else:
        # Equal instants are equal keys, in whatever zone they were given.
        code, moment = AWARE_DATETIME, moment - offset
    micros = moment // datetime.timedelta(microseconds=1)
    if not _MICROS_MIN <= micros <= _MICROS_MAX:
        raise KeyEncodingError(f"{path}: {key} is before year 1 or after year 9999 in UTC")
    return bytes((code,)) + _MICROS.pack(micros + _MICROS_BIAS)
