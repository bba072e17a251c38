"""Bytes as they are.

Knows: buffers. Must not know: what they hold.
"""

from __future__ import annotations

from typing import Any

from objcache.codecs._ids import CodecId
from objcache.errors import EncodeError

__all__ = ["RawCodec"]


class RawCodec:
    """Stores bytes, bytearray and memoryview as they are; gives back bytes."""

    codec_id = int(CodecId.RAW)
    codec_version = 0

    def encode(self, value: Any, /) -> bytes:
        """Return *value* as bytes.

        Raises:
            EncodeError: it is neither bytes, bytearray nor memoryview.
        """
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value)
        raise EncodeError("value", type(value).__qualname__, "the raw codec takes bytes only")

    def decode(self, payload: bytes | memoryview, /) -> bytes:
        """Return *payload* as bytes."""
        return bytes(payload)
