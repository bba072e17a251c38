"""Keys beyond the ordered types: immutable values that have a name and parts."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import pathlib
import sys
import types
import typing
import zoneinfo

import numpy
import pytest

from objcache.errors import KeyEncodingError
from objcache.keys import decode_key, encode_key, engine_key


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


@dataclasses.dataclass(frozen=True)
class WithExtras:
    """A frozen dataclass whose names are not all fields."""

    value: int
    start: dataclasses.InitVar[int]
    shared: typing.ClassVar[list[int]] = []


@dataclasses.dataclass(frozen=True, eq=False)
class ByIdentity:
    """A frozen dataclass that equals nothing but itself."""

    value: int


@dataclasses.dataclass(frozen=True)
class Unset:
    """A frozen dataclass whose field may lack a value."""

    value: int = dataclasses.field(init=False)


@dataclasses.dataclass(frozen=True)
class Texty(str):
    """A frozen dataclass with content that is no field."""

    value: int = 0


class Heir(Slotted):
    """No dataclass itself: it may hold anything."""


@dataclasses.dataclass(frozen=True)
class Unhashable:
    """A frozen dataclass that fails as an element."""

    value: int

    def __hash__(self):
        raise LookupError("no hash")


class Shape(typing.NamedTuple("Shape", [("sides", int)])):
    """A named tuple with methods, derived as is usual."""

    __slots__ = ()


class Loose(enum.Flag, boundary=enum.KEEP):
    """A flag that keeps bits it does not know."""

    A = 1


class Outer:
    """A class that holds a class."""

    class Inner(enum.IntEnum):
        """An enum of integers."""

        ONE = 1
        UNO = 1


class LazyModule(types.ModuleType):
    """A module that would be loaded by the first look at it, as those of importlib.util are."""

    def __getattribute__(self, name):
        RAN.append(name)
        return super().__getattribute__(name)


RAN: list[str] = []


@pytest.mark.parametrize(
    "key",
    [
        Color.RED,
        Mode.READ | Mode.WRITE,
        Point(1, 2.0),
        Frozen("a", Color.RED),
        Slotted(3),
        WithExtras(1, 2),
        Shape(4),
        Mode(0),
        Loose(12),
        Outer.Inner.UNO,
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


def test_class_variables_are_no_part_of_a_key():
    """Only fields come back into a dataclass; class variables stay with the class."""
    decoded = decode_key(encode_key(WithExtras(1, 2)))

    assert {"value": 1} == vars(decoded)


def test_decimals_do_not_depend_on_the_context():
    """A Decimal is one key whatever the decimal context says about writing."""
    encoded = encode_key(decimal.Decimal("1E+5"))
    with decimal.localcontext() as context:
        context.capitals = 0

        assert encoded == encode_key(decimal.Decimal("1E+5"))
        assert decimal.Decimal("1E+5") == decode_key(encoded)


def test_a_moment_told_twice_is_two_keys():
    """`fold` tells the two apart, and each comes back as the instant that it was."""
    zone = zoneinfo.ZoneInfo("Europe/Berlin")
    first = datetime.datetime(2021, 10, 31, 2, 30, tzinfo=zone)
    second = first.replace(fold=1)

    assert encode_key(first) < encode_key(second)
    for moment, hour in ((first, 0), (second, 1)):
        expected = datetime.datetime(2021, 10, 31, hour, 30, tzinfo=datetime.UTC)

        assert expected == decode_key(encode_key(moment))
    assert encode_key(datetime.datetime.max) == encode_key(datetime.datetime.max.replace(fold=1))


def test_classes_are_looked_up_without_running_code(monkeypatch):
    """Neither the `__getattr__` of a module nor a property on the way runs."""
    lazy = LazyModule("lazy_module")
    lazy.__getattr__ = RAN.append
    monkeypatch.setitem(sys.modules, "lazy_module", lazy)
    RAN.clear()
    for name in (b"Late", b"Outer.Late"):
        with pytest.raises(KeyEncodingError, match=r"lazy_module.*has no such class"):
            decode_key(b"\x50enum\x00\x05\x02lazy_module\x00\x02" + name + b"\x00\x02x\x00\x00")

    assert [] == RAN


def test_a_class_that_fails_is_a_key_error():
    """What a class of the user's raises while a key is read reaches the caller as KeyEncodingError."""
    content = b"\x50frozenset\x00\x05" + encode_key(Unhashable(1)) + b"\x00"
    with pytest.raises(KeyEncodingError, match="no hash"):
        decode_key(content)


