"""Keys to bytes, such that the order of the bytes is the order of the keys.

Knows: the ordered types. Must not know: prefixes, limits, what is stored.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from typing import Any, Final

from objcache.keys._codes import (
    ALL_64_BITS,
    AWARE_DATETIME,
    BIG_NEGATIVE,
    BIG_POSITIVE,
    EXTENSION,
    FLOAT,
    INT_ZERO,
    LONG_LENGTH,
    LONG_LENGTH_BYTES,
    MAX_DEPTH,
    MICROS_MAX,
    MICROS_MIN,
    NAIVE_DATETIME,
    NAN_BITS,
    SIGN_BIT,
    UUID,
)
from objcache.keys._refusal import PartRefusedError

__all__ = ["encode_key", "is_ordered"]

_DOUBLE: Final = struct.Struct(">d")
_U64: Final = struct.Struct(">Q")
_NAN: Final = bytes((FLOAT,)) + _U64.pack(NAN_BITS)
_TOO_DEEP: Final = f"nests deeper than {MAX_DEPTH}; flatten the key"

Encoder = Callable[[Any, int], bytes]


def encode_key(key: object) -> bytes:
    """Return the canonical encoding of *key*.

    Raises:
        KeyEncodingError: naming the part that cannot be in a key, its type and the remedy.
    """
    try:
        return _ENCODERS.get(type(key), _encode_rare)(key, 0)
    except PartRefusedError as refused:
        raise refused.error("key") from None


def is_ordered(key: object) -> bool:
    """Return whether *key* has a place in the order of keys: no extension is in it."""
    waiting: list[Any] = [key]
    while waiting:
        part = waiting.pop()
        kind = type(part)
        if kind is tuple:
            waiting.extend(part)
        elif kind not in _ENCODERS and kind not in {
            _late_type("uuid", "UUID"),
            _late_type("datetime", "datetime"),
        }:
            return False
    return True


def _late_type(module: str, name: str) -> Any:
    """Return a type of a module that only those have loaded who use it."""
    return getattr(sys.modules.get(module), name, None)


def _encode_none(_key: None, _depth: int) -> bytes:
    return b"\x00"


def _encode_bytes(key: bytes, _depth: int) -> bytes:
    if b"\0" in key:
        key = key.replace(b"\0", b"\0\xff")
    return b"\x01" + key + b"\0"


def _encode_str(key: str, _depth: int) -> bytes:
    try:
        text = key.encode()
    except UnicodeEncodeError:  # lone surrogates: naming the handler would cost all others
        text = key.encode("utf-8", "surrogatepass")
    if b"\0" in text:
        text = text.replace(b"\0", b"\0\xff")
    return b"\x02" + text + b"\0"


def _encode_tuple(key: tuple[Any, ...], depth: int) -> bytes:
    if depth == MAX_DEPTH:
        raise PartRefusedError(_TOO_DEEP)
    encoders = _ENCODERS
    encoded = [b"\x05"]
    try:
        for part in key:
            encoded.append(  # noqa: PERF401  # the number of parts done tells which one is refused
                b"\x00\xff"
                if part is None
                else encoders.get(type(part), _encode_rare)(part, depth + 1)
            )
    except PartRefusedError as refused:
        refused.steps.append(f"[{len(encoded) - 1}]")
        raise
    encoded.append(b"\0")
    return b"".join(encoded)


def _encode_int(key: int, _depth: int) -> bytes:
    if -256 < key < 256:
        if key > 0:
            return bytes((INT_ZERO + 1, key))
        return bytes((INT_ZERO - 1, key + 255)) if key else b"\x14"
    size = (key.bit_length() + 7) >> 3
    if key > 0:
        magnitude = key.to_bytes(size, "big")
        if size <= 8:
            return bytes((INT_ZERO + size,)) + magnitude
        return bytes((BIG_POSITIVE,)) + _length(size) + magnitude
    # One's complement, so that larger magnitudes sort first.
    complement = (key + (1 << (8 * size)) - 1).to_bytes(size, "big")
    if size <= 8:
        return bytes((INT_ZERO - size,)) + complement
    flipped = bytes(byte ^ 0xFF for byte in _length(size))
    return bytes((BIG_NEGATIVE,)) + flipped + complement


def _length(size: int) -> bytes:
    # One byte up to 254, as in FoundationDB; 255 announces four more, so that longer integers
    # still sort behind shorter ones.
    if size < LONG_LENGTH:
        return bytes((size,))
    if size >> (8 * LONG_LENGTH_BYTES):
        raise PartRefusedError(f"is an integer of {size} bytes, too large for a key")
    return bytes((LONG_LENGTH,)) + size.to_bytes(LONG_LENGTH_BYTES, "big")


def _encode_bool(key: bool, _depth: int) -> bytes:  # noqa: FBT001  # the key itself
    return b"\x27" if key else b"\x26"


def _encode_float(key: float, _depth: int) -> bytes:
    if key != key:  # noqa: PLR0124  # the test for NaN
        return _NAN
    # -0.0 == 0.0: one key, as in a dict.
    (bits,) = _U64.unpack(_DOUBLE.pack(key + 0.0))
    return b"\x21" + _U64.pack(bits ^ (ALL_64_BITS if bits & SIGN_BIT else SIGN_BIT))


_ENCODERS: Final[dict[type, Encoder]] = {
    type(None): _encode_none,
    bytes: _encode_bytes,
    str: _encode_str,
    tuple: _encode_tuple,
    int: _encode_int,
    bool: _encode_bool,
    float: _encode_float,
}


def _encode_rare(key: Any, depth: int) -> bytes:
    """Encode types whose modules are loaded only by those who use them, and extensions."""
    kind = type(key)
    if kind is _late_type("uuid", "UUID"):
        return bytes((UUID,)) + bytes(key.bytes)
    if kind is _late_type("datetime", "datetime"):
        return _encode_datetime(key)
    if depth == MAX_DEPTH:
        raise PartRefusedError(_TOO_DEEP)
    from objcache.keys.extended import step_into, taken_apart  # noqa: PLC0415  # rare types only

    name, parts, is_set = taken_apart(key)
    encoded: list[bytes] = []
    try:
        for part in parts:
            encoded.append(_ENCODERS.get(type(part), _encode_rare)(part, depth + 1))  # noqa: PERF401  # as in a tuple
    except PartRefusedError as refused:
        refused.steps.append(step_into(name, parts, kind, len(encoded)))
        raise
    if is_set:
        encoded.sort()
    # A part that is None keeps its escape, as in a tuple.
    body = b"".join(b"\x00\xff" if part == b"\x00" else part for part in encoded)
    return bytes((EXTENSION,)) + name.encode() + b"\0\x05" + body + b"\x00"


def _encode_datetime(key: Any) -> bytes:
    datetime: Any = sys.modules["datetime"]
    offset = key.utcoffset()
    moment = key.replace(tzinfo=None) - datetime.datetime(1970, 1, 1)
    code = NAIVE_DATETIME
    if offset is not None:
        # Equal instants are equal keys, in whatever zone they were given.
        code, moment = AWARE_DATETIME, moment - offset
    micros = moment // datetime.timedelta(microseconds=1)
    if not MICROS_MIN <= micros <= MICROS_MAX:
        raise PartRefusedError(f"is {key}, which is before year 1 or after year 9999 in UTC")
    return bytes((code,)) + _U64.pack(micros + SIGN_BIT)
