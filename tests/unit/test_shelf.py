"""`objcache.open` is a drop-in for `shelve.open`: the same program runs on both."""

from __future__ import annotations

import shelve

import pytest

import objcache
from objcache.errors import ReadOnlyStoreError


@pytest.fixture(params=["shelve", "objcache"])
def opener(request, tmp_path):
    """Both libraries, each with a place of its own."""
    module = shelve if request.param == "shelve" else objcache

    def open_it(flag="c", **options):
        return module.open(str(tmp_path / "shelf"), flag, **options)

    return open_it


def test_the_tutorial_of_shelve(opener):
    """The example of shelve's documentation does the same on both."""
    with opener() as d:
        d["key"] = {"a": 1}
        data = d["key"]
        del d["key"]

        assert {"a": 1} == data
        assert "key" not in d
        assert [] == list(d.keys())
        d["xx"] = [0, 1, 2]
        d["xx"].append(3)
        assert [0, 1, 2] == d["xx"]
        temp = d["xx"]
        temp.append(5)
        d["xx"] = temp
        assert [0, 1, 2, 5] == d["xx"]
    with opener("r") as d:
        assert {"xx": [0, 1, 2, 5]} == dict(d)


def test_writeback(opener):
    """With writeback, changes to mutable values are kept by sync and close."""
    with opener(writeback=True) as d:
        d["list"] = [1]
        d["list"].append(2)

        assert [1, 2] == d["list"]
        d.sync()
        d["list"].append(3)
        d["gone"] = []
        d["gone"].append(1)
        del d["gone"]
    with opener() as d:
        assert {"list": [1, 2, 3]} == dict(d)


def test_flags(opener):
    """Each flag does what it does in shelve."""
    with pytest.raises(Exception):
        opener("r")
    with pytest.raises(Exception):
        opener("w")
    with pytest.raises(Exception):
        opener("x")
    with opener("c") as d:
        d["a"] = 1
    with opener("w") as d:
        d["b"] = 2
    with opener("r") as d:
        assert {"a": 1, "b": 2} == dict(d)
    with opener("n") as d:
        assert 0 == len(d)


def test_mapping_methods(opener):
    """The methods of MutableMapping are all there."""
    with opener() as d:
        d.update({"a": 1, "b": 2})

        assert (1, 2, None, 3) == (d.pop("a"), d.setdefault("b", 5), d.get("z"), d.get("z", 3))
        assert {("b", 2)} == set(d.items())
        assert 1 == len(d)
        d.clear()
        assert {} == dict(d)
        with pytest.raises(KeyError):
            d["a"]
        with pytest.raises(KeyError):
            d.popitem()


def test_closed(opener):
    """Closing twice is fine; using it afterwards is a ValueError."""
    d = opener()
    d.close()
    d.close()
    for use in (lambda: d["a"], lambda: d.__setitem__("a", 1), lambda: len(d), lambda: list(d)):
        with pytest.raises(ValueError):
            use()


def test_protocol_is_written(tmp_path):
    """protocol= is the pickle protocol of the records."""
    with objcache.open(tmp_path / "shelf", protocol=4) as d:
        d["a"] = 1

        assert 4 == d.store._source.begin().get(b"\x10\x02a\x00")[4]


def test_beyond_shelve(tmp_path):
    """Every key of a store is a key; read-only shelves refuse writes; unknown flags are named."""
    with objcache.open(tmp_path / "shelf") as d:
        d["user", 7] = d[5] = 1

        assert [("user", 7), 5] == list(d)
        assert "Shelf" in repr(d)
    with objcache.open(tmp_path / "shelf", "r") as d, pytest.raises(ReadOnlyStoreError):
        d["a"] = 1
    with pytest.raises(ValueError, match="flag 'x' is not one of"):
        objcache.open(tmp_path / "shelf", "x")
    with pytest.raises(FileNotFoundError):
        objcache.open(tmp_path / "none", "w")


def test_read_only_with_writeback(tmp_path):
    """A read-only shelf with writeback closes without writing."""
    with objcache.open(tmp_path / "shelf") as d:
        d["a"] = [1]
    with objcache.open(tmp_path / "shelf", "r", writeback=True) as d:
        d["a"].append(2)
        d.get("a")
    with objcache.open(tmp_path / "shelf") as d:
        assert [1] == d["a"]
