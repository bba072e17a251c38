"""`objcache export` and `objcache import`: what leaves a store and comes back, by real processes."""

from __future__ import annotations

import collections
import dataclasses
import decimal
import enum
import gzip
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest

from objcache import Cache, ManualClock, Store
from objcache.cli import main
from objcache.cli._whole_file import written
from objcache.engine import FILE_NAME
from objcache.store import RawRecords
from tests.unit.cli.conftest import BORN
from tests.unit.cli.processes import content, objcache
from tests.unit.cli.terminals import on_terminal

FAR = 4_000_000_000.0


class Color(enum.Enum):
    """An enum, which the command does not know."""

    RED = 1


@dataclasses.dataclass(frozen=True)
class Spot:
    """A frozen dataclass, which the command does not know."""

    x: int


class Planted:
    """Pickles to a call, which whoever loads it makes."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def run(*arguments, code=0, **options):
    """Run the command line; return what it printed, and its complaints."""
    done = objcache(*arguments, **options)

    assert code == done.returncode, done.stdout[-2000:] + done.stderr
    return done.stdout, done.stderr


def run_json(*arguments, code=0):
    """Run a command with --json; return its object."""
    return json.loads(run(*arguments, "--json", code=code)[0])


def counts(answer):
    """Those numbers of an answer that are not zero."""
    return {name: number for name, number in answer.items() if type(number) is int and number}


def fill(path):
    """A store with what there can be: data, classes, arrays, blobs, namespaces, caches."""
    with Store(path) as store:
        store.update(
            {
                "data": {"a": [1, 2.5, None], 3: (b"x", {4})},
                ("user", 7): decimal.Decimal("1.50"),
                Color.RED: "red",
                Spot(1): [Spot(2)],
                "small array": np.arange(5),
                "large array": np.arange(200_000),
                "large bytes": b"\0\xff" * 700_000,
                "counter": collections.Counter("aab"),
            }
        )
        with store.open_blob("blob", "wb") as blob:
            blob.write(bytes(range(256)) * 8000)
        store.namespace("a").namespace("b")["k"] = "in a/b"
        store.namespace("settings").using("json")["theme"] = {"dark": True}
        store.namespace("raw").using("raw")["bytes"] = b"raw"
        store.memoize(abs_of)(-1)
    with Cache(path) as cache:
        cache.set("page", "<html>", expire=FAR, tag=["shop", "new"])
        cache.set("over", 1, expire=0)
        cache.set("array", np.arange(3), tag="shop")
        cache.namespace("sub")[1] = 2
        with cache.open_blob("film", "wb", expire=FAR, tag="shop") as blob:
            blob.write(b"f" * 2_000_000)
    return path


def abs_of(x):
    """A function to be memoized."""
    return abs(x)


def everything(path):
    """All that can be compared of a store."""
    with Store(path, readonly=True) as store, Cache(path) as cache:
        found = {
            (names, repr(key)): repr(value)
            for names, mapping in (
                ((), store),
                (("a", "b"), store.namespace("a").namespace("b")),
                (("settings",), store.namespace("settings")),
                (("raw",), store.namespace("raw")),
                (("cache",), cache),
                (("cache", "sub"), cache.namespace("sub")),
            )
            for key, value in mapping.items()
        }
        entry = cache.entry("page")
        return found, entry.tags, round(entry.deadline), cache.tags()


@pytest.fixture
def lines(tmp_path):
    """Where a test exports to."""
    return tmp_path / "lines.jsonl"


def test_what_was_exported_comes_back(path, lines, tmp_path):
    """A store that was exported and imported has the same entries, of all kinds and places."""
    fill(path)
    before = content(path)
    told, _ = run("export", path, "-o", lines)
    after = content(path)
    run("import", tmp_path / "target", lines, "--trust-source")
    found, tags, deadline, all_tags = everything(path)
    found_there, tags_there, deadline_there, all_tags_there = everything(tmp_path / "target")

    assert before == after
    assert 16 == len(found)
    assert found == found_there
    assert (tags, all_tags) == (tags_there, all_tags_there)
    assert abs(deadline - deadline_there) <= 1
    assert "16 entries exported" in told
    assert 0o600 == lines.stat().st_mode & 0o777
    with Store(tmp_path / "target") as target:
        assert "objcache.memoize" not in {name for names in target.namespaces() for name in names}
        with target.open_blob("large bytes") as blob:
            assert 1_400_000 == blob.size


def test_two_exports_are_the_same(path, lines, tmp_path):
    """The lines are decided by what is in the store: sets and dicts have one order."""
    with Store(path) as store:
        store["set"] = {f"text {number}" for number in range(50)}
        store[frozenset("abcdef")] = {"b": 1, "a": 2}
    run("export", path, "-o", lines, PYTHONHASHSEED="1")
    printed, complaints = run("export", path, PYTHONHASHSEED="2")

    assert lines.read_text() == printed
    assert "" == complaints


def test_data_needs_no_trust(path, lines, tmp_path):
    """Without --trust-source all data is imported, the rest counted; later it can be added."""
    fill(path)
    run("export", path, "-o", lines)
    target = tmp_path / "target"
    first = run_json("import", target, lines, code=1)
    _, complaints = run("import", target, lines, "--into-existing", code=1)
    second = run_json("import", target, lines, "--into-existing", "--trust-source")

    assert {"imported": 12, "refused": 4} == counts(first)
    assert complaints == (
        "objcache: 4 entries not imported, as they are no data, and what is none can run any code "
        f"as you; if you know where they come from: objcache import {target} {lines} "
        "--into-existing --trust-source\n"
    )
    assert {"imported": 4, "present": 12} == counts(second)
    assert everything(path)[0] == everything(target)[0]


def test_nothing_is_executed(path, lines, tmp_path):
    """Neither command runs what a pickle would: it is not loaded, and only stored if trusted."""
    marker = tmp_path / "marker"
    with Store(path) as store:
        store["trap"] = Planted(os.mkdir, str(marker))
        store["nested"] = [1, {"a": Planted(os.mkdir, str(marker))}]
        store["data"] = 1
    told = run_json("export", path, "-o", lines)
    left = run_json("export", path, "-o", tmp_path / "data.jsonl", "--data-only", code=1)
    run("import", tmp_path / "one", lines, code=1)
    run("import", tmp_path / "two", lines, "--trust-source")
    whole = run_json("import", tmp_path / "three", tmp_path / "data.jsonl")

    assert {"entries": 3, "payloads": 2} == counts(told)
    assert {"entries": 1, "left_out": 2} == counts(left)
    assert {"imported": 1} == counts(whole)
    assert not marker.exists()
    assert ["it names posix.mkdir"] * 2 == [
        json.loads(line)["payload"]["why"]
        for line in lines.read_text().splitlines()
        if "payload" in line
    ]
    with Store(tmp_path / "two") as store:
        store["trap"]

        assert marker.exists()


def test_any_language_reads_it(path, lines):
    """A program without objcache reads keys and values, blobs and the digest, by the rule of tags."""
    with Store(path) as store:
        store["user"] = {"name": "ada", "born": (1815, 12, 10), "$": 1}
        store["tagged"] = {"$tuple": "no tuple"}
        store["bytes"] = bytes(range(256)) * 4000
    run("export", path, "-o", lines)
    program = (
        "import base64, hashlib, json, sys\n"
        "assert not any(name.startswith('objcache') for name in sys.modules)\n"
        "found, name, digest = {}, None, hashlib.sha256()\n"
        "for raw in open(sys.argv[1], 'rb'):\n"
        "    line = json.loads(raw)\n"
        "    if 'key' in line:\n"
        "        name = line['key']; found[name] = line.get('value', b'')\n"
        "    elif 'chunk' in line:\n"
        "        found[name] += base64.b64decode(line['chunk'])\n"
        "    elif 'end' in line:\n"
        "        assert line['end'] == {'entries': 3, 'sha256': digest.hexdigest()}\n"
        "    digest.update(raw)\n"
        "assert found['bytes'] == bytes(range(256)) * 4000\n"
        "assert found['user'] == {'name': 'ada', 'born': {'$tuple': [1815, 12, 10]}, '$': 1}\n"
        "assert found['tagged'] == {'$dict': [['$tuple', 'no tuple']]}\n"
    )
    subprocess.run([sys.executable, "-I", "-c", program, lines], check=True)


NODE = """
const lines = require('fs').readFileSync(process.argv[1], 'utf8').trim().split('\\n')
const found = {}
for (const line of lines.map(JSON.parse)) if ('key' in line) found[line.key] = line.value
console.log(found.user.name, found.large.$int, found.half, found.text === 'é\\u2028"')
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
def test_node_reads_it(path, lines):
    """So does JavaScript, with numbers that it has exactly."""
    with Store(path) as store:
        store.update({"user": {"name": "ada"}, "large": 2**60, "half": 0.5, "text": 'é\u2028"'})
    run("export", path, "-o", lines)
    done = subprocess.run(
        ["node", "-e", NODE, str(lines)], capture_output=True, text=True, check=True
    )

    assert "ada 1152921504606846976 0.5 true\n" == done.stdout


