"""The thirty complaints that users of other memoizers have, each as a test of this one.

The numbers are those of the survey that docs/reference/memoize.md sums up.
"""

from __future__ import annotations

import asyncio
import collections
import datetime
import decimal
import functools
import gc
import os
import pickle
import sys
import threading
import uuid
import weakref

import pytest

from objcache.errors import UnkeyableArgumentError
from objcache.hashing import digest
from tests.scripts import run


def same(one, other):
    """Whether two arguments are one."""
    return digest((one,)) == digest((other,))


class Owner:
    """An object with a part that cannot be keyed."""

    def __init__(self, value):
        self._lock = threading.Lock()
        self.value = value


def test_01_what_follows_an_unkeyable_member_counts(store):
    """A lock in an argument is refused: what stands after it is never left out silently."""

    @store.memoize
    def f(x):
        return x[-1] if isinstance(x, list) else x.value

    for argument in ([threading.Lock(), 1], [threading.Lock(), 2], Owner(1), [(n for n in ())]):
        with pytest.raises(UnkeyableArgumentError):
            f(argument)
    assert 0 == f.cache_info().entries


def test_02_an_array_and_its_transpose_differ():
    """The shape and the order of the elements count, not the layout in memory."""
    np = pytest.importorskip("numpy")
    square = np.arange(9).reshape(3, 3)

    assert not same(square, square.T)
    assert same(square.T, np.ascontiguousarray(square.T))
    assert same(square, np.asfortranarray(square))


def test_03_slices_of_one_arrow_buffer_differ():
    """An Arrow array is its own slice of the buffer."""
    pa = pytest.importorskip("pyarrow")
    pd = pytest.importorskip("pandas")
    whole = pa.array(["a", "b", "c", "d"])
    frame = pd.DataFrame({"name": ["a", "b", "c", "d"]})
    halves = [frame[:2].reset_index(drop=True), frame[2:].reset_index(drop=True)]

    assert not same(whole[:2], whole[2:])
    assert same(whole[2:], pa.array(["c", "d"]))
    assert not same(*halves)


def test_04_members_are_not_joined():
    """Object arrays, subclasses of str and structured dtypes keep their members apart."""
    np = pytest.importorskip("numpy")

    class Name(str):
        __slots__ = ()

        def __repr__(self):
            return "the same"

    assert not same(np.array(["a-b", "c"], object), np.array(["a", "b-c"], object))
    assert not same(Name("a"), Name("b"))
    one, other = np.dtype([("a", "i4"), ("b", "i4")]), np.dtype([("a", "i4"), ("c", "i4")])
    assert not same(np.zeros(2, one), np.zeros(2, other))


def test_05_every_row_of_a_polars_frame_counts():
    """A change in the middle of many rows is another argument."""
    pl = pytest.importorskip("polars")
    names = [f"name {number}" for number in range(1000)]
    changed = [*names[:500], "changed", *names[501:]]

    assert not same(pl.DataFrame({"name": names}), pl.DataFrame({"name": changed}))


def test_06_large_arrays_and_frames_are_not_sampled():
    """Each element counts, however many there are."""
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    array = np.zeros(1_000_000)
    other = array.copy()
    other[777_777] = 1

    assert not same(array, other)
    assert not same(pd.DataFrame({"x": array}), pd.DataFrame({"x": other}))


def test_07_lengths_and_types_are_framed():
    """No concatenation collides, and equality of Python is not equality of arguments."""
    assert not same(["a", "b"], ["astr:b"])
    assert not same([0.0, -0.0], [0.0, 0.0])
    assert not same([(1,), (True,)], [(1,), (1,)])


def test_08_closures_and_functions_of_one_name_share_nothing(store):
    """Functions made in one place differ by what they were given; so do scripts run by exec."""

    def adder(n):
        @store.memoize
        def add(x):
            return x + n

        return add

    assert [11, 12] == [adder(1)(10), adder(2)(10)]
    pages = []
    for text in ("one", "two"):
        scope = {"__name__": "__main__", "TEXT": text}
        exec("def page(x):\n    return TEXT", scope)
        pages.append(store.memoize(scope["page"])(1))
    assert ["one", "two"] == pages


