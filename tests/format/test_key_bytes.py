"""Golden bytes of keys: what is on disk never changes (docs/design/keys.md)."""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
import math
import pathlib
import re
import typing
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest

from objcache.errors import KeyEncodingError
from objcache.keys import decode_key, encode_key, engine_key, namespace_prefix
from objcache.keys._decode import _ALL
from objcache.keys.extended import _STANDARD

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "design" / "keys.md"
HERE = __name__.encode().hex()


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
    y: None


@dataclasses.dataclass(frozen=True)
class Frozen:
    """A frozen dataclass."""

    name: str


def integers():
    """The first and last integer of each length, and their bytes."""
    for size in range(1, 9):
        low, high = 1 << (8 * (size - 1)), (1 << (8 * size)) - 1
        rest = size - 1
        yield low, f"{0x14 + size:02x} 01 {'00' * rest}"
        yield high, f"{0x14 + size:02x} {'ff' * size}"
        yield -low, f"{0x14 - size:02x} fe {'ff' * rest}"
        yield -high, f"{0x14 - size:02x} {'00' * size}"


def extended(name, parts):
    """The bytes of a value with parts."""
    return f"50 {name.encode().hex()} 00 05 {parts} 00"


def text(value):
    """The bytes of a text part."""
    return f"02 {value.encode().hex()} 00"


GOLDEN = [
    (None, "00"),
    (b"", "01 00"),
    (b"a\x00b", "01 61 00ff 62 00"),
    ("", "02 00"),
    ("aé", "02 61 c3a9 00"),
    ("\0", "02 00ff 00"),
    ("\U0001f40d", "02 f09f908d 00"),
    ("\ud800", "02 eda080 00"),
    ((), "05 00"),
    (("a",), "05 02 61 00 00"),
    (("a", None, 1), "05 02 61 00 00ff 15 01 00"),
    (((None,), ()), "05 05 00ff 00 05 00 00"),
    (0, "14"),
    *integers(),
    (2**64, "1d 09 010000000000000000"),
    (-(2**64), "0b f6 feffffffffffffffff"),
    (2**2032 - 1, f"1d fe {'ff' * 254}"),
    (1 - 2**2032, f"0b 01 {'00' * 254}"),
    (2**2032, f"1d ff 000000ff 01 {'00' * 254}"),
    (-(2**2032), f"0b 00 ffffff00 fe {'ff' * 254}"),
    (1.0, "21 bff0000000000000"),
    (-1.0, "21 400fffffffffffff"),
    (0.0, "21 8000000000000000"),
    (-0.0, "21 8000000000000000"),
    (math.inf, "21 fff0000000000000"),
    (-math.inf, "21 000fffffffffffff"),
    (math.nan, "21 ffffffffffffffff"),
    (-math.nan, "21 ffffffffffffffff"),
    (False, "26"),
    (True, "27"),
    (UUID(int=1), "30 00000000000000000000000000000001"),
    (datetime(1970, 1, 1), "40 8000000000000000"),
    (datetime(1969, 12, 31, 23, 59, 59, 999999), "40 7fffffffffffffff"),
    (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), "41 80000000000f4240"),
    (datetime.max, "40 8384440ccc735fff"),
    (frozenset({2, 1}), extended("frozenset", "15 01 15 02")),
    (frozenset({None, (None,)}), extended("frozenset", "00ff 05 00ff 00")),
    ((frozenset(),), f"05 {extended('frozenset', '')} 00"),
    (date(2000, 1, 2), extended("date", "16 07d0 15 01 15 02")),
    (time(1, 2, 3, 4, fold=1), extended("time", "15 01 15 02 15 03 15 04 00ff 15 01")),
    (timedelta(-1, 2, 3), extended("timedelta", "13 fe 15 02 15 03")),
    (UTC, extended("timezone", extended("timedelta", "14 14 14"))),
    (
        timezone(timedelta(0), "Z"),
        extended("timezone", extended("timedelta", "14 14 14") + text("Z")),
    ),
    (Decimal("1.0"), extended("Decimal", text("1.0"))),
    (Decimal("-1E+5"), extended("Decimal", text("-1E+5"))),
    (Fraction(-1, 2), extended("Fraction", "13 fe 15 02")),
    (1j, extended("complex", "21 8000000000000000 21 bff0000000000000")),
    (range(1, 3), extended("range", "15 01 15 03 15 01")),
    (pathlib.PurePosixPath("/a"), extended("PurePosixPath", text("/a"))),
    (pathlib.PureWindowsPath("c:/a"), extended("PureWindowsPath", text("c:\\a"))),
    (pathlib.Path("/a"), extended(type(pathlib.Path()).__name__, text(str(pathlib.Path("/a"))))),
    (ipaddress.ip_address("::1"), extended("IPv6Address", text("::1"))),
    (ipaddress.ip_address("1.2.3.4"), extended("IPv4Address", text("1.2.3.4"))),
    (ipaddress.ip_network("::/8"), extended("IPv6Network", text("::/8"))),
    (ipaddress.ip_network("1.0.0.0/8"), extended("IPv4Network", text("1.0.0.0/8"))),
    (ipaddress.ip_interface("::1/8"), extended("IPv6Interface", text("::1/8"))),
    (ipaddress.ip_interface("1.2.3.4/8"), extended("IPv4Interface", text("1.2.3.4/8"))),
    (Color.RED, extended("enum", f"02 {HERE} 00 {text('Color')} {text('RED')}")),
    (Mode.READ | Mode.WRITE, extended("enum", f"02 {HERE} 00 {text('Mode')} 15 03")),
    (Point(1, None), extended("namedtuple", f"02 {HERE} 00 {text('Point')} 15 01 00ff")),
    (
        Frozen("a"),
        extended("dataclass", f"02 {HERE} 00 {text('Frozen')} {text('name')} {text('a')}"),
    ),
]


