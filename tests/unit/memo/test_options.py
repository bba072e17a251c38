"""The options of `memoize`: each does what it says, and nonsense is refused with the remedy."""

from __future__ import annotations

import datetime
import logging

import pytest

import objcache
from objcache.errors import AuditError, EncodeError
from tests.unit.memo.conftest import finished

# -- expiry ----------------------------------------------------------------------------------


@pytest.mark.parametrize("expire", [10, 10.0, datetime.timedelta(seconds=10)])
def test_expire(timed, clock, calls, expire):
    """A result is good for so many seconds, and computed anew afterwards."""

    @timed.memoize(expire=expire)
    def f(x):
        calls.append(x)
        return len(calls)

    assert [1, 1] == [f(0), f(0)]
    clock.advance(9.9)
    assert 1 == f(0)
    clock.advance(0.2)
    assert [2, 2] == [f(0), f(0)]


def test_stale(timed, clock, calls):
    """For some time after its end a result is served while a new one is computed."""

    @timed.memoize(expire=10, stale=5)
    def f(x):
        calls.append(x)
        return len(calls)

    assert 1 == f(0)
    clock.advance(12)
    assert 1 == f(0)
    finished(f)
    assert [2, 2] == [f(0), f(0)]
    clock.advance(15.1)
    assert 3 == f(0)


def test_stale_failures_are_told_and_the_old_result_served(timed, clock, calls, caplog):
    """What fails in the background is logged; the next caller tries again."""

    @timed.memoize(expire=10, stale=5)
    def f(x):
        calls.append(x)
        if len(calls) == 2:
            raise ZeroDivisionError("behind the scenes")
        return len(calls)

    assert 1 == f(0)
    clock.advance(12)
    assert 1 == f(0)
    finished(f)
    assert 1 == f(0)
    finished(f)
    assert 3 == f(0)
    assert "behind the scenes" in caplog.text


def test_early(timed, clock, calls):
    """A result that took long is computed anew before its end: the nearer, the likelier (XFetch)."""

    @timed.memoize(expire=100, early=1.0)
    def f(x):
        calls.append(x)
        clock.advance(10)
        return len(calls)

    recall = f.__objcache_recall__
    recall.random = lambda: 0.0
    assert [1, 1] == [f(0), f(0)]
    recall.random = lambda: 1 - 2.0**-20  # 10 s of computing times 13.86: the gap is 138 s
    assert 1 == f(0)
    finished(f)
    recall.random = lambda: 0.5  # the gap is 6.9 s
    clock.advance(93)
    assert 2 == f(0)
    assert [] == [thread for thread in recall.refreshers if thread.is_alive()]
    clock.advance(0.2)
    assert 2 == f(0)
    finished(f)
    assert 3 == f(0)


def test_durations_are_refused_if_they_are_none(store):
    """A duration is a number of seconds, or a timedelta, and not negative."""
    with pytest.raises(TypeError, match="expire= is a number of seconds or a timedelta, not str"):
        store.memoize(expire="1h")
    with pytest.raises(ValueError, match="expire=-1 is not a duration"):
        store.memoize(expire=-1)
    with pytest.raises(ValueError, match="expire=0 would store results that are over at once"):
        store.memoize(expire=0)
    with pytest.raises(ValueError, match="stale= is how long .* after expire=; give both"):
        store.memoize(stale=5)
    with pytest.raises(ValueError, match="early= refreshes .* before expire=; give both"):
        store.memoize(early=1.0)


# -- what is stored --------------------------------------------------------------------------


def test_tags(store, calls):
    """`cache_clear(tag)` removes the results with that tag, and no others."""

    @store.memoize(tag=("reports", "daily"))
    def f(x):
        calls.append(x)
        return x

    @store.memoize(tag="reports")
    def g(x):
        calls.append(x)
        return x

    f(1), f(2), g(1)
    assert ("reports", "daily") == next(f.entries()).tags
    assert 0 == f.cache_clear("weekly")
    assert 2 == f.cache_clear("daily")
    assert [1, 1] == [f(1), g(1)]
    assert [1, 2, 1, 1] == calls


