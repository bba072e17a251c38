"""Polars frames are keyed by names, data types and all of their members."""

from __future__ import annotations

import collections
import datetime
import decimal
import pathlib
import re

import pytest

from objcache.errors import UnkeyableArgumentError
from objcache.hashing import _polars, differences, digest, outline
from tests.scripts import run
from tests.unit.hashing.corpus import evaluate

pl = pytest.importorskip("polars")

ROOT = pathlib.Path(__file__).parents[3]


class Noted(pl.DataFrame):
    """A frame of a class of one's own."""

    note = None


def noted(note):
    """Return a frame with a note."""
    made = Noted({"a": [1]})
    made.note = note
    return made


def chunked(*parts, dtype=None):
    """Return a series of several chunks."""
    return pl.concat([pl.Series("a", part, dtype=dtype) for part in parts], rechunk=False)


def long(middle):
    """Return a frame of forty rows that differ in the middle."""
    return pl.DataFrame({"a": [0] * 20 + [middle] + [0] * 19})


def lazy(number=1):
    """Return the plan of a frame."""
    return pl.LazyFrame({"a": [number]})


NAMES = {
    **{name: member for name, member in globals().items() if not name.startswith("_")},
    "datetime": datetime,
    "decimal": decimal,
}

PAIRS = [
    "pl.Series('a', [1, 2]) =/= pl.Series('b', [1, 2])",
    "pl.Series('a', [1, 2]) =/= pl.Series('a', [1, 2], dtype=pl.Int32)",
    "pl.Series('a', [1, 2]) =/= pl.Series('a', [2, 1])",
    "pl.Series('a', [1, 2]) =/= pl.Series('a', [1, None])",
    "pl.Series('a', [1, 2]) =/= pl.DataFrame({'a': [1, 2]})",
    "pl.Series('a', [1, 2]) === chunked([1], [2])",
    "pl.Series('a', [5, 6]).sort() === pl.Series('a', [0, 5, 6])[1:]",
    "pl.Series('a', [0.0]) =/= pl.Series('a', [-0.0])",
    "pl.Series('a', [float('nan')]) === -pl.Series('a', [float('nan')])",
    "pl.Series('a', ['ab', 'c']) =/= pl.Series('a', ['a', 'bc'])",
    "pl.Series('a', ['ab', 'c', None]) === chunked(['ab'], ['c', None])",
    "pl.Series('a', ['ab', 'c']) =/= pl.Series('a', [b'ab', b'c'])",
    "pl.Series('a', [True, None]) =/= pl.Series('a', [True, False])",
    "pl.Series('a', [None, None]) =/= pl.Series('a', [None, None], dtype=pl.Int8)",
    # categories
    "pl.Series('a', ['x', 'y'], dtype=pl.Categorical) =/= pl.Series('a', ['y', 'x'], dtype=pl.Categorical)",
    "pl.Series('a', ['x', 'y'], dtype=pl.Categorical) === pl.Series('a', ['y', 'x', 'y'], dtype=pl.Categorical)[1:]",
    "pl.Series('a', ['x', 'y'], dtype=pl.Categorical) =/= pl.Series('a', ['x', 'y'], dtype=pl.Enum(['x', 'y']))",
    "pl.Series('a', ['x'], dtype=pl.Enum(['x', 'y'])) =/= pl.Series('a', ['x'], dtype=pl.Enum(['y', 'x']))",
    "pl.Series('a', [['x'], ['y']], dtype=pl.List(pl.Categorical)) === pl.Series('a', [['y'], ['x'], ['y']], dtype=pl.List(pl.Categorical))[1:]",
    # times and numbers
    "pl.Series('a', [1], dtype=pl.Datetime('ns')) =/= pl.Series('a', [2], dtype=pl.Datetime('ns'))",
    "pl.Series('a', [1], dtype=pl.Datetime('ns')) =/= pl.Series('a', [1], dtype=pl.Datetime('us'))",
    "pl.Series('a', [1], dtype=pl.Datetime('us')) =/= pl.Series('a', [1], dtype=pl.Datetime('us', 'UTC'))",
    "pl.Series('a', [1], dtype=pl.Duration('us')) =/= pl.Series('a', [1], dtype=pl.Duration('ms'))",
    "pl.Series('a', [datetime.time(1)]) =/= pl.Series('a', [datetime.time(2)])",
    "pl.Series('a', [decimal.Decimal('1.5')], dtype=pl.Decimal(9, 1)) =/= pl.Series('a', [decimal.Decimal('1.5')], dtype=pl.Decimal(9, 2))",
    "pl.Series('a', [1], dtype=pl.Int128) =/= pl.Series('a', [2], dtype=pl.Int128)",
    "pl.Series('a', [1, None], dtype=pl.Int128) === chunked([1], [None], dtype=pl.Int128)",
    # nested
    "pl.Series('a', [[1], [2, 3]]) =/= pl.Series('a', [[1, 2], [3]])",
    "pl.Series('a', [[1], None]) =/= pl.Series('a', [[1], []])",
    "pl.Series('a', [[1, 2]]) =/= pl.Series('a', [[1, 2]], dtype=pl.Array(pl.Int64, 2))",
    "pl.Series('a', [{'b': 1}]) =/= pl.Series('a', [{'c': 1}])",
    "pl.Series('a', [{'b': 1}, {'b': None}]) === chunked([{'b': 1}], [{'b': None}], dtype=pl.Struct({'b': pl.Int64}))",
    "pl.Series('a', [1, 'x'], dtype=pl.Object) =/= pl.Series('a', [1, 'y'], dtype=pl.Object)",
    # frames
    "pl.DataFrame({'a': [1], 'b': [2]}) =/= pl.DataFrame({'b': [2], 'a': [1]})",
    "pl.DataFrame({'a': [1], 'b': [2]}) =/= pl.DataFrame({'a': [1], 'c': [2]})",
    "pl.DataFrame({'a': [1], 'b': [2]}) === pl.DataFrame({'a': [1]}).with_columns(pl.lit(2, pl.Int64).alias('b'))",
    "pl.DataFrame({'a': [1], 'b': [2]}) =/= pl.DataFrame({'a': [1], 'b': [2.0]})",
    "pl.DataFrame({'a': [3, 4]}) === pl.concat([pl.DataFrame({'a': [3]}), pl.DataFrame({'a': [4]})], rechunk=False)",
    "pl.DataFrame({'a': [3, 4]}) === pl.DataFrame({'a': [2, 3, 4]}).filter(pl.col('a') > 2)",
    "pl.DataFrame() =/= pl.DataFrame({'a': []})",
    "long(1) =/= long(2)",
    "noted('x') =/= noted('y')",
    # plans
    "pl.col('a') + 1 === pl.col('a').add(1)",
    "pl.col('a') + 1 =/= pl.col('a') + 2",
    "pl.col('a') =/= pl.col('b')",
    "lazy() === pl.DataFrame({'a': [1]}).lazy()",
    "lazy() =/= lazy(2)",
    "lazy() =/= lazy().filter(pl.col('a') > 1)",
    "lazy().select(pl.col('a').alias('Scan')) =/= lazy().select(pl.col('a').alias('PythonScan'))",
    # data types as values
    "pl.Int8() =/= pl.Int16()",
    "pl.Int8() =/= pl.Int8",
    "pl.Datetime('us') =/= pl.Datetime('ns')",
    "pl.List(pl.Int8) === pl.List(pl.Int8())",
    "pl.List(pl.Int8) =/= pl.List(pl.Int16)",
    "pl.Struct({'b': pl.Int8}) =/= pl.Struct({'c': pl.Int8})",
    "pl.Enum(['x', 'y']) =/= pl.Enum(['y', 'x'])",
    "pl.Schema({'b': pl.Int8}) =/= pl.Schema({'b': pl.Int16})",
]  # fmt: skip


