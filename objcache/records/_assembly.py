"""Records that are more than a small pickle: parts are compressed, laid out, put aside, signed.

Knows: the layout of docs/design/format.md. Must not know: how values become bytes.
"""

# Annotations are not postponed: NamedTuple would compile each (bench/workloads/import_time.py).
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from objcache.errors import EncodeError
from objcache.header import (
    DIGEST_BYTES,
    MAC_END,
    SIGNED,
    Header,
    aligned,
    pack_parts,
    pack_prefix,
)
from objcache.protocols import Files
from objcache.signing import Signer, digest

if TYPE_CHECKING:
    from objcache.codecs import Compression

__all__ = ["ASIDE_BUFFERS_BYTES", "ASIDE_PAYLOAD_BYTES", "MAX_RECORD_BYTES", "Assembly"]

MAX_RECORD_BYTES: Final = 2**32 - 1
"""The largest value of the engine."""

# From here on a value's buffers, or its payload, lie in a side file: docs/design/decisions/0015.
ASIDE_BUFFERS_BYTES: Final = 1 << 18
ASIDE_PAYLOAD_BYTES: Final = 1 << 20


class _Given(NamedTuple):
    """One value on its way into a record."""

    engine_key: bytes
    codec: tuple[int, int]
    fields: tuple[int, bytes]
    payload: bytes
    buffers: Sequence[memoryview]
    parts: dict[str, Any]


class Assembly:
    """Puts records together for one store.

    Args:
        signer: of the store.
        compression: what makes parts smaller; None stores all as it is.
        aside_bytes: from how many bytes of buffers, and of payload, on they are put aside.

    Concurrency: immutable, shared by all threads.
    """

    __slots__ = ("_aside_bytes", "_compression", "_signer")

    def __init__(
        self, signer: Signer, compression: "Compression | None", aside_bytes: tuple[int, int]
    ) -> None:
        self._signer = signer
        self._compression = compression
        self._aside_bytes = aside_bytes

    @property
    def aside_payload_bytes(self) -> int:
        """From how many bytes on a payload is put aside."""
        return self._aside_bytes[1]

    def record(
        self,
        engine_key: bytes,
        codec: tuple[int, int],
        fields: tuple[int, bytes],
        payload: bytes,
        buffers: Sequence[memoryview],
        files: Files | None,
    ) -> bytes | bytearray:
        """Return the signed record of a value.

        Args:
            engine_key: where it will lie.
            codec: id and version of what has encoded it.
            fields: what `pack_fields` has returned.
            payload: the encoded value.
            buffers: its out-of-band buffers, one-dimensional, of bytes.
            files: where large parts are kept; None keeps all in the record.

        Raises:
            EncodeError: it is too large for the engine.

        Cost: buffers that are not compressed are copied once.
        """
        parts: dict[str, Any] = {}
        if self._compression is not None:
            payload, buffers, parts = _compressed(self._compression, payload, buffers)
        given = _Given(engine_key, codec, fields, payload, buffers, parts)
        if buffers:
            if files is not None and sum(map(len, buffers)) >= self._aside_bytes[0]:
                return self._aside(given, files)
            return self._with_buffers(given)
        if len(payload) >= self._aside_bytes[1] and files is not None:
            if parts:
                parts["raw_sizes"] = (0, *parts["raw_sizes"])
            parts["payload_aside"] = True
            return self._aside(given._replace(payload=b"", buffers=[memoryview(payload)]), files)
        return self._signed(given)

    def redated(
        self, engine_key: bytes, fields: tuple[int, bytes], header: Header, record: bytes
    ) -> bytes | bytearray:
        """Return the signed record with the value and the buffers of *record*, and other *fields*.

        The caller has compared buffers that lie in the record with their digests.
        Cost: these are copied once.
        """
        codec = header.codec_id, header.codec_version
        payload = record[header.payload_start : header.payload_end]
        parts: dict[str, Any] = {}
        if header.compression:
            parts = {"compression": header.compression, "raw_sizes": header.raw_sizes}
        if header.buffers and not header.side_file:
            view = memoryview(record)
            buffers = [view[part.start : part.end] for part in header.buffers]
            return self._with_buffers(_Given(engine_key, codec, fields, payload, buffers, parts))
        part_flags, part_fields = pack_parts(
            payload_bytes=len(payload),
            buffers=tuple((part.end - part.start, part.digest) for part in header.buffers),
            side_file=header.side_file,
            payload_aside=header.payload_aside,
            **parts,
        )
        flags, packed = fields
        return self.signed(engine_key, codec, flags | part_flags, packed + part_fields + payload)

    def signed(self, engine_key: bytes, codec: tuple[int, int], flags: int, signed: bytes) -> bytes:
        """Return the record of *signed*: fields, whose *flags* are given, and payload."""
        _check_size(MAC_END + len(signed))
        prefix = pack_prefix(*codec, flags | SIGNED)
        return prefix + self._signer.mac(engine_key, prefix, signed) + signed

    def _signed(self, given: _Given, digests: Iterable[bytes] = (), name: bytes = b"") -> bytes:
        """Return the record without what follows its payload."""
        return self.signed(given.engine_key, given.codec, *_head(given, digests, name))

    def _with_buffers(self, given: _Given) -> bytearray:
        _, head = _head(given, [bytes(DIGEST_BYTES)] * len(given.buffers))
        head_bytes = MAC_END + len(head)
        starts, end = [], head_bytes
        for buffer in given.buffers:
            starts.append(aligned(end))
            end = starts[-1] + len(buffer)
        _check_size(end)
        record = bytearray(end)
        places = list(zip(starts, given.buffers, strict=True))
        with memoryview(record) as target:
            # Digests are taken of the copy: another thread may be writing to the original.
            for start, buffer in places:
                target[start : start + len(buffer)] = buffer
            digests = [digest(target[start : start + len(buffer)]) for start, buffer in places]
            target[:head_bytes] = self._signed(given, digests)
        return record

    def _aside(self, given: _Given, files: Files) -> bytes:
        """Return the signed record of a value whose buffers are written to a side file."""
        name, places = files.write(given.buffers)
        # Digests are taken of the copy: another thread may be writing to the original.
        return self._signed(given, map(digest, files.view(name, places)), name)


