"""Signing all records of a store anew: after a rotation, or because a person vouches for them.

Knows: signatures. Must not know: values; nothing is decoded here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from objcache.clock import SYSTEM_CLOCK
from objcache.engine import Session, Transaction, close_session, open_session
from objcache.errors import CorruptStoreError, FormatError
from objcache.header import HEADER_BYTES, MAC_END, SIGNED, unpack
from objcache.keys import CACHES, ORDERED, successor
from objcache.signing import Signer
from objcache.store._scan import scan
from objcache.store._secrets import Secret, find_secrets
from objcache.store._settings import SETTINGS_KEY, pack_settings, parse_settings
from objcache.store.generations import caches_of, generation_prefix, record_prefix

__all__ = ["Resigned", "sign_all", "trust_store"]

_ENTRIES: Final = (ORDERED, successor(CACHES))
_BATCH: Final = 1000


class Resigned(NamedTuple):
    """What `Store.rekey` or `trust_store` has done.

    Attributes:
        signed: records that carry a new signature.
        current: records that had it already.
        refused: records left as they are: not authentic, or not in a format we read.
    """

    signed: int
    current: int
    refused: int


def sign_all(
    session: Session,
    signer: Signer,
    *,
    vouched: bool,
    advance: Callable[[int, int], None] | None = None,
) -> Resigned:
    """Sign every record with the first secret of *signer*.

    Args:
        session: of the store.
        signer: knows all secrets that may have signed before.
        vouched: sign also what no secret of *signer* verifies.
        advance: called now and then with the number of records that were looked at, and of all
            rows of the file, which are more.

    Cost: reads every record, writes those that change, a thousand in a transaction. Stopped
    half way, it is finished by being run again.
    """
    signing = _Signing(signer, vouched=vouched)
    batch: list[bytes] = []
    present = {
        generation_prefix(cache.number) for cache in session.read(caches_of)
    }  # what was cleared is only waiting to be removed
    for located, _ in scan(session, *_ENTRIES, lambda _: False):
        if located >= CACHES and record_prefix(located) not in present:
            continue
        batch.append(located)
        if len(batch) == _BATCH:
            session.write(partial(signing.sign, batch))
            batch.clear()
            if advance is not None:
                advance(signing.seen, session.read(_rows))
    session.write(partial(signing.sign, batch))
    return signing.done()


class _Signing:
    """Signs records, and counts them."""

    def __init__(self, signer: Signer, *, vouched: bool) -> None:
        self._signer = signer
        self._vouched = vouched
        self._signed = self._current = self._refused = 0

    @property
    def seen(self) -> int:
        """How many records were looked at."""
        return self._signed + self._current + self._refused

    def done(self) -> Resigned:
        """Return what was done."""
        return Resigned(self._signed, self._current, self._refused)

    def sign(self, batch: Sequence[bytes], transaction: Transaction) -> None:
        """Sign the records at the engine keys of *batch*."""
        signer = self._signer
        for located in batch:
            record = transaction.get(located)
            if record is None:
                continue
            try:
                header = unpack(record)
            except FormatError:
                self._refused += 1
                continue
            if signer.is_current(located, record, header.payload_end):
                self._current += 1
            elif header.flags & SIGNED and (
                self._vouched or signer.verifies(located, record, header.payload_end)
            ):
                prefix, rest = record[:HEADER_BYTES], record[MAC_END:]
                mac = signer.mac(located, prefix, record[MAC_END : header.payload_end])
                transaction.put(located, prefix + mac + rest)
                self._signed += 1
            else:
                self._refused += 1


def _rows(transaction: Transaction) -> int:
    return int(transaction.stat()["entries"])


def trust_store(
    path: str | os.PathLike[str],
    *,
    secret: Secret | None = None,
    advance: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Resigned:
    """Sign a store of another secret with one's own: you vouch for all that is in it.

    Its records will be unpickled as if you had stored them. Do this only if you know where the
    store comes from; `codec="msgpack"` stores are safe to trust, pickles run code.

    Args:
        path: the store's directory.
        secret: as for `Store`.
        advance: as for `Store.rekey`.
        options: *shared* and *allow_network*, as for `Store`.

    Raises:
        StoreNotFoundError, CorruptStoreError, SecretError: nothing was changed.
    """
    directory = os.path.abspath(os.fsdecode(path))
    secrets = find_secrets(secret, directory)
    session = open_session(directory, create=False, clock=SYSTEM_CLOCK, **options)
    try:
        record = session.read(lambda transaction: transaction.get(SETTINGS_KEY))
        if record is None:
            raise CorruptStoreError(f"the store at {directory!r} has no settings")
        settings = parse_settings(record, directory)
        signer = Signer(secrets, settings.store_id)
        settings = settings._replace(fingerprint=signer.fingerprints[0])
        session.put(SETTINGS_KEY, pack_settings(settings, signer))
        return sign_all(session, signer, vouched=True, advance=advance)
    finally:
        close_session(session)
