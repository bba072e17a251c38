"""Records as they lie there: found, told apart, and never decoded before they are authentic."""

from __future__ import annotations

import os

import pytest

from objcache import Cache, Store
from objcache.engine import FILE_NAME
from objcache.errors import (
    CorruptStoreError,
    SignatureError,
    StoreError,
    StoreNotFoundError,
    WrongSecretError,
)
from objcache.keys import engine_key
from objcache.store import RawRecords, refuse_damaged

OTHER = b"another secret of 16 bytes"


@pytest.fixture
def filled(path):
    """A store with records of every kind of mapping."""
    with Store(path) as store:
        store.update({"a": 1, ("b", 1): 2, frozenset([3]): 3, "x" * 700: 4})
        store.namespace("n")["k"] = 5
        store.namespace("y" * 300)["k"] = 6
    with Cache(path) as cache:
        cache["c"] = 7
        cache.namespace("sub")["c"] = 8
    return path


def test_every_record_is_met_with_its_mapping(filled):
    """All records are met once, with the names of their mapping and their keys."""
    with RawRecords(filled) as records:
        found = {(one.mapping.names, one.key): records.value(one) for one in records.all_records()}

    assert {
        ((), "a"): 1,
        ((), ("b", 1)): 2,
        ((), frozenset([3])): 3,
        ((), "x" * 700): 4,
        (("n",), "k"): 5,
        (("y" * 300,), "k"): 6,
        ((), "c"): 7,
        (("sub",), "c"): 8,
    } == found


def test_single_records(filled):
    """A record is found by its key, or by where it lies; what is not there is None."""
    with RawRecords(filled) as records:
        root, cache = records.mapping((), is_cache=False), records.mapping((), is_cache=True)
        for mapping, key in ((root, "x" * 700), (root, frozenset([3])), (cache, "c")):
            found = records.record_of(mapping, key)

            assert key == found.key
            assert found == records.record_at(found.located)
        assert None is records.record_of(root, "c") is records.record_of(cache, "a")
        assert None is records.record_at(b"\x01settings") is records.mapping(("z",), is_cache=True)


def test_key_of_another_with_the_same_beginning(filled):
    """A shortened key that holds another full key is not taken for it."""
    with RawRecords(filled) as records:
        root = records.mapping((), is_cache=False)
        found = records.record_of(root, "x" * 700)
        lying = records._raw(root, found.located, found.record)
        records._record_at = lambda _: found.record

        assert lying == found
        assert None is records.record_of(root, "x" * 701)


def test_store_that_is_open_here(path):
    """A store that this process has open, with whatever durability, can be looked at."""
    with Store(path, durability="commit") as store:
        store["a"] = 1
        with RawRecords(path) as records:
            assert ["a"] == [one.key for one in records.all_records()]


def test_what_was_cleared_is_not_met(filled):
    """Records of a cache that was cleared are waiting to be removed: nobody sees them."""
    with Cache(filled) as cache:
        cache.set_many({number: number for number in range(5000)})
        cache.clear()
    with RawRecords(filled) as records:
        found = [one.mapping for one in records.all_records()]

    assert 7 == len(found)
    assert [("sub",)] == [mapping.names for mapping in found if mapping.is_cache]


def test_nothing_is_decoded_that_is_not_authentic(filled):
    """What another secret has signed, or nobody, raises and stays bytes."""
    with Store(filled) as store:
        located, _ = engine_key(b"", "a")
        record = store._session.read(lambda transaction: transaction.get(located))
        elsewhere = engine_key(b"", "moved")[0]
        store._session.write(lambda transaction: transaction.put(elsewhere, record))
    try:
        with RawRecords(filled) as records:
            moved = records.record_of(records.mapping((), is_cache=False), "moved")

            assert "foreign" == moved.trust
            with pytest.raises(SignatureError):
                records.value(moved)
    finally:
        with Store(filled) as store:
            del store["moved"]


def test_foreign_stores(filled):
    """A store of another secret is opened only by who asks for it; nothing of it is believed."""
    with pytest.raises(WrongSecretError):
        RawRecords(filled, secret=OTHER)
    with RawRecords(filled, secret=OTHER, foreign=True) as records:
        found = list(records.all_records())

    assert not records.own
    assert {"foreign"} == {one.trust for one in found}
    # A key that may look for a class is not decoded.
    assert 1 == sum(not one.is_key_known for one in found)


def test_value_that_is_replaced_meanwhile(path):
    """A side file that goes while its record is looked at is that of the new record, then."""
    with Store(path) as store:
        store["a"] = bytes(1 << 21)
        with RawRecords(path) as records:
            found = records.record_of(records.mapping((), is_cache=False), "a")
            store["a"] = "small"
            store.sync()
            for name in os.listdir(os.path.join(path, "blobs")):
                os.unlink(os.path.join(path, "blobs", name))

            assert "small" == records.value(found)


@pytest.mark.damages
def test_side_file_that_is_gone(path):
    """A side file that is gone for good is a damaged record."""
    with Store(path) as store:
        store["a"] = bytes(1 << 21)
    for name in os.listdir(os.path.join(path, "blobs")):
        os.unlink(os.path.join(path, "blobs", name))
    with RawRecords(path) as records:
        found = records.record_of(records.mapping((), is_cache=False), "a")
        for read in (records.value, records.payload):
            with pytest.raises(CorruptStoreError):
                read(found)


@pytest.mark.damages
def test_refusing_what_would_crash(path, tmp_path):
    """No store, a file, a damaged first page and a file that was cut off are refused."""
    with Store(path) as store:
        store.update({number: bytes(2000) for number in range(100)})
    refuse_damaged(path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreNotFoundError):
        refuse_damaged(tmp_path / "none")
    with pytest.raises(StoreError, match="is a file"):
        refuse_damaged(tmp_path / "file")
    file = os.path.join(path, FILE_NAME)
    size = os.path.getsize(file)
    for left in (size // 2, 8192, 4096, 100, 0):
        os.truncate(file, left)
        with pytest.raises(CorruptStoreError, match="objcache check"):
            refuse_damaged(path)


def test_last_pages_that_were_never_written(path):
    """A file that ends before its last page, which is free, is no damaged store."""
    with Store(path) as store:
        store.update({number: bytes(2000) for number in range(200)})
    with Store(path) as store:
        store.clear()
        store["a"] = 1
    with Store(path) as store:
        store["a"] = 2
        before = store.stats()
    file = os.path.join(path, FILE_NAME)
    with open(file, "r+b") as opened:  # as LMDB leaves it where it had no use for a page
        opened.truncate(before.file_bytes - 2 * before.page_bytes)
    refuse_damaged(path)
