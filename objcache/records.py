"""Values to records and back: encode, sign; authenticate, then decode.

Knows: header, codecs, signing. Must not know: where records are kept.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterable, Mapping
from pickle import dumps, loads
from typing import Any, Final

from blake3 import blake3

from objcache import codecs as codecs_package
from objcache.codecs import (
    LARGEST_BUILTIN_ID,
    CodecId,
    OutOfBand,
    check_custom_codec,
    codec_by_name,
    decode_failure,
    encode_failure,
)
from objcache.errors import (
    CodecError,
    CorruptRecordError,
    DecodeError,
    EncodeError,
    FormatError,
    SignatureError,
    UnknownCodecError,
    UnsupportedFormatError,
)
from objcache.header import (
    COST,
    DEADLINE,
    HEADER_BYTES,
    MAC_BYTES,
    MAC_END,
    MOMENT,
    SIGNED,
    Header,
    aligned,
    pack_fields,
    pack_prefix,
    unpack,
)
from objcache.protocols import MISSING, Codec, Missing
from objcache.signing import KEY_FRAMES, Signer, digest, equal_digests

__all__ = ["MAX_RECORD_BYTES", "Records"]

MAX_RECORD_BYTES: Final = 2**32 - 1
"""The largest value of the engine."""

# From here on the copies of the fast path cost more than the calls it saves.
_FAST_MAX_BYTES: Final = 1 << 15
_MOMENTS: Final = struct.Struct(">QQ")
_COST_END: Final = MAC_END + MOMENT.size
_DEADLINE_COST_END: Final = MAC_END + _MOMENTS.size
_DEFAULT_PROTOCOL: Final = 5
_NEVER: Final = b"\xff" * HEADER_BYTES
_BUILTIN_NAMES: Final = {
    CodecId.RAW: "raw",
    CodecId.JSON: "json",
    CodecId.MSGPACK: "msgpack",
}


class Records:
    """The two directions between a value and its record, for one store.

    Args:
        signer: authenticates; nothing is decoded that it does not verify.
        codec: `"pickle"`, `"raw"`, `"json"`, `"msgpack"`, or a codec of one's own.
        protocol: the pickle protocol to write; None is 5. What is read names its own.
        codecs: further codecs of one's own that may be read.
        trust: an allow-list of exact class names for the unpickler; None allows every class.
        renames: old to new dotted names of classes or modules that have moved.

    Concurrency: immutable, shared by all threads.
    """

    __slots__ = (
        "_codec",
        "_costed",
        "_costed_until",
        "_customs",
        "_hashers",
        "_mac_key",
        "_pickles",
        "_plain",
        "_plain_decoded",
        "_protocol",
        "_readable",
        "_renames",
        "_signer",
        "_trust",
    )

    def __init__(
        self,
        signer: Signer,
        *,
        codec: str | Codec = "pickle",
        protocol: int | None = None,
        codecs: Iterable[Codec] = (),
        trust: Iterable[str | type] | None = None,
        renames: Mapping[str, str] | None = None,
    ) -> None:
        self._signer = signer
        self._mac_key = signer.key
        self._hashers: list[blake3] = []
        self._protocol = _checked_protocol(protocol)
        self._codec: Codec | None = None
        if isinstance(codec, str):
            if codec != "pickle":
                self._codec = codec_by_name(codec)
        else:
            check_custom_codec(codec)
            self._codec = codec
        self._readable: dict[int, Codec] = {}
        self._customs = tuple(codecs)
        for custom in self._customs:
            check_custom_codec(custom)
            self._readable[custom.codec_id] = custom
        if self._codec is not None:
            self._readable[self._codec.codec_id] = self._codec
        # A store with a data-only codec has no unpickler at all.
        self._pickles = self._codec is None
        self._trust = None if trust is None else codecs_package.trust_names(trust)
        self._renames = dict(renames or {})
        self._plain = pack_prefix(CodecId.PICKLE, self._protocol, SIGNED)
        restricted = self._trust is not None or self._renames
        loads_all = self._pickles and not restricted
        self._plain_decoded = self._plain if loads_all else _NEVER
        self._costed = self._costed_until = _NEVER
        if loads_all:
            self._costed = pack_prefix(CodecId.PICKLE, self._protocol, SIGNED | COST)
            flags = SIGNED | COST | DEADLINE
            self._costed_until = pack_prefix(CodecId.PICKLE, self._protocol, flags)

    def using(self, codec: str | Codec) -> Records:
        """Return the same with another codec for what is written."""
        return Records(
            self._signer,
            codec=codec,
            protocol=self._protocol,
            codecs=self._customs,
            trust=self._trust,
            renames=self._renames,
        )

    def encode(
        self,
        engine_key: bytes,
        full_key: bytes,
        value: Any,
        deadline_us: int | None = None,
        tags: tuple[str, ...] = (),
        cost_us: int | None = None,
    ) -> bytes | bytearray:
        """Return the signed record of *value* for *engine_key*.

        Raises:
            EncodeError: the value, or a part of it that the error names, cannot be encoded.

        Cost:
            One encoding, one keyed hash; small values are copied twice, buffers once.
        """
        if self._codec is None:
            try:
                if self._protocol == 5:
                    buffers = OutOfBand()
                    payload = dumps(value, 5, buffer_callback=buffers.keep)
                    if buffers:
                        fields = {"deadline_us": deadline_us, "tags": tags, "cost_us": cost_us}
                        return self._with_buffers(
                            engine_key, payload, buffers, {**fields, "full_key": full_key}
                        )
                else:
                    payload = dumps(value, self._protocol)
            except MemoryError:
                raise
            except Exception as error:
                raise encode_failure(value, error, self._protocol) from error
            if not full_key and deadline_us is None and cost_us is None and not tags:
                # Flat on purpose, and like `decode`: bench/workloads/set_one.py; oracle: `_signed`.
                try:
                    hasher = self._hashers.pop()
                except IndexError:
                    hasher = blake3(key=self._mac_key)
                hasher.reset()
                hasher.update(KEY_FRAMES[len(engine_key)] + engine_key + self._plain + payload)
                mac = hasher.digest(MAC_BYTES)
                self._hashers.append(hasher)
                return self._plain + mac + payload
            codec_id, version = int(CodecId.PICKLE), self._protocol
        else:
            payload = _encoded(self._codec, value)
            codec_id, version = self._codec.codec_id, self._codec.codec_version
        flags, packed = pack_fields(
            deadline_us=deadline_us, cost_us=cost_us, tags=tags, full_key=full_key
        )
        return self._signed(engine_key, codec_id, version, flags, packed + payload)

    def decode(
        self, key: object, engine_key: bytes, full_key: bytes, record: bytes
    ) -> Any | Missing:
        """Return the value of *record*, or `MISSING` where it belongs to another key.

        Args:
            key: the user's key, for messages; bytes where only the engine key is known.
            engine_key: where the record was found.
            full_key: the full encoded key, where the engine key is a shortened one.
            record: the bytes found.

        Raises:
            SignatureError: not authentic; nothing was decoded.
            CorruptRecordError: not a record at all, or a buffer was altered.
            UnsupportedFormatError: a newer format, an unknown codec or pickle protocol.
            DecodeError: authentic, but the value cannot be loaded.
        """
        # Flat on purpose: bench/workloads/get_hit.py; oracle: `authenticate` and `load`.
        # A hasher that is used again costs two thirds of a new one; a list gives it to one
        # thread at a time.
        if record.startswith(self._plain_decoded) and len(record) < _FAST_MAX_BYTES:
            payload = record[MAC_END:]
            try:
                hasher = self._hashers.pop()
            except IndexError:
                hasher = blake3(key=self._mac_key)
            hasher.reset()
            hasher.update(KEY_FRAMES[len(engine_key)] + engine_key + self._plain_decoded + payload)
            mac = hasher.digest(MAC_BYTES)
            self._hashers.append(hasher)
            if equal_digests(mac, record[HEADER_BYTES:MAC_END]):
                if full_key:
                    return MISSING
                try:
                    return loads(payload)
                except MemoryError:
                    raise
                except Exception as error:
                    raise decode_failure(error, payload) from error
        header = self.authenticate(key, engine_key, record)
        if header.full_key != full_key:
            return MISSING
        return self.load(key, header, record)

    def decode_dated(
        self, key: object, engine_key: bytes, record: bytes
    ) -> tuple[Any, int, int | None]:
        """Return the value of *record*, its cost and its deadline, both in microseconds.

        Args:
            key: for messages.
            engine_key: where the record was found; not a shortened one.
            record: the bytes found.

        Raises:
            SignatureError, CorruptRecordError, UnsupportedFormatError, DecodeError: as `decode`.
        """
        # Flat on purpose, and like `decode`: bench/workloads/memo_hit.py.
        prefix, start = self._costed, _COST_END
        if not record.startswith(prefix):
            prefix, start = self._costed_until, _DEADLINE_COST_END
        if record.startswith(prefix) and start <= len(record) < _FAST_MAX_BYTES:
            try:
                hasher = self._hashers.pop()
            except IndexError:
                hasher = blake3(key=self._mac_key)
            hasher.reset()
            hasher.update(
                b"".join((KEY_FRAMES[len(engine_key)], engine_key, prefix, record[MAC_END:]))
            )
            mac = hasher.digest(MAC_BYTES)
            self._hashers.append(hasher)
            if equal_digests(mac, record[HEADER_BYTES:MAC_END]):
                try:
                    value = loads(record[start:])
                except MemoryError:
                    raise
                except Exception as error:
                    raise decode_failure(error, record[start:]) from error
                if start == _COST_END:
                    (cost_us,) = MOMENT.unpack_from(record, MAC_END)
                    return value, cost_us, None
                deadline_us, cost_us = _MOMENTS.unpack_from(record, MAC_END)
                return value, cost_us, deadline_us
        header = self.authenticate(key, engine_key, record)
        if header.full_key:
            raise CorruptRecordError(key, "it keeps a full key that it does not need")
        value = self.load(key, header, record)
        return value, header.cost_us or 0, header.deadline_us

    def authenticate(self, key: object, engine_key: bytes, record: bytes) -> Header:
        """Return the header of *record* after its MAC was checked; decode nothing.

        Raises:
            SignatureError, CorruptRecordError, UnsupportedFormatError: as `decode`.
        """
        try:
            header = unpack(record)
        except UnsupportedFormatError:
            raise
        except FormatError as error:
            raise CorruptRecordError(key, str(error)) from error
        if not header.flags & SIGNED:
            raise SignatureError(key, "it carries no signature")
        if not self._signer.verifies(engine_key, record, header.payload_end):
            raise SignatureError(
                key, "its signature was not made with the secret of this store, or it was altered"
            )
        return header

    def load(self, key: object, header: Header, record: bytes) -> Any:
        """Return the value of a *record* whose *header* `authenticate` has returned."""
        view = memoryview(record)
        payload = view[header.payload_start : header.payload_end]
        if header.codec_id == CodecId.PICKLE:
            return self._load_pickle(key, header, view, payload)
        codec = self._codec_of(header)
        try:
            return codec.decode(payload)
        except (CodecError, MemoryError):
            raise
        except Exception as error:
            reason = f"codec {codec.codec_id} failed: {type(error).__name__}: {error}"
            raise DecodeError("", "", reason) from error

    def _load_pickle(
        self, key: object, header: Header, view: memoryview, payload: memoryview
    ) -> Any:
        if not self._pickles:
            raise DecodeError(
                "", "", "the record is a pickle, and the store was opened with a data-only codec"
            )
        if header.codec_version > pickle.HIGHEST_PROTOCOL:
            raise UnsupportedFormatError(
                "pickle protocol", header.codec_version, pickle.HIGHEST_PROTOCOL
            )
        buffers = []
        for number, buffer in enumerate(header.buffers):
            part = view[buffer.start : buffer.end]
            if digest(part) != buffer.digest:
                raise CorruptRecordError(key, f"buffer {number} was altered")
            buffers.append(bytearray(part))
        try:
            if self._trust is None and not self._renames:
                return loads(payload, buffers=buffers)
            return codecs_package.loads_restricted(
                payload, buffers, trust=self._trust, renames=self._renames
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

    def _with_buffers(
        self,
        engine_key: bytes,
        payload: bytes,
        buffers: OutOfBand,
        named: dict[str, Any],
    ) -> bytearray:
        views = [buffer.raw() for buffer in buffers]
        sizes = [view.nbytes for view in views]

        def fields(digests: Iterable[bytes]) -> tuple[int, bytes]:
            return pack_fields(
                **named,
                payload_bytes=len(payload),
                buffers=tuple(zip(sizes, digests, strict=True)),
            )

        head_bytes = MAC_END + len(fields([b""] * len(sizes))[1]) + len(payload)
        starts, end = [], head_bytes
        for size in sizes:
            starts.append(aligned(end))
            end = starts[-1] + size
        _check_size(end)
        record = bytearray(end)
        with memoryview(record) as target:
            # Digests are taken of the copy: another thread may be writing to the original.
            for start, view in zip(starts, views, strict=True):
                target[start : start + view.nbytes] = view
            flags, head = fields(
                digest(target[start : start + size])
                for start, size in zip(starts, sizes, strict=True)
            )
            target[:head_bytes] = self._signed(
                engine_key, CodecId.PICKLE, self._protocol, flags, head + payload
            )
        return record

    def _signed(
        self, engine_key: bytes, codec_id: int, codec_version: int, flags: int, signed: bytes
    ) -> bytes:
        _check_size(MAC_END + len(signed))
        prefix = pack_prefix(codec_id, codec_version, flags | SIGNED)
        return prefix + self._signer.mac(engine_key, prefix, signed) + signed


def _encoded(codec: Codec, value: Any) -> bytes:
    try:
        return codec.encode(value)
    except (CodecError, MemoryError):
        raise
    except Exception as error:
        reason = f"codec {codec.codec_id} failed: {type(error).__name__}: {error}"
        raise EncodeError("value", type(value).__qualname__, reason) from error


def _check_size(record_bytes: int) -> None:
    if record_bytes > MAX_RECORD_BYTES:
        raise EncodeError(
            "value",
            "bytes",
            f"its record has {record_bytes} bytes, the engine takes up to {MAX_RECORD_BYTES}",
        )


def _checked_protocol(protocol: int | None) -> int:
    if protocol is None:
        return _DEFAULT_PROTOCOL
    if protocol < 0:
        return pickle.HIGHEST_PROTOCOL
    if protocol > pickle.HIGHEST_PROTOCOL:
        raise ValueError(
            f"pickle protocol {protocol} was asked for, this Python writes up to "
            f"{pickle.HIGHEST_PROTOCOL}"
        )
    return protocol
