"""Sparse matrices are keyed by format and members, whatever the order they were given in."""

from __future__ import annotations

import collections
import pathlib
import re

import pytest

from objcache.hashing import differences, digest, outline
from tests.scripts import run
from tests.unit.hashing.corpus import evaluate

np = pytest.importorskip("numpy")
sp = pytest.importorskip("scipy.sparse")

ROOT = pathlib.Path(__file__).parents[3]


class Graph(sp.csr_matrix):
    """A matrix of a class of one's own."""


def dense(last=3.0):
    """Return a matrix as an array."""
    return np.array([[1.0, 0, 2], [0, 0, last]])


def coordinates(*members, make=None):
    """Return a matrix of members, each a row, a column and a number."""
    rows, columns, numbers = np.array(members, float).T
    made = sp.coo_matrix((numbers, (rows.astype(int), columns.astype(int))), (2, 3))
    return made if make is None else getattr(made, make)()


def compressed(kind, width="i4", space=0):
    """Return a matrix with indices of that width, and with space for members to come."""
    made = kind(dense())
    made.indices = np.array([0, 2, 2] + [0] * space, width)
    made.indptr = np.array([0, 2, 3], width)
    made.data = np.array([1.0, 2, 3] + [0] * space)
    return made


def unordered(kind):
    """Return a compressed matrix whose indices are in no order, and of which one is repeated."""
    return kind((np.array([2.0, 0.5, 0.5, 3]), np.array([2, 0, 0, 2]), np.array([0, 3, 4])), (2, 3))


def keys(*places):
    """Return a matrix as a dict that was filled in this order."""
    made = sp.dok_matrix((2, 3))
    for row, column in places:
        made[row, column] = row + column + 1
    return made


def graph(name):
    """Return a matrix with a name."""
    made = Graph(dense())
    made.name = name
    return made


NAMES = {name: member for name, member in globals().items() if not name.startswith("_")}

PAIRS = [
    "sp.csr_matrix(dense()) =/= sp.csr_matrix(dense(4))",
    "sp.csr_matrix(dense()) =/= sp.csr_array(dense())",
    "sp.csr_matrix(dense()) =/= sp.csc_matrix(dense())",
    "sp.csr_matrix(dense()) =/= sp.csr_matrix(dense().astype('f4'))",
    "sp.csr_matrix(dense()) =/= dense()",
    "sp.csr_matrix(dense()) === compressed(sp.csr_matrix)",
    "sp.csr_matrix(dense()) === compressed(sp.csr_matrix, 'i8')",
    "sp.csr_matrix(dense()) === compressed(sp.csr_matrix, space=2)",
    "sp.csr_matrix(dense()) === unordered(sp.csr_matrix)",
    "sp.csr_matrix(dense()) === coordinates((1, 2, 3), (0, 2, 2), (0, 0, 1), make='tocsr')",
    "sp.csr_matrix(dense()) === sp.csr_matrix(np.vstack([dense(), dense()]))[:2]",
    "sp.csr_matrix(dense()) =/= compressed(sp.csr_matrix) * 0",
    "sp.csr_matrix([[1, 0, 2], [0, 0, 0]]) =/= sp.csr_matrix([[1, 0, 0], [0, 0, 2]])",
    "sp.csr_matrix((2, 3)) =/= sp.csr_matrix((3, 2))",
    "graph('a') =/= graph('b')",
    "sp.csc_array(dense()) === sp.csr_array(dense()).tocsc()",
    "sp.csc_array(dense()) =/= sp.csc_array(dense().T)",
    "coordinates((0, 0, 1), (1, 2, 3)) === coordinates((1, 2, 3), (0, 0, 1))",
    "coordinates((0, 0, 1), (1, 2, 3)) === coordinates((0, 0, 1), (1, 2, 1), (1, 2, 2))",
    "coordinates((0, 0, 1), (1, 2, 3)) =/= coordinates((0, 0, 1), (1, 2, 3), (1, 1, 0))",
    "coordinates((0, 0, 1), (1, 2, 3)) =/= coordinates((0, 0, 3), (1, 2, 1))",
    "keys((0, 1), (1, 2)) === keys((1, 2), (0, 1))",
    "keys((0, 1), (1, 2)) =/= keys((0, 1), (1, 1))",
    "sp.lil_array(dense()) === sp.coo_array(dense()).tolil()",
    "sp.lil_array(dense()) =/= sp.dok_array(dense())",
    "sp.bsr_array(np.ones((4, 4)), blocksize=(2, 2)) =/= sp.bsr_array(np.ones((4, 4)), blocksize=(4, 4))",
    "sp.bsr_array(np.ones((4, 4)), blocksize=(2, 2)) === sp.csr_array(np.ones((4, 4))).tobsr((2, 2))",
    "sp.dia_array((np.array([[1.0, 2, 9]]), [0]), shape=(2, 2)) === sp.dia_array((np.array([[1.0, 2, 8]]), [0]), shape=(2, 2))",
    "sp.dia_array((np.array([[1.0, 2], [3, 4]]), [0, 1]), shape=(2, 2)) === sp.dia_array((np.array([[0, 4.0], [1, 2]]), [1, 0]), shape=(2, 2))",
    "sp.dia_array((np.array([[1.0, 2, 9]]), [0]), shape=(2, 2)) =/= sp.dia_array((np.array([[2.0, 1, 9]]), [0]), shape=(2, 2))",
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


def test_a_matrix_is_left_as_it_was():
    """Duplicates and unordered indices are put in order on a copy."""
    matrix = unordered(sp.csr_matrix)
    digest([matrix, matrix.tocoo()])

    assert [2, 0, 0, 2] == matrix.indices.tolist()
    assert 4 == matrix.nnz


@pytest.mark.parametrize("shape", [(3,), (2, 2, 2)])
def test_arrays_of_any_number_of_axes(shape):
    """Arrays with one axis, or with three, are keyed by their members."""
    pytest.importorskip("scipy", "1.15")
    one = np.zeros(shape)
    one.flat[1] = 1
    other = np.zeros(shape)
    other.flat[2] = 1

    assert digest(sp.coo_array(one)) == digest(sp.coo_array(one.copy()))
    assert digest(sp.coo_array(one)) != digest(sp.coo_array(other))


DIGESTS = """
sys.path.insert(0, sys.argv[2])
from objcache.hashing import digest
from tests.unit.hashing import test_sparse as it
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
    """What differs between two matrices is said in terms of matrices."""
    before = outline(sp.csr_array(dense()))
    now = outline(sp.csr_array(dense().astype("f4")))

    assert "m.dtype: float64 -> float32" in differences(before, now, "m")
