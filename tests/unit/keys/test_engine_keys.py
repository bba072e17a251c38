"""Engine keys: what is kept, what is refused, and what reading a key may run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from objcache.errors import KeyEncodingError
from objcache.keys import (
    encode_key,
    engine_key,
    key_of,
    namespace_prefix,
    prefix_range,
    range_of,
    successor,
)
from objcache.protocols import MISSING

LONG = "x" * 1000
SET = frozenset({1, 2})


def kind(value):
    """The name of a case, where the value itself is too long to print."""
    return type(value).__name__


@pytest.mark.parametrize("prefix", [b"", namespace_prefix(("n",)), namespace_prefix(("n" * 300,))])
@pytest.mark.parametrize("key", ["a", 1, None, (), LONG, ("a", LONG), SET, ("a", SET)])
def test_keys_come_back_from_where_they_lie(prefix, key):
    """Engine key and full key together give the key."""
    assert key == key_of(len(prefix), *engine_key(prefix, key))


@pytest.mark.parametrize("key", [LONG, SET])
def test_a_shortened_key_needs_its_full_key(key):
    """Without the full key, neither a shortened key nor one without an order is guessed."""
    with pytest.raises(KeyEncodingError, match="lacks its full key"):
        key_of(0, engine_key(b"", key)[0], b"")


@pytest.mark.parametrize(
    ("key", "full_key"),
    [
        ("a", encode_key("a")),  # needs none
        (LONG, encode_key(LONG + "y")),
        (LONG, encode_key(SET)),
        (LONG, encode_key("a")),
        (SET, encode_key(LONG)),
        (SET, encode_key(frozenset({1, 3}))),
        (SET, b"\x50"),
        (LONG, b"\x02"),
    ],
)
def test_a_full_key_of_another_place_is_refused(key, full_key):
    """A full key is believed only where its own engine key is."""
    with pytest.raises(KeyEncodingError, match="does not belong"):
        key_of(0, engine_key(b"", key)[0], full_key)


@pytest.mark.parametrize(
    ("located", "full_key"),
    [
        (b"", b""),
        (b"\x10", b""),
        (b"\x12" + encode_key("a"), b""),
        (b"\x02" + encode_key("a"), b""),
        (b"\x10" + encode_key(SET), b""),  # no order, so it does not lie here
        (b"\x10" + encode_key(("a", SET)), b""),
    ],
)
def test_what_lies_in_no_section_is_refused(located, full_key):
    """Bytes that no key has for an engine key raise KeyEncodingError."""
    with pytest.raises(KeyEncodingError):
        key_of(0, located, full_key)


def test_an_ordered_key_in_the_unordered_section_is_refused(monkeypatch):
    """A key with an order has one place, even if the digest were right."""
    monkeypatch.setattr("objcache.keys._engine_keys._digest", lambda _: bytes(16))
    with pytest.raises(KeyEncodingError, match="does not belong"):
        key_of(0, b"\x11" + bytes(16), encode_key("a"))


@pytest.mark.parametrize("bound", [SET, ("a", SET), [1]])
def test_bounds_need_an_order(bound):
    """A value without an order bounds no range."""
    with pytest.raises(KeyEncodingError):
        range_of(b"", bound, MISSING)
    with pytest.raises(KeyEncodingError):
        range_of(b"", MISSING, bound)


@pytest.mark.parametrize("key_prefix", [1, None, 10**5000, SET, MISSING], ids=kind)
def test_other_types_are_no_prefix(key_prefix):
    """Only tuple, str and bytes have a beginning; however large the value, the error names its type."""
    with pytest.raises(KeyEncodingError, match=f"of type {type(key_prefix).__name__}"):
        prefix_range(b"", key_prefix)


@pytest.mark.parametrize(
    "names", [("",), (1,), (b"a",), (10**5000,)], ids=lambda names: kind(names[0])
)
def test_namespaces_are_named_by_text(names):
    """A namespace has a non-empty str for a name."""
    with pytest.raises(KeyEncodingError, match="non-empty str"):
        namespace_prefix(names)


def test_long_namespaces_stay_distinct_and_short():
    """However long a namespace's path is, its prefix leaves room for keys."""
    one, two = namespace_prefix(("n" * 1000,)), namespace_prefix(("n" * 1001,))

    assert one != two
    assert {17} == {len(one), len(two)}
    # Of 196 letters, the tuple has four bytes more, and the prefix is as long as it may be.
    assert 200 == len(namespace_prefix(("n" * 195,)))
    assert 17 == len(namespace_prefix(("n" * 196,)))


def test_nothing_is_greater_than_all_bytes():
    """A prefix that has no successor is refused."""
    with pytest.raises(KeyEncodingError, match="no bytes are greater"):
        successor(b"\xff\xff")


def loaded_after(code):
    """The modules that *code* loads beyond those of objcache.keys, in a fresh interpreter."""
    code = f"import sys; from objcache.keys import *; before = set(sys.modules); {code}"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(' '.join(set(sys.modules) - before))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_plain_keys_load_nothing():
    """Keys of text, bytes, numbers and tuples of them load no further module, coming or going."""
    plain = '("P", b"P", 1, 2**100, 1.5, None, True, ("a",))'

    assert set() == loaded_after(f"key = {plain}; assert key == key_of(0, *engine_key(b'', key))")


def test_keys_of_the_standard_library_are_read_in_a_fresh_process():
    """A Decimal, a path or an address is read back where nobody has imported its module."""
    import decimal
    import ipaddress
    import pathlib

    key = (decimal.Decimal("1.0"), pathlib.PurePosixPath("a"), ipaddress.ip_address("::1"))
    encoded = encode_key(key)
    modules = {"decimal", "pathlib", "ipaddress"}
    loaded_after(
        f"assert len(decode_key({encoded!r})) == 3; assert {modules!r} <= set(sys.modules)"
    )
