"""Compression of a store: what is written smaller, and that reading never needs to know."""

from __future__ import annotations

import os
import pickle
import sys
from contextlib import contextmanager

import numpy as np
import pytest

from objcache import Cache, Store
from objcache.codecs import _compression
from objcache.errors import CorruptRecordError, MissingExtraError
from objcache.header import unpack
from tests.conftest import SECRET

NAMES = ["zlib", "lz4", "zstd"]
ROWS = [{"number": number, "name": f"name {number}", "tags": ["a", "b"]} for number in range(500)]
SMOOTH = np.repeat(np.arange(1 << 14, dtype=np.float64), 8)
NOISE = np.random.default_rng(1).standard_normal(1 << 16)


def header_of(store, key):
    located = b"\x10\x02" + key.encode() + b"\x00"
    return unpack(store._session.read(lambda transaction: transaction.get(located)))


def side_file_of(store, key):
    return os.path.join(store.path, "blobs", header_of(store, key).side_file.hex())


@contextmanager
def without_lz4(monkeypatch):
    """As if lz4 were not installed."""
    _compression._algorithm.cache_clear()
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "lz4", None)
        yield
    _compression._algorithm.cache_clear()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("codec", "value"),
    [
        ("pickle", ROWS),
        ("json", ROWS),
        ("msgpack", ROWS),
        ("raw", b"raw bytes " * 500),
        ("pickle", "x" * (3 << 20)),
        ("raw", bytes(range(256)) * (1 << 14)),
    ],
    ids=["pickle", "json", "msgpack", "raw", "large pickle", "large raw"],
)
def test_round_trip(open_store, name, codec, value):
    """Values of every codec come back, by every way of reading, and take less room."""
    store = open_store(compression=name, codec=codec)
    store["key"] = value
    store[frozenset({1})] = value
    header = header_of(store, "key")

    assert header.compression
    assert header.payload_end - header.payload_start < header.payload_raw_bytes / 2
    assert value == store["key"] == store[frozenset({1})] == store.view("key")
    assert [value] * 2 == list(store.values())
    with store.snapshot() as snapshot:
        assert value == snapshot["key"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [SMOOTH[:1000], SMOOTH], ids=["in the record", "beside it"])
def test_arrays_are_compressed(open_store, name, value):
    """The bytes of an array are made smaller, in the record as in a side file."""
    store = open_store(compression=name)
    store["array"] = value
    (buffer,) = header_of(store, "array").buffers

    assert value.nbytes == buffer.raw_bytes > buffer.end - buffer.start
    assert np.array_equal(value, store["array"])
    assert store["array"].flags.writeable


@pytest.mark.parametrize("name", NAMES)
def test_compressed_arrays_in_side_files_can_be_viewed(open_store, name):
    """`view` of what is compressed reads it into memory; it is read-only as any view."""
    value = [SMOOTH, NOISE]
    store = open_store(compression=name)
    store["arrays"] = value
    header = header_of(store, "arrays")
    smaller, plain = store.view("arrays")

    assert header.side_file
    assert [True, False] == [buffer.raw_bytes > 0 for buffer in header.buffers]
    assert os.path.getsize(side_file_of(store, "arrays")) == header.side_file_bytes
    assert np.array_equal(value[0], smaller)
    assert np.array_equal(value[1], plain)
    assert [False, False] == [part.flags.writeable for part in (smaller, plain)]
    assert np.array_equal(value[0], store.view("arrays", verify=True)[0])


@pytest.mark.parametrize("after", [None, *NAMES])
@pytest.mark.parametrize("before", [None, *NAMES])
def test_settings_may_change(open_store, before, after):
    """A store reads what it wrote with other settings, and writes what others read."""
    large = "x" * (2 << 20)
    with open_store(compression=before) as store:
        store["old"], store["old large"], store["old array"] = ROWS, large, SMOOTH
    with open_store(compression=after, compression_threshold_bytes=1) as store:
        assert (ROWS, large) == (store["old"], store["old large"])
        assert np.array_equal(SMOOTH, store["old array"])
        store["new"], store["new array"] = ROWS, SMOOTH
        store["old large"] = ROWS
    with open_store() as store:
        assert ROWS == store["old"] == store["new"] == store["old large"]
        assert np.array_equal(SMOOTH, store["new array"])


