"""Data as JSON (RFC 8259): readable by every language, runs no code.

Knows: the standard library's json. Must not know: records.
"""

from __future__ import annotations

from typing import Any

from objcache.codecs._ids import CodecId
from objcache.codecs._plain import check_plain
from objcache.errors import DecodeError

__all__ = ["JsonCodec"]

_SCALARS = (type(None), bool, int, float, str)


class JsonCodec:
    """None, bool, int, finite float, str, list, and dict with str keys; nothing else.

    What JSON would change silently (tuples, other keys, NaN) is refused.
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
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

    def decode(self, payload: bytes | memoryview, /) -> Any:
        """Return the value.

        Raises:
            DecodeError: these bytes are not JSON.
        """
        import json  # noqa: PLC0415  # not on the import path of Store

        try:
            return json.loads(bytes(payload).decode(), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise DecodeError("", "", f"not JSON: {error}") from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _refusal(value: Any) -> str:
    kind = type(value)
    if kind not in _SCALARS:
        return "keeps None, bool, int, float, str, list and dict only"
    if kind is float and value - value != 0:
        return "keeps finite numbers only"
    return _text_refusal(value) if kind is str else ""


def _key_refusal(key: Any) -> str:
    return _text_refusal(key) if type(key) is str else "keeps str keys only"


def _text_refusal(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return "keeps text only that UTF-8 can encode"
    return ""
