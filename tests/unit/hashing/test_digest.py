"""The canonical hash: equal for equal values, different for all others, stable everywhere."""

from __future__ import annotations

import dataclasses
import enum
import io
import math
import subprocess
import sys
import threading
import weakref
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objcache.errors import UnkeyableArgumentError
from objcache.hashing import canonical, digest, register


class Color(enum.Enum):
    """An enum."""

    RED = 1


class Level(enum.IntEnum):
    """An enum of ints."""

    ONE = 1


class Point(NamedTuple):
    """A named tuple."""

    x: int
    y: int


@dataclasses.dataclass
class Settings:
    """A dataclass that may change."""

    name: str
    depth: int = dataclasses.field(default=1, compare=False)


def plus(x, k=1):
    return x + k


SHARED = [1, 2]
DIFFERENT = [
    None, True, False, 0, 1, -1, 2**64, -(2**64), 10**5000, 0.0, -0.0, 1.0, math.inf, math.nan, 1j,
    complex(0.0, -0.0), "", "a", "1", "\ud800", b"", b"a", bytearray(b"a"), memoryview(b"a"),
    (), (1,), [1], [], [[]], [[], []], ["ab", "c"], ["a", "bc"], ["a,b"], ["a", "b"], [("a",), "b"],
    {}, {"a": 1}, {"a": True}, {"a": {"b": 1}}, {("a", "b"): 1}, set(), {1}, {1.0}, frozenset(),
    frozenset({1}), {"1"}, ..., Color.RED, Level.ONE, Point(1, 2), (1, 2), Settings("a"),
    Settings("a", 2), Settings("b"), Decimal("1.0"), Decimal("1.00"), PurePosixPath("a"),
    UUID(int=1), datetime(2026, 1, 1), datetime(2026, 1, 1, fold=1), datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
    datetime(2026, 1, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")), timedelta(1), range(3), range(4),
    int, str, Settings, math, len, max, plus, lambda x: x, lambda x: x + 1,
    bytes(1 << 17), bytes((1 << 17) + 1), bytearray(1 << 17),
]  # fmt: skip


def test_different_values_have_different_digests():
    """No two of these are the same argument: types, lengths and nesting all count."""
    forms = {}
    for number, value in enumerate(DIFFERENT):
        form = canonical(value)

        assert form not in forms, (value, DIFFERENT[forms[form]])
        forms[form] = number


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({3, 1, 2}, {2, 3, 1}),
        ([SHARED, SHARED], [[1, 2], [1, 2]]),
        ("".join(["in", "terned"]), "interned"),
        (math.nan, -math.nan),
        (Settings("a"), Settings("a")),
        (lambda x: x, lambda x: x),
        (2**70 - 2**70 + 5, 5),
    ],
)
def test_equal_values_have_one_digest(one, other):
    """Order of dicts and sets, sharing, interning and identity do not count."""
    assert digest(one) == digest(other)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, {"b": threading.Lock()}]}, "value['a'][1]['b']"),
        ([x for x in [iter([])]], "value[0]"),
        ((n for n in ()), "value"),
        (object(), "value"),
        ({io.StringIO(): 1}, "value: key ..."),
        ({weakref.ref(Settings)}, "value{...}"),
        (Settings(threading.Lock()), "value.name"),
        (plus.__get__(object()), "value.__self__"),
        ([[[threading.local()]]], "value[0][0][0]"),
    ],
)
def test_what_has_no_stable_value_is_refused(value, path):
    """Locks, iterators, files, bare objects ... are refused, naming where they are."""
    with pytest.raises(UnkeyableArgumentError) as caught:
        digest(value)

    assert path == caught.value.path


def test_nothing_is_consumed():
    """An iterator that is refused still has all that it had."""
    numbers = iter([1, 2, 3])
    with pytest.raises(UnkeyableArgumentError):
        digest([numbers])

    assert [1, 2, 3] == list(numbers)


def test_recursive_values_have_a_digest():
    """A value that contains itself is told from another one that does, and ends."""
    loop: dict[str, object] = {"a": []}
    loop["a"].append(loop)
    other: dict[str, object] = {"a": [1]}
    other["a"].append(other)
    again: dict[str, object] = {"a": []}
    again["a"].append(again)

    assert digest(loop) == digest(again)
    assert digest(loop) != digest(other)


def test_what_cannot_be_keyed_in_a_recursive_value_is_named():
    """The path to a culprit ends, however the value contains itself."""
    loop: list[object] = []
    loop += [loop, {"lock": threading.Lock()}]
    with pytest.raises(UnkeyableArgumentError) as caught:
        digest(loop)

    assert "value[1]['lock']" == caught.value.path


class Keyed:
    """A class that names its own key."""

    def __init__(self, key):
        self.key = key

    def __objcache_key__(self):
        return self.key


class Registered:
    """A class that is registered."""

    def __init__(self, key):
        self.key, self.lock = key, threading.Lock()


class Sub(Registered):
    """A subclass of it."""


def test_classes_may_say_their_key():
    """`__objcache_key__` and `register` give the value that stands for an instance, by class."""
    register(Registered, lambda value: value.key)

    assert digest(Keyed([1])) == digest(Keyed([1]))
    assert digest(Keyed([1])) != digest(Keyed([2]))
    assert digest(Registered(1)) == digest(Registered(1))
    assert digest(Registered(1)) != digest(Sub(1))
    assert digest(Sub(1)) == digest(Sub(1))
    assert digest(Keyed(1)) != digest(1)
    with pytest.raises(TypeError, match="register takes a class"):
        register(5, str)


def test_functions_count_by_code_defaults_and_closure():
    """Functions are equal if they do the same with the same: name, code, defaults, closure."""

    def make(n, k=1):
        def f(x, y=k):
            return x + n + y

        return f

    assert digest(make(1)) == digest(make(1))
    assert digest(make(1)) != digest(make(2))
    assert digest(make(1)) != digest(make(1, 2))


def test_canonical_bytes_are_frozen():
    """The canonical form of plain values never changes, on any Python."""
    assert b"(\x03\0\0\0Ni\x01\xff\xff\xffu\x02\0\0\0\xc3\xa9" == canonical((None, -255, "é"))
    assert b"[\x02\0\0\0g\0\0\0\0\0\0\xf8?T" == canonical([1.5, True])
    assert b"D[\x01\0\0\0u\x01\0\0\0aL1:S1:b1:x" == canonical({"a": {b"x"}})
    assert "800d3901547a989660227dd3269ea46f54b0c76bcd8f12a195789456db039aa2" == digest("").hex()


def test_digests_are_the_same_in_every_process():
    """Neither PYTHONHASHSEED nor the process plays a part."""
    code = (
        "from objcache.hashing import digest;"
        "print(digest([{'a', 'b', 'c'}, {'x': 1, 'y': frozenset('abc')}, 'text', 1.5]).hex())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }

    assert 1 == len(found)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2) | st.integers(0, 2), inner, max_size=3)
    ),
    max_leaves=6,
)


def typed(value):
    """The value with its types, as text: an oracle for typed structural equality."""
    if isinstance(value, dict):
        return "dict", sorted((typed(key), typed(member)) for key, member in value.items())
    if isinstance(value, list | tuple):
        return type(value).__name__, [typed(member) for member in value]
    return type(value).__name__, repr(value)


@given(plain, plain)
def test_digests_agree_with_typed_equality(one, other):
    """Two values have one digest if and only if they are equal with all their types."""
    assert (repr(typed(one)) == repr(typed(other))) == (digest(one) == digest(other))
