"""Keyed authentication of records: what is not signed by us is never decoded.

Knows: keys, fingerprints, MACs. Must not know: where a secret comes from, or what a record means.
BLAKE3 in its keyed and key-derivation modes (O'Connor, Aumasson, Neves, Wilcox-O'Hearn:
"BLAKE3, one function, fast everywhere", sections 2 and 6).
"""

from __future__ import annotations

import os

# The constant-time comparison that hmac.compare_digest re-exports; importing hmac would load
# OpenSSL and cost as much as a third of `import objcache`.
from _operator import _compare_digest as equal_digests
from typing import Final

from blake3 import blake3

from objcache.errors import SecretError
from objcache.header import HEADER_BYTES, MAC_BYTES, MAC_END

__all__ = [
    "KEY_FRAMES",
    "MIN_SECRET_BYTES",
    "STORE_ID_BYTES",
    "Signer",
    "digest",
    "equal_digests",
    "fingerprint",
    "normalise_secret",
    "stream_digest",
]

MIN_SECRET_BYTES: Final = 16
STORE_ID_BYTES: Final = 16
# Below, threads take longer to begin than they save.
_MANY_THREADS_BYTES: Final = 1 << 22
KEY_FRAMES: Final = tuple(size.to_bytes(2, "big") for size in range(512))
"""The length frame of an engine key, by its length: `to_bytes` on each call would cost more."""

_MAC_CONTEXT: Final = "objcache 2026 record authentication v1"
_FINGERPRINT_CONTEXT: Final = "objcache 2026 secret fingerprint v1"


def normalise_secret(secret: str | bytes) -> bytes:
    """Return *secret* as bytes.

    Raises:
        SecretError: shorter than `MIN_SECRET_BYTES`, or neither text nor bytes.
    """
    if isinstance(secret, str):
        secret = secret.encode("utf-8", "surrogatepass")
    if not isinstance(secret, bytes | bytearray):
        raise SecretError(f"a secret is bytes or str, not {type(secret).__name__}")
    if len(secret) < MIN_SECRET_BYTES:
        raise SecretError(
            f"the secret has {len(secret)} bytes, at least {MIN_SECRET_BYTES} are needed; "
            "make one with: python -c 'import secrets; print(secrets.token_hex(32))'"
        )
    return bytes(secret)


def fingerprint(secret: bytes) -> str:
    """Return the 16 hexadecimal digits by which a store remembers *secret*."""
    return blake3(secret, derive_key_context=_FINGERPRINT_CONTEXT).hexdigest(length=8)


def digest(content: bytes | bytearray | memoryview) -> bytes:
    """Return the 32-byte BLAKE3 of *content*, without copying it.

    Cost: one pass, on all processors where it is long.
    """
    if len(content) < _MANY_THREADS_BYTES or _pool.is_lost:
        return blake3(content).digest()
    _pool.is_begun = True
    return blake3(content, max_threads=blake3.AUTO).digest()


def stream_digest() -> blake3:
    """Return what takes bytes by `update`, and of all of them gives what `digest` would.

    It uses one thread: with pieces of a MiB more gain a sixth, and would end with a fork.
    """
    return blake3()


class _Pool:
    """Whether this process has the threads of BLAKE3, which begin with their first work.

    They do not go on in a forked child, and who gives them work there waits for ever.
    """

    __slots__ = ("is_begun", "is_lost")

    def __init__(self) -> None:
        self.is_begun = False
        self.is_lost = False

    def after_fork_in_child(self) -> None:
        """Know that the threads stay with the parent."""
        self.is_lost = self.is_begun


_pool: Final = _Pool()
os.register_at_fork(after_in_child=_pool.after_fork_in_child)


def _store_key(secret: bytes, store_id: bytes) -> bytes:
    master = blake3(secret, derive_key_context=_MAC_CONTEXT).digest()
    return blake3(store_id, key=master).digest()


class Signer:
    """Signs with the first secret, verifies with any.

    The key of each store is derived from the secret and the store's id, so that a record
    of another store fails even under the same secret.

    Concurrency: immutable, shared by all threads.
    """

    __slots__ = ("_older_keys", "fingerprints", "key", "store_id")

    def __init__(self, secrets: tuple[bytes, ...], store_id: bytes) -> None:
        self.store_id = store_id
        self.key, *self._older_keys = (_store_key(secret, store_id) for secret in secrets)
        self.fingerprints = tuple(map(fingerprint, secrets))

    def mac(self, engine_key: bytes, prefix: bytes, signed: bytes | memoryview) -> bytes:
        """Return the MAC of a record.

        Args:
            engine_key: where the record lies; a length frame keeps it apart from what follows.
            prefix: the first `HEADER_BYTES` bytes of the record.
            signed: all that follows the MAC up to the end of the payload.
        """
        return _mac(self.key, engine_key, prefix, signed)

    def verifies(self, engine_key: bytes, record: bytes | memoryview, signed_end: int) -> bool:
        """Return whether *record* was signed at *engine_key* with one of the secrets."""
        keys = (self.key, *self._older_keys)
        return any(_verifies(key, engine_key, record, signed_end) for key in keys)

    def is_current(self, engine_key: bytes, record: bytes | memoryview, signed_end: int) -> bool:
        """Return whether *record* was signed at *engine_key* with the secret that signs now."""
        return _verifies(self.key, engine_key, record, signed_end)


def _verifies(key: bytes, engine_key: bytes, record: bytes | memoryview, signed_end: int) -> bool:
    view = memoryview(record)
    prefix, found = bytes(view[:HEADER_BYTES]), bytes(view[HEADER_BYTES:MAC_END])
    return equal_digests(_mac(key, engine_key, prefix, view[MAC_END:signed_end]), found)


def _mac(key: bytes, engine_key: bytes, prefix: bytes, signed: bytes | memoryview) -> bytes:
    hasher = blake3(KEY_FRAMES[len(engine_key)] + engine_key + prefix, key=key)
    hasher.update(signed)
    return hasher.digest(length=MAC_BYTES)
