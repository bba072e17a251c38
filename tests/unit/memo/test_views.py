"""`copy=False`: large arrays of results are read-only views of what is stored, on every way."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import threading

import pytest

from objcache import Cache, Store
from tests.conftest import SECRET
from tests.scripts import run
from tests.unit.memo.conftest import finished

np = pytest.importorskip("numpy")

MANY = 100_000  # floats, of which a result has 800 KB
NEVER = 3600.0


def array(first=0.0):
    """Return an array that lies in a side file."""
    return np.arange(first, first + MANY)


def is_view(value, first=0.0):
    """Whether *value* is a read-only view of the right array, of which nothing is in memory."""
    assert (array(first) == value).all()
    return not value.flags.writeable and not value.flags.owndata


def side_files(path):
    """Return the names of the side files below *path*."""
    return os.listdir(os.path.join(path, "blobs"))


@pytest.fixture(params=["store", "namespace", "cache", "cache of a namespace"])
def place(request, path):
    """Whatever results can be kept in."""
    if "cache" in request.param:
        with Cache(path, durability="process", secret=SECRET, size_limit="100 MB") as cache:
            yield cache.namespace("n") if "namespace" in request.param else cache
    else:
        with Store(path, durability="process", secret=SECRET) as store:
            yield store.namespace("n") if "namespace" in request.param else store


def waited(value):
    """Return what *value* is, awaited."""

    async def wait():
        return await value

    return asyncio.run(wait())


def plain(place, calls, **options):
    """Return a memoized function and what calls it."""

    @place.memoize(copy=False, **options)
    def f(x):
        calls.append(x)
        return array(x)

    return f, lambda value: value


def tasks(place, calls, **options):
    """Return a memoized coroutine function and what awaits its answers."""

    @place.memoize(copy=False, **options)
    async def f(x):
        calls.append(x)
        return array(x)

    return f, waited


@pytest.fixture(params=[plain, tasks], ids=["plain", "coroutine"])
def kind(request):
    """Both kinds of functions."""
    return request.param


def test_every_call_gives_a_view(place, kind, calls):
    """The first call, which computes, gives what later ones give: a read-only view, no copy."""
    f, answer = kind(place, calls)
    found = [answer(f(1.0)) for _ in range(3)]

    assert [1.0] == calls
    assert all(is_view(value, 1.0) for value in found)
    with pytest.raises(ValueError, match="read-only"):
        found[0][0] = 7
    with pytest.raises(ValueError, match="cannot set WRITEABLE"):
        found[0].flags.writeable = True


def test_every_way_gives_a_view(place, kind, calls):
    """Refreshed, put, mapped, listed and hot results are views as well."""
    for hot in (0, 10):
        f, answer = kind(place, calls, hot=hot)
        f.cache_clear()
        f.put(array(3.0), 3.0)

        assert is_view(answer(f(3.0)), 3.0)
        assert is_view(answer(f.refresh(1.0)), 1.0)
        assert is_view(answer(f(1.0)), 1.0)

        calls.clear()
        mapped = answer(f.map([1.0, 2.0, 2.0, 4.0, 2.0, 1.0]))

        assert [2.0, 4.0] == calls
        assert all(
            is_view(value, first)
            for value, first in zip(mapped, [1.0, 2.0, 2.0, 4.0, 2.0, 1.0], strict=True)
        )
        assert all(is_view(entry.value, entry.value[0]) for entry in f.entries())
        assert f.bypass(1.0).flags.writeable if kind is plain else True


def test_what_surrounds_the_arrays_is_each_callers_own(place, kind, calls):
    """A list that holds views may be changed: neither another caller nor the store sees it."""

    @place.memoize(copy=False)
    def f(x):
        return [array(x)]

    first, second = f(1.0), f(1.0)
    first.append("mine")
    twice = f.map([2.0, 2.0])
    twice[0].append("mine")

    assert [1, 1, 1] == [len(value) for value in (second, twice[1], f(1.0))]


def test_small_results_are_copies(place, calls):
    """What has no side file is as without the option: a result of the caller's own."""

    @place.memoize(copy=False)
    def f(x):
        calls.append(x)
        return np.arange(1000.0), {"x": x}

    f(1)[0][:] = -1
    again = f(1)
    again[0][:] = -1
    again[1].clear()

    assert [1] == calls
    assert f(1)[0][3] == 3.0
    assert {"x": 1} == f(1)[1]


