"""Arrow arrays are keyed by what can be read of them: not by chunks, offsets, or what nulls hide."""

from __future__ import annotations

import collections
import decimal
import re

import pytest

from objcache.errors import UnkeyableArgumentError
from objcache.hashing import differences, digest, outline
from tests.unit.hashing.corpus import evaluate

pa = pytest.importorskip("pyarrow")


class Shade(pa.ExtensionType):
    """A type of one's own, with a setting."""

    def __init__(self, depth):
        self.depth = depth
        super().__init__(pa.int8(), "objcache.tests.shade")

    def __arrow_ext_serialize__(self):
        return b"%d" % self.depth

    @classmethod
    def __arrow_ext_deserialize__(cls, storage, serialized):
        return cls(int(serialized))


def buffers(kind, *contents, length=2):
    """Return an array made of these bytes."""
    made = [None if content is None else pa.py_buffer(content) for content in contents]
    return pa.Array.from_buffers(kind, length, made)


def ordered(*indices, texts="xy"):
    """Return texts from an ordered dictionary."""
    return pa.DictionaryArray.from_arrays(
        pa.array(indices, pa.int8()), pa.array(list(texts)), ordered=True
    )


def union(codes, numbers, texts):
    """Return an array of numbers and texts, side by side."""
    fields = [pa.array(numbers, pa.int8()), pa.array(texts)]
    return pa.UnionArray.from_sparse(pa.array(codes, pa.int8()), fields)


def dense(codes, offsets, numbers, texts):
    """Return an array of numbers and texts, each where its offset says."""
    fields = [pa.array(numbers, pa.int8()), pa.array(texts)]
    places = pa.array(offsets, pa.int32())
    return pa.UnionArray.from_dense(pa.array(codes, pa.int8()), places, fields)


NAMES = {name: member for name, member in globals().items() if not name.startswith("_")}

