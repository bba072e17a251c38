"""What a memoized function offers beside being called."""

from __future__ import annotations

import pytest

from objcache import Entry
from tests.scripts import run


@pytest.fixture
def f(store, calls):
    """A memoized function of two parameters."""

    @store.memoize
    def f(x, scale=1):
        calls.append((x, scale))
        return [x * scale]

    return f


def test_cache_info_counts_all_processes(path, open_store):
    """Hits, misses, entries, bytes and seconds saved are those of all processes together."""
    code = """
        store = open_store()
        @store.memoize
        def f(x):
            return x
        f(1), f(1), f(int(sys.argv[2]))
        print(*f.cache_info()[:3])
        store.close()
    """

    assert ["1 2 2\n", "3 3 3\n"] == [run(code, path, "5"), run(code, path, "6")]


def test_a_killed_process_has_counted(path):
    """What a process has counted stays when it is killed."""
    code = """
        store = open_store()
        @store.memoize
        def f(x):
            return x
        f(1), f(1), f(1)
        if sys.argv[2] == "kill":
            print(end="", flush=True)
            os.kill(os.getpid(), 9)
        print(*f.cache_info()[:2])
        store.close()
    """
    with pytest.raises(AssertionError):
        run(code, path, "kill")

    assert "5 1\n" == run(code, path, "stay")


def test_hits_do_not_write(store, f):
    """Counting a hit is no write to the store."""
    f(1)
    transaction = store.stats().last_transaction_id
    for _ in range(10):
        f(1)

    assert 10 == f.cache_info().hits
    assert transaction == store.stats().last_transaction_id


def test_cache_info_tells_bytes_and_seconds(timed, clock):
    """The size of the records, and what the hits have saved."""

    @timed.memoize
    def f(x):
        clock.advance(2.5)
        return "x" * x

    f(1000), f(1000), f(1000), f(2000)
    info = f.cache_info()

    assert (2, 2, 2) == info[:3]
    assert 5.0 == info.saved_s
    assert 3000 < info.size_bytes < 3200
    f.forget(2000)
    assert 1000 < f.cache_info().size_bytes < 1100


def test_cache_clear_counts_from_zero(f):
    """Without results there are no counts."""
    f(1), f(1)
    assert 1 == f.cache_clear()
    assert (0, 0, 0, 0, 0.0) == f.cache_info()
    f(1)
    assert (0, 1, 1) == f.cache_info()[:3]


def test_cache_key(f):
    """Calls that are one call have one key; it is that of the entry."""
    f(1)

    assert f.cache_key(1) == f.cache_key(x=1) == f.cache_key(1, scale=1)
    assert f.cache_key(1) != f.cache_key(1.0)
    assert [f.cache_key(1)] == [entry.key for entry in f.entries()]


def test_is_cached(f, calls):
    """Tells whether a call would be answered from the store, without calling or counting."""
    assert not f.is_cached(1)
    f(1)
    assert f.is_cached(x=1)
    assert [(1, 1)] == calls
    assert (0, 1) == f.cache_info()[:2]


def test_refresh(f, calls):
    """Runs the function and replaces what is stored."""
    f.put("old", 1)
    assert "old" == f(1)
    assert [1] == f.refresh(1) == f(1)
    assert [(1, 1)] == calls


def test_forget(f, calls):
    """Removes the result of one call, and says whether there was one."""
    f(1), f(2)
    assert f.forget(1)
    assert not f.forget(1)
    f(1), f(2)
    assert [(1, 1), (2, 1), (1, 1)] == calls


def test_bypass(f, calls):
    """Runs the plain function and leaves the store alone."""
    f.put("stored", 1)
    assert [3] == f.bypass(1, scale=3)
    assert [1] == f.bypass(1)
    assert "stored" == f(1)
    assert (1, 0, 1) == f.cache_info()[:3]


def test_put(f, calls):
    """Stores a result that was found elsewhere."""
    f.put([42], 7, scale=6)
    assert [42] == f(7, 6)
    assert [] == calls


def test_put_raises_what_it_cannot_store(f):
    """Who puts a result wants to know that it is not stored."""
    from objcache import EncodeError

    with pytest.raises(EncodeError):
        f.put(lambda: 0, 1)


def test_entries(timed, clock):
    """The stored results with their arguments, cost, size, age and version."""

    @timed.memoize(expire=100, tag="a")
    def f(x, *, name="ada"):
        clock.advance(1.5)
        return {"x": x}

    f(1), f([2, 3], name="alan")
    clock.advance(10)
    entries = sorted(f.entries(), key=lambda entry: entry.created)

    assert [{"x": "1", "name": "'ada'"}, {"x": "[2, 3]", "name": "'alan'"}] == [
        entry.arguments for entry in entries
    ]
    one = entries[0]
    assert isinstance(one, Entry)
    assert (1.5, 11.5, ("a",), True, False) == (
        one.cost_s,
        one.age_s,
        one.tags,
        one.current,
        one.raised,
    )
    assert 1_000_101.5 == one.deadline
    assert {"x": 1} == one.value
    assert 0 < one.size_bytes < 200
    assert "<objcache.Entry (x=1, name='ada') of 1.5 s" in repr(one)
    assert 32 == len(one.version)
    f.cache_clear()
    with pytest.raises(KeyError):
        _ = entries[1].value


