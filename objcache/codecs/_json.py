"""Data as JSON (RFC 8259): readable by every language, runs no code.

Knows: the standard library's json. Must not know: records.
"""

from __future__ import annotations

from typing import Any, Final

from objcache.codecs._ids import CodecId
from objcache.codecs._plain import check_plain, text_refusal
from objcache.codecs._wording import message_of, type_name
from objcache.errors import DecodeError, EncodeError

__all__ = ["JsonCodec"]

# Python reads no integer of more than 4300 digits unless told to; these have at most that many.
_MOST_INT_BITS: Final = 14_284


class JsonCodec:
    """None, bool, int, finite float, str, list, and dict with str keys; nothing else.

    What JSON would change silently (tuples, other keys, NaN, subclasses) is refused.

    >>> JsonCodec().encode({"a": [1, None]})
    b'{"a":[1,null]}'

    Concurrency: holds no state.
    """

    codec_id = int(CodecId.JSON)
    codec_version = 0

    def encode(self, value: Any, /) -> bytes:
        """Return *value* as compact UTF-8 JSON.

        Raises:
            EncodeError: with the path to what JSON cannot keep.
        """
        import json  # noqa: PLC0415  # not on the import path of Store

        check_plain(value, "json", _refusal, _key_refusal)
        try:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        except (ValueError, TypeError, RecursionError) as error:
            # The interpreter's limits are lower than usual, or a thread altered the value.
            raise EncodeError("value", type_name(value), message_of(error)) from error

    def decode(self, payload: bytes | memoryview, /) -> Any:
        """Return the value.

        Raises:
            DecodeError: these bytes are not JSON.
        """
        import json  # noqa: PLC0415  # not on the import path of Store

        try:
            return json.loads(bytes(payload).decode(), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise DecodeError("", "", f"not JSON: {message_of(error)}") from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _refusal(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return text_refusal(value)
    if kind is int:
        return "" if value.bit_length() <= _MOST_INT_BITS else "keeps integers of 4300 digits only"
    if kind is float:
        return "" if value - value == 0 else "keeps finite numbers only"
    if value is None or kind is bool:
        return ""
    return "keeps None, bool, int, float, str, list and dict only"


def _key_refusal(key: Any) -> str:
    return text_refusal(key) if type(key) is str else "keeps str keys only"
