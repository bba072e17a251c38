"""The line format: every key and every value that is data comes back with its types."""

from __future__ import annotations

import collections
import datetime
import io
import json
import math
import pickle
import zoneinfo

from hypothesis import example, given
from hypothesis import strategies as st

from objcache.keys import decode_key, decode_without_classes, encode_key
from objcache.lines import (
    LineError,
    LineReader,
    LineWriter,
    bytes_of_pickle,
    form_of_key,
    form_of_value,
)
from tests.property.test_keys import (
    Color,
    Frozen,
    Mode,
    Point,
    any_int,
    any_text,
    keys,
    simple_unordered,
    zones,
)

times = st.datetimes(
    timezones=st.none() | zones | st.sampled_from(["UTC", "Europe/Berlin"]).map(zoneinfo.ZoneInfo)
)
plain = st.one_of(
    st.none(),
    st.booleans(),
    any_int,
    st.floats(),
    any_text,
    st.binary(max_size=30),
)
leaves = st.one_of(
    plain,
    st.binary(max_size=30).map(bytearray),
    st.uuids(),
    times,
    simple_unordered.filter(lambda value: not isinstance(value, Color | Mode)),
)
hashable = st.one_of(plain, st.dates(), st.uuids(), st.tuples(plain, plain))
texts = any_text | st.sampled_from(["$tuple", "$", "$bytes", "a"])


def containers(inner):
    """Values with parts."""
    pairs = st.lists(st.tuples(hashable, inner), max_size=4)
    return st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(texts, inner, max_size=3),
        st.dictionaries(hashable, inner, max_size=3),
        st.sets(hashable, max_size=4),
        st.frozensets(hashable, max_size=4),
        pairs.map(collections.OrderedDict),
        pairs.map(lambda given: collections.Counter(dict(given))),
        st.lists(inner, max_size=4).map(lambda given: collections.deque(given, 5)),
    )


values = st.recursive(leaves, containers, max_leaves=10)


def typed(value):
    """The value with its types all the way down, in which NaN equals NaN and 0.0 is not -0.0."""
    kind = type(value)
    if isinstance(value, float | complex):
        return kind, repr(value)
    if isinstance(value, set | frozenset):
        return kind, sorted(map(repr, map(typed, value)))
    if isinstance(value, dict):
        return kind, [(typed(key), typed(part)) for key, part in value.items()]
    if kind is collections.deque:
        return kind, value.maxlen, list(map(typed, value))
    if isinstance(value, list | tuple):
        return kind, list(map(typed, value))
    if isinstance(value, datetime.datetime):
        return kind, value.replace(tzinfo=None), repr(value.tzinfo), value.fold
    if kind is zoneinfo.ZoneInfo:  # equal to itself only, and the cache of them may be cleared
        return kind, repr(value)
    return kind, value


def through_lines(entry, *, ascii_only=False):
    """What is read of one entry that was written."""
    written = io.BytesIO()
    writer = LineWriter(written.write, "everything", ascii_only=ascii_only)
    writer.entry(entry)
    writer.end()
    written.seek(0)
    (read,) = LineReader(written).entries()
    return read


@given(values, st.booleans())
@example([math.nan, -math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308], False)
@example([2**53 - 1, 2**53, -(2**53), 10**4299, 10**4300, -(10**5000)], False)
@example({"$tuple": [1]}, False)
@example({"$dict": {"$dict": 1}, "b": {"$unknown": None}}, False)
@example(["\ud800", "\ud83d\ude00", "\U0001f600", {"\udfff": 1}, "\u2028\x7f\x9b\0"], True)
@example([1e100, "e999", "1e999"], False)
@example(
    datetime.datetime(2024, 10, 27, 2, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"), fold=1), False
)
@example(datetime.timezone(datetime.timedelta(seconds=1), "odd"), False)
def test_every_value_comes_back_with_its_types(value, ascii_only):
    """What is read is what was written, with every type in it, whatever the value looks like."""
    entry = {"key": 1, "value": form_of_value(value)}

    assert typed(value) == typed(through_lines(entry, ascii_only=ascii_only).value)


@given(keys)
@example(math.nan)
@example("\ud800")
@example(frozenset({frozenset(), (None, frozenset({None})), Mode(0)}))
@example(Frozen(-(2**2048), Point(None, None)))
def test_every_key_comes_back_without_its_classes(key):
    """A key is read as what is stored as that key, whether its classes are loaded or not."""
    encoded = encode_key(key)
    unloaded = decode_without_classes(encoded)
    read = through_lines({"key": form_of_key(unloaded), "value": None}).key

    assert encoded == encode_key(unloaded) == encode_key(read)
    assert form_of_key(unloaded) == form_of_key(decode_key(encoded))


@given(st.binary(max_size=300), st.sampled_from([3, 4, 5]), st.binary(max_size=3))
def test_bytes_are_found_in_their_pickle(content, protocol, behind):
    """The bytes that are all of a pickle are found in it, and in nothing else."""
    content = bytes(300) + content
    payload = pickle.dumps(content, protocol)

    assert content == bytes(bytes_of_pickle(payload))
    assert bytes_of_pickle(pickle.dumps([content], protocol)) is None
    assert not behind or bytes_of_pickle(payload + behind) is None
    assert bytes_of_pickle(payload[:-4]) is None


HEADER = b'{"objcache":"lines","version":1}\n'
TAGS = (
    *("$tuple", "$set", "$dict", "$bytes", "$Decimal", "$datetime", "$deque", "$enum", "$int"),
    *("$Fraction", "$dataclass", "$time", "$Counter", "$ZoneInfo", "$namedtuple", "$range"),
)
FIELDS = (
    *("key", "value", "blob", "payload", "cache", "namespace", "tags", "deadline", "created"),
    *("codec", "end", "chunk", "x"),
)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([*TAGS, "$x", "a"]), inner, min_size=1, max_size=2),
    ),
    max_leaves=8,
)
fields = st.sampled_from(FIELDS)


@given(st.one_of(
    st.binary(max_size=60),
    st.dictionaries(fields, any_json, max_size=4).map(lambda line: json.dumps(line).encode()),
    any_json.map(lambda value: json.dumps({"key": 1, "value": value}).encode()),
    any_json.map(lambda key: json.dumps({"key": key, "value": 1}).encode()),
    any_json.map(lambda end: json.dumps({"end": end}).encode()),
    any_json.map(lambda given: json.dumps({"key": 1, "payload": given}).encode()),
))  # fmt: skip
def test_any_line_is_an_entry_or_a_line_error(line):
    """Whatever a line says, it is read, or told by its number; nothing else is ever raised."""
    reader = LineReader(io.BytesIO(HEADER + line + b"\n"))
    try:
        list(reader.entries())
    except LineError as error:
        assert 1 < error.number <= 3
        assert str(error).startswith(f"line {error.number}: ")
        assert "\n" not in str(error).strip("\n")
    else:
        raise AssertionError("it has no end line, and was read as if it had")
