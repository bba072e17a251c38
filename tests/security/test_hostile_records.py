"""Planted pickles never run, by whatever route they come (CVE-2025-69872 and its relatives).

Each test writes hostile bytes behind the back of objcache, through plain lmdb, as somebody
would who can write to the store's directory but has not its secret.
"""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import lmdb
import pytest

from objcache import Store
from objcache.engine import FILE_NAME
from objcache.errors import (
    CorruptStoreError,
    DecodeError,
    KeyEncodingError,
    ObjcacheError,
    SignatureError,
    UntrustedTypeError,
    WrongSecretError,
)
from objcache.header import SIGNED, TAGS, pack_prefix, unpack
from objcache.records import Records
from objcache.signing import Signer
from tests.conftest import SECRET

pytestmark = pytest.mark.damages

THEIRS = b"the secret of somebody else 1234"
TEXT = b"\x10\x02%b\x00"
RAN: list[str] = []


class Exploit:
    """Runs when it is unpickled; that is all pickle needs."""

    def __reduce__(self):
        return run, ("exploit",)


def run(text):
    RAN.append(text)


def planted() -> bytes:
    return pickle.dumps(Exploit(), 5)


def test_the_exploit_works():
    """The proof below means something: unpickling these bytes does run code."""
    RAN.clear()
    pickle.loads(planted())

    assert ["exploit"] == RAN


@pytest.fixture
def victim(path):
    """A store with a few entries, closed."""
    RAN.clear()
    with Store(path, secret=SECRET, durability="process") as store:
        store["safe"] = {"value": 1}
        store["other"] = {"value": 2}
        store[frozenset({1})] = "unordered"
        store["x" * 2000] = "long"
        store.namespace("ns")["inside"] = 3
    return path


class Raw:
    """The file as anybody sees it who can write to it."""

    def __init__(self, path):
        self._env = lmdb.open(os.path.join(path, FILE_NAME), subdir=False, lib_version=0)

    def __enter__(self):
        self._transaction = self._env.begin(write=True)
        return self._transaction

    def __exit__(self, *_):
        self._transaction.commit()
        self._env.close()


def read_everything(path, **options):
    """Touch every record by every way of reading; return the errors met."""
    errors = []
    with Store(path, secret=SECRET, durability="process", **options) as store:
        for read in (
            lambda: store["safe"],
            lambda: store.get("safe"),
            lambda: store.get_many(["safe", "other"]),
            lambda: store[frozenset({1})],
            lambda: store["x" * 2000],
            lambda: list(store),
            lambda: list(store.items()),
            lambda: list(store.values()),
            lambda: list(store.range("a", "z")),
            lambda: store.namespace("ns")["inside"],
            lambda: list(store.namespace("ns").items()),
            lambda: frozenset({1}) in store,
            lambda: store.pop("safe"),
            lambda: store.update_with("other", lambda value: value),
            lambda: store.setdefault("safe", 1),
            lambda: store.first(),
            lambda: store.last(),
        ):
            try:
                read()
            except ObjcacheError as error:
                errors.append(error)
            except KeyError:
                pass
        report = store.check()
        with store.snapshot() as snapshot:
            try:
                list(snapshot.items())
            except ObjcacheError as error:
                errors.append(error)
    return errors, report


def forge(prefix: bytes, key: bytes, rest: bytes, store_id: bytes = bytes(16)) -> bytes:
    """A record signed as well as one can without the secret."""
    return prefix + Signer((THEIRS,), store_id).mac(key, prefix, rest) + rest


def test_replaced_value_is_never_loaded(victim):
    """A pickle in place of a value, unsigned or signed with another secret, is a SignatureError."""
    for record in (
        planted(),
        pack_prefix(1, 5, 0) + planted(),
        pack_prefix(1, 5, SIGNED) + bytes(16) + planted(),
        forge(pack_prefix(1, 5, SIGNED), TEXT % b"safe", planted()),
    ):
        with Raw(victim) as transaction:
            transaction.put(TEXT % b"safe", record)
        errors, report = read_everything(victim)

        assert [] == RAN
        assert any(isinstance(error, SignatureError | CorruptStoreError) for error in errors)
        assert not report.ok
        with Raw(victim) as transaction:
            assert record == transaction.get(TEXT % b"safe") or transaction.get(TEXT % b"safe")


def test_spliced_payload_is_never_loaded(victim):
    """The genuine prefix and MAC of a record with another payload behind them fail."""
    with Raw(victim) as transaction:
        record = transaction.get(TEXT % b"safe")
        transaction.put(TEXT % b"safe", record[:24] + planted())
    errors, _ = read_everything(victim)

    assert [] == RAN
    assert any(isinstance(error, SignatureError) for error in errors)


def test_record_moved_to_another_key_is_refused(victim):
    """A genuine record under another key, or in another namespace, fails: keys are signed."""
    with Raw(victim) as transaction:
        transaction.put(TEXT % b"other", transaction.get(TEXT % b"safe"))
    with Store(victim, secret=SECRET, durability="process") as store:
        with pytest.raises(SignatureError):
            store["other"]

        assert {"value": 1} == store["safe"]


