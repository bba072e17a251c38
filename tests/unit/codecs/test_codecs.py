"""Codecs: what comes back is what was given, or it is refused; hostile bytes run nothing."""

from __future__ import annotations

import io
import math
import os
import pickle
import sys
import threading
import types
from collections import OrderedDict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import PurePosixPath
from uuid import UUID

import msgpack
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from objcache.codecs import (
    NUMPY_TRUSTED,
    JsonCodec,
    MsgpackCodec,
    OutOfBand,
    RawCodec,
    codec_by_name,
    decode_failure,
    encode_failure,
    loads_restricted,
    trust_names,
)
from objcache.errors import (
    CodecError,
    DecodeError,
    EncodeError,
    MissingExtraError,
    UntrustedTypeError,
)

RAN: list[str] = []
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
msgpack_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | text
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(text | st.binary() | st.integers(-5, 5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(json_values)
def test_json_gives_back_what_it_took(value):
    """Whatever the JSON codec accepts comes back equal, with its types."""
    assert repr(value) == repr(JsonCodec().decode(JsonCodec().encode(value)))


@given(msgpack_values)
def test_msgpack_gives_back_what_it_took(value):
    """Whatever the msgpack codec accepts comes back equal, with its types."""
    assert repr(value) == repr(MsgpackCodec().decode(MsgpackCodec().encode(value)))


@given(st.binary())
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\xc7\x05\x01hello")
@example(b"\xd6\xff\x00\x00\x00\x00")
@example(b"[" * 5000)
@example(b"\x91" * 5000)
@example(b"NaN")
@example(b"\x81\x80\x01")
@example(b"\x81\x90\x01")
def test_any_bytes_decode_or_are_refused(content):
    """Garbage gives a value or a DecodeError, however large the sizes it claims."""
    for codec in (RawCodec(), JsonCodec(), MsgpackCodec()):
        for payload in (content, memoryview(content)):
            try:
                codec.decode(payload)
            except DecodeError:
                pass


class Text(str):
    """A subclass of str."""


LOOP: list[object] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("codec", "value", "path"),
    [
        ("json", {"a": [1, (2,)]}, "value['a'][1]"),
        ("json", {1: 2}, "value: key 1"),
        ("json", [math.nan], "value[0]"),
        ("json", [math.inf], "value[0]"),
        ("json", b"bytes", "value"),
        ("json", {"a": "\ud800"}, "value['a']"),
        ("json", {"\ud800": 1}, "value: key '\\ud800'"),
        ("json", [Text("a")], "value[0]"),
        ("json", LOOP, "value[0]"),
        ("json", {"a": OrderedDict()}, "value['a']"),
        ("msgpack", [[1, (2,)]], "value[0][1]"),
        ("msgpack", {(1,): 2}, "value: key <tuple>"),
        ("msgpack", [2**64], "value[0]"),
        ("msgpack", [-(2**63) - 1], "value[0]"),
        ("msgpack", ["\ud800"], "value[0]"),
        ("msgpack", {1, 2}, "value"),
        ("raw", "text", "value"),
        ("raw", 1, "value"),
    ],
)
def test_what_would_change_is_refused(codec, value, path):
    """Data-only codecs refuse what they would change silently, naming where it is."""
    with pytest.raises(EncodeError) as caught:
        codec_by_name(codec).encode(value)

    assert path == caught.value.path


def test_too_deep_values_are_refused():
    """A value nested beyond the recursion limit is an EncodeError."""
    deep: list[object] = []
    for _ in range(10_000):
        deep = [deep]
    for codec in (JsonCodec(), MsgpackCodec()):
        with pytest.raises(EncodeError, match="nests too deeply"):
            codec.encode(deep)
    while deep:
        deep = deep[0]


def test_raw_takes_every_buffer():
    """bytes, bytearray and memoryview are stored as their bytes."""
    for value in (b"abc", bytearray(b"abc"), memoryview(b"abc")):
        assert b"abc" == RawCodec().decode(RawCodec().encode(value))


def test_missing_msgpack_is_told(monkeypatch):
    """Without the package the codec says which extra to install."""
    monkeypatch.setitem(sys.modules, "msgpack", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'objcache\[msgpack\]'"):
        MsgpackCodec()

    assert msgpack


def test_small_and_scattered_buffers_stay_in_the_stream():
    """Only contiguous buffers of 512 bytes and more are kept out of band."""
    for size, expected in ((511, 0), (512, 1)):
        buffers = OutOfBand()
        pickle.dumps(pickle.PickleBuffer(bytearray(size)), 5, buffer_callback=buffers.keep)

        assert expected == len(buffers)
    scattered = pickle.PickleBuffer(memoryview(bytearray(4096))[::2])
    with pytest.raises(pickle.PicklingError, match="non-contiguous"):
        pickle.dumps(scattered, 5, buffer_callback=OutOfBand().keep)


def run(text="run"):
    RAN.append(text)
    return text


class Calls:
    """Unpickles by calling something."""

    def __init__(self, function, *arguments):
        self.parts = function, arguments

    def __reduce__(self):
        return self.parts


class Plain:
    """A class of the user's own."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return type(other) is Plain and self.value == other.value

    class Inner:
        """A nested class."""


HERE = __name__


def named(module, name, protocol=4):
    """A pickle that calls what *module* calls *name* with ('ran',)."""
    if protocol < 4:
        return (
            b"\x80\x02c" + module.encode() + b"\n" + name.encode() + b"\nX\x03\x00\x00\x00ran\x85R."
        )
    stream = io.BytesIO()
    stream.write(b"\x80\x04")
    for part in (module, name):
        content = part.encode()
        stream.write(b"\x8c" + bytes([len(content)]) + content)
    stream.write(b"\x93\x8c\x03ran\x85R.")
    return stream.getvalue()


def restricted(payload, trust=(), renames=None):
    return loads_restricted(payload, [], trust=trust_names(trust), renames=renames or {})


HOSTILE = [
    named("os", "system"),
    named("os", "system", 2),
    named("posix", "system"),
    named("builtins", "eval"),
    named("builtins", "exec"),
    named("builtins", "getattr"),
    named("builtins", "__import__"),
    named("uuid", "os.system"),
    named("datetime", "sys.modules"),
    named("decimal", "Decimal.__init__.__globals__"),
    named("functools", "partial"),
    named("operator", "attrgetter"),
    named("operator", "methodcaller"),
    named("types", "FunctionType"),
    named("importlib", "import_module"),
    named("subprocess", "Popen"),
    named("pickle", "loads"),
    named("copyreg", "add_extension"),
    named(HERE, "run"),
    named(HERE, "Plain.__init__.__globals__"),
    pickle.dumps(Calls(run, "x"), 5),
    pickle.dumps(Calls(getattr, Decimal, "from_float"), 5),
    pickle.dumps(Calls(map, run, ["x"]), 5),
    b"\x80\x02\x82\x01.",
    b"\x80\x04\x8c\x01pQ.",
]


@pytest.mark.parametrize("payload", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_outside_the_list_is_called(payload):
    """With an allow-list, names outside it are refused before they are resolved, dotted ones too."""
    RAN.clear()
    for trust in ((), [Plain], [f"{HERE}.Plain"]):
        with pytest.raises((DecodeError, pickle.UnpicklingError, ValueError)):
            restricted(payload, trust)

    assert [] == RAN


def test_refused_modules_are_not_imported():
    """A name outside the list does not even load its module."""
    sys.modules.pop("this", None)
    with pytest.raises(UntrustedTypeError):
        restricted(named("this", "s"))

    assert "this" not in sys.modules


def test_listed_classes_and_plain_data_load():
    """What is listed, and plain data of the standard library, comes back."""
    value = {
        "own": Plain(1),
        "nested": Plain.Inner,
        "when": datetime(2026, 1, 1, tzinfo=UTC),
        "plain": [
            Decimal("1.5"),
            UUID(int=1),
            PurePosixPath("a"),
            OrderedDict(a=1),
            {1},
            1j,
            range(3),
        ],
        "big": bytearray(10),
    }
    for protocol in range(2, 6):
        assert value["own"] == restricted(pickle.dumps(value["own"], protocol), [Plain])
    assert value == restricted(pickle.dumps(value, 5), [Plain, Plain.Inner])


def test_a_listed_name_must_be_what_it_says(monkeypatch):
    """A listed dotted name that leads to something else is refused."""
    monkeypatch.setattr(Plain, "Alias", os.system, raising=False)
    with pytest.raises(UntrustedTypeError, match=r"it is really posix\.system|which trust="):
        restricted(named(HERE, "Plain.Alias"), [f"{HERE}.Plain.Alias"])


def test_arrays_load_with_the_names_of_numpy():
    """NUMPY_TRUSTED is what arrays, scalars and dtypes need."""
    value = [np.arange(5), np.float64(1.5), np.dtype("f4"), np.array(["a", None], dtype=object)]
    found = restricted(pickle.dumps(value, 5), NUMPY_TRUSTED)

    assert [0, 1, 2, 3, 4] == list(found[0])
    assert value[1:3] == found[1:3]
    with pytest.raises(UntrustedTypeError):
        restricted(pickle.dumps(value, 5))


@pytest.mark.parametrize("bad", ["os", "package.*", "nodots", HERE])
def test_allow_lists_are_exact(bad):
    """Modules and patterns are refused: a module would let in whatever it imports."""
    with pytest.raises(ValueError, match="exact class names"):
        trust_names([bad])
    with pytest.raises(TypeError, match="not the one"):
        trust_names(bad)
    with pytest.raises(TypeError, match="classes or their names"):
        trust_names([5])


def test_renames_of_classes_and_modules():
    """Old names lead to new ones: single classes, nested ones, or whole modules."""
    old = pickle.dumps(Plain(3), 4).replace(HERE.encode(), b"old" + b"x" * (len(HERE) - 3))
    module = "old" + "x" * (len(HERE) - 3)
    for renames in ({f"{module}.Plain": f"{HERE}.Plain"}, {module: HERE}):
        assert Plain(3) == loads_restricted(old, [], trust=None, renames=renames)
    nested = named(module, "Old")[:-8] + b"."
    assert Plain.Inner is loads_restricted(
        nested, [], trust=None, renames={f"{module}.Old": f"{HERE}.Plain.Inner"}
    )


class Holder:
    """Holds something that cannot be pickled, in slots."""

    __slots__ = ("fine", "held")

    def __init__(self, held):
        self.fine, self.held = 1, held


class Reducing:
    """Cannot be looked into: it has a `__reduce__` of its own."""

    def __reduce__(self):
        raise ValueError("no")


class Hostile:
    """Fails while it is searched."""

    def __getstate__(self):
        raise RuntimeError("no state")


@pytest.mark.parametrize(
    ("value", "path", "kind"),
    [
        ({"a": [1, {"b": threading.Lock()}]}, "value['a'][1]['b']", "_thread.lock"),
        ([Holder(Holder(iter([])))], None, None),
        ([Holder(Holder(x for x in ()))], "value[0].held.held", "generator"),
        ((1, lambda: 0), "value[1]", "function"),
        ({threading.Lock(): 1}, "value: key <_thread.lock>", "_thread.lock"),
        ({"m": types}, "value['m']", "module"),
        ([Reducing()], "value[0]", f"{HERE}.Reducing"),
        ([Hostile()], "value[0]", f"{HERE}.Hostile"),
        (sys._getframe(), "value", "frame"),
    ],
)
def test_the_culprit_is_found(value, path, kind):
    """The error names the innermost part that cannot be pickled, and its type."""
    try:
        pickle.dumps(value, 5)
    except Exception as failure:
        error = encode_failure(value, failure, 5)

        assert (path, kind) == (error.path, error.type_name)
    else:
        assert path is None


def test_local_classes_are_named():
    """An instance of a class that cannot be found again is named with pickle's own reason."""

    class Local:
        pass

    with pytest.raises(Exception) as caught:
        pickle.dumps([Local()], 5)
    error = encode_failure([Local()], caught.value, 5)

    assert "value[0]" == error.path
    assert "Local" in error.reason


def test_the_search_ends():
    """Cycles and wide values do not make the search endless."""
    loop: list[object] = [threading.Lock()]
    loop.insert(0, loop)
    wide = [*range(50_000), threading.Lock()]
    for value in (loop, wide):
        with pytest.raises(TypeError) as caught:
            pickle.dumps(value, 5)

        assert encode_failure(value, caught.value, 5).path.startswith("value")


@pytest.mark.parametrize(
    ("payload", "module", "name"),
    [
        (named("no_such_package.sub", "Thing"), "no_such_package.sub", "Thing"),
        (named("no_such_package.sub", "Thing", 2), "no_such_package.sub", "Thing"),
        (named("collections", "Gone"), "collections", "Gone"),
        (named("collections", "Counter.Gone"), "collections", "Counter.Gone"),
    ],
)
def test_missing_names_are_found(payload, module, name):
    """The module and class that a pickle lacks are named, also where the memo repeats them."""
    with pytest.raises((ImportError, AttributeError)) as caught:
        pickle.loads(payload)
    error = decode_failure(caught.value, payload)

    assert (module, name) == (error.module, error.name)


def test_truncated_pickles_are_decode_errors():
    """Whatever a damaged pickle raises becomes a DecodeError with that reason."""
    whole = pickle.dumps({"a": [Plain(1), "text"] * 5}, 5)
    for end in range(len(whole)):
        try:
            pickle.loads(whole[:end])
        except Exception as failure:
            error = decode_failure(failure, whole[:end])

            assert isinstance(error, CodecError)
            assert type(failure).__name__ in error.reason


@given(st.binary(max_size=12))
@example(b"\xd6\xff\x00\x00\x00\x01")
@example(b"\x91\xd7\xff" + bytes(8))
@example(b"\x81\xa1a\xc7\x0c\xff" + bytes(12))
def test_msgpack_gives_plain_data_only(content):
    """No bytes decode to anything but plain data: timestamps, too, are refused."""
    plain = (type(None), bool, int, float, str, bytes)

    def check(value):
        if isinstance(value, list):
            return all(map(check, value))
        if isinstance(value, dict):
            return all(map(check, value)) and all(map(check, value.values()))
        return type(value) in plain

    try:
        value = MsgpackCodec().decode(content)
    except DecodeError:
        return

    assert check(value)


def test_pickles_may_not_alter_listed_classes():
    """BUILD on a listed class, which would set its attributes for the whole process, is refused."""
    payload = (
        b"\x80\x04\x8c"
        + bytes([len(HERE)])
        + HERE.encode()
        + b"\x8c\x05Plain\x93}\x8c\x05owned\x88sb."
    )
    with pytest.raises(DecodeError, match="alters"):
        restricted(payload, [Plain])

    assert not hasattr(Plain, "owned")


def test_extension_codes_are_refused():
    """A code of copyreg's registry leads past every name, so it is refused under an allow-list."""
    import copyreg

    copyreg.add_extension(HERE, "run", 77)
    try:
        payload = pickle.dumps(run, 2)
        assert run is pickle.loads(payload)  # now it is in the cache of every unpickler
        with pytest.raises(DecodeError, match="extension code 77"):
            restricted(payload, [Plain])
    finally:
        copyreg.remove_extension(HERE, "run", 77)
        copyreg.clear_extension_cache()
