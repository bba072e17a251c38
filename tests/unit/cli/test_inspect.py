"""`objcache inspect` and `audit`: safe on whatever somebody has planted."""

from __future__ import annotations

import json
import os
import pickle
import sys

import numpy as np
import pytest

from objcache import Cache, Store
from objcache.cli import main
from objcache.codecs import CodecId
from objcache.header import (
    BUFFERS,
    COMPRESSED,
    DIGEST_BYTES,
    SIDE_FILE,
    SIGNED,
    pack_fields,
    pack_parts,
    pack_prefix,
)
from objcache.keys import engine_key
from objcache.store import RawRecords
from tests.unit.cli.processes import content, objcache

OTHER_SECRET = "another secret of 16 bytes"
BOMB = b"\x80\x04cos\nsystem\n\x8c\x11touch \x1b[2Jplanted\x85R."


def run(capsys, *arguments):
    """Run a command; return its exit code and what it printed."""
    code = main(list(map(str, arguments)))
    printed = capsys.readouterr()

    assert "" == printed.err
    return code, printed.out


def looked(capsys, *arguments):
    """Run a command with --json; return its exit code and its object."""
    code, printed = run(capsys, *arguments, "--json")
    return code, json.loads(printed)


def plant(path, key, record):
    """Write bytes of one's own where the record of *key* lies."""
    with Store(path) as store:
        store[key] = None
        located = engine_key(b"", key)[0]
        store._session.write(lambda transaction: transaction.put(located, record))


def record(payload, flags=0, fields=b"", codec=CodecId.PICKLE, version=5):
    """A record that nobody has signed, or that says that somebody has."""
    mac = bytes(16) if flags & SIGNED else b""
    return pack_prefix(codec, version, flags) + mac + fields + payload


@pytest.fixture
def hostile(path):
    """A store with records that somebody has planted."""
    with Store(path) as store:
        store["good"] = {"a": 1}
    plant(path, "unsigned", record(BOMB))
    plant(path, "foreign", record(BOMB, SIGNED))
    plant(path, "damaged", b"not a record at all")
    plant(path, "cut", record(pickle.dumps([1, 2])[:-3]))
    flags, fields = pack_parts(
        payload_bytes=1,
        buffers=((1 << 60, bytes(DIGEST_BYTES)),),
        side_file=bytes(16),
        payload_aside=True,
    )
    plant(path, "far", record(b"x", flags, fields))
    flags, fields = pack_parts(compression=1, raw_sizes=(1 << 60,))
    plant(path, "bomb", record(b"x\x9c", flags, fields))
    flags, fields = pack_fields(tags=("\x1b[31m",))
    plant(path, "tagged", record(pickle.dumps("\x07" * 3), flags, fields))
    return path


@pytest.mark.damages
def test_hostile_records_are_looked_at(hostile, tmp_path, monkeypatch):
    """Each planted record is told for what it is, in a process of its own that runs nothing of it."""
    monkeypatch.chdir(tmp_path)
    before = content(hostile)
    told = {}
    for key in ("unsigned", "foreign", "damaged", "cut", "far", "bomb", "tagged", "good"):
        done = objcache("inspect", hostile, key, "--json", "--opcodes")

        assert (0, "") == (done.returncode, done.stderr), key
        told[key] = json.loads(done.stdout)

    assert {
        "unsigned": "unsigned",
        "foreign": "foreign",
        "damaged": "damaged",
        "cut": "unsigned",
        "far": "unsigned",
        "bomb": "unsigned",
        "tagged": "unsigned",
        "good": "signed",
    } == {key: one["trust"] for key, one in told.items()}
    assert [["os.system"]] * 2 == [told[key]["pickle"]["calls"] for key in ("unsigned", "foreign")]
    assert "damaged" in told["cut"]["pickle"]["problem"]
    assert all("are not looked at" in told[key]["payload_problem"] for key in ("far", "bomb"))
    assert "begins with" in told["damaged"]["problem"]
    assert {
        "kind": "dict",
        "size": 1,
        "parts": [{"kind": "str", "text": "a", "size": 1}, {"kind": "int", "text": "1"}],
    } == told["good"]["pickle"]["root"]
    assert before == content(hostile)
    assert not [name for name in os.listdir(tmp_path) if "planted" in name]


