"""`objcache info`, `stats`, `functions` and `ls`: what they tell is what is there."""

from __future__ import annotations

import json
import os

import pytest

from objcache import Cache, Store
from objcache.cli import main
from objcache.memo.functions import functions_of
from tests.unit.cli.conftest import BORN, double
from tests.unit.cli.terminals import on_terminal


def run(capsys, *arguments):
    """Run a command; return what it printed, which it must have done without a complaint."""
    code = main(list(map(str, arguments)))
    printed = capsys.readouterr()

    assert (0, "") == (code, printed.err)
    return printed.out


def lines(capsys, *arguments):
    """Run a command with --json; return its objects."""
    return [json.loads(line) for line in run(capsys, *arguments, "--json").splitlines()]


def rows(capsys, *arguments):
    """Run `ls --json`; return its objects by the key that is shown."""
    return {row["shown"]: row for row in lines(capsys, "ls", *arguments)}


def test_info(shop, capsys):
    """`info` tells format, engine, fingerprint, durability, sizes and mappings, as `stats()` does."""
    (facts,) = lines(capsys, "info", shop)
    with Store(shop, durability="checkpoint") as store:
        known = store.stats()

    assert (1, "checkpoint", 6, None) == tuple(
        facts[name] for name in ("format", "durability", "entries", "oldest_reader")
    )
    assert facts["engine"].startswith("LMDB 0.9")
    assert known.file_bytes == facts["file_bytes"]
    assert known.page_bytes * facts["free_pages"] == known.file_bytes - known.used_bytes
    assert [{"names": [], "entries": 4}, {"names": ["sub"], "entries": 1}] == facts["caches"]
    assert {"names": ["a", "b"], "entries": 1} in facts["namespaces"]
    text = run(capsys, "info", shop)
    assert facts["secret_fingerprint"] in text
    assert "namespace a/b" in text
    assert "records of memoized functions" in text
    assert "objcache.memoize" not in text


def test_info_shows_readers(shop, capsys):
    """A snapshot that stays open is told with the commits that were made since."""
    with Store(shop) as store, store.snapshot():
        store["new"] = 1
        store["newer"] = 2
        (facts,) = lines(capsys, "info", shop)
        text = run(capsys, "info", shop)

    assert 2 == facts["oldest_reader"]
    assert f"process {os.getpid()}, is 2 commits behind" in text


def test_durability_is_the_one_it_was_written_with(path, capsys):
    """`info` tells the durability of the last writer."""
    with Store(path, durability="commit") as store:
        store["a"] = 1

    assert "commit" == lines(capsys, "info", path)[0]["durability"]


def test_functions(shop, capsys):
    """Entries, hits, seconds and versions of each function, on a store and on a cache."""
    name = f"{double.__module__}.double"
    on_store, on_cache = lines(capsys, "functions", shop)

    assert [(name, False, 2, 1, 1, 2), (name, True, 1, 1, 1, 1)] == [
        tuple(one[key] for key in ("name", "is_cache", "entries", "versions", "hits", "misses"))
        for one in (on_store, on_cache)
    ]
    assert 1 / 3 == on_store["hit_ratio"]
    text = run(capsys, "functions", shop)
    assert "33.3%" in text
    assert "cache /" in text


def test_functions_agree_with_cache_info(path):
    """What a store tells of a function is what the function tells, also after `cache_clear`."""
    told = {}
    with Store(path) as store, Cache(path) as cache:
        namespace = store.namespace("a").namespace("b")
        places = {
            (False, ()): store,
            (False, ("a", "b")): namespace,
            (True, ()): cache,
            (True, ("sub",)): cache.namespace("sub"),
        }
        for place in places.values():
            memoized = place.memoize(double)
            memoized(1), memoized(1)
            memoized.cache_clear()
            memoized(2), memoized(3), memoized(3)
        infos = {names: place.memoize(double).cache_info() for names, place in places.items()}
        for one in functions_of(store):
            counts = (one.hits, one.misses, one.entries, one.size_bytes, one.saved_s)
            told[one.is_cache, one.names] = counts

    assert infos == told
    assert {(1, 2, 2)} == {info[:3] for info in infos.values()}


def test_no_functions(path, capsys):
    """A store without memoized functions says so; a program gets no line."""
    Store(path).close()

    assert "no memoized function" in run(capsys, "functions", path)
    assert [] == lines(capsys, "functions", path)


def test_stats(shop, capsys):
    """`stats` counts caches and functions over all processes, as their own methods do."""
    (found,) = lines(capsys, "stats", shop)
    with Cache(shop) as cache:
        known = cache.stats()
    whole = found["caches"][0]

    assert {name: getattr(known, name) for name in whole if name != "names"} == {
        name: value for name, value in whole.items() if name != "names"
    }
    assert (1, 1, 0.5) == (whole["hits"], whole["misses"], whole["hit_ratio"])
    assert 2 == len(found["functions"])
    text = run(capsys, "stats", shop)
    assert "50.0%" in text
    assert "nobody is reading" in text


def test_readonly_stats_are_those_of_all_processes(shop):
    """A reader that may not write sees what others have counted, and what it has itself."""
    with Cache(shop, readonly=True) as cache:
        cache.get("lasting")

        assert (2, 1) == (cache.stats().hits, cache.stats().misses)
    with Store(shop, readonly=True) as store:
        memoized = store.memoize(double)
        memoized(1)

        assert (2, 2) == memoized.cache_info()[:2]


