"""Versions of a memoized function: an edit never gives out old results, and loses none."""

from __future__ import annotations

import threading

import pytest

from objcache.errors import UnkeyableArgumentError
from tests.unit.hashing.projects import Project

MAIN = """
from .rates import RATE, convert
from .log import note

def f(x, scale=1):
    note(x)
    return convert(x) * scale
"""
SOURCES = {
    "pkg/__init__.py": "",
    "pkg/main.py": MAIN,
    "pkg/rates.py": """
        RATE = 2

        def convert(x):
            # At the present rate.
            return x * RATE
        """,
    "pkg/log.py": """
        seen = []

        def note(x):
            seen.append(x)
        """,
}


@pytest.fixture
def project(tmp_path):
    """A function in a package, with a helper and a constant in another module."""
    with Project(tmp_path).importable() as opened:
        opened.write(SOURCES)
        yield opened


@pytest.fixture
def memoized(project, store):
    """Import the project anew and memoize its function in the store."""

    def load(**options):
        return store.memoize(project.load().f, **options)

    return load


def computed(memoized, *calls):
    """Return which of the *calls* run the function, and check what they return."""
    misses = memoized.cache_info().misses
    ran = []
    for call in calls:
        assert memoized.bypass(*call) == memoized(*call)
        now = memoized.cache_info().misses
        if now > misses:
            ran.append(call)
        misses = now
    return ran


EDITS = [
    ("x * RATE", "x * RATE + 1"),
    ("RATE = 2", "RATE = 3"),
    ("* scale", "- scale"),
    ("scale=1", "scale=5"),
    ("seen.append(x)", "seen.insert(0, x)"),
]


@pytest.mark.parametrize(("old", "new"), EDITS)
def test_edits_open_a_new_version(project, memoized, old, new):
    """After an edit of what the function uses it is computed anew; undone, its results are there."""
    assert [(1,), (2,)] == computed(memoized(), (1,), (2,))
    assert [] == computed(memoized(), (1,), (2,))
    project.edit(old, new)

    assert [(1,)] == computed(memoized(), (1,), (1,))
    project.edit(new, old)
    found = memoized()

    assert [] == computed(found, (1,), (2,))
    assert 3 == found.cache_info().entries


def test_other_edits_do_not(project, memoized):
    """Comments, formatting, docstrings and annotations leave the version as it is."""
    computed(memoized(), (1,))
    project.edit("# At the present rate.", '"""At the present rate."""\n')
    project.edit("def f(x, scale=1):", "def f(\n    x: int,\n    scale: int = 1,\n) -> int:")
    project.edit("seen = []", "\n\n\nseen = []")

    assert [] == computed(memoized(), (1,))


def test_state_does_not(memoized):
    """What the function's helpers have gathered plays no part."""
    first = memoized()
    computed(first, (1,), (2,), (3,))

    assert [] == computed(memoized(), (1,), (2,), (3,))


@pytest.mark.parametrize("track", ["self", None])
def test_track(project, memoized, track):
    """With `track` less than all code, edits of helpers do not count; with None, no edit does."""
    computed(memoized(track=track), (1,))
    project.edit("x * RATE", "x * 2")

    assert [] == computed(memoized(track=track), (1,))
    project.edit("* scale", "* +scale")

    assert ([(1,)] if track else []) == computed(memoized(track=track), (1,))


@pytest.mark.parametrize("track", ["code", "self", None])
def test_version(memoized, track):
    """`version=` is whatever value; each has results of its own."""
    for version in (None, 1, "1", 1.0, (1, {"a": [2]})):
        assert [(1,)] == computed(memoized(track=track, version=version), (1,), (1,)), version
    for version in (None, 1, "1", 1.0, (1, {"a": [2]})):
        assert [] == computed(memoized(track=track, version=version), (1,)), version


def test_version_without_value(memoized):
    """A `version=` that cannot be keyed is refused at a call."""
    with pytest.raises(UnkeyableArgumentError):
        memoized(version=object())(1)


# -- keeping results over an edit --------------------------------------------------------------------


def test_keep_entries(project, memoized):
    """`keep_entries` takes the results of the version before for those of this one."""
    computed(memoized(), (1,), (2,))
    project.edit("x * RATE", "RATE * x")
    kept = memoized()

    assert 2 == kept.keep_entries()
    assert [(3,)] == computed(kept, (1,), (2,), (3,))
    assert [] == computed(memoized(), (1,), (2,), (3,))


