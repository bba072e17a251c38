"""Compressed records: their golden bytes, and what hostile or damaged ones meet.

Compressed bytes differ between versions of the libraries, so they are frozen for reading.
"""

from __future__ import annotations

import argparse
import pickle
import tracemalloc
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from objcache.codecs import CodecId, CompressionId, compression_by_name, decompress
from objcache.errors import (
    CorruptRecordError,
    DecodeError,
    SignatureError,
    UnsupportedFormatError,
)
from objcache.header import (
    BUFFERS,
    COMPRESSED,
    CREATED,
    DEADLINE,
    SIGNED,
    pack_parts,
    pack_prefix,
    unpack,
)
from objcache.records import Records
from objcache.signing import Signer, digest

KEY = b"\x10\x02key\x00"
NAMES = ["zlib", "lz4", "zstd"]


def signer():
    return Signer((b"golden secret of 32 bytes, frozen",), bytes(range(16)))


def records(name=None, threshold_bytes=16, **options):
    compression = compression_by_name(name, None, threshold_bytes)
    return Records(signer(), compression=compression, **options)


def forged(payload, raw_bytes, algorithm=CompressionId.ZLIB, codec_id=CodecId.RAW):
    """A record of compressed *payload*, signed with the right secret, whatever it says."""
    flags, fields = pack_parts(compression=algorithm, raw_sizes=(raw_bytes,))
    prefix = pack_prefix(codec_id, 5 if codec_id == CodecId.PICKLE else 0, SIGNED | flags)
    return prefix + signer().mac(KEY, prefix, fields + payload) + fields + payload