def test_cache_if(store, calls):
    """A result for which `cache_if` says no is returned and not stored."""

    @store.memoize(cache_if=lambda result: result is not None)
    def f(x):
        calls.append(x)
        return None if x < 0 else x

    assert [None, None, 1, 1] == [f(-1), f(-1), f(1), f(1)]
    assert [-1, -1, 1] == calls


def test_cache_exceptions(store, calls):
    """Exceptions of these types are stored and raised again; others are not."""

    @store.memoize(cache_exceptions=(LookupError,))
    def f(x):
        calls.append(x)
        raise {0: KeyError("none"), 1: ValueError("bad")}[x]

    for _ in range(2):
        with pytest.raises(KeyError, match="none"):
            f(0)
        with pytest.raises(ValueError, match="bad"):
            f(1)

    assert [0, 1, 1] == calls
    assert [True] == [entry.raised for entry in f.entries()]
    assert "none" == next(f.entries()).value.args[0]


def test_a_result_replaces_an_exception(timed, clock, calls):
    """A result that is stored after an exception is what is served from then on."""

    @timed.memoize(cache_exceptions=(ValueError,), expire=10)
    def f(x):
        calls.append(x)
        if len(calls) == 1:
            raise ValueError(x)
        return len(calls)

    with pytest.raises(ValueError, match="0"):
        f(0)
    clock.advance(11)
    assert [2, 2] == [f(0), f(0)]
    assert [False] == [entry.raised for entry in f.entries()]


def test_validate(timed, clock, calls):
    """A hit for which `validate` says no is computed again; it is given the entry."""
    seen = []

    @timed.memoize(validate=lambda entry: seen.append(entry) or entry.age_s < 5)
    def f(x):
        calls.append(x)
        return len(calls)

    assert [1, 1] == [f(0), f(0)]
    clock.advance(6)
    assert [2, 2] == [f(0), f(0)]
    assert {"x": "0"} == seen[0].arguments
    assert 1 == seen[0].value


def test_validate_is_asked_about_long_keys_too(store):
    """Whether the key is short or a digest makes no difference."""
    asked = []

    @store.memoize(validate=lambda entry: asked.append(entry.value) or True)
    def f(x):
        return 5

    f(["x" * 200]), f(["x" * 200])
    assert [5] == asked


# -- in memory -------------------------------------------------------------------------------


def test_hot_results_are_copies(store, calls):
    """Callers may change what they get; the next one gets what was stored."""

    @store.memoize(hot=10)
    def f(x):
        calls.append(x)
        return [x]

    for _ in range(3):
        result = f(1)
        result.append("changed")
        assert [1, "changed"] == result
    assert [1] == calls


def test_hot_results_are_shared_if_asked(store):
    """With `copy=False` all callers get the same object."""

    @store.memoize(hot=10, copy=False)
    def f(x):
        return [x]

    f(1)
    assert f(1) is f(1)


def test_hot_results_are_current(store, open_store):
    """What another user of the store has written, removed or cleared is seen at once."""

    def f(x):
        return "computed"

    hot, plain = store.memoize(hot=10)(f), open_store().memoize(f)
    for change, expected in (
        (lambda: plain.put("another", 1), "another"),
        (lambda: plain.put("a third", 1), "a third"),
        (lambda: plain.forget(1), "computed"),
        (lambda: plain.put("again", 1), "again"),
        (lambda: plain.cache_clear(), "computed"),
    ):
        assert hot(1) == hot(1) == hot(x=1)
        change()
        assert expected == hot(1), expected


def test_hot_results_survive_other_commits(store, calls):
    """A commit that has nothing to do with a result does not cost it its place."""

    @store.memoize(hot=10)
    def f(x):
        return [x]

    f(1), f(1)
    recall = f.__objcache_recall__
    entry = next(iter(recall.hot.served.values()))
    store["other"] = 1
    assert [1] == f(1)
    assert [entry] == list(recall.hot.served.values())


