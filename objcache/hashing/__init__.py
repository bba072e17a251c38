"""The canonical hash of a value: the key of a memoized result.

Knows: values and their structure. Must not know: stores, records, keys of a mapping.
docs/design/hashing.md says what counts and what does not.
"""

from objcache.hashing._canonical import canonical as canonical
from objcache.hashing._canonical import digest as digest
from objcache.hashing._canonical import register as register

__all__ = ["canonical", "digest", "register"]