PAIRS = [
    "pa.array([1, 2]) =/= pa.array([1, 2], pa.int32())",
    "pa.array([1, 2]) =/= pa.array([2, 1])",
    "pa.array([1, 2]) =/= pa.array([1, 2, None])",
    "pa.array([1, 2]) =/= [1, 2]",
    "pa.array([1, 2]) === pa.array([0, 1, 2, 3])[1:3]",
    "pa.array([1, 2]) =/= pa.chunked_array([[1, 2]])",
    "pa.chunked_array([[1, 2]]) === pa.chunked_array([[1], [], [2]])",
    "pa.chunked_array([[1, None, 3]]) === pa.chunked_array([[1, None], [3]])",
    "pa.chunked_array([[1, None, 3]]) =/= pa.chunked_array([[None, 1], [3]])",
    "pa.chunked_array([], pa.int64()) === pa.chunked_array([[]], pa.int64())",
    "pa.chunked_array([['ab', 'c']]) === pa.chunked_array([['ab'], pa.array(['x', 'c'])[1:]])",
    # nulls and bits
    "buffers(pa.int8(), b'\\x01', b'\\x01\\x02') === pa.array([1, None], pa.int8())",
    "buffers(pa.int8(), b'\\xff', b'\\x01\\x05') === pa.array([1, 5], pa.int8())",
    "buffers(pa.bool_(), None, b'\\xfe') === pa.array([False, True])",
    "buffers(pa.string(), b'\\x02', b'\\0\\0\\0\\0\\2\\0\\0\\0\\3\\0\\0\\0', b'abc') === pa.array([None, 'c'])",
    "buffers(pa.string(), None, b'\\1\\0\\0\\0\\2\\0\\0\\0\\3\\0\\0\\0', b'?bc') === pa.array(['b', 'c'])",
    "pa.array([True, None]) =/= pa.array([True, False])",
    "pa.array([None, None], pa.int8()) =/= pa.nulls(2)",
    "pa.nulls(2) =/= pa.nulls(3)",
    # floats
    "buffers(pa.float64(), None, b'\\1' + b'\\0' * 5 + b'\\xf8\\xff', length=1) === pa.array([float('nan')])",
    "buffers(pa.float16(), None, b'\\1\\xfe', length=1) === buffers(pa.float16(), None, b'\\0\\x7e', length=1)",
    "buffers(pa.float16(), None, b'\\0\\x7c', length=1) =/= buffers(pa.float16(), None, b'\\0\\xfc', length=1)",
    "pa.array([0.0]) =/= pa.array([-0.0])",
    "pa.array([float('nan')]) =/= pa.array([None], pa.float64())",
    # texts
    "pa.array(['ab', 'c']) =/= pa.array(['a', 'bc'])",
    "pa.array(['ab', 'c']) =/= pa.array(['ab', 'c'], pa.large_string())",
    "pa.array(['ab', 'c']) =/= pa.array(['ab', 'c'], pa.string_view())",
    "pa.array(['ab', 'c' * 30], pa.string_view()) === pa.array(['?', 'ab', 'c' * 30], pa.string_view())[1:]",
    "pa.array([b'ab', None], pa.binary_view()) =/= pa.array([b'ab', b''], pa.binary_view())",
    "pa.array([b'abc'], pa.binary(3)) =/= pa.array([b'abc'])",
    # times and decimals
    "pa.array([1], pa.timestamp('s')) =/= pa.array([1], pa.timestamp('ms'))",
    "pa.array([1], pa.timestamp('s', 'UTC')) =/= pa.array([1], pa.timestamp('s', 'Asia/Tokyo'))",
    "pa.array([decimal.Decimal('1.5')]) =/= pa.array([decimal.Decimal('1.50')])",
    "pa.array([(1, 2, 3), None], pa.month_day_nano_interval()) =/= pa.array([(1, 2, 4), None], pa.month_day_nano_interval())",
    # nested
    "pa.array([[1], [2, 3]]) =/= pa.array([[1, 2], [3]])",
    "pa.array([[1], [2, 3]]) === pa.array([[9], None, [1], [2, 3]])[2:]",
    "pa.array([[1], None, []]) =/= pa.array([[1], [], None])",
    "pa.array([[1, None]]) =/= pa.array([[1]])",
    "pa.array([[1]], pa.list_(pa.int8())) =/= pa.array([[1]], pa.large_list(pa.int8()))",
    "pa.array([[1]], pa.list_(pa.int8())) === pa.array([[1]], pa.list_(pa.field('element', pa.int8())))",
    "pa.array([[1, 2]], pa.list_(pa.int8(), 2)) =/= pa.array([[1, 2]], pa.list_(pa.int8()))",
    "pa.array([['ab'], None], pa.list_(pa.string_view())) === pa.array([None, ['ab'], None], pa.list_(pa.string_view()))[1:]",
    "pa.array([['ab'], None], pa.list_(pa.string_view(), 1)) =/= pa.array([['cd'], None], pa.list_(pa.string_view(), 1))",
    "pa.array([['ab'], None], pa.large_list(pa.string_view())) =/= pa.array([['cd'], None], pa.large_list(pa.string_view()))",
    "pa.array([{'a': 1}, None, {'a': None}]) =/= pa.array([{'a': 1}, {'a': None}, None])",
    "pa.array([{'a': 1}, None]) === pa.array([{'a': 2}, {'a': 1}, None])[1:]",
    "pa.array([{'a': 1}]) =/= pa.array([{'b': 1}])",
    "pa.array([[(1, 2)], [(3, 4)]], pa.map_(pa.int8(), pa.int8())) === pa.array([[(9, 9)], [(1, 2)], [(3, 4)]], pa.map_(pa.int8(), pa.int8()))[1:]",
    "pa.array([[(1, 2)], [(3, 4)]], pa.map_(pa.int8(), pa.int8())) =/= pa.array([[(1, 2), (3, 4)], []], pa.map_(pa.int8(), pa.int8()))",
    "union([0, 1], [1, 7], ['?', 'a']) === union([1, 0, 1], [0, 1, 8], ['', '!', 'a'])[1:]",
    "union([0, 1], [1, 7], ['?', 'a']) =/= union([0, 1], [1, 7], ['?', 'b'])",
    "union([0, 1], [1, 7], ['?', 'a']) =/= union([1, 0], [7, 1], ['a', '?'])",
    "dense([0, 1], [0, 0], [1], ['a']) === dense([1, 0, 1], [0, 1, 1], [5, 1], ['', 'a'])[1:]",
    "dense([0, 1], [0, 0], [1], ['a']) =/= union([0, 1], [1, 1], ['c', 'c'])",
    # encodings
    "pa.array(['a', 'b']) =/= pa.array(['a', 'b']).dictionary_encode()",
    "pa.array(['a', 'b']).dictionary_encode() === pa.array(['b', 'a', 'b']).dictionary_encode()[1:]",
    "pa.chunked_array([['a', 'b']]).dictionary_encode() === pa.chunked_array([pa.array(['a']).dictionary_encode(), pa.array(['b']).dictionary_encode()])",
    "ordered(0, 1) =/= pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), pa.array(['x', 'y']))",
    "ordered(0, 0) =/= pa.DictionaryArray.from_arrays(pa.array([1, 1], pa.int8()), pa.array(['y', 'x']), ordered=True)",
    "pa.chunked_array([ordered(0, 1), ordered(1)]) === pa.chunked_array([ordered(0, texts='x'), ordered(1, 1)])",
    "pa.array(['a'], pa.string_view()).dictionary_encode() =/= pa.array(['b'], pa.string_view()).dictionary_encode()",
    "pa.RunEndEncodedArray.from_arrays([2, 4], [1, 2]) === pa.RunEndEncodedArray.from_arrays([1, 2, 4], [1, 1, 2])",
    "pa.RunEndEncodedArray.from_arrays([2, 4], [1, 2]) =/= pa.RunEndEncodedArray.from_arrays([1, 4], [1, 2])",
    "pa.ExtensionArray.from_storage(Shade(1), pa.array([1], pa.int8())) =/= pa.array([1], pa.int8())",
    "pa.ExtensionArray.from_storage(Shade(1), pa.array([1], pa.int8())) =/= pa.ExtensionArray.from_storage(Shade(2), pa.array([1], pa.int8()))",
    # tables
    "pa.table({'a': [1], 'b': [2]}) =/= pa.table({'b': [2], 'a': [1]})",
    "pa.table({'a': [1], 'b': [2]}) =/= pa.table({'a': [1], 'c': [2]})",
    "pa.table({'a': [1, 2]}) === pa.concat_tables([pa.table({'a': [1]}), pa.table({'a': [2]})])",
    "pa.table({'a': [1, 2]}) === pa.table({'a': [0, 1, 2]})[1:]",
    "pa.table({'a': [1, 2]}) =/= pa.table({'a': [1, 2]}).replace_schema_metadata({'k': 'v'})",
    "pa.table({'a': [1, 2]}) =/= pa.record_batch({'a': [1, 2]})",
    "pa.table([[1], [2]], ['a', 'a']) =/= pa.table([[1], [3]], ['a', 'a'])",
    "pa.table([[1], [2]], ['a', 'a']) =/= pa.table([[0], [2]], ['a', 'a'])",
    "pa.table({}) =/= pa.table({'a': []})",
    # scalars, types and other things
    "pa.scalar(1) =/= pa.scalar(1, pa.int8())",
    "pa.scalar(1) =/= pa.scalar(None, pa.int64())",
    "pa.scalar(1) =/= pa.array([1])",
    "pa.scalar('b') === pa.array(['a', 'b'])[1]",
    "pa.scalar([1, 2]) =/= pa.scalar([1, 3])",
    "union([0, 1], [1, 7], ['?', 'a'])[0] =/= union([0, 1], [7, 7], ['?', 'a'])[0]",
    "pa.ExtensionArray.from_storage(Shade(1), pa.array([1], pa.int8()))[0] =/= pa.ExtensionArray.from_storage(Shade(1), pa.array([2], pa.int8()))[0]",
    "pa.int8() =/= pa.int16()",
    "pa.list_(pa.int8()) =/= pa.list_(pa.int16())",
    "pa.struct([('a', pa.int8()), ('b', pa.int8())]) =/= pa.struct([('a: int8, b', pa.int8())])",
    "pa.sparse_union([pa.field('a', pa.int8())]) =/= pa.dense_union([pa.field('a', pa.int8())])",
    "pa.run_end_encoded(pa.int16(), pa.int8()) =/= pa.run_end_encoded(pa.int32(), pa.int8())",
    "Shade(1) =/= Shade(2)",
    "pa.field('a', pa.int8()) =/= pa.field('a', pa.int8(), nullable=False)",
    "pa.field('a', pa.int8()) =/= pa.field('a', pa.int8(), metadata={'k': 'v'})",
    "pa.schema([('a', pa.int8())]) =/= pa.schema([('b', pa.int8())])",
    "pa.schema([('a', pa.int8())]) =/= pa.schema([('a', pa.int8())], {'k': 'v'})",
    "pa.py_buffer(b'ab') === pa.py_buffer(b'xab').slice(1)",
    "pa.py_buffer(b'ab') =/= b'ab'",
    "pa.Tensor.from_numpy(np.ones((2, 3))) =/= pa.Tensor.from_numpy(np.ones((3, 2)))",
]  # fmt: skip


