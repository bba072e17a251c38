"""Blobs in a cache: within its bounds, with deadlines and tags, whole or not there."""

from __future__ import annotations

import os
import random

import pytest

from objcache import BlobError, CorruptRecordError, StoreFullError
from objcache.engine.side_files import SideFiles
from objcache.errors import ReadOnlyStoreError, StoreClosedError

MIB = 1 << 20
LARGE = random.Random(3).randbytes(MIB)


def write(cache, key, content=LARGE, **options):
    """Write *content* in pieces."""
    with cache.open_blob(key, "wb", **options) as blob:
        for start_at in range(0, len(content), 100_000):
            blob.write(content[start_at : start_at + 100_000])


def names(cache):
    """Return the names of all side files that are on the disk."""
    place = os.path.join(cache.directory, "blobs")
    return os.listdir(place) if os.path.exists(place) else []


@pytest.mark.parametrize("size", [0, 100, 16_383, 16_384, MIB])
def test_blobs_are_entries(open_cache, clock, size):
    """A blob is the bytes that were written, with deadline, tags and size; `clear` removes it."""
    cache = open_cache(size_limit="8 MiB")
    write(cache, "k", LARGE[:size], expire=10, tag=("a", "b"))
    entry = cache.entry("k")

    assert LARGE[:size] == cache["k"] == cache.view("k") == entry.value
    assert (size, ("a", "b"), clock.now() + 10) == (entry.size, entry.tags, entry.deadline)
    with cache.open_blob("k") as blob:
        assert (size, LARGE[:size]) == (blob.size, blob.read())
    assert ["k"] == list(cache.keys(tag="a"))
    assert (size >= 16_384) == len(names(cache))
    assert cache.check().ok
    clock.advance(10)
    with pytest.raises(KeyError):
        cache.open_blob("k")
    cache.clear()
    assert cache.entry("k") is None


def test_a_blob_lives_from_when_it_is_closed(cache, clock):
    """`expire` counts from the moment at which the blob is stored."""
    with cache.open_blob("k", "wb", expire=10) as blob:
        blob.write(b"abc")
        clock.advance(60)

    assert (clock.now(), clock.now() + 10) == (cache.entry("k").created, cache.entry("k").deadline)


def test_blobs_count_against_the_limit(open_cache):
    """However many blobs are written, and files stored, the cache stays within its limit."""
    cache = open_cache(size_limit="8 MiB")
    for number in range(40):
        write(cache, number, LARGE[: 100_000 + 20_000 * number])

        stats = cache._store.stats()
        assert stats.file_bytes + stats.side_file_bytes <= 8 * MIB
    assert 3 < len(cache) < 20
    assert LARGE[:880_000] == cache[39]
    assert cache.check().ok
    cache.sync()
    assert len(names(cache)) == len(cache)


def test_what_is_too_large_is_refused_at_once(open_cache, tmp_path, monkeypatch):
    """A blob beyond the largest entry is refused when it gets there, a file before it is copied."""
    cache = open_cache(size_limit="4 MiB")
    write(cache, "k", b"old")
    file = tmp_path / "file"
    file.write_bytes(3 * LARGE)
    blob = cache.open_blob("k", "wb")
    for _ in range(2):
        blob.write(LARGE)
    with pytest.raises(StoreFullError, match="the largest entry of this cache"):
        blob.write(b"x")

    assert [] == names(cache)
    with pytest.raises(BlobError, match="a write to it has failed"):
        blob.close()
    with monkeypatch.context() as patched:
        patched.setattr(SideFiles, "begin", None)
        with pytest.raises(StoreFullError, match="the largest entry of this cache"):
            cache.put_file("k", file)
    with (
        pytest.raises(StoreFullError, match="the largest entry"),
        cache.open_blob("k", "wb") as blob,
    ):
        blob.write(2 * LARGE)  # as large as an entry may be, but it has a record beside it
    assert (b"old", [], True) == (cache["k"], names(cache), cache.check().ok)


def test_a_cache_that_must_not_evict(open_cache):
    """Where nothing may be evicted, a blob too much is refused at `close`; what is there stays."""
    cache = open_cache(size_limit="4 MiB", on_full="error")
    stored = 0
    with pytest.raises(StoreFullError):
        for number in range(20):
            write(cache, number)
            stored += 1

    assert 0 < stored == len(cache) == len(names(cache))
    assert cache.check().ok


def test_bounded_namespaces(open_cache):
    """A namespace with a limit of its own evicts its own blobs."""
    cache = open_cache(size_limit="64 MiB")
    below = cache.namespace("n", size_limit="3 MiB")
    for number in range(6):
        write(below, number)
        write(cache, number, b"abc")

    assert (2, 6) == (len(below), len(cache))
    assert below.check().ok


