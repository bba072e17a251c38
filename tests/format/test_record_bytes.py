"""Golden bytes of records: what is on disk never changes (docs/design/format.md)."""

from __future__ import annotations

import pickle
import random
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from objcache import header, keys
from objcache.codecs import CodecId, CompressionId, compression_by_name
from objcache.engine import _side_rows
from objcache.errors import (
    CorruptRecordError,
    DecodeError,
    FormatError,
    SignatureError,
    UnknownCodecError,
    UnsupportedFormatError,
)
from objcache.header import SIGNED, pack_fields, pack_parts, pack_prefix, unpack
from objcache.records import Records
from objcache.signing import Signer, digest, fingerprint
from objcache.store._counters import OTHERS_KEY
from objcache.store._settings import SETTINGS_KEY

SECRET = b"golden secret of 32 bytes, frozen"
STORE_ID = bytes(range(16))
KEY = b"\x10\x02key\x00"
FORMAT = Path(__file__).parents[2] / "docs" / "design" / "format.md"


def signer():
    return Signer((SECRET,), STORE_ID)


def signed(prefix, rest):
    """A record whose signature is right, whatever it says."""
    return prefix + signer().mac(KEY, prefix, rest) + rest


def test_the_document_agrees_with_the_sections():
    """The first bytes of engine keys are those of the table, and no byte has two meanings."""
    table = FORMAT.read_text().partition("## Sections")[2].partition("## Records")[0]
    listed = dict(re.findall(r"^\| `(\w+)` \| `(..)`", table, re.MULTILINE))
    unnamed = " ".join(re.findall(r"^\| \| (.*?) \|", table, re.MULTILINE))
    own = (SETTINGS_KEY, OTHERS_KEY, _side_rows._LIVE, _side_rows._DROPPED)

    assert {name: getattr(keys, name).hex() for name in listed} == listed
    assert 8 == len(set(listed.values())) == len(listed)
    assert [section[:1].hex() for section in own] == re.findall(r"`(\d\d)`", unnamed)


def test_prefix_bytes_are_frozen():
    """The first eight bytes of format 1 are these for ever."""
    assert bytes.fromhex("6f63 01 01 05 00 0001") == pack_prefix(CodecId.PICKLE, 5, SIGNED)


def test_field_bytes_are_frozen():
    """Optional fields stand in the order that the document gives."""
    flags, fields = pack_fields(
        deadline_us=1, cost_us=2, created_us=3, tags=("a", "é"), full_key=b"\x02k\x00"
    )
    part_flags, part_fields = pack_parts(
        payload_bytes=3,
        buffers=((64, bytes(32)),),
        side_file=bytes(range(16)),
        payload_aside=True,
        compression=2,
        raw_sizes=(0, 0x1234),
    )

    assert (0b0_0110_1110, 0b1_1001_0000) == (flags, part_flags)
    assert (
        bytes.fromhex(
            "0000000000000001000000000000000200000000000000030002 0001 61 0002 c3a900000003 026b00"
        )
        == fields
    )
    assert (
        bytes.fromhex(
            "000102030405060708090a0b0c0d0e0f 01"
            "00000001 0000000000000003 0000000000000040" + "00" * 32 + "02 0000000000000000"
            "0000000000001234"
        )
        == part_fields
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


COSTED = {
    "cost": (
        {},
        "6f63010105000021 d63376113fb0e0b4884e3599fccf4682 0000000000000102 80054b012e",
    ),
    "cost and deadline": (
        {"deadline_us": 3},
        (
            "6f63010105000023 f4d25f6d6fe427a35500a6f2ce5453b6 0000000000000003 0000000000000102"
            "80054b012e"
        ),
    ),
    "cost, deadline and tags": (
        {"deadline_us": 3, "tags": ("a",)},
        (
            "6f63010105000027 e8cdc0e91eff4392dd732a856b4369c7 0000000000000003 0000000000000102"
            "0001000161 80054b012e"
        ),
    ),
}


@pytest.mark.parametrize(("fields", "golden"), COSTED.values(), ids=COSTED)
def test_costed_record_bytes_are_frozen(fields, golden):
    """A cost stands directly behind the deadline, or behind the MAC where there is none."""
    record = bytes(Records(signer()).encode(KEY, b"", 1, cost_us=0x102, **fields))

    assert bytes.fromhex(golden).hex() == record.hex()
    assert (1, 0x102, fields.get("deadline_us")) == Records(signer()).decode_dated(
        "key", KEY, bytes.fromhex(golden)
    )


moments = st.integers(0, 2**64 - 1)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(max_size=900),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
) | st.builds(lambda size: pickle.PickleBuffer(bytearray(size)), st.sampled_from([1, 600]))


