"""Data as msgpack: smaller and faster than JSON, runs no code.

Knows: the package msgpack (extra). Must not know: records.
"""

from __future__ import annotations

from typing import Any, Final

from objcache.codecs._ids import CodecId
from objcache.codecs._plain import check_plain
from objcache.errors import DecodeError, MissingExtraError

__all__ = ["MsgpackCodec"]

_SCALARS: Final = (type(None), bool, int, float, str, bytes)
_KEYS: Final = (type(None), bool, int, float, str, bytes)


class MsgpackCodec:
    """None, bool, 64-bit int, float, str, bytes, list, and dict with such keys; nothing else.

    Raises:
        MissingExtraError: msgpack is not installed.
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
        packed: bytes = self._msgpack.packb(value, use_bin_type=True)
        return packed

    def decode(self, payload: bytes | memoryview, /) -> Any:
        """Return the value.

        Raises:
            DecodeError: these bytes are not msgpack, or hold an extension type.
        """
        size = len(payload)
        try:
            return self._msgpack.unpackb(
                payload,
                raw=False,
                strict_map_key=False,
                ext_hook=_no_extension,
                max_str_len=size,
                max_bin_len=size,
                max_array_len=size,
                max_map_len=size,
                max_ext_len=size,
            )
        except (ValueError, TypeError, RecursionError, OverflowError, AttributeError) as error:
            raise DecodeError("", "", f"not msgpack: {error}") from error
        except self._msgpack.exceptions.UnpackException as error:
            raise DecodeError("", "", f"not msgpack: {error}") from error


def _no_extension(code: int, _content: bytes) -> Any:
    raise ValueError(f"extension type {code}")


def _refusal(value: Any) -> str:
    kind = type(value)
    if kind not in _SCALARS:
        return "keeps None, bool, int, float, str, bytes, list and dict only"
    if kind is int and not -(1 << 63) <= value < 1 << 64:
        return "keeps integers of 64 bits only"
    if kind is str:
        try:
            value.encode()
        except UnicodeEncodeError:
            return "keeps text only that UTF-8 can encode"
    return ""


def _key_refusal(key: Any) -> str:
    return _refusal(key) if type(key) in _KEYS else "keeps plain keys only"
