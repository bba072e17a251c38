"""Golden lines: what an export has written is read for ever (docs/reference/lines.md)."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import fractions
import io
import ipaddress
import math
import pathlib
import re
import uuid
import zoneinfo

import pytest

from objcache.keys.extended import STANDARD_NAMES, Unloaded
from objcache.lines import LineReader, LineWriter, form_of_key, form_of_value
from objcache.lines._tags import _READERS
from tests.property.test_lines import typed

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "reference" / "lines.md"
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
ODD = dt.timezone(dt.timedelta(hours=1), "odd")
GOLDEN = [
    (None, b"null"),
    (True, b"true"),
    (-5, b"-5"),
    (2**53 - 1, b"9007199254740991"),
    (2**53, b'{"$int":"9007199254740992"}'),
    (-(16**3600), b'{"$int":"-0x1' + b"0" * 3600 + b'"}'),
    (1.0, b"1.0"),
    (-0.0, b"-0.0"),
    (1e300, b"1e+300"),
    (math.inf, b'{"$float":"inf"}'),
    (-math.inf, b'{"$float":"-inf"}'),
    ('é"\n', '"é\\"\\n"'.encode()),
    ("\ud800", b'{"$str":"7aCA"}'),
    (b"\0\xff", b'{"$bytes":"AP8="}'),
    (bytearray(b"a"), b'{"$bytearray":"YQ=="}'),
    ([1, [2]], b"[1,[2]]"),
    ((1, ()), b'{"$tuple":[1,{"$tuple":[]}]}'),
    ({"b": 1, "a": 2}, b'{"b":1,"a":2}'),
    ({1: 2, "a": 3}, b'{"$dict":[[1,2],["a",3]]}'),
    ({"$a": 1}, b'{"$dict":[["$a",1]]}'),
    ({"$a": 1, "b": 2}, b'{"$a":1,"b":2}'),
    ({2, 1, "a"}, b'{"$set":["a",1,2]}'),
    (frozenset({(1,)}), b'{"$frozenset":[{"$tuple":[1]}]}'),
    (collections.OrderedDict(a=1), b'{"$OrderedDict":[["a",1]]}'),
    (collections.Counter("a"), b'{"$Counter":[["a",1]]}'),
    (collections.deque([1], 2), b'{"$deque":[2,[1]]}'),
    (complex(1, -0.0), b'{"$complex":[1.0,-0.0]}'),
    (range(1, 9, 2), b'{"$range":[1,9,2]}'),
    (decimal.Decimal("1.50"), b'{"$Decimal":"1.50"}'),
    (fractions.Fraction(1, 3), b'{"$Fraction":[1,3]}'),
    (uuid.UUID(int=1), b'{"$UUID":"00000000-0000-0000-0000-000000000001"}'),
    (dt.date(2024, 1, 31), b'{"$date":"2024-01-31"}'),
    (dt.time(1, 2, 3, 4), b'{"$time":[1,2,3,4,null,0]}'),
    (dt.timedelta(-1, 2, 3), b'{"$timedelta":[-1,2,3]}'),
    (ODD, b'{"$timezone":[{"$timedelta":[0,3600,0]},"odd"]}'),
    (dt.datetime(2024, 1, 31, 12), b'{"$datetime":"2024-01-31T12:00:00"}'),
    (dt.datetime(2024, 1, 31, tzinfo=dt.UTC), b'{"$datetime":"2024-01-31T00:00:00+00:00"}'),
    (
        dt.datetime(2024, 10, 27, 2, fold=1, tzinfo=BERLIN),
        b'{"$datetime":["2024-10-27T02:00:00",{"$ZoneInfo":"Europe/Berlin"},1]}',
    ),
    (BERLIN, b'{"$ZoneInfo":"Europe/Berlin"}'),
    (pathlib.PurePosixPath("a/b"), b'{"$PurePosixPath":"a/b"}'),
    (pathlib.PureWindowsPath("a"), b'{"$PureWindowsPath":"a"}'),
    (pathlib.PosixPath("/a"), b'{"$PosixPath":"/a"}'),
    (ipaddress.ip_address("::1"), b'{"$IPv6Address":"::1"}'),
    (ipaddress.ip_network("10.0.0.0/8"), b'{"$IPv4Network":"10.0.0.0/8"}'),
]
GOLDEN_KEYS = [
    (Unloaded("enum", ("shop", "Color", "RED")), b'{"$enum":["shop","Color","RED"]}'),
    (Unloaded("namedtuple", ("shop", "P", 1)), b'{"$namedtuple":["shop","P",1]}'),
    (Unloaded("dataclass", ("shop", "D", "x", 1)), b'{"$dataclass":["shop","D","x",1]}'),
]
HEADER = b'{"objcache":"lines","version":1,"written_by":"objcache 0.1.0","exported":"everything"}\n'


def end(entries):
    """What the last line begins with."""
    return b'{"end":{"entries":%d,"sha256":"' % entries


@pytest.mark.parametrize(("value", "text"), GOLDEN, ids=[text[:30].decode() for _, text in GOLDEN])
def test_values_are_frozen(value, text):
    """A value is written as this text for ever, and this text is read as that value."""
    written = io.BytesIO()
    writer = LineWriter(written.write, "everything")
    writer.entry({"key": 1, "value": form_of_value(value)})
    line = written.getvalue().splitlines()[1]
    (read,) = LineReader(
        io.BytesIO(HEADER + b'{"key":1,"value":' + text + b'}\n{"end":{"entries":1}}\n')
    ).entries()

    assert b'{"key":1,"value":' + text + b"}" == line
    assert typed(value) == typed(read.value)


@pytest.mark.parametrize(("key", "text"), GOLDEN_KEYS)
def test_keys_are_frozen(key, text):
    """So are keys that are instances of classes."""
    written = io.BytesIO()
    writer = LineWriter(written.write, "everything")
    writer.entry({"key": form_of_key(key), "value": 1})
    line = written.getvalue().splitlines()[1]
    (read,) = LineReader(io.BytesIO(HEADER + line + b'\n{"end":{"entries":1}}\n')).entries()

    assert b'{"key":' + text + b',"value":1}' == line
    assert key == read.key


def test_whole_files_are_frozen():
    """Header, entries, chunks and end of version 1 are these for ever."""
    written = io.BytesIO()
    writer = LineWriter(written.write, "everything")
    writer.entry({"namespace": ["a"], "key": "k", "value": 1, "codec": "json"})
    writer.entry({"cache": [], "key": 1, "blob": 2, "deadline": 5.5, "tags": ["t"]})
    writer.chunks([b"a", b"b"])
    writer.end()
    lines = written.getvalue().splitlines(keepends=True)

    assert re.sub(rb"objcache \d[^\"]*", b"objcache 0.1.0", lines[0]) == HEADER
    assert [
        b'{"namespace":["a"],"key":"k","value":1,"codec":"json"}\n',
        b'{"cache":[],"key":1,"blob":2,"deadline":5.5,"tags":["t"]}\n',
        b'{"chunk":"YWI="}\n',
    ] == lines[1:4]
    assert lines[4].startswith(end(2))


def test_the_document_lists_all_tags():
    """Each tag that is read is in the tables of the page, and no other."""
    listed = re.findall(
        r"`\$(\w+)`", PAGE.read_text().partition("## Tags")[2].partition("\n## ")[0]
    )

    assert {*_READERS, *STANDARD_NAMES, "enum", "namedtuple", "dataclass"} == set(listed)
