"""What lies in a mapping of a side file is hashed once, and has the key that hashing gives."""

from __future__ import annotations

import gc
import os
import warnings

import pytest

from objcache.hashing import _numpy, digest
from tests.scripts import run

np = pytest.importorskip("numpy")

MANY = 100_000
NOISE = np.random.default_rng(1)


@pytest.fixture
def hashed(monkeypatch):
    """How many bytes of large arrays were hashed, one number for each time."""
    sizes = []
    hash_it = _numpy._hashed

    def count(array):
        if array.nbytes >= _numpy._LEAST_KNOWN_BYTES:
            sizes.append(array.nbytes)
        return hash_it(array)

    monkeypatch.setattr(_numpy, "_hashed", count)
    return sizes


def viewed(store, value, key="k"):
    """Return *value* as the store hands it out read-only."""
    store[key] = value
    return store.view(key)


def nans():
    """Return floats with NaNs of several bits."""
    made = NOISE.standard_normal(MANY)
    made[::7] = np.nan
    made[::11] = -np.float64("nan")
    made.view("u8")[5] = 0x7FF0_0000_0000_0001
    return made


ARRAYS = {
    "floats": lambda: NOISE.standard_normal(MANY),
    "nans": nans,
    "halves": lambda: nans().astype("f2").repeat(4),
    "complex": lambda: nans() + 1j * nans(),
    "long double": lambda: nans().astype("g"),
    "big-endian": lambda: nans().astype(">f8"),
    "ints": lambda: NOISE.integers(0, 1 << 40, MANY),
    "bools": lambda: NOISE.random(4 * MANY) < 0.5,
    "texts": lambda: NOISE.integers(0, 1 << 40, MANY).astype("U12"),
    "two dimensions": lambda: NOISE.standard_normal((300, 400)),
    "fortran": lambda: np.asfortranarray(NOISE.standard_normal((300, 400))),
    "structured": lambda: np.rec.fromarrays([nans(), np.arange(MANY)], names="a,b").view(np.ndarray),
}  # fmt: skip


@pytest.mark.parametrize("kind", ARRAYS)
def test_known_is_what_hashing_gives(store, kind, hashed):
    """The second key of a view takes no hashing, and is that of the array that was stored."""
    with np.errstate(invalid="ignore"):
        value = ARRAYS[kind]()
    view = viewed(store, value)
    first = digest(view)
    hashed.clear()

    assert first == digest(view)
    assert [] == hashed
    assert first == digest(value) == digest(store["k"]) == digest(view.copy())
    assert hashed != []


def test_whatever_it_is_part_of(store, hashed):
    """A known array is known inside of other arguments, next to what is not."""
    view = viewed(store, {"a": ARRAYS["floats"](), "b": [ARRAYS["ints"]()]})
    own = {"a": view["a"].copy(), "b": [view["b"][0].copy()]}
    digest(view)
    hashed.clear()

    assert digest((view["a"], view["b"], "more")) == digest((own["a"], own["b"], "more"))
    assert [own["a"].nbytes, own["b"][0].nbytes] == hashed


PARTS = {
    "slice": lambda view: view[1000:],
    "end": lambda view: view[:-1],
    "every second": lambda view: view[::2],
    "backwards": lambda view: view[::-1],
    "other type": lambda view: view.view("i8"),
    "other type of that width": lambda view: view.view("c16"),
    "bytes": lambda view: view.view("u1"),
    "two dimensions": lambda view: view.reshape(250, 400),
    "transposed": lambda view: view.reshape(250, 400).T,
    "broadcast": lambda view: np.broadcast_to(view[:100], (1000, 100)),
    "repeated": lambda view: np.lib.stride_tricks.as_strided(view, (100, MANY - 99), (8, 8)),
    "subclass": lambda view: view.view(np.matrix),
}


@pytest.mark.parametrize("part", PARTS)
def test_parts_are_their_own(store, part):
    """A slice or another look at a known array has the key of its own content."""
    view = viewed(store, ARRAYS["nans"]())
    whole = digest(view)
    look = PARTS[part](view)
    expected = digest(look.copy(order="K"))

    assert expected == digest(look) == digest(look)
    assert expected != whole
    assert whole == digest(view)


