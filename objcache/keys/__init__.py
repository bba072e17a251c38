"""Keys as bytes: an encoding whose byte order is the order of the keys, and its inverse.

Knows: the published FoundationDB tuple encoding, and the engine's key limit. Must not know:
records, values, the engine itself. docs/design/keys.md is normative.
"""

from objcache.keys._decode import decode_key as decode_key
from objcache.keys._decode import decode_without_classes as decode_without_classes
from objcache.keys._encode import encode_key as encode_key
from objcache.keys._encode import is_ordered as is_ordered
from objcache.keys._engine_keys import CACHE_REGISTRY as CACHE_REGISTRY
from objcache.keys._engine_keys import CACHES as CACHES
from objcache.keys._engine_keys import CACHES_OVER as CACHES_OVER
from objcache.keys._engine_keys import COUNTERS as COUNTERS
from objcache.keys._engine_keys import DIGEST_BYTES as DIGEST_BYTES
from objcache.keys._engine_keys import ENGINE_KEY_LIMIT as ENGINE_KEY_LIMIT
from objcache.keys._engine_keys import LONG_NAMESPACE as LONG_NAMESPACE
from objcache.keys._engine_keys import NAMESPACE as NAMESPACE
from objcache.keys._engine_keys import ORDERED as ORDERED
from objcache.keys._engine_keys import RECORDS as RECORDS
from objcache.keys._engine_keys import UNORDERED as UNORDERED
from objcache.keys._engine_keys import EncodedKey as EncodedKey
from objcache.keys._engine_keys import KeyRange as KeyRange
from objcache.keys._engine_keys import engine_key as engine_key
from objcache.keys._engine_keys import key_of as key_of
from objcache.keys._engine_keys import namespace_prefix as namespace_prefix
from objcache.keys._engine_keys import needs_full_key as needs_full_key
from objcache.keys._engine_keys import prefix_range as prefix_range
from objcache.keys._engine_keys import range_of as range_of
from objcache.keys._engine_keys import section_range as section_range
from objcache.keys._engine_keys import successor as successor

__all__ = [
    "CACHES",
    "CACHES_OVER",
    "CACHE_REGISTRY",
    "COUNTERS",
    "DIGEST_BYTES",
    "ENGINE_KEY_LIMIT",
    "LONG_NAMESPACE",
    "NAMESPACE",
    "ORDERED",
    "RECORDS",
    "UNORDERED",
    "EncodedKey",
    "KeyRange",
    "decode_key",
    "decode_without_classes",
    "encode_key",
    "engine_key",
    "is_ordered",
    "key_of",
    "namespace_prefix",
    "needs_full_key",
    "prefix_range",
    "range_of",
    "section_range",
    "successor",
]
