"""The eviction bench: traces, and the simulators that caches are compared with."""

import gzip
import itertools
import random
import struct
import subprocess
import sys
import tempfile

import pytest

from bench.eviction._contestants import Bound, contestants
from bench.eviction._run import Plan, replay, run
from bench.eviction._simulators import clairvoyant, lru
from bench.eviction._table import losses
from bench.eviction._traces import Trace, TraceError, read_trace, read_traces


def write(path, keys, sizes=None, times=None, magic=b"OCTRACE1"):
    flags = (sizes is not None) + 2 * (times is not None)
    numbers = [struct.pack(f"<{len(keys)}Q", *keys)]
    numbers += [struct.pack(f"<{len(each)}I", *each) for each in (sizes, times) if each is not None]
    with gzip.open(path, "wb") as file:
        file.write(struct.pack("<8sII", magic, len(keys), flags) + b"".join(numbers))


def plain_lru(keys, sizes, limit):
    """Count hits with a list, the newest last."""
    held, hits, hit_bytes = [], 0, 0
    for key, size in zip(keys, sizes, strict=True):
        before = [each for each in held if each[0] == key]
        if before:
            hits, hit_bytes = hits + 1, hit_bytes + size
            held.remove(before[0])
            held.append(before[0])
        elif size <= limit:
            held.append((key, size))
            while sum(each for _, each in held) > limit:
                del held[0]
    return hits, hit_bytes


def most_hits(keys, held, limit):
    """Return the most hits that any choice of victims gives, by trying all of them."""
    if not keys:
        return 0
    first, *others = keys
    if first in held:
        return 1 + most_hits(others, held, limit)
    grown = held | {first}
    if len(grown) <= limit:
        return most_hits(others, grown, limit)
    return max(most_hits(others, grown - {victim}, limit) for victim in grown)


def test_a_trace_has_its_keys_and_sizes(tmp_path):
    """What a file says of keys and sizes is what the trace has, times or not."""
    write(tmp_path / "some.trace.gz", [5, 1 << 40, 5], sizes=[7, 8, 9], times=[1, 2, 3])

    trace = read_trace(str(tmp_path / "some.trace.gz"))

    assert ("some", 3) == (trace.name, trace.recorded)
    assert [5, 1 << 40, 5] == list(trace.keys)
    assert [7, 8, 9] == list(trace.sizes)
    assert (2, 15) == (trace.distinct(), trace.distinct_bytes())


def test_a_trace_without_sizes_has_none(tmp_path):
    """Times are not taken for sizes."""
    write(tmp_path / "some.trace.gz", [1, 2], times=[1, 2])

    assert read_trace(str(tmp_path / "some.trace.gz")).sizes is None


def test_a_cut_trace_keeps_its_first_requests(tmp_path):
    """A cut trace says how many requests were recorded, and has the first of them."""
    write(tmp_path / "some.trace.gz", [1, 2, 3], sizes=[4, 5, 6])

    trace = read_trace(str(tmp_path / "some.trace.gz")).cut(2)

    assert (3, [1, 2], [4, 5]) == (trace.recorded, list(trace.keys), list(trace.sizes))


@pytest.mark.parametrize("content", [b"", b"OCTRACE1", b"OCTRACE2" + bytes(8)])
def test_what_is_no_trace_is_refused(tmp_path, content):
    """A file of another kind is a TraceError that names it."""
    with gzip.open(tmp_path / "some.trace.gz", "wb") as file:
        file.write(content)

    with pytest.raises(TraceError, match="'some'"):
        read_trace(str(tmp_path / "some.trace.gz"))


def test_a_trace_that_ends_early_is_refused(tmp_path):
    """A trace with fewer numbers than it claims is a TraceError, not a shorter trace."""
    with gzip.open(tmp_path / "some.trace.gz", "wb") as file:
        file.write(struct.pack("<8sII", b"OCTRACE1", 3, 0) + bytes(16))

    with pytest.raises(TraceError, match="16 bytes"):
        read_trace(str(tmp_path / "some.trace.gz"))


def test_what_is_not_gzip_is_refused(tmp_path):
    """A file that is not compressed is a TraceError."""
    (tmp_path / "some.trace.gz").write_bytes(b"OCTRACE1" + bytes(100))

    with pytest.raises(TraceError, match="cannot be read"):
        read_trace(str(tmp_path / "some.trace.gz"))


def test_traces_are_those_of_the_directory(tmp_path):
    """All traces of a directory are read, or those that are named; a missing one is named."""
    write(tmp_path / "b.trace.gz", [1])
    write(tmp_path / "a.trace.gz", [2])

    assert ["a", "b"] == [trace.name for trace in read_traces(str(tmp_path))]
    assert ["b"] == [trace.name for trace in read_traces(str(tmp_path), ["b"])]
    with pytest.raises(TraceError, match="no trace c; there are: a, b"):
        read_traces(str(tmp_path), ["c"])


