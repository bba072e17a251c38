"""The seams between layers, as structural types.

Knows: shapes only. Must not know: any implementation.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, Final, Protocol

__all__ = ["MISSING", "Codec", "Files", "Missing"]


class Missing(enum.Enum):
    """The type of `MISSING`: "no value", where None is a value."""

    MISSING = "MISSING"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing.MISSING
"""No value was given or found."""


class Files(Protocol):
    """Where large parts of values are kept beside their records."""

    def write(self, parts: Sequence[memoryview], /) -> tuple[bytes, list[tuple[int, int]]]:
        """Write *parts* to a new file; return its name, and start and end of each."""
        ...

    def read(self, name: bytes, places: Sequence[tuple[int, int]], /) -> list[bytearray]:
        """Return copies of what lies between each start and end of *places*."""
        ...

    def view(self, name: bytes, places: Sequence[tuple[int, int]], /) -> list[memoryview]:
        """Return what lies between each start and end of *places*, read-only, without a copy."""
        ...

    def reading(self, name: bytes, size_bytes: int, /) -> int:
        """Return a descriptor of a file of *size_bytes*, to be read by `read_into` and closed."""
        ...

    def read_into(self, descriptor: int, target: memoryview, start: int, /) -> int:
        """Read from *start* on into *target*; return how many bytes, 0 behind the end."""
        ...


class Codec(Protocol):
    """Turns values into payload bytes and back; give an instance as `Store(codec=...)`.

    Implementations must be safe to call from several threads. Errors they raise reach
    the user wrapped in `EncodeError` or `DecodeError`.
    """

    @property
    def codec_id(self) -> int:
        """The number written into each record: 128 to 255 for codecs of one's own."""
        ...

    @property
    def codec_version(self) -> int:
        """The version of the payload, 0 to 255; a reader accepts up to its own."""
        ...

    def encode(self, value: Any, /) -> bytes:
        """Return *value* as bytes."""
        ...

    def decode(self, payload: bytes | memoryview, /) -> Any:
        """Return the value that `encode` made *payload* from."""
        ...
