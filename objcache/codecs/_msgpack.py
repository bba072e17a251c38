"""Data as msgpack: smaller and faster than JSON, runs no code.

Knows: the package msgpack (extra). Must not know: records.
"""

from __future__ import annotations

import re
from typing import Any, Final

from objcache.codecs._ids import CodecId
from objcache.codecs._plain import check_plain, text_refusal
from objcache.codecs._wording import failure_text, message_of, type_name
from objcache.errors import DecodeError, EncodeError, MissingExtraError

__all__ = ["MsgpackCodec"]

_SCALARS: Final = (type(None), bool, int, float, str, bytes)
# msgpack makes timestamps of extension type -1 without asking any hook: of 4, 8 or 12 bytes, in
# any of the heads that extensions have. The rare last byte comes first, to be found fast.
_TIMESTAMP_HEAD: Final = re.compile(
    rb"\xff(?:(?<=[\xd6\xd7]\xff)|(?<=\xc7[\x04\x08\x0c]\xff)"
    rb"|(?<=\xc8\x00[\x04\x08\x0c]\xff)|(?<=\xc9\x00\x00\x00[\x04\x08\x0c]\xff))"
)


class MsgpackCodec:
    """None, bool, 64-bit int, float, str, bytes, list, and dict with such keys; nothing else.

    Keys may be any of these but lists and dicts. Tuples are refused: they would be lists.

    >>> MsgpackCodec().decode(MsgpackCodec().encode({1: [b"abc"]}))
    {1: [b'abc']}

    Raises:
        MissingExtraError: msgpack is not installed.

    Concurrency: holds no state.
    """

    codec_id = int(CodecId.MSGPACK)
    codec_version = 0

    def __init__(self) -> None:
        try:
            import msgpack  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise MissingExtraError("the msgpack codec", "msgpack", "msgpack") from error
        self._msgpack = msgpack

    def encode(self, value: Any, /) -> bytes:
        """Return *value* as msgpack.

        Raises:
            EncodeError: with the path to what msgpack cannot keep.
        """
        check_plain(value, "msgpack", _refusal, _key_refusal)
        try:
            packed: bytes = self._msgpack.packb(value, use_bin_type=True)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            # A part of 4 GiB and more, or a thread altered the value.
            raise EncodeError("value", type_name(value), message_of(error)) from error
        return packed

    def decode(self, payload: bytes | memoryview, /) -> Any:
        """Return the value.

        Raises:
            DecodeError: these bytes are not msgpack, or hold an extension type.

        Cost:
            Bytes that look like a timestamp make the value be searched for one.
        """
        try:
            content = bytes(payload)
            size = len(content)
            value = self._msgpack.unpackb(
                content,
                raw=False,
                strict_map_key=False,
                ext_hook=_no_extension,
                max_str_len=size,
                max_bin_len=size,
                max_array_len=size,
                max_map_len=size,
                max_ext_len=size,
            )
            if _TIMESTAMP_HEAD.search(content):
                _check_data_only(value)
        except Exception as error:  # hostile sizes end in MemoryError, hostile maps in TypeError
            raise DecodeError("", "", f"not msgpack: {failure_text(error)}") from error
        return value


def _no_extension(code: int, _content: bytes) -> Any:
    raise ValueError(f"extension type {code}")


def _check_data_only(value: Any) -> None:
    waiting = [value]
    while waiting:
        part = waiting.pop()
        kind = type(part)
        if kind is list:
            waiting.extend(part)
        elif kind is dict:
            waiting.extend(part.keys())
            waiting.extend(part.values())
        elif kind not in _SCALARS:
            raise ValueError("extension type -1 (a timestamp)")


def _refusal(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return text_refusal(value)
    if kind is int:
        fits = -(1 << 63) <= value < 1 << 64
        return "" if fits else "keeps integers of 64 bits only"
    if kind in _SCALARS:
        return ""
    return "keeps None, bool, int, float, str, bytes, list and dict only"


def _key_refusal(key: Any) -> str:
    return _refusal(key) if type(key) in _SCALARS else "keeps plain keys only"
