"""The codecs by name and id, and codecs of one's own."""

from __future__ import annotations

import subprocess
import sys
from enum import IntEnum

import pytest

from objcache import codecs
from objcache.codecs import (
    BUILTIN_CODECS,
    FIRST_CUSTOM_ID,
    LARGEST_BUILTIN_ID,
    LARGEST_ID,
    CodecId,
    JsonCodec,
    MsgpackCodec,
    RawCodec,
    check_custom_codec,
    codec_by_name,
)


def test_ids_are_frozen():
    """The numbers on disk are these for ever."""
    assert {"RAW": 0, "PICKLE": 1, "JSON": 2, "MSGPACK": 3} == {c.name: int(c) for c in CodecId}
    assert (3, 128, 255) == (LARGEST_BUILTIN_ID, FIRST_CUSTOM_ID, LARGEST_ID)


@pytest.mark.parametrize(
    ("name", "kind", "number"),
    [("raw", RawCodec, 0), ("json", JsonCodec, 2), ("msgpack", MsgpackCodec, 3)],
)
def test_codecs_by_name(name, kind, number):
    """A name leads to its codec, and that to the id of records."""
    codec = codec_by_name(name)

    assert kind is type(codec) is type(BUILTIN_CODECS[name]())
    assert (number, 0) == (codec.codec_id, codec.codec_version)


@pytest.mark.parametrize("name", ["pickle", "yaml", ""])
def test_pickle_is_no_codec(name):
    """Pickling is the record layer's own: no codec has that name, nor unknown ones."""
    with pytest.raises(ValueError, match="is not one of pickle, raw, json, msgpack"):
        codec_by_name(name)


class Custom:
    """A codec of one's own."""

    def __init__(self, codec_id=200, codec_version=0):
        self.codec_id = codec_id
        self.codec_version = codec_version

    def encode(self, value, /):
        return repr(value).encode()

    def decode(self, payload, /):
        return bytes(payload).decode()


class Ids(IntEnum):
    """Ids of somebody's codecs."""

    MINE = 128


@pytest.mark.parametrize("codec", [Custom(128), Custom(255, 255), Custom(Ids.MINE)])
def test_codecs_of_ones_own_are_taken(codec):
    """Ids 128 to 255 and versions 0 to 255 are free."""
    check_custom_codec(codec)


@pytest.mark.parametrize(
    ("codec", "message"),
    [
        (Custom(127), "codec_id=127 of Custom is outside 128 to 255"),
        (Custom(256), "codec_id=256 of Custom is outside 128 to 255"),
        (Custom(True), "codec_id=True of Custom is outside"),
        (Custom("200"), "codec_id='200' of Custom is outside"),
        (Custom(None), "codec_id=None of Custom is outside"),
        (Custom(200.0), "codec_id=200.0 of Custom is outside"),
        (Custom(200, -1), "codec_version=-1 of Custom is outside 0 to 255"),
        (Custom(200, 256), "codec_version=256 of Custom is outside 0 to 255"),
        (Custom(200, True), "codec_version=True of Custom is outside 0 to 255"),
        (Custom(200, "1"), "codec_version='1' of Custom is outside 0 to 255"),
        (RawCodec(), "codec_id=0 of RawCodec is outside"),
    ],
)
def test_wrong_numbers_are_refused(codec, message):
    """An id that is taken or does not fit its byte is refused."""
    with pytest.raises(ValueError, match=message):
        check_custom_codec(codec)


def test_what_is_no_codec_is_refused():
    """Objects without the methods, and classes instead of instances, are refused."""
    mute = Custom()
    mute.encode = None
    with pytest.raises(TypeError, match="is no codec: it lacks codec_id"):
        check_custom_codec(object())
    with pytest.raises(TypeError, match="Custom is a class; pass a codec made from it"):
        check_custom_codec(Custom)
    with pytest.raises(TypeError, match="its encode cannot be called"):
        check_custom_codec(mute)


def test_names_are_complete():
    """Every name of `__all__` is there, and no other is made up."""
    for name in codecs.__all__:
        assert getattr(codecs, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        codecs.nonsense


def test_import_is_cheap():
    """Importing the package loads no format, no trace of failure paths, nothing heavy."""
    code = "import objcache.codecs, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    late = {"json", "msgpack", "pickletools", "dataclasses", "decimal", "datetime", "zoneinfo"}
    parts = {f"objcache.codecs._{name}" for name in ("restricted", "culprit", "missing", "stream")}

    assert set() == (late | parts) & set(loaded)
