"""Caches of the tests: in the test's directory, with a clock that the test moves."""

from __future__ import annotations

import pytest

from objcache.cache import Cache
from objcache.clock import ManualClock


@pytest.fixture
def clock():
    """Time that moves only when told to."""
    return ManualClock()


@pytest.fixture
def open_cache(path, clock):
    """Open caches that are closed after the test, and whose indexes must agree then."""
    opened = []

    def open_one(at=path, **options):
        options.setdefault("durability", "process")
        options.setdefault("size_limit", "16 MiB")
        options.setdefault("clock", clock)
        opened.append(Cache(at, **options))
        return opened[-1]

    yield open_one
    for cache in opened:
        if not cache.closed and cache._committed:
            assert () == cache.check().problems
        cache.close()


@pytest.fixture
def cache(open_cache):
    """A new cache."""
    return open_cache()
