"""Frames are keyed by labels, data types and members, whatever lies in their blocks."""

from __future__ import annotations

import collections
import datetime
import pathlib
import re
import tracemalloc
import zoneinfo

import pytest

from objcache.errors import UnkeyableArgumentError
from objcache.hashing import differences, digest, outline
from tests.scripts import run
from tests.unit.hashing.corpus import evaluate

np = pytest.importorskip("numpy")
pd = pytest.importorskip("pandas", "2.1")

ROOT = pathlib.Path(__file__).parents[3]


class Measured(pd.DataFrame):
    """A frame that says where it came from, in the way pandas documents."""

    _metadata = ["source"]

    @property
    def _constructor(self):
        return Measured


class Local(datetime.tzinfo):
    """A zone of one's own."""

    def __init__(self, hours):
        self.hours = hours

    def utcoffset(self, moment):
        return datetime.timedelta(hours=self.hours)

    def dst(self, moment):
        return None


def frame(**columns):
    """Return a frame of two rows."""
    return pd.DataFrame({"a": [1, 2], "b": [1.5, 2.5], **columns})


def grown():
    """Return the frame of two rows, made column by column: each has a block of its own."""
    made = pd.DataFrame(index=range(2))
    made["b"] = [1.5, 2.5]
    made.insert(0, "a", [1, 2])
    return made


def labelled(labels):
    """Return a frame of one row with these column labels."""
    return pd.DataFrame([list(range(len(labels)))], columns=labels)


def measured(source):
    """Return a frame with an attribute."""
    made = Measured({"a": [1, 2]})
    made.source = source
    return made


def described(**attrs):
    """Return a series with notes."""
    made = pd.Series([1, 2, 9])
    made.attrs.update(attrs)
    return made


def used(index):
    """Return *index* after a look-up."""
    index.get_loc(index[0])
    return index


