"""`objcache import-from`: sources of the real libraries, imported by real processes."""

from __future__ import annotations

import codecs
import dbm.dumb
import json
import os
import pickle
import shelve
import signal
import sqlite3
import subprocess
import sys

import diskcache
import joblib
import numpy as np
import pytest
from sqlitedict import SqliteDict

from objcache import Cache, Store
from objcache.engine import FILE_NAME

COMMAND = (sys.executable, "-W", "error", "-m", "objcache", "import-from")
KINDS = ("shelve", "diskcache", "joblib", "sqlitedict")


class Planted:
    """Pickles to a call, which whoever loads it makes."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def planted(path):
    """What makes a directory at *path* when it is loaded."""
    return Planted(os.mkdir, str(path))


@pytest.fixture
def source(tmp_path):
    """Where a test makes its source."""
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


@pytest.fixture
def target(tmp_path):
    """Where it is imported to."""
    return tmp_path / "target"


def run(*arguments, code=0, **environment):
    """Run the command in a process of its own; return what it printed, and its complaints."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )

    assert code == done.returncode, done.stdout + done.stderr
    return done.stdout, done.stderr


def run_json(*arguments, code=0):
    """Run the command with --json; return its object."""
    return json.loads(run(*arguments, "--json", code=code)[0])


def counts(answer):
    """Those numbers of an answer that are not zero."""
    return {name: number for name, number in answer.items() if type(number) is int and number}


def state(directory):
    """The content of all files below a directory."""
    return {
        str(file.relative_to(directory)): file.read_bytes()
        for file in directory.rglob("*")
        if file.is_file()
    }


def make(kind, source, values):
    """Store *values* by the real library; return the path to import from."""
    if kind == "shelve":
        with shelve.open(str(source / "shelf")) as shelf:
            shelf.update(values)
        return source / "shelf"
    if kind == "diskcache":
        with diskcache.Cache(str(source)) as cache:
            for key, value in values.items():
                cache[key] = value
        return source
    if kind == "sqlitedict":
        with SqliteDict(source / "file.sqlite", autocommit=True) as stored:
            stored.update(values)
        return source / "file.sqlite"

    def valued(key):
        return values[key]

    memory = joblib.Memory(source, verbose=0)
    memoized = memory.cache(valued)
    for key in values:
        memoized(key)
    return source


# -- what is imported ------------------------------------------------------------------------


def test_shelf(source, target):
    """All entries of a shelf are in the store; the shelf is as it was."""
    path = make("shelve", source, {"a": [1, 2], "grüße": {"x": None}, "n": 3.5})
    before = state(source)
    printed, _ = run("shelve", path, target, "--trust-source")

    assert printed == f"{target}: 3 entries imported from {path}\n"
    assert before == state(source)
    with Store(target) as store:
        assert {"a": [1, 2], "grüße": {"x": None}, "n": 3.5} == dict(store)


def test_shelf_by_the_name_of_its_file(source, target):
    """A shelf is found by the name of one of its files, too."""
    with shelve.Shelf(dbm.dumb.open(str(source / "shelf"), "c")) as shelf:
        shelf["a"] = 1
    run("shelve", source / "shelf.dat", target, "--trust-source")

    with Store(target) as store:
        assert {"a": 1} == dict(store)


def test_shelf_of_python_3_13(source, target):
    """A shelf in SQLite, as Python 3.13 makes them, is read by any Python."""
    path = source / "shelf"
    with sqlite3.connect(path) as database:
        # as in its dbm.sqlite3
        database.execute("CREATE TABLE Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)")
        rows = [(b"a", pickle.dumps([1])), (b"\xff", pickle.dumps(2))]
        database.executemany("INSERT INTO Dict VALUES (?, ?)", rows)
    database.close()
    before = state(source)
    answer = run_json("shelve", path, target, "--trust-source", code=1)

    assert {"imported": 1, "entries": 1, "failed": 1} == counts(answer)
    assert before == state(source)
    with Store(target) as store:
        assert {"a": [1]} == dict(store)


