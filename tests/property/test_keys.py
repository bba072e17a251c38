"""Keys: what goes in comes out, and bytes sort as values do."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import math
import pathlib
import struct
import typing

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from objcache.errors import KeyEncodingError
from objcache.keys import (
    ENGINE_KEY_LIMIT,
    decode_key,
    encode_key,
    engine_key,
    is_ordered,
    key_of,
    needs_full_key,
    prefix_range,
    range_of,
    section_range,
    successor,
)
from objcache.keys._decode import decode_ordered_key
from objcache.protocols import MISSING

UTC = datetime.UTC


class Color(enum.Enum):
    """A plain enum."""

    RED = 1
    GREEN = "g"


class Mode(enum.Flag):
    """A flag."""

    READ = 1
    WRITE = 2
    RUN = 4


class Point(typing.NamedTuple):
    """A named tuple."""

    x: object
    y: object


@dataclasses.dataclass(frozen=True)
class Frozen:
    """A frozen dataclass."""

    name: object
    inner: object


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    """A frozen dataclass with slots."""

    value: object


any_int = st.one_of(
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.integers(0, 2**2100),
    st.integers(-(2**2100), 0),
)
any_text = st.text(st.characters(codec=None, exclude_categories=()), max_size=30)
aware = st.datetimes(
    datetime.datetime(2, 1, 1), datetime.datetime(9998, 1, 1), timezones=st.just(UTC)
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    any_int,
    st.floats(allow_nan=False),
    any_text,
    st.binary(max_size=30),
    st.uuids(),
    st.datetimes(),
    aware,
)
ordered_keys = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=8
)
zones = st.integers(-1439, 1439).map(
    lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes))
)
simple_unordered = st.one_of(
    st.decimals(allow_nan=False),
    st.fractions(),
    st.dates(),
    st.times(timezones=st.none() | zones),
    st.timedeltas(),
    zones,
    st.complex_numbers(allow_nan=False),
    st.ip_addresses(),
    st.builds(range, st.integers(), st.integers(), st.integers(1)),
    st.lists(st.sampled_from(["a", "..", "c:", "/", "\\"])).map(
        lambda names: pathlib.PurePosixPath(*names)
    ),
    st.sampled_from(Color),
    st.integers(0, 7).map(Mode),
)
unordered_keys = st.recursive(
    simple_unordered,
    lambda inner: st.one_of(
        st.frozensets(inner | scalars, max_size=4),
        st.builds(Point, inner, scalars),
        st.builds(Frozen, scalars, inner),
        st.builds(Slotted, inner),
        st.tuples(scalars, inner),
    ),
    max_leaves=4,
)
keys = st.one_of(ordered_keys, unordered_keys, st.tuples(scalars, unordered_keys))


def typed(key):
    """The key with its types all the way down, since 1 == 1.0 == True."""
    if isinstance(key, tuple):
        return type(key), [typed(part) for part in key]
    if isinstance(key, frozenset):
        return type(key), [typed(part) for part in sorted(key, key=encode_key)]
    if dataclasses.is_dataclass(key):
        return type(key), [typed(getattr(key, field.name)) for field in dataclasses.fields(key)]
    return type(key), key


@given(keys)
@example(("a\0b", b"\0", None, ((None,), ()), -0.0))
@example(math.inf)
@example("\ud800")
@example((datetime.datetime.min, datetime.datetime.max, datetime.datetime.max.replace(tzinfo=UTC)))
@example(frozenset({frozenset(), (None, frozenset({None})), Mode(0)}))
@example(Frozen(-(2**2048), Point(None, None)))
def test_every_key_comes_back_with_its_types(key):
    """decode(encode(key)) is the key, with every type in it."""
    decoded = decode_key(encode_key(key))

    assert key == decoded
    assert typed(key) == typed(decoded)


RANKS = [type(None), bytes, str, tuple, int, float, bool]


def comparable(left, right):
    """Whether Python orders the two, by types that match all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, tuple):
        return True
    return not isinstance(left, datetime.datetime) or (left.tzinfo is None) == (
        right.tzinfo is None
    )


def rank(key):
    if isinstance(key, datetime.datetime):
        return len(RANKS) + 1 + (key.tzinfo is not None)
    return RANKS.index(type(key)) if type(key) in RANKS else len(RANKS)