def test_record_moved_to_another_namespace_is_refused(victim):
    """Namespaces are part of what is signed."""
    with Raw(victim) as transaction:
        inside = next(key for key, _ in transaction.cursor() if key.startswith(b"\x20"))
        moved = inside.replace(b"ns", b"nt", 1)
        transaction.put(moved, transaction.get(inside))
        transaction.put(
            b"\x02" + moved[: moved.index(b"\x10")], bytes(7) + b"\x01" + b"\x05\x02nt\x00\x00"
        )
    with Store(victim, secret=SECRET, durability="process") as store:
        with pytest.raises(SignatureError):
            store.namespace("nt")["inside"]


def test_record_of_another_store_is_refused(victim, tmp_path):
    """A record of another store under the same secret and key fails: stores are signed too."""
    elsewhere = str(tmp_path / "elsewhere")
    with Store(elsewhere, secret=SECRET, durability="process") as store:
        store["safe"] = Exploit()
    with Raw(elsewhere) as transaction:
        foreign = transaction.get(TEXT % b"safe")
    with Raw(victim) as transaction:
        transaction.put(TEXT % b"safe", foreign)
    errors, _ = read_everything(victim)

    assert [] == RAN
    assert any(isinstance(error, SignatureError) for error in errors)


@pytest.mark.parametrize("position", range(24))
def test_flipped_header_is_refused(victim, position):
    """Each bit of each header byte counts: codec id, protocol, flags, MAC."""
    for bit in range(8):
        with Raw(victim) as transaction:
            record = bytearray(transaction.get(TEXT % b"other"))
            record[position] ^= 1 << bit
            transaction.put(TEXT % b"safe", bytes(record))
            altered = bytes(record)
            transaction.put(TEXT % b"other", altered)
        with Store(victim, secret=SECRET, durability="process") as store:
            with pytest.raises(ObjcacheError):
                store["other"]
        with Raw(victim) as transaction:
            record[position] ^= 1 << bit
            transaction.put(TEXT % b"other", bytes(record))

    assert [] == RAN


def test_codec_flipped_to_pickle_is_refused(tmp_path):
    """Bytes stored raw do not become a pickle by changing the codec id."""
    path = str(tmp_path / "raw")
    RAN.clear()
    with Store(path, secret=SECRET, durability="process", codec="raw") as store:
        store["upload"] = planted()
    with Raw(path) as transaction:
        record = transaction.get(TEXT % b"upload")
        transaction.put(TEXT % b"upload", pack_prefix(1, 5, SIGNED) + record[8:])
    with Store(path, secret=SECRET, durability="process") as store:
        with pytest.raises(SignatureError):
            store["upload"]

    assert [] == RAN


def test_signature_flag_removed_is_refused(victim):
    """A record without a signature is refused, not taken for an old one."""
    with Raw(victim) as transaction:
        transaction.put(TEXT % b"safe", pack_prefix(1, 5, 0) + planted())
    with Store(victim, secret=SECRET, durability="process") as store:
        with pytest.raises(SignatureError, match="no signature"):
            store["safe"]

    assert [] == RAN


def test_replaced_key_bytes_never_run(victim):
    """Engine keys that hold pickles, or name functions, are refused or decoded as data."""
    hostile = [
        b"\x10" + planted()[:200],
        b"\x10\x50enum\x00\x05\x02os\x00\x02system\x00\x02id\x00\x00",
        b"\x11" + bytes(16),
        b"\x10\x02" + b"x" * 509,
    ]
    for key in hostile:
        with Raw(victim) as transaction:
            transaction.put(key, transaction.get(TEXT % b"safe"))
        errors, report = read_everything(victim)

        assert [] == RAN
        assert any(isinstance(error, SignatureError | KeyEncodingError) for error in errors)
        assert not report.ok
        with Raw(victim) as transaction:
            transaction.delete(key)


def test_replaced_full_key_is_refused(victim):
    """The full key of a shortened one is signed with the record."""
    with Raw(victim) as transaction:
        located = next(key for key, _ in transaction.cursor() if len(key) == 511)
        record = transaction.get(located)
        transaction.put(located, record.replace(b"x" * 100, b"y" * 100))
    with Store(victim, secret=SECRET, durability="process") as store:
        with pytest.raises(SignatureError):
            store["x" * 2000]
        with pytest.raises(SignatureError):
            list(store)


def test_replaced_tag_is_refused():
    """Tags and deadlines are signed with the record."""
    records = Records(Signer((SECRET,), bytes(16)))
    key = TEXT % b"tagged"
    record = bytes(records.encode(key, b"", [1], deadline_us=5, tags=("tag",)))

    assert TAGS == unpack(record).flags & TAGS
    for altered in (
        record.replace(b"tag", b"gat"),
        record.replace(b"\x05\x00\x01", b"\x06\x00\x01"),
    ):
        assert altered != record
        with pytest.raises(SignatureError):
            records.decode("tagged", key, b"", altered)


