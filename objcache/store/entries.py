"""What is known of one entry beside its value.

Knows: sizes in headers. Must not know: how the value is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from objcache.header import Header
from objcache.protocols import MISSING

__all__ = ["LazyValue", "StoreEntry"]


class LazyValue:
    """What has a value that is read when it is first asked for, and then kept.

    Args:
        load: reads it.
    """

    __slots__ = ("_load", "_value")

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load
        self._value: Any = MISSING

    @property
    def value(self) -> Any:
        """The value, read when it is first asked for, and then kept; a kept exception is returned.

        Raises:
            KeyError: it was replaced or removed before that; small values are not lost so.
            SignatureError, CorruptRecordError, UnsupportedFormatError, DecodeError:
                it cannot be read.
        """
        if self._value is MISSING:
            self._value = self._load()
        return self._value


class StoreEntry(LazyValue):
    """An entry, and what is known of it without reading its value.

    Attributes:
        size: bytes of the value as it is stored: encoded, and compressed where it is, without
            header, signature and key. Of a blob, and of bytes with `codec="raw"`, their number.
        size_bytes: of the whole record, its side file included.
    """

    __slots__ = ("size", "size_bytes")

    def __init__(self, header: Header, record: bytes, load: Callable[[], Any]) -> None:
        super().__init__(load)
        parts = sum(part.end - part.start for part in header.buffers)
        self.size = header.payload_end - header.payload_start + parts
        self.size_bytes = len(record) + header.side_file_bytes

    def __repr__(self) -> str:
        return f"<objcache.{type(self).__name__} of {self.size} bytes>"