def test_parts_of_one_beginning(store):
    """Parts that begin at one place and have one shape differ by their steps."""
    view = viewed(store, ARRAYS["floats"]())
    looks = [view[: 5000 * step : step] for step in (1, 2, 3)]
    looks += [view[:10_000].reshape(100, 100), view[:10_000].reshape(100, 100).T]
    keys = [digest(look) for look in looks]

    assert keys == [digest(look.copy()) for look in looks]
    assert 5 == len(set(keys))


def test_changed_in_place(store):
    """An array whose shape, type or strides are set anew is another value, and keyed as such."""
    view = viewed(store, ARRAYS["nans"]())
    keys = [digest(view)]
    with warnings.catch_warnings(action="ignore"):  # NumPy has begun to advise against it
        view.shape = (250, 400)
    keys.append(digest(view))
    view = view.reshape(-1)
    other = view.view("i8")
    keys.append(digest(other))

    assert 3 == len(set(keys))
    assert keys[2] == digest(other.copy())
    assert keys[1] == digest(view.reshape(250, 400).copy())


def test_filled_with_another_state(store):
    """An array object that was given other content by its own method is keyed by that."""
    view = viewed(store, ARRAYS["floats"]())
    digest(view)
    other = np.arange(float(MANY))
    view.__setstate__(other.__reduce__()[2])
    view.flags.writeable = False

    assert digest(other) == digest(view)


def test_memory_that_can_change_is_hashed(tmp_path, hashed):
    """Read-only arrays of ordinary memory, and maps of files of one's own, are hashed each time."""
    own = ARRAYS["floats"]()
    locked = own[:]
    locked.flags.writeable = False
    before = digest(locked)
    own[5] += 1

    assert before != digest(locked)

    np.save(tmp_path / "own.npy", own)
    mapped = np.load(tmp_path / "own.npy", mmap_mode="r")
    other = np.load(tmp_path / "own.npy", mmap_mode="r+")
    before = digest(mapped)
    other[5] += 1

    assert before != digest(mapped)
    assert 4 == len(hashed)


def test_copies_are_hashed(store, hashed):
    """What a plain read gave may be changed at any time: it is hashed each time."""
    store["k"] = ARRAYS["floats"]()
    copy = store["k"]
    before = digest(copy)
    copy.flags.writeable = False
    digest(copy)
    copy.flags.writeable = True
    copy[5] += 1
    copy.flags.writeable = False

    assert before != digest(copy)
    assert 3 == len(hashed)


def test_decompressed_parts_are_hashed(open_store, hashed):
    """What was decompressed lies in memory of this process, and is hashed each time."""
    view = viewed(open_store(compression="zlib"), np.zeros(MANY))

    assert digest(view) == digest(view) == digest(np.zeros(MANY))
    assert 3 == len(hashed)


def test_nothing_is_kept_alive(store, hashed):
    """What is known of a mapping ends with its last array: neither memory nor the mapping stays."""
    files = store._session.environment.side.files
    view = viewed(store, ARRAYS["floats"]())
    key = digest(view)

    assert 1 == len(files.mapped())

    del view
    gc.collect()

    assert [] == files.mapped()
    assert key == digest(store.view("k"))
    assert 2 == len(hashed)


def test_many_parts(store):
    """However many parts of one mapping are hashed, what is known of it stays small."""
    view = viewed(store, ARRAYS["floats"]())
    for start in range(_numpy._MOST_KNOWN + 100):
        digest(view[start : start + 2048])
    mapping = view.base.base.obj

    assert 1 <= len(mapping.__objcache_contents__) <= _numpy._MOST_KNOWN
    assert digest(view[5:]) == digest(view[5:].copy())


def test_whatever_becomes_of_the_store(store, hashed):
    """A view is known after its key was overwritten and the store closed."""
    view = viewed(store, ARRAYS["floats"]())
    key = digest(view)
    store["k"] = np.zeros(MANY)
    other = store.view("k")
    store.close()
    hashed.clear()

    assert key == digest(view)
    assert [] == hashed
    assert digest(np.zeros(MANY)) == digest(other)


