"""The store as a mapping: what a dict promises, and what only a store does."""

from __future__ import annotations

import collections
import os
import pickle
import sys

import numpy as np
import pytest

from objcache import Namespace, Snapshot, Store, Transaction
from objcache.errors import DecodeError, EncodeError, StoreClosedError
from tests.conftest import SECRET


def test_namespaces(store):
    """A namespace has its own keys and length; clearing one leaves the others."""
    users, deep = store.namespace("users"), store.namespace("users").namespace("deep")
    store["a"], users["a"], deep["a"] = 0, 1, 2
    users.set_many({1: 1, 2: 2})

    assert (1, 3, 1) == (len(store), len(users), len(deep))
    assert [0, 1, 2] == [store["a"], users["a"], deep["a"]]
    assert [("users",), ("users", "deep")] == sorted(store.namespaces())
    assert {("users",): 3, ("users", "deep"): 1} == store.stats().namespaces
    assert ("users", "deep") == deep.names
    users.clear()
    assert (1, 0, 1) == (len(store), len(users), len(deep))
    assert [("users", "deep")] == store.namespaces()
    store.clear()
    assert 2 == deep["a"]
    assert isinstance(users, Namespace)
    assert "users/deep" in repr(deep)


def test_long_namespaces_work(store):
    """However long a namespace's name is, it is a mapping like any other."""
    space = store.namespace("n" * 5000)
    space["x" * 5000] = 1

    assert {"x" * 5000: 1} == space
    assert [("n" * 5000,)] == store.namespaces()


def test_snapshot_stays_as_it_was(store):
    """A snapshot does not see what is written after it was taken, in any namespace."""
    store["a"] = 1
    store.namespace("n")["a"] = 1
    with store.snapshot() as snapshot:
        store["a"] = 2
        store["b"] = 2
        store.namespace("n")["a"] = 2

        assert {"a": 1} == snapshot
        assert 1 == len(snapshot)
        assert {"a": 1} == snapshot.namespace("n")
        assert isinstance(snapshot, Snapshot)
        assert not hasattr(snapshot, "__setitem__")
        assert 1 == len(store.stats().readers)
        assert store.stats().oldest_reader_age >= 3
    assert () == store.stats().readers
    with pytest.raises(Exception, match="snapshot has ended"):
        snapshot["a"]


def test_iteration_pins_no_pages(store):
    """Between two steps of an iteration no read transaction is open."""
    store.set_many(dict.fromkeys(range(5000), b"x" * 100))
    walk = iter(store.items())
    for _ in range(100):
        next(walk)

        assert () == store.stats().readers
    grown = []
    for step in range(30):
        store.set_many({number: bytes([step]) * 100 for number in range(5000)})
        next(walk)
        grown.append(store.stats().file_bytes)
    assert grown[5] == grown[-1]


def test_check_and_stats(store):
    """check reads every entry; stats tells sizes, readers and durability."""
    store.update({"a": 1, "x" * 1000: 2})
    store.namespace("n")["a"] = 3
    stats = store.stats()

    assert (3, ()) == tuple(store.check())
    assert store.check().ok
    assert 2 == stats.entries
    assert stats.used_bytes <= stats.file_bytes <= stats.map_bytes
    assert ("process", store.path) == (stats.durability, stats.path)


def test_life(open_store, path):
    """A store is a context manager, closes twice, says so in its repr, and then refuses all."""
    store = open_store()
    with store as same:
        assert store is same
        assert repr(path) in repr(store)
        space = store.namespace("n")
    store.close()

    assert store.closed
    assert "closed" in repr(store)
    for use in (
        lambda: store["a"],
        lambda: store.get("a"),
        lambda: store.__setitem__("a", 1),
        lambda: store.pop("a", None),
        lambda: len(store),
        lambda: list(store),
        lambda: "a" in store,
        lambda: store.transaction().__enter__(),
        lambda: store.snapshot().__enter__(),
        lambda: store.stats(),
        lambda: store.sync(),
        lambda: store.compact(),
        lambda: store.copy(path + "-copy"),
        lambda: store.check(),
        lambda: space["a"],
        lambda: space.__setitem__("a", 1),
    ):
        with pytest.raises(StoreClosedError):
            use()
        with pytest.raises(ValueError, match="is closed"):
            use()


def test_forgotten_stores_complain(path):
    """A store that is never closed is a ResourceWarning, as an open file is."""
    store = Store(path)
    with pytest.warns(ResourceWarning, match="unclosed"):
        store.__del__()
    store.close()


def test_copy_is_a_store(store, tmp_path, open_store):
    """A copy opens like the original, holds the same, and goes its own way."""
    store.update({number: number for number in range(100)})
    store.namespace("n")["a"] = 1
    for compact in (True, False):
        target = str(tmp_path / f"copy{compact}")
        store.copy(target, compact=compact)
        copy = open_store(target)

        assert dict(store) == dict(copy)
        assert 1 == copy.namespace("n")["a"]
        copy["only here"] = 1
        assert "only here" not in store


