"""Keys and names as people type them."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objcache.cli._keys import (
    as_json,
    json_key,
    key_from,
    moment_text,
    names_from,
    names_text,
    printable,
    shown_key,
    size_text,
    span_text,
)

PARTS = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False)),
    *(st.text(), st.binary()),
)
KEYS = st.recursive(PARTS, lambda part: st.lists(part, max_size=3).map(tuple), max_leaves=6)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        *(("42", 42), ("-5", -5), ("1.5", 1.5), ("'42'", "42"), ("b'x'", b"x"), ("True", True)),
        *(("('user', 7)", ("user", 7)), ("None", None), ("user:7", "user:7"), ("", "")),
        *(("[1]", "[1]"), ("{1}", "{1}"), ("{}", "{}"), ("1+1j", "1+1j"), ("...", "...")),
        *((" 42", " 42"), ("007", "007"), ("f(1)", "f(1)"), ("__import__('os')", None)),
        *(("(1, [2])", "(1, [2])"), ("(" * 5000, "(" * 5000), ("9" * 9000, "9" * 9000)),
        ("'\\d'", "\\d"),
    ],
)
def test_typed_keys(text, key):
    """A literal that can be a key is that key; whatever else, calls too, is text."""
    if text.startswith("__"):
        key = text
    found = key_from(text, is_text=False)

    assert (type(key), key) == (type(found), found)
    assert text == key_from(text, is_text=True)


@given(KEYS)
def test_keys_can_be_typed_as_they_are_shown(key):
    """What `ls` shows is what `get` takes, and nothing that a terminal obeys."""
    shown = shown_key(key)
    found = key_from(shown, is_text=False)

    assert shown.isprintable()
    assert (type(key), key) == (type(found), found)


def test_numbers_of_thousands_of_digits():
    """A number that Python refuses to write in digits is written as it can be read."""
    assert 1 << 99_999 == key_from(shown_key(1 << 99_999), is_text=False)


def test_keys_without_a_literal_are_shown():
    """Other keys are shown as Python does."""
    assert f"UUID('{uuid.UUID(int=1)}')" == shown_key(uuid.UUID(int=1))


@pytest.mark.parametrize(
    ("key", "told"),
    [
        *(("a", "a"), (7, 7), (True, True), (None, None), (("a", 1), {"literal": "('a', 1)"})),
        *((1.0, {"literal": "1.0"}), (b"x", {"literal": "b'x'"})),
        (1 << 80, {"literal": str(1 << 80)}),
    ],
)
def test_keys_in_json(key, told):
    """A key that JSON has is itself; another one is told as a literal."""
    assert told == json_key(key)


@pytest.mark.parametrize(
    ("text", "names"),
    [("a/b", ("a", "b")), ("/", ()), ("('a/b', 'c')", ("a/b", "c")), ("()", ()), ("a", ("a",))],
)
def test_names(text, names):
    """Names are a path, or a tuple where one has a slash in it."""
    assert names == names_from(text)
    assert names == names_from(names_text(names))


@pytest.mark.parametrize("text", ["", "(1, 2)", "('',)", "(a"])
def test_bad_names(text):
    """What is no path of names is refused."""
    with pytest.raises(ValueError, match="name"):
        names_from(text)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=3).map(tuple))
def test_names_can_be_typed_as_they_are_shown(names):
    """What `info` shows is what --namespace takes."""
    assert names == names_from(names_text(names))


def test_control_characters_are_escaped():
    """Nothing reaches the terminal that it would obey."""
    assert "a\\x1b[31mb\\nc" == printable("a\x1b[31mb\nc")
    assert "å" == printable("å")


def test_values_in_json():
    """A value is JSON if it comes back equal."""
    assert {"a": [1]} == as_json({"a": [1]})
    assert None is as_json((1,)) is as_json({1: 2}) is as_json({1}) is as_json(float("nan"))


def test_texts_for_people():
    """Sizes, durations and moments have units."""
    assert ["0 B", "1023 B", "1.0 KiB", "5.0 MiB"] == [
        size_text(size) for size in (0, 1023, 1024, 5 << 20)
    ]
    assert "2,048.0 TiB" == size_text(1 << 51)
    assert ["0 s", "0.5 s", "59 s", "-2 min", "3 h", "2 d"] == [
        span_text(seconds) for seconds in (0, 0.5, 59, -120, 3 * 3600, 2 * 86400)
    ]
    assert "1970-01-01T00:00:01+00:00" == moment_text(1)
    assert None is moment_text(None)
    assert "1000000000000000 seconds since 1970" == moment_text(1e15)
