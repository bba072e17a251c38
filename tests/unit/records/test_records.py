"""Records of one store that differ in one setting from others keep all the rest."""

from __future__ import annotations

import argparse
import types

import pytest

from objcache.codecs import CodecId
from objcache.errors import DecodeError
from objcache.header import unpack
from objcache.records import Records
from objcache.signing import STORE_ID_BYTES, Signer

SIGNER = Signer((b"a secret of 16 bytes",), bytes(STORE_ID_BYTES))
KEY = b"\x10\x02key\x00"
LIKE = {
    "using": lambda records: records.using("pickle"),
    "aside_from": lambda records: records.aside_from(1 << 14),
}


class Upper:
    """A codec of one's own."""

    codec_id = 200
    codec_version = 1

    def encode(self, value):
        return value.upper().encode()

    def decode(self, payload):
        return bytes(payload).decode()


class Kept:
    """Files that remember what was written."""

    def __init__(self):
        self.parts = []

    def write(self, parts):
        self.parts = [bytes(part) for part in parts]
        return bytes(16), [(0, len(part)) for part in self.parts]

    def view(self, _name, _places):
        return [memoryview(part) for part in self.parts]


def decoded(records, record):
    """The value of *record*."""
    return records.decode("key", KEY, b"", record)


@pytest.mark.parametrize("like", LIKE.values(), ids=LIKE)
def test_what_may_be_loaded_stays(like):
    """Allow-list, renames and further codecs hold for those that were made from others."""
    record = Records(SIGNER).encode(KEY, b"", argparse.Namespace(a=1))
    upper = Records(SIGNER, codec=Upper()).encode(KEY, b"", "text")
    renames = {"argparse.Namespace": "types.SimpleNamespace"}

    with pytest.raises(DecodeError, match="Namespace"):
        decoded(like(Records(SIGNER, trust=iter(["builtins.set"]))), record)
    assert types.SimpleNamespace(a=1) == decoded(like(Records(SIGNER, renames=renames)), record)
    assert "TEXT" == decoded(like(Records(SIGNER, codecs=iter([Upper()]))), upper)


@pytest.mark.parametrize("like", LIKE.values(), ids=LIKE)
def test_how_values_are_written_stays(like):
    """Protocol and files hold for those that were made from others."""
    files = Kept()
    written = like(Records(SIGNER, protocol=4, files=files, aside_bytes=(64, 64)))
    record = written.encode(KEY, b"", b"x" * (1 << 15))

    assert 4 == unpack(record).codec_version
    assert 1 << 15 < len(files.parts[0])


def test_one_setting_changes():
    """`using` changes the codec, `aside_from` the size, and both together."""
    files = Kept()
    records = Records(SIGNER, codec=Upper(), files=files)
    small = records.aside_from(1 << 10)

    assert 200 == unpack(small.encode(KEY, b"", "x" * (1 << 10))).codec_id
    assert [b"X" * (1 << 10)] == files.parts
    assert not unpack(records.encode(KEY, b"", "x" * (1 << 10))).side_file
    record = small.using("raw").encode(KEY, b"", b"y" * (1 << 10))
    assert CodecId.RAW == unpack(record).codec_id
    assert [b"y" * (1 << 10)] == files.parts
