"""Raw, JSON and msgpack: what comes back is what was given, or it is refused."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import types
from collections import OrderedDict
from enum import IntEnum

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from objcache.codecs import JsonCodec, MsgpackCodec, RawCodec, codec_by_name
from objcache.errors import DecodeError, EncodeError, MissingExtraError

text = st.text(st.characters(codec="utf-8"))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
msgpack_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | text
    | st.binary()
)
msgpack_values = st.recursive(
    msgpack_scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(msgpack_scalars, inner, max_size=4),
    max_leaves=12,
)


def nested(depth, kind=list):
    """A list or dict with *depth* levels."""
    value = kind()
    for _ in range(depth - 1):
        value = [value] if kind is list else {"a": value}
    return value


@settings(max_examples=60)
@given(json_values)
@example([2**14_284 - 1, -0.0, 1e308, 5e-324, "", {}, []])
@example({"": {"\x00": "\U0001f600\u2028"}})
def test_json_gives_back_what_it_took(value):
    """Whatever the JSON codec accepts comes back equal, with its types."""
    codec = JsonCodec()

    assert repr(value) == repr(codec.decode(memoryview(codec.encode(value))))


@settings(max_examples=60)
@given(msgpack_values)
@example({None: 1, True: 2, 2.5: 3, b"\xff": 4, "": 5, -(2**63): 2**64 - 1})
@example([b"\xd6\xff", b"\xd7\xff", b"\xc7\x0c\xff", 0x04FF, "\xff", math.inf, -0.0])
@example(b"\xd6\xff\x00\x00\x00\x00" * 50)
def test_msgpack_gives_back_what_it_took(value):
    """Whatever the msgpack codec accepts comes back equal, with its types."""
    codec = MsgpackCodec()

    assert repr(value) == repr(codec.decode(memoryview(codec.encode(value))))


def test_json_is_compact_utf8():
    """The payload is JSON that other programs read: no spaces, no escapes without need."""
    assert '{"ä":[1,2.5,null,true]}'.encode() == JsonCodec().encode({"ä": [1, 2.5, None, True]})


def test_raw_takes_contiguous_buffers():
    """bytes, bytearray and contiguous memoryview are stored as their bytes, and come back bytes."""
    wide = memoryview(np.arange(3, dtype="<u2"))
    for value in (b"abc", bytearray(b"abc"), memoryview(b"abc"), memoryview(b"xabc")[1:]):
        assert b"abc" == RawCodec().decode(memoryview(RawCodec().encode(value)))
    assert b"\x00\x00\x01\x00\x02\x00" == RawCodec().encode(wide)
    assert bytes is type(RawCodec().encode(bytearray(b"a")))


class Text(str):
    """A subclass of str."""


class Bytes(bytes):
    """A subclass of bytes."""


class Colour(IntEnum):
    """A subclass of int."""

    RED = 1


class Reprless:
    """Has no name for messages."""

    def __repr__(self):
        raise RuntimeError("no")


RELEASED = memoryview(b"abc")
RELEASED.release()
LOOP: list[object] = [1]
LOOP.append({"again": LOOP})


@pytest.mark.parametrize(
    ("codec", "value", "path", "kind"),
    [
        ("json", {"a": [0, 1, 2, (2,)]}, "value['a'][3]", "tuple"),
        ("json", {"a": {"b": {1: 2}}}, "value['a']['b']: key 1", "int"),
        ("json", {Reprless(): 1}, f"value: key <{__name__}.Reprless>", f"{__name__}.Reprless"),
        ("json", {True: 1}, "value: key True", "bool"),
        ("json", {Text("k"): 1}, f"value: key <{__name__}.Text>", f"{__name__}.Text"),
        ("json", [math.nan], "value[0]", "float"),
        ("json", [-math.inf], "value[0]", "float"),
        ("json", b"bytes", "value", "bytes"),
        ("json", {"a": "\ud800"}, "value['a']", "str"),
        ("json", {"\ud800": 1}, "value: key '\\ud800'", "str"),
        ("json", [Text("a")], "value[0]", f"{__name__}.Text"),
        ("json", [Colour.RED], "value[0]", f"{__name__}.Colour"),
        ("json", [np.float64(1)], "value[0]", "numpy.float64"),
        ("json", [1 << 14_284], "value[0]", "int"),
        ("json", LOOP, "value[1]['again']", "list"),
        ("json", {"a": OrderedDict()}, "value['a']", "collections.OrderedDict"),
        ("json", {"x" * 100: {1}}, "value[<str>]", "set"),
        ("msgpack", [[1, (2,)]], "value[0][1]", "tuple"),
        ("msgpack", {(1,): 2}, "value: key <tuple>", "tuple"),
        ("msgpack", [2**64], "value[0]", "int"),
        ("msgpack", {"a": -(2**63) - 1}, "value['a']", "int"),
        ("msgpack", {2**64: 1}, "value: key 18446744073709551616", "int"),
        ("msgpack", {10**5000: 1}, "value: key <int>", "int"),
        ("msgpack", ["\ud800"], "value[0]", "str"),
        ("msgpack", {1, 2}, "value", "set"),
        ("msgpack", [bytearray(b"a")], "value[0]", "bytearray"),
        ("msgpack", [Bytes(b"a")], "value[0]", f"{__name__}.Bytes"),
        ("msgpack", {Colour.RED: 1}, f"value: key <{__name__}.Colour>", f"{__name__}.Colour"),
        ("msgpack", LOOP, "value[1]['again']", "list"),
        ("raw", "text", "value", "str"),
        ("raw", 1, "value", "int"),
        ("raw", Bytes(b"a"), "value", f"{__name__}.Bytes"),
        ("raw", memoryview(b"aabbcc")[::2], "value", "memoryview"),
        ("raw", memoryview(np.ones((2, 3), order="F")), "value", "memoryview"),
        ("raw", RELEASED, "value", "memoryview"),
    ],
)
def test_what_would_change_is_refused(codec, value, path, kind):
    """Data-only codecs refuse what they would change silently, naming where and what it is."""
    with pytest.raises(EncodeError) as caught:
        codec_by_name(codec).encode(value)

    assert (path, kind) == (caught.value.path, caught.value.type_name)


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize("kind", [list, dict])
def test_depth_is_bounded(codec, kind):
    """500 levels come back; more are refused, without any traceback of the interpreter."""
    codec = codec_by_name(codec)
    deepest = nested(500, kind)

    assert deepest == codec.decode(codec.encode(deepest))
    for depth in (501, 100_000):
        too_deep = nested(depth, kind)
        with pytest.raises(EncodeError, match="nests too deeply"):
            codec.encode(too_deep)
        while too_deep:
            too_deep = too_deep["a"] if kind is dict else too_deep[0]


def test_shared_parts_are_no_cycle():
    """A part that occurs twice side by side is stored twice."""
    part = [1]
    for codec in (JsonCodec(), MsgpackCodec()):
        assert [[1], [1], [[1]]] == codec.decode(codec.encode([part, part, [part]]))


def test_failures_of_the_libraries_are_encode_errors(monkeypatch):
    """What json or msgpack itself refuses is an EncodeError too."""
    digits = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        with pytest.raises(EncodeError, match="limit"):
            JsonCodec().encode([10**1000])
    finally:
        sys.set_int_max_str_digits(digits)

    def refuse(*_arguments, **_options):
        raise ValueError("too large for msgpack")

    codec = MsgpackCodec()
    monkeypatch.setattr(codec, "_msgpack", types.SimpleNamespace(packb=refuse))
    with pytest.raises(EncodeError, match="too large for msgpack"):
        codec.encode([1])


TIMESTAMPS = [
    b"\xd6\xff" + bytes(4),
    b"\xd7\xff" + bytes(8),
    *(b"\xc7" + size.to_bytes(1, "big") + b"\xff" + bytes(size) for size in (4, 8, 12)),
    *(b"\xc8" + size.to_bytes(2, "big") + b"\xff" + bytes(size) for size in (4, 8, 12)),
    *(b"\xc9" + size.to_bytes(4, "big") + b"\xff" + bytes(size) for size in (4, 8, 12)),
]


@pytest.mark.parametrize("stamp", TIMESTAMPS, ids=lambda stamp: stamp[:6].hex())
def test_timestamps_are_refused(stamp):
    """msgpack's own extension type makes no object either, wherever it stands."""
    for payload in (
        stamp,
        b"\x92\x01" + stamp,
        b"\x81\xa1a\x91" + stamp,
        b"\x81" + stamp + b"\x01",
    ):
        with pytest.raises(DecodeError, match="timestamp"):
            MsgpackCodec().decode(payload)