def test_09_separators_do_not_collide(store):
    """Whatever the arguments contain."""

    @store.memoize
    def f(*args, **kwargs):
        return repr((args, kwargs))

    calls = [
        (["x", "y"],),
        ("x:y",),
        ("x", "y"),
        (None,),
        ("",),
        (1,),
        ("1",),
        ("1", ""),
        ("", "1"),
    ]
    found = [f(*call) for call in calls] + [f(a="b"), f("a", "b"), f(**{"a=b": ""})]

    assert len(found) == len(set(found)) == f.cache_info().misses


def test_10_none_is_no_separator(store):
    """Positional and named arguments never run into each other."""

    @store.memoize
    def g(*args, **kwargs):
        return repr((args, kwargs))

    assert g(1, None, "a") != g(1, a=None)
    assert g(1, None, ("a", None)) != g(1, a=None)


def test_11_instances_do_not_share(store):
    """`self` is part of the key, by its state."""

    class Scale:
        def __init__(self, rate):
            self.rate = rate

        @store.memoize
        def run(self, x):
            return self.rate * x

    assert [2, 3] == [Scale(2).run(1), Scale(3).run(1)]


def test_12_identity_is_no_key(store):
    """An address that is used again is not the object from before; a parameter is no `self`."""

    class Box:
        def __init__(self, value):
            self.value = value

    @store.memoize
    def value(box):
        return box.value

    for number in range(20):
        assert number == value(Box(number))
        gc.collect()

    @store.memoize
    def get(d, k):
        return d[k]

    assert [1, 2] == [get({"a": 1}, "a"), get({"a": 2}, "a")]


def test_13_variable_arguments_count(store):
    """All of `*args` and `**kwargs` is part of the key."""

    @store.memoize
    def kw(**kwargs):
        return sorted(kwargs)

    @store.memoize
    def pos(*args):
        return len(args)

    assert [["a"], ["b"]] == [kw(a=1), kw(b=1)]
    assert [0, 1, 2] == [pos(), pos(1), pos(1, 1)]


def test_14_shape_dtype_and_column_names_count():
    """What describes the content is content."""
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1, 2]})

    assert not same(np.zeros((2, 3)), np.zeros((3, 2)))
    assert not same(np.zeros(2, "f8"), np.zeros(2, "i8"))
    assert not same(frame, frame.rename(columns={"a": "b"}))
    assert not same(frame, frame.astype("float64"))
    assert not same(frame, frame.set_index(pd.Index([1, 2])))


def test_15_objects_with_the_state_method_of_object_differ():
    """`object.__getstate__`, which every class has since Python 3.11, hides nothing."""
    np = pytest.importorskip("numpy")

    class Plain:
        def __init__(self, value):
            self.value = value

    assert not same(Plain(1), Plain(2))
    assert not same(np.zeros(1), np.ones(1))


def test_16_helpers_globals_and_constants_count(store):
    """An edit of whatever a function uses of its project is seen."""

    def made(limit="LIMIT = 1", helper="return x + LIMIT"):
        scope = {"__name__": "edited"}
        exec(f"{limit}\ndef helper(x):\n    {helper}\ndef f(x):\n    return helper(x)", scope)
        return store.memoize(scope["f"])

    assert [2, 3, 0, 2] == [
        made()(1),
        made(limit="LIMIT = 2")(1),
        made(helper="return x - LIMIT")(1),
        made()(1),
    ]


