"""Fixtures of the tests of memoized functions."""

from __future__ import annotations

import pytest

from objcache import ManualClock


@pytest.fixture
def calls():
    """What the memoized function was called with."""
    return []


@pytest.fixture
def clock():
    """A clock that the test moves."""
    return ManualClock(1_000_000.0)


@pytest.fixture
def timed(open_store, clock):
    """A store whose time is *clock*."""
    return open_store(clock=clock)


def finished(memoized):
    """Wait for what *memoized* computes in the background."""
    for thread in list(memoized.__objcache_recall__.refreshers):
        thread.join(20)
        assert not thread.is_alive()