def before(left, right):
    """The order of keys, from their values alone."""
    if rank(left) != rank(right):
        return rank(left) < rank(right)
    if isinstance(left, tuple):
        for one, other in zip(left, right, strict=False):
            if before(one, other):
                return True
            if before(other, one):
                return False
        return len(left) < len(right)
    if left is None:
        return False
    if isinstance(left, str):
        return [ord(c) for c in left] < [ord(c) for c in right]
    if hasattr(left, "bytes"):
        return left.bytes < right.bytes
    return left < right


@given(ordered_keys, ordered_keys)
def test_bytes_sort_as_keys_do(left, right):
    """The order of encodings is the order of keys: by value within a type, by type otherwise."""
    assert before(left, right) == (encode_key(left) < encode_key(right))


@given(any_int, any_int)
@example(2**2032 - 1, 2**2032)
@example(-(2**2032), -(2**2032) + 1)
@example(2**2040 - 1, 2**2040)
@example(-(2**2040), -(2**2040) + 1)
def test_integers_of_any_size_sort(left, right):
    """Integers sort by value, also where the length of their encoding changes."""
    assert (left < right) == (encode_key(left) < encode_key(right))


@given(st.floats(), st.floats())
def test_floats_sort(left, right):
    """Floats sort by value; NaN is one key behind all others, and zero has one encoding."""
    if math.isnan(left) or math.isnan(right):
        assert math.isnan(right) == (encode_key(left) <= encode_key(right))
    else:
        assert (left < right) == (encode_key(left) < encode_key(right))


@given(aware, st.integers(-720, 720))
def test_equal_instants_are_one_key(moment, minutes):
    """A moment is one key in whatever zone it is given, as it is in a dict."""
    elsewhere = moment.astimezone(datetime.timezone(datetime.timedelta(minutes=minutes)))

    assert encode_key(moment) == encode_key(elsewhere)
    assert elsewhere == decode_key(encode_key(elsewhere))


@given(st.binary(max_size=60))
@example(b"\x1d\xff\xff\xff\xff\xff")
@example(b"\x05" * 200)
@example(b"\x50os\x00\x05\x02os\x00\x02system\x00\x00")
@example(b"\x30")
@example(b"\x40" + b"\xff" * 8)
@example(b"")
def test_any_bytes_decode_or_are_refused(content):
    """Bytes that are no key raise KeyEncodingError; those that decode are canonical."""
    try:
        key = decode_key(content)
    except KeyEncodingError:
        return

    assert content == encode_key(key)


fragments = st.one_of(
    st.binary(min_size=1, max_size=3),
    st.sampled_from([b"\x50", b"\x05", b"\x00", b"\x00\xff", b"\x1d", b"\x0b\x00", b"\x21"]),
    st.sampled_from(
        [b"\x50%b\x00\x05" % name for name in (b"enum", b"dataclass", b"namedtuple", b"frozenset")]
        + [b"\x50%b\x00\x05" % name for name in (b"time", b"timezone", b"Fraction", b"range")]
    ),
    st.sampled_from([Color, Mode, Point, Frozen, Slotted, int, pathlib.Path]).map(
        lambda kind: encode_key(kind.__module__) + encode_key(kind.__qualname__)
    ),
    st.one_of(scalars, st.sampled_from(["RED", "name", "inner", "value"])).map(encode_key),
)


@given(st.lists(fragments, max_size=10).map(b"".join))
def test_any_pieces_decode_or_are_refused(content):
    """The same holds for bytes put together from pieces of keys."""
    test_any_bytes_decode_or_are_refused.hypothesis.inner_test(content)


@given(keys, st.data())
def test_altered_encodings_decode_or_are_refused(key, data):
    """The same holds for a key with bytes replaced, left out, or put in anywhere."""
    encoded = encode_key(key)
    begin = data.draw(st.integers(0, len(encoded)))
    end = data.draw(st.integers(begin, min(len(encoded), begin + 3)))
    noise = data.draw(st.binary(max_size=3) | st.sampled_from([b"\x00", b"\xff", b"\x50", b"\x14"]))

    test_any_bytes_decode_or_are_refused.hypothesis.inner_test(
        encoded[:begin] + noise + encoded[end:]
    )


