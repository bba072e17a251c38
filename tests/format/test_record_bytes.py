"""Golden bytes of records: what is on disk never changes (docs/design/format.md)."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objcache import header
from objcache.codecs import CodecId
from objcache.errors import (
    CorruptRecordError,
    FormatError,
    SignatureError,
    UnknownCodecError,
    UnsupportedFormatError,
)
from objcache.header import SIGNED, pack_fields, pack_prefix, unpack
from objcache.records import Records
from objcache.signing import Signer, fingerprint

SECRET = b"golden secret of 32 bytes, frozen"
STORE_ID = bytes(range(16))
KEY = b"\x10\x02key\x00"
FORMAT = Path(__file__).parents[2] / "docs" / "design" / "format.md"


def signer():
    return Signer((SECRET,), STORE_ID)


def signed(prefix, rest):
    """A record whose signature is right, whatever it says."""
    return prefix + signer().mac(KEY, prefix, rest) + rest


def test_prefix_bytes_are_frozen():
    """The first eight bytes of format 1 are these for ever."""
    assert bytes.fromhex("6f63 01 01 05 00 0001") == pack_prefix(CodecId.PICKLE, 5, SIGNED)


def test_field_bytes_are_frozen():
    """Optional fields stand in the order of their flags."""
    flags, fields = pack_fields(
        deadline_us=1,
        tags=("a", "é"),
        full_key=b"\x02k\x00",
        payload_bytes=3,
        buffers=((64, bytes(32)),),
    )

    assert 0b11110 == flags
    assert (
        bytes.fromhex(
            "0000000000000001"
            "0002 0001 61 0002 c3a9"
            "00000003 026b00"
            "00000001 0000000000000003 0000000000000040" + "00" * 32
        )
        == fields
    )


def test_signature_bytes_are_frozen():
    """Key derivation, framing and MAC give these bytes for ever."""
    prefix = pack_prefix(CodecId.RAW, 0, SIGNED)

    assert "928fb92bed0abbd4" == fingerprint(SECRET)
    assert "b4759e69889783304964404925585ded" == signer().mac(KEY, prefix, b"payload").hex()


def test_pickle_record_bytes_are_frozen():
    """A small pickled value is prefix, MAC and pickle."""
    record = Records(signer()).encode(KEY, b"", 1)

    assert "6f630101050000012dc5e7ffd92debc6fb2c5fcf282ee61880054b012e" == bytes(record).hex()


def test_buffer_record_layout_is_frozen():
    """Out-of-band buffers lie on multiples of 64 bytes behind the pickle."""
    value = pickle.PickleBuffer(bytearray(b"ab" * 500))
    record = bytes(Records(signer()).encode(KEY, b"", value))
    found = unpack(record)

    assert (SIGNED | header.BUFFERS) == found.flags
    assert [(128, 1128)] == [(buffer.start, buffer.end) for buffer in found.buffers]
    assert b"ab" * 500 == record[128:1128]
    assert 0 == sum(record[found.payload_end : 128])


@given(st.binary(max_size=80))
def test_any_bytes_unpack_or_raise_format_error(content):
    """Garbage is a FormatError, never a struct.error or an IndexError."""
    for record in (content, b"oc\x01" + content, pack_prefix(1, 5, 31) + content):
        try:
            unpack(record)
        except FormatError:
            pass


@given(st.binary(max_size=80), st.integers(0, 200))
def test_altered_records_are_refused(noise, position):
    """A record in which any byte was changed is refused before it is decoded."""
    records = Records(signer())
    record = bytes(records.encode(KEY, b"", {"value": [1, 2, 3], "text": "abc"}))
    altered = record[:position] + noise + record[position + len(noise) :]
    if altered != record:
        with pytest.raises((SignatureError, CorruptRecordError, UnsupportedFormatError)):
            records.decode("key", KEY, b"", altered)


@pytest.mark.parametrize(
    ("prefix", "found", "supported"),
    [
        (b"oc\x02\x01\x05\x00\x00\x01", 2, 1),
        (pack_prefix(CodecId.PICKLE, 5, SIGNED | 1 << 14), SIGNED | 1 << 14, 31),
        (pack_prefix(CodecId.PICKLE, 9, SIGNED), 9, pickle.HIGHEST_PROTOCOL),
        (pack_prefix(CodecId.JSON, 3, SIGNED), 3, 0),
    ],
    ids=["format", "flags", "protocol", "codec version"],
)
def test_newer_formats_name_both_numbers(prefix, found, supported):
    """A record of a newer format, flag, pickle protocol or codec version says which, and which we read."""
    record = signed(prefix, pickle.dumps(1))
    with pytest.raises(UnsupportedFormatError) as caught:
        Records(signer()).decode("key", KEY, b"", record)

    assert (found, supported) == (caught.value.found, caught.value.supported)
    assert str(found) in str(caught.value)
    assert str(supported) in str(caught.value)


def test_unknown_codec_names_its_id():
    """A record of a codec that was not given says its id."""
    record = signed(pack_prefix(200, 0, SIGNED), b"")
    with pytest.raises(UnknownCodecError, match="codec id 200"):
        Records(signer()).decode("key", KEY, b"", record)


def test_format_document_agrees_with_the_code():
    """The tables of docs/design/format.md give the ids and flags of the code."""
    text = FORMAT.read_text()
    flags = dict(re.findall(r"^\| `([A-Z_]+)` \| (\d+) \|", text, re.MULTILINE))
    codecs = dict(re.findall(r"^\| (\d+) \| `(\w+)` \|", text, re.MULTILINE))

    assert {
        name: str(getattr(header, name))
        for name in ("SIGNED", "DEADLINE", "TAGS", "FULL_KEY", "BUFFERS")
    } == flags
    assert {str(int(codec)): codec.name.lower() for codec in CodecId} == codecs
