"""Failures of the store never break a memoized function, unless it is strict."""

from __future__ import annotations

import logging
import os
import pickle
import sys
import types

import lmdb
import pytest

from objcache import Store
from objcache.engine import FILE_NAME
from objcache.errors import (
    DecodeError,
    EncodeError,
    ObjcacheError,
    ReadOnlyStoreError,
    SignatureError,
    StoreClosedError,
    StoreFullError,
)
from tests.scripts import run


def double(x):
    """Return twice *x*."""
    return x * 2


def altered(path, change):
    """Change the record of the one result in the store at *path* with *change*."""
    with (
        lmdb.open(os.path.join(path, FILE_NAME), subdir=False) as env,
        env.begin(write=True) as txn,
    ):
        ((key, record),) = [(key, record) for key, record in txn.cursor() if b"=(" in key]
        txn.put(key, change(record))


def function(x):
    """Return something that cannot be pickled."""
    return lambda: x


def large(x):
    """Return more bytes than the store takes."""
    return bytes(1 << 19)


def thing(x):
    """Return an instance of a class of a module, as long as that has it."""
    kind = getattr(sys.modules["a_module_that_goes"], "Thing", None)
    return kind() if kind else "anew"


@pytest.mark.parametrize(("plain", "error"), [(function, EncodeError), (large, StoreFullError)])
@pytest.mark.parametrize("strict", [False, True])
def test_results_that_cannot_be_stored(open_store, caplog, plain, error, strict):
    """The value is returned and one warning names function and cause; strict functions raise."""
    f = open_store(map_size_bytes=1 << 18).memoize(strict=strict)(plain)
    if strict:
        with pytest.raises(error):
            f(1)
        return
    with caplog.at_level(logging.WARNING, "objcache"):
        first, second = f(1), f(1)

    assert type(first) is type(second)
    assert 1 == len(caplog.records)
    assert f"{plain.__name__} could not be stored: {error.__name__}" in caplog.text


@pytest.mark.parametrize("strict", [False, True])
def test_read_only_stores(open_store, caplog, strict):
    """Stored results are served, new ones computed and not stored."""
    with open_store() as store:
        store.memoize(double)(1)
    f = open_store(readonly=True).memoize(strict=strict)(double)
    assert 2 == f(1)
    if strict:
        with pytest.raises(ReadOnlyStoreError):
            f(2)
        return

    assert [4, 4, 2] == [f(2), f(2), f(1)]
    assert 1 == caplog.text.count("ReadOnlyStoreError")
    assert (2, 3, 1) == f.cache_info()[:3]  # with the miss of the one who stored it


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.damages
def test_damaged_records(open_store, path, caplog, strict):
    """A record that was altered is computed anew and replaced."""
    with open_store() as store:
        store.memoize(double)(1)
    altered(path, lambda record: record[:-2] + b"x.")
    f = open_store().memoize(strict=strict)(double)
    if strict:
        with pytest.raises(SignatureError):
            f(1)
        return

    assert [2, 2] == [f(1), f(1)]
    assert (1, 2) == f.cache_info()[:2]
    assert 1 == caplog.text.count("could not be read: SignatureError")


def test_records_of_a_foreign_secret(open_store, path, caplog):
    """A record signed with another secret is never loaded."""
    with open_store() as store:
        store.memoize(double)(1)
        opened = store.memoize(double)
        opened(1)
        results = opened.__objcache_recall__.results.opened
        located = results.results.locate(opened.__objcache_recall__.binding.tail((1,)))
    foreign = os.path.join(path, "..", "foreign")
    with Store(foreign, secret=b"another secret of 16 bytes", durability="process") as other:
        f = other.memoize(double)
        f.put("planted", 1)
        record = other._session.read(lambda transaction: bytes(transaction.get(located)))
    with open_store() as store:
        store._session.write(lambda transaction: transaction.put(located, record))
        f = store.memoize(double)

        assert [2, 2] == [f(1), f(1)]
        assert "SignatureError" in caplog.text


@pytest.mark.parametrize("strict", [False, True])
def test_classes_that_are_gone(store, caplog, monkeypatch, strict):
    """A result whose class is not there any more is computed anew."""
    module = types.ModuleType("a_module_that_goes")
    exec("class Thing: pass", vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    f = store.memoize(strict=strict)(thing)
    f(1)
    del module.Thing
    if strict:
        with pytest.raises(DecodeError):
            f(1)
        return

    assert ["anew", "anew"] == [f(1), f(1)]
    assert (1, 2) == f.cache_info()[:2]
    assert 1 == caplog.text.count("could not be read: DecodeError")


def test_closed_stores(open_store, caplog):
    """A function whose store was closed computes."""
    store = open_store()
    f = store.memoize(double)
    hot = store.memoize(hot=5)(double)
    f(1), hot(1), hot(1)
    store.close()

    assert [2, 2, 2, 4] == [f(1), f(1), hot(1), hot(2)]
    assert "StoreClosedError" in caplog.text
    with pytest.raises(StoreClosedError):
        f.cache_info()


def test_default_stores_that_cannot_be_opened(tmp_path):
    """A default store that cannot be opened costs the results, not the function."""
    (tmp_path / "file").write_text("no directory")
    code = """
        os.environ["OBJCACHE_DIR"] = path
        @objcache.memoize
        def f(x):
            return x + 1
        print(f(1), f(1))
    """

    assert "2 2\n" == run(code, tmp_path / "file")


def test_inside_a_transaction(store):
    """Within a transaction of the store results become part of it, and nobody waits for anybody."""

    @store.memoize
    def f(x):
        return x * 2

    with pytest.raises(ZeroDivisionError), store.transaction():
        assert [2, 2] == [f(1), f(1)]
        raise ZeroDivisionError
    assert not f.is_cached(1)
    with store.transaction():
        f(1)
    assert f.is_cached(1)


def test_an_error_of_the_function_is_the_functions_own(store):
    """What the function raises passes as it is, also if it is an error of objcache."""

    @store.memoize
    def f(x):
        raise EncodeError("value", "int", "from the function")

    with pytest.raises(EncodeError, match="from the function") as caught:
        f(1)
    assert isinstance(caught.value, ObjcacheError)
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args


def test_errors_of_callbacks_are_told_to_the_caller(store):
    """`cache_if`, `key` and `validate` are the caller's code: their errors are not hidden."""
    for option in ({"cache_if": lambda result: 1 / 0}, {"key": lambda x: 1 / 0}):
        with pytest.raises(ZeroDivisionError):
            store.memoize(**option)(double)(1)
    f = store.memoize(validate=lambda entry: 1 / 0)(double)
    f(1)
    with pytest.raises(ZeroDivisionError):
        f(1)