@pytest.mark.damages
def test_what_people_see(hostile, capsys):
    """The text names signature, imports and structure, and no control character of the record."""
    code, printed = run(capsys, "inspect", hostile, "unsigned", "--opcodes")
    tagged = run(capsys, "inspect", hostile, "tagged")[1]

    assert 0 == code
    assert "NOT SIGNED" in printed
    assert "would import os.system, and calls it   (not in the list" in printed
    assert "REDUCE" in printed
    assert "\\x1b[2Jplanted" in printed
    assert "\x1b" not in printed + tagged
    assert "\x07" not in tagged
    good = run(capsys, "inspect", hostile, "good")[1]
    assert "NOT" not in good
    assert good.endswith("it would make\n  dict of 1\n    str 'a', 1 characters\n    int 1\n")
    assert "cannot be looked at" in run(capsys, "inspect", hostile, "far")[1]
    assert "it is no record" in run(capsys, "inspect", hostile, "damaged")[1]


@pytest.mark.damages
def test_audit_of_hostile_records(hostile, capsys):
    """Every planted record is listed, with what it would import; a good one is not."""
    code, told = looked(capsys, "audit", hostile)
    kinds = {}
    for finding in told["findings"]:
        kinds.setdefault(finding["key"], set()).add(finding["kind"])

    assert (1, False, 8, {"os.system": 2}) == (
        *(code, told["ok"], told["records"], told["classes_not_allowed"]),
    )
    assert {
        "unsigned": {"unsigned", "class"},
        "foreign": {"foreign", "class"},
        "damaged": {"damaged"},
        "cut": {"unsigned", "unreadable"},
        "far": {"unsigned", "unreadable"},
        "bomb": {"unsigned", "unreadable"},
        "tagged": {"unsigned"},
    } == kinds
    printed = run(capsys, "audit", hostile)[1]
    assert "os.system: named by 2 records" in printed
    assert "8 records looked at, 2 class, 1 damaged, 1 foreign, 3 unreadable, 5 unsigned" in printed


def test_audit_of_a_good_store(shop, capsys):
    """Plain data is no finding, in no mapping; the exit code is 0."""
    code, told = looked(capsys, "audit", shop)

    assert (0, True, []) == (code, told["ok"], told["findings"])
    assert told["records"] > 15
    assert "nothing found" in run(capsys, "audit", shop)[1]


class Order:
    """A class of the user's own."""


def test_audit_allows_what_it_is_told_to(path, capsys):
    """--trust lists classes, --numpy what arrays name; whatever else is named is a finding."""
    with Store(path) as store:
        store["order"] = Order()
        store["array"] = np.arange(1 << 20)
        store.namespace("n")["array"] = np.arange(3)
    name = f"{__name__}.Order"
    code, told = looked(capsys, "audit", path)

    assert (1, {"order", "array"}) == (code, {one["key"] for one in told["findings"]})
    assert [[], ["n"]] == sorted(
        {tuple(one["names"]): one["names"] for one in told["findings"]}.values()
    )
    assert (1, {name: 1}) == (
        *((told := looked(capsys, "audit", path, "--numpy"))[:1]),
        told[1]["classes_not_allowed"],
    )
    assert 0 == looked(capsys, "audit", path, "--numpy", "--trust", name)[0]


def test_audit_cuts_long_lists(path, capsys):
    """Fifty findings are shown, --json tells all."""
    with Store(path) as store:
        store.update({number: Order() for number in range(60)})

    assert "10 more; --json shows all" in run(capsys, "audit", path)[1]
    assert 60 == len(looked(capsys, "audit", path)[1]["findings"])


def test_store_of_another_secret(path, capsys):
    """Both look at a store of another secret, and say that it is one: before `trust`."""
    with Store(path, secret=OTHER_SECRET.encode()) as store:
        store["a"] = Order()
        store[frozenset([1])] = 1
    told = looked(capsys, "inspect", path, "a")[1]
    code, found = looked(capsys, "audit", path)

    assert "foreign" == told["trust"]
    assert [f"{__name__}.Order"] == told["pickle"]["imports"]
    assert "of another secret than yours" in run(capsys, "inspect", path, "a")[1]
    assert (1, False) == (code, found["own_secret"])
    # A key that may look for a class is not decoded: it is told by where it lies.
    hidden = next(one for one in found["findings"] if one["key"] is None)
    at = looked(capsys, "inspect", path, "--at", hidden["at"])[1]
    assert (None, "int") == (at["key"], at["pickle"]["root"]["kind"])
    assert "not known" in run(capsys, "inspect", path, "--at", hidden["at"])[1]