def _head(given: _Given, digests: Iterable[bytes], name: bytes = b"") -> tuple[int, bytes]:
    """Return the flags of the record, and all that is signed behind the MAC."""
    flags, fields = given.fields
    part_flags, part_fields = pack_parts(
        payload_bytes=len(given.payload),
        buffers=tuple(zip(map(len, given.buffers), digests, strict=True)),
        side_file=name,
        **given.parts,
    )
    return flags | part_flags, fields + part_fields + given.payload


def _compressed(
    compression: "Compression", payload: bytes, buffers: Sequence[memoryview]
) -> tuple[bytes, Sequence[memoryview], dict[str, Any]]:
    """Return the parts of a value, those smaller that are worth it, and what `pack_parts` needs."""
    smaller = compression.smaller(payload)
    found = [compression.smaller(buffer) for buffer in buffers]
    if smaller is None and not any(found):
        return payload, buffers, {}
    raw_sizes = [0 if smaller is None else len(payload)]
    stored = []
    for buffer, part in zip(buffers, found, strict=True):
        raw_sizes.append(0 if part is None else len(buffer))
        stored.append(buffer if part is None else memoryview(part))
    parts = {"compression": compression.algorithm, "raw_sizes": tuple(raw_sizes)}
    return payload if smaller is None else smaller, stored, parts


def _check_size(record_bytes: int) -> None:
    if record_bytes > MAX_RECORD_BYTES:
        raise EncodeError(
            "value",
            "bytes",
            f"its record has {record_bytes} bytes, the engine takes up to {MAX_RECORD_BYTES}",
        )