def test_pipes(path, tmp_path):
    """Stdout and stdin take the place of files, and are compressed by whoever wants to."""
    with Store(path) as store:
        store["a"] = 1
    printed, _ = run("export", path)
    run("import", tmp_path / "target", "-", given=printed)
    squeezed = tmp_path / "lines.jsonl.gz"
    squeezed.write_bytes(gzip.compress(printed.encode()))
    _, complaint = run("import", tmp_path / "other", squeezed, code=2)

    assert "zcat FILE | objcache import PATH -" in complaint
    assert not (tmp_path / "other").exists()
    with Store(tmp_path / "target") as target:
        assert {"a": 1} == dict(target)


def test_one_place(path, lines, tmp_path):
    """--namespace and --cache export that one, and it comes back where it was."""
    fill(path)
    namespace = run_json("export", path, "--namespace", "a/b", "-o", lines)
    cache = run_json("export", path, "--cache", "sub", "-o", tmp_path / "cache.jsonl")
    run("import", tmp_path / "target", lines)
    run("import", tmp_path / "target", tmp_path / "cache.jsonl", "--into-existing")
    missing = run("export", path, "--cache", "nothing", code=2)
    memoized = run("export", path, "--namespace", "objcache.memoize/f", code=2)

    assert ({"entries": 1}, {"entries": 1}) == (counts(namespace), counts(cache))
    with Store(tmp_path / "target") as store, Cache(tmp_path / "target") as cache:
        assert {"k": "in a/b"} == dict(store.namespace("a").namespace("b"))
        assert {1: 2} == dict(cache.namespace("sub"))
        assert (0, 0) == (len(store), len(cache))
    assert "there is no cache 'nothing'" in missing[1]
    assert "belongs to memoized functions" in memoized[1]


