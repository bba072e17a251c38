"""Canonical hashes: equal values have equal digests, in every process.

Knows: types and what they are made of. Must not know: keys of stores, records, I/O.
Read docs/design/hashing.md first.
"""

from objcache.hashing._canonical import canonical as canonical
from objcache.hashing._canonical import digest as digest
from objcache.hashing._canonical import module_of as module_of
from objcache.hashing._canonical import register as register
from objcache.hashing._outline import differences as differences
from objcache.hashing._outline import outline as outline
from objcache.hashing._outline import text_of as text_of

__all__ = ["canonical", "differences", "digest", "outline", "register", "text_of"]