@pytest.mark.parametrize(
    "payload",
    [
        *(b"\xd4\x05a", b"\xc7\x00\x05", b"\xc7\x05\x01hello", b"\xc7\x03\xffabc"),
        *(b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"),
        *(b"\xdb\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x01", b"\x91" * 5000),
        *((b"\xdd" + (1 << 16).to_bytes(4, "big")) * 1000 + bytes(60_000),),
        *(b"", b"\xc1", b"\x01\x01", b"\x81\x90\x01", b"\x81\x80\x01", b"\xa1\xff", b"\x92\x01"),
    ],
    ids=lambda payload: payload[:6].hex(),
)
def test_hostile_msgpack_is_refused(payload):
    """Extensions, absurd sizes, depth and damage end in a DecodeError."""
    with pytest.raises(DecodeError, match="not msgpack"):
        MsgpackCodec().decode(payload)


def test_out_of_memory_over_declared_sizes_is_a_decode_error(monkeypatch):
    """Where declared sizes exhaust memory, the payload is to blame."""

    def exhaust(*_arguments, **_options):
        raise MemoryError

    codec = MsgpackCodec()
    monkeypatch.setattr(codec, "_msgpack", types.SimpleNamespace(unpackb=exhaust))
    with pytest.raises(DecodeError, match="MemoryError"):
        codec.decode(b"\x90")


@pytest.mark.parametrize(
    "payload",
    [
        *(
            b"",
            b"[1,]",
            b"[1] 2",
            b"NaN",
            b"[Infinity]",
            b"{1:2}",
            b"'a'",
            b"\xff",
            b'"\xed\xa0\x80"',
        ),
        *(b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5000, b"\xef\xbb\xbf1", b'"\x01"'),
    ],
    ids=lambda payload: payload[:6].hex(),
)
def test_hostile_json_is_refused(payload):
    """What is not strict UTF-8 JSON ends in a DecodeError, depth and digits included."""
    with pytest.raises(DecodeError, match="not JSON"):
        JsonCodec().decode(payload)


@settings(max_examples=60)
@given(st.binary() | st.builds(bytes.__add__, st.sampled_from(TIMESTAMPS), st.binary(max_size=9)))
def test_any_bytes_decode_or_are_refused(content):
    """Garbage gives plain data or a DecodeError, nothing else."""
    for codec in (RawCodec(), JsonCodec(), MsgpackCodec()):
        for payload in (content, memoryview(content)):
            try:
                value = codec.decode(payload)
            except DecodeError:
                continue

            assert type(value) in {type(None), bool, int, float, str, bytes, list, dict}


@settings(max_examples=60)
@given(msgpack_values, st.integers(0, 200), st.integers(0, 255))
def test_altered_msgpack_decodes_or_is_refused(value, position, byte):
    """One altered byte gives another value or a DecodeError."""
    payload = bytearray(MsgpackCodec().encode(value))
    payload[position % len(payload)] = byte
    try:
        MsgpackCodec().decode(bytes(payload))
    except DecodeError as error:
        assert "not msgpack" in error.reason


def test_missing_msgpack_is_told(monkeypatch):
    """Without the package the codec says which extra to install."""
    monkeypatch.setitem(sys.modules, "msgpack", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'objcache\[msgpack\]'") as caught:
        codec_by_name("msgpack")

    assert ("the msgpack codec", "msgpack", "msgpack") == caught.value.args


def test_pure_python_msgpack_is_as_strict():
    """msgpack without its C extension takes, gives back and refuses the same."""
    code = """
from objcache.codecs import MsgpackCodec
from objcache.errors import DecodeError
codec = MsgpackCodec()
value = {1: [b"a", 2.5, None, True], "b": {}}
assert value == codec.decode(codec.encode(value))
for payload in (b"\\xd6\\xff\\0\\0\\0\\0", b"\\xd4\\x05a", b"\\x91" * 5000, b"\\xdd\\xff\\xff\\xff\\xff", b""):
    try:
        codec.decode(payload)
    except DecodeError:
        print("refused", end=" ")
print(codec._msgpack.Packer.__module__)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "MSGPACK_PUREPYTHON": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "refused " * 5 + "msgpack.fallback\n" == done.stdout, done.stderr