def test_copy_overwrites_nothing(store, tmp_path):
    """A copy into a directory that holds something is refused."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with pytest.raises(FileExistsError):
        store.copy(tmp_path / "full")
    with pytest.raises(FileExistsError):
        store.copy(tmp_path / "full" / "file")

    assert "mine" == (tmp_path / "full" / "file").read_text()


def test_compact_gives_pages_back(store):
    """Compacting shrinks the file, keeps every entry, and the store goes on working."""
    store.set_many({number: bytes(1000) for number in range(2000)})
    store.delete_many(range(1990))
    before = store.stats().file_bytes
    store.compact()

    assert store.stats().file_bytes < before / 10
    assert list(range(1990, 2000)) == list(store)
    store["after"] = 1
    assert 1 == store["after"]


class Custom:
    """A class of one's own."""

    def __init__(self, value):
        self.value = value
        self.transient = object

    def __getstate__(self):
        return {"value": self.value}

    def __setstate__(self, state):
        self.value = state["value"]
        self.transient = "made anew"


class Reduced:
    """A class with `__reduce__`."""

    def __init__(self, left, right):
        self.sum = left + right

    def __reduce__(self):
        return Reduced, (self.sum, 0)


def test_objects_round_trip(store):
    """State methods, cycles and shared references come back as pickle promises."""
    cycle = [1]
    cycle.append(cycle)
    shared = ["shared"]
    store.update(custom=Custom(1), reduced=Reduced(1, 2), cycle=cycle, twice=[shared, shared])

    assert (1, "made anew") == (store["custom"].value, store["custom"].transient)
    assert 3 == store["reduced"].sum
    loop = store["cycle"]
    assert loop[1] is loop
    left, right = store["twice"]
    assert left is right


def test_deep_and_wide_values(store):
    """A deeply nested and a large value come back; one beyond the recursion limit is refused."""
    deep = []
    for _ in range(200):
        deep = [deep]
    store["deep"], store["wide"] = deep, list(range(100_000))

    assert deep == store["deep"]
    assert 100_000 == len(store["wide"])
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(EncodeError, match="nests deeper"):
        store["too deep"] = deep
    while deep:  # or its destructor recurses as well
        deep = deep[0]


def test_unpicklable_part_is_named(store):
    """The error names the path to the culprit and its type, and nothing is written."""
    store["config"] = "old"
    with pytest.raises(EncodeError, match=r"value\['conn'\]\.value of type generator") as caught:
        store["config"] = {"name": "x", "conn": Custom(n for n in ()), "more": [1]}

    assert "value['conn'].value" == caught.value.path
    assert "old" == store["config"]


def test_missing_class_is_named(store, open_store, monkeypatch):
    """A class that is gone is named with the remedy; the record stays, others go on working."""
    module = type(sys)("vanishing")
    exec("class Old:\n    def __init__(self): self.x = 1", module.__dict__)
    monkeypatch.setitem(sys.modules, "vanishing", module)
    store["gone"], store["fine"] = module.Old(), 1
    new = type("New", (), {"__module__": "vanishing"})
    module.New = new
    del module.Old
    with pytest.raises(DecodeError, match=r'vanishing\.Old.*renames=\{"vanishing\.Old"') as caught:
        store["gone"]

    assert ("vanishing", "Old") == (caught.value.module, caught.value.name)
    assert 1 == store["fine"]
    assert "gone" in store
    store.close()
    renamed = open_store(renames={"vanishing.Old": "vanishing.New"})
    assert isinstance(renamed["gone"], new)
    assert 1 == renamed["gone"].x
    renamed.close()
    monkeypatch.delitem(sys.modules, "vanishing")
    with pytest.raises(DecodeError, match=r"vanishing\.Old: ModuleNotFoundError"):
        open_store()["gone"]


def test_failing_setstate_is_a_decode_error(store):
    """An exception of the class's own code while loading is a DecodeError with that cause."""
    store["angry"] = Angry()
    with pytest.raises(DecodeError, match="ZeroDivisionError") as caught:
        store["angry"]

    assert isinstance(caught.value.__cause__, ZeroDivisionError)


class Angry:
    """Pickles, and fails to load."""

    def __getstate__(self):
        return {"a": 1}

    def __setstate__(self, state):
        raise ZeroDivisionError


def test_arrays_round_trip(store):
    """Arrays come back equal and writable, small ones and large ones, in any container."""
    arrays = {
        "large": np.arange(10_000, dtype=np.float64),
        "small": np.arange(3),
        "fortran": np.asfortranarray(np.arange(2000).reshape(40, 50)),
        "strided": np.arange(4000)[::2],
        "empty": np.empty((0, 3)),
        "object": np.array([1, "a", None], dtype=object),
    }
    store["arrays"] = arrays
    found = store["arrays"]

    assert list(arrays) == list(found)
    for name, array in arrays.items():
        assert np.array_equal(array, found[name]), name
        assert array.dtype == found[name].dtype
        assert found[name].flags.writeable
    assert found["fortran"].flags.f_contiguous
    found["large"][0] = 99
    assert 0 == store["arrays"]["large"][0]


