"""The type codes of encoded keys: docs/design/keys.md is normative.

Knows: bytes that are on disk. Must not know: Python's types.
The codes are those of the FoundationDB tuple layer (its published specification, "tuple.md").
"""

from __future__ import annotations

from typing import Final

__all__ = [
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
    "MAX_DEPTH",
    "NAIVE_DATETIME",
    "NONE",
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

MAX_DEPTH: Final = 100
"""How deep tuples may nest in a key."""