def test_sqlitedict(source, target):
    """All entries of the only table are in the store; the file is as it was."""
    path = make("sqlitedict", source, {"a": [1], "b": np.arange(3)})
    before = state(source)
    run("sqlitedict", path, target, "--trust-source")

    assert before == state(source)
    with Store(target) as store:
        assert ["a", "b"] == list(store)
        assert [1] == store["a"]
        assert [0, 1, 2] == list(store["b"])


def test_tables_of_sqlitedict(source, target):
    """Of several tables one must be chosen; those that are there are named."""
    path = source / "file.sqlite"
    for table in ("one", 'two "2"'):
        with SqliteDict(path, tablename=table, autocommit=True) as stored:
            stored["table"] = table
    _, unchosen = run("sqlitedict", path, target, "--trust-source", code=2)
    run("sqlitedict", path, target, "--trust-source", "--table", "three", code=2)
    run("sqlitedict", path, target, "--trust-source", "--table", 'two "2"')

    assert "choose one by --table: 'one', 'two \"2\"'" in unchosen
    with Store(target) as store:
        assert {"table": 'two "2"'} == dict(store)


def test_other_encoders_of_sqlitedict_fail(source, target):
    """Values of another encoder are failures, told one by one; they are not guessed at."""
    path = source / "file.sqlite"
    with SqliteDict(path, autocommit=True, encode=json.dumps, decode=json.loads) as stored:
        stored["a"] = [1]
    answer = run_json("sqlitedict", path, target, "--trust-source", code=1)

    assert {"failed": 1} == counts(answer)
    assert [{"key": "'a'", "reason": "TypeError: it is not a pickle, but str"}] == (
        answer["failures"]
    )


def test_diskcache(source, target):
    """Values of all kinds, deadlines and tags are in the cache; what is over is not."""
    values = {
        "int": 2**40,
        "float": 1.5,
        "text": "grüße",
        b"bytes": b"\0\1",
        "long bytes": bytes(range(256)) * 400,
        "long text": "grüße\r\n" * 9000,
        ("a", 1): {"pickled": [None]},
        "long pickle": list(range(30_000)),
        "none": None,
    }
    with diskcache.Cache(str(source), cull_limit=0) as cache:
        for key, value in values.items():
            cache.set(key, value)
        cache.set("soon", 1, expire=1000, tag="news")
        cache.set("tagged file", bytes(100_000), expire=2000, tag="news")
        cache.set("over", 1, expire=-1)
        cache.set("number", 1, tag=7)
        cache.set("too long", 1, tag="x" * 201)
        names = ("soon", "tagged file")
        deadlines = {name: cache.get(name, expire_time=True)[1] for name in names}
    before = state(source)
    answer = run_json("diskcache", source, target, "--trust-source")

    assert before == state(source)
    assert {"imported": 13, "entries": 13, "expired": 1, "tags_as_text": 1, "tags_lost": 1} == (
        counts(answer)
    )
    with Cache(target) as cache:
        for key, value in values.items():
            assert value == cache[key]
            assert (None, ()) == (cache.entry(key).deadline, cache.entry(key).tags)
        assert ("news",) == cache.entry("soon").tags
        for key, deadline in deadlines.items():
            assert abs(cache.entry(key).deadline - deadline) < 0.1
        assert ("7",) == cache.entry("number").tags
        assert () == cache.entry("too long").tags
        assert "over" not in cache
        assert bytes(100_000) == cache["tagged file"]
        assert 2 == cache.evict("news")


def test_shards_of_diskcache(source, target):
    """All shards of a FanoutCache become one cache."""
    with diskcache.FanoutCache(str(source), shards=3) as cache:
        for number in range(20):
            cache[number] = number * number
    before = state(source)
    run("diskcache", source, target)

    assert before == state(source)
    with Cache(target) as cache:
        assert {number: number * number for number in range(20)} == dict(cache)


def test_json_of_diskcache(source, target):
    """What JSONDisk wrote is noticed, and imported without any pickle once it is said."""
    with diskcache.Cache(str(source), disk=diskcache.JSONDisk) as cache:
        cache[["a", [1, 2]]] = {"x": [1, None]}
        cache["long"] = [os.urandom(20_000).hex()]
        long = cache["long"]
    _, unsaid = run("diskcache", source, target, code=2)
    run("diskcache", source, target, "--disk", "json")

    assert "--disk json" in unsaid
    with Cache(target) as cache:
        assert {("a", (1, 2)): {"x": [1, None]}, "long": long} == dict(cache)


