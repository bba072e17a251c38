"""Outlines: what values looked like, short, as JSON has it, and what differs between two of them."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import pathlib
import threading
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objcache.hashing import differences, digest, outline, text_of


class Color(enum.Enum):
    """A member says its name, whatever it calls itself."""

    RED = 1
    BLUE = 2

    def __repr__(self):
        return "nobody"


@dataclasses.dataclass
class Point:
    """A dataclass."""

    x: object
    y: object = 0


class Plain:
    """An object that must not be asked for its repr."""

    def __init__(self, **attributes):
        vars(self).update(attributes)

    def __repr__(self):
        raise RuntimeError("not to be asked")

    def __getattr__(self, name):
        raise RuntimeError("not to be asked")

    __str__ = __format__ = __eq__ = __bool__ = __len__ = __repr__
    __hash__ = None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (1.5, "1.5"),
        ("a'b", '"a\'b"'),
        ("\ud800", "'\\ud800'"),
        ("x" * 100, "'" + "x" * 56 + "..."),
        (b"abc", "bytes of 3"),
        (bytearray(2), "bytearray of 2"),
        (memoryview(b"ab"), "memoryview of 2"),
        (10**5000, "int of 16610 bits"),
        ([1, [2, 3]], "[1, [2, 3]]"),
        ((1, 2), "(1, 2)"),
        ([1, 2, 3, 4, 5], "[1, 2, 3, 4, ... (5)]"),
        ({"a": 1, "b": 2, "c": 3, "d": 4}, "{'a': 1, 'b': 2, 'c': 3, ... (4)}"),
        ({1}, "{1}"),
        (Color.RED, "Color.RED"),
        (decimal.Decimal("1.50"), "Decimal('1.50')"),
        (datetime.date(2026, 1, 2), "datetime.date(2026, 1, 2)"),
        (pathlib.PurePosixPath("a/b"), "PurePosixPath('a/b')"),
        (range(3), "range(0, 3)"),
        (Plain(), "Plain"),
        (Point(1), "Point"),
        (types.SimpleNamespace(shape=(2, 3)), "SimpleNamespace of shape (2, 3)"),
        (threading.Lock(), "lock"),
    ],
    ids=lambda value: value[:20] if type(value) is str else type(value).__name__,
)
def test_texts(value, text):
    """A value is shown in one short line; objects by the name of their class."""
    assert text == text_of(value)


@pytest.mark.parametrize(
    ("before", "now", "lines"),
    [
        (1, 1, []),
        (1, 2, ["x: 1 -> 2"]),
        (1, "1", ["x: 1 -> '1'"]),
        (1, 1.0, ["x: 1 -> 1.0"]),
        ([1, 2, 3], [1, 2, 4], ["x[2]: 3 -> 4"]),
        ([1], [1, 2], ["x[1]: nothing -> 2"]),
        ([1, 2], [1], ["x[1]: 2 -> nothing"]),
        ([1], (1,), ["x: list -> tuple"]),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["x['a']['b']: 1 -> 2"]),
        ({"a": 1}, {"b": 1}, ["x['a']: 1 -> nothing", "x['b']: nothing -> 1"]),
        ({(1, 2): 3}, {(1, 2): 4}, [f"x[(1, 2) #{digest((1, 2))[:6].hex()}]: 3 -> 4"]),
        ({1: "a", "1": "b"}, {1: "c", "1": "b"}, ["x[1]: 'a' -> 'c'"]),
        ({1, 2}, {1, 3}, ["x: {1, 2} -> {1, 3}"]),
        (Point(1, [2]), Point(1, [3]), ["x.y[0]: 2 -> 3"]),
        (Plain(a=1, b=2), Plain(a=1, b=3), ["x.b: 2 -> 3"]),
        (Plain(a={"k": 1}), Plain(a={"k": 2}), ["x.a['k']: 1 -> 2"]),
        (Plain(a=1), Plain(b=1), ["x.a: 1 -> nothing", "x.b: nothing -> 1"]),
        (Plain(a=1), Point(1), ["x: Plain -> Point"]),
        (Color.RED, Color.BLUE, ["x: Color.RED -> Color.BLUE"]),
        (
            decimal.Decimal("1.5"),
            decimal.Decimal("1.50"),
            ["x: Decimal('1.5') -> Decimal('1.50')"],
        ),
        (b"abc", b"abd", ["x: bytes of 3 with other content"]),
        (b"abc", b"ab", ["x: bytes of 3 -> bytes of 2"]),
        ([[[[1]]]], [[[[2]]]], ["x[0][0][0]: [1] -> [2]"]),
        ([[[[[1, 2, 3, 4, 5]]]]], [[[[[1, 2, 3, 4, 6]]]]], None),
        (list(range(50)), [*range(49), 0], None),
        ("x" * 100, "x" * 101, None),
        (10**5000, 10**5000 + 1, None),
    ],
    ids=text_of,
)
def test_differences(before, now, lines):
    """What differs is said by its path, before and now; what was not kept differs at least."""
    found = differences(outline(before), outline(now), "x")

    if lines is None:
        assert 1 == len(found)
        assert found[0].startswith("x")
    else:
        assert lines == found


def test_long_containers_tell_where_they_begin_to_differ():
    """Of more than 40 members the first are named, the others differ by their digest."""
    before = list(range(100))
    now = [*before[:5], -1, *before[6:99], -1]

    assert ["x[5]: 5 -> -1"] == differences(outline(before), outline(now), "x")
    assert ["x: list -> list, in a part that was not kept"] == differences(
        outline(before), outline([*before[:99], -1]), "x"
    )


def test_values_that_cannot_be_keyed_have_an_outline():
    """What cannot be keyed, and what contains it or itself, is outlined by its type."""
    loop = [1]
    loop.append(loop)

    assert "lock" == outline(threading.Lock())
    assert {"type": "list", "[0]": "lock"} == outline([threading.Lock()])
    assert outline(loop) == outline(loop)


class Keyed:
    """An object that says its key."""

    def __objcache_key__(self):
        return {"a": 1}


def test_objects_that_say_their_key():
    """An object that says its key is outlined by it."""
    assert {"type": "Keyed", ".a": "1"} == outline(Keyed())


class Loose(types.SimpleNamespace):
    """An object of attributes."""


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=70)
    | st.binary(max_size=3)
    | st.sampled_from([Color.RED, Color.BLUE, decimal.Decimal(1), range(2)]),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=3).map(tuple)
        | st.frozensets(st.integers(), max_size=7)
        | st.dictionaries(st.text(max_size=2) | st.integers() | st.booleans(), inner, max_size=4)
        | st.builds(Point, inner, inner)
        | st.dictionaries(st.sampled_from("abc"), inner).map(lambda given: Loose(**given))
    ),
    max_leaves=12,
)


@given(values, values)
def test_outlines_agree_with_digests(one, other):
    """Outlines differ if and only if values do; they are JSON, and differences say something."""
    outlines = outline(one), outline(other)

    assert (digest(one) == digest(other)) == (outlines[0] == outlines[1])
    assert list(outlines) == json.loads(json.dumps(outlines))
    lines = differences(*outlines, "x")

    assert (outlines[0] == outlines[1]) == (lines == [])
    assert all("x" in line for line in lines)
    assert [] == differences(outlines[0], outline(one), "x")


@given(values)
def test_texts_are_short_and_say_one_line(value):
    """A text has 60 characters at most, and can be written anywhere."""
    text = text_of(value)

    assert len(text) <= 60 or text.endswith(" bits")
    assert text.isprintable()
    assert text.encode()
