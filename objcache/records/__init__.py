"""Values to records and back: encode, compress, sign; authenticate, then decode.

Knows: header, codecs, signing. Must not know: where records are kept.
"""

from objcache.records._assembly import MAX_RECORD_BYTES as MAX_RECORD_BYTES
from objcache.records._records import Records as Records

__all__ = ["MAX_RECORD_BYTES", "Records"]