def test_cache_that_is_in_use(source, target):
    """A cache that another process has open is imported as it is now, its log included."""
    with diskcache.Cache(str(source)) as cache:
        cache["a"] = 1
        before = state(source)
        run("diskcache", source, target)
        after = state(source)

        assert before.pop("cache.db-shm")  # locks of readers, no data
        assert after.pop("cache.db-shm")
        assert before["cache.db-wal"]
        assert before == after
    with Cache(target) as cache:
        assert {"a": 1} == dict(cache)


def test_names_of_sources_are_any(source, target):
    """A path may have what URIs give a meaning to, and what is not UTF-8."""
    make("diskcache", source, {"a": 1})
    odd = source.rename(source.parent / "50%25 of?it=#1 \udcff")
    answer = run_json("diskcache", odd, target)

    assert {"imported": 1, "entries": 1} == counts(answer)
    assert str(odd) == answer["source"]
    assert ["cache.db"] == os.listdir(odd)


def test_joblib(source, target, tmp_path):
    """Results lie under function and hash of the arguments, what is known of the call beside."""
    (tmp_path / "mod_of_results.py").write_text("def f(x, y=2):\n    return x * y\n")
    code = (
        "import joblib, mod_of_results as m, numpy, sys\n"
        "joblib.Memory(sys.argv[1], verbose=0).cache(m.f)(3)\n"
        "joblib.Memory(sys.argv[1], verbose=0, compress=True).cache(m.f)(numpy.arange(3.0))\n"
    )
    subprocess.run([sys.executable, "-c", code, source], cwd=tmp_path, check=True, timeout=60)
    before = state(source)
    answer = run_json("joblib", source, target, "--trust-source")

    assert {"imported": 2, "entries": 2} == counts(answer)
    assert before == state(source)
    with Store(target) as store:
        one = "mod_of_results.f", joblib.hash({"x": 3, "y": 2})
        other = "mod_of_results.f", joblib.hash({"x": np.arange(3.0), "y": 2})
        assert {one, other} == set(store)
        assert 6 == store[one]
        assert [0, 2, 4] == list(store[other])
        call = store.namespace("joblib-calls")[one]
        assert {"x": "3", "y": "2"} == call["input_args"]


def test_joblib_without_joblib(source, target, tmp_path):
    """Where joblib is not installed, that is what is said."""
    path = make("joblib", source, {"a": 1})
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "joblib.py").write_text("raise ImportError('hidden')\n")
    shadow = os.pathsep.join([str(tmp_path / "shadow"), os.environ.get("PYTHONPATH", "")])
    _, complaint = run("joblib", path, target, "--trust-source", code=2, PYTHONPATH=shadow)

    assert "joblib, which is not installed here" in complaint
    assert not target.exists()


# -- whom it trusts --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_pickles_need_trust(kind, source, target, tmp_path):
    """Without --trust-source no pickle runs, nothing is imported, and one line says why."""
    if kind == "joblib":
        path = make(kind, source, {"a": 1})
        (file,) = source.rglob("output.pkl")
        file.write_bytes(pickle.dumps(planted(tmp_path / "ran")))
    else:
        path = make(kind, source, {"a": planted(tmp_path / "ran")})
    before = state(source)
    printed, complaint = run(kind, path, target, code=2)

    assert "" == printed
    assert 1 == complaint.count("\n")
    assert "nothing but pickles (1 entry)" in complaint
    assert "--trust-source" in complaint
    assert not (tmp_path / "ran").exists()
    assert not target.exists()
    assert before == state(source)
    run(kind, path, target, "--trust-source")
    assert (tmp_path / "ran").exists()


