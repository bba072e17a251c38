"""Memoized methods: instances are keyed by their state, or refused with the remedy."""

from __future__ import annotations

import dataclasses
import functools
import threading
import weakref

import pytest

from objcache.errors import UnkeyableArgumentError


class Base:
    """An instance with a state."""

    def __init__(self, rate):
        self.rate = rate


def test_instances_with_one_state_share(store, calls):
    """Two instances with equal attributes are one argument, others are not."""

    class Model(Base):
        @store.memoize
        def run(self, x):
            calls.append(x)
            return self.rate * x

    one, same, other = Model(2), Model(2), Model(3)
    assert [10, 10, 15] == [one.run(5), same.run(5), other.run(5)]
    assert [5, 5] == calls
    one.rate = 4
    assert 20 == one.run(5)


def test_class_methods_and_static_methods(store, calls):
    """In either order of the decorators."""

    class Model:
        rate = 2

        @classmethod
        @store.memoize
        def first(cls, x):
            calls.append(x)
            return cls.rate * x

        @store.memoize
        @classmethod
        def second(cls, x):
            calls.append(x)
            return cls.rate * x

        @staticmethod
        @store.memoize
        def third(x):
            calls.append(x)
            return x

        @store.memoize
        @staticmethod
        def fourth(x):
            calls.append(x)
            return x

    model = Model()
    for run in (Model.first, model.first, Model.second, model.second):
        assert 10 == run(5)
    for run in (Model.third, model.third, Model.fourth, model.fourth):
        assert 5 == run(5)
    assert [5] * 4 == calls


def test_subclasses_are_other_classes(store, calls):
    """A class method of a subclass, or a method of its instance, is another call."""

    class Model(Base):
        @store.memoize
        def name(self):
            return type(self).__name__

        @classmethod
        @store.memoize
        def own(cls):
            return cls.__name__

    class Special(Model):
        pass

    assert ["Model", "Special"] == [Model(1).name(), Special(1).name()]
    assert ["Model", "Special"] == [Model.own(), Special.own()]


def test_properties(store, calls):
    """A property, and a cached property, may be memoized in either order."""

    class Model(Base):
        @property
        @store.memoize
        def one(self):
            calls.append("one")
            return self.rate

        @store.memoize
        @property
        def two(self):
            calls.append("two")
            return self.rate

        @functools.cached_property
        @store.memoize
        def three(self):
            calls.append("three")
            return self.rate

        @store.memoize
        @functools.cached_property
        def four(self):
            calls.append("four")
            return self.rate

    for _ in range(2):
        model = Model(7)
        assert [7] * 8 == [getattr(model, name) for name in ("one", "two", "three", "four")] * 2
    assert ["one", "two", "three", "four"] == calls


def test_a_cached_property_does_not_change_the_key(store, calls):
    """An instance is the same argument before and after a cached property was used."""

    class Model(Base):
        @functools.cached_property
        def table(self):
            return [self.rate] * 3

        @store.memoize
        def run(self):
            calls.append(1)
            return sum(self.table)

    model = Model(2)
    assert [6, 6, 6] == [model.run(), model.run(), Model(2).run()]
    assert [1] == calls


def test_instances_without_a_stable_state_are_refused(store):
    """The path leads to what is in the way, and the remedies are told."""

    class Client:
        def __init__(self):
            self.pool = [{"lock": threading.Lock()}]

        @store.memoize
        def fetch(self, url):
            return url

    with pytest.raises(UnkeyableArgumentError) as caught:
        Client().fetch("x")
    assert "Client.fetch(self=...): self.pool[0]['lock']" in caught.value.path
    assert "ignore=" in str(caught.value)


def test_self_may_be_ignored(store, calls):
    """Then all instances share."""

    class Client:
        def __init__(self):
            self.lock = threading.Lock()

        @store.memoize(ignore=("self",))
        def fetch(self, url):
            calls.append(url)
            return url

    assert ["x", "x"] == [Client().fetch("x"), Client().fetch("x")]
    assert ["x"] == calls


def test_instances_say_their_key(store, calls):
    """`__objcache_key__` stands for the instance."""

    class Client:
        def __init__(self, host):
            self.host, self.lock = host, threading.Lock()

        def __objcache_key__(self):
            return self.host

        @store.memoize
        def fetch(self, url):
            calls.append(url)
            return self.host + url

    assert ["a1", "a1", "b1"] == [
        Client("a").fetch("1"),
        Client("a").fetch("1"),
        Client("b").fetch("1"),
    ]
    assert ["1", "1"] == calls


def test_slots_and_frozen_dataclasses(store, calls):
    """Wherever the state is kept."""

    @dataclasses.dataclass(frozen=True, slots=True)
    class Model:
        rate: int

        @store.memoize
        def run(self, x):
            calls.append(x)
            return self.rate * x

    assert [6, 6, 9] == [Model(2).run(3), Model(2).run(3), Model(3).run(3)]
    assert [3, 3] == calls


def test_instances_are_not_kept_alive(store):
    """The memory of results holds no instance."""

    class Model(Base):
        @store.memoize(hot=5)
        def run(self, x):
            return x

    model = Model(1)
    model.run(1), model.run(1)
    there = weakref.ref(model)
    del model

    assert None is there()


def test_controls_take_the_instance(store):
    """What a method offers beside being called takes the instance like the function."""

    class Model(Base):
        @store.memoize
        def run(self, x):
            return self.rate * x

    model = Model(2)
    model.run(3)
    assert model.run.is_cached(model, 3)
    assert Model.run.is_cached(model, x=3)
    assert model.run.forget(model, 3)
    assert (0, 1, 0) == model.run.cache_info()[:3]


def test_callable_instances_partials_and_bound_methods(store, calls):
    """Whatever is called and has a signature can be memoized: its state is part of the version."""

    class Adder(Base):
        def __call__(self, x):
            calls.append(x)
            return self.rate + x

        def plus(self, x):
            calls.append(x)
            return self.rate + x

    def add(rate, x):
        calls.append(x)
        return rate + x

    for make in (Adder, lambda rate: Adder(rate).plus, lambda rate: functools.partial(add, rate)):
        calls.clear()
        assert [11, 11, 12] == [store.memoize(make(rate))(10) for rate in (1, 1, 2)]
        assert [10, 10] == calls


def test_builtins_and_classes(store):
    """A builtin function with a signature, and a class, can be memoized."""
    assert [3, 3] == [store.memoize(len)("abc"), store.memoize(len)("abc")]
    point = store.memoize(complex)
    assert [1 + 2j] * 2 == [point(1, 2), point(1, 2)]
