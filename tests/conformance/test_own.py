"""Our own stores and caches pass the suites that we give to others."""

from __future__ import annotations

import pytest

from objcache import ManualClock, Store
from objcache.cache import Cache
from objcache.testing.conformance import CacheConformance, StoreConformance


class TestStore(StoreConformance):
    """A store."""

    @pytest.fixture
    def store(self, open_store):
        return open_store()


class TestNamespace(StoreConformance):
    """A namespace of a store."""

    @pytest.fixture
    def store(self, open_store):
        return open_store().namespace("n")


class TestTransaction(StoreConformance):
    """An open transaction."""

    @pytest.fixture
    def store(self, open_store):
        with open_store().transaction() as transaction:
            yield transaction


class TestCompressed(StoreConformance):
    """A store that compresses all it can."""

    @pytest.fixture
    def store(self, path):
        with Store(
            path, compression="zlib", compression_threshold_bytes=1, durability="process"
        ) as opened:
            yield opened


class OwnCache(CacheConformance):
    """A cache of ours, whose indexes must agree after each test."""

    settings = {}

    @pytest.fixture
    def clock(self):
        return ManualClock()

    @pytest.fixture
    def open_cache(self, path, clock):
        opened = []

        def open_one(**settings):
            opened.append(Cache(path, clock=clock, durability="process", **self.settings))
            return opened[0].namespace("n", **settings) if settings else opened[0]

        yield open_one
        for cache in opened:
            assert () == cache.check().problems
            cache.close()


class TestCache(OwnCache):
    """A cache as it is by default; what has settings of its own is a namespace."""


class TestLru(OwnCache):
    """A cache of another policy."""

    settings = {"policy": "lru"}


class TestJsonCache(OwnCache):
    """A cache of data only."""

    settings = {"codec": "json"}
    test_entries_come_back = None  # tuples and bytes are no JSON
