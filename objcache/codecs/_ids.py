"""The numbers by which records name their codec and their compression.

Knows: ids. Must not know: what they stand for in Python.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ["FIRST_CUSTOM_ID", "LARGEST_BUILTIN_ID", "LARGEST_ID", "CodecId", "CompressionId"]


# On disk. Never renumber, never reuse, only append: docs/design/format.md, "Codec ids".
class CodecId(IntEnum):
    """The codecs of objcache."""

    RAW = 0
    PICKLE = 1
    JSON = 2
    MSGPACK = 3


# On disk. Never renumber, never reuse, only append: docs/design/format.md, "Compression ids".
class CompressionId(IntEnum):
    """The algorithms that make payloads and buffers smaller; 0 is none of them."""

    ZLIB = 1
    LZ4 = 2
    ZSTD = 3


LARGEST_BUILTIN_ID: Final = int(max(CodecId))
FIRST_CUSTOM_ID: Final = 128
LARGEST_ID: Final = 255
