"""Authentic records to values: find their parts, compare digests, decompress, decode.

Knows: which codecs may read. Must not know: whether a record is authentic; the caller does.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping, Sequence
from pickle import loads
from typing import Any, Final

from objcache import codecs as codecs_package
from objcache.codecs import (
    LARGEST_BUILTIN_ID,
    CodecId,
    check_custom_codec,
    codec_by_name,
    decode_failure,
    trust_names,
)
from objcache.errors import (
    CodecError,
    CorruptRecordError,
    DecodeError,
    FormatError,
    UnknownCodecError,
    UnsupportedFormatError,
)
from objcache.header import Header
from objcache.protocols import Codec, Files
from objcache.records._blobs import is_blob, read_blob
from objcache.signing import digest

__all__ = ["Loading"]

_BUILTIN_NAMES: Final = {
    CodecId.RAW: "raw",
    CodecId.JSON: "json",
    CodecId.MSGPACK: "msgpack",
}


class Loading:
    """What turns records of one store into values, once they are known to be authentic.

    Args:
        codec: that writes; None is pickle. Another one means that pickles are refused.
        codecs: further codecs of one's own that may be read.
        trust: an allow-list of exact class names for the unpickler; None allows every class.
        renames: old to new dotted names of classes or modules that have moved.
        views: whether `load` is `view` without verification, where there is a side file.

    Concurrency: immutable but for codecs that it has made, shared by all threads.
    """

    __slots__ = ("_pickles", "_readable", "_renames", "_views", "trust")

    def __init__(
        self,
        codec: Codec | None,
        codecs: Iterable[Codec],
        trust: Iterable[str | type] | None,
        renames: Mapping[str, str] | None,
        *,
        views: bool = False,
    ) -> None:
        self._readable: dict[int, Codec] = {}
        for custom in codecs:
            check_custom_codec(custom)
            self._readable[custom.codec_id] = custom
        if codec is not None:
            self._readable[codec.codec_id] = codec
        # A store with a data-only codec has no unpickler at all.
        self._pickles = codec is None
        self.trust = None if trust is None else trust_names(trust)
        self._renames = dict(renames or {})
        self._views = views

    @property
    def loads_every_pickle(self) -> bool:
        """Whether `pickle.loads` alone gives the value of a pickle."""
        return self._pickles and self.trust is None and not self._renames

    def load(self, key: object, header: Header, record: bytes, files: Files | None) -> Any:
        """Return the value of a *record*; its parts are copied, unless *views* was given.

        Raises:
            CorruptRecordError: a buffer was altered, or is not what it was made from.
            SideFileMissingError: the file that it names is gone: read the record again.
            UnsupportedFormatError, MissingExtraError, DecodeError: it cannot be decoded here.
        """
        if self._views and header.side_file:
            return self.view(key, header, record, files, verify=False)
        view = memoryview(record)
        payload = view[header.payload_start : header.payload_end]
        if not header.buffers and not header.compression:
            return self._value(header, payload, [])
        if is_blob(header):
            return read_blob(key, header, _known(key, files))
        buffers: list[Any] = [view[part.start : part.end] for part in header.buffers]
        if header.side_file:
            places = [(part.start, part.end) for part in header.buffers]
            buffers = list(_known(key, files).read(header.side_file, places))
        elif not header.compression:
            buffers = list(map(bytearray, buffers))
        _verify(key, header, buffers, range(len(buffers)))
        return self._value(header, *_expanded(key, header, payload, buffers))

    def view(
        self, key: object, header: Header, record: bytes, files: Files | None, *, verify: bool
    ) -> Any:
        """Return the value of a *record*, its large buffers as read-only views of its side file.

        Raises:
            CorruptRecordError: the file is too short, or something was found altered.
            SideFileMissingError, UnsupportedFormatError, MissingExtraError, DecodeError: as `load`.
        """
        if not header.side_file or is_blob(header):
            return self.load(key, header, record, files)
        buffers: list[Any] = _mapped(key, header, files)
        for number, (part, buffer) in enumerate(zip(header.buffers, buffers, strict=True)):
            if buffer.nbytes != part.end - part.start:
                raise CorruptRecordError(key, f"buffer {number} of its side file is cut short")
        # What is decoded or decompressed is always compared, and in a copy, as who can write to
        # the file could change it after the comparison: a pickle may run code.
        touched = [number for number, part in enumerate(header.buffers) if part.raw_bytes]
        if header.payload_aside and not header.buffers[0].raw_bytes:
            touched.append(0)
        for number in touched:
            buffers[number] = bytes(buffers[number])
        _verify(key, header, buffers, range(len(buffers)) if verify else touched)
        payload = memoryview(record)[header.payload_start : header.payload_end]
        payload, parts = _expanded(key, header, payload, buffers)
        return self._value(header, payload, [memoryview(part).toreadonly() for part in parts])

    def encoded(
        self, key: object, header: Header, record: bytes, files: Files | None
    ) -> tuple[memoryview, list[Any]]:
        """Return payload and buffers of a *record*, compared and decompressed; nothing is decoded.

        What lies in a side file as it is, is not copied: these are views of it.

        Raises:
            CorruptRecordError, SideFileMissingError, UnsupportedFormatError, MissingExtraError:
                as `load`.
        """
        view = memoryview(record)
        if header.side_file:
            buffers: list[Any] = _mapped(key, header, files)
        else:
            buffers = [view[part.start : part.end] for part in header.buffers]
        _verify(key, header, buffers, range(len(buffers)))
        payload = view[header.payload_start : header.payload_end]
        return _expanded(key, header, payload, buffers)

    def verify(self, key: object, header: Header, record: bytes, files: Files | None) -> None:
        """Compare the buffers of a *record* with their digests; nothing is decoded.

        Raises:
            CorruptRecordError, SideFileMissingError: as `load`.
        """
        if header.side_file:
            buffers = _mapped(key, header, files)
        else:
            view = memoryview(record)
            buffers = [view[part.start : part.end] for part in header.buffers]
        _verify(key, header, buffers, range(len(buffers)))

    def _value(self, header: Header, payload: memoryview, buffers: list[Any]) -> Any:
        if header.codec_id == CodecId.PICKLE:
            return self._unpickled(header, payload, buffers)
        codec = self._codec_of(header)
        try:
            return codec.decode(payload)
        except (CodecError, MemoryError):
            raise
        except Exception as error:
            reason = f"codec {codec.codec_id} failed: {type(error).__name__}: {error}"
            raise DecodeError("", "", reason) from error

    def _unpickled(self, header: Header, payload: memoryview, buffers: list[Any]) -> Any:
        if not self._pickles:
            raise DecodeError(
                "", "", "the record is a pickle, and the store was opened with a data-only codec"
            )
        if header.codec_version > pickle.HIGHEST_PROTOCOL:
            raise UnsupportedFormatError(
                "pickle protocol", header.codec_version, pickle.HIGHEST_PROTOCOL
            )
        try:
            if self.trust is None and not self._renames:
                return loads(payload, buffers=buffers)
            return codecs_package.loads_restricted(
                payload, buffers, trust=self.trust, renames=self._renames
            )
        except (CodecError, MemoryError):
            raise
        except Exception as error:
            raise decode_failure(error, payload) from error

    def _codec_of(self, header: Header) -> Codec:
        codec = self._readable.get(header.codec_id)
        if codec is None:
            name = _BUILTIN_NAMES.get(header.codec_id)  # type: ignore[call-overload]
            if name is None:
                raise UnknownCodecError(header.codec_id, LARGEST_BUILTIN_ID)
            codec = self._readable[header.codec_id] = codec_by_name(name)
        if header.codec_version > codec.codec_version:
            raise UnsupportedFormatError(
                f"version of codec {header.codec_id}", header.codec_version, codec.codec_version
            )
        return codec


def _known(key: object, files: Files | None) -> Files:
    if files is None:
        raise CorruptRecordError(key, "it names a side file, and no directory of them is known")
    return files


def _mapped(key: object, header: Header, files: Files | None) -> list[memoryview]:
    """Return the buffers of a record as read-only views of its side file."""
    places = [(part.start, part.end) for part in header.buffers]
    return _known(key, files).view(header.side_file, places)


def _verify(key: object, header: Header, buffers: Sequence[Any], numbers: Iterable[int]) -> None:
    for number in numbers:
        if header.buffers[number].digest != digest(buffers[number]):
            where = f" of its side file {header.side_file.hex()}" if header.side_file else ""
            raise CorruptRecordError(key, f"buffer {number}{where} was altered")


def _expanded(
    key: object, header: Header, payload: memoryview, buffers: list[Any]
) -> tuple[memoryview, list[Any]]:
    """Return payload and buffers, decompressed and told apart, of parts that are authentic."""
    if header.compression:
        from objcache.codecs import decompress  # noqa: PLC0415  # only for compressed records

        try:
            for number, part in enumerate(header.buffers):
                given = buffers[number]
                if part.raw_bytes:
                    buffers[number] = decompress(header.compression, given, part.raw_bytes)
                elif not header.side_file:
                    buffers[number] = bytearray(given)
            if header.payload_raw_bytes:
                raw_bytes = header.payload_raw_bytes
                payload = memoryview(decompress(header.compression, payload, raw_bytes))
        except UnsupportedFormatError:
            raise
        except FormatError as error:
            raise CorruptRecordError(key, str(error)) from error
    if header.payload_aside:
        payload = memoryview(buffers.pop(0))
    return payload, buffers