def test_ls_of_a_store(shop, capsys):
    """Entries come in the order of their keys, with types that were not loaded."""
    found = rows(capsys, shop)

    assert ["b'\\x00raw'", "'42'", "greeting", "('user', 7)", "('user', 8)", "42"] == list(found)
    assert ["bytes", "str", "str", "dict", "dict", "decimal.Decimal"] == [
        row["type"] for row in found.values()
    ]
    assert {"signed"} == {row["trust"] for row in found.values()}
    assert 42 == found["42"]["key"]
    assert "42" == found["'42'"]["key"]


def test_ls_of_a_cache(shop, capsys):
    """Ages, deadlines and tags of a cache are told; what is over is shown to be."""
    found = rows(capsys, shop, "--cache", "/")

    assert ["lasting", "old", "page"] == list(found)
    assert (BORN, BORN + 60, ["shop", "new"]) == tuple(
        found["page"][name] for name in ("created", "deadline", "tags")
    )
    assert None is found["old"]["deadline"]
    assert "over" in run(capsys, "ls", shop, "--cache", "/")
    assert ["z"] == list(rows(capsys, shop, "--cache", "sub"))


def test_ls_of_a_prefix(shop, capsys):
    """A prefix is text or a tuple; a namespace has its own keys."""
    assert ["greeting"] == list(rows(capsys, shop, "gre"))
    assert ["('user', 7)", "('user', 8)"] == list(rows(capsys, shop, "('user',)"))
    assert [] == list(rows(capsys, shop, "42", "--text", "--namespace", "a"))
    assert ["'42'"] == list(rows(capsys, shop, "4", "--text"))
    assert ["k"] == list(rows(capsys, shop, "--namespace", "a/b"))


def test_ls_of_long_prefixes(path, capsys):
    """A prefix longer than the engine's keys finds what begins with it, and nothing else."""
    with Store(path) as store:
        store.update({"x" * 600 + end: 1 for end in ("a", "b")})
        store["x" * 600] = store["x" * 500] = 2

    assert 2 == len(rows(capsys, path, "x" * 599 + "xa")) + len(rows(capsys, path, "x" * 600 + "b"))
    assert 3 == len(rows(capsys, path, "x" * 600))
    assert 4 == len(rows(capsys, path, "x" * 500))


def test_ls_sorted_and_limited(shop, capsys):
    """Entries are sorted by what is asked for, the other way round too, and cut."""
    by_age = rows(capsys, shop, "--cache", "/", "--sort", "age")
    by_size = rows(capsys, shop, "--cache", "/", "--sort", "size", "--limit", 1)
    by_deadline = rows(capsys, shop, "--cache", "/", "--sort", "deadline", "--reverse")

    assert ["page", "old", "lasting"] == list(by_age)
    assert ["old"] == list(by_size)
    assert "page" == list(by_deadline)[-1]
    assert ["42", "('user', 8)"] == list(rows(capsys, shop, "--reverse", "--limit", 2))
    assert "the first 2; --limit 0 shows all" in run(capsys, "ls", shop, "--limit", 2)
    assert "--limit" not in run(capsys, "ls", shop, "--limit", 0)
    assert "bytes" == next(iter(rows(capsys, shop, "--sort", "type").values()))["type"]


def test_ls_of_nothing(path, capsys):
    """An empty store says so, and where its entries may be."""
    Cache(path).close()
    with Cache(path) as cache:
        cache["a"] = 1

    assert "store: no entries" in run(capsys, "ls", path)
    assert "--cache /" in run(capsys, "ls", path)
    assert "namespace x/y: no entries" in run(capsys, "ls", path, "--namespace", "x/y")


@pytest.mark.parametrize(
    ("codec", "values"),
    [
        ("json", {"dict": {}, "list": [], "str": "x", "int": 5, "float": 0.5, "bool": True}),
        ("msgpack", {"dict": {}, "list": [1], "str": "x", "int": 500, "float": 0.5, "None": None}),
        ("raw", {"bytes": b"x"}),
    ],
)
def test_types_of_other_codecs(path, capsys, codec, values):
    """Types are told of data-only codecs too."""
    with Store(path, codec=codec) as store:
        store.update(values)

    assert {name: name for name in values} == {
        row["key"]: row["type"] for row in rows(capsys, path).values()
    }


def test_types_of_what_is_compressed_or_aside(path, capsys):
    """What is compressed is told; what would have to be read as a whole is not."""
    with Store(path, compression="zlib") as store:
        store["small"] = ["x"] * 5000
        store["large"] = "x" * (1 << 25)
        store["aside"] = os.urandom(1 << 21)
        with store.open_blob("blob", "wb") as blob:
            blob.write(bytes(1 << 25))

    assert {"small": "list", "large": "?", "aside": "bytes", "blob": "bytes"} == {
        name: row["type"] for name, row in rows(capsys, path).items()
    }


def test_hostile_text_does_not_reach_the_terminal(path, capsys):
    """Keys and tags with control characters are escaped."""
    with Cache(path) as cache:
        cache.set("a\x1b[2J", 1, tag="t\x07")
    printed = run(capsys, "ls", path, "--cache", "/")

    assert "\\x1b[2J" in printed
    assert not {"\x1b", "\x07"} & set(printed)


def test_on_a_terminal(shop):
    """On a terminal there are tables, and --no-color switches colours off."""
    assert "greeting" in on_terminal("ls", shop)
    assert "\x1b[3" not in on_terminal("stats", shop, "--no-color")
