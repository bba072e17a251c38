"""The seams between layers, as structural types.

Knows: shapes only. Must not know: any implementation.
"""

from __future__ import annotations

import enum
from typing import Any, Final, Protocol

__all__ = ["MISSING", "Codec", "Missing"]


class Missing(enum.Enum):
    """The type of `MISSING`: "no value", where None is a value."""

    MISSING = "MISSING"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing.MISSING
"""No value was given or found."""


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