def sides(pair):
    """Return the expressions of *pair*, and whether they are the same."""
    left, sign, right = re.split(" (===|=/=) ", pair)
    return left, right, sign == "==="


def names_of(expression):
    """Return what *expression* may use, without the test if that is not installed."""
    return {**NAMES, "np": pytest.importorskip("numpy")} if "np." in expression else NAMES


@pytest.mark.parametrize("pair", PAIRS)
def test_pairs(pair):
    """What is the same has one digest; what is not has two."""
    left, right, same = sides(pair)
    names = names_of(pair)

    assert same == (digest(evaluate(left, names)) == digest(evaluate(right, names)))


def test_no_two_values_collide():
    """Expressions that no `===` connects have different digests."""
    pairs = [sides(pair) for pair in PAIRS if "np." not in pair]
    owners = collections.defaultdict(list)
    for expression in dict.fromkeys(side for pair in pairs for side in pair[:2]):
        owners[digest(evaluate(expression, NAMES))].append(expression)
    links = [left for left, _, same in pairs if same]
    collisions = [
        found for found in owners.values() if len(found) > 1 + sum(left in found for left in links)
    ]

    assert [] == collisions


KINDS = [
    (pa.int64(), [1, 2, 3, 4]),
    (pa.float64(), [1.0, float("nan"), -0.0, 2.0]),
    (pa.bool_(), [True, False, True, True]),
    (pa.string(), ["a", "", "ccc", "d"]),
    (pa.large_binary(), [b"a", b"", b"ccc", b"d"]),
    (pa.string_view(), ["a", "b" * 50, "ccc", "d"]),
    (pa.binary(3), [b"abc", b"def", b"ghi", b"jkl"]),
    (pa.decimal128(5, 2), [decimal.Decimal(number) for number in (1, 2, 3, 4)]),
    (pa.timestamp("us", "UTC"), [1, 2, 3, 4]),
    (pa.list_(pa.int8()), [[1], [2, None], [], [4]]),
    (pa.list_view(pa.int8()), [[1], [2, 3], [], [4]]),
    (pa.large_list(pa.string()), [["a"], ["b", None], [], ["c"]]),
    (pa.list_(pa.int8(), 2), [[1, 2], [3, 4], [5, 6], [7, 8]]),
    (pa.struct([("a", pa.int8())]), [{"a": 1}, {"a": None}, {"a": 3}, {"a": 4}]),
    (pa.map_(pa.string(), pa.int8()), [[("a", 1)], [("b", None)], [], [("d", 4)]]),
]


