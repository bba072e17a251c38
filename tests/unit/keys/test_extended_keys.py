"""Keys beyond the ordered types: immutable values that have a name and parts."""

from __future__ import annotations

import dataclasses
import enum
import pathlib
import sys
import typing

import pytest

from objcache.errors import KeyEncodingError
from objcache.keys import decode_key, encode_key, engine_key, namespace_prefix


class Color(enum.Enum):
    """A plain enum."""

    RED = 1


class Mode(enum.Flag):
    """A flag."""

    READ = 1
    WRITE = 2


class Point(typing.NamedTuple):
    """A named tuple."""

    x: int
    y: float


@dataclasses.dataclass(frozen=True)
class Frozen:
    """A frozen dataclass."""

    name: str
    inner: Color

    def __post_init__(self) -> None:
        RAN.append(self.name)


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    """A frozen dataclass with slots."""

    value: int


@dataclasses.dataclass
class Open:
    """A dataclass that may change."""

    value: int


RAN: list[str] = []


@pytest.mark.parametrize(
    "key",
    [
        Color.RED,
        Mode.READ | Mode.WRITE,
        Point(1, 2.0),
        Frozen("a", Color.RED),
        Slotted(3),
        pathlib.PurePosixPath("/a/b"),
        range(1, 10, 2),
        frozenset({None, (1, Color.RED)}),
        ("deep", (Point(0, 0.0), frozenset({frozenset()}))),
    ],
)
def test_values_with_parts_are_keys(key):
    """An enum, named tuple, frozen dataclass, path ... comes back equal and of its type."""
    decoded = decode_key(encode_key(key))

    assert key == decoded
    assert type(key) is type(decoded)


def test_named_tuple_is_not_its_tuple():
    """Types are distinct: a named tuple and the tuple of its values are two keys."""
    assert encode_key(Point(1, 2.0)) != encode_key((1, 2.0))


def test_decoding_runs_no_constructor():
    """A frozen dataclass is filled in, its `__init__` and `__post_init__` do not run."""
    encoded = encode_key(Frozen("once", Color.RED))
    RAN.clear()

    assert Frozen("once", Color.RED).name == decode_key(encoded).name
    assert ["once"] == RAN  # by the line above, once


def test_decoding_imports_nothing():
    """A class of a module that is not loaded is an error that names it; the module stays out."""
    encoded = b"\x50enum\x00\x05\x02wave\x00\x02Error\x00\x02x\x00\x00"
    sys.modules.pop("wave", None)
    with pytest.raises(KeyEncodingError, match=r"wave\.Error.*import the module wave"):
        decode_key(encoded)

    assert "wave" not in sys.modules


@pytest.mark.parametrize(
    "content",
    [
        b"\x50enum\x00\x05\x02os\x00\x02system\x00\x02id\x00\x00",
        b"\x50namedtuple\x00\x05\x02os\x00\x02system\x00\x02id\x00\x00",
        b"\x50dataclass\x00\x05\x02os\x00\x02system\x00\x02id\x00\x00",
        b"\x50range\x00\x05\x02a\x00\x00",
        b"\x50nonsense\x00\x05\x00",
    ],
)
def test_hostile_extensions_are_refused(content):
    """A name that is no enum, named tuple or frozen dataclass is refused, not called."""
    with pytest.raises(KeyEncodingError):
        decode_key(content)


class Text(str):
    """A subclass of str."""


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ([1], r"key is of type list, which may change: use tuple"),
        ((1, {"a": 1}), r"key\[1\] is of type dict, which may change"),
        ({1}, r"use frozenset"),
        (Text("a"), r"not a plain str: use str"),
        (object(), r"no stable form"),
        (Open(1), r"no stable form"),
        (lambda: 0, r"no stable form"),
    ],
)
def test_other_values_are_refused_with_a_remedy(key, message):
    """What cannot be a key is refused, naming the part, its type and what to use instead."""
    with pytest.raises(KeyEncodingError, match=message):
        engine_key(b"", key)


def test_local_classes_are_refused():
    """A class that could not be found again is refused when the key is made."""

    class Local(enum.Enum):
        A = 1

    with pytest.raises(KeyEncodingError, match="cannot be found by its name"):
        encode_key(Local.A)


@pytest.mark.parametrize("names", [("",), (1,), (b"a",)])
def test_namespaces_are_named_by_text(names):
    """A namespace has a non-empty str for a name."""
    with pytest.raises(KeyEncodingError, match="non-empty str"):
        namespace_prefix(names)


def test_long_namespaces_stay_distinct_and_short():
    """However long a namespace's path is, its prefix leaves room for keys."""
    one, two = namespace_prefix(("n" * 1000,)), namespace_prefix(("n" * 1001,))

    assert one != two
    assert len(one) <= 201