@pytest.mark.parametrize(("key", "expected"), GOLDEN)
def test_key_bytes_are_frozen(key, expected):
    """Each type is encoded as it always was, and read back from these bytes."""
    decoded = decode_key(bytes.fromhex(expected))

    assert bytes.fromhex(expected) == encode_key(key)
    assert type(key) is type(decoded)
    assert key == decoded or math.isnan(key)


def test_every_code_and_every_name_has_golden_bytes():
    """No type code and no kind of value with parts is left out above."""
    encoded = [bytes.fromhex(expected) for _, expected in GOLDEN]
    names = {one[1 : one.index(0)].decode() for one in encoded if one[0] == 0x50}
    # Golden bytes need a value, and a path of another platform cannot be made.
    foreign = {"PosixPath", "WindowsPath"} - {type(pathlib.Path()).__name__}

    assert set(_ALL) == {one[0] for one in encoded}
    assert {standard.name for standard in _STANDARD} - foreign == names - {
        *("frozenset", "enum", "namedtuple", "dataclass")
    }


def test_engine_key_bytes_are_frozen():
    """Sections, shortened keys and namespaces lie where they always did."""
    assert (b"\x10\x02a\x00", b"") == engine_key(b"", "a")
    assert b"\x20\x05\x02n\x00\x00" == namespace_prefix(("n",))
    located, full = engine_key(b"", "x" * 1000)
    assert b"\x10\x02" + b"x" * 493 == located[:495]
    assert "79949c9f3f037053b484bb2941cf2320" == located[495:].hex()
    located_set = engine_key(b"", frozenset({1}))[0]
    assert "11b26ffbdb1e24641c8f8da3ee56b347d1" == located_set.hex()
    assert "21e46ee0ef527b5d8054121745527f6530" == namespace_prefix(("n" * 1000,)).hex()
    assert b"\x02" + b"x" * 1000 + b"\x00" == full


