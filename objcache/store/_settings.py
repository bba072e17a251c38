"""The record in which a store remembers who it is and whose secret signs it.

Knows: the settings record. Must not know: any other record.
"""

# Annotations are not postponed: NamedTuple would compile each (bench/workloads/import_time.py).
import os
from typing import Final, NamedTuple

from objcache.clock import Clock
from objcache.codecs import CodecId, codec_by_name
from objcache.engine import Session, Transaction
from objcache.errors import (
    CorruptRecordError,
    CorruptStoreError,
    DecodeError,
    FormatError,
    StoreNotFoundError,
    UnsupportedFormatError,
    WrongSecretError,
)
from objcache.header import SIGNED, pack_prefix, unpack
from objcache.records import Records
from objcache.signing import STORE_ID_BYTES, Signer
from objcache.store._counters import OTHERS_KEY, pack_count

__all__ = [
    "SETTINGS_KEY",
    "SETTINGS_NAME",
    "Settings",
    "open_settings",
    "pack_settings",
    "parse_settings",
]

SETTINGS_KEY: Final = b"\x01settings"
_STORE_FORMAT: Final = 1
SETTINGS_NAME: Final = "the store's own settings"


class Settings(NamedTuple):
    """What the settings record says."""

    store_id: bytes
    fingerprint: str
    created: float


def open_settings(
    session: Session, secrets: tuple[bytes, ...], clock: Clock, *, readonly: bool
) -> tuple[Settings, Signer]:
    """Return the settings of the store, made if it is new, and the signer for it.

    Raises:
        WrongSecretError: signed with a secret that is not among *secrets*; nothing changed.
        SignatureError: the settings were altered.
        CorruptStoreError, UnsupportedFormatError: not a store of a format we read.
    """
    record = session.read(lambda transaction: transaction.get(SETTINGS_KEY))
    if record is None:
        if readonly:
            raise StoreNotFoundError(session.directory)
        record = session.write(lambda transaction: _create(transaction, session, secrets, clock))
    settings = parse_settings(record, session.directory)
    signer = Signer(secrets, settings.store_id)
    if settings.fingerprint not in signer.fingerprints:
        raise WrongSecretError(session.directory, settings.fingerprint, signer.fingerprints)
    Records(signer).authenticate(SETTINGS_NAME, SETTINGS_KEY, record)
    if settings.fingerprint != signer.fingerprints[0] and not readonly:
        settings = settings._replace(fingerprint=signer.fingerprints[0])
        session.put(SETTINGS_KEY, pack_settings(settings, signer))
    return settings, signer


def _create(
    transaction: Transaction, session: Session, secrets: tuple[bytes, ...], clock: Clock
) -> bytes:
    found = transaction.get(SETTINGS_KEY)
    if found is not None:
        return found  # another process was first
    if transaction.stat()["entries"]:
        raise CorruptStoreError(
            f"the file of {session.directory!r} has records but no settings: it is not a store, "
            "or they were deleted; nothing was changed"
        )
    signer = Signer(secrets, os.urandom(STORE_ID_BYTES))
    settings = Settings(signer.store_id, signer.fingerprints[0], clock.now())
    record = pack_settings(settings, signer)
    transaction.put(SETTINGS_KEY, record)
    transaction.put(OTHERS_KEY, pack_count(2))
    return record


def pack_settings(settings: Settings, signer: Signer) -> bytes:
    """Return the signed settings record."""
    codec = codec_by_name("json")
    payload = codec.encode(
        {
            "format": _STORE_FORMAT,
            "store_id": settings.store_id.hex(),
            "fingerprint": settings.fingerprint,
            "created": settings.created,
        }
    )
    prefix = pack_prefix(CodecId.JSON, codec.codec_version, SIGNED)
    return prefix + signer.mac(SETTINGS_KEY, prefix, payload) + payload


def parse_settings(record: bytes, directory: str) -> Settings:
    """Read the settings before they can be authenticated: the key depends on what they say."""
    try:
        header = unpack(record)
        found = codec_by_name("json").decode(record[header.payload_start :])
        number = int(found["format"])
        store_id = bytes.fromhex(found["store_id"])
        settings = Settings(store_id, str(found["fingerprint"]), float(found["created"]))
    except (FormatError, DecodeError, KeyError, TypeError, ValueError) as error:
        raise CorruptRecordError(f"{SETTINGS_NAME} ({directory})", str(error)) from error
    if number > _STORE_FORMAT:
        raise UnsupportedFormatError("store format", number, _STORE_FORMAT)
    if len(store_id) != STORE_ID_BYTES:
        raise CorruptRecordError(
            f"{SETTINGS_NAME} ({directory})", f"a store id of {len(store_id)} bytes"
        )
    return settings