def test_header_fields(path, capsys):
    """Deadline, tags, cost, compression, buffers and side files are told as they were written."""
    with Store(path, compression="zlib") as store:
        store["packed"] = ["x"] * 5000
        store["array"] = np.arange(1 << 16, dtype="u1") * 7
        store["large"] = np.frombuffer(os.urandom(1 << 20), "u1")
    with Cache(path) as cache:
        cache.set("entry", 1, expire=100, tag="t")
    packed, array, large = (
        looked(capsys, "inspect", path, key)[1] for key in ("packed", "array", "large")
    )
    entry = looked(capsys, "inspect", path, "entry", "--cache", "/")[1]

    assert ("zlib", "list", 5000) == (
        *(packed["compression"], packed["pickle"]["root"]["kind"]),
        packed["pickle"]["root"]["size"],
    )
    assert "decompressed (zlib)" in run(capsys, "inspect", path, "packed")[1]
    assert ["SIGNED", "BUFFERS", "COMPRESSED"] == array["flags"]
    assert [1 << 16] == [part["raw_bytes"] for part in array["buffers"]]
    assert (1 << 20, True) == (large["side_file_bytes"], "SIDE_FILE" in large["flags"])
    assert "side file" in run(capsys, "inspect", path, "large")[1]
    assert (["t"], 100.0) == (entry["tags"], pytest.approx(entry["deadline"] - entry["created"]))
    assert (BUFFERS, SIDE_FILE, COMPRESSED) == (16, 128, 256)


def test_other_codecs_have_no_pickle(path, capsys):
    """A record of a data-only codec has none; an unknown one is told by its number."""
    with Store(path, codec="json") as store:
        store["a"] = [1]
    told = looked(capsys, "inspect", path, "a")[1]

    assert ("json", None) == (told["codec"], told["pickle"])


def test_what_is_not_there(shop, capsys):
    """A missing entry is exit code 1 and one line, or object."""
    code = main(["inspect", shop, "nothing"])
    complaint = capsys.readouterr().err

    assert (1, f"objcache: no entry nothing in the store at {shop}\n") == (code, complaint)
    assert (1, False) == (
        *(told := looked(capsys, "inspect", shop, "--at", "10"))[:1],
        told[1]["ok"],
    )


def test_blobs_are_not_read(path, capsys, monkeypatch):
    """A blob may be larger than memory: it is told by its header, and no command reads it."""
    with Store(path) as store, store.open_blob("blob", "wb") as blob:
        blob.write(bytes(1 << 22))
    monkeypatch.setattr(RawRecords, "payload", None)
    told = looked(capsys, "inspect", path, "blob")[1]

    assert ("raw", 1 << 22) == (told["codec"], told["side_file_bytes"])
    assert 0 == run(capsys, "audit", path)[0]
    assert "bytes" in run(capsys, "ls", path)[1]


def test_deep_structures_are_cut(path, capsys):
    """What refers to itself, or goes very deep or wide, is told in few lines."""
    endless = []
    endless.append(endless)
    deep = ["x" * 500] * 100
    for _ in range(200):
        deep = [deep, deep]
    with Store(path) as store:
        store["endless"], store["deep"] = endless, deep
        store["wide"] = {number: [number] * 50 for number in range(5000)}

    for key in ("endless", "deep", "wide"):
        printed = run(capsys, "inspect", path, key)[1]

        assert len(printed.splitlines()) < 250
        assert "..." in printed
        assert len(json.dumps(looked(capsys, "inspect", path, key)[1])) < 100_000


def test_nothing_is_imported(path, capsys):
    """What a pickle names is looked for nowhere, by no command but `get`."""
    with Store(path) as store:
        store["a"] = 1
    plant(path, "b", record(b"\x80\x04cantigravity\nfly\n."))
    for command in ("inspect", "ls", "audit"):
        main([command, path, *(["b"] if command != "audit" else [])])
    capsys.readouterr()
    with Store(path) as store:
        del store["b"]

    assert "antigravity" not in sys.modules


def test_raw_records_of_every_mapping(shop):
    """Every record of the store is met once, with its mapping; what was cleared is not."""
    with Cache(shop) as cache, Store(shop) as store:
        cache.clear()
        entries = len(store) + sum(store.stats().namespaces.values())
    with RawRecords(shop) as records:
        found = list(records.all_records())

    assert entries + 1 == len(found)
    assert len(found) == len({one.located for one in found})
    assert {"z"} == {one.key for one in found if one.mapping.is_cache}
    assert {"signed"} == {one.trust for one in found}