def rows(heading):
    """The first two columns of the table under the row *heading* of the page."""
    _, _, table = PAGE.read_text().partition(f"| {heading}")
    lines = table.partition("\n\n")[0].splitlines()[2:]
    return [[column.strip() for column in line.strip("|").split(" | ")[:2]] for line in lines]


def test_the_page_lists_the_codes_of_the_program():
    """The table of codes in docs/design/keys.md is the one that is decoded."""
    listed = []
    for column, _ in rows("code | type"):
        first, *last = (int(code, 16) for code in re.findall("`(..)`", column))
        listed += range(first, (last or [first])[0] + 1)

    assert sorted(_ALL) == listed


def test_the_page_lists_the_values_with_parts():
    """The table of values without an order in docs/design/keys.md is that of the program."""
    listed = [name for column, _ in rows("name | type") for name in re.findall("`(.+?)`", column)]

    assert {
        "frozenset",
        *(standard.name for standard in _STANDARD),
        *("enum", "namedtuple", "dataclass"),
    } == set(listed)


@pytest.mark.parametrize(("key", "encoded"), rows("key | encoded"), ids=lambda part: part)
def test_the_examples_of_the_page_are_true(key, encoded):
    """Each example in docs/design/keys.md has the bytes that it says."""
    assert bytes.fromhex(encoded.strip("`")) == encode_key(eval(key.strip("`")))


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "15 00",  # a leading zero
        "16 0001",
        "13 ff",
        "12 ffff",
        "1d 08 0100000000000000",  # fits the short form
        "1d 09 000000000000000001",
        "1d ff 00000009 010000000000000000",
        f"1d ff 000000fe {'ff' * 254}",
        f"1d ff 000000ff 00 {'ff' * 254}",
        "0b f6 ffffffffffffffffff",
        "1d ff ffffffff 01",  # four billion bytes that are not there
        "21 7fffffffffffffff",  # -0.0
        "21 fff8000000000000",  # another NaN
        "21 0007ffffffffffff",
        "30 00",
        "40 ffffffffffffffff",
        "40 8384440ccc736000",  # year 10000
        "02 c080 00",  # overlong UTF-8
        "02 61",
        "02 61 00 00",
        "05 14",
        "03",
        "ff",
        f"{'05' * 101}{'00' * 101}",
        extended("frozenset", "15 02 15 01"),  # unsorted
        extended("frozenset", "15 01 15 01"),
        extended("frozenset", "15 01 21 bff0000000000000"),  # equal in Python
        extended("Decimal", text("1e5")),
        extended("Decimal", "15 01"),
        extended("Fraction", "15 02 15 04"),
        extended("Fraction", text("1e999999999")),
        extended("range", "15 01 15 03"),
        extended("IPv4Address", "15 01"),
        extended("PurePosixPath", text("a//b")),
        extended("enum", f"02 {HERE} 00 {text('Color')} {text('BLUE')}"),
        extended("enum", f"02 {HERE} 00 {text('Color')} 15 01"),
        extended("enum", f"02 {HERE} 00 {text('Mode')} 15 01"),
        extended("enum", f"02 {HERE} 00 {text('Point')} 15 01"),
        extended("namedtuple", f"02 {HERE} 00 {text('Point')} 15 01"),
        extended("namedtuple", f"02 {HERE} 00 {text('Color')} 15 01"),
        extended("dataclass", f"02 {HERE} 00 {text('Frozen')}"),
        extended("dataclass", f"02 {HERE} 00 {text('Frozen')} {text('other')} {text('a')}"),
        extended("dataclass", f"02 {HERE} 00 {text('Frozen')} {text('name')}"),
        extended("dataclass", f"02 {HERE} 00 {text('Frozen.name')}"),
        extended("enum", ""),
        extended("enum", "15 01 15 02 15 03"),
    ],
)
def test_other_encodings_are_refused(encoded):
    """Bytes that are no key, or not the canonical ones of a key, raise KeyEncodingError."""
    with pytest.raises(KeyEncodingError):
        decode_key(bytes.fromhex(encoded))