def test_17_sharing_and_interning_do_not_count():
    """Equal arguments are one, whether members are shared, interned, copied or were pickled."""
    part, price = [1, 2], decimal.Decimal("1.5")
    text = "".join(["inter", "ned"])
    for one, other in (
        ([part, part], [[1, 2], [1, 2]]),
        ([price, price], [decimal.Decimal("1.5"), decimal.Decimal("1.5")]),
        ({"interned": "interned"}, {text: "".join(["inter", "ned"])}),
        (sys.intern("interned"), text),
    ):
        assert same(one, other)
        assert same(one, pickle.loads(pickle.dumps(one)))


def test_18_history_and_layout_do_not_count():
    """Blocks, views, strides, and what was given as it is by default."""
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    pydantic = pytest.importorskip("pydantic")

    class Model(pydantic.BaseModel):
        a: int = 1

    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    grown = pd.DataFrame({"a": [1, 2]})
    grown["b"] = [3, 4]

    assert same(frame, grown)
    assert same(np.arange(10)[::2], np.arange(0, 10, 2))
    assert same(Model(), Model(a=1))


def test_19_the_order_of_sets_does_not_count(path, monkeypatch):
    """Sets, frozen sets, and the sets in functions, are one key under every PYTHONHASHSEED."""
    code = """
        from objcache.hashing import digest
        f = lambda x: x in {"a", "b", "c", "d"}
        print(digest([{"a", "b", "c"}, frozenset("abc"), {frozenset("xyz"): {"k"}}, f]).hex())
    """
    found = set()
    for seed in "123":
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        found.add(run(code, path))

    assert 1 == len(found)


def test_20_arguments_that_change_when_they_are_used(store):
    """The key is of the argument as it is given; what a class keeps aside may be left out."""

    class Tokenizer:
        def __init__(self, words):
            self.words, self.seen = words, {}

        def __objcache_key__(self):
            return self.words

        def split(self, text):
            return self.seen.setdefault(text, text.split())

    @store.memoize
    def f(rows, tokenizer=None):
        rows.append("changed")
        return len(tokenizer.split("a b")) if tokenizer else len(rows)

    tokenizer = Tokenizer(["a"])
    assert [2, 2] == [f([1], tokenizer), f([1], tokenizer)]
    assert [2, 2] == [f([1]), f([1])]
    assert (2, 2) == f.cache_info()[:2]
    moment, identity = datetime.datetime(2026, 1, 1), uuid.uuid4()
    assert same([moment, identity], [moment, uuid.UUID(str(identity))])


def test_21_what_is_not_cached_is_told(store, caplog):
    """A result that cannot be stored, or an argument that cannot be keyed, is never silent."""

    @store.memoize
    def f(x):
        return threading.Lock()

    f(1)
    assert "could not be stored" in caplog.text
    with pytest.raises(UnkeyableArgumentError):
        f(object())


def test_22_an_edit_costs_only_what_it_changes(store):
    """Old versions stay; comments, docstrings and lines are no edits; parameters can be added."""
    calls = []

    def made(source):
        scope = {"__name__": "edited", "calls": calls}
        exec(source, scope)
        return scope["f"]

    first = "def f(x):\n    calls.append(x)\n    return x"
    documented = "\n\ndef f(x):\n    'A docstring.'\n    # why\n    calls.append(x)\n    return x"
    edited = "def f(x):\n    calls.append(x)\n    return -x"
    grown = "def f(x, scale=1):\n    calls.append(x)\n    return x * scale"
    for source, expected in ((first, 1), (documented, 1), (edited, -1), (first, 1)):
        assert expected == store.memoize(made(source))(1)
    assert [1, 1] == calls
    assert 1 == store.memoize(since={"scale": 1})(made(grown))(1)
    assert [1, 1] == calls