def test_decoding_imports_nothing():
    """A class of a module that is not loaded is an error that names it; the module stays out."""
    encoded = b"\x50enum\x00\x05\x02wave\x00\x02Error\x00\x02x\x00\x00"
    sys.modules.pop("wave", None)
    with pytest.raises(KeyEncodingError, match=r"wave\.Error.*import the module wave"):
        decode_key(encoded)

    assert "wave" not in sys.modules


def named(kind, class_name, *parts):
    """The bytes of a value of a class of this module."""
    parts = (__name__, class_name, *parts)
    return b"\x50" + kind + b"\x00\x05" + b"".join(map(encode_key, parts)) + b"\x00"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x50enum\x00\x05\x02os\x00\x02system\x00\x02id\x00\x00", "has no such class"),
        (b"\x50namedtuple\x00\x05\x02os\x00\x02system\x00\x02id\x00\x00", "has no such class"),
        (b"\x50dataclass\x00\x05\x02os\x00\x02system\x00\x02id\x00\x00", "has no such class"),
        (b"\x50nonsense\x00\x05\x02os\x00\x02system\x00\x00", "has no such class"),
        (named(b"enum", "Point", "x"), "which it is not"),
        (named(b"enum", "Text", "x"), "which it is not"),
        (named(b"namedtuple", "Color", "RED"), "which it is not"),
        (named(b"namedtuple", "Frozen", "a", "b"), "which it is not"),
        (named(b"dataclass", "Open", "value", 1), "which it is not"),
        (named(b"dataclass", "Heir", "value", 1), "which it is not"),
        (named(b"dataclass", "Text"), "which it is not"),
        (named(b"enum", "Color", "BLUE"), "a member that .*Color has not: BLUE"),
        (named(b"enum", "Color", 1), "a member that .*Color has not: 1"),
        (named(b"enum", "Nothing", "RED"), "has no such class"),
        (
            named(b"enum", "RAN", "append"),
            "has no such class",
        ),
        (named(b"namedtuple", "Point", 1), "other fields than the key was made with"),
        (named(b"dataclass", "Slotted", "size", 1), "other fields than the key was made with"),
        (named(b"dataclass", "Slotted", "value"), "other fields than the key was made with"),
        (b"\x50range\x00\x05\x02a\x00\x00", "make no range"),
        (b"\x50nonsense\x00\x05\x00", "nonsense without a class"),
        (b"\x50nonsense\x00", "index out of range"),
        (b"\x50nonsense\x00\x14", "an extension without parts"),
    ],
)
def test_hostile_extensions_are_refused(content, message):
    """A name that is no enum, named tuple or frozen dataclass of these parts is refused, not called."""
    with pytest.raises(KeyEncodingError, match=message):
        decode_key(content)


@pytest.mark.parametrize("text", ["./c:x", "c:x", "a/c:", "//a/b/c", "c:/", ""])
def test_paths_come_back_or_are_refused(text):
    """A path of Windows comes back equal; one that its text does not tell is refused."""
    path = pathlib.PureWindowsPath(text)
    try:
        encoded = encode_key(path)
    except KeyEncodingError as error:
        assert "reads as another path" in str(error)
        assert path != pathlib.PureWindowsPath(str(path))
    else:
        assert path == decode_key(encoded)


EAST = datetime.timezone(datetime.timedelta(hours=1))
WEST = datetime.timezone(datetime.timedelta(hours=-1))


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
        (Open(1), r"declare it @dataclass\(frozen=True\)"),
        (lambda: 0, r"no stable form"),
        (b"".join, r"no stable form"),
        (bytearray(), r"use bytes"),
        (numpy.float64(1), r"not a plain float: use float"),
        (numpy.int64(1), r"use \.item"),
        (numpy.str_("a"), r"not a plain str: use str"),
        (numpy.zeros(1), r"use \.item\(\) for a scalar, or \.tobytes"),
        (sys.version_info, r"not a plain tuple: use tuple"),
        (ByIdentity(1), r"compares by identity; declare it without eq=False"),
        (Unset(), r"whose field value has no value"),
        (Texty("a"), r"holds more than its fields"),
        (Heir(1), r"no stable form as a key; declare it @dataclass"),
        (datetime.datetime.min.replace(tzinfo=EAST), r"before year 1"),
        (datetime.datetime.max.replace(tzinfo=WEST), r"after year 9999"),
        (datetime.time(tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")), r"use a datetime\.timezone"),
        ((1, (2, (3, [4]))), r"key\[1\]\[1\]\[1\] is of type list"),
        ((0, Frozen("a", Point(1, [2]))), r"key\[1\]\.inner\.y is of type list"),
        (((frozenset({(1, object())}),),), r"key\[0\]\[0\]\{\.\.\.\}\[1\] is of type object"),
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