def test_entries_that_are_there(path, lines, tmp_path):
    """With --into-existing they stay; with --replace they are replaced, and counted."""
    with Store(path) as store, Cache(path) as cache:
        store.update({"a": "new", "b": "new"})
        cache["c"] = "new"
    run("export", path, "-o", lines)
    target = tmp_path / "target"
    with Store(target) as store, Cache(target) as cache:
        store["a"] = "old"
        cache["c"] = "old"
    refused = run("import", target, lines, code=2)
    unclear = run("import", target, lines, "--replace", code=2)
    kept = run_json("import", target, lines, "--into-existing")
    with Store(target) as store, Cache(target) as cache:
        left = {**store, **cache}
    replaced = run_json("import", target, lines, "--into-existing", "--replace")
    with Store(target) as store, Cache(target) as cache:
        after = {**store, **cache}

    assert "is not empty" in refused[1]
    assert "--into-existing" in unclear[1]
    assert {"imported": 1, "present": 2} == counts(kept)
    assert {"a": "old", "b": "new", "c": "old"} == left
    assert {"imported": 3, "replaced": 3} == counts(replaced)
    assert {"a": "new", "b": "new", "c": "new"} == after


def test_codecs_stay(path, lines, tmp_path):
    """A store with a data-only codec, which loads no pickles, reads what was imported."""
    for codec in ("json", "msgpack", "raw"):
        source, target = f"{path}-{codec}", tmp_path / codec
        with Store(source, codec=codec) as store:
            store["a"] = store["b"] = b"bytes" if codec == "raw" else {"x": [1, "é"]}
            expected = dict(store)
        run("export", source, "-o", lines, "--force")
        run("import", target, lines)
        with Store(target, codec=codec) as store:
            assert expected == dict(store)


@pytest.mark.damages
def test_records_that_are_not_ours_stay(path, lines):
    """What nobody of ours has signed is not exported; it is listed, and the rest is."""
    with Store(path) as store:
        store["good"] = 1
        store["bad"] = 2
        store._session.put(b"\x10\x02bad\0", b"no record")
    told, _ = run("export", path, "-o", lines, code=1)

    assert "1 not exported: they cannot be read\n    bad: a record begins with" in told
    assert ["good"] == [
        json.loads(line)["key"]
        for line in lines.read_text().splitlines()
        if line.startswith('{"key"')
    ]