def test_keep_entries_of_the_version_used_last(project, memoized, clock, open_store, path):
    """The version before is the one that was used last, not the one that was made last."""
    with open_store(clock=clock) as store:

        def load():
            clock.advance(1)
            return store.memoize(project.load().f)

        load()(1)
        project.edit("RATE = 2", "RATE = 3")
        load()(2)
        load()(3)
        project.edit("RATE = 3", "RATE = 2")
        load()(4)
        project.edit("x * RATE", "RATE * x")
        kept = load()

        assert 2 == kept.keep_entries()
        assert [True, False, False, True] == [kept.is_cached(x) for x in (1, 2, 3, 4)]
        assert [2, 8] == [kept(1), kept(4)]


def test_keep_entries_without_another_version(memoized):
    """Where there is no version before, none is kept; asking twice changes nothing."""
    first = memoized()

    assert 0 == first.keep_entries()
    computed(first, (1,))

    assert 0 == first.keep_entries()
    assert [] == computed(memoized(), (1,))


def test_keep_entries_and_edits_after_it(project, memoized):
    """Kept results belong to both versions; a further edit opens a version of its own."""
    computed(memoized(), (1,))
    project.edit("x * RATE", "RATE * x")
    memoized().keep_entries()
    project.edit("RATE * x", "RATE * x * 2")

    assert [(1,)] == computed(memoized(), (1,))
    project.edit("RATE * x * 2", "RATE * x")

    assert [] == computed(memoized(), (1,))
    project.edit("RATE * x", "x * RATE")

    assert [] == computed(memoized(), (1,))


# -- parameters that are added -------------------------------------------------------------------------


WIDER = ("def f(x, scale=1):", "def f(x, scale=1, *, unit=None, places=2):")
WIDEST = (WIDER[1], "def f(x, scale=1, *, unit=None, places=2, mode='a'):")
SINCE = {"unit": None, "places": 2}


def test_since_keeps_results(project, memoized):
    """Parameters of `since` with the value for their absence are answered by the results before."""
    computed(memoized(), (1,), (2, 3))
    project.edit(*WIDER)
    wider = memoized(since=SINCE)

    assert [] == computed(wider, (1,), (2, 3))
    assert wider.is_cached(1, unit=None, places=2)
    assert not wider.is_cached(1, unit="m")
    assert not wider.is_cached(1, places=3)
    assert not wider.is_cached(1, places=2.0)
    assert not wider.is_cached(1, unit="m", places=3)


def test_since_tells_other_values_apart(project, memoized):
    """Each other value of such a parameter is a key of its own, that stays."""
    project.edit(*WIDER)
    wider = memoized(since=SINCE)
    for unit in (None, "m", "km"):
        for places in (2, 3):
            wider(1, unit=unit, places=places)

    assert 6 == wider.cache_info().misses
    again = memoized(since=SINCE)
    again(1, unit="km")
    again(1)

    assert 6 == again.cache_info().misses


def test_since_and_a_further_edit(project, memoized):
    """`since` keeps the results of the version before, not those of every later edit."""
    computed(memoized(), (1,))
    project.edit(*WIDER)
    computed(memoized(since=SINCE), (1,), (2,))
    project.edit("x * RATE", "x * RATE * 3")

    assert [(1,), (2,)] == computed(memoized(since=SINCE), (1,), (2,))
    project.edit("x * RATE * 3", "x * RATE")

    assert [] == computed(memoized(since=SINCE), (1,), (2,))


def test_since_twice(project, memoized):
    """A second parameter that is added keeps the results again."""
    computed(memoized(), (1,))
    project.edit(*WIDER)
    computed(memoized(since=SINCE), (1,), (2,))
    project.edit(*WIDEST)
    widest = memoized(since={**SINCE, "mode": "a"})

    assert [] == computed(widest, (1,), (2,))
    assert not widest.is_cached(1, mode="b")


def test_without_since(project, memoized):
    """Without `since` a new parameter is an edit like others."""
    computed(memoized(), (1,))
    project.edit(*WIDER)

    assert [(1,)] == computed(memoized(), (1,))


