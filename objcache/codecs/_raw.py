"""Bytes as they are.

Knows: buffers. Must not know: what they hold.
"""

from __future__ import annotations

from typing import Any

from objcache.codecs._ids import CodecId
from objcache.codecs._wording import type_name
from objcache.errors import EncodeError

__all__ = ["RawCodec"]


class RawCodec:
    """Stores bytes, bytearray and contiguous memoryview as they are; gives back bytes.

    >>> RawCodec().decode(RawCodec().encode(bytearray(b"abc")))
    b'abc'

    Concurrency: holds no state.
    """

    codec_id = int(CodecId.RAW)
    codec_version = 0

    def encode(self, value: Any, /) -> bytes:
        """Return *value* as bytes.

        Raises:
            EncodeError: it is neither bytes, bytearray nor a contiguous memoryview.
        """
        kind = type(value)
        if kind is bytes or kind is bytearray:
            return bytes(value)
        if kind is not memoryview:
            reason = "the raw codec keeps bytes, bytearray and memoryview only"
            raise EncodeError("value", type_name(value), reason)
        try:
            contiguous = value.c_contiguous
        except ValueError as error:
            raise EncodeError("value", "memoryview", "it was released") from error
        if not contiguous:
            raise EncodeError("value", "memoryview", "the raw codec keeps contiguous bytes only")
        return bytes(value)

    def decode(self, payload: bytes | memoryview, /) -> bytes:
        """Return *payload* as bytes."""
        return bytes(payload)