@given(keys)
def test_the_decoder_of_ordered_keys_knows_no_others(key):
    """It reads each ordered key, and refuses every other one before it looks at its parts."""
    if is_ordered(key):
        assert typed(key) == typed(decode_ordered_key(encode_key(key)))
    else:
        with pytest.raises(KeyEncodingError, match="type code 0x50"):
            decode_ordered_key(encode_key(key))


long_keys = st.one_of(
    st.text(min_size=500, max_size=520),
    st.integers(490, 530).map(lambda size: b"x" * size),
    st.tuples(st.integers(0, 2), st.text("ab", min_size=505, max_size=508)),
    scalars,
)
prefixes = st.sampled_from([b"", b"\x20\x05\x02name\x00\x00"])


@given(
    prefixes, st.lists(st.one_of(long_keys, unordered_keys), unique_by=lambda key: repr(typed(key)))
)
def test_engine_keys_are_short_distinct_and_reversible(prefix, some):
    """Engine keys fit the engine, differ for different keys, and give their key back."""
    located = {}
    for key in some:
        engine, full = engine_key(prefix, key)
        located[engine] = encode_key(key)

        assert 1 <= len(engine) <= ENGINE_KEY_LIMIT
        assert bool(full) == needs_full_key(len(prefix), engine)
        assert typed(decode_key(encode_key(key))) == typed(key_of(len(prefix), engine, full))
        low, high = section_range(prefix)[:2]
        assert low <= engine < high

    assert len({encode_key(key) for key in some}) == len(located)


def test_megabyte_strings_are_keys():
    """A key of a megabyte is as good as any; two that differ at the end stay distinct."""
    one, two = "x" * (1 << 20), "x" * (1 << 20) + "y"

    assert engine_key(b"", one) != engine_key(b"", two)
    assert one == key_of(0, *engine_key(b"", one))


@given(
    prefixes,
    st.one_of(any_text, st.text(st.sampled_from("a\0é\ud800"), min_size=495, max_size=512)),
)
@example(b"", "x" * 507)
@example(b"", "x" * 508)
@example(b"", "x" * 507 + "é")
def test_the_flat_path_for_text_is_the_general_one(prefix, text):
    """A text key lies where every other key would lie."""
    encoded = encode_key(text)
    located, full = engine_key(prefix, text)

    if len(prefix) + 1 + len(encoded) <= 510:
        assert (prefix + b"\x10" + encoded, b"") == (located, full)
    else:
        assert (511, encoded) == (len(located), full)
        assert (prefix + b"\x10" + encoded)[:495] == located[:495]


@given(prefixes, keys, keys)
def test_keys_without_an_order_come_last(prefix, one, other):
    """Every key without an order lies behind every key that has one."""
    if is_ordered(one) and not is_ordered(other):
        assert engine_key(prefix, one)[0] < engine_key(prefix, other)[0]


@given(st.binary(max_size=6))
@example(b"a\xff\xff")
def test_successor_is_the_least_greater_bytes(prefix):
    """It is greater than all that begins with the prefix, and nothing lies between."""
    if not prefix.strip(b"\xff"):
        with pytest.raises(KeyEncodingError):
            successor(prefix)
        return
    found = successor(prefix)

    assert prefix + b"\xff" * 20 < found
    assert not found.startswith(prefix)
    assert prefix.startswith(found[:-1])
    assert prefix[len(found) - 1] + 1 == found[-1]


@given(long_keys, long_keys)
def test_shortened_keys_sort_with_their_prefix(left, right):
    """Engine keys sort as keys do, but where two shortened ones share all that was kept."""
    one, other = engine_key(b"", left)[0], engine_key(b"", right)[0]
    if before(left, right) and one[:495] != other[:495]:
        assert one < other


def covered(key_range, prefix, key):
    """Whether a walk over *key_range* comes to *key*."""
    engine, full = engine_key(prefix, key)
    whole = full or engine[len(prefix) + 1 :]
    return (
        key_range.low <= engine < key_range.high
        and (key_range.full_low is None or whole >= key_range.full_low)
        and (key_range.full_high is None or whole < key_range.full_high)
    )


bounds = st.one_of(st.just(MISSING), long_keys, ordered_keys)