# -- names that there are not -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"since": {"unitt": 1}},
            r"since={'unitt': ...} is no parameter of f that counts; .*x, scale",
        ),
        ({"since": {"scale": 1}, "ignore": ["scale"]}, "since={'scale': ...} is no parameter of f"),
        ({"ignore": ["scael"]}, "ignore='scael' is no parameter of f"),
        ({"key": lambda x: x, "ignore": ["x"]}, "key= makes the whole key"),
        ({"key": lambda x: x, "since": {"x": 1}}, "key= makes the whole key"),
        ({"track": "all"}, "track='all' is not"),
    ],
)
def test_wrong_names(memoized, options, message):
    """A name in `since` or `ignore` that is no parameter is an error where it is written."""
    with pytest.raises(ValueError, match=message):
        memoized(**options)


@pytest.mark.parametrize(
    ("options", "kind"), [({"ignore": "x"}, "ignore"), ({"since": ["x"]}, "since")]
)
def test_wrong_types(memoized, options, kind):
    """One text is no list of names, and a list no dict of defaults."""
    with pytest.raises(TypeError, match=f"{kind}= is a"):
        memoized(**options)


# -- closures -------------------------------------------------------------------------------------------


class Client:
    """Something with a lock inside."""

    def __init__(self, url):
        self.url = url
        self.lock = threading.Lock()


def query(client, table):
    """Return a function that closes over *client* and *table*."""

    def f(x):
        return client.url, table, x

    return f


def test_closures(store):
    """A variable of the closure counts; one without a stable value is named at a call."""
    refused = store.memoize(query(Client("a"), "t"))
    with pytest.raises(UnkeyableArgumentError) as caught:
        refused(1)

    assert "query.<locals>.f: closure variable client.lock" == caught.value.path
    assert "ignore=" in str(caught.value)


def test_ignored_closures(store):
    """`ignore` takes variables of the closure; the others count still."""
    first, same, other = (
        store.memoize(query(Client(url), table), ignore=("client",))
        for url, table in (("a", "t"), ("b", "t"), ("a", "u"))
    )

    assert ("a", "t", 1) == first(1)
    assert ("a", "t", 1) == same(1)
    assert ("a", "u", 1) == other(1)
    with pytest.raises(ValueError, match="ignore='clint' is no parameter"):
        store.memoize(query(Client("a"), "t"), ignore=("clint",))


def test_state_in_closures(store):
    """A function that counts its calls in its closure keeps its results."""

    def counted():
        calls = 0
        seen = []

        def f(x):
            nonlocal calls
            calls += 1
            seen.append(x)
            return calls

        return store.memoize(f)

    one = counted()

    assert [1, 2, 1] == [one(1), one(2), one(1)]
    assert [1, 2, 1] == [counted()(1), counted()(2), counted()(1)]


# -- functions that look alike -----------------------------------------------------------------------


def test_two_lambdas_of_one_line(store):
    """Lambdas of one line have results of their own, whatever is tracked."""
    for track in ("code", "self", None):
        plus, minus = (store.memoize(f, track=track) for f in (lambda x: x + 1, lambda x: x - 1))

        assert [3, 1, 3, 1] == [plus(2), minus(2), plus(2), minus(2)]


def test_two_functions_of_one_name(store):
    """A function that is defined anew has results of its own."""

    def f(x):
        return x + 1

    first = store.memoize(f)

    def f(x):
        return x - 1

    second = store.memoize(f)

    assert [3, 1, 3, 1] == [first(2), second(2), first(2), second(2)]


def test_memoized_helpers_count(project, memoized):
    """A helper that is memoized counts by its own code, once."""
    project.edit("def convert", "import objcache\n@objcache.memoize\ndef convert")
    source = project.load()

    assert source.convert.__wrapped__.__name__ == "convert"
    plain = memoized()
    before = plain.__objcache_recall__.results.identity.components
    project.edit("@objcache.memoize\n", "@objcache.memoize(expire=60)\n")

    assert before == memoized().__objcache_recall__.results.identity.components
    project.edit("x * RATE", "x * RATE * 2")

    assert before != memoized().__objcache_recall__.results.identity.components
    assert not [label for label in before if "objcache" in label]


def test_running_code_keeps_its_results_apart(project, memoized):
    """A process whose file was edited after it was imported never stores under the new version."""
    running = memoized()
    project.edit("* scale", "- scale", recently=True)

    assert 2 == running(1)
    assert [(1,)] == computed(memoized(), (1,))
