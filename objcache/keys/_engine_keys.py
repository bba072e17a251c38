"""From keys of a mapping to keys of the engine: prefixes, the length limit, ranges.

Knows: the engine's limit and how the sections of a store are laid out. Must not know: the engine.
"""

# Annotations are not postponed: NamedTuple would compile each (bench/workloads/import_time.py).
from typing import Any, Final, NamedTuple, NewType

from blake3 import blake3

from objcache.errors import KeyEncodingError
from objcache.keys._codes import EXTENSION, STR
from objcache.keys._decode import decode_key, decode_ordered_key
from objcache.keys._encode import encode_key, is_ordered
from objcache.protocols import MISSING

__all__ = [
    "CACHES",
    "CACHES_OVER",
    "CACHE_REGISTRY",
    "COUNTERS",
    "DIGEST_BYTES",
    "ENGINE_KEY_LIMIT",
    "LONG_NAMESPACE",
    "NAMESPACE",
    "ORDERED",
    "RECORDS",
    "UNORDERED",
    "EncodedKey",
    "KeyRange",
    "engine_key",
    "key_of",
    "namespace_prefix",
    "needs_full_key",
    "prefix_range",
    "range_of",
    "section_range",
    "successor",
]

EncodedKey = NewType("EncodedKey", bytes)
"""A key of the engine; no other bytes may reach it."""

ENGINE_KEY_LIMIT: Final = 511
"""I7 of docs/design/concurrency.md: lmdb takes keys of 1 to 511 bytes."""
DIGEST_BYTES: Final = 16
_KEPT_BYTES: Final = ENGINE_KEY_LIMIT - DIGEST_BYTES
_MAX_PREFIX_BYTES: Final = 200

# On disk: the first bytes of engine keys, and of what lies behind the prefix of a mapping. Never
# renumber, never reuse, only append: docs/design/format.md, "Sections". 01 is the store's own,
# 05 to 07 are the engine's.
COUNTERS: Final = b"\x02"
CACHE_REGISTRY: Final = b"\x03"
CACHES_OVER: Final = b"\x04"
ORDERED: Final = b"\x10"
UNORDERED: Final = b"\x11"
_BEHIND: Final = b"\x12"
NAMESPACE: Final = b"\x20"
LONG_NAMESPACE: Final = b"\x21"
CACHES: Final = b"\x30"
RECORDS: Final = frozenset((ORDERED, UNORDERED))
"""Behind one of them lies a record of a mapping."""

_TEXT: Final = ORDERED + bytes((STR,))


class KeyRange(NamedTuple):
    """Engine keys from *low* up to, not including, *high*.

    Where a bound itself was longer than the limit, entries that share its shortened form must
    be compared with *full_low* and *full_high* by their full keys.
    """

    low: bytes
    high: bytes
    full_low: bytes | None = None
    full_high: bytes | None = None


def engine_key(prefix: bytes, key: object) -> tuple[EncodedKey, bytes]:
    """Return the engine key of *key* in the mapping with *prefix*, and the full encoded key.

    The full key is b"" where the engine key says it all; otherwise the record must keep it.

    Raises:
        KeyEncodingError: *key* cannot be a key.
    """
    if type(key) is str and len(key) < ENGINE_KEY_LIMIT and "\0" not in key:
        # Flat, as most keys are text: bench/workloads/get_hit.py; oracle: the rest below.
        try:
            full = prefix + _TEXT + key.encode() + b"\0"
        except UnicodeEncodeError:
            pass  # lone surrogates
        else:
            if len(full) < ENGINE_KEY_LIMIT:
                return full, b""  # type: ignore[return-value]  # calling a NewType costs too much
    encoded = encode_key(key)
    # Most keys lack the byte of extensions, which spares the walk over their types.
    if EXTENSION in encoded and not is_ordered(key):
        return EncodedKey(prefix + UNORDERED + _digest(encoded)), encoded
    full = prefix + ORDERED + encoded
    # A shortened key has exactly the limit's length, a whole one never: no two collide.
    if len(full) < ENGINE_KEY_LIMIT:
        return full, b""  # type: ignore[return-value]  # calling a NewType costs too much
    return _shortened(full, encoded), encoded


def _shortened(full: bytes, encoded: bytes) -> EncodedKey:
    return EncodedKey(full[:_KEPT_BYTES] + _digest(encoded))


def needs_full_key(prefix_length: int, located: bytes) -> bool:
    """Return whether the engine key *located* tells its key only together with its record."""
    return (
        len(located) == ENGINE_KEY_LIMIT or located[prefix_length : prefix_length + 1] == UNORDERED
    )