@given(
    st.none() | moments,
    st.none() | moments,
    st.lists(st.text(max_size=5), max_size=3),
    values,
    st.sampled_from([None, 2, 5]),
)
@example(1, None, [], "x" * (1 << 15), None)
@example(1, 1, [], "x" * (1 << 15), None)
def test_the_fast_path_agrees_with_the_slow_one(cost_us, deadline_us, tags, value, protocol):
    """Whatever a record has, the short way to its value, cost and deadline gives what the long one does."""
    if isinstance(value, pickle.PickleBuffer) and protocol == 2:
        value = bytes(value.raw())
    writing, reading = Records(signer(), protocol=protocol), Records(signer())
    record = bytes(
        writing.encode(KEY, b"", value, cost_us=cost_us, deadline_us=deadline_us, tags=tuple(tags))
    )
    head = reading.authenticate("key", KEY, record)
    slow = reading.load("key", head, record), head.cost_us or 0, head.deadline_us

    assert tuple(tags) == head.tags
    assert ((cost_us or 0), deadline_us) == slow[1:]
    for records in (writing, reading):
        assert slow == records.decode_dated("key", KEY, record)
    assert slow[0] == reading.decode("key", KEY, b"", record)


@given(st.none() | moments, st.none() | moments, st.booleans(), st.binary(max_size=40), st.data())
def test_altered_costed_records_are_refused(cost_us, deadline_us, tagged, noise, choice):
    """A record with a cost that was cut or changed anywhere is refused before it is decoded."""
    records = Records(signer())
    tags = ("tag",) if tagged else ()
    record = bytes(
        records.encode(KEY, b"", [1, "abc"], cost_us=cost_us, deadline_us=deadline_us, tags=tags)
    )
    position = choice.draw(st.integers(0, len(record)))
    altered = {
        record[:position],
        record[:position] + noise + record[position + len(noise) :],
        record[:position] + noise + record[position:],
        record[:7] + bytes([record[7] ^ 32]) + record[8:],
    }
    for bad in altered - {record}:
        with pytest.raises((SignatureError, CorruptRecordError, UnsupportedFormatError)):
            records.decode_dated("key", KEY, bad)


@pytest.mark.parametrize(
    ("flags", "fields_end"),
    [(SIGNED | header.COST, 32), (SIGNED | header.COST | header.DEADLINE, 40)],
)
@pytest.mark.parametrize("length", [0, 1, 7, 8, 23, 24, 31, 32, 39, 40])
def test_short_costed_records_are_refused_though_signed(flags, fields_end, length):
    """A record that ends before its fields do is damage, even if somebody has signed it so."""
    rest = bytes(max(length - 24, 0))
    record = signed(pack_prefix(CodecId.PICKLE, 5, flags), rest)[:length]
    with pytest.raises(CorruptRecordError if length < fields_end else DecodeError):
        Records(signer()).decode_dated("key", KEY, record)


def test_a_full_key_where_none_is_needed_is_refused():
    """A dated record never keeps a full key: one that does was made for another place."""
    records = Records(signer())
    record = bytes(records.encode(KEY, b"full key", 1, cost_us=1))
    with pytest.raises(CorruptRecordError, match="full key"):
        records.decode_dated("key", KEY, record)


