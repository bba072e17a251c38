"""The numbers by which records name their codec.

Knows: ids. Must not know: what they stand for in Python.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ["FIRST_CUSTOM_ID", "LARGEST_BUILTIN_ID", "LARGEST_ID", "CodecId"]


# On disk. Never renumber, never reuse, only append: docs/design/format.md, "Codec ids".
class CodecId(IntEnum):
    """The codecs of objcache."""

    RAW = 0
    PICKLE = 1
    JSON = 2
    MSGPACK = 3


LARGEST_BUILTIN_ID: Final = int(max(CodecId))
FIRST_CUSTOM_ID: Final = 128
LARGEST_ID: Final = 255