GOLDEN = {
    "zlib": (
        "6f63010105000101 2d369027b7e63f4d705a89c0b7489f4a 01 0000000000000846"
        "789c6b609d6acdc10006112640467a7e4e4a6a9ec228354a8d52a3d428354a8d52a3145e6a8a1e00c3bb0e2d"
    ),
    "lz4": (
        "6f63010105000101 009e316d67ab69de100f9c1f7f57c7b9 02 0000000000000846"
        "04224d1860408227000000618005953b08000100cf5834080000676f6c64656e200700ffffffffffffffff"
        "1f50656e20942e00000000"
    ),
    "zstd": (
        "6f63010105000101 7d3a3311120350f20cace16541883d5b 03 0000000000000846"
        "28b52ffd604607ed0000a08005953b08005834080000676f6c64656e20942e02002a50f1490045"
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_golden_records_are_read(name):
    """Compressed records of format 1 give their value for ever, whatever the reader writes."""
    golden = bytes.fromhex(GOLDEN[name])

    for reading in (records(), records("zlib"), records(name)):
        assert "golden " * 300 == reading.decode("key", KEY, b"", golden)


@pytest.mark.parametrize("name", NAMES)
def test_the_field_is_frozen(name):
    """Behind all other fields stand the algorithm and the size of the payload, and then itself."""
    record = bytes(records(name).encode(KEY, b"", "golden " * 300, 1, (), None, 2))
    header = unpack(record)

    assert SIGNED | COMPRESSED | DEADLINE | CREATED == header.flags
    assert bytes.fromhex(GOLDEN[name].replace(" ", ""))[24:33] == record[40:49]
    assert 49 == header.payload_start
    assert (2118, 2118) == (header.payload_raw_bytes, len(pickle.dumps("golden " * 300, 5)))


def test_buffers_are_compressed_one_by_one():
    """Each part says for itself whether it is compressed; digests are of what is stored."""
    parts = [bytearray(b"ab" * 1000), bytearray(range(256)) * 3, bytearray(600)]
    parts[1][:] = bytes(range(256)) + zlib.compress(bytes(range(256)))[:256] + bytes(range(256))
    value = [pickle.PickleBuffer(part) for part in parts]
    record = bytes(records("zlib", 1000).encode(KEY, b"", value))
    header = unpack(record)
    first = record[header.buffers[0].start : header.buffers[0].end]

    assert SIGNED | BUFFERS | COMPRESSED == header.flags
    assert (0, 2000, 0, 0) == header.raw_sizes
    assert bytes(parts[0]) == zlib.decompress(first)
    assert digest(first) == header.buffers[0].digest
    assert parts == records().decode("key", KEY, b"", record)
    assert all(type(part) is bytearray for part in records().decode("key", KEY, b"", record))


values = st.recursive(
    st.none()
    | st.text(max_size=50)
    | st.binary(max_size=900)
    | st.builds(
        lambda part, times: pickle.PickleBuffer(bytearray(part * times)),
        st.binary(min_size=1, max_size=40),
        st.sampled_from([1, 20, 700]),
    ),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=6,
)


def plain(value):
    """The value as it comes back: buffers are bytearrays."""
    if isinstance(value, list):
        return [plain(part) for part in value]
    return bytearray(value.raw()) if isinstance(value, pickle.PickleBuffer) else value


@given(
    values,
    st.sampled_from([None, *NAMES]),
    st.sampled_from([None, *NAMES]),
    st.sampled_from([0, 100, 5000]),
    st.none() | st.just(9),
    st.lists(st.text(max_size=3), max_size=2),
)
@example(bytes(100_000), "zlib", None, 1, None, [])
def test_every_value_comes_back(value, writes, rewrites, threshold, moment_us, tags):
    """Values, moments and tags survive any setting, another one at the reader, and a new deadline."""
    writing, reading = records(writes, threshold), records(rewrites, threshold)
    record = bytes(writing.encode(KEY, b"", value, moment_us, tuple(tags), None, moment_us))
    again = bytes(reading.redated("key", KEY, record, 11))

    for each, deadline_us in ((record, moment_us), (again, 11)):
        header = reading.authenticate("key", KEY, each)

        assert plain(value) == reading.decode("key", KEY, b"", each)
        assert plain(value) == reading.decode_entry("key", KEY, b"", each, lambda: 0)
        assert plain(value) == reading.decode_dated("key", KEY, each)[0]
        assert (deadline_us, moment_us) == (header.deadline_us, header.created_us)
        assert tuple(tags) == header.tags


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("told", [0, 1, 999_999, 1_000_001, 2**40, 2**64 - 1])
def test_lying_sizes_are_damage(name, told):
    """A stream that gives more or less than the record says is refused, though it is signed."""
    compression = compression_by_name(name)
    content = compression.smaller(bytes(1_000_000))
    record = forged(content, told, compression.algorithm)
    if not told:
        # 0 says that the payload is stored as it is, and so it is given.
        assert content == records().decode("key", KEY, b"", record)
        return
    with pytest.raises(CorruptRecordError, match=str(told)):
        records().decode("key", KEY, b"", record)


@pytest.mark.parametrize("name", NAMES)
def test_bombs_take_no_more_than_they_say(name):
    """However much a stream would give, no more comes out than the record says, and a step."""
    compression = compression_by_name(name)
    record = forged(compression.smaller(bytes(200_000_000)), 3_000_000, compression.algorithm)
    tracemalloc.start()
    try:
        with pytest.raises(CorruptRecordError, match="more than the recorded 3000000 bytes"):
            records().decode("key", KEY, b"", record)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 16_000_000


@pytest.mark.parametrize("name", NAMES)
def test_promised_sizes_take_no_memory(name):
    """A record that promises a terabyte, and has a kilobyte, costs a kilobyte."""
    compression = compression_by_name(name)
    record = forged(compression.smaller(bytes(2000)), 2**40, compression.algorithm)
    tracemalloc.start()
    try:
        with pytest.raises(CorruptRecordError, match="ends after 2000 bytes, 1099511627776"):
            records().decode("key", KEY, b"", record)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 16_000_000


def damaged(content):
    """Streams that are none any more."""
    yield b""
    for position in (0, 1, 3, len(content) // 2, len(content) - 1):
        yield content[:position]
        yield content[:position] + bytes([content[position] ^ 0x41]) + content[position + 1 :]
    yield content + b"\0"
    yield content + content
    yield content + bytes(1 << 17)


@pytest.mark.parametrize("name", NAMES)
def test_damaged_streams_are_damage(name):
    """A compressed payload that is none is a CorruptRecordError, or gives bytes of that size.

    Neither LZ4 nor Zstandard notices every change: that is what the signature is for.
    """
    compression = compression_by_name(name, None, 16)
    value = b"".join(b"%d," % number for number in range(3000))
    content = compression.smaller(value)
    refused = 0
    for bad in damaged(content):
        try:
            found = records().decode(
                "key", KEY, b"", forged(bad, len(value), compression.algorithm)
            )
        except CorruptRecordError:
            refused += 1
        else:
            assert len(value) == len(found)

    assert refused >= 10
    for bad in (content + b"\0", content + content, content[:-1], b""):
        with pytest.raises(CorruptRecordError):
            records().decode("key", KEY, b"", forged(bad, len(value), compression.algorithm))


@given(st.sampled_from(list(CompressionId)), st.binary(max_size=60), st.integers(0, 2**64 - 1))
def test_any_stream_decompresses_or_raises_format_error(algorithm, content, raw_bytes):
    """Garbage is damage, never an error of a library."""
    try:
        found = records().decode("key", KEY, b"", forged(content, raw_bytes, algorithm))
    except CorruptRecordError:
        return

    assert raw_bytes in (0, len(found))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_decompressed_before_it_is_authentic(name, monkeypatch):
    """Bytes that fail their signature or digest do not reach a decompressor."""
    calls = []
    monkeypatch.setattr("objcache.codecs.decompress", lambda *given: calls.append(given))
    payload = bytes(records(name).encode(KEY, b"", "golden " * 300))
    buffer = bytes(records(name).encode(KEY, b"", pickle.PickleBuffer(bytearray(2000))))
    for record, error in ((payload, SignatureError), (buffer, CorruptRecordError)):
        altered = record[:-1] + bytes([record[-1] ^ 1])
        with pytest.raises(error):
            records().decode("key", KEY, b"", altered)

    assert [] == calls


def test_altered_sizes_and_algorithms_are_refused():
    """The field of a compressed record is signed like any other."""
    record = bytes(records("zlib").encode(KEY, b"", "golden " * 300))
    for position in range(24, 33):
        altered = record[:position] + bytes([record[position] ^ 1]) + record[position + 1 :]
        with pytest.raises((SignatureError, CorruptRecordError)):
            records().decode("key", KEY, b"", altered)


def test_unknown_algorithms_name_both_numbers():
    """A record compressed by something newer says by what, and up to what this program reads."""
    with pytest.raises(UnsupportedFormatError, match="compression 9 was found.* up to 3"):
        records().decode("key", KEY, b"", forged(b"x", 5, 9))


def test_algorithm_zero_is_damage():
    """A record that says it is compressed names how."""
    prefix = pack_prefix(CodecId.RAW, 0, SIGNED | COMPRESSED)
    rest = bytes(9) + b"payload"
    with pytest.raises(CorruptRecordError, match="no algorithm"):
        records().decode("key", KEY, b"", prefix + signer().mac(KEY, prefix, rest) + rest)


def test_trust_and_data_only_codecs_hold_for_compressed_pickles():
    """An allow-list and a data-only codec refuse a compressed pickle as they refuse a plain one."""
    record = bytes(records("zlib").encode(KEY, b"", argparse.Namespace(text="x" * 2000)))

    assert unpack(record).compression
    for reading in (records(trust=["decimal.Decimal"]), records(codec="json")):
        with pytest.raises(DecodeError, match=r"argparse\.Namespace|data-only"):
            reading.decode("key", KEY, b"", record)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [0, 1, 2, 1 << 16, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_sizes_at_the_steps(name, size):
    """What ends where input or output is cut into steps comes back whole."""
    compression = compression_by_name(name, None, 0)
    for content in (bytes(size), bytes(range(0, 256, 2)) * (size // 128)):
        smaller = compression.smaller(content)
        if smaller is not None:
            assert content == decompress(compression.algorithm, smaller, len(content))