# -- output ----------------------------------------------------------------------------------


def test_output_files(path, lines, tmp_path):
    """A file that exists is kept unless forced; what is no file, or in the store, never written."""
    with Store(path) as store:
        store["a"] = 1
    lines.write_text("mine")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for output, part in (
        (lines, "exists; choose another name, or say --force"),
        (pipe, "is no regular file"),
        (tmp_path, "is no regular file"),
        ("/dev/null", "is no regular file"),
        (f"{path}/lines", "lies in the store"),
        (tmp_path / "none" / "lines", "there is no directory"),
        ("", "FILE is empty"),
    ):
        printed, complaint = run("export", path, "-o", output, code=2)

        assert ("", 1) == (printed, complaint.count("\n")), complaint
        assert part in complaint
    assert "mine" == lines.read_text()
    os.symlink(lines, tmp_path / "link")
    run("export", path, "-o", tmp_path / "link", "--force")

    assert lines.read_text().startswith('{"objcache":"lines"')
    assert (tmp_path / "link").is_symlink()
    assert ["home", "lines.jsonl", "link", "pipe", "store"] == sorted(os.listdir(tmp_path))


def test_a_file_is_whole_or_not_there(tmp_path):
    """Whatever ends the writing, Ctrl-C too, leaves no part of a file, and an old one as it was."""
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), written(str(target), force=True) as write:
        write(b"x" * 3_000_000)
        raise KeyboardInterrupt

    assert ["file", "home"] == sorted(os.listdir(tmp_path))
    assert "old" == target.read_text()


def test_a_file_that_somebody_made_meanwhile_stays(tmp_path):
    """A file that appears while it is written is not replaced."""
    target = tmp_path / "file"
    with pytest.raises(Exception, match="meanwhile"), written(str(target), force=False) as write:
        write(b"mine")
        target.write_text("theirs")

    assert "theirs" == target.read_text()
    assert ["file", "home"] == sorted(os.listdir(tmp_path))


