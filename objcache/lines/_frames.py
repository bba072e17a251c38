"""What frames the entries of the line format: names, numbers, and the error of a wrong line.

Knows: what lines there are. Must not know: how values are written.
"""

from __future__ import annotations

from typing import Final

from objcache.codecs import CodecId
from objcache.errors import FormatError

__all__ = [
    "CHUNK_BYTES",
    "CODEC_IDS",
    "FORMAT",
    "LARGEST_LINE_BYTES",
    "LARGEST_SAFE_INT",
    "MAX_DEPTH",
    "MOST_DECIMAL_BITS",
    "VERSION",
    "LineError",
    "is_tag",
    "shown",
]

# In files that others have. Never change what a version means: docs/reference/lines.md.
FORMAT: Final = "lines"
VERSION: Final = 1
LARGEST_LINE_BYTES: Final = 1 << 24
"""With its line break. What is larger is written in chunks, or as its payload."""
CHUNK_BYTES: Final = 3 << 18
"""How many bytes a chunk has; the last one of a value has fewer. Base64 makes a MiB of them."""
MAX_DEPTH: Final = 100
"""How deep values may nest, as keys may."""
LARGEST_SAFE_INT: Final = (1 << 53) - 1
"""Larger integers are no numbers in JSON for those languages that read all numbers as doubles."""
MOST_DECIMAL_BITS: Final = 14_284
"""Python writes integers of at most 4300 digits; larger ones are written in base 16."""
_SHOWN: Final = 60
CODEC_IDS: Final = {codec.name.lower(): int(codec) for codec in CodecId}


class LineError(FormatError):
    """A line is not what the format says.

    Attributes:
        number: of the line, from 1.
        reason: what is wrong with it, and what to do.
    """

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(number, reason)
        self.number = number
        self.reason = reason

    def __str__(self) -> str:
        return f"line {self.number:,}: {self.reason}"


def is_tag(name: object, members: int) -> bool:
    """Return whether a JSON object with so many members, the first of this name, is a tag."""
    return members == 1 and type(name) is str and name.startswith("$")


def shown(given: object) -> str:
    """Return a short text of what a line has, in ASCII."""
    try:
        text = ascii(given)
    except (ValueError, RecursionError):  # an integer of too many digits
        return f"a {type(given).__name__}"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
