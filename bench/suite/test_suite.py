"""Single operations of each engine, and of memoized functions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from bench._inputs import ABSENT_KEYS, KEYS, NEW_VALUES, NUMBERS, TREES, VALUES, of_number, of_tree
from bench.engines import MEMOIZE, MEMOIZE_DICT
from bench.suite.conftest import engines_that_offer

SOME = KEYS[:1000]
ROUNDS = 20
CALLS = 50


def time(benchmark, function, arguments: Iterator):
    """Time *function* over *arguments*; flushes make calibration take minutes, so none."""

    def calls():
        for _ in range(CALLS):
            function(*next(arguments))

    benchmark.pedantic(calls, rounds=ROUNDS, warmup_rounds=1)


def test_get_hit(benchmark, handle):
    """Read a key that is there."""
    time(benchmark, handle.get, zip(itertools.cycle(SOME)))


def test_get_miss(benchmark, handle):
    """Read a key that is not there."""
    time(benchmark, handle.find, zip(itertools.cycle(ABSENT_KEYS)))


def test_set(benchmark, handle):
    """Write over a key that is there."""
    time(benchmark, handle.put, zip(itertools.cycle(SOME), itertools.cycle(NEW_VALUES)))


def test_delete(benchmark, handle):
    """Remove a key that is there."""
    more = KEYS[1000 : 1000 + CALLS * (ROUNDS + 1)]
    handle.put_many(dict(zip(more, VALUES, strict=False)))
    time(benchmark, handle.delete, zip(more))


def test_batch(benchmark, handle):
    """Write 100 entries in one transaction."""
    batch = dict(zip(KEYS[:100], NEW_VALUES, strict=False))
    benchmark.pedantic(handle.put_many, (batch,), rounds=ROUNDS, warmup_rounds=1)


def test_iterate(benchmark, handle):
    """Walk over 1,000 entries."""
    found = benchmark.pedantic(
        lambda: sum(1 for _ in handle.items()), rounds=ROUNDS, warmup_rounds=1
    )

    assert found == len(SOME)


@pytest.mark.parametrize("engine", engines_that_offer(MEMOIZE), ids=lambda engine: engine.name)
def test_memo_hit_int(benchmark, engine, tmp_path):
    """Call a memoized function with an int that was asked before."""
    handle = engine.open(str(tmp_path))
    memoized = handle.memoize(of_number)
    for number in NUMBERS:
        memoized(number)
    time(benchmark, memoized, zip(itertools.cycle(NUMBERS)))
    handle.close()


@pytest.mark.parametrize("engine", engines_that_offer(MEMOIZE_DICT), ids=lambda engine: engine.name)
def test_memo_hit_dict(benchmark, engine, tmp_path):
    """Call a memoized function with a nested dict of 200 leaves that was asked before."""
    handle = engine.open(str(tmp_path))
    memoized = handle.memoize(of_tree)
    for tree in TREES:
        memoized(tree)
    time(benchmark, memoized, zip(itertools.cycle(TREES)))
    handle.close()
