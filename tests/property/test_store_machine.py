"""The store against a plain dict: any sequence of operations gives the same answers."""

from __future__ import annotations

import shutil
import tempfile

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from objcache import Store
from objcache.keys import encode_key, is_ordered

scalar_keys = st.one_of(
    st.integers(-300, 300),
    st.text("ab\0é", max_size=3),
    st.binary(max_size=2),
    st.none(),
    st.booleans(),
    st.sampled_from(["x" * 600, "x" * 600 + "y", "x" * 505, "x" * 509]),
)
keys = st.one_of(
    scalar_keys,
    st.tuples(scalar_keys, scalar_keys),
    st.frozensets(st.integers(0, 3), max_size=2),
)
values = st.one_of(
    st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=3), st.none()
)


class Typed:
    """A dict whose keys keep 1, 1.0 and True apart, as the store does."""

    def __init__(self, entries=()):
        self.entries = dict(entries)

    def sorted(self):
        """Entries in key order: ordered keys by encoding, then the others by digest, unsorted."""
        return [self.entries[encoded] for encoded in sorted(self.entries)]


class StoreMachine(RuleBasedStateMachine):
    """Operations on a store, its namespace, and inside transactions, against dicts."""

    @initialize()
    def open(self):
        self.directory = tempfile.mkdtemp()
        self.store = Store(self.directory + "/store", durability="process", secret="s" * 16)
        self.models = {"root": {}, "space": {}}
        self.open_transactions = []

    def teardown(self):
        if hasattr(self, "store"):
            while self.open_transactions:
                self.commit()
            assert self.store.check().ok
            self.store.close()
            shutil.rmtree(self.directory)

    def pair(self, name):
        mapping = self.store if name == "root" else self.store.namespace("a").namespace("b")
        return mapping, self.models[name]

    names = st.sampled_from(["root", "space"])

    @rule(name=names, key=keys, value=values)
    def set_one(self, name, key, value):
        mapping, model = self.pair(name)
        mapping[key] = value
        model[encode_key(key)] = (key, value)

    @rule(name=names, key=keys)
    def delete(self, name, key):
        mapping, model = self.pair(name)
        found = model.pop(encode_key(key), None)
        try:
            del mapping[key]
            deleted = True
        except KeyError:
            deleted = False

        assert (found is not None) == deleted

    @rule(name=names, key=keys, value=values)
    def setdefault(self, name, key, value):
        mapping, model = self.pair(name)

        assert model.setdefault(encode_key(key), (key, value))[1] == mapping.setdefault(key, value)

    @rule(name=names, key=keys)
    def pop(self, name, key):
        mapping, model = self.pair(name)

        assert model.pop(encode_key(key), (key, "none"))[1] == mapping.pop(key, "none")

    @rule(name=names, entries=st.lists(st.tuples(keys, values), max_size=6))
    def set_many(self, name, entries):
        mapping, model = self.pair(name)
        mapping.set_many(entries)
        model.update((encode_key(key), (key, value)) for key, value in entries)

    @rule(name=names, some=st.lists(keys, max_size=5))
    def delete_many(self, name, some):
        mapping, model = self.pair(name)
        expected = sum(model.pop(encode_key(key), None) is not None for key in some)

        assert expected == mapping.delete_many(some)

    @rule(name=names, key=keys)
    def count_up(self, name, key):
        mapping, model = self.pair(name)
        old = model.get(encode_key(key), (key, 0))[1]
        new = old + 1 if isinstance(old, int) else 1
        model[encode_key(key)] = (key, new)

        assert new == mapping.update_with(key, lambda _: new, default=0)

    @rule(name=names)
    def clear(self, name):
        mapping, model = self.pair(name)
        mapping.clear()
        model.clear()

    @rule()
    def begin(self):
        if len(self.open_transactions) < 3:
            transaction = self.store.transaction()
            transaction.__enter__()
            saved = {name: dict(model) for name, model in self.models.items()}
            self.open_transactions.append((transaction, saved))

    @precondition(lambda self: self.open_transactions)
    @rule()
    def commit(self):
        transaction, _ = self.open_transactions.pop()
        transaction.__exit__(None, None, None)

    @precondition(lambda self: self.open_transactions)
    @rule()
    def roll_back(self):
        transaction, saved = self.open_transactions.pop()
        error = RuntimeError("roll back")
        try:
            transaction.__exit__(RuntimeError, error, None)
        except RuntimeError:
            pass
        self.models = saved

    @precondition(lambda self: not self.open_transactions)
    @rule()
    def reopen(self):
        self.store.close()
        self.store = Store(self.directory + "/store", durability="process", secret="s" * 16)

    @precondition(lambda self: not self.open_transactions)
    @rule()
    def compact(self):
        self.store.compact()

    @rule(name=names, key=keys)
    def read_one(self, name, key):
        mapping, model = self.pair(name)
        expected = model.get(encode_key(key), (key, "none"))[1]

        assert expected == mapping.get(key, "none")
        assert (encode_key(key) in model) == (key in mapping)

    @rule(name=names, some=st.lists(keys, max_size=5))
    def read_many(self, name, some):
        mapping, model = self.pair(name)
        found = mapping.get_many(some)

        assert {encode_key(key): value for key, value in found.items()} == {
            encode_key(key): model[encode_key(key)][1]
            for key in {encode_key(key): key for key in some if encode_key(key) in model}.values()
        } or len({repr(key) for key in some}) != len(set(some))

    @rule(name=names, start=scalar_keys, stop=scalar_keys, reverse=st.booleans())
    def read_range(self, name, start, stop, reverse):
        mapping, model = self.pair(name)
        low, high = encode_key(start), encode_key(stop)
        expected = [
            model[encoded]
            for encoded in sorted(model, reverse=reverse)
            if low <= encoded < high and is_ordered(model[encoded][0])
        ]
        found = list(mapping.range(start, stop, reverse=reverse))

        # Shortened keys that share their first bytes stand in an order of their own.
        assert sorted(map(repr, expected)) == sorted(map(repr, found))

    @invariant()
    def same_length_and_entries(self):
        if not hasattr(self, "store"):
            return
        for name in ("root", "space"):
            mapping, model = self.pair(name)
            found = list(mapping.items())

            assert len(model) == len(mapping) == len(found)
            assert {encoded: value for encoded, (_, value) in model.items()} == {
                encode_key(key): value for key, value in found
            }
            assert [key for key, _ in found] == list(mapping)
            assert found == list(reversed(mapping.items()))[::-1]


StoreMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestStore = StoreMachine.TestCase