@given(prefixes, bounds, bounds, st.lists(st.one_of(long_keys, ordered_keys), max_size=8))
@example(b"", b"x" * 495, MISSING, [b"x" * size for size in range(490, 530)])
@example(b"", MISSING, b"x" * 495, [b"x" * size for size in range(490, 530)])
@example(b"", b"x" * 515, b"x" * 520, [b"x" * size for size in range(490, 530)])
@example(b"", b"\xff" * 515, MISSING, [b"\xff" * size for size in range(490, 530)])
@example(b"", MISSING, b"\xff" * 515, [*(b"\xff" * size for size in range(490, 530)), "", "x"])
def test_ranges_hold_exactly_their_keys(prefix, start, stop, some):
    """A range covers start <= key < stop, also where bounds or keys are too long for the engine."""
    key_range = range_of(prefix, start, stop)
    for key in [*some, *(bound for bound in (start, stop) if bound is not MISSING)]:
        expected = (start is MISSING or not before(key, start)) and (
            stop is MISSING or before(key, stop)
        )

        assert expected == covered(key_range, prefix, key)


@given(prefixes, ordered_keys.filter(lambda key: type(key) is tuple), st.lists(ordered_keys))
@example(b"", ("a",), [("a\0b",), ("a", None), ("ab",), ("a",)])
@example(b"", ("x" * 600, 1), [("x" * 600, 1, 2), ("x" * 600, 2), ("x" * 600,), ("x" * 599, 1)])
def test_tuple_prefixes_hold_exactly_their_keys(prefix, first, some):
    """A prefix covers the tuples that begin with its elements, typed, and nothing else."""
    key_range = prefix_range(prefix, first)
    for key in [*some, first, (*first, None), (*first, "x"), first[:-1]]:
        begins = type(key) is tuple and typed(key[: len(first)]) == typed(first)

        assert begins == covered(key_range, prefix, key)


@given(
    st.one_of(st.text("a\0é", max_size=4), st.binary(max_size=3)),
    st.lists(st.text("a\0éz", max_size=6)),
)
@example(b"x" * 500, ["x" * 490, "x" * 499, "x" * 501, "x" * 600, "x" * 499 + "y", "y"])
@example("x" * 500, ["x" * 490, "x" * 499, "x" * 501, "x" * 600, "x" * 499 + "y", "y"])
@example(b"\xff" * 500, ["x"])
def test_text_prefixes_hold_exactly_their_keys(first, some):
    """A str or bytes prefix covers the keys of its type that begin with it."""
    key_range = prefix_range(b"", first)
    for key in [*some, first, first * 2, *(text.encode() for text in some)]:
        begins = type(key) is type(first) and key.startswith(first)

        assert begins == covered(key_range, b"", key)


def test_nesting_is_bounded_both_ways():
    """Tuples that nest deeper than the limit are refused, encoding and decoding."""
    key = ()
    for _ in range(150):
        key = (key,)
    with pytest.raises(KeyEncodingError, match="nests deeper than 100"):
        encode_key(key)
    with pytest.raises(KeyEncodingError, match="nested deeper than 100"):
        decode_key(b"\x05" * 150 + b"\x00" * 150)


@pytest.mark.parametrize("wrap", [lambda key: (key,), lambda key: frozenset({key})])
def test_the_deepest_key_comes_back(wrap):
    """A hundred levels go in and come out; one more is refused, whatever the containers are."""
    key = 1
    for _ in range(100):
        key = wrap(key)

    assert key == decode_key(encode_key(key))
    with pytest.raises(KeyEncodingError, match="nests deeper than 100"):
        encode_key(wrap(key))


def test_bounds_may_nest_as_deep_as_they_like():
    """A bound that is too deep for a key is refused as such, not by the interpreter."""
    key = ()
    for _ in range(100_000):
        key = (key,)
    with pytest.raises(KeyEncodingError, match="nests deeper than 100"):
        range_of(b"", key, MISSING)


def test_float_encoding_is_the_published_one():
    """Doubles are written as the tuple layer writes them: sign bit flipped, or all bits."""
    assert b"\x21" + struct.pack(
        ">Q", struct.unpack(">Q", struct.pack(">d", 1.5))[0] ^ (1 << 63)
    ) == (encode_key(1.5))
