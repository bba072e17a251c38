"""Codecs: values to payloads and back.

Knows: pickle's edges, the data-only formats, compression. Must not know: headers, signatures,
records.
`"pickle"` is no `Codec` object: the record layer calls pickle itself, after it has
authenticated the record, and takes from here what surrounds those calls.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from objcache.codecs._ids import FIRST_CUSTOM_ID as FIRST_CUSTOM_ID
from objcache.codecs._ids import LARGEST_BUILTIN_ID as LARGEST_BUILTIN_ID
from objcache.codecs._ids import LARGEST_ID as LARGEST_ID
from objcache.codecs._ids import CodecId as CodecId
from objcache.codecs._ids import CompressionId as CompressionId
from objcache.codecs._pickle import OUT_OF_BAND_MIN_BYTES as OUT_OF_BAND_MIN_BYTES
from objcache.codecs._pickle import OutOfBand as OutOfBand
from objcache.codecs._pickle import decode_failure as decode_failure
from objcache.codecs._pickle import encode_failure as encode_failure
from objcache.codecs._pickle import loads_restricted as loads_restricted
from objcache.codecs._pickle import payload_protocol as payload_protocol
from objcache.codecs._pickle import trust_names as trust_names
from objcache.protocols import Codec

if TYPE_CHECKING:
    from objcache.codecs._compression import Compression as Compression
    from objcache.codecs._compression import decompress as decompress
    from objcache.codecs._json import JsonCodec as JsonCodec
    from objcache.codecs._msgpack import MsgpackCodec as MsgpackCodec
    from objcache.codecs._raw import RawCodec as RawCodec
    from objcache.codecs._restricted import ALWAYS_TRUSTED as ALWAYS_TRUSTED
    from objcache.codecs._restricted import NUMPY_TRUSTED as NUMPY_TRUSTED
    from objcache.codecs._shape import Opcode as Opcode
    from objcache.codecs._shape import PickleShape as PickleShape
    from objcache.codecs._shape import Shape as Shape
    from objcache.codecs._shape import opcodes_of as opcodes_of
    from objcache.codecs._shape import shape_of_pickle as shape_of_pickle

__all__ = [
    "ALWAYS_TRUSTED",
    "BUILTIN_CODECS",
    "DEFAULT_COMPRESSION_THRESHOLD_BYTES",
    "FIRST_CUSTOM_ID",
    "LARGEST_BUILTIN_ID",
    "LARGEST_ID",
    "NUMPY_TRUSTED",
    "OUT_OF_BAND_MIN_BYTES",
    "CodecId",
    "Compression",
    "CompressionId",
    "JsonCodec",
    "MsgpackCodec",
    "Opcode",
    "OutOfBand",
    "PickleShape",
    "RawCodec",
    "Shape",
    "check_custom_codec",
    "codec_by_name",
    "compression_by_name",
    "decode_failure",
    "decompress",
    "encode_failure",
    "loads_restricted",
    "opcodes_of",
    "payload_protocol",
    "shape_of_pickle",
    "trust_names",
]

# Loaded on first use: most programs need none of them, and `import objcache` has a budget.
_LATE: Final = {
    "JsonCodec": "_json",
    "MsgpackCodec": "_msgpack",
    "RawCodec": "_raw",
    "Compression": "_compression",
    "decompress": "_compression",
    "ALWAYS_TRUSTED": "_restricted",
    "NUMPY_TRUSTED": "_restricted",
    "Opcode": "_shape",
    "PickleShape": "_shape",
    "Shape": "_shape",
    "opcodes_of": "_shape",
    "shape_of_pickle": "_shape",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        value = getattr(importlib.import_module(f"objcache.codecs.{_LATE[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'objcache.codecs' has no attribute {name!r}")


def _new_raw() -> Codec:
    from objcache.codecs._raw import RawCodec  # noqa: PLC0415  # see _LATE

    return RawCodec()


def _new_json() -> Codec:
    from objcache.codecs._json import JsonCodec  # noqa: PLC0415  # see _LATE

    return JsonCodec()


def _new_msgpack() -> Codec:
    from objcache.codecs._msgpack import MsgpackCodec  # noqa: PLC0415  # see _LATE

    return MsgpackCodec()


BUILTIN_CODECS: Final[dict[str, Callable[[], Codec]]] = {
    "raw": _new_raw,
    "json": _new_json,
    "msgpack": _new_msgpack,
}
"""What makes the data-only codecs, by the name that `Store(codec=...)` takes."""


def codec_by_name(name: str) -> Codec:
    """Return a codec of objcache; `"pickle"` is none, the record layer calls pickle itself.

    Raises:
        ValueError: no such codec.
        MissingExtraError: its package is not installed.
    """
    factory = BUILTIN_CODECS.get(name)
    if factory is None:
        raise ValueError(f"codec {name!r} is not one of pickle, {', '.join(BUILTIN_CODECS)}")
    return factory()


DEFAULT_COMPRESSION_THRESHOLD_BYTES: Final = 1024
"""Below this most values gain nothing: they share a page with others (docs/reference)."""


def compression_by_name(
    name: str | None,
    level: int | None = None,
    threshold_bytes: int = DEFAULT_COMPRESSION_THRESHOLD_BYTES,
) -> Compression | None:
    """Return how values are made smaller; None where *name* is None.

    Args:
        name: `"zlib"`, `"lz4"` or `"zstd"`.
        level: of the algorithm; None is its own default.
        threshold_bytes: what is smaller is stored as it is.

    Raises:
        ValueError: no such algorithm, level or threshold.
        MissingExtraError: its package is not installed.
    """
    if name is None:
        if level is not None:
            raise ValueError(f"compression_level={level} says nothing without compression=")
        return None
    from objcache.codecs._compression import Compression  # noqa: PLC0415  # see _LATE

    return Compression(name, level, threshold_bytes)


def check_custom_codec(codec: Codec) -> None:
    """Refuse a codec of the user's own that cannot be told apart from others on disk.

    Raises:
        ValueError: its id or version is no number or out of range.
        TypeError: it is no codec.
    """
    if isinstance(codec, type):
        raise TypeError(f"{codec.__qualname__} is a class; pass a codec made from it")
    for name in ("codec_id", "codec_version", "encode", "decode"):
        if not hasattr(codec, name):
            raise TypeError(f"{codec!r} is no codec: it lacks {name}")
    for name in ("encode", "decode"):
        if not callable(getattr(codec, name)):
            raise TypeError(f"{codec!r} is no codec: its {name} cannot be called")
    kind = type(codec).__name__
    if not _is_number(codec.codec_id) or not FIRST_CUSTOM_ID <= codec.codec_id <= LARGEST_ID:
        raise ValueError(
            f"codec_id={codec.codec_id!r} of {kind} is outside "
            f"{FIRST_CUSTOM_ID} to {LARGEST_ID}, the ids of codecs of one's own"
        )
    if not _is_number(codec.codec_version) or not 0 <= codec.codec_version <= 255:
        raise ValueError(f"codec_version={codec.codec_version!r} of {kind} is outside 0 to 255")


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