def test_what_is_no_pickle_needs_no_trust(source, target, tmp_path):
    """Of a diskcache what is no pickle is imported, the rest counted; trust brings it later."""
    values = {"plain": 1, "file": bytes(50_000), ("key",): 1, "value": planted(tmp_path / "ran")}
    path = make("diskcache", source, values)
    printed, complaint = run("diskcache", path, target, code=1)

    assert f"{target}: 2 entries imported from {path}\n  2 not imported: pickles\n" == printed
    last = complaint.splitlines()[-1]
    assert last.startswith("objcache: 2 entries not imported, as they are pickles")
    assert last.endswith(
        f"objcache import-from diskcache {path} {target} --into-existing --trust-source"
    )
    assert not (tmp_path / "ran").exists()
    answer = run_json("diskcache", path, target, "--into-existing", "--trust-source")
    assert {"imported": 2, "present": 2, "entries": 4} == counts(answer)


def test_files_outside_of_the_source_are_not_read(source, target, tmp_path):
    """A row that names a file elsewhere, or no regular one, is a failure."""
    (tmp_path / "mine").write_text("secret")
    with diskcache.Cache(str(source)) as cache:
        for key in ("climbs", "link", "absolute", "pipe", "gone"):
            cache[key] = bytes(50_000)
        (source / "link").symlink_to(tmp_path / "mine")
        os.mkfifo(source / "pipe")
        names = {"climbs": "../mine", "link": "link", "absolute": str(tmp_path / "mine")}
        names |= {"pipe": "pipe", "gone": "gone"}
        for key, name in names.items():
            cache._sql("UPDATE Cache SET filename = ? WHERE key = ?", (name, key))
    answer = run_json("diskcache", source, target, code=1)

    assert {"failed": 5} == counts(answer)
    reasons = {one["key"]: one["reason"] for one in answer["failures"]}
    for key in ("'climbs'", "'link'", "'absolute'"):
        assert "lies outside of the source" in reasons[key]
    assert "not a regular file" in reasons["'pipe'"]
    assert "No such file" in reasons["'gone'"]


def test_keys_and_reasons_do_not_steer_the_terminal(source, target):
    """What comes from the source is shown in one line each, control characters escaped."""
    path = make("shelve", source, {"\x1b[2J\nkey": Planted(codecs.lookup, "\x1b[2J\nbad")})
    printed, _ = run("shelve", path, target, "--trust-source", code=1)

    assert "\x1b" not in printed
    assert "    '\\x1b[2J\\nkey': LookupError: unknown encoding: \\x1b[2J bad\n" in printed


# -- what cannot be imported -----------------------------------------------------------------


def test_values_that_cannot_be_loaded_or_stored(source, target):
    """Single failures are told with their reason and stop nothing; the exit code is 1."""
    with diskcache.Cache(str(source)) as cache:
        cache["good"] = [1]
        cache["class"] = 0
        cache["nan"] = float("nan")
        cache["garbage"] = [2]
        cache[frozenset({1})] = 3
        cache[1, (object,)] = 4
        sql = cache._sql
        missing = b"cmodule_that_is_not\nThing\n."
        sql("UPDATE Cache SET mode = 4, value = ? WHERE key = 'class'", (missing,))
        sql("UPDATE Cache SET value = x'ff' WHERE key = 'garbage'")
        sql("INSERT INTO Cache (key, raw, mode, value) VALUES (CAST(x'ff' AS TEXT), 1, 1, 5)")
        sql("INSERT INTO Cache (key, raw, mode, value, expire_time) VALUES ('t', 1, 1, 5, 'x')")
    answer = run_json("diskcache", source, target, "--trust-source", code=1)

    assert {"imported": 2, "entries": 2, "failed": 6} == counts(answer)
    reasons = {one["key"]: one["reason"] for one in answer["failures"]}
    assert "ModuleNotFoundError: No module named 'module_that_is_not'" == reasons["'class'"]
    assert "nan" in reasons["'nan'"]
    assert reasons["'garbage'"].startswith("UnpicklingError")
    assert "no stable form" in reasons["(1, (<class 'object'>,))"]
    assert "surrogates" in reasons["'\\udcff'"]
    with Cache(target) as cache:
        assert {"good": [1], frozenset({1}): 3} == dict(cache)