def test_level_and_threshold_reach_the_records(open_store):
    """The level makes records smaller; below the threshold they are stored as they are."""
    sizes = []
    for level in (1, 9):
        with open_store(compression="zlib", compression_level=level) as store:
            store["rows"] = ROWS
            header = header_of(store, "rows")
            sizes.append(header.payload_end - header.payload_start)
    with open_store(compression="zlib", compression_threshold_bytes=1 << 20) as store:
        store["rows"] = ROWS

        assert 0 == header_of(store, "rows").compression
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize("name", NAMES)
def test_what_does_not_get_smaller_is_stored_plain(open_store, name):
    """Noise is stored as it would be without compression, and read without a decompressor."""
    noise = os.urandom(3000)
    with open_store(compression=name) as store:
        store["noise"], store["array"] = noise, NOISE

        assert (0, 0) == (
            header_of(store, "noise").compression,
            header_of(store, "array").compression,
        )
        assert noise == store["noise"]
    with open_store() as store:
        store["again"] = noise
        again, first = header_of(store, "again"), header_of(store, "noise")

        assert again.payload_end == first.payload_end


def test_namespaces_and_transactions_compress_too(open_store):
    """Whatever writes to the store writes with its settings, also with another codec."""
    store = open_store(compression="zlib")
    space = store.namespace("n").using("json")
    with store.transaction() as transaction:
        transaction["key"] = ROWS
        space["key"] = ROWS
    plain = pickle.loads(pickle.dumps(store))
    try:
        plain["again"] = ROWS

        assert header_of(plain, "again").compression
    finally:
        plain.close()

    assert header_of(store, "key").compression
    assert space._records._assembly._compression is store._records._assembly._compression
    assert ROWS == space["key"]


@pytest.mark.parametrize("name", NAMES)
def test_caches_and_memoized_functions_compress(path, name):
    """A cache takes the options of its store; deadlines may change, results come back."""
    with Cache(path, compression=name, secret=SECRET, durability="process") as cache:
        cache.set("rows", ROWS, expire=100, tag="t")
        cache.set("array", SMOOTH)
        cache.touch("rows", expire=1000)
        cache.touch("array", expire=1000)

        @cache.memoize
        def rows():
            return ROWS

        assert ROWS == cache.get("rows") == rows() == rows()
        assert np.array_equal(SMOOTH, cache.get("array"))
        assert cache.volume() < SMOOTH.nbytes
    with Cache(path, secret=SECRET, durability="process") as cache:
        assert ROWS == cache.get("rows")
        cache.touch("rows", expire=2000)
        assert ROWS == cache.get("rows")


def test_compressed_records_are_signed_anew(open_store):
    """Rotating the secret keeps compressed values, in records and side files."""
    new = b"another secret of 16 bytes"
    with open_store(compression="zlib") as store:
        store["rows"], store["array"] = ROWS, [SMOOTH, NOISE]
    with open_store(secret=[new, SECRET]) as store:
        store.rekey()
    with open_store(secret=new) as store:
        assert ROWS == store["rows"]
        assert np.array_equal(SMOOTH, store["array"][0])


def test_without_its_package_a_store_is_not_opened(path, monkeypatch):
    """A missing extra is named before anything is made."""
    with without_lz4(monkeypatch):
        with pytest.raises(MissingExtraError, match=r"pip install 'objcache\[lz4\]'"):
            Store(path, secret=SECRET, compression="lz4")

    assert not os.path.exists(path)


def test_without_its_package_a_value_says_what_is_missing(open_store, monkeypatch):
    """Reading a value needs its algorithm's package; the rest of the store does not."""
    with open_store(compression="lz4") as store:
        store["large"], store["small"] = ROWS, 1
    with without_lz4(monkeypatch), open_store() as store:
        with pytest.raises(MissingExtraError, match=r"objcache\[lz4\]"):
            store["large"]

        assert 1 == store["small"]
        assert ["large", "small"] == list(store)
        assert ["MissingExtraError"] == [problem.kind for problem in store.check().problems]


@pytest.mark.parametrize("setting", [{"compression": "gzip"}, {"compression_level": 3}])
def test_wrong_settings_are_refused_before_anything_is_made(path, setting):
    """A setting that makes no sense is a ValueError, and leaves no directory."""
    with pytest.raises(ValueError, match="compression"):
        Store(path, secret=SECRET, **setting)

    assert not os.path.exists(path)


@pytest.mark.damages
@pytest.mark.parametrize("name", NAMES)
def test_altered_side_files_are_not_decompressed(open_store, name, monkeypatch):
    """What is compressed in a side file is compared before it is decompressed, by `view` too."""
    store = open_store(compression=name)
    value = [SMOOTH, NOISE]
    store["arrays"], store["bytes"] = value, bytes(range(256)) * 99999 + os.urandom(2 << 20)
    for key in ("arrays", "bytes"):
        with open(side_file_of(store, key), "r+b") as file:
            file.seek(1000)
            file.write(b"altered")
    calls = []
    monkeypatch.setattr("objcache.codecs.decompress", lambda *given: calls.append(given))
    for read in (store.__getitem__, store.view):
        for key in ("arrays", "bytes"):
            with pytest.raises(CorruptRecordError, match="buffer 0 of its side file .* altered"):
                read(key)

    assert [] == calls