def test_hot_results_expire(timed, clock, calls):
    """A result in memory ends as the stored one does."""

    @timed.memoize(hot=10, expire=5)
    def f(x):
        calls.append(x)
        return x

    f(1), f(1)
    clock.advance(6)
    f(1)
    assert [1, 1] == calls


def test_hot_results_are_so_many(store):
    """No more than so many are kept; the ones that were used stay."""

    @store.memoize(hot=3)
    def f(x):
        return x

    for x in (1, 1, 2, 2, 3, 3, 1, 1, 4, 4, 5, 5):
        f(x)
    served = f.__objcache_recall__.hot.served

    assert 3 == len(served)
    assert f.__objcache_recall__.binding.tail((1,)) in served


def test_hot_counts(store):
    """Hits in memory count like all others."""

    @store.memoize(hot=3)
    def f(x):
        return x

    for _ in range(5):
        f(1)
    assert (4, 1) == f.cache_info()[:2]


def test_hot_types_count(store):
    """In memory as on disk, equal values of different types are different arguments."""

    @store.memoize(hot=10)
    def f(x, y=True):
        return type(x).__name__, type(y).__name__

    for _ in range(3):
        assert ["int", "bool", "float"] == [f(1)[0], f(True)[0], f(1.0)[0]]
        assert ["bool", "int"] == [f(1)[1], f(1, 1)[1]]


def test_defaults_that_change_are_seen_in_memory(store):
    """A mutable default that was changed is another argument."""

    def f(x, y=[]):  # noqa: B006  # the point
        return list(y)

    hot = store.memoize(hot=10)(f)
    assert [[], []] == [hot(1), hot(1)]
    f.__defaults__[0].append(2)
    assert [2] == hot(1)


# -- checking hits ---------------------------------------------------------------------------


def test_audit(store, caplog):
    """Some hits are computed again; a result that differs is reported with both digests."""
    outside = {"rate": 1}

    @store.memoize(audit=0.01, ignore=("outside",))
    def f(x):
        return x * outside["rate"]

    recall = f.__objcache_recall__
    recall.random = lambda: 0.02
    f(5), f(5)
    outside["rate"] = 2
    assert 5 == f(5)
    assert not caplog.records
    recall.random = lambda: 0.005
    assert 5 == f(5)
    assert "f(x=5) is stored with digest" in caplog.text
    assert "could not be confirmed" in caplog.text


def test_strict_audit(store):
    """A strict function raises what an audit finds."""
    outside = {"rate": 1}

    @store.memoize(audit=1.0, strict=True, ignore=("outside",))
    def f(x):
        return x * outside["rate"]

    assert [5, 5] == [f(5), f(5)]
    outside["rate"] = 2
    with pytest.raises(AuditError) as caught:
        f(5)
    assert caught.value.stored_digest != caught.value.computed_digest


def test_strict_args(store, calls):
    """The whole encoded arguments are stored and compared: a collision would be no hit."""

    @store.memoize(strict_args=True)
    def f(x):
        calls.append(len(x))
        return len(x)

    long = "x" * 1000
    assert [1000, 1000, 3, 3] == [f(long), f(long), f("abc"), f("abc")]
    assert [1000, 3] == calls
    opened = f.__objcache_recall__.results.opened
    (key,) = opened.arguments.keys()
    opened.arguments[key] += b"a collision"
    assert 1000 == f(long)
    assert [1000, 3, 1000] == calls


def test_strict_args_with_arguments_that_change(store, calls):
    """The arguments count as they are given, also if the function changes them."""

    @store.memoize(strict_args=True)
    def f(rows):
        calls.append(len(rows))
        rows.append("more")
        return len(rows)

    assert [101, 101] == [f(["a row of text"] * 100), f(["a row of text"] * 100)]
    assert [100] == calls
    assert "a row of text" in next(f.entries()).arguments["rows"]
    assert "more" not in next(f.entries()).arguments["rows"]


def test_strict_raises_what_would_be_logged(store):
    """`strict=True` turns soft failures into errors."""

    @store.memoize(strict=True)
    def f(x):
        return lambda: x

    with pytest.raises(EncodeError):
        f(1)


