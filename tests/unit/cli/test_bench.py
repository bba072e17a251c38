"""`objcache bench`: numbers of this machine, and nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from objcache.cli import _bench, _contestants, _turns, main
from objcache.cli._turns import Measured
from tests.unit.cli.processes import each, may_mount, objcache, on_readonly, without_privileges
from tests.unit.cli.terminals import on_terminal
from tests.unit.cli.test_refusals import assert_refused

DURABILITIES = {"commit", "checkpoint", "process"}
RIVALS = {"shelve", "diskcache", "sqlitedict"}
MAPPING = {"get", "get_missing", "set_new", "set_over", "set_many", "large_set", "large_get"}
OF_CACHES = {"memo_hit", "cache_get", "cache_set"}
SUMMARY = {"calls", "rounds", "median_ns", "p99_ns", "per_second"}


@pytest.fixture
def place(tmp_path):
    """A directory with something of the user's in it."""
    directory = tmp_path / "place"
    directory.mkdir()
    (directory / "thesis").write_text("mine")
    return directory


def assert_untouched(place):
    """The directory is as it was."""
    assert ["thesis"] == os.listdir(place)
    assert "mine" == (place / "thesis").read_text()


def assert_plausible(summary, slowest_ns=60e9):
    """Numbers that a machine can have."""
    assert SUMMARY == set(summary) - {"ratios"}
    assert 1 <= summary["rounds"] <= summary["calls"]
    assert 0 < summary["median_ns"] <= summary["p99_ns"] < slowest_ns
    assert 0 < summary["per_second"] <= 1e9


def test_numbers_are_complete_and_plausible(place):
    """--json has every operation of every durability and every rival, and the disk's own price."""
    done = objcache("bench", place, "--seconds", 0.2, "--json")

    assert (0, "") == (done.returncode, done.stderr)
    found = json.loads(done.stdout)
    assert DURABILITIES | RIVALS | {"disk"} == set(found["engines"])
    assert {} == found["absent"]
    assert MAPPING | OF_CACHES == {one["name"] for one in found["operations"]}
    for operation in found["operations"]:
        mapping = operation["name"] in MAPPING
        assert DURABILITIES == set(operation["durabilities"]), operation["name"]
        assert (RIVALS if mapping else {"diskcache"}) == set(operation["rivals"])
        for summary in (*operation["durabilities"].values(), *operation["rivals"].values()):
            assert_plausible(summary)
        for summary in operation["durabilities"].values():
            assert set(operation["rivals"]) == set(summary["ratios"])
            for ratio in summary["ratios"].values():
                assert 0 < ratio["q1"] <= ratio["median"] <= ratio["q3"]
    assert_plausible(found["disk"])
    assert_plausible(found["checkpoint_flush"])
    assert (str(place), 1_000_000) == (found["directory"], found["large_bytes"])
    assert 150 < found["value_bytes"] < 250
    assert 0 < found["timer_ns"] < 1e5
    for engine in found["engines"].values():
        assert "" not in {engine["settings"], engine["killed"], engine["power_cut"]}
    assert_untouched(place)


def test_for_people(place):
    """People read times, ratios, what everybody promises, and what a flush costs here."""
    done = objcache("bench", place, "--seconds", 0.1, "--durability", "process")

    assert (0, "") == (done.returncode, done.stderr)
    for words in (
        *('durability="process": a killed process loses nothing, a power cut everything', "median"),
        *("get of a missing key", "memoized function, a hit", "Cache.set, with expire"),
        *("shelve Python", "synchronous=NORMAL", "synchronous=OFF", "below 1 they were faster"),
        *("one write of 4 KiB and its fsync take", "the clock itself", "of fewer than 100 calls"),
    ):
        assert words in done.stdout, words
    assert 'durability="commit":' not in done.stdout
    assert "\x1b" not in done.stdout
    assert_untouched(place)


def test_on_a_terminal(place):
    """A bar shows how far it is, and is gone at the end."""
    written = on_terminal(
        "bench", place, "--seconds", 0.1, "--durability", "process", COLUMNS="150"
    )

    assert "measuring" in written
    assert "get of a missing key" in written
    assert_untouched(place)