@pytest.mark.parametrize("field", [b'"store_id":"', b'"fingerprint":"', b'"created":'])
def test_altered_settings_are_refused(victim, field):
    """Settings are signed: an altered one stops the opening, and nothing is made anew."""
    with Raw(victim) as transaction:
        record = transaction.get(b"\x01settings")
        start = record.index(field) + len(field)
        flipped = b"1" if record[start : start + 1] != b"1" else b"2"
        altered = record[:start] + flipped + record[start + 1 :]
        transaction.put(b"\x01settings", altered)
    with pytest.raises((SignatureError, WrongSecretError)):
        Store(victim, secret=SECRET, durability="process")
    with Raw(victim) as transaction:
        assert altered == transaction.get(b"\x01settings")


@pytest.mark.parametrize(
    "record", [b"", b"oc", planted(), pack_prefix(2, 0, SIGNED) + bytes(16) + b"[]"], ids=range(4)
)
def test_replaced_settings_are_refused(victim, record):
    """A pickle, or nothing sensible, in place of the settings is an error, never code."""
    with Raw(victim) as transaction:
        transaction.put(b"\x01settings", record)
    with pytest.raises(ObjcacheError):
        Store(victim, secret=SECRET, durability="process")

    assert [] == RAN


def test_deleted_settings_are_refused(victim):
    """A file with records and no settings is not taken for a new store."""
    with Raw(victim) as transaction:
        transaction.delete(b"\x01settings")
    with pytest.raises(CorruptStoreError, match="no settings"):
        Store(victim, secret=SECRET, durability="process")


def test_forged_store_is_refused(victim, tmp_path):
    """A whole store of somebody else in place of ours is a WrongSecretError that names remedies."""
    forged = str(tmp_path / "forged")
    with Store(forged, secret=THEIRS, durability="process") as store:
        store["safe"] = Exploit()
    for name in os.listdir(forged):
        shutil.copy(os.path.join(forged, name), os.path.join(victim, name))
    with pytest.raises(WrongSecretError, match="OBJCACHE_SECRET.*objcache rekey.*objcache trust"):
        Store(victim, secret=SECRET, durability="process")

    assert [] == RAN


def test_forged_store_with_our_fingerprint_is_refused(victim, tmp_path):
    """Copying the fingerprint and id, which are no secret, into a forged store is not enough."""
    with Raw(victim) as transaction:
        settings = transaction.get(b"\x01settings")
    forged = str(tmp_path / "forged")
    with Store(forged, secret=THEIRS, durability="process") as store:
        store["safe"] = Exploit()
    with Raw(forged) as transaction:
        transaction.put(b"\x01settings", settings)
    errors, report = read_everything(forged)

    assert [] == RAN
    assert any(isinstance(error, SignatureError) for error in errors)
    assert not report.ok


def test_altered_buffer_is_refused(tmp_path):
    """Out-of-band bytes are covered by digests that the signature covers."""
    path = str(tmp_path / "arrays")
    with Store(path, secret=SECRET, durability="process") as store:
        store["array"] = pickle.PickleBuffer(bytearray(b"a" * 4096))
    with Raw(path) as transaction:
        record = transaction.get(TEXT % b"array")
        transaction.put(TEXT % b"array", record[:-1] + b"b")
    with Store(path, secret=SECRET, durability="process") as store:
        with pytest.raises(CorruptStoreError, match="buffer 0 was altered"):
            store["array"]


def test_counters_are_numbers_only(victim):
    """A hostile counter is a wrong length that `check` reports, and nothing else."""
    for counter in (planted(), b"\xff" * 8, b""):
        with Raw(victim) as transaction:
            if counter:
                transaction.put(b"\x01others", counter)
            for key in [key for key, _ in transaction.cursor() if key.startswith(b"\x02")]:
                transaction.put(key, counter or b"\x00")
        with Store(victim, secret=SECRET, durability="process") as store:
            try:
                assert len(store) >= 0
                len(store.namespace("ns"))
                assert not store.check().ok
            except CorruptStoreError:
                pass

    assert [] == RAN


def test_data_only_store_has_no_unpickler(tmp_path):
    """A store with a data-only codec refuses even its own authentic pickles."""
    path = str(tmp_path / "mixed")
    RAN.clear()
    with Store(path, secret=SECRET, durability="process") as store:
        store["pickle"] = Exploit()
    with Store(path, secret=SECRET, durability="process", codec="msgpack") as store:
        with pytest.raises(DecodeError, match="data-only codec"):
            store["pickle"]

    assert [] == RAN


def test_allow_list_is_exact(tmp_path):
    """With trust=, an authentic record that names another class is refused before it runs."""
    path = str(tmp_path / "listed")
    RAN.clear()
    with Store(path, secret=SECRET, durability="process") as store:
        store["exploit"] = Exploit()
        store["path"] = Path("a")
        store["plain"] = {"a": [1, 2.0, {3}, None, b"x"]}
    with Store(path, secret=SECRET, durability="process", trust=["tests.Some"]) as store:
        with pytest.raises(
            UntrustedTypeError, match=r"hostile_records\.run, which trust= does not list"
        ):
            store["exploit"]

        assert {"a": [1, 2.0, {3}, None, b"x"]} == store["plain"]
        assert Path("a") == store["path"]
    assert [] == RAN