@pytest.mark.parametrize("nulls", [[], [1]], ids=["no nulls", "a null"])
@pytest.mark.parametrize(("kind", "members"), KINDS, ids=[str(kind) for kind, _ in KINDS])
def test_slices_and_chunks_of_every_type(kind, members, nulls):
    """A slice, and chunks cut anywhere, have the digest of the array that is compact and whole."""
    members = [None if place in nulls else member for place, member in enumerate(members)]
    whole = pa.array(members, kind)
    slice_ = pa.array(members[::-1] + members + members[:2], kind)[4:8]
    digests = {
        digest(pa.chunked_array(chunks, kind))
        for cut in range(5)
        for chunks in ([whole[:cut], whole[cut:]], [slice_[:cut], whole[cut:]])
    }

    assert digest(whole) == digest(slice_)
    assert 1 == len(digests)
    assert digest(whole) != digest(pa.array(members[::-1], kind))


@pytest.mark.parametrize("chunk", [1, 70_000, 200_000])
def test_nans_in_long_arrays(chunk):
    """NaNs of any bits are one wherever they are, however the array is cut."""
    members = [float(number) for number in range(200_000)]
    members[150_000] = float("nan")
    array = pa.array(members)
    other = pa.array([-member for member in members])
    chunks = [array[:chunk], array[chunk:]]
    negated = [pa.compute.negate(part) for part in (other[:chunk], other[chunk:])]

    assert digest(pa.chunked_array([array])) == digest(pa.chunked_array(chunks))
    assert digest(pa.chunked_array([array[1:]])) == digest(pa.chunked_array(negated)[1:])


@pytest.mark.parametrize(
    "source",
    [
        "pa.BufferReader(b'ab')",
        "pa.BufferOutputStream()",
        "pa.RecordBatchReader.from_batches(pa.schema([]), [])",
        "ds.dataset(pa.table({'a': [1]}))",
        "ds.dataset(pa.table({'a': [1]})).scanner()",
    ],
)
def test_readers_are_refused(source):
    """What is read when it is used has no stable value."""
    import pyarrow.dataset

    with pytest.raises(UnkeyableArgumentError):
        digest(evaluate(source, {**NAMES, "ds": pyarrow.dataset}))


def test_what_this_version_cannot_take_apart_is_refused():
    """A type that pyarrow itself lacks functions for is refused, not guessed."""
    views = pa.array([[("ab", 1)], None], pa.map_(pa.string_view(), pa.int8()))

    with pytest.raises(UnkeyableArgumentError, match="cannot take it apart"):
        digest([views])


def test_differences_are_named():
    """A column that has another data type is called by its name."""
    before = outline(pa.table({"a": [1], "b": [2]}))
    now = outline(pa.table({"a": [1], "b": pa.array([2], pa.int8())}))
    lines = differences(before, now, "table")

    assert "dtype of column 'b' of table: int64 -> int8" in lines
    assert all("column 'b'" in line for line in lines)