def test_default_directory(place):
    """Without DIRECTORY it is the system's directory for temporary files."""
    done = objcache(
        *("bench", "--seconds", 0.1, "--durability", "process", "--json"), TMPDIR=str(place)
    )

    assert (0, str(place)) == (done.returncode, json.loads(done.stdout)["directory"])
    assert_untouched(place)


def test_users_secret_is_not_touched(place, tmp_path):
    """Stores to measure have a secret of their own: none of the user's is looked at or made."""
    done = objcache(
        *("bench", place, "--seconds", 0.1, "--durability", "process"),
        OBJCACHE_SECRET="",
        OBJCACHE_SECRET_FILE=str(tmp_path / "none"),
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert [] == os.listdir(tmp_path / "home")


INTERRUPTED = """
import json, os, shutil, signal, sys, tempfile
from objcache.cli import _turns, main

def interrupt(module, name, turn):
    whole = getattr(module, name)
    calls = []

    def interrupted(*arguments, **options):
        calls.append(name)
        if len(calls) == turn:
            os.kill(os.getpid(), signal.SIGINT)
        return whole(*arguments, **options)

    setattr(module, name, interrupted)

for module, name, turn in json.loads(sys.argv[1]):
    interrupt({"_turns": _turns, "shutil": shutil, "tempfile": tempfile}[module], name, turn)
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("moments", "code"),
    [
        ([("tempfile", "mkdtemp", 1)], 130),
        ([("_turns", "open_contestant", 1)], 130),
        ([("_turns", "open_contestant", 7)], 130),
        ([("_turns", "_timed", 1)], 130),
        ([("_turns", "_timed", 40)], 130),
        ([("_turns", "_timed", 40), ("_turns", "_timed", 41)], 130),
        ([("_turns", "_timed", 40), ("shutil", "rmtree", 1)], 130),
        ([("shutil", "rmtree", 1)], 0),  # all was measured: it is shown
    ],
)
def test_ctrl_c_leaves_nothing(place, moments, code):
    """Whenever Ctrl-C comes, once or twice, what was made is removed, and no traceback is seen."""
    done = subprocess.run(
        [
            *(sys.executable, "-c", INTERRUPTED, json.dumps(moments)),
            *("bench", str(place), "--seconds", "0.1"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert code == done.returncode, done
    assert ("" if code == 0 else "objcache: interrupted") == done.stderr.strip()
    assert_untouched(place)


def test_bad_input(place):
    """What cannot be measured is one line that says why, exit code 2, and nothing is made."""
    commands = {
        ("bench", place / "missing"): "there is no directory",
        ("bench", place / "thesis"): "is a file, not a directory",
        ("bench", ""): "DIRECTORY is empty",
        ("bench", place, "--durability", "always"): "'always' is not one of 'commit'",
        ("bench", place, "--seconds", "0"): "--seconds",
        ("bench", place, "--seconds", "soon"): "--seconds",
        ("bench", place, "--value-bytes", "0"): "--value-bytes",
        ("bench", place, "--value-bytes", "1000000000"): "--value-bytes",
        ("bench", place, place): "unexpected extra argument",
    }
    done = each(list(commands))

    assert_refused(done)
    for (_, result), words in zip(done, commands.values(), strict=True):
        assert words in result.stderr, result.stderr
    assert_untouched(place)


def test_no_permission(place):
    """Where nothing may be written that is told, by what forbids it."""
    os.chmod(place, 0o500)
    refused = each([("bench", place)], before=(without_privileges,))
    os.chmod(place, 0o700)

    assert_refused(refused, "cannot write in", "Permission denied")
    if may_mount(place):
        done = each([("bench", place)], before=(on_readonly, place))
        assert_refused(done, "cannot write in", "Read-only file system")
    assert_untouched(place)


def test_too_little_disk(place, monkeypatch, capsys):
    """A disk that is nearly full is left alone; it is told how much is free, and needed."""
    usage = shutil.disk_usage(place)._replace(free=3 << 20)
    monkeypatch.setattr(_bench.shutil, "disk_usage", lambda _: usage)

    assert 2 == main(["bench", str(place)])
    assert "only 3.0 MiB are free" in (told := capsys.readouterr().err)
    assert "need 512.0 MiB" in told
    assert_untouched(place)


def run_here(place, capsys, *options):
    """What `bench --json` finds in this process."""
    assert 0 == main(["bench", str(place), "--seconds", "0.01", "--json", *options])
    return json.loads(capsys.readouterr().out)


def test_rivals_that_are_not_there(place, monkeypatch, capsys):
    """A rival that is not installed, fails, or gives back something else is left out with the reason."""
    monkeypatch.setitem(sys.modules, "diskcache", None)
    whole = _contestants._open_shelve

    def forgetful(directory, stack):
        opened = whole(directory, stack)
        return opened._replace(calls={**opened.calls, "get": lambda key: None})

    def failing(directory, stack):
        opened = _contestants._open_shelve(directory, stack)
        return opened._replace(name="sqlitedict", calls={**opened.calls, "set_over": None})

    openers = {**_contestants._OPENERS, "shelve": forgetful, "sqlitedict": failing}
    monkeypatch.setattr(_contestants, "_OPENERS", openers)
    found = run_here(place, capsys, "--durability", "process")

    assert "not installed" == found["absent"]["diskcache"]
    assert "gives back another value" in found["absent"]["shelve"]
    assert "TypeError" in found["absent"]["sqlitedict"]
    assert {"disk", "process"} == set(found["engines"])
    for operation in found["operations"]:
        assert {} == operation["rivals"] == operation["durabilities"]["process"]["ratios"]
    assert_untouched(place)


def test_a_failure_of_objcache_is_told(place, monkeypatch, capsys):
    """What fails in objcache or on the disk ends the run, in one line, and leaves nothing."""

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(_contestants.objcache.Store, "__getitem__", lambda *_: None)

        assert 2 == main(["bench", str(place)])
        assert "gives back another value" in capsys.readouterr().err
        assert_untouched(place)
    monkeypatch.setattr(_contestants.objcache.Store, "set_many", full)

    assert 2 == main(["bench", str(place)])
    assert f"cannot measure in {str(place)!r}: No space left" in capsys.readouterr().err
    assert_untouched(place)


def test_a_file_system_in_memory_is_told(place, monkeypatch, capsys):
    """Where files are kept in memory the numbers of flushes say nothing, and that is told."""
    monkeypatch.setattr(_bench, "filesystem_at", lambda _: "tmpfs")

    assert 0 == main(["bench", str(place), "--seconds", "0.01", "--durability", "commit"])
    assert "tmpfs keeps files in memory" in capsys.readouterr().out


@pytest.mark.parametrize(("asked", "entries"), [(1, 1000), (50, 1000), (131072, 32)])
def test_values_have_the_size_that_was_asked_for(asked, entries):
    """Values have about the size, and stores of large ones have fewer."""
    assert abs(_turns.pickled_bytes(asked) - asked) < 30
    assert entries == _turns.entries_of(asked)


def test_all_get_the_same_values_anew(place):
    """Whoever has more calls in a turn begins with those of the others; no object is shared."""
    turns = _turns.Turns(str(place), 200, lambda: None)
    for operation in _turns.OPERATIONS:
        few, many = (turns._arguments(operation, 3, count, 0) for count in (5, 9))

        assert few == many[:5], operation.name
        assert (5, 9) == (len(few), len(many))
    others = turns._arguments(operation, 4, 5, 0)
    assert few != others


def test_medians_and_ratios():
    """Times are those of all rounds; a ratio is the median of the ratios of single rounds."""
    measured = Measured()
    for round_, (own, theirs) in enumerate([([10, 10, 10], [20.0]), ([20], [80]), ([5], [30])]):
        measured.add("get", "commit", round_, own)
        measured.add("get", "shelve", round_, theirs)
    measured.add("get", "shelve", 3, [1000.0])
    summary = measured.summary("get", "commit")

    assert (5, 3, 10) == summary[:3]
    assert 5 / 55 * 1e9 == pytest.approx(summary.per_second)
    assert (4.0, 3.0, 5.0) == measured.ratio("get", "commit", "shelve")
    assert measured.summary("get", "nobody") is measured.ratio("get", "commit", "nobody") is None