def test_hot_views_are_shared(store, calls):
    """With `hot=` all callers of a process share one view: one mapping, one key for the next."""
    f, _ = plain(store, calls, hot=10)
    f(1.0)

    assert f(1.0) is f(1.0)
    assert is_view(f(1.0), 1.0)


@pytest.mark.parametrize(
    "deed",
    [
        lambda f, _: f.refresh(1.0),
        lambda f, _: f.forget(1.0),
        lambda f, _: f.cache_clear(),
        lambda f, _: f.put(np.zeros(MANY), 1.0),
        lambda f, place: place.clear(),
        lambda f, place: place.close() if hasattr(place, "close") else None,
    ],
    ids=["refresh", "forget", "cache_clear", "put", "clear", "close"],
)
def test_views_stay_what_they_are(place, calls, deed):
    """Whatever becomes of the entry and the store, the view of a result sees what it saw."""
    f, _ = plain(place, calls)
    views = [f(1.0), f(1.0)]
    deed(f, place)
    if not getattr(place, "closed", False):
        f(2.0)

    assert all(is_view(value, 1.0) for value in views)


def test_views_outlive_eviction(path, calls):
    """A cache that evicts a result takes nothing from those who have a view of it."""
    with Cache(path, durability="process", secret=SECRET, size_limit="4 MB") as cache:
        f, _ = plain(cache, calls)
        views = {float(number): f(float(number)) for number in range(12)}
        live = sum(f.is_cached(first) for first in views)

        assert live < 12
        assert all(is_view(value, first) for first, value in views.items())
        assert all(f(first)[0] == first for first in views)


def test_held_mappings_are_counted(path, calls):
    """`stats` of a cache counts views whose entry is gone: their room on the disk is not free."""
    with Cache(path, durability="process", secret=SECRET, size_limit="100 MB") as cache:
        f, _ = plain(cache, calls)
        cache["own"] = array(2.0)
        views = [f(1.0), f(1.0), cache.view("own")]

        assert 0 == cache.stats().held_mappings

        f.refresh(1.0)

        assert 2 == cache.stats().held_mappings

        cache.clear()
        cache.expire()

        assert 3 == cache.stats().held_mappings == cache.namespace("n").stats().held_mappings

        views.clear()

        assert 0 == cache.stats().held_mappings


