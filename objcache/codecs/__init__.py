"""Codecs: values to payloads and back.

Knows: pickle's edges, and the data-only formats. Must not know: headers, signatures, records.
`"pickle"` is no `Codec` object: the record layer calls pickle itself, after it has
authenticated the record, and takes from here what surrounds those calls.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from objcache.codecs._ids import FIRST_CUSTOM_ID as FIRST_CUSTOM_ID
from objcache.codecs._ids import LARGEST_BUILTIN_ID as LARGEST_BUILTIN_ID
from objcache.codecs._ids import LARGEST_ID as LARGEST_ID
from objcache.codecs._ids import CodecId as CodecId
from objcache.codecs._pickle import OUT_OF_BAND_MIN_BYTES as OUT_OF_BAND_MIN_BYTES
from objcache.codecs._pickle import OutOfBand as OutOfBand
from objcache.codecs._pickle import decode_failure as decode_failure
from objcache.codecs._pickle import encode_failure as encode_failure
from objcache.protocols import Codec

if TYPE_CHECKING:
    from objcache.codecs._json import JsonCodec as JsonCodec
    from objcache.codecs._msgpack import MsgpackCodec as MsgpackCodec
    from objcache.codecs._raw import RawCodec as RawCodec
    from objcache.codecs._restricted import ALWAYS_TRUSTED as ALWAYS_TRUSTED
    from objcache.codecs._restricted import NUMPY_TRUSTED as NUMPY_TRUSTED
    from objcache.codecs._restricted import loads_restricted as loads_restricted
    from objcache.codecs._restricted import trust_names as trust_names

__all__ = [
    "ALWAYS_TRUSTED",
    "BUILTIN_CODECS",
    "FIRST_CUSTOM_ID",
    "LARGEST_BUILTIN_ID",
    "LARGEST_ID",
    "NUMPY_TRUSTED",
    "OUT_OF_BAND_MIN_BYTES",
    "CodecId",
    "JsonCodec",
    "MsgpackCodec",
    "OutOfBand",
    "RawCodec",
    "check_custom_codec",
    "codec_by_name",
    "decode_failure",
    "encode_failure",
    "loads_restricted",
    "trust_names",
]

BUILTIN_CODECS: Final = {"raw": "RawCodec", "json": "JsonCodec", "msgpack": "MsgpackCodec"}
"""The data-only codecs, by the name that `Store(codec=...)` takes."""

# Loaded on first use: most programs need none of them, and `import objcache` has a budget.
_LATE: Final = {
    "JsonCodec": "_json",
    "MsgpackCodec": "_msgpack",
    "RawCodec": "_raw",
    "ALWAYS_TRUSTED": "_restricted",
    "NUMPY_TRUSTED": "_restricted",
    "loads_restricted": "_restricted",
    "trust_names": "_restricted",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        value = getattr(importlib.import_module(f"objcache.codecs.{_LATE[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'objcache.codecs' has no attribute {name!r}")


def codec_by_name(name: str) -> Codec:
    """Return a codec of objcache.

    Raises:
        ValueError: no such codec.
        MissingExtraError: its package is not installed.
    """
    if name not in BUILTIN_CODECS:
        raise ValueError(f"codec {name!r} is not one of pickle, {', '.join(BUILTIN_CODECS)}")
    codec: Codec = __getattr__(BUILTIN_CODECS[name])()
    return codec


def check_custom_codec(codec: Codec) -> None:
    """Refuse a codec of the user's own that cannot be told apart from others on disk.

    Raises:
        ValueError: its id or version is out of range.
        TypeError: it is no codec.
    """
    for name in ("codec_id", "codec_version", "encode", "decode"):
        if not hasattr(codec, name):
            raise TypeError(f"{codec!r} is no codec: it lacks {name}")
    if not FIRST_CUSTOM_ID <= codec.codec_id <= LARGEST_ID:
        raise ValueError(
            f"codec_id={codec.codec_id} of {type(codec).__name__} is outside "
            f"{FIRST_CUSTOM_ID} to {LARGEST_ID}, the ids of codecs of one's own"
        )
    if not 0 <= codec.codec_version <= 255:
        raise ValueError(f"codec_version={codec.codec_version} is outside 0 to 255")