def test_protocol_4_on_request(open_store, path):
    """A store may write protocol 4, also for arrays; what is there in protocol 5 stays readable."""
    with open_store() as five:
        five["five"] = np.arange(1000)
    with open_store(protocol=4) as four:
        four["four"] = np.arange(1000)

        assert np.array_equal(four["five"], four["four"])
        record = four._source.begin().get(b"\x10\x02four\x00")
        assert (4, b"\x80\x04") == (record[4], record[24:26])
    with pytest.raises(ValueError, match="protocol 9 was asked"):
        open_store(protocol=9)
    with open_store(protocol=-1) as highest:
        highest["x"] = 1
        record = highest._source.begin().get(b"\x10\x02x\x00")
        assert pickle.HIGHEST_PROTOCOL == record[4]


class Upper:
    """A codec of one's own."""

    codec_id = 200
    codec_version = 1

    def encode(self, value, /):
        return value.upper().encode()

    def decode(self, payload, /):
        return bytes(payload).decode()


def test_codecs(open_store):
    """Records name their codec: a store reads what another codec has written."""
    with open_store(codec="json") as json, pytest.raises(EncodeError, match=r"value\['a'\]\[1\]"):
        json["json"] = {"a": [1, 2.5, None]}
        json["tuple"] = {"a": [0, (1,)]}
    with open_store(codec="msgpack") as msgpack:
        msgpack["msgpack"] = {"a": b"bytes", 1: [True]}
    with open_store(codec="raw") as raw:
        raw["raw"] = b"as it is"
    with open_store(codec=Upper()) as custom:
        custom["custom"] = "text"
    store = open_store(codecs=[Upper()])

    assert {"a": [1, 2.5, None]} == store["json"]
    assert {"a": b"bytes", 1: [True]} == store["msgpack"]
    assert b"as it is" == store["raw"]
    assert "TEXT" == store["custom"]
    assert "tuple" not in store
    del store["custom"]


def test_bad_codecs_are_refused(path):
    """An unknown name, an id that is taken and an object that is no codec are refused."""

    class Taken(Upper):
        codec_id = 3

    with pytest.raises(ValueError, match="'yaml' is not one of pickle, raw, json, msgpack"):
        Store(path, codec="yaml")
    with pytest.raises(ValueError, match="outside 128 to 255"):
        Store(path, codec=Taken())
    with pytest.raises(TypeError, match="is no codec: it lacks codec_id"):
        Store(path, codecs=[object()])

    assert not os.path.exists(path)


def test_bad_arguments_are_refused(path, tmp_path):
    """Wrong settings and paths are named with their remedy; nothing is made."""
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ValueError, match="durability='never' is not one of commit, checkpoint, process"
    ):
        Store(path, durability="never")
    with pytest.raises(ValueError, match="map_size_bytes=1 is below the minimum"):
        Store(path, map_size_bytes=1)
    with pytest.raises(Exception, match="is a file, a store is a directory"):
        Store(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match="there is no store at"):
        Store(path, create=False)
    with pytest.raises(FileNotFoundError, match="there is no store at"):
        Store(path, readonly=True)

    assert not (tmp_path / "store").exists()


def test_store_pickles_as_path_and_settings(store):
    """A store, sent to another process, opens there; it carries its settings."""
    store["a"] = 1
    clone = pickle.loads(pickle.dumps(store))

    assert (1, store.path, "process") == (clone["a"], clone.path, clone.durability)
    clone.close()
    assert 1 == store["a"]


def test_transaction_is_a_mapping_too(store):
    """Within a block the transaction is a whole mapping, with namespaces."""
    with store.transaction() as transaction:
        transaction.update({"a": 1, "b": 2})
        transaction.namespace("n")["c"] = 3

        assert isinstance(transaction, Transaction)
        assert [("a", 1), ("b", 2)] == list(transaction.items())
        assert 2 == len(transaction)
    assert 3 == store.namespace("n")["c"]


def test_temporary_store_leaves_nothing(tmp_path, monkeypatch):
    """A temporary store is gone when it is closed."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Store.temporary() as store:
        store["a"] = 1
        where = store.path

        assert where.startswith(str(tmp_path))
    assert [] == list(tmp_path.glob("objcache-*"))


def test_mixed_mapping_inputs(store):
    """update takes mappings, pairs and names, as dict does."""
    store.update(collections.OrderedDict(a=1), b=2)
    store.update()

    assert {"a": 1, "b": 2} == store
    assert SECRET not in repr(store).encode()


def test_colliding_digests_are_told_apart(store, monkeypatch):
    """Two keys that are shortened to the same bytes are never taken for each other."""
    monkeypatch.setattr("objcache.keys._engine_keys._digest", lambda _: bytes(16))
    for one, other in (("x" * 600, "x" * 601), (frozenset({1}), frozenset({2}))):
        store[one] = "one"

        assert "one" == store[one]
        assert one in store
        assert other not in store
        assert store.get(other) is None
        assert {one: "one"} == store.get_many([one, other])
        with pytest.raises(KeyError):
            del store[other]
        assert 0 == store.delete_many([other])
        assert "gone" == store.pop(other, "gone")
        assert [one] == [key for key in store if key == one]
        del store[one]