def test_a_costed_pickle_that_cannot_be_loaded_says_why():
    """An authentic record whose pickle fails is a DecodeError, by the short way as by the long one."""
    for flags, fields in (
        pack_fields(cost_us=1),
        pack_fields(cost_us=1, deadline_us=1),
        pack_fields(cost_us=1, tags=("a",)),
    ):
        record = signed(
            pack_prefix(CodecId.PICKLE, 5, SIGNED | flags), fields + b"cno_such_module\nname\n."
        )
        with pytest.raises(DecodeError, match="no_such_module"):
            Records(signer()).decode_dated("key", KEY, record)


def test_a_data_only_codec_decodes_no_costed_pickle():
    """With a data-only codec a dated pickle is refused, and its own records are read."""
    record = bytes(Records(signer()).encode(KEY, b"", 1, cost_us=1))
    data_only = Records(signer(), codec="json")
    with pytest.raises(DecodeError, match="data-only"):
        data_only.decode_dated("key", KEY, record)
    record = bytes(data_only.encode(KEY, b"", {"a": 1}, cost_us=9, deadline_us=8))

    assert ({"a": 1}, 9, 8) == data_only.decode_dated("key", KEY, record)


def test_buffer_record_layout_is_frozen():
    """Out-of-band buffers lie on multiples of 64 bytes behind the pickle."""
    value = pickle.PickleBuffer(bytearray(b"ab" * 500))
    record = bytes(Records(signer()).encode(KEY, b"", value))
    found = unpack(record)

    assert (SIGNED | header.BUFFERS) == found.flags
    assert [(128, 1128)] == [(buffer.start, buffer.end) for buffer in found.buffers]
    assert b"ab" * 500 == record[128:1128]
    assert 0 == sum(record[found.payload_end : 128])


class Mapped:
    """Side files as memory that somebody else can write to."""

    def write(self, parts):
        self.content = bytearray().join(parts)
        return bytes(16), [(0, len(self.content))]

    def view(self, name, places):
        return [memoryview(self.content)[start:end] for start, end in places]


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_what_a_view_decodes_cannot_be_altered_meanwhile(compression, monkeypatch):
    """A payload in a side file is compared and decoded in one copy: later changes do not count."""
    files, value = Mapped(), random.Random(1).randbytes(1 << 20) + bytes(1 << 20)
    records = Records(signer(), files=files, compression=compression_by_name(compression))
    record = bytes(records.encode(KEY, b"", value))
    head = records.authenticate("key", KEY, record)

    def digest_then_alter(content):
        found = digest(content)
        files.content[:] = b"\xff" * len(files.content)
        return found

    monkeypatch.setattr("objcache.records._loading.digest", digest_then_alter)

    assert head.payload_aside
    assert value == records.view("key", head, record, verify=True)
    with pytest.raises(CorruptRecordError, match="buffer 0 of its side file 0000"):
        records.view("key", head, record, verify=False)


@given(st.binary(max_size=80))
def test_any_bytes_unpack_or_raise_format_error(content):
    """Garbage is a FormatError, never a struct.error or an IndexError."""
    for record in (
        *(content, b"oc\x01" + content, pack_prefix(1, 5, 63) + content),
        *(pack_prefix(1, 5, flags) + content for flags in (256, 272, 400, 511)),
    ):
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
        (pack_prefix(CodecId.PICKLE, 5, SIGNED | 1 << 14), SIGNED | 1 << 14, 511),
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
    names = (
        *("SIGNED", "DEADLINE", "COST", "CREATED", "TAGS", "FULL_KEY", "SIDE_FILE", "BUFFERS"),
        "COMPRESSED",
    )

    assert [(name, str(getattr(header, name))) for name in names] == list(flags.items())
    for heading, ids in (("Codec ids", CodecId), ("Compression ids", CompressionId)):
        section = text.partition(f"### {heading}")[2].partition("#")[0]
        rows = dict(re.findall(r"^\| (\d+) \| `(\w+)` \|", section, re.MULTILINE))

        assert {str(int(each)): each.name.lower() for each in ids} == rows
