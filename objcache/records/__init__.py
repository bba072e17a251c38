"""Values to records and back: encode, compress, sign; authenticate, then decode.

Knows: header, codecs, signing. Must not know: where records are kept.
"""

from objcache.records._assembly import MAX_RECORD_BYTES as MAX_RECORD_BYTES
from objcache.records._blobs import PIECE_BYTES as PIECE_BYTES
from objcache.records._blobs import BlobContent as BlobContent
from objcache.records._blobs import blob_record as blob_record
from objcache.records._blobs import blobs_aside_from as blobs_aside_from
from objcache.records._blobs import check_side_file as check_side_file
from objcache.records._blobs import check_value as check_value
from objcache.records._blobs import value_stream as value_stream
from objcache.records._encoded import Encoded as Encoded
from objcache.records._encoded import encoded_record as encoded_record
from objcache.records._encoded import encoded_value as encoded_value
from objcache.records._records import Records as Records

__all__ = [
    "MAX_RECORD_BYTES",
    "PIECE_BYTES",
    "BlobContent",
    "Encoded",
    "Records",
    "blob_record",
    "blobs_aside_from",
    "check_side_file",
    "check_value",
    "encoded_record",
    "encoded_value",
    "value_stream",
]
