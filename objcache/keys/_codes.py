"""The type codes of encoded keys: docs/design/keys.md is normative.

Knows: bytes that are on disk. Must not know: Python's types.
The codes are those of the FoundationDB tuple layer (its published specification, "tuple.md").
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ALL_64_BITS",
    "AWARE_DATETIME",
    "BIG_NEGATIVE",
    "BIG_POSITIVE",
    "BYTES",
    "END",
    "ESCAPE",
    "EXTENSION",
    "FALSE",
    "FLOAT",
    "INT_ZERO",
    "LONG_LENGTH",
    "LONG_LENGTH_BYTES",
    "MAX_DEPTH",
    "MICROS_MAX",
    "MICROS_MIN",
    "NAIVE_DATETIME",
    "NAN_BITS",
    "NONE",
    "SIGN_BIT",
    "STR",
    "TRUE",
    "TUPLE",
    "UUID",
]

# On disk. Never renumber, never reuse, only append.
NONE: Final = 0x00
BYTES: Final = 0x01
STR: Final = 0x02
TUPLE: Final = 0x05
BIG_NEGATIVE: Final = 0x0B
INT_ZERO: Final = 0x14
BIG_POSITIVE: Final = 0x1D
FLOAT: Final = 0x21
FALSE: Final = 0x26
TRUE: Final = 0x27
UUID: Final = 0x30
NAIVE_DATETIME: Final = 0x40
AWARE_DATETIME: Final = 0x41
EXTENSION: Final = 0x50

END: Final = 0x00
ESCAPE: Final = 0xFF

LONG_LENGTH: Final = 0xFF
"""The length byte of an integer of 255 bytes and more: its true length follows."""
LONG_LENGTH_BYTES: Final = 4

SIGN_BIT: Final = 1 << 63
ALL_64_BITS: Final = (1 << 64) - 1
NAN_BITS: Final = ALL_64_BITS
"""The one NaN, as written: behind every other float."""

MICROS_MIN: Final = -62135596800000000
"""0001-01-01 in microseconds since 1970."""
MICROS_MAX: Final = 253402300799999999
"""The last microsecond of 9999."""

MAX_DEPTH: Final = 100
"""How deep tuples and values with parts may nest in a key."""