def key_of(prefix_length: int, located: bytes, full_key: bytes) -> Any:
    """Return the key that lies at the engine key *located*.

    Args:
        prefix_length: the length of the mapping's prefix.
        located: the engine key.
        full_key: the full encoded key of the record, b"" if it keeps none.

    Raises:
        KeyEncodingError: the bytes are no key, the full key is missing or does not belong
            there, or the key needs a class whose module is not loaded.
    """
    section = located[prefix_length : prefix_length + 1]
    if not full_key:
        if section == ORDERED and len(located) < ENGINE_KEY_LIMIT:
            return decode_ordered_key(located[prefix_length + 1 :])
        if needs_full_key(prefix_length, located):
            raise KeyEncodingError("the record of a shortened key lacks its full key")
        raise KeyEncodingError("an engine key lies in no section of keys")
    # Compared before it is decoded: only a key that belongs here may look for a class.
    prefix = located[:prefix_length]
    if section == UNORDERED:
        if located == prefix + UNORDERED + _digest(full_key):
            key = decode_key(full_key)
            if not is_ordered(key):
                return key
    else:
        full = prefix + ORDERED + full_key
        if len(full) >= ENGINE_KEY_LIMIT and located == _shortened(full, full_key):
            return decode_ordered_key(full_key)
    raise KeyEncodingError("the full key of a record does not belong to where it lies")


def namespace_prefix(names: tuple[Any, ...]) -> bytes:
    """Return the prefix of the namespace with the path *names*.

    Raises:
        KeyEncodingError: a name is not a non-empty str.
    """
    for name in names:
        if type(name) is not str or not name:
            given = "an empty one" if type(name) is str else f"a {type(name).__name__}"
            raise KeyEncodingError(f"a namespace is named by a non-empty str, not {given}")
    encoded = encode_key(names)
    if len(encoded) < _MAX_PREFIX_BYTES:
        return NAMESPACE + encoded
    return LONG_NAMESPACE + _digest(encoded)


def successor(prefix: bytes) -> bytes:
    """Return the smallest bytes greater than all that begin with *prefix*.

    Raises:
        KeyEncodingError: there is none, as *prefix* has no byte below 0xFF; every section byte
            and type code is.
    """
    stripped = prefix.rstrip(b"\xff")
    if not stripped:
        raise KeyEncodingError("no bytes are greater than all that begin with this prefix")
    return stripped[:-1] + bytes((stripped[-1] + 1,))


def section_range(prefix: bytes) -> KeyRange:
    """Return the range of all keys of a mapping: ordered ones, then the others."""
    return KeyRange(prefix + ORDERED, prefix + _BEHIND)


def range_of(prefix: bytes, start: object, stop: object) -> KeyRange:
    """Return the range of ordered keys from *start* up to, not including, *stop*.

    Args:
        prefix: the mapping's prefix.
        start: the first key, or `MISSING` for an open end.
        stop: the first key behind, or `MISSING`.

    Raises:
        KeyEncodingError: a bound has no place in the order of keys.
    """
    low, high = prefix + ORDERED, prefix + UNORDERED
    full_low = full_high = None
    if start is not MISSING:
        bound = _bound(start)
        low, full_low = _low(prefix, bound)
    if stop is not MISSING:
        bound = _bound(stop)
        high, full_high = _high(prefix, bound)
    return KeyRange(low, high, full_low, full_high)


def prefix_range(prefix: bytes, key_prefix: object) -> KeyRange:
    """Return the range of keys that begin with *key_prefix*.

    Args:
        prefix: the mapping's prefix.
        key_prefix: a tuple of first elements, or the beginning of a str or bytes key.

    Raises:
        KeyEncodingError: another type, or elements without an order.
    """
    if type(key_prefix) not in {tuple, str, bytes}:
        raise KeyEncodingError(
            f"a prefix is a tuple, str or bytes, not of type {type(key_prefix).__name__}"
        )
    begin = _bound(key_prefix)[:-1]  # without its terminator
    low, full_low = _low(prefix, begin)
    # A tuple goes on with a type code or its end. 0xFF is neither: it would say that the last
    # str or bytes of the prefix has a NUL there, and goes on itself.
    end = begin + b"\xff" if type(key_prefix) is tuple else successor(begin)
    high, full_high = _high(prefix, end)
    return KeyRange(low, high, full_low, full_high)


def _bound(key: object) -> bytes:
    encoded = encode_key(key)
    if not is_ordered(key):
        raise KeyEncodingError(
            f"a {type(key).__name__} has no place in the order of keys, so it bounds no range"
        )
    return encoded


def _low(prefix: bytes, bound: bytes) -> tuple[bytes, bytes | None]:
    full = prefix + ORDERED + bound
    return (full, None) if len(full) < _KEPT_BYTES else (full[:_KEPT_BYTES], bound)


def _high(prefix: bytes, bound: bytes) -> tuple[bytes, bytes | None]:
    full = prefix + ORDERED + bound
    if len(full) < _KEPT_BYTES:
        return full, None
    return successor(full[:_KEPT_BYTES]), bound


def _digest(encoded: bytes) -> bytes:
    return blake3(encoded).digest(length=DIGEST_BYTES)