def test_columns_of_frames_are_known(store, hashed):
    """The columns of a viewed frame are known, although each look makes new arrays of them."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({name: NOISE.standard_normal(MANY) for name in "abc"})
    view = viewed(store, frame)
    key = digest(view)
    hashed.clear()

    assert key == digest(view)
    assert [] == hashed
    assert key == digest(frame)


# -- of memoized functions -------------------------------------------------------------------------


def test_pipeline(store, hashed):
    """What one memoized function returned is hashed once, whatever takes it how often."""
    calls = []

    @store.memoize(copy=False)
    def load(x):
        calls.append("load")
        return np.arange(x, x + MANY)

    @store.memoize
    def total(values, *, power=1):
        calls.append("total")
        return float((values**power).sum())

    values = load(1.0)
    total(values)
    first = [*hashed]
    hashed.clear()
    for power in (1, 2, 1, 2, 3):
        total(values, power=power)

    assert [] == hashed
    assert [values.nbytes] == first
    assert ["load", "total", "total", "total"] == calls

    assert total(values.copy()) == total(values)
    assert ["load", "total", "total", "total"] == calls


def test_hot_pipeline(store, hashed):
    """With `hot=` the first function gives the same view each time: nothing is hashed twice."""

    @store.memoize(copy=False, hot=10)
    def load(x):
        return np.arange(x, x + MANY)

    @store.memoize
    def total(values):
        return float(values.sum())

    for _ in range(2):
        total(load(1.0))
    hashed.clear()
    for _ in range(5):
        total(load(1.0))

    assert [] == hashed


def test_written_to_by_nobody_in_this_process(path):
    """No way of Python makes a view writeable, and who writes to its memory is stopped."""
    run(
        """
        import ctypes, signal
        import numpy as np
        store = open_store()
        store["k"] = np.ones(100_000)
        view = store.view("k")
        mapping = view.base.base.obj
        for deed in (
            lambda: view.setflags(write=True),
            lambda: view.base.setflags(write=True),
            lambda: np.lib.stride_tricks.as_strided(view, writeable=True).__setitem__(0, 5),
            lambda: np.frombuffer(mapping).__setitem__(0, 5),
            lambda: memoryview(mapping).__setitem__(0, 5),
            lambda: mapping.__setitem__(0, 5),
            lambda: mapping.write(b"5"),
            lambda: mapping.resize(10),
            lambda: mapping.close(),
            lambda: np.copyto(view, 5),
            lambda: view.sort(),
        ):
            try:
                deed()
            except (ValueError, TypeError, BufferError, SystemError):
                pass
            else:
                raise AssertionError(deed.__code__.co_firstlineno)
        assert view.sum() == 100_000
        child = os.fork()
        if not child:
            ctypes.memset(view.ctypes.data, 0, 8)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGSEGV
        store.close()
        """,
        path,
    )


def test_forked_child(path):
    """A forked child knows what its parent knew, of the same memory."""
    run(
        """
        import numpy as np
        from objcache.hashing import digest
        store = open_store()
        store["k"] = np.ones(100_000)
        view = store.view("k")
        key = digest(view)
        child = os.fork()
        if not child:
            os._exit(0 if digest(view) == key == digest(np.ones(100_000)) else 1)
        assert os.waitpid(child, 0)[1] == 0
        store.close()
        """,
        path,
    )


def test_altered_by_another_program(store, hashed):
    """Who writes to a side file breaks its views, and their keys: `verify=True` tells, as ever."""
    from objcache.errors import CorruptRecordError

    view = viewed(store, np.zeros(MANY))
    before = digest(view)
    place = os.path.join(store.path, "blobs")
    (name,) = os.listdir(place)
    with open(os.path.join(place, name), "r+b") as file:
        file.write(b"\1" * 8)

    assert view[0] != 0
    assert before == digest(view)
    with pytest.raises(CorruptRecordError, match=name):
        store.view("k", verify=True)
    assert before != digest(store.view("k"))
    store["k"] = 0
