"""Declared inputs: files, environment variables and packages are part of the key."""

from __future__ import annotations

import os
import pickle

import pytest

import objcache
from objcache import Env, File, Package
from objcache.memo import _inputs


@pytest.fixture
def table(tmp_path):
    """A file with a row."""
    file = tmp_path / "table.csv"
    file.write_text("1,2")
    return file


def test_files_are_keyed_by_content(store, calls, table, tmp_path):
    """An edit is another argument; undoing it, or a copy elsewhere, is the one from before."""

    @store.memoize
    def total(file):
        calls.append(1)
        with open(file) as opened:
            return sum(map(int, opened.read().split(",")))

    assert [3, 3] == [total(File(table)), total(File(str(table)))]
    table.write_text("1,3")
    assert 4 == total(File(table))
    copy = tmp_path / "copy.csv"
    copy.write_text("1,2")
    assert 3 == total(File(copy))
    assert [1, 1] == calls


def test_files_that_are_not_there(store, table):
    """A missing file is a state of its own."""

    @store.memoize
    def exists(file):
        return os.path.exists(file)

    assert exists(File(table))
    table.unlink()
    assert not exists(File(table))


def test_a_digest_is_remembered(table, monkeypatch):
    """A settled file is read once for each size and time of change."""
    os.utime(table, (1_000_000, 1_000_000))
    reads = []
    plain = _inputs.blake3
    monkeypatch.setattr(_inputs, "blake3", lambda: reads.append(1) or plain())
    first = File(table).__objcache_key__()
    assert first == File(table).__objcache_key__()
    assert [1] == reads
    os.utime(table, (1_000_001, 1_000_001))
    assert first == File(table).__objcache_key__()
    assert [1, 1] == reads


def test_a_file_that_has_just_changed_is_read_again(table):
    """Two edits within one tick of the clock of the file system are two contents."""
    table.write_text("1,2")
    status = table.stat()
    before = File(table).__objcache_key__()
    table.write_text("2,1")
    os.utime(table, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert before != File(table).__objcache_key__()


def test_declared_inputs(store, calls, table, monkeypatch):
    """What `reads=` names is part of the key of each call."""
    monkeypatch.setenv("REGION", "eu")

    @store.memoize(reads=[File(table), Env("REGION"), Package("lmdb")])
    def f(x):
        calls.append(x)
        return os.environ.get("REGION")

    assert ["eu", "eu"] == [f(1), f(1)]
    monkeypatch.setenv("REGION", "us")
    assert "us" == f(1)
    monkeypatch.delenv("REGION")
    assert None is f(1)
    monkeypatch.setenv("REGION", "eu")
    assert "eu" == f(1)
    table.write_text("changed")
    assert "eu" == f(1)
    assert 4 == len(calls)
    assert "Env('REGION') changed" not in str(f.why(1))
    monkeypatch.setenv("REGION", "ap")
    explanation = f.why(1)
    assert "inputs" == explanation.reason
    assert "Env('REGION') changed" in explanation.details


def test_inputs_are_seen_in_memory_too(store, monkeypatch):
    """A result in memory is of the inputs as they are now."""
    monkeypatch.setenv("REGION", "eu")

    @store.memoize(reads=[Env("REGION")], hot=5)
    def f(x):
        return os.environ["REGION"]

    assert ["eu", "eu", "eu"] == [f(1), f(1), f(1)]
    monkeypatch.setenv("REGION", "us")
    assert "us" == f(1)


def test_packages_by_version(monkeypatch):
    """A package by its version; one that is not installed is a state of its own."""
    import importlib.metadata

    assert ("package", "lmdb", importlib.metadata.version("lmdb")) == (
        Package("lmdb").__objcache_key__()
    )
    assert None is Package("no-such-package-anywhere").__objcache_key__()[2]


def test_inputs_are_values():
    """Inputs compare, print and travel."""
    for one in (File("a"), Env("A"), Package("a")):
        assert repr(one) == one.label == repr(pickle.loads(pickle.dumps(one)))
    assert File("a") == File("a") != File("b")
    assert "a" == os.fspath(File("a"))
    assert objcache.File is File
