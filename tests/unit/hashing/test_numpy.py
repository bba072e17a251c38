"""Arrays are keyed by data type, shape and content, whatever lies in memory."""

from __future__ import annotations

import collections
import io
import pathlib
import re
import tracemalloc

import pytest

from objcache.errors import UnkeyableArgumentError
from objcache.hashing import differences, digest, outline
from tests.scripts import run
from tests.unit.hashing.corpus import evaluate

np = pytest.importorskip("numpy")

ROOT = pathlib.Path(__file__).parents[3]


class Tagged(np.ndarray):
    """An array with an attribute, as packages for units have it."""

    def __new__(cls, content, unit=None):
        made = np.asarray(content).view(cls)
        made.unit = unit
        return made

    def __array_finalize__(self, source):
        self.unit = getattr(source, "unit", None)


class Slotted(np.ndarray):
    """An array with an attribute in a slot."""

    __slots__ = ("unit",)


class Degrees(np.float64):
    """A scalar of a class of one's own."""


def slotted(unit):
    """Return an array with an attribute in a slot."""
    made = np.arange(3).view(Slotted)
    made.unit = unit
    return made


def of_module(name):
    """Return an array of a class of that module."""
    return np.arange(3).view(type("Tagged", (np.ndarray,), {"__module__": name}))


def bits(*numbers, dtype="float64"):
    """Return floats of these bits."""
    size = np.dtype(dtype).itemsize
    return np.array(numbers, f"u{size}").view(dtype)


def padded(fill, align=True):
    """Return a structured array with *fill* in the bytes between its fields."""
    made = np.full(2 * 16, fill, np.uint8).view(np.dtype("i1, f8", align=align))
    made["f0"], made["f1"] = [1, 2], [3.5, 4.5]
    return made


def extended(fill):
    """Return long doubles with *fill* in the bytes that none of them uses."""
    made = np.full(2 * np.dtype("g").itemsize, fill, np.uint8).view("g")
    made[:] = [1, 2]
    return made


def overlapping(first):
    """Return a structured array of which two fields are the same bytes."""
    form = {"names": ["word", "low"], "formats": ["<u4", "<u2"], "offsets": [0, 0]}
    return np.array([first], "<u4").view(form)


def mapped(*numbers):
    """Return an array of a file."""
    file = io.BytesIO()
    np.save(file, np.array(numbers))
    path = pathlib.Path("mapped.npy")
    path.write_bytes(file.getvalue())
    return np.load(path, mmap_mode="r")


def locked(array):
    """Return *array*, no longer writeable."""
    array.flags.writeable = False
    return array


def drawn(generator, count):
    """Return *generator* after *count* draws."""
    generator.random(count)
    return generator


def looped(last):
    """Return an array of objects that contains itself."""
    made = np.array([1, None, last], object)
    made[1] = made
    return made


NAMES = {name: member for name, member in globals().items() if not name.startswith("_")}