def test_a_reader_outlives_its_entry(open_cache):
    """A blob that is open stays what it is when its entry is evicted and the cache is closed."""
    cache = open_cache(size_limit="4 MiB")
    write(cache, "k")
    blob = cache.open_blob("k")
    for number in range(20):
        write(cache, number)
    cache.close()
    with blob:
        assert LARGE == blob.read()


def test_cleared_between_open_and_close(open_cache):
    """What is closed after `clear` is stored in the cache as it is then."""
    cache = open_cache(size_limit="8 MiB")
    write(cache, "old")
    with cache.open_blob("k", "wb") as blob:
        blob.write(LARGE)
        with open_cache(size_limit="8 MiB") as other:
            other.clear()

    assert {"k": LARGE} == dict(cache)
    assert cache.check().ok


def test_another_generation_under_the_write(open_cache, monkeypatch):
    """A blob is stored even if the cache is cleared between its record and its transaction."""
    cache, other = open_cache(size_limit="8 MiB"), open_cache(size_limit="8 MiB")
    change, cleared = type(cache)._change, []

    def clear_then_change(self, *arguments, **options):
        if not cleared:
            cleared.append(True)
            other.clear()
        return change(self, *arguments, **options)

    monkeypatch.setattr(type(cache), "_change", clear_then_change)
    write(cache, "k")

    assert (LARGE, [True]) == (cache["k"], cleared)
    assert cache.check().ok


def test_blobs_in_transactions(open_cache):
    """A blob is part of the transaction in which it is closed."""
    cache = open_cache(size_limit="8 MiB")
    cache["k"] = "old"

    def roll_back():
        with cache.transaction():
            write(cache, "k")

            assert LARGE == cache["k"]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        roll_back()

    assert ("old", []) == (cache["k"], names(cache))
    with cache.transaction():
        write(cache, "k")
    assert LARGE == cache["k"]


def test_reads_of_blobs_are_counted(cache):
    """Opening a blob is a hit, opening what is not there a miss; looking at it is neither."""
    write(cache, "k")
    cache.open_blob("k").close()
    with pytest.raises(KeyError):
        cache.open_blob("missing")

    assert (1, 1) == (cache.stats().hits, cache.stats().misses)
    before = len(os.listdir("/proc/self/fd"))
    assert MIB == cache.entry("k").size
    assert before == len(os.listdir("/proc/self/fd"))
    assert (1, 1) == (cache.stats().hits, cache.stats().misses)


@pytest.mark.damages
def test_altered_blobs(open_cache, caplog):
    """An altered blob is missing with `verify`, and without it an error by its end."""
    cache = open_cache(size_limit="8 MiB")
    write(cache, "k")
    entry = cache.entry("k")
    (name,) = names(cache)
    with open(os.path.join(cache.directory, "blobs", name), "r+b") as file:
        file.write(bytes([LARGE[0] ^ 1]))
    with cache.open_blob("k") as blob, pytest.raises(CorruptRecordError):
        blob.read()
    for deed in (lambda: cache.open_blob("k", verify=True), lambda: entry.value):
        caplog.clear()
        with pytest.raises(KeyError):
            deed()

        assert "was altered" in caplog.text
    assert not cache.check().ok
    assert cache.delete("k")


def test_what_is_refused(cache, open_cache):
    """Modes that are none, values that are none, caches that cannot be written or are closed."""
    cache["k"] = {"a": 1}
    with pytest.raises(BlobError, match="mode 'w'"):
        cache.open_blob("k", "w")
    with pytest.raises(BlobError, match="of type dict"):
        cache.open_blob("k")
    with pytest.raises(ValueError, match="expire"):
        cache.open_blob("k", "wb", expire="soon")
    with pytest.raises(TypeError, match="a tag is text"):
        cache.open_blob("k", "wb", tag=(1,))
    with open_cache(readonly=True) as reading, pytest.raises(ReadOnlyStoreError):
        reading.open_blob("k", "wb")
    cache.close()
    with pytest.raises(StoreClosedError):
        cache.open_blob("k", "wb")


def test_the_value_of_an_entry_that_was_evicted(open_cache):
    """What is known of an entry stays; its value is missing where its file went."""
    cache = open_cache(size_limit="4 MiB")
    write(cache, "k")
    entry = cache.entry("k")
    for number in range(20):
        write(cache, number)
    cache.sync()

    assert (MIB, ()) == (entry.size, entry.tags)
    with pytest.raises(KeyError):
        _ = entry.value