def sides(pair):
    """Return the expressions of *pair*, and whether they are the same."""
    left, sign, right = re.split(" (===|=/=) ", pair)
    return left, right, sign == "==="


@pytest.mark.parametrize("pair", PAIRS)
def test_pairs(pair):
    """What is the same has one digest; what is not has two."""
    pytest.importorskip("pyarrow")
    left, right, same = sides(pair)

    assert same == (digest(evaluate(left, NAMES)) == digest(evaluate(right, NAMES)))


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if "List(pl.Cat" not in pair])
def test_pairs_without_arrow(pair, monkeypatch):
    """The answers are right as well where pyarrow is missing, if slower."""
    monkeypatch.setattr(_polars, "_HAS_ARROW", False)
    left, right, same = sides(pair)

    assert same == (digest(evaluate(left, NAMES)) == digest(evaluate(right, NAMES)))


def test_nested_categories_need_arrow(monkeypatch):
    """Without pyarrow, categories inside of lists are refused: their codes are history."""
    monkeypatch.setattr(_polars, "_HAS_ARROW", False)
    series = pl.Series([["x"]], dtype=pl.List(pl.Categorical))

    with pytest.raises(UnkeyableArgumentError, match="nested categories need pyarrow"):
        digest(series)


@pytest.mark.parametrize("has_arrow", [True, False])
def test_no_two_values_collide(has_arrow, monkeypatch):
    """Expressions that no `===` connects have different digests."""
    if has_arrow:
        pytest.importorskip("pyarrow")
    monkeypatch.setattr(_polars, "_HAS_ARROW", has_arrow)
    pairs = [sides(pair) for pair in PAIRS if has_arrow or "List(pl.Cat" not in pair]
    owners = collections.defaultdict(list)
    for expression in dict.fromkeys(side for pair in pairs for side in pair[:2]):
        owners[digest(evaluate(expression, NAMES))].append(expression)
    links = [left for left, _, same in pairs if same]
    collisions = [
        found for found in owners.values() if len(found) > 1 + sum(left in found for left in links)
    ]

    assert [] == collisions