PAIRS = [
    # scalars
    "np.float64(1) =/= 1.0",
    "np.float64(1) =/= np.array(1.0)",
    "np.float64(1) =/= np.float32(1)",
    "np.int8(1) =/= np.uint8(1)",
    "np.int8(1) =/= np.True_",
    "np.str_('a') =/= np.bytes_(b'a')",
    "np.float64('nan') === -np.float64('nan')",
    "np.float64(0) =/= np.float64(-0.0)",
    "np.longdouble(1) === np.longdouble(0) + 1",
    "np.complex64(1) =/= np.complex128(1)",
    "np.datetime64('2020-01-01') =/= np.datetime64('2020-01-01', 's')",
    "np.datetime64('NaT', 'D') =/= np.timedelta64('NaT', 'D')",
    "np.timedelta64(1, 'h') =/= np.timedelta64(60, 'm')",
    "np.void(b'ab') =/= np.void(b'ac')",
    "np.array([(1, 2.0)], 'i4, f8')[0] =/= np.array([(1, 3.0)], 'i4, f8')[0]",
    "Degrees(1) =/= np.float64(1)",
    # data types
    "np.arange(6) =/= np.arange(6.0)",
    "np.arange(6) =/= np.arange(6, dtype='i4')",
    "np.arange(6) =/= np.arange(6).tolist()",
    "np.arange(6.0) =/= np.arange(6).astype('>f8')",
    "np.array([1, 3], 'l') === np.array([1, 3], 'q')",
    "np.array([0, 1], 'i1') =/= np.array([False, True])",
    "np.array(['a', 'b']) =/= np.array([b'a', b'b'])",
    "np.array(['a', 'b']) =/= np.array(['a', 'b'], 'U2')",
    "np.array(['ab', 'c']) =/= np.array(['a', 'bc'])",
    "np.array(['c', 'd'], '>U1') =/= np.array(['c', 'd'], '<U1')",
    "np.array(['2020'], 'M8[D]') =/= np.array(['2020'], 'M8[ns]')",
    "np.array(['2020'], 'M8[ns]') =/= np.array(['NaT'], 'M8[ns]')",
    "np.array([5], 'm8[s]') =/= np.array([5], 'm8[25s]')",
    "np.array([1], 'i4').view('V4') =/= np.array([1], 'i4')",
    "np.zeros(2, 'S0') =/= np.zeros(3, 'S0')",
    # shape and memory
    "np.arange(9).reshape(3, 3) =/= np.arange(9).reshape(3, 3).T",
    "np.arange(9).reshape(3, 3) === np.asfortranarray(np.arange(9).reshape(3, 3))",
    "np.arange(6).reshape(2, 3) =/= np.arange(6).reshape(3, 2)",
    "np.zeros((0, 3)) =/= np.zeros((3, 0))",
    "np.zeros(0) =/= np.zeros((0, 3))",
    "np.array(1) =/= np.array([1])",
    "np.array([1]) =/= np.array([[1]])",
    "np.arange(20)[::2] === np.arange(0, 20, 2)",
    "np.arange(5)[::-1] === np.array([4, 3, 2, 1, 0])",
    "np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1) === np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1).copy()",
    "np.arange(24).reshape(2, 3, 4)[:, ::-1, 1:3] === np.arange(24).reshape(2, 3, 4)[:, ::-1, 1:3].copy()",
    "np.broadcast_to(np.arange(3), (4, 3)) === np.tile(np.arange(3), (4, 1))",
    "np.broadcast_to(1.5, (400, 300)) === np.full((400, 300), 1.5)",
    "np.arange(100_000.0)[1:] === np.arange(1, 100_000.0)",
    "np.arange(300_000)[::3] === np.arange(0, 300_000, 3)",
    "np.arange(99_999.0) =/= np.append(np.arange(99_998.0), -1)",
    "np.arange(100_000).reshape(100, 1000).T === np.arange(100_000).reshape(100, 1000).T.copy()",
    "np.arange(4) === locked(np.arange(4))",
    "np.zeros(9, 'i1')[1:].view('i8') === np.zeros(1, 'i8')",
    # NaN and zero
    "bits(0x7ff8000000000000) === bits(0xfff8000000000001)",
    "bits(0x7ff0000000000001) === bits(0x7ff8000000000000)",
    "bits(0x7ff0000000000001) =/= bits(0x7ff0000000000000)",
    "bits(0x7fc00000, dtype='f4') === bits(0xffc00001, dtype='f4')",
    "bits(0x7e00, dtype='f2') === bits(0xfe01, dtype='f2')",
    "bits(0x7c00, dtype='f2') =/= bits(0xfc00, dtype='f2')",
    "bits(0xfff8000000000001).byteswap().view('>f8') === np.array([np.nan], '>f8')",
    "np.array([complex(1, np.nan)]) === -np.array([complex(-1, np.nan)])",
    "np.array([complex(1, np.nan)]) =/= np.array([complex(2, np.nan)])",
    "np.append(np.arange(200_000.0), np.nan) === -np.append(-np.arange(200_000.0), np.nan) + 0.0",
    "np.append(np.arange(200_000.0), np.nan) =/= np.append(np.nan, np.arange(200_000.0))",
    "np.array([0.0, 1]) =/= np.array([-0.0, 1])",
    "np.array([np.nan], 'g') === -np.array([np.nan], 'g')",
    "extended(0) === extended(255)",
    "extended(0).astype('G') === extended(255).astype('G')",
    # objects
    "np.array(['a-b', 'c'], object) =/= np.array(['a', 'b-c'], object)",
    "np.array([1, 'a', None], object) === np.array([0, 1, 'a', None], object)[1:]",
    "np.array([1, 'a', None], object) =/= np.array([1.0, 'a', None], object)",
    "np.array([[1], [2, 3]], object) =/= np.array([(1,), (2, 3)], object)",
    "np.array([1, 2], object) =/= np.array([1, 2])",
    "np.array([[1, 2], [3, 4]], object) === np.array([[1, 3], [2, 4]], object).T",
    "np.array(None, object) =/= np.array([None], object)",
    "looped(2) =/= looped(3)",
    # structures
    "padded(0) === padded(255)",
    "padded(0) =/= padded(0)[::-1]",
    "np.array([(1, 2.0)], 'i4, f8') === np.array([(1, 2.0)], np.dtype('i4, f8', align=True))",
    "np.array([(1, 2.0)], 'i4, f8') =/= np.array([(1, 2.0)], [('a', 'i4'), ('b', 'f8')])",
    "np.array([(1, 2)], [('a', 'i4'), ('b', 'i4')]) =/= np.array([(1, 2)], [('b', 'i4'), ('a', 'i4')])",
    "np.array([(1,)], [('a', 'i4')]) =/= np.array([(1,)], [(('t', 'a'), 'i4')])",
    "np.array([(np.nan,)], [('a', 'f8')]) === np.array([(-np.float64('nan'),)], [('a', 'f8')])",
    "np.array([([1, 2],)], [('a', 'i4', 2)]) =/= np.array([([1, 3],)], [('a', 'i4', 2)])",
    "np.array([({'a': 1},)], [('a', object)]) =/= np.array([({'a': 2},)], [('a', object)])",
    "overlapping(1) === overlapping(1)[::-1]",
    "overlapping(2) =/= overlapping(3)",
    # kinds of arrays
    "np.rec.array([(1, 2.0)]) =/= np.array([(1, 2.0)], np.rec.array([(1, 2.0)]).dtype)",
    "np.arange(4).reshape(2, 2).view(np.matrix) =/= np.arange(4).reshape(2, 2)",
    "mapped(1, 2, 7) === np.array([1, 2, 7])",
    "Tagged([1, 8], 'm') =/= Tagged([1, 8], 's')",
    "Tagged([1, 8], 'm') === Tagged([0, 1, 8], 'm')[1:]",
    "Tagged([1, 8]) =/= np.array([1, 8])",
    "slotted('m') =/= slotted('s')",
    "of_module('a') =/= of_module('b')",
    "np.ma.array([1, 2], mask=[0, 1]) === np.ma.array([1, 3], mask=[0, 1])",
    "np.ma.array([1, 2], mask=[0, 1]) =/= np.ma.array([1, 2], mask=[1, 0])",
    "np.ma.array([1, 2]) === np.ma.array([1, 2], mask=[0, 0])",
    "np.ma.array([1, 2]) =/= np.ma.array([1, 2], fill_value=3)",
    "np.ma.array([1, 2], mask=True, dtype=object) === np.ma.array(['a', 2], mask=True, dtype=object)",
    "np.ma.array([(1, 2)], 'i4, i4', mask=[(0, 1)]) === np.ma.array([(1, 3)], 'i4, i4', mask=[(0, 1)])",
    "np.ma.array([(1, 2)], 'i4, i4', mask=[(1, 0)]) =/= np.ma.array([(1, 3)], 'i4, i4', mask=[(1, 0)])",
    "np.ma.array([4, 0], mask=[0, 1]) =/= np.ma.array([4, 0])",
    "np.ma.masked =/= np.ma.array(0.0, mask=True)",
    # other things
    "np.dtype('f8') =/= np.float64",
    "np.dtype('f8') =/= np.dtype('>f8')",
    "np.dtype('i4, f8') =/= np.dtype('i4, f8', align=True)",
    "np.dtype('i4, f8') === np.dtype([('f0', 'i4'), ('f1', 'f8')])",
    "np.dtype((np.int32, 2)) =/= np.dtype((np.int32, 3))",
    "np.add =/= np.subtract",
    "np.mean =/= np.median",
    "np.random.default_rng(1) === np.random.Generator(np.random.PCG64(1))",
    "np.random.default_rng(1) =/= drawn(np.random.default_rng(1), 1)",
    "drawn(np.random.default_rng(1), 2) === drawn(drawn(np.random.default_rng(1), 1), 1)",
    "np.random.RandomState(1) =/= np.random.RandomState(2)",
    "np.poly1d([1, 2]) =/= np.poly1d([1, 3])",
    "np.polynomial.Polynomial([1, 2]) =/= np.polynomial.Polynomial([1, 2], domain=[0, 1])",
    "np.busdaycalendar() =/= np.busdaycalendar(holidays=['2020-01-01'])",
    "np.finfo('f4') =/= np.finfo('f8')",
    "np.iinfo('i4') =/= np.iinfo('i8')",
    "np.vectorize(len) =/= np.vectorize(len, otypes=[float])",
]  # fmt: skip
STRINGS = [
    "np.array(['a', 'bc'], 'T') === np.array(['a', '', 'bc'], 'T')[::2]",
    "np.array(['a', 'bc'], 'T') =/= np.array(['a', 'bc'])",
    "np.array(['a', None], np.dtypes.StringDType(na_object=None)) =/= np.array(['a', 'None'], 'T')",
    "np.array(['a'], np.dtypes.StringDType(na_object=None)) =/= np.array(['a'], np.dtypes.StringDType(na_object=np.nan))",
]  # fmt: skip


