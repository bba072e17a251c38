"""Memoized functions: computed once, never a wrong answer, never broken by the store."""

from __future__ import annotations

import logging
import os
import threading

import lmdb
import pytest

import objcache
from objcache.engine import FILE_NAME
from objcache.errors import UnkeyableArgumentError
from objcache.memo import default_path, default_store
from tests.scripts import run


def count(x):
    return x


@pytest.fixture
def calls():
    """What the memoized function was called with."""
    return []


def test_computed_once(store, calls):
    """The second call with equal arguments is answered from the store."""

    @store.memoize
    def square(x):
        """Square."""
        calls.append(x)
        return x * x

    assert [9, 9, 16] == [square(3), square(3), square(4)]
    assert [3, 4] == calls
    assert (1, 2, 2) == square.cache_info()[:3]
    assert ("square", "Square.") == (square.__name__, square.__doc__)
    assert 25 == square.__wrapped__(5)
    square.cache_clear()
    assert (0, 0, 0, 0, 0.0) == square.cache_info()
    assert 9 == square(3)
    assert [3, 4, 5, 3] == calls


def test_spelling_does_not_count(store, calls):
    """However the arguments are passed, and whether defaults are, it is one call."""

    @store.memoize
    def f(a, b=2, /, c=3, *args, d=4, e, **rest):
        calls.append((a, b, c, args, d, e, rest))

    f(1, e=5)
    f(1, 2, e=5)
    f(1, 2, 3, e=5)
    f(1, 2, c=3, d=4, e=5)
    assert 1 == len(calls)
    f(1, 2, 3, 4, e=5)
    f(1, e=5, z=6)
    f(1, e=5, y=7, z=6)
    f(1, z=6, y=7, e=5)
    assert 4 == len(calls)


def test_types_count(store, calls):
    """Equal values of different types are different arguments, however deep."""

    @store.memoize
    def f(x):
        calls.append(x)
        return x

    for x in (1, 1.0, True, [1], (1,), [1.0], {"a": 1}, {"a": True}, "1", b"1", 0.0, -0.0):
        assert type(f(x)) is type(x)
        f(x)

    assert 12 == len(calls)


def test_none_is_a_result(store, calls):
    """A function that returns None is not called again."""

    @store.memoize
    def f():
        calls.append(1)

    assert [None, None] == [f(), f()]
    assert [1] == calls


def test_wrong_calls_fail_as_the_function_does(store):
    """A call that does not fit the signature raises the function's own TypeError."""

    @store.memoize
    def f(a, *, b):
        return a, b

    with pytest.raises(TypeError, match=r"f\(\) missing 1 required keyword-only argument: 'b'"):
        f(1)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'z'"):
        f(1, b=2, z=3)


def test_exceptions_are_not_kept(store, calls):
    """A function that raises is called again."""

    @store.memoize
    def f(x):
        calls.append(x)
        return 1 / x

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            f(0)
    assert [0, 0] == calls


def make(source):
    """A function `f` made of *source*, as an edited module would hold it."""
    scope = {"__name__": "edited"}
    exec(source, scope)
    return scope["f"]


def test_edited_code_is_computed_anew(store):
    """Another body, default or constant is another function; undoing the edit finds the old results."""
    one = store.memoize(make("def f(x, k=1): return x + k"))
    other = store.memoize(make("def f(x, k=1): return x - k"))
    default = store.memoize(make("def f(x, k=2): return x + k"))
    again = store.memoize(make("def f(x, k=1): return x + k"))

    assert [6, 4, 7, 6] == [one(5), other(5), default(5), again(5)]
    assert (1, 3, 3) == again.cache_info()[:3]


def test_closures_do_not_share(store):
    """Two closures, or two lambdas, of one code never share results."""

    def adder(n):
        return store.memoize(lambda x: x + n)

    assert [11, 12, 11] == [adder(1)(10), adder(2)(10), adder(1)(10)]
    one, two = store.memoize(lambda x: x + 1), store.memoize(lambda x: x + 2)
    assert [2, 3] == [one(1), two(1)]


def test_functions_of_one_name_do_not_share(store):
    """The module is part of the identity."""
    one = make("def f(x): return 'one'")
    two = make("def f(x): return 'one'")
    two.__module__ = "another"
    first, second = store.memoize(one), store.memoize(two)
    first(1)
    second(1)

    assert (0, 1, 1) == second.cache_info()[:3]


def test_recursion(store, calls):
    """A function that calls itself through its memoized name works."""

    @store.memoize
    def fibonacci(n):
        calls.append(n)
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    with pytest.raises(UnkeyableArgumentError):
        fibonacci(threading.Lock())
    assert 6765 == fibonacci(20)
    assert 21 == len(calls)


def test_unkeyable_arguments_name_the_culprit(store):
    """An argument without a stable value is refused with its path and the remedies."""

    @store.memoize
    def query(sql, *, client):
        return sql

    with pytest.raises(UnkeyableArgumentError) as caught:
        query("x", client={"pool": [1, threading.Lock()]})

    assert "client['pool'][1]" in caught.value.path
    for part in ("query(client=...)", "_thread.lock", "ignore=", "key=", "register"):
        assert part in str(caught.value)