OPAQUE = [
    "pl.col('a').map_elements(len, return_dtype=pl.Int64)",
    "pl.col('a').map_batches(lambda series: series)",
    "pl.all().name.map(str.upper)",
    "pl.all().name.map(lambda name: name)",
    "pl.fold(pl.lit(0), lambda left, right: left + right, [pl.col('a')])",
    "pl.lit(object(), allow_object=True)",
    "lazy().map_batches(lambda frame: frame)",
    "lazy().select(pl.col('a').map_elements(len, return_dtype=pl.Int64))",
    "lazy().select(pl.all().name.map(str.upper))",
    "lazy().cache()",
    "pl.scan_csv('a.csv')",
    "pl.scan_parquet('a.parquet').select('b')",
    "pl.LazyFrame({'a': pl.Series([object()], dtype=pl.Object)})",
]


@pytest.mark.parametrize("expression", OPAQUE)
def test_plans_that_do_not_say_all_are_refused(expression):
    """Plans that call Python functions, scan files or have an identity are refused."""
    with pytest.raises(UnkeyableArgumentError, match="^value of type polars"):
        digest(evaluate(expression, NAMES))


DIGESTS = """
sys.path.insert(0, sys.argv[2])
from objcache.hashing import digest
from tests.unit.hashing import test_polars as it
it._polars._HAS_ARROW = sys.argv[3] == "True"
pairs = [pair for pair in it.PAIRS if it._polars._HAS_ARROW or "List(pl.Cat" not in pair]
expressions = sorted({side for pair in pairs for side in it.sides(pair)[:2]})
if os.environ["PYTHONHASHSEED"] == "2":
    # Categories are numbered as they are met, while somebody has them.
    kept = [it.evaluate(each, it.NAMES) for each in reversed(expressions)]
print(hash("text"), *(digest(it.evaluate(each, it.NAMES)).hex() for each in expressions))
"""


@pytest.mark.parametrize("has_arrow", [True, False])
def test_digests_are_the_same_in_other_processes(has_arrow, tmp_path, monkeypatch):
    """Two processes with other hash seeds, which met categories in another order, agree."""
    if has_arrow:
        pytest.importorskip("pyarrow")
    found = []
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        found.append(run(DIGESTS, tmp_path, ROOT, has_arrow).split())

    assert found[0][1:] == found[1][1:]
    assert len(found[0]) > len(PAIRS)
    assert found[0][0] != found[1][0]


def test_differences_are_named():
    """A column that has another data type is called by its name."""
    pytest.importorskip("pyarrow")
    before = outline(pl.DataFrame({"a": [1], "b": [2]}))
    now = outline(pl.DataFrame({"a": [1], "b": [2.0]}))
    lines = differences(before, now, "df")

    assert "dtype of column 'b' of df: Int64 -> Float64" in lines
    assert all("column 'b'" in line for line in lines)
