"""Payloads and buffers made smaller, and back.

Knows: zlib, and the packages lz4 and backports.zstd (extras). Must not know: what the bytes are;
records, and whether they are authentic: nothing is to be decompressed before that is known.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple, Protocol

from objcache.codecs._ids import CompressionId
from objcache.codecs._wording import failure_text
from objcache.errors import FormatError, MissingExtraError, UnsupportedFormatError

__all__ = ["Compression", "decompress"]

# What saves less than an eighth is not worth being decompressed at each read.
_LARGEST_SHARE: Final = 7 / 8
# From here on a few samples tell whether the whole is worth it: zlib takes 3 s for 100 MB of noise.
_SAMPLED_BYTES: Final = 1 << 20
_SAMPLES: Final = 16
_SAMPLE_BYTES: Final = 1 << 14
# Output grows by steps: a stream that lies about its size takes no memory for what it has not.
_STEP_BYTES: Final = 1 << 20
_FED_BYTES: Final = 1 << 16


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, data: bytes | memoryview, max_length: int, /) -> bytes: ...


class _Algorithm(NamedTuple):
    """What a library offers: `compress` takes content and level."""

    compress: Callable[[Any, int], bytes]
    decompressor: Callable[[], _Decompressor]
    default_level: int


_LEVELS: Final = {"zlib": (1, 9), "lz4": (0, 12), "zstd": (-7, 22)}


class Compression:
    """How parts of values are made smaller when they are written.

    Args:
        name: `"zlib"`, `"lz4"` or `"zstd"`.
        level: of the algorithm; None is its own default.
        threshold_bytes: what is smaller is stored as it is.

    Raises:
        ValueError: no such algorithm, level or threshold.
        MissingExtraError: its package is not installed.

    >>> Compression("zlib", None, 100).smaller(bytes(1000))[:2].hex()
    '789c'

    Concurrency: immutable, shared by all threads. Libraries let other threads run meanwhile.
    """

    __slots__ = ("_compress", "_level", "algorithm", "threshold_bytes")

    def __init__(self, name: str, level: int | None, threshold_bytes: int) -> None:
        if name not in _LEVELS:
            raise ValueError(f"compression={name!r} is not one of {', '.join(_LEVELS)}, or None")
        lowest, highest = _LEVELS[name]
        if level is not None and not lowest <= level <= highest:
            raise ValueError(
                f"compression_level={level!r} of {name} is not between {lowest} and {highest}"
            )
        if threshold_bytes < 0:
            raise ValueError(f"compression_threshold_bytes={threshold_bytes!r} is below 0")
        self.algorithm = int(CompressionId[name.upper()])
        self.threshold_bytes = max(threshold_bytes, 1)
        self._compress, _, default_level = _algorithm(self.algorithm)
        self._level = default_level if level is None else level

    def smaller(self, part: bytes | memoryview) -> bytes | None:
        """Return *part* compressed; None where that would not save an eighth of it.

        Cost:
            One pass; of parts of 1 MiB and more first 256 KiB in samples, which tell whether the
            rest is looked at.
        """
        size = len(part)
        if size < self.threshold_bytes:
            return None
        if size >= _SAMPLED_BYTES:
            step = (size - _SAMPLE_BYTES) // (_SAMPLES - 1)
            starts = range(0, _SAMPLES * step, step)
            samples = b"".join(part[start : start + _SAMPLE_BYTES] for start in starts)
            if len(self._compress(samples, self._level)) > len(samples) * _LARGEST_SHARE:
                return None
        smaller = self._compress(part, self._level)
        return smaller if len(smaller) <= size * _LARGEST_SHARE else None


def decompress(
    algorithm: int, content: bytes | bytearray | memoryview, raw_bytes: int
) -> bytearray:
    """Return what *content*, which the caller has authenticated, was made from.

    Args:
        algorithm: a `CompressionId`.
        content: what `Compression.smaller` has returned.
        raw_bytes: the size of the result.

    Raises:
        UnsupportedFormatError: an unknown algorithm.
        MissingExtraError: the package of the algorithm is not installed.
        FormatError: *content* is damaged, or does not give exactly *raw_bytes*.
        MemoryError: there is not enough for them.

    Cost:
        Memory grows with what comes out, up to *raw_bytes* and no further.
    """
    stream = _algorithm(algorithm).decompressor()
    raw = bytearray()
    fed_bytes = 0
    try:
        with memoryview(content) as view:
            while fed_bytes < len(view) and not stream.eof:
                _take_up(stream, view[fed_bytes : fed_bytes + _FED_BYTES], raw, raw_bytes)
                fed_bytes += _FED_BYTES
    except FormatError:
        raise
    except MemoryError as error:
        raise MemoryError(
            f"a value takes {raw_bytes} bytes decompressed, and there are none left"
        ) from error
    except Exception as error:  # each library has an error of its own
        raise FormatError(f"its compressed stream is damaged: {failure_text(error)}") from error
    if len(raw) != raw_bytes or not stream.eof:
        raise FormatError(
            f"its compressed stream ends after {len(raw)} bytes, {raw_bytes} are recorded"
        )
    if stream.unused_data or fed_bytes < len(content):
        raise FormatError("bytes follow the end of its compressed stream")
    return raw


def _take_up(
    stream: _Decompressor, fed: bytes | memoryview, raw: bytearray, raw_bytes: int
) -> None:
    """Append to *raw* all that comes out of *fed*."""
    while not stream.eof:
        wanted = min(_STEP_BYTES, raw_bytes - len(raw) + 1)
        step = stream.decompress(fed, wanted)
        raw += step
        if len(raw) > raw_bytes:
            raise FormatError(
                f"its compressed stream gives more than the recorded {raw_bytes} bytes"
            )
        if len(step) < wanted:
            return
        fed = b""


@cache
def _algorithm(algorithm: int) -> _Algorithm:
    if algorithm == CompressionId.ZLIB:
        return _Algorithm(zlib.compress, _Inflating, 6)
    if algorithm == CompressionId.LZ4:
        return _lz4()
    if algorithm == CompressionId.ZSTD:
        return _zstd()
    raise UnsupportedFormatError("compression", algorithm, int(max(CompressionId)))


def _lz4() -> _Algorithm:
    try:
        from lz4 import frame  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise MissingExtraError("lz4 compression", "lz4", "lz4") from error

    def compress(content: Any, level: int) -> bytes:
        packed: bytes = frame.compress(content, level, store_size=False)
        return packed

    return _Algorithm(compress, frame.LZ4FrameDecompressor, 0)


def _zstd() -> _Algorithm:
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd  # noqa: PLC0415  # some builds of Python lack it
        else:
            from backports import zstd  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise MissingExtraError("zstd compression", "backports.zstd", "zstd") from error
    return _Algorithm(zstd.compress, zstd.ZstdDecompressor, 3)


class _Inflating:
    """The decompressor of zlib, with the manners of the others."""

    __slots__ = ("_stream",)

    def __init__(self) -> None:
        self._stream = zlib.decompressobj()

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached."""
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        """What follows the end of the stream."""
        return self._stream.unused_data

    def decompress(self, data: bytes | memoryview, max_length: int, /) -> bytes:
        """Return at most *max_length* bytes of what is left of the last data, and of *data*."""
        return self._stream.decompress(self._stream.unconsumed_tail + bytes(data), max_length)