@pytest.mark.parametrize("directory", ["absent", "."])
def test_a_directory_without_traces_is_refused(tmp_path, directory):
    """A missing directory, and one without a trace, are TraceErrors."""
    with pytest.raises(TraceError, match="directory of traces"):
        read_traces(str(tmp_path / directory))


def test_without_a_directory_the_bench_says_what_it_needs():
    """`python -m bench.eviction` without traces ends with status 2, naming option and variable."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.eviction"], env={}, capture_output=True, text=True
    )

    assert 2 == done.returncode
    assert "--traces DIR or OBJCACHE_TRACES" in done.stderr


@pytest.mark.parametrize("seed", range(5))
def test_lru_agrees_with_the_plain_one(seed):
    """LRU has the hits that keeping a list in order has, with sizes and without."""
    source = random.Random(seed)
    keys = [min(int(source.expovariate(0.1)), 40) for _ in range(500)]
    sizes = [source.randrange(1, 30) for _ in keys]

    assert plain_lru(keys, [1] * 500, 10) == lru(keys, [1] * 500, 10)
    assert plain_lru(keys, sizes, 100) == lru(keys, sizes, 100)


def test_lru_keeps_nothing_that_is_larger_than_the_limit():
    """An entry larger than the limit evicts nothing."""
    assert (1, 2) == lru([1, 2, 1], [2, 9, 2], 8)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_no_choice_of_victims_has_more_hits_than_the_clairvoyant(limit):
    """On every sequence of seven requests for four keys the clairvoyant has the most hits."""
    for keys in itertools.islice(itertools.product(range(4), repeat=7), 0, None, 7):
        best = most_hits(list(keys), frozenset(), limit)

        assert best == clairvoyant(keys, [1] * 7, limit).requests, keys


def test_the_clairvoyant_stays_within_the_limit():
    """With sizes, what is held together is never larger than the limit."""
    assert (2, 11) == clairvoyant([1, 2, 3, 1, 3], [5, 5, 6, 5, 6], 11)
    assert (1, 5) == clairvoyant([1, 2, 3, 1, 3], [5, 5, 6, 5, 6], 10)
    assert (0, 0) == clairvoyant([1, 2, 1], [5, 5, 5], 4)


def test_a_replay_counts_hits_and_stores_misses():
    """A request that finds nothing is stored; one that finds something counts, with its size."""
    kept = {}
    trace = Trace("some", 4, [1, 2, 1, 1], [3, 20, 3, 3])

    hits = replay(trace, kept.get, kept.__setitem__)

    assert (2, 6) == hits
    assert {"1": 3, "2": 20} == {key: len(value) for key, value in kept.items()}


@pytest.mark.parametrize("sizes", [None, [16, 16, 16]])
def test_a_replay_notices_a_wrong_value(sizes):
    """A cache that returns the value of another key is no cache."""
    kept = {}
    trace = Trace("some", 3, [1, 2, 2], sizes)

    with pytest.raises(AssertionError, match="another key"):
        replay(trace, lambda key: kept.get("1") if key == "2" else None, kept.__setitem__)


def test_each_contestant_holds_as_many_entries():
    """A bound of ten entries is ten entries for every policy of objcache and diskcache."""
    pytest.importorskip("diskcache")
    for each in contestants(["gate", "lru", "fifo", "lfu"], ["diskcache"]):
        with tempfile.TemporaryDirectory() as directory:  # its secret is the one of the bench
            opened = each.open(directory, Bound(entries=10))
            replay(Trace("some", 50, list(range(50)), None), opened.get, opened.put)
            held = len(list(opened.values()))
            opened.close()

        assert 10 == held, each.name


def test_fifo_and_least_recently_stored_are_the_same():
    """Two caches that evict in the order of storing have the same hits: the bounds agree."""
    pytest.importorskip("diskcache")
    source = random.Random(1)
    keys = [min(int(source.expovariate(0.05)), 60) for _ in range(400)]
    trace = Trace("some", 400, keys, None)

    found = run(Plan([trace], [0.2], ["fifo"], None, ["diskcache"], 400), lambda _: None)

    (compared,) = found["parts"][1]["traces"][0]["objects"]
    hits = {row["name"]: row["hits"] for row in compared["rows"]}
    assert hits["objcache fifo"] == hits["diskcache least-recently-stored"]


def test_a_row_with_more_hits_than_the_default_is_named():
    """Whatever beats the default policy is in the list of losses, the clairvoyant aside."""
    rows = [("objcache gate", 5), ("objcache lru", 6), ("exact lru", 4), ("clairvoyant", 9)]
    compared = {
        "share": 0.1,
        "limit": 3,
        "rows": [{"name": name, "hits": hits, "held": 3} for name, hits in rows],
    }
    trace = {"name": "some", "requests": 10, "objects": [compared], "bytes": []}

    (line,) = losses({"parts": [{"name": "objcache", "requests": None, "traces": [trace]}]})

    assert "`objcache gate` 0.500, `objcache lru` 0.600, 0.833 of it" in line