def test_one_copy_in_memory(store, calls):
    """Neither a hit nor a miss copies the arrays: only what the function made was allocated."""
    import tracemalloc

    size = 1 << 25

    @store.memoize(copy=False)
    def f():
        return np.ones(size // 8)

    peaks = []
    for _ in range(2):
        gc.collect()
        tracemalloc.start()
        try:
            kept = f()
            peaks.append(tracemalloc.get_traced_memory())
        finally:
            tracemalloc.stop()
        del kept

    assert peaks[0][0] < size / 100  # what was computed is not held
    assert 1.0 <= peaks[0][1] / size < 1.01
    assert peaks[1][1] < size / 100


# -- what cannot be stored -------------------------------------------------------------------------


def full(*_):
    """Refuse to write: there is no room."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_not_stored_is_what_was_computed(path, kind, calls, monkeypatch, caplog):
    """Where storing fails softly the caller gets the computed array, and no file stays behind."""
    with Store(path, durability="process", secret=SECRET) as store:
        f, answer = kind(store, calls)
        answer(f(0.0))
        with monkeypatch.context() as patch:
            patch.setattr(os, "writev", full)
            found = [answer(f(1.0)), *answer(f.map([1.0, 1.0]))]

        assert all(value.flags.writeable and value.flags.owndata for value in found)
        assert 1 == len(side_files(path))
        assert is_view(answer(f(1.0)), 1.0)
    assert 1 == len([record for record in caplog.records if "stored" in record.message])


@pytest.mark.parametrize("way", ["call", "map"])
def test_not_committed_is_what_was_computed(path, calls, monkeypatch, way, caplog):
    """A result whose record could not be written is returned as computed; its file is removed."""
    from objcache.errors import StoreFullError
    from objcache.memo._results import Results

    with Store(path, durability="process", secret=SECRET) as store:
        f, _ = plain(store, calls)

        def refuse(*_):
            raise StoreFullError(path, 0, 0, "its disk")

        with monkeypatch.context() as patch:
            patch.setattr(Results, "keep", refuse)
            found = [f(1.0)] if way == "call" else f.map([1.0, 2.0, 1.0])

        assert all(value.flags.writeable for value in found)
        assert [] == side_files(path)
        assert not f.is_cached(1.0)


def test_not_to_be_viewed_is_not_stored(path, calls, monkeypatch, caplog):
    """A result that cannot be mapped is returned as computed, not stored, and leaves no file."""
    from objcache.engine import side_files as module

    with Store(path, durability="process", secret=SECRET) as store:
        f, _ = plain(store, calls)
        f(0.0)
        mapping = module._SideMapping
        seen = []

        def refuse(*arguments, **options):
            seen.append(1)
            if len(seen) == 2:  # the first looks at what was written, for its digest
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return mapping(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(module, "_SideMapping", refuse)
            found = f(1.0)

        assert found.flags.writeable
        assert 1 == len(side_files(path))
        assert not f.is_cached(1.0)
    assert ["Too many open files" in record.message for record in caplog.records] == [True]


class Unreadable:
    """What can be stored, and not be read."""

    def __init__(self):
        self.content = array()

    def __setstate__(self, state):
        raise TypeError("no way back")


def test_not_to_be_read_is_not_stored(path, calls, caplog):
    """A result that cannot be decoded again is returned as computed, and leaves no file."""
    with Store(path, durability="process", secret=SECRET) as store:

        @store.memoize(copy=False)
        def f():
            return Unreadable()

        assert f().content.flags.writeable
        assert [] == side_files(path)
        assert not f.is_cached()
    assert ["no way back" in record.message for record in caplog.records] == [True]


def test_overwritten_while_it_is_stored(path, calls, monkeypatch):
    """Who computes gets a view of what it stored, though another has replaced it since."""
    from objcache.memo._results import Results

    with Store(path, durability="commit", secret=SECRET) as store:
        f, _ = plain(store, calls)
        keep = Results.keep

        def keep_and_replace(self, kept):
            stored = keep(self, kept)
            monkeypatch.undo()
            f.put(array(9.0), 1.0)
            return stored

        monkeypatch.setattr(Results, "keep", keep_and_replace)

        assert is_view(f(1.0), 1.0)
        assert is_view(f(1.0), 9.0)
        assert 1 == len(side_files(path))


def test_results_that_are_not_wanted_are_as_computed(store, calls):
    """What `cache_if` turns down is returned as it was computed."""
    f, _ = plain(store, calls, cache_if=lambda value: value[0] > 1)

    assert f(1.0).flags.writeable
    assert is_view(f(2.0), 2.0)


def test_exceptions_are_copies(store, calls):
    """A stored exception is raised as ever, with arrays of the catcher's own."""

    @store.memoize(copy=False, cache_exceptions=ValueError)
    def f(x):
        calls.append(x)
        raise ValueError(array(x))

    for _ in range(2):
        with pytest.raises(ValueError, match="0") as caught:
            f(1.0)
        assert caught.value.args[0].flags.writeable
    assert [1.0] == calls
    assert [True] == [entry.value.args[0].flags.writeable for entry in f.entries()]


# -- with other options ----------------------------------------------------------------------------


def test_settings_may_differ(store, calls):
    """One function decorated with and without the option has the same results."""

    def f(x):
        calls.append(x)
        return array(x)

    copies, views = store.memoize(f), store.memoize(copy=False)(f)

    assert copies(1.0).flags.writeable
    assert is_view(views(1.0), 1.0)
    assert is_view(views(2.0), 2.0)
    assert copies(2.0).flags.writeable
    assert [1.0, 2.0] == calls


@pytest.mark.parametrize("options", [{}, {"hot": 5}])
def test_streams_refuse_it(store, options):
    """A generator's items are handed out before they are stored: the option is an error."""

    def plain():
        yield array()

    async def asynchronous():
        yield array()

    for function in (plain, asynchronous):
        with pytest.raises(ValueError, match=r"(copy|hot)= makes no sense for it"):
            store.memoize(copy=False, **options)(function)


def test_stale_and_refreshed_in_the_background(open_store, calls, clock):
    """A stale view is served while another is computed, and stays what it is."""
    store = open_store(clock=clock)
    f, _ = plain(store, calls, expire=10, stale=100)
    before = f(1.0)
    clock.advance(20)
    stale = f(1.0)
    finished(f)

    assert [1.0, 1.0] == calls
    assert all(is_view(value, 1.0) for value in (before, stale, f(1.0)))


def test_audits_and_validations_see_views(store, calls, caplog):
    """Hits that are looked at closer are views too, and equal what is computed."""
    seen = []
    f, _ = plain(
        store,
        calls,
        audit=1.0,
        validate=lambda entry: seen.append(is_view(entry.value, 1.0)) or True,
    )
    f(1.0)

    assert is_view(f(1.0), 1.0)
    assert [True] == seen
    assert [1.0, 1.0] == calls
    assert [] == caplog.record_tuples


def test_who_waits_gets_a_view(store):
    """Threads that wait for another one's computation get views of what it stored."""
    began, end = threading.Event(), threading.Event()

    @store.memoize(copy=False, ignore=("began", "end"))
    def f(x):
        began.set()
        assert end.wait(20)
        return array(x)

    found = []
    threads = [threading.Thread(target=lambda: found.append(f(1.0))) for _ in range(3)]
    threads[0].start()
    assert began.wait(20)
    for thread in threads[1:]:
        thread.start()
    end.set()
    for thread in threads:
        thread.join(20)

    assert [True] * 3 == [is_view(value, 1.0) for value in found]


def test_in_a_transaction(path, calls):
    """Within a transaction the caller sees its result, also after that is rolled back."""
    with Store(path, durability="checkpoint", secret=SECRET, checkpoint_interval=NEVER) as store:
        f, _ = plain(store, calls)
        with pytest.raises(ZeroDivisionError), store.transaction():
            found = [f(1.0), f(1.0)]
            raise ZeroDivisionError
        store.sync()

        assert all(is_view(value, 1.0) for value in found)
        assert [] == side_files(path)
        assert not f.is_cached(1.0)


@pytest.mark.parametrize("compression", ["zlib", "lz4", "zstd"])
def test_compressed_results_are_read_only_too(open_store, compression):
    """A compressed array is in memory, and as read-only as any view, from the first call on."""
    store = open_store(compression=compression)

    @store.memoize(copy=False)
    def f(x):
        return [np.repeat(array(x), 2), np.random.default_rng(1).standard_normal(MANY)]

    for _ in range(2):
        assert [False, False] == [part.flags.writeable for part in f(1.0)]


@pytest.mark.damages
def test_damaged_results_are_misses(path, calls, caplog):
    """A side file that is gone or cut short is told, and the result computed anew."""
    with Store(path, durability="process", secret=SECRET) as store:
        f, _ = plain(store, calls)
        f(1.0)
        for damage in (os.unlink, lambda file: os.truncate(file, 100)):
            (name,) = side_files(path)
            damage(os.path.join(path, "blobs", name))

            assert is_view(f(1.0), 1.0)
        assert [1.0] * 3 == calls
    assert {logging.WARNING} == {record.levelno for record in caplog.records}


def test_processes_share_results(path):
    """What one process has computed another one maps."""
    program = """
        import numpy as np
        with open_store() as store:
            @store.memoize(copy=False, track=None)
            def f(x):
                assert {expected}
                return np.arange(x, x + 100_000)
            value = f(1.0)
            assert not value.flags.writeable and value.sum() == np.arange(1.0, 100_001).sum()
        """
    run(program.replace("{expected}", "True"), path)
    run(program.replace("{expected}", "False"), path)
