"""The cache against its model, over the product of policy, deadlines, tags, codec and size."""

from __future__ import annotations

import itertools
import random

import pytest

from objcache.cache import Cache
from objcache.cache._policy import POLICIES
from objcache.clock import ManualClock
from tests.spec.model import ModelCache

SETTINGS = {
    "policy": list(POLICIES),
    "expire": [None, 30.0],
    "tags": [0, 2],
    "codec": ["pickle", "json"],
    "size": [1, 3000],
}
PRODUCT = [
    dict(zip(SETTINGS, values, strict=True)) for values in itertools.product(*SETTINGS.values())
]
KEYS = [*range(12), "a", "b", "x" * 600, ("t", 1)]
TAGS = ["red", "green", "blue"]
STEPS = ["set"] * 6 + ["add", "get", "get", "touch", "incr", "pop", "evict", "wait", "wait", "many"]
STEPS += ["expire", "clear", "again", "rolled back", "slide"]


class Run:
    """One random run of a cache beside its model.

    Args:
        path: where the cache is.
        settings: one of the product.
        seed: of the run.
        bounds: further settings of the cache.
    """

    def __init__(self, path, settings, seed, **bounds):
        self.random = random.Random(seed)
        self.settings = settings
        self.clock = ManualClock()
        self.options = {
            **{name: settings[name] for name in ("policy", "expire", "codec")},
            "clock": self.clock,
            "durability": "process",
            "size_limit": "8 MiB",
            **bounds,
        }
        self.path = path
        self.cache = Cache(path, **self.options)
        self.model = ModelCache(self.clock, settings["expire"])

    def value(self):
        return "v" * self.random.randrange(self.settings["size"] * 2)

    def some(self):
        """Key, deadline and tags of a new entry."""
        tags = self.random.sample(TAGS, self.random.randint(0, self.settings["tags"]))
        expire = self.random.choice(["default", "default", None, 5, 100])
        return self.random.choice(KEYS), expire, tags

    def step(self):
        """Do one thing to both; return what both say."""
        name = self.random.choice(STEPS)
        self.model.forget()
        return name, *getattr(self, "do_" + name.replace(" ", "_"))()

    def set_both(self, target, key, expire, tags):
        value = self.value()
        given = {} if expire == "default" else {"expire": expire}
        self.model.set(key, value, expire, tags)
        return target.set(key, value, tag=tags, **given)

    def do_set(self):
        return None, self.set_both(self.cache, *self.some())

    def do_add(self):
        key, _, tags = self.some()
        value = self.value()
        return self.model.add(key, value, "default", tags), self.cache.add(key, value, tag=tags)

    def do_get(self):
        key = self.random.choice(KEYS)
        return (self.model.get(key), key in self.model.entries), (
            self.cache.get(key),
            key in self.cache,
        )

    def do_touch(self):
        key = self.random.choice(KEYS)
        return self.model.touch(key, 50), self.cache.touch(key, 50)

    def do_slide(self):
        key = self.random.choice(KEYS)
        found = self.model.get(key)
        self.model.touch(key, 20)
        return found, self.cache.get_and_touch(key, expire=20)

    def do_incr(self):
        key = self.random.choice(["n", "m"])
        return self.model.incr(key, 3), self.cache.incr(key, 3)

    def do_pop(self):
        key = self.random.choice(KEYS)
        return self.model.pop(key), self.cache.pop(key, None)

    def do_evict(self):
        tag = self.random.choice(TAGS)
        return self.model.evict(tag), self.cache.evict(tag)

    def do_wait(self):
        self.clock.advance(self.random.choice([0.5, 5, 40]))
        return None, None

    def do_many(self):
        entries = {key: self.value() for key in self.random.sample(KEYS, 3)}
        for key, value in entries.items():
            self.model.set(key, value)
        return None, self.cache.set_many(entries)

    def do_expire(self):
        self.cache.expire()
        return len(self.model.entries), len(self.cache)

    def do_clear(self):
        if self.random.random() < 0.5:
            with self.cache.transaction():
                self.cache.clear()
        else:
            self.cache.clear()
        self.model.entries = {}
        return 0, len(self.cache)

    def do_again(self):
        self.cache.close()
        self.cache = Cache(self.path, **self.options)
        return None, None

    def do_rolled_back(self):
        kept = dict(self.model.entries)
        with pytest.raises(ZeroDivisionError), self.cache.transaction():
            self.set_both(self.cache, *self.some())
            self.cache.evict("red")
            self.cache.clear()
            raise ZeroDivisionError
        self.model.entries = kept
        return None, None

    def compare(self):
        """All ways of reading agree with the model."""
        live = self.model.live()
        values = {key: entry[0] for key, entry in live.items()}

        assert list(values.items()) == list(self.cache.items())
        assert values == self.cache.get_many([*KEYS, "n", "m"])
        for tag in TAGS:
            assert {key for key, entry in live.items() if tag in entry[2]} == set(
                self.cache.keys(tag=tag)
            )
        for key, (value, deadline, tags) in live.items():
            entry = self.cache.entry(key)
            assert (value, tags) == (entry.value, entry.tags)
            assert deadline == (entry.deadline and pytest.approx(entry.deadline))


@pytest.mark.parametrize(
    "settings", PRODUCT, ids=lambda chosen: "-".join(map(str, chosen.values()))
)
def test_does_what_the_model_does(path, settings):
    """Without a bound that is met, every answer is the model's, whatever the settings."""
    run = Run(path, settings, seed=repr(settings))
    for number in range(60):
        name, expected, actual = run.step()

        assert expected == actual, (number, name)
        if number % 12 == 0:
            run.compare()
    run.compare()
    assert () == run.cache.check().problems
    run.cache.close()


@pytest.mark.parametrize("policy", [name for name in POLICIES if name != "none"])
@pytest.mark.parametrize("bounds", [{"max_entries": 6}, {"size_limit": "1 MiB"}], ids=str)
def test_loses_only_what_it_evicts(path, policy, bounds):
    """With a bound that is met, what is there is what the model has, and the bound holds."""
    size = 1 if "max_entries" in bounds else 60_000
    settings = {"policy": policy, "expire": None, "tags": 1, "codec": "pickle", "size": size}
    run = Run(path, settings, seed=policy, **bounds)
    unfailing = {"set", "get", "touch", "wait", "many", "expire", "again", "clear", "slide"}
    for _ in range(150):
        name = run.random.choice([name for name in STEPS if name in unfailing])
        run.model.forget()
        getattr(run, "do_" + name)() if name not in {
            "get",
            "touch",
            "slide",
            "expire",
        } else run.cache.expire()
        live = run.model.live()
        found = dict(run.cache.items())

        assert found.items() <= {key: entry[0] for key, entry in live.items()}.items()
        assert len(found) <= bounds.get("max_entries", len(KEYS))
        assert run.cache.volume() <= 1 << 20 or "max_entries" in bounds
        run.model.entries = {key: live[key] for key in found}
    assert () == run.cache.check().problems
    run.cache.close()