def test_bounds_of_the_target(source, target):
    """What had to make room is told; what never fits is a failure; without bounds all fits."""
    with diskcache.Cache(str(source)) as cache:
        for number in range(10):
            cache[number] = number
        cache["large"] = os.urandom(3_000_000)
    few = run_json("diskcache", source, target, "--max-entries", 4)
    small = run_json("diskcache", source, f"{target}-2", "--size-limit", "2 MiB", code=1)
    whole = run_json("diskcache", source, f"{target}-3")

    assert {"imported": 11, "entries": 4, "evicted": 7} == counts(few)
    assert {"imported": 10, "entries": 10, "failed": 1} == counts(small)
    assert {"imported": 11, "entries": 11} == counts(whole)


@pytest.mark.parametrize(("kind", "mapping"), [("sqlitedict", Store), ("diskcache", Cache)])
def test_interrupted_import_goes_on(kind, mapping, source, target, tmp_path):
    """Ctrl-C leaves what was imported, whole, and says what is there; the next run goes on."""
    here, there = str(tmp_path / "here"), str(tmp_path / "there")
    os.mkfifo(here)
    os.mkfifo(there)
    values = {f"key {number}": [number] for number in range(1200)}
    tells, waits = Planted(os.open, here, os.O_WRONLY), Planted(os.open, there, os.O_RDONLY)
    path = make(kind, source, {**values, "tells": tells, "waits": waits, "last": "last"})
    process = subprocess.Popen(
        [*COMMAND, kind, path, target, "--trust-source"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(os.open(here, os.O_RDONLY))  # returns when the import has come to there
    process.send_signal(signal.SIGINT)
    printed, complaint = process.communicate(timeout=60)
    with mapping(target) as stored:
        kept = dict(stored)
    for pipe in (here, there):
        os.unlink(pipe)
        open(pipe, "w").close()
    answer = run_json(kind, path, target, "--trust-source", "--into-existing")

    assert 130 == process.returncode, complaint
    # Those of the transaction that was interrupted are not there.
    entries = len(kept)
    assert 1000 <= entries <= 1200
    assert {f"key {number}": [number] for number in range(entries)} == kept
    assert printed.startswith(f"{target}: {entries:,} entries imported")
    assert complaint.splitlines()[-1] == (
        f"objcache: interrupted; {target} has {entries:,} entries, each of them whole; to go on: "
        f"objcache import-from {kind} {path} {target} --into-existing --trust-source"
    )
    assert {"imported": 1203 - entries, "present": entries, "entries": 1203} == counts(answer)


@pytest.mark.parametrize("kind", ["sqlitedict", "diskcache"])
def test_import_leaves_few_free_pages(kind, source, target):
    """The file of a small source stays small: not each entry is a commit."""
    path = make(kind, source, {str(number): number for number in range(3000)})
    run(kind, path, target, "--trust-source")

    assert os.path.getsize(target / FILE_NAME) < 8_000_000


def test_target_that_is_in_use(source, target):
    """An import is added beside a program that has the target open, whatever its durability."""
    path = make("sqlitedict", source, {"a": 1})
    with Store(target, durability="commit") as store:
        store["b"] = 2
        run("sqlitedict", path, target, "--trust-source", "--into-existing")

        assert {"a": 1, "b": 2} == dict(store)


# -- bad input -------------------------------------------------------------------------------


def refused(*arguments, part, **environment):
    """Run the command; it ends with one line that has *part* in it, and exit code 2."""
    printed, complaint = run(*arguments, code=2, **environment)

    assert ("", 1) == (printed, complaint.count("\n")), complaint
    assert complaint.startswith("objcache: error: ")
    assert part in complaint


@pytest.mark.parametrize("kind", KINDS)
def test_bad_sources(kind, source, target, tmp_path):
    """A missing source and one of another kind are refused; no target is made."""
    make("sqlitedict" if kind == "diskcache" else "diskcache", source, {"a": 1})
    (tmp_path / "text").write_text("not a database")
    (tmp_path / "empty").mkdir()
    before = state(source)
    for path in ("missing", "text", "empty", source, source / "cache.db"):
        refused(kind, tmp_path / path, target, "--trust-source", part=str(path))

    assert before == state(source)
    assert not target.exists()


@pytest.mark.parametrize("kind", ["diskcache", "sqlitedict"])
def test_damaged_databases(kind, source, target):
    """A damaged database is refused before anything of it is imported."""
    path = make(kind, source, {str(number): "x" * 500 for number in range(100)})
    file = path / "cache.db" if kind == "diskcache" else path
    content = bytearray(file.read_bytes())
    # The last page of a table, which nothing reads before its entries.
    leaf = max(start for start in range(4096, len(content), 4096) if content[start] == 0x0D)
    content[leaf + 8 : leaf + 4096] = b"\x5a" * 4088
    file.write_bytes(content)
    refused(kind, path, target, "--trust-source", part="database")
    file.write_bytes(content[:6000])
    refused(kind, path, target, "--trust-source", part="database")

    assert content[:6000] == file.read_bytes()
    assert not target.exists()


def test_damaged_shelf(source, target):
    """A shelf whose directory is damaged is refused."""
    path = make("shelve", source, {"a": 1})
    for file in source.iterdir():
        file.write_bytes(b"'a', (0, )(")
    refused("shelve", path, target, "--trust-source", part=str(path))

    assert not target.exists()


def test_locked_database(source, target):
    """A database that somebody is writing to is refused after a moment."""
    path = make("sqlitedict", source, {"a": 1})
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    refused("sqlitedict", path, target, "--trust-source", part="locked")
    writer.close()

    assert not target.exists()


def test_source_that_changes_meanwhile(source, target):
    """A diskcache that was closed, and is written to while it is read, ends with an error."""
    path = source / "cache.db"
    make("diskcache", source, {"first": 1, "writes": Planted(os.utime, str(path), (1, 1))})
    printed, complaint = run("diskcache", source, target, "--trust-source", code=2)

    assert printed.startswith(f"{target}: 2 entries imported")
    assert "was written to while it was read" in complaint.splitlines()[-1]


def test_log_without_index(source, target):
    """A copy whose log was not yet written back is refused: to read it would change it."""
    with diskcache.Cache(str(source)) as cache:
        cache["a"] = 1
        copy = source.parent / "copy"
        copy.mkdir()
        for name in ("cache.db", "cache.db-wal"):
            (copy / name).write_bytes((source / name).read_bytes())
    before = state(copy)
    refused("diskcache", copy, target, part="write-ahead log")

    assert before == state(copy)
    assert not target.exists()


def test_targets_that_are_taken(source, target, tmp_path):
    """A target that is not empty is refused, or added to where that is asked; never replaced."""
    path = make("diskcache", source, {"a": 1, "b": 2})
    with Cache(target) as cache:
        cache["a"] = "mine"
    refused("diskcache", path, target, part="--into-existing")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    for taken in (tmp_path / "other", tmp_path / "other" / "file"):
        refused("diskcache", path, taken, part="--into-existing")
        refused("diskcache", path, taken, "--into-existing", part=str(taken))
    refused("diskcache", path, tmp_path / "other" / "file" / "below", part="below")
    inside = path / "inside"
    refused("diskcache", path, inside, part="lies in the source")
    another = {"OBJCACHE_SECRET": "another secret of 16 bytes"}
    refused("diskcache", path, target, "--into-existing", part="OBJCACHE_SECRET", **another)
    answer = run_json("diskcache", path, target, "--into-existing")

    assert {"imported": 1, "present": 1, "entries": 2} == counts(answer)
    assert ["file"] == os.listdir(tmp_path / "other")
    assert not inside.exists()
    with Cache(target) as cache:
        assert {"a": "mine", "b": 2} == dict(cache)


def test_bad_options(source, target):
    """Options of another kind of source, and bounds that are none, are refused."""
    path = make("diskcache", source, {"a": 1})
    refused("diskcache", path, target, "--table", "x", part="--table belongs to sqlitedict")
    refused("shelve", path, target, "--size-limit", "1 GB", part="belongs to diskcache")
    refused("diskcache", path, target, "--size-limit", "much", part="is not a size")
    refused("other", path, target, part="'other'")
    answer = json.loads(run("diskcache", source.parent, target, "--json", code=2)[0])

    assert answer["ok"] is False
    assert "not a directory of diskcache" in answer["error"]
    assert not (target / FILE_NAME).exists()