def test_ignored_arguments_and_own_keys(store, calls):
    """ignore= leaves parameters out, however passed; key= makes the key itself."""

    @store.memoize(ignore=("log",))
    def f(x, log=None):
        calls.append(x)
        return x

    @store.memoize(key=lambda client, number: number)
    def g(client, number):
        calls.append(number)
        return number

    f(1, threading.Lock())
    f(1, log=print)
    f(log=open, x=1)
    g(threading.Lock(), 2)
    g(object(), number=2)
    assert [1, 2] == calls
    with pytest.raises(ValueError, match="ignore='logg' is no parameter of"):
        store.memoize(ignore=("logg",))(lambda log: 0)
    with pytest.raises(UnkeyableArgumentError):
        store.memoize(key=lambda x: x)(lambda x: x)(threading.Lock())


def test_methods(store, calls):
    """A method of a class with plain state is keyed by that state."""
    import dataclasses

    @dataclasses.dataclass
    class Model:
        scale: int

        @store.memoize
        def run(self, x):
            calls.append(x)
            return self.scale * x

    assert [6, 6, 8] == [Model(2).run(3), Model(2).run(3), Model(4).run(2)]
    assert [3, 2] == calls


def test_what_is_not_called_is_refused(store):
    """Something that is no function is refused when it is decorated."""
    with pytest.raises(TypeError, match="takes a function, not int"):
        store.memoize(5)


def test_unstorable_results_do_not_break_the_function(store, calls, caplog):
    """A result that cannot be stored is returned; one warning names function and reason."""

    @store.memoize
    def f(x):
        calls.append(x)
        return lambda: x

    with caplog.at_level(logging.WARNING, "objcache"):
        assert 1 == f(1)()
        assert 1 == f(1)()
    assert [1, 1] == calls
    assert 1 == len(caplog.records)
    assert "f could not be stored" in caplog.text
    assert "lambda" in caplog.text


@pytest.mark.damages
def test_damaged_results_do_not_break_the_function(open_store, path, caplog):
    """A result that was altered on disk is computed again, replaced, and told once."""
    with open_store() as store:
        store.memoize(count)(1)
    with (
        lmdb.open(os.path.join(path, FILE_NAME), subdir=False) as env,
        env.begin(write=True) as txn,
    ):
        key, record = next((k, r) for k, r in txn.cursor() if k.startswith(b"\x20"))
        txn.put(key, record[:-2] + b"x.")
    memoized = open_store().memoize(count)
    with caplog.at_level(logging.WARNING, "objcache"):
        assert [1, 1] == [memoized(1), memoized(1)]
    assert (1, 2, 1) == memoized.cache_info()[:3]
    assert "could not be read" in caplog.text


def test_full_store_does_not_break_the_function(open_store, caplog):
    """A full store costs the result its place, not the caller the answer."""
    store = open_store(map_size_bytes=1 << 18)

    @store.memoize
    def f(x):
        return os.urandom(1 << 19)

    assert 1 << 19 == len(f(1))
    assert "has no room" in caplog.text


def test_results_survive_the_process(path):
    """Another process finds the results; an edit of the function in it does not."""
    code = """
        store = open_store()
        @store.memoize
        def f(x):
            print("computing", x)
            return x {}
        print(f(5))
        store.close()
    """
    plus, minus = code.format("+ 1"), code.format("- 1")

    assert ["computing 5\n6\n", "6\n", "computing 5\n4\n", "6\n"] == [
        run(plus, path),
        run(plus, path),
        run(minus, path),
        run(plus, path),
    ]


def test_keys_do_not_depend_on_the_hash_seed(path, monkeypatch):
    """Sets and dicts are one key in every process."""
    code = """
        store = open_store()
        @store.memoize
        def f(x):
            return "computed"
        f({"names": {"ada", "alan", "grace"}, "more": frozenset("abcdef")})
        print(f.cache_info().misses)
        store.close()
    """
    found = []
    for seed in ("1", "2", "3"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        found.append(run(code, path))

    assert ["1\n"] * 3 == found


def test_default_store(tmp_path, monkeypatch):
    """`objcache.memoize` uses $OBJCACHE_DIR, else the user's cache directory, opened once."""
    monkeypatch.setenv("OBJCACHE_DIR", str(tmp_path / "mine"))

    @objcache.memoize
    def f(x):
        return x

    assert not (tmp_path / "mine").exists()
    assert 1 == f(1)
    assert str(tmp_path / "mine") == default_path() == default_store().path
    assert default_store() is default_store()
    assert 1 == f.cache_info().entries
    default_store().close()
    monkeypatch.delenv("OBJCACHE_DIR")
    assert default_path().startswith(str(tmp_path / "home"))


def test_decorator_with_and_without_parentheses(store):
    """The decorator works bare, called, and as a function of the package."""

    @store.memoize()
    def f(x):
        return x

    @objcache.memoize(store=store)
    def g(x):
        return x + 1

    assert [1, 2] == [f(1), g(1)]


def test_threads_get_one_answer(store):
    """Threads that call at once all get the answer."""

    @store.memoize
    def f(x):
        return [x] * 100

    results = []
    threads = [threading.Thread(target=lambda: results.append(f(7))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [[7] * 100] * 8 == results
    assert 8 == sum(f.cache_info()[:2])