def test_map(f, calls, store):
    """Computes what is missing, equal arguments once, and keeps the order."""
    f(2)
    steps = []
    before = store.stats().last_transaction_id
    found = f.map([1, 2, 3, 1, 2], progress=lambda done, total: steps.append((done, total)))

    assert [[1], [2], [3], [1], [2]] == found
    assert [(2, 1), (1, 1), (3, 1)] == calls
    assert [(2, 5), (4, 5), (5, 5)] == steps
    assert before + 1 == store.stats().last_transaction_id
    assert (3, 3, 3) == f.cache_info()[:3]
    assert found == f.map([1, 2, 3, 1, 2])
    assert 3 == len(calls)
    assert found[0] is not found[3]


def test_map_takes_several_iterables(f, calls):
    """As `map` does: one for each positional argument, as long as the shortest."""
    assert [[2], [6]] == f.map([1, 2, 3], iter([2, 3]))
    assert [] == f.map([])


def test_map_keeps_what_it_has(store, calls):
    """What was computed before a failure is stored."""

    @store.memoize
    def f(x):
        calls.append(x)
        return 1 / x

    with pytest.raises(ZeroDivisionError):
        f.map([1, 2, 0, 4])
    assert [1, 2, 0] == calls
    assert f.is_cached(2)
    assert not f.is_cached(4)


def test_map_writes_each_second(timed, clock, calls):
    """A long map does not keep all it has computed in memory until the end."""

    @timed.memoize
    def f(x):
        calls.append(sum(f.is_cached(y) for y in range(x)))
        clock.advance(0.6)
        return x

    f.map(range(4))

    assert [0, 0, 2, 2] == calls


def test_map_and_what_cannot_be_stored(store, caplog):
    """Results that cannot be stored are in the answer all the same."""

    @store.memoize
    def f(x):
        return (lambda: x) if x else x

    found = f.map([0, 1, 1])
    assert [0, 1, 1] == [found[0], found[1](), found[2]()]
    assert 1 == len(caplog.records)


def test_map_raises_stored_exceptions(store, calls):
    """A stored exception is raised, as the call would."""

    @store.memoize(cache_exceptions=(ValueError,))
    def f(x):
        calls.append(x)
        raise ValueError(x)

    for _ in range(2):
        with pytest.raises(ValueError, match="1"):
            f.map([1])
    assert [1] == calls


# -- why -------------------------------------------------------------------------------------


def test_why_never_called(f):
    """There is nothing to compare with."""
    assert "never called" == str(f.why(1))


def test_why_hit(timed, clock):
    """A call that would be answered says since when."""

    @timed.memoize
    def f(x):
        return x

    f(1)
    clock.advance(7200)
    assert "hit; stored 2 h ago" == str(f.why(1))


def test_why_expired(timed, clock):
    """A result that is over says since when."""

    @timed.memoize(expire=60)
    def f(x):
        return x

    f(1)
    clock.advance(240)
    assert "expired; 3 min ago; stored 4 min ago" == str(f.why(1))


def test_why_arguments(timed, clock):
    """The nearest entry names the parameters that differ, and how."""

    @timed.memoize
    def f(a, b, c=3, *, options=None):
        return 0

    f(1, [1, 2, 3], options={"depth": 5, "names": ["a", "b"]})
    f(9, 9, 9)
    clock.advance(3 * 3600)
    explanation = f.why(1, [1, 2, 4], options={"depth": 6, "names": ["a", "b"]})

    assert "arguments" == explanation.reason
    assert (
        "b[2]: 3 -> 4",
        "options['depth']: 5 -> 6",
        "the other 2 of 4 arguments match an entry of 3 h ago",
    ) == explanation.details


def test_why_frames(store):
    """A frame says which column differs, and in what."""
    pd = pytest.importorskip("pandas")

    @store.memoize
    def f(df, a=1):
        return 0

    frame = pd.DataFrame({"price": [1.0, 2.0], "name": ["a", "b"]})
    f(frame)
    other = frame.astype({"price": "float32"})

    assert "dtype of column 'price' of df: float64 -> float32" in str(f.why(other))


def test_why_code(store):
    """An edit names the function that was edited."""

    def made(body):
        scope = {"__name__": "edited"}
        exec(f"def clean(x):\n    return {body}\ndef f(x):\n    return clean(x)", scope)
        return store.memoize(scope["f"])

    made("x")(1)

    explanation = made("-x").why(1)
    assert "code" == explanation.reason
    assert "code of helper `clean` changed" in explanation.details


def test_why_removed(f, store):
    """A result whose record is gone says so."""
    f(1)
    results = f.__objcache_recall__.results
    opened = results.opened
    opened.mapping.delete_many([opened.results.stem + f.__objcache_recall__.binding.tail((1, 1))])

    assert "evicted" == f.why(1).reason


def test_why_refused(store):
    """A result that `validate` turned down says so."""

    @store.memoize(validate=lambda entry: False)
    def f(x):
        return x

    f(1)
    assert "refused" == f.why(1).reason


def test_keep_entries(store, calls):
    """After an edit that changed nothing, the results of the version before are taken over."""

    def made(body):
        scope = {"__name__": "edited", "calls": calls}
        exec(f"def f(x):\n    calls.append(x)\n    return {body}", scope)
        return store.memoize(scope["f"])

    made("x + x")(1)
    edited = made("2 * x")
    assert not edited.is_cached(1)
    assert 1 == edited.keep_entries()
    assert 2 == edited(1)
    assert [1] == calls
    assert made("x + x").is_cached(1)
    assert made("2 * x").is_cached(1)
    assert not made("3 * x").is_cached(1)
    assert 0 == made("2 * x").keep_entries()