# -- keys ------------------------------------------------------------------------------------


def test_version(store, calls):
    """Another `version` is another version; the same one finds its results again."""

    def f(x):
        calls.append(x)
        return x

    for version in (1, 2, 1, (1, "a"), 2):
        store.memoize(version=version)(f)(0)
    assert 3 == len(calls)


def test_since(store, calls):
    """A parameter that is added later leaves the results from before where they are."""

    def before(x):
        calls.append((x,))
        return x

    def after(x, scale=1):
        calls.append((x, scale))
        return x * scale

    before.__qualname__ = after.__qualname__ = "f"
    store.memoize(before)(7)
    f = store.memoize(since={"scale": 1})(after)

    assert [7, 7, 7, 14, 14] == [f(7), f(7, 1), f(7, scale=1), f(7, 2), f(7, scale=2)]
    assert [(7,), (7, 2)] == calls


def test_since_is_typed(store, calls):
    """A value of another type than the absent one is another argument."""

    @store.memoize(since={"scale": 1})
    def f(x, scale=1):
        calls.append(scale)
        return scale

    f(1), f(1, 1), f(1, 1.0), f(1, True)
    assert [1, 1.0, True] == calls


def test_ignore_takes_variables_of_the_closure(store, calls):
    """What a closure holds may be left out by name like an argument."""

    def make(client):
        @store.memoize(ignore=("client",))
        def fetch(url):
            calls.append(client)
            return url

        return fetch

    make(object())("a")
    make(object())("a")
    assert 1 == len(calls)


def test_options_that_contradict(store):
    """Options that make no sense together are refused, and so are unknown ones."""
    for options, message in (
        ({"key": len, "ignore": ("x",)}, "key= makes the whole key itself"),
        ({"track": "all"}, "track='all' is not 'code', 'self' or None"),
        ({"audit": 2}, "audit=2 is a share of the hits"),
        ({"on_timeout": "wait"}, "on_timeout='wait' is not 'raise' or 'compute'"),
        ({"hot": -1}, "hot=-1 is negative"),
        ({"tag": "\ud800"}, "has a lone surrogate"),
        ({"since": {"scale": 1}}, "since={'scale': ...} is no parameter of"),
    ):
        with pytest.raises(ValueError, match=message):
            store.memoize(**options)(lambda x: x)
    for options, message in (
        ({"ttl": 5}, "memoize has no option 'ttl'; it has audit, "),
        ({"ignore": "log"}, "ignore= is a list of names, not the one str 'log'"),
        ({"tag": 5}, "not iterable|takes non-empty str"),
        ({"cache_if": 5}, "cache_if= is a function, not int"),
        ({"cache_exceptions": (BaseException,)}, "takes subclasses of Exception"),
        ({"reads": ["x.csv"]}, "reads= takes File, Env and Package, not str"),
        ({"single_flight": 1}, "single_flight= is True or False, not int"),
        ({"hot": "10"}, "hot= is a number of results, not str"),
    ):
        with pytest.raises(TypeError, match=message):
            store.memoize(**options)(lambda x: x)
    with pytest.raises(
        TypeError, match="store= is a Store, a namespace of one, or a Cache, not str"
    ):
        objcache.memoize(store="directory")


def test_generators_refuse_options_of_results(store):
    """Options about one finished result are refused where there is none."""

    def f():
        yield 1

    for options in ({"hot": 5}, {"audit": 0.5}, {"cache_if": bool}, {"cache_exceptions": KeyError}):
        with pytest.raises(ValueError, match="is a generator function, .*makes no sense for it"):
            store.memoize(**options)(f)


def test_warnings_are_told_once_for_each_cause(store, caplog):
    """A function that fails to be stored each time does not fill the log."""

    @store.memoize
    def f(x):
        return lambda: x

    with caplog.at_level(logging.WARNING, "objcache"):
        f(1), f(2), f(3)
    assert 1 == len(caplog.records)
