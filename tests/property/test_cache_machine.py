"""The cache against a plain model: any sequence of operations, through two objects, gives its answers."""

from __future__ import annotations

import shutil
import tempfile

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from objcache import Store
from objcache.cache import Cache
from objcache.clock import ManualClock
from tests.spec.model import ModelCache

SECRET = "s" * 16
keys = st.one_of(
    st.integers(0, 4),
    st.sampled_from(["a", "a\0", "x" * 600, "x" * 600 + "y", ("t", 1)]),
    st.frozensets(st.integers(0, 2), max_size=1),
)
values = st.one_of(st.integers(), st.binary(max_size=5), st.sampled_from(["v" * 5000]))
deadlines = st.sampled_from(["default", None, 0, 1, 10, 1000])
tags = st.lists(st.sampled_from(["r", "r\0", "g"]), unique=True, max_size=2)
tag_names = st.sampled_from(["r", "r\0", "g"])


class CacheMachine(RuleBasedStateMachine):
    """Operations on a cache and a namespace, through two objects each, inside transactions."""

    @initialize()
    def open(self):
        self.directory = tempfile.mkdtemp()
        self.clock = ManualClock()
        self.latest = self.clock.now()
        self.options = {"durability": "process", "secret": SECRET, "clock": self.clock}
        self.path = self.directory + "/cache"
        self.roots = [Cache(self.path, **self.options) for _ in range(2)]
        self.caches = {
            "root": self.roots,
            "below": [root.namespace("n", expire=10) for root in self.roots],
        }
        self.models = {"root": ModelCache(self.clock), "below": ModelCache(self.clock, 10)}
        self.blocks = []

    def teardown(self):
        if not hasattr(self, "roots"):
            return
        while self.blocks:
            self.commit()
        for cache in (self.roots[0], self.caches["below"][1]):
            assert () == cache.check().problems
        for cache in self.roots:
            cache.close()
        with Store(self.path, durability="process", secret=SECRET) as store:
            assert () == store.check().problems
        shutil.rmtree(self.directory)

    def both(self, name, which):
        for model in self.models.values():
            model.forget()
        return self.caches[name][which], self.models[name]

    names = st.sampled_from(["root", "below"])
    which = st.integers(0, 1)

    @rule(name=names, which=which, key=keys, value=values, expire=deadlines, tag=tags)
    def set_one(self, name, which, key, value, expire, tag):
        cache, model = self.both(name, which)
        given = {} if expire == "default" else {"expire": expire}
        cache.set(key, value, tag=tag, **given)
        model.set(key, value, expire, tag)

    @rule(name=names, which=which, key=keys, value=values, tag=tags)
    def add(self, name, which, key, value, tag):
        cache, model = self.both(name, which)

        assert model.add(key, value, tag=tag) == cache.add(key, value, tag=tag)

    @rule(name=names, which=which, key=keys)
    def get(self, name, which, key):
        cache, model = self.both(name, which)

        assert model.get(key) == cache.get(key)
        assert (key in model.entries) == (key in cache)

    @rule(name=names, which=which, key=keys, expire=deadlines)
    def touch(self, name, which, key, expire):
        cache, model = self.both(name, which)
        given = {} if expire == "default" else {"expire": expire}

        assert model.touch(key, expire) == cache.touch(key, **given)

    @rule(name=names, which=which, key=keys)
    def pop(self, name, which, key):
        cache, model = self.both(name, which)

        assert model.pop(key) == cache.pop(key, None)

    @rule(name=names, which=which, delta=st.integers(-3, 3))
    def incr(self, name, which, delta):
        cache, model = self.both(name, which)

        assert model.incr("n", delta) == cache.incr("n", delta)

    @rule(name=names, which=which, tag=tag_names)
    def evict(self, name, which, tag):
        cache, model = self.both(name, which)

        assert set(model.tagged(tag)) == set(cache.keys(tag=tag))
        assert model.evict(tag) == cache.evict(tag)

    @rule(name=names, which=which, entries=st.dictionaries(keys, values, max_size=4), tag=tags)
    def set_many(self, name, which, entries, tag):
        cache, model = self.both(name, which)
        cache.set_many(entries, tag=tag)
        for key, value in entries.items():
            model.set(key, value, "default", tag)

    @rule(name=names, which=which)
    def clear(self, name, which):
        cache, model = self.both(name, which)
        cache.clear()
        model.entries = {}

    @rule(name=names, which=which)
    def expire(self, name, which):
        cache, model = self.both(name, which)
        cache.expire()

        assert len(model.entries) == len(cache)
        assert sorted({tag for entry in model.entries.values() for tag in entry[2]}) == cache.tags()

    @rule(seconds=st.sampled_from([0.5, 1, 9, 100]))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @precondition(lambda self: not self.blocks)
    @rule(which=which)
    def reopen(self, which):
        self.roots[which].close()
        root = self.roots[which] = Cache(self.path, **self.options)
        self.caches["below"][which] = root.namespace("n", expire=10)

    @precondition(lambda self: len(self.blocks) < 2)
    @rule(which=which)
    def begin(self, which):
        block = self.roots[which].transaction()
        block.__enter__()
        self.blocks.append((block, {name: dict(m.entries) for name, m in self.models.items()}))

    @precondition(lambda self: self.blocks)
    @rule()
    def commit(self):
        block, _ = self.blocks.pop()
        block.__exit__(None, None, None)

    @precondition(lambda self: self.blocks)
    @rule()
    def roll_back(self):
        block, before = self.blocks.pop()
        error = ZeroDivisionError()
        try:
            block.__exit__(ZeroDivisionError, error, None)
        except ZeroDivisionError:
            pass
        for name, entries in before.items():
            self.models[name].entries = entries

    @invariant()
    def same(self):
        if not hasattr(self, "roots"):
            return
        for name, (one, other) in self.caches.items():
            live = {key: entry[0] for key, entry in self.models[name].live().items()}

            assert live == dict(one.items()) == dict(other.items())
            assert len(one) == len(other) >= len(live)


CacheMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
TestCache = CacheMachine.TestCase