def test_interrupted_export(path, lines):
    """Ctrl-C ends an export with 130, one line, and no file; the store is as it was."""
    with Store(path) as store:
        store["a"] = 1
    code = (
        "import os, signal, sys\n"
        "from objcache.cli import _export, main\n"
        "_export._export_one = lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    before = content(path)
    done = subprocess.run(
        [sys.executable, "-c", code, "export", path, "-o", str(lines)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (130, "") == (done.returncode, done.stdout)
    assert "objcache: interrupted" == done.stderr.strip()
    assert before == content(path)
    assert [] == list(lines.parent.glob(".lines*")) + list(lines.parent.glob("lines*"))


def test_interrupted_import_goes_on(path, lines, tmp_path):
    """Ctrl-C keeps whole entries, says so, and the next import goes on to the end."""
    with Store(path) as store:
        store.set_many({number: [number] for number in range(1200)})
    run("export", path, "-o", lines)
    target = tmp_path / "target"
    code = (
        "import os, signal, sys\n"
        "from objcache.cli import _import, main\n"
        "take = _import._Taker.take\n"
        "def taken(self, entry):\n"
        "    if entry.key == 1100:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    take(self, entry)\n"
        "_import._Taker.take = taken\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "import", target, lines],
        capture_output=True,
        text=True,
        check=False,
    )
    with Store(target) as store:
        kept = dict(store)
    answer = run_json("import", target, lines, "--into-existing")

    assert 130 == done.returncode, done.stderr
    assert done.stderr == (
        "objcache: interrupted; what was imported stays, each entry whole; to go on: "
        f"objcache import {target} {lines} --into-existing\n"
    )
    assert {number: [number] for number in range(len(kept))} == kept
    assert 0 < len(kept) <= 1000
    assert {"imported": 1200 - len(kept), "present": len(kept)} == counts(answer)


def test_a_terminal_obeys_nothing(path):
    """On a terminal the lines are ASCII: no value steers it."""
    with Store(path) as store:
        store["\x9b2J"] = "\x1b[2J\u202e"
    shown = on_terminal("export", path)

    assert '{"key":"\\u009b2J","value":"\\u001b[2J\\u202e"}' in shown
    assert "\u202e" not in shown


def test_progress_is_shown(path, lines, tmp_path):
    """On a terminal a bar tells how far it is; elsewhere only what was done is told."""
    with Store(path) as store:
        store.set_many({number: number for number in range(1000)})
    shown = on_terminal("export", path, "-o", lines)
    imported = on_terminal("import", tmp_path / "target", lines)
    _, complaints = run("export", path, "-o", lines, "--force")

    assert "exporting" in shown
    assert "importing" in imported
    assert "" == complaints


# -- bad input -------------------------------------------------------------------------------


def file_of(lines, *entries, end=True):
    """Write a file with these entries."""
    header = {"objcache": "lines", "version": 1}
    last = [{"end": {"entries": len(entries)}}] if end else []
    lines.write_text("".join(json.dumps(line) + "\n" for line in (header, *entries, *last)))
    return lines


def refused(*arguments, part, **options):
    """The command ends with one line that has *part* in it, and exit code 2."""
    printed, complaint = run(*arguments, code=2, **options)

    assert ("", 1) == (printed, complaint.count("\n")), complaint
    assert complaint.startswith("objcache: error: ")
    assert part in complaint


def test_files_that_are_none(lines, tmp_path):
    """A file that is missing, no export, or wrong from the start, makes no store."""
    target = tmp_path / "target"
    refused("import", target, tmp_path / "none", part="No such file")
    refused("import", target, tmp_path, part="Is a directory")
    refused("import", target, "-", given="", part="line 1: the file is empty")
    lines.write_text("hello\n")
    refused("import", target, lines, part="line 1: it is not the header")
    refused("import", target, file_of(lines, {"key": 1}), part="line 2: it is no entry")
    refused("import", target, file_of(lines, end=False), part="cut off")
    answer = run_json("import", target, lines, code=2)

    assert {"path", "ok", "error"} == set(answer)
    assert not target.exists()


def test_a_wrong_line_ends_an_import(lines, tmp_path):
    """What came before it is there, the message names the line, and a mended file goes on."""
    target = tmp_path / "target"
    good = [{"key": number, "value": number} for number in range(700)]
    file_of(lines, *good, {"key": 1, "value": {"$bytes": "?"}})
    printed, complaint = run("import", target, lines, code=2)
    answer = run_json("import", target, file_of(lines, *good, good[0]), "--into-existing")

    assert f"{target}: 700 entries imported" in printed
    assert complaint == (
        "objcache: error: line 702: $bytes is not base64: Only base64 data is allowed; "
        "what was imported stays, and --into-existing goes on with a whole file\n"
    )
    assert {"present": 701} == counts(answer)


@pytest.mark.parametrize(
    ("entry", "part"),
    [
        ({"key": [1], "value": 1}, "line 3: its key cannot be one: key is of type list"),
        ({"key": {"a": 1}, "value": 1}, "line 3: its key cannot be one"),
        (
            {"key": {"$namedtuple": ["m", "C", [1]]}, "value": 1},
            "line 3: its key cannot be one: key[2] is of type list",
        ),
        ({"key": 1, "value": 1, "namespace": ["objcache.memoize"]}, "memoized functions"),
        ({"key": 1, "value": 1, "cache": ["objcache.cache"]}, "memoized functions"),
        ({"key": 1, "value": 1, "cache": [], "tags": ["x" * 300]}, "line 3: it cannot be stored"),
        ({"key": 1, "value": 1, "cache": [], "tags": ["\ud800"]}, "line 3: it cannot be stored"),
        ({"key": 1, "blob": 3}, "line 4: it should be a chunk"),
        ({"cache": [], "key": 1, "blob": 3}, "line 4: it should be a chunk"),
        (
            {"key": 1, "payload": {"codec": "pickle", "version": 5, "sizes": [10**7]}},
            "line 4: it should be a chunk",
        ),
    ],
)
def test_entries_that_cannot_be(lines, tmp_path, entry, part):
    """An entry that no store can have ends the import by its number; the one before it is there."""
    file_of(lines, {"key": 0, "value": 0}, entry)
    _, complaint = run("import", tmp_path / "target", lines, "--trust-source", code=2)

    assert part in complaint
    assert 1 == complaint.count("\n")
    with Store(tmp_path / "target") as store:
        assert {0: 0} == dict(store)


def test_values_that_cannot_be_stored(lines, tmp_path):
    """A value that its codec refuses is a failure, told by its key; the rest is imported."""
    file_of(
        lines,
        {"key": "a\x1b", "value": {"$tuple": []}, "codec": "json"},
        {"key": "b", "value": 1, "codec": "json"},
    )
    printed, _ = run("import", tmp_path / "target", lines, code=1)

    assert "1 entry imported" in printed
    assert "    'a\\x1b': " in printed


# -- memory ----------------------------------------------------------------------------------

MEASURED = """
import sys
from objcache.cli import main
code = main(sys.argv[1:])
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        print(line.split()[1], file=sys.stderr)
sys.exit(code)
"""


def test_large_values_need_little_memory(path, lines, tmp_path):
    """A blob of 200 MB is exported and imported with a few MB of memory."""
    if not pathlib.Path("/proc/self/status").exists():
        return  # another system, which tells it otherwise
    with Store(path, durability="process") as store, store.open_blob("film", "wb") as blob:
        for number in range(200):
            blob.write(bytes([number]) * 1_000_000)

    def peak_kib(*arguments):
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=True,
        )
        return int(done.stderr)

    assert peak_kib("export", path, "-o", lines) < 100_000
    assert peak_kib("import", tmp_path / "target", lines) < 100_000
    with Store(tmp_path / "target") as target, target.open_blob("film") as blob:
        assert 200_000_000 == blob.size
        blob.seek(199_500_000)
        assert bytes([199]) * 500_000 == blob.read()


def test_all_is_of_one_moment(path):
    """What is written, replaced and removed while records are read is not seen by who reads."""
    with Store(path) as store, Cache(path, size_limit=None) as cache:
        store.set_many(dict.fromkeys(range(100), "before"))
        store["array"] = array = np.arange(200_000)
        cache["entry"] = "before"
        with RawRecords(path) as records, records.one_moment():
            found = records.all_records()
            read = [records.value(next(found))]
            store.set_many(dict.fromkeys(range(200), "after"))
            store["array"] = 1
            del store[50]
            cache.clear()
            cache["entry"] = "after"
            read += [records.value(raw) for raw in found]
        with RawRecords(path) as records:
            now = [records.value(raw) for raw in records.all_records()]

    assert ["before"] * 101 == [value for value in read if type(value) is str]
    assert [True] == [np.array_equal(array, value) for value in read if type(value) is not str]
    assert ["after"] * 200 == [value for value in now if type(value) is str]


class Reversed:
    """A codec of a program's own."""

    codec_id = 200
    codec_version = 3

    def encode(self, value):
        return value[::-1].encode()

    def decode(self, payload):
        return bytes(payload).decode()[::-1]


def test_codecs_of_ones_own(path, lines, tmp_path):
    """What a codec has written that the command does not know travels as it is."""
    with Store(path, codec=Reversed()) as store:
        store["a"] = "text"
    run("export", path, "-o", lines)
    run("import", tmp_path / "target", lines, "--trust-source")
    entry, chunk = map(json.loads, lines.read_text().splitlines()[1:3])
    with Store(tmp_path / "target", codec=Reversed()) as target:
        assert {"a": "text"} == dict(target)
    os.remove(tmp_path / "target" / FILE_NAME)  # a check would have to know the codec
    os.remove(f"{path}/{FILE_NAME}")

    assert (200, 3, [4]) == tuple(entry["payload"][name] for name in ("codec", "version", "sizes"))
    assert {"chunk": "dHhldA=="} == chunk


def test_compressed_values(path, lines, tmp_path):
    """What is compressed is written as it was before."""
    values = {
        "text": "text " * 10_000,
        "array": np.zeros(200_000),
        "list": [1, 2] * 1000,
        "bytes": b"b" * 3_000_000,
        "small array": np.zeros(1000),
    }
    with Store(path, compression="zlib") as store:
        store.update(values)
    answer = run_json("export", path, "-o", lines)
    run("import", tmp_path / "target", lines, "--trust-source")

    assert {"entries": 5, "payloads": 2} == counts(answer)
    with Store(tmp_path / "target") as target:
        assert {name: repr(value) for name, value in values.items()} == {
            name: repr(value) for name, value in target.items()
        }


@pytest.mark.damages
def test_altered_side_files_are_told(path, lines):
    """A blob or an array whose file was altered or is gone is listed; the rest is exported."""
    with Store(path) as store:
        store.update({"array": np.arange(200_000), "good": 1})
        with store.open_blob("blob", "wb") as blob:
            blob.write(bytes(2_000_000))
    for file in pathlib.Path(path, "blobs").iterdir():
        with open(file, "r+b") as altered:
            altered.seek(1_000_000)
            altered.write(b"altered")
    answer = run_json("export", path, "-o", lines, code=1)

    assert {"entries": 1, "unreadable": 2} == counts(answer)
    assert all("altered" in failure["reason"] for failure in answer["failures"])
    assert 3 == len(lines.read_text().splitlines())


def test_who_reads_no_further(path):
    """A reader that has gone, and a disk that is full, end an export without a traceback."""
    with Store(path) as store:
        store.set_many(dict.fromkeys(range(3000), "x" * 1000))
    reader, writer = os.pipe()
    os.close(reader)
    gone = subprocess.run(
        [sys.executable, "-m", "objcache", "export", path],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "objcache", "export", path],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )

    assert (1, b"") == (gone.returncode, gone.stderr)
    assert 2 == done.returncode
    assert b"objcache: error: [Errno 28] No space left on device\n" == done.stderr


@pytest.mark.parametrize("depth", [50, 150, 300, 450, 600, 900])
def test_depth(lines, tmp_path, depth):
    """However deep a value or a key is: stored, a failure, or a wrong line, never more than a line."""
    lists = "[" * depth + "]" * depth
    tuples = '{"$tuple":[' * depth + "]}" * depth
    for key, value in (("1", lists), ("1", tuples), (tuples, "1")):
        lines.write_text(
            f'{{"objcache":"lines","version":1}}\n{{"key":{key},"value":{value}}}\n'
            '{"end":{"entries":1}}\n'
        )
        done = objcache("import", tmp_path / "target", lines, "--into-existing", "--replace")

        assert done.returncode in {0, 1, 2}
        assert done.stderr.count("\n") <= 1, done.stderr[-500:]


def test_target_that_is_in_use(path, lines):
    """An import is added beside a program that has the target open, whatever its durability."""
    file_of(lines, {"key": "a", "value": 1}, {"cache": [], "key": "c", "value": 3})
    with Store(path, durability="commit") as store:
        store["b"] = 2
        run("import", path, lines, "--into-existing")

        assert {"a": 1, "b": 2} == dict(store)
    with Cache(path, durability="commit") as cache:
        assert {"c": 3} == dict(cache)


def test_what_is_over_stays(path, lines, tmp_path):
    """Entries whose deadline has come are neither exported nor imported, and counted."""
    with Cache(path, clock=ManualClock(BORN)) as cache:
        cache.set("over", 1, expire=60)
        cache.set("lasting", 1)
    exported = run_json("export", path, "-o", lines)
    file_of(
        lines,
        {"cache": [], "key": "over", "value": 1, "deadline": BORN + 60},
        {"cache": [], "key": "lasting", "value": 1, "deadline": FAR},
    )
    imported = run_json("import", tmp_path / "target", lines)

    assert {"entries": 1, "expired": 1} == counts(exported)
    assert {"imported": 1, "expired": 1} == counts(imported)
    with Cache(tmp_path / "target") as cache:
        assert FAR == pytest.approx(cache.entry("lasting").deadline, abs=0.01)


def test_json_beside_the_lines(path):
    """With --json and lines on stdout, the object is on stderr; the lines stay whole."""
    with Store(path) as store:
        store["a"] = 1
    printed, complaints = run("export", path, "--json")

    assert {"entries": 1} == counts(json.loads(complaints))
    assert 3 == len([json.loads(line) for line in printed.splitlines()])


def test_nobody_waits_for_a_pipe(path, lines, monkeypatch, capsys):
    """No transaction is open while a line is read: a slow pipe does not keep others from writing."""
    chunk = {"chunk": "YQ=="}
    file_of(lines, *({"key": number, "value": number} for number in range(1200)))
    text = lines.read_text().replace('{"end": {"entries": 1200}}\n', "")
    text += json.dumps({"key": "blob", "blob": 1}) + "\n" + json.dumps(chunk) + "\n"
    text += '{"end":{"entries":1201}}\n'
    held = []
    with Store(path) as store:

        class Watched(io.BytesIO):
            """Notes at each line whether somebody writes."""

            def readline(self, *arguments):
                held.append(store._session.environment.open_write is not None)
                return super().readline(*arguments)

        monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=Watched(text.encode())))
        code = main(["import", path, "-", "--into-existing"])

        assert (0, 1201) == (code, len(store)), capsys.readouterr()
    assert [False] * 1204 == held