def test_23_scripts_and_notebooks(tmp_path):
    """Functions of `__main__` are memoized: run as a script, by name, or in a cell."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, objcache\n"
        "def helper(x):\n    return x + 1\n"
        "def f(x):\n    print('computing')\n    return helper(x)\n"
        "if __name__ == '__main__':\n"
        "    with objcache.Store(sys.argv[1], durability='process') as store:\n"
        "        print(store.memoize(f)(1))\n"
    )
    code = "import subprocess\nprint(subprocess.run([sys.executable, *sys.argv[2:]], check=True,"
    code += " capture_output=True, text=True, cwd=os.path.dirname(path)).stdout)"
    where = tmp_path / "store"
    found = [run(code, where, script, where), run(code, where, "-m", "script", where)]

    assert ["computing", "2"] == found[0].split()
    assert ["2"] == found[1].split()


def test_24_signatures_of_every_kind(store):
    """Positional-only, keyword-only, variable: no signature is refused, no names collide."""
    np = pytest.importorskip("numpy")

    @store.memoize
    def f(a, /, b=2, *args, c, d=4, **kwargs):
        return [a, b, args, c, d, kwargs]

    assert f(1, c=3) == f(1, 2, c=3, d=4) == [1, 2, (), 3, 4, {}]
    assert [1, 2, (), 3, 4, {"a": 5}] == f(1, c=3, a=5)

    class One:
        @store.memoize
        def name(self):
            return "one"

    class Two:
        @store.memoize
        def name(self):
            return "two"

    assert ["one", "two"] == [One().name(), Two().name()]
    overlapping = np.dtype({"names": ["a", "b"], "formats": ["i4", "i4"], "offsets": [0, 2]})
    assert same(np.zeros(2, overlapping), np.zeros(2, overlapping))
    assert same(np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 3], mask=[0, 1]))


def test_25_arguments_need_not_be_hashable(store):
    """Lists, dicts, sets, lambdas and frames are arguments like others."""

    @store.memoize
    def f(x):
        return "computed"

    for argument in ([1], {"a": [1]}, {1}, lambda x: x, bytearray(b"a"), collections.deque([1])):
        assert "computed" == f(argument) == f(argument)
    assert (6, 6) == f.cache_info()[:2]


def test_26_one_computation_for_all_that_ask(store):
    """No race: threads that ask at once share one computation, and nobody gets stuck."""
    barrier, calls = threading.Barrier(4), []

    @store.memoize
    def f(x):
        calls.append(x)
        return x

    def ask():
        barrier.wait()
        f(1)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [1] == calls


def test_27_results_are_not_files(store, path):
    """A thousand results are no thousand files."""

    @store.memoize
    def f(x):
        return x

    f.map(range(1000))
    files = [name for _, _, names in os.walk(path) for name in names]

    assert 1000 == f.cache_info().entries
    assert len(files) < 12


def test_28_keys_of_large_arguments_are_cheap():
    """A large array is not copied to be keyed; its cost is that of reading it once."""
    np = pytest.importorskip("numpy")
    import tracemalloc

    array = np.zeros(4_000_000)
    digest(array[:10])
    tracemalloc.start()
    digest(array)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 2_000_000


def test_29_none_is_stored_and_nothing_is_kept_alive(store):
    """None is a result; instances and event loops are free to go."""
    calls = []

    class Model:
        @store.memoize(hot=5)
        def run(self):
            calls.append(1)

    model = Model()
    assert [None, None, None] == [model.run(), model.run(), model.run()]
    assert [1] == calls
    there = weakref.ref(model)
    del model
    assert None is there()

    @store.memoize
    async def f(x):
        return x

    assert [1, 1] == [asyncio.run(f(1)), asyncio.run(f(1))]


def test_30_what_happens_can_be_seen(open_store):
    """Hits and misses, the key of a call, why it missed; also where nothing may be written."""

    def f(x):
        return x

    with open_store() as store:
        memoized = store.memoize(f)
        memoized(1), memoized(1)
        assert (1, 1) == memoized.cache_info()[:2]
        key = memoized.cache_key(1)
    readonly = open_store(readonly=True).memoize(f)

    assert 1 == readonly(1)
    assert key == readonly.cache_key(1)
    assert "x: 1 -> 2" in str(readonly.why(2))
    assert functools.WRAPPER_ASSIGNMENTS
    assert ("f", f) == (readonly.__name__, readonly.__wrapped__)