def sides(pair):
    """Return the expressions of *pair*, and whether they are the same."""
    left, sign, right = re.split(" (===|=/=) ", pair)
    return left, right, sign == "==="


@pytest.fixture(autouse=True)
def own_directory(tmp_path, monkeypatch):
    """Files of arrays are made in the test's own directory."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("pair", PAIRS)
def test_pairs(pair):
    """What is the same has one digest; what is not has two."""
    left, right, same = sides(pair)

    assert same == (digest(evaluate(left, NAMES)) == digest(evaluate(right, NAMES)))


@pytest.mark.parametrize("pair", STRINGS)
def test_strings_of_any_length(pair):
    """Arrays of texts of any length are keyed by their texts and by what is missing."""
    pytest.importorskip("numpy", "2.0")
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


def test_ufuncs_made_of_functions_are_refused():
    """A ufunc that NumPy does not have by its name is refused: it tells nothing of its function."""
    made = np.frompyfunc(lambda left, right: left + right, 2, 1)

    with pytest.raises(UnkeyableArgumentError, match=r"^value\['f'\] of type numpy.ufunc"):
        digest({"f": made})


@pytest.mark.parametrize(
    "source", ["np.nditer(np.arange(3))", "np.arange(3).flat", "np.ndindex(3)"]
)
def test_iterators_are_refused(source):
    """What would be consumed is refused."""
    with pytest.raises(UnkeyableArgumentError):
        digest(evaluate(source, NAMES))


def test_nothing_is_changed_by_hashing():
    """An array is as it was: bytes, flags and attributes."""
    array = np.append(bits(0xFFF8000000000001), np.arange(3.0))
    masked = np.ma.array([1, 2], mask=[0, 1])
    before = array.tobytes(), masked.data.tobytes(), masked.mask.tobytes()
    digest([array, masked])

    assert before == (array.tobytes(), masked.data.tobytes(), masked.mask.tobytes())
    assert array.flags.writeable


def test_vectorized_functions_do_not_remember():
    """A function of one array that was called has the digest of one that was not."""
    used = np.vectorize(len, otypes=[int])
    used(["a", "bc"])

    assert digest(np.vectorize(len, otypes=[int])) == digest(used)


@pytest.mark.parametrize("turn", ["array", "array.reshape(2500, -1)", "array.view('i8')"])
def test_large_arrays_are_not_copied(turn):
    """The content of a contiguous array of 100 MB is hashed where it lies."""
    array = np.zeros(12_500_000)
    array[-1] = np.nan
    value = evaluate(turn, {"array": array})
    tracemalloc.start()
    try:
        digest(value)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 8 << 20


def test_large_arrays_that_are_not_contiguous_are_copied_in_chunks():
    """A strided, a transposed and a repeated array of 50 MB and more need a few of them at most."""
    array = np.zeros((2500, 5000))
    values = [array.reshape(-1)[::2], array.T, np.broadcast_to(np.arange(2500.0), (2500, 2500))]
    tracemalloc.start()
    try:
        for value in values:
            digest(value)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 8 << 20


DIGESTS = """
sys.path.insert(0, sys.argv[2])
from objcache.hashing import digest
from tests.unit.hashing import test_numpy as it
expressions = sorted({side for pair in it.PAIRS for side in it.sides(pair)[:2]})
os.chdir(path)
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
    """What differs between two arrays is said in terms of arrays."""
    before = outline(np.zeros((2, 3)))
    now = outline(np.zeros((2, 4), "f4"))

    assert [
        "x.dtype: float64 -> float32",
        "content of x changed",
        "x.shape[1]: 3 -> 4",
    ] == differences(before, now, "x")
