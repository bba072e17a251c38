"""The two directions between a value and its record, for one store.

Knows: the short ways of small pickles, written out. Must not know: how parts are laid out or
decoded otherwise (`_assembly`, `_loading`); where records are kept.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Iterable, Mapping
from pickle import dumps, loads
from typing import TYPE_CHECKING, Any, Final

from blake3 import blake3

from objcache.codecs import (
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
    EncodeError,
    FormatError,
    SignatureError,
    UnsupportedFormatError,
)
from objcache.header import (
    COST,
    CREATED,
    DEADLINE,
    HEADER_BYTES,
    MAC_BYTES,
    MAC_END,
    MOMENT,
    SIGNED,
    Header,
    pack_fields,
    pack_prefix,
    unpack,
)
from objcache.protocols import MISSING, Codec, Files, Missing
from objcache.records import _assembly
from objcache.records._assembly import Assembly
from objcache.records._loading import Loading
from objcache.signing import KEY_FRAMES, Signer, equal_digests

if TYPE_CHECKING:
    from objcache.codecs import Compression

__all__ = ["Records"]

# From here on the copies of the fast path cost more than the calls it saves.
_FAST_MAX_BYTES: Final = 1 << 15
_MOMENTS: Final = struct.Struct(">QQ")
_COST_END: Final = MAC_END + MOMENT.size
_DEADLINE_COST_END: Final = MAC_END + _MOMENTS.size
_CREATED_END: Final = _COST_END
_DEADLINE_CREATED_END: Final = _DEADLINE_COST_END
_DEFAULT_PROTOCOL: Final = 5
_NEVER: Final = b"\xff" * HEADER_BYTES


class Records:
    """The two directions between a value and its record, for one store.

    Args:
        signer: authenticates; nothing is decoded that it does not verify.
        codec: `"pickle"`, `"raw"`, `"json"`, `"msgpack"`, or a codec of one's own.
        protocol: the pickle protocol to write; None is 5. What is read names its own.
        codecs: further codecs of one's own that may be read.
        trust: an allow-list of exact class names for the unpickler; None allows every class.
        renames: old to new dotted names of classes or modules that have moved.
        files: where large parts of values are kept; None keeps all in the record.
        compression: what makes values smaller; None stores them as they are. Either is read.
        aside_bytes: from how many bytes of buffers, and of payload, on they go to *files*;
            None is 256 KiB and 1 MiB (docs/design/decisions/0015).
        views: whether reads give large buffers as `view` does, unverified.

    Concurrency: immutable, shared by all threads.
    """

    __slots__ = (
        *("_arguments", "_assembly", "_codec", "_costed", "_costed_until", "_created"),
        *("_created_decoded", "_created_until", "_created_until_decoded", "_files"),
        *("_flat_max_bytes", "_hashers", "_loading", "_mac_key", "_plain", "_plain_decoded"),
        *("_protocol", "_signer"),
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
        files: Files | None = None,
        compression: Compression | None = None,
        aside_bytes: tuple[int, int] | None = None,
        views: bool = False,
    ) -> None:
        self._files = files
        self._signer = signer
        self._mac_key = signer.key
        self._hashers: list[blake3] = []
        self._protocol = _checked_protocol(protocol)
        self._codec = _chosen(codec)
        customs = tuple(codecs)
        self._loading = Loading(self._codec, customs, trust, renames, views=views)
        if aside_bytes is None:
            aside_bytes = _assembly.ASIDE_BUFFERS_BYTES, _assembly.ASIDE_PAYLOAD_BYTES
        self._assembly = Assembly(signer, compression, aside_bytes)
        self._arguments: dict[str, Any] = {
            "codec": codec,
            "protocol": self._protocol,
            "codecs": customs,
            "trust": self._loading.trust,
            "renames": renames,
            "files": files,
            "compression": compression,
            "aside_bytes": aside_bytes,
            "views": views,
        }
        threshold = aside_bytes[1] if compression is None else compression.threshold_bytes
        self._flat_max_bytes = min(threshold, aside_bytes[1])
        self._set_prefixes()

    def _set_prefixes(self) -> None:
        """Know what those records begin with whose ways are written out."""
        loads_all = self._loading.loads_every_pickle
        self._plain = self._prefix(SIGNED)
        self._created = self._prefix(SIGNED | CREATED)
        self._created_until = self._prefix(SIGNED | CREATED | DEADLINE)
        self._plain_decoded = self._plain if loads_all else _NEVER
        self._costed = self._prefix(SIGNED | COST) if loads_all else _NEVER
        self._costed_until = self._prefix(SIGNED | COST | DEADLINE) if loads_all else _NEVER
        self._created_decoded = self._created if loads_all else _NEVER
        self._created_until_decoded = self._created_until if loads_all else _NEVER

    def _prefix(self, flags: int) -> bytes:
        return pack_prefix(CodecId.PICKLE, self._protocol, flags)

    def using(self, codec: str | Codec) -> Records:
        """Return the same with another codec for what is written."""
        return self._like(codec=codec)

    def aside_from(self, least_bytes: int) -> Records:
        """Return the same, putting large parts aside from *least_bytes* on."""
        return self._like(aside_bytes=(least_bytes, least_bytes))

    def viewing(self) -> Records:
        """Return the same, whose reads give large buffers as `view` does, unverified."""
        return self._like(views=True)

    def _like(self, **changed: Any) -> Records:
        return Records(self._signer, **{**self._arguments, **changed})

    def encode(
        self,
        engine_key: bytes,
        full_key: bytes,
        value: Any,
        deadline_us: int | None = None,
        tags: tuple[str, ...] = (),
        cost_us: int | None = None,
        created_us: int | None = None,
    ) -> bytes | bytearray:
        """Return the signed record of *value* for *engine_key*.

        Raises:
            EncodeError: the value, or a part of it that the error names, cannot be encoded.

        Cost:
            One encoding, one keyed hash; small values are copied twice, buffers once. With
            compression a pass over what is not smaller than its threshold.
        """
        buffers: Iterable[pickle.PickleBuffer] = ()
        if self._codec is None:
            try:
                if self._protocol == 5:
                    buffers = OutOfBand()
                    payload = dumps(value, 5, buffer_callback=buffers.keep)
                else:
                    payload = dumps(value, self._protocol)
            except MemoryError:
                raise
            except Exception as error:
                raise encode_failure(value, error, self._protocol) from error
            if (
                len(payload) < self._flat_max_bytes
                and not buffers
                and not full_key
                and cost_us is None
                and not tags
                and (deadline_us is None or created_us is not None)
            ):
                # Flat on purpose, and like `decode`: bench/workloads/set_one.py; oracle: `Assembly`.
                prefix, signed = self._plain, payload
                if deadline_us is not None:
                    prefix = self._created_until
                    signed = _MOMENTS.pack(deadline_us, created_us) + payload
                elif created_us is not None:
                    prefix, signed = self._created, MOMENT.pack(created_us) + payload
                try:
                    hasher = self._hashers.pop()
                except IndexError:
                    hasher = blake3(key=self._mac_key)
                hasher.reset()
                hasher.update(KEY_FRAMES[len(engine_key)] + engine_key + prefix + signed)
                mac = hasher.digest(MAC_BYTES)
                self._hashers.append(hasher)
                return prefix + mac + signed
            encoded_by = int(CodecId.PICKLE), self._protocol
        else:
            payload = _encoded(self._codec, value)
            encoded_by = self._codec.codec_id, self._codec.codec_version
        fields = pack_fields(deadline_us, cost_us, created_us, tags, full_key)
        if len(payload) < self._flat_max_bytes and not buffers:
            return self._assembly.signed(engine_key, encoded_by, fields[0], fields[1] + payload)
        views = [buffer.raw() for buffer in buffers]
        return self._assembly.record(engine_key, encoded_by, fields, payload, views, self._files)

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

    def decode_entry(
        self,
        key: object,
        engine_key: bytes,
        full_key: bytes,
        record: bytes,
        now: Callable[[], float],
    ) -> Any | Missing:
        """Return the value of the *record* of a cache; `MISSING` from its deadline on.

        Args:
            key: as for `decode`, like the next three.
            engine_key: where the record was found.
            full_key: the full encoded key.
            record: the bytes found.
            now: returns seconds since the Unix epoch; called if the record has a deadline.

        Raises:
            SignatureError, CorruptRecordError, UnsupportedFormatError, DecodeError: as `decode`.
        """
        # Flat on purpose, and like `decode`: bench/workloads/cache_get.py.
        prefix, start = self._created_decoded, _CREATED_END
        if not record.startswith(prefix):
            prefix, start = self._created_until_decoded, _DEADLINE_CREATED_END
        if record.startswith(prefix) and start <= len(record) < _FAST_MAX_BYTES and not full_key:
            try:
                hasher = self._hashers.pop()
            except IndexError:
                hasher = blake3(key=self._mac_key)
            hasher.reset()
            hasher.update(KEY_FRAMES[len(engine_key)] + engine_key + prefix + record[MAC_END:])
            mac = hasher.digest(MAC_BYTES)
            self._hashers.append(hasher)
            if equal_digests(mac, record[HEADER_BYTES:MAC_END]):
                if start == _DEADLINE_CREATED_END:
                    (deadline_us,) = MOMENT.unpack_from(record, MAC_END)
                    if deadline_us <= now() * 1_000_000:
                        return MISSING
                try:
                    return loads(record[start:])
                except MemoryError:
                    raise
                except Exception as error:
                    raise decode_failure(error, record[start:]) from error
        header = self.authenticate(key, engine_key, record)
        if header.full_key != full_key:
            return MISSING
        if header.deadline_us is not None and header.deadline_us <= now() * 1_000_000:
            return MISSING
        return self.load(key, header, record)

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

    def redated(
        self, key: object, engine_key: bytes, record: bytes, deadline_us: int | None
    ) -> bytes | bytearray:
        """Return *record* with another deadline, signed anew; the value is not decoded.

        Raises:
            SignatureError, CorruptRecordError, UnsupportedFormatError: as `decode`.

        Cost: one copy, one keyed hash; buffers that lie in the record are compared and hashed.
        """
        header = self.authenticate(key, engine_key, record)
        if header.buffers and not header.side_file:
            self.verify(key, header, record)
        fields = pack_fields(
            deadline_us, header.cost_us, header.created_us, header.tags, header.full_key
        )
        return self._assembly.redated(engine_key, fields, header, record)

    def load(self, key: object, header: Header, record: bytes) -> Any:
        """Return the value of a *record* whose *header* `authenticate` has returned.

        Raises:
            CorruptRecordError, UnsupportedFormatError, DecodeError: as `decode`.
            SideFileMissingError: the file that it names is gone: read the record again.
        """
        return self._loading.load(key, header, record, self._files)

    def verify(self, key: object, header: Header, record: bytes) -> None:
        """Compare the buffers of an authentic *record* with their digests; nothing is decoded.

        Raises:
            CorruptRecordError: one was altered.
            SideFileMissingError: as for `load`.
        """
        self._loading.verify(key, header, record, self._files)

    def view(self, key: object, header: Header, record: bytes, *, verify: bool) -> Any:
        """Return the value of a *record*, its large buffers as read-only views of its side file.

        Args:
            key: for messages.
            header: of the record, as `authenticate` has returned it.
            record: the bytes found.
            verify: compare the digests, which reads all of the file.

        Raises:
            CorruptRecordError: the file is too short, or *verify* finds it altered.
            SideFileMissingError, UnsupportedFormatError, DecodeError: as for `load`.

        Cost: what is compressed is read, compared and decompressed into memory.
        """
        return self._loading.view(key, header, record, self._files, verify=verify)


def _chosen(codec: str | Codec) -> Codec | None:
    """Return the codec that writes; None is pickle."""
    if isinstance(codec, str):
        return None if codec == "pickle" else codec_by_name(codec)
    check_custom_codec(codec)
    return codec


def _encoded(codec: Codec, value: Any) -> bytes:
    try:
        return codec.encode(value)
    except (CodecError, MemoryError):
        raise
    except Exception as error:
        reason = f"codec {codec.codec_id} failed: {type(error).__name__}: {error}"
        raise EncodeError("value", type(value).__qualname__, reason) from error


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