def unused(frame):
    """Return the second half of *frame*."""
    return frame.iloc[len(frame) // 2 :].reset_index(drop=True)


def sparse(members, places):
    """Return a sparse array of four members that stores these."""
    kind = pd.arrays.SparseArray
    if hasattr(kind, "from_indices"):
        return kind.from_indices(members, places, 4, fill_value=0.0)
    index = type(kind([1.0]).sp_index)(4, np.array(places, np.int32))
    return kind(np.array(members), sparse_index=index, fill_value=0.0)


NAMES = {
    **{name: member for name, member in globals().items() if not name.startswith("_")},
    "ZoneInfo": zoneinfo.ZoneInfo,
}

PAIRS = [
    # frames
    "frame() =/= frame().rename(columns={'b': 'c'})",
    "frame() =/= frame().astype({'a': 'int32'})",
    "frame() =/= frame()[['b', 'a']]",
    "frame() =/= frame().set_index('a')",
    "frame() =/= frame().rename_axis('i')",
    "frame() =/= frame().rename_axis(columns='c')",
    "frame() =/= frame().iloc[::-1]",
    "frame() =/= frame().to_dict('list')",
    "frame() === grown()",
    "frame() === pd.concat([frame()[:1], frame()[1:]])",
    "frame(c=3).drop(columns='c') === frame()",
    "frame(c=['x', 'y']) === frame(c=['x', 'y']).T.T.astype({'a': 'int64', 'b': float, 'c': frame(c=['x', 'y'])['c'].dtype})",
    "pd.DataFrame(np.arange(6.0).reshape(3, 2)) === pd.DataFrame({0: [0.0, 2, 4], 1: [1.0, 3, 5]})",
    "pd.DataFrame(np.arange(6).reshape(3, 2), copy=False) =/= pd.DataFrame(np.arange(6).reshape(2, 3).T, copy=False)",
    "pd.DataFrame(np.arange(8.0).reshape(4, 2))[::2] === pd.DataFrame({0: [0.0, 4], 1: [1.0, 5]}, index=[0, 2])",
    "labelled(['a', 'a']) =/= labelled(['a'])",
    "labelled(['a', 'b']) =/= labelled(['b', 'a'])",
    "pd.DataFrame([[7, 8]], columns=['a', 'a']) =/= pd.DataFrame([[7, 9]], columns=['a', 'a'])",
    "pd.DataFrame([[7, 8]], columns=['a', 'a']) =/= pd.DataFrame([[6, 8]], columns=['a', 'a'])",
    "labelled([1, 2]) =/= labelled(['1', '2'])",
    "labelled(pd.MultiIndex.from_tuples([('a', 1), ('a', 2)])) =/= labelled(pd.MultiIndex.from_tuples([('a', 1), ('b', 2)]))",
    "pd.DataFrame() =/= pd.DataFrame(index=[0])",
    "pd.DataFrame(columns=['a']) =/= pd.DataFrame(columns=['b'])",
    "measured('x') =/= measured('y')",
    "measured('x') =/= pd.DataFrame({'a': [1, 2]})",
    "frame() =/= frame().set_flags(allows_duplicate_labels=False)",
    # series
    "pd.Series([1, 2, 9]) =/= pd.Series([1, 2, 9], name='a')",
    "pd.Series([1, 2, 9]) =/= pd.Series([1, 2, 9], index=[1, 2, 3])",
    "pd.Series([1, 2, 9]) =/= pd.Series([1, 2, 9]).to_frame()",
    "pd.Series([1, 2, 9]) =/= np.array([1, 2, 9])",
    "pd.Series([1, 2, 9]) =/= pd.Series([1, 2, 9], dtype=object)",
    "described() === pd.Series([1, 2, 9])",
    "described(unit='m') =/= described(unit='s')",
    "pd.Series([None, 'x'], dtype=object) =/= pd.Series([np.nan, 'x'], dtype=object)",
    "pd.Series([pd.NA, 'x'], dtype=object) =/= pd.Series([pd.NaT, 'x'], dtype=object)",
    "pd.Series([1, True], dtype=object) =/= pd.Series([1, 1], dtype=object)",
    "pd.Series([np.nan, 1.0]) === pd.Series([-np.float64('nan'), 1.0])",
    "pd.Series([0.0, 4.5]) =/= pd.Series([-0.0, 4.5])",
    # indexes
    "pd.RangeIndex(3) === pd.Index([0, 1, 2])",
    "pd.RangeIndex(3) =/= pd.RangeIndex(4)",
    "pd.RangeIndex(7, 0, -3) === pd.Index([7, 4, 1])",
    "pd.RangeIndex(200_000)[1:] === pd.Index(np.arange(1, 200_000))",
    "pd.Index([0, 1, 2]) =/= pd.Index([0.0, 1, 2])",
    "pd.Index([0, 1, 2]) =/= pd.Index([0, 1, 2], name='i')",
    "pd.Index([0, 1, 2]) =/= pd.Series([0, 1, 2])",
    "used(pd.Index(['x', 'y'])) === pd.Index(['x', 'y'])",
    "pd.Index(['x', 'y']) =/= pd.CategoricalIndex(['x', 'y'])",
    "pd.MultiIndex.from_product([[1, 2], ['x', 'y']])[:2] === pd.MultiIndex.from_arrays([[1, 1], ['x', 'y']])",
    "pd.MultiIndex.from_arrays([[1, 1], ['x', 'y']]) =/= pd.MultiIndex.from_arrays([[1, 1], ['x', 'y']], names=['a', 'b'])",
    "pd.MultiIndex.from_arrays([[1, 1], ['x', 'y']]) =/= pd.MultiIndex.from_arrays([[1, 1], ['y', 'x']])",
    "pd.MultiIndex.from_arrays([[1, 1]]) =/= pd.Index([1, 1])",
    "pd.date_range('2020', periods=3) === pd.DatetimeIndex(list(pd.date_range('2020', periods=3))).as_unit(pd.date_range('2020', periods=3).unit)",
    "pd.date_range('2020', periods=3) =/= pd.date_range('2020', periods=3, tz='UTC')",
    "pd.date_range('2020', periods=3).as_unit('ns') =/= pd.date_range('2020', periods=3).as_unit('s')",
    "pd.date_range('2020', periods=3, tz='UTC') === pd.date_range('2020', periods=3, tz=ZoneInfo('UTC'))",
    "pd.date_range('2020', periods=3, tz='UTC') =/= pd.date_range('2020', periods=3, tz='UTC').tz_convert('Europe/Paris')",
    "pd.period_range('2020', periods=2, freq='M') =/= pd.period_range('2020', periods=2, freq='Q')",
    "pd.timedelta_range('1D', periods=2) === pd.TimedeltaIndex(['1D', '2D']).as_unit(pd.timedelta_range('1D', periods=2).unit)",
    "pd.interval_range(0, 2) =/= pd.interval_range(0, 2, closed='left')",
    "pd.interval_range(0, 2) =/= pd.interval_range(0.0, 2.0)",
    # other data types
    "pd.Series(['x', 'y'], dtype='category') =/= pd.Series(['x', 'y'])",
    "pd.Categorical(['x', 'y']) =/= pd.Categorical(['x', 'y'], ['y', 'x'])",
    "pd.Categorical(['x', 'y']) =/= pd.Categorical(['x', 'y'], ordered=True)",
    "pd.Categorical(['x', 'y']) =/= pd.Categorical(['x', 'y'], ['x', 'y', 'z'])",
    "pd.Categorical(['x', 'y']) === pd.Categorical(['x', 'y', 'z']).remove_categories('z')[:2]",
    "pd.Categorical(['x', None]) =/= pd.Categorical(['x', 'x'])",
    "pd.array([1, None], dtype='Int64') === pd.array([None, 1, None], dtype='Int64')[1:]",
    "pd.array([1, None], dtype='Int64') =/= pd.array([1, 0], dtype='Int64')",
    "pd.array([1, 0], dtype='Int64') =/= pd.array([1, 0], dtype='Int32')",
    "pd.arrays.IntegerArray(np.array([1, 8]), np.array([False, True])) === pd.array([1, None], dtype='Int64')",
    "pd.array([1.5, None], dtype='Float64') =/= pd.array([1.5, 0], dtype='Float64')",
    "pd.array([True, None], dtype='boolean') =/= pd.array([True, False], dtype='boolean')",
    "pd.array(['x', None], dtype='string[python]') =/= pd.array(['x', ''], dtype='string[python]')",
    "pd.array(['x', None], dtype='string[python]') === pd.array(['y', 'x', None], dtype='string[python]')[1:]",
    "pd.array(['ab', 'c'], dtype='string[python]') =/= pd.array(['a', 'bc'], dtype='string[python]')",
    "pd.array([0.0, 1, 0], dtype=pd.SparseDtype(float, 0.0)) =/= pd.array([0.0, 1, 0], dtype=pd.SparseDtype(float))",
    "sparse([5.0, 2], [0, 2]) === pd.arrays.SparseArray([5.0, 0, 2, 0], kind='block', fill_value=0.0)",
    "sparse([1.0, 0, 2], [0, 1, 2]) === pd.arrays.SparseArray([1.0, 0, 2, 0], fill_value=0.0)",
    "sparse([3.0, -0.0], [0, 2]) =/= sparse([3.0, 0.0], [0, 2])",
    # scalars
    "pd.Timestamp(0) =/= pd.Timestamp(0).to_pydatetime()",
    "pd.Timestamp(0) =/= pd.Timestamp(0).as_unit('s')",
    "pd.Timestamp(0) =/= pd.Timestamp(0, tz='UTC')",
    "pd.Timestamp(0, tz='UTC') === pd.Timestamp(0, tz=datetime.timezone.utc)",
    "pd.Timestamp(0, tz='UTC') =/= pd.Timestamp(0, tz='UTC').tz_convert('Europe/Paris')",
    "pd.Timestamp(0, tz=Local(1)) =/= pd.Timestamp(0, tz=Local(2))",
    "pd.Timestamp(0, tz='dateutil/Asia/Tokyo') =/= pd.Timestamp(0, tz='dateutil/Asia/Seoul')",
    "pd.Timestamp('2020-01-01') =/= pd.Timestamp('2020-01-01 00:00:00.000000001')",
    "pd.Timedelta(1) =/= pd.Timedelta(2)",
    "pd.Timedelta('1D') =/= pd.Timedelta('1D').to_pytimedelta()",
    "pd.Period('2020', 'M') =/= pd.Period('2020', 'Y')",
    "pd.Interval(0, 1) =/= pd.Interval(0, 1, 'both')",
    "pd.NaT =/= pd.NA",
    "pd.NaT =/= None",
    "pd.NA =/= np.nan",
    "pd.offsets.MonthEnd(2) =/= pd.offsets.MonthEnd(3)",
    "pd.offsets.MonthEnd(2) =/= pd.offsets.MonthBegin(2)",
    "pd.DateOffset(months=2) === -(-pd.DateOffset(months=2))",
    "pd.DateOffset(months=2) =/= pd.DateOffset(months=3)",
    "pd.DateOffset(months=2) =/= pd.DateOffset(weeks=2)",
    "pd.offsets.CustomBusinessDay(holidays=['2020-01-01']) =/= pd.offsets.CustomBusinessDay()",
    # data types as values
    "pd.CategoricalDtype(['x']) =/= pd.CategoricalDtype(['y'])",
    "pd.CategoricalDtype() =/= pd.CategoricalDtype([])",
    "pd.Int64Dtype() =/= pd.Int32Dtype()",
    "pd.PeriodDtype('M') =/= pd.PeriodDtype('Y')",
    "pd.DatetimeTZDtype('ns', 'UTC') =/= pd.DatetimeTZDtype('s', 'UTC')",
    "pd.IntervalDtype('int64', 'left') =/= pd.IntervalDtype('int64', 'right')",
    "pd.SparseDtype(int) =/= pd.SparseDtype(float)",
]  # fmt: skip
ARROW = [
    "pd.Series(['x', 'yy', None], dtype='string[pyarrow]') =/= pd.Series(['x', 'yy', ''], dtype='string[pyarrow]')",
    "pd.Series(['x', 'yy', None], dtype='string[pyarrow]') === pd.Series(['z', 'x', 'yy', None], dtype='string[pyarrow]')[1:].reset_index(drop=True)",
    "pd.Series(['x', 'yy', None], dtype='string[pyarrow]') === pd.concat([pd.Series([each], dtype='string[pyarrow]') for each in ('x', 'yy', None)], ignore_index=True)",
    "pd.Series(['x', 'yy', None], dtype='string[pyarrow]') =/= pd.Series(['x', 'yy', None], dtype='string[python]')",
    "unused(pd.DataFrame({'s': ['x', 'y', 'z', 'w']}, dtype='string[pyarrow]')) =/= pd.DataFrame({'s': ['x', 'y']}, dtype='string[pyarrow]')",
    "unused(pd.DataFrame({'s': ['x', 'y', 'z', 'w']}, dtype='string[pyarrow]')) === pd.DataFrame({'s': ['z', 'w']}, dtype='string[pyarrow]')",
    "pd.Series([1, None], dtype='int64[pyarrow]') === pd.Series([5, 1, None], dtype='int64[pyarrow]')[1:].reset_index(drop=True)",
    "pd.Series([1, None], dtype='int64[pyarrow]') =/= pd.Series([1, None], dtype='Int64')",
    "pd.Series([1, None], dtype='int64[pyarrow]') =/= pd.Series([1, None], dtype='int32[pyarrow]')",
    "pd.ArrowDtype(pa.int8()) =/= pd.ArrowDtype(pa.int16())",
    "pd.Series([[1], None], dtype=pd.ArrowDtype(pa.list_(pa.int8()))) =/= pd.Series([[2], None], dtype=pd.ArrowDtype(pa.list_(pa.int8())))",
]  # fmt: skip


def sides(pair):
    """Return the expressions of *pair*, and whether they are the same."""
    left, sign, right = re.split(" (===|=/=) ", pair)
    return left, right, sign == "==="


@pytest.mark.parametrize("pair", PAIRS)
def test_pairs(pair):
    """What is the same has one digest; what is not has two."""
    left, right, same = sides(pair)

    assert same == (digest(evaluate(left, NAMES)) == digest(evaluate(right, NAMES)))


@pytest.mark.parametrize("pair", ARROW)
def test_pairs_that_need_arrow(pair):
    """Columns in the memory of Arrow are keyed by what can be read of them."""
    names = {**NAMES, "pa": pytest.importorskip("pyarrow")}
    left, right, same = sides(pair)

    assert same == (digest(evaluate(left, names)) == digest(evaluate(right, names)))


def test_no_two_values_collide():
    """Expressions that no `===` connects have different digests."""
    pairs = [sides(pair) for pair in PAIRS]
    owners = collections.defaultdict(list)
    for expression in dict.fromkeys(side for pair in pairs for side in pair[:2]):
        owners[digest(evaluate(expression, NAMES))].append(expression)
    links = [left for left, _, same in pairs if same]
    collisions = [
        found for found in owners.values() if len(found) > 1 + sum(left in found for left in links)
    ]

    assert [] == collisions


@pytest.mark.parametrize("make", ["groupby('a')", "groupby('a')['b']", "rolling(2)", "ewm(1)"])
def test_groups_and_windows_are_refused(make):
    """What keeps the results of its uses has no stable value."""
    with pytest.raises(UnkeyableArgumentError, match="it remembers its uses"):
        digest(evaluate(f"frame().{make}", NAMES))


def test_a_column_of_another_package(monkeypatch):
    """An extension array of another package is keyed by what it says to pickle."""
    base = pd.arrays.NumpyExtensionArray

    class Moneys(base):
        """Numbers with a currency."""

        def __reduce__(self):
            return Moneys, (self.to_numpy().tolist(), self.currency)

    def moneys(numbers, currency):
        made = Moneys(np.array(numbers))
        made.currency = currency
        return made

    one, same, other = moneys([1], "EUR"), moneys([1], "EUR"), moneys([1], "USD")

    assert digest(one) == digest(same)
    assert digest(one) != digest(other)


def test_a_long_frame_is_not_copied():
    """The columns of a frame of 80 MB are hashed where they lie, the numbers of its rows in chunks."""
    frame = pd.DataFrame({name: np.arange(3_300_000.0) for name in "abc"})
    tracemalloc.start()
    try:
        digest(frame)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 8 << 20


DIGESTS = """
sys.path.insert(0, sys.argv[2])
from objcache.hashing import digest
from tests.unit.hashing import test_pandas as it
expressions = sorted({side for pair in it.PAIRS for side in it.sides(pair)[:2]})
print(hash("text"), *(digest(it.evaluate(each, it.NAMES)).hex() for each in expressions))
"""


def test_digests_are_the_same_in_other_processes(tmp_path, monkeypatch):
    """Two processes with other hash seeds find the digests of this one."""
    found = []
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        found.append(run(DIGESTS, tmp_path, ROOT).split())
    expressions = sorted({side for pair in PAIRS for side in sides(pair)[:2]})
    here = [digest(evaluate(each, NAMES)).hex() for each in expressions]

    assert found[0][1:] == found[1][1:] == here
    assert found[0][0] != found[1][0]


def test_differences_are_named():
    """A column that has another data type is called by its name."""
    before = outline(frame())
    now = outline(frame().astype({"b": "float32"}))
    lines = differences(before, now, "df")

    assert "dtype of column 'b' of df: float64 -> float32" in lines
    assert all("column 'b'" in line for line in lines)


@pytest.mark.parametrize("dtype", ["float64", "int8", "bool", "object", "M8[ns]", "complex64"])
def test_columns_of_one_type_are_those_of_many(dtype, monkeypatch):
    """Columns that are taken from one array have the form of columns taken one by one."""
    values = np.arange(24).reshape(4, 6).astype(dtype)
    frames = [
        pd.DataFrame(values, columns=list("abcdef")),
        pd.DataFrame({name: values[:, number] for number, name in enumerate("abcdef")}),
        pd.DataFrame(np.asfortranarray(values), columns=list("abcdef"))[::1],
    ]
    together = [digest(frame) for frame in frames]
    monkeypatch.setattr("objcache.hashing._pandas._MOST_COPIED_BYTES", 0)

    assert 1 == len(set(together))
    assert together == [digest(frame) for frame in frames]
    assert digest(frames[0].iloc[:0]) != digest(frames[0].iloc[:1])
