"""Values on their way from one store to another as they are encoded: nothing is decoded.

Knows: what a value consists of. Must not know: keys, and where records are kept.
"""

# Annotations are not postponed: NamedTuple would compile each (bench/workloads/import_time.py).
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from objcache.header import Header

if TYPE_CHECKING:
    from objcache.records._records import Records

__all__ = ["Encoded", "encoded_record", "encoded_value"]


class Encoded(NamedTuple):
    """A value as its codec has written it, decompressed.

    Attributes:
        codec_id: which codec.
        codec_version: of the codec; of a pickle its protocol.
        payload: what it has written.
        buffers: what it has put beside that.
    """

    codec_id: int
    codec_version: int
    payload: Any
    buffers: Sequence[Any] = ()


def encoded_value(records: "Records", key: object, header: Header, record: bytes) -> Encoded:
    """Return the value of a *record* as it is encoded; parts of a side file are views of it.

    Args:
        records: of the store.
        key: for messages.
        header: of the record, as `Records.authenticate` has returned it.
        record: the bytes found.

    Raises:
        CorruptRecordError, SideFileMissingError, UnsupportedFormatError, MissingExtraError: as for
            `Records.load`.

    Cost: all of it is hashed; what is compressed is decompressed into memory.
    """
    loading, files = records._loading, records._files  # noqa: SLF001  # the other half of one class
    payload, buffers = loading.encoded(key, header, record, files)
    return Encoded(header.codec_id, header.codec_version, payload, buffers)


def encoded_record(
    records: "Records", engine_key: bytes, encoded: Encoded, fields: tuple[int, bytes]
) -> bytes | bytearray:
    """Return the signed record of an encoded value: whoever may load it will.

    Args:
        records: of the store.
        engine_key: where it will lie.
        encoded: the value; who calls vouches for it.
        fields: what `pack_fields` has returned.

    Raises:
        EncodeError: it is too large for the engine.
    """
    assembly, files = records._assembly, records._files  # noqa: SLF001  # as above
    codec = encoded.codec_id, encoded.codec_version
    views = [memoryview(buffer) for buffer in encoded.buffers]
    return assembly.record(engine_key, codec, fields, encoded.payload, views, files)
