"""The command line, as real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest

from objcache import Store


@pytest.fixture
def tree(tmp_path):
    """A small source tree."""
    root = tmp_path / "tree"
    (root / "package").mkdir(parents=True)
    for number in range(6):
        (root / "package" / f"m{number}.py").write_text(
            f"def f(x):\n    return x if x else {number}\n"
        )
    (root / "bad.py").write_text("def f(:\n")
    (root / "package" / "notes.txt").write_text("not Python")
    return root


def objcache(*arguments, **environment):
    """Run the command line as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "objcache", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "200", **environment},
    )


def counts(done):
    """Hits, all, and computed, from the summary."""
    found = re.search(r"(\d+) of (\d+) answers came from disk, (\d+) were computed", done.stdout)

    assert found, done.stderr
    return tuple(map(int, found.groups()))


def test_second_run_answers_from_disk(tree, path):
    """A fresh process finds every result; an edited file is the only one computed again."""
    first = objcache("demo", "--path", tree, "--store", path)
    second = objcache("demo", "--path", tree, "--store", path)
    (tree / "package" / "m3.py").write_text("def g(y):\n    return y\n")
    edited = objcache("demo", "--path", tree, "--store", path)
    fresh = objcache("demo", "--path", tree, "--store", path, "--fresh")

    assert [0] * 4 == [done.returncode for done in (first, second, edited, fresh)]
    assert [(0, 7, 7), (7, 7, 0), (6, 7, 1), (0, 7, 7)] == [
        counts(done) for done in (first, second, edited, fresh)
    ]
    assert "7 files" in first.stdout
    assert "1 files do not parse" in first.stdout
    assert "first run:" in second.stdout
    assert "MiB on disk in" in second.stdout
    assert path in second.stdout
    assert "\x1b" not in first.stdout + first.stderr
    assert 10 >= len(first.stderr.splitlines())


def test_demo_analyses_the_standard_library(path):
    """Without --path the input is the running Python's standard library."""
    done = objcache("demo", "--store", path, "--limit", 5)

    assert (0, 5, 5) == counts(done)
    assert os.path.dirname(os.__file__) in done.stdout


def test_default_store_is_the_demos_own(tree, tmp_path):
    """Without --store the results lie beside the user's default store, not in it."""
    done = objcache("demo", "--path", tree, OBJCACHE_DIR=str(tmp_path / "mine"))

    assert 0 == done.returncode
    assert str(tmp_path / "mine-demo") in done.stdout
    assert not (tmp_path / "mine").exists()


def test_version_and_help():
    """--version and --help answer without a store."""
    assert "objcache, version 0.1.0\n" == objcache("--version").stdout
    assert "demo" in objcache("--help").stdout
    assert "Example: objcache demo" in objcache("demo", "--help").stdout


def test_bad_input_is_one_line_and_exit_code_2(tree, path, tmp_path):
    """Each mistake gives one clear line, exit code 2, and makes nothing."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    cases = [
        (("demo", "--path", tmp_path / "missing", "--store", path), "does not exist"),
        (("demo", "--path", tree / "bad.py", "--store", path), "is a file"),
        (("demo", "--path", tmp_path / "empty", "--store", path), "there are no .py files"),
        (
            ("demo", "--path", tree, "--store", tmp_path / "file"),
            "is a file, a store is a directory",
        ),
        (("demo", "--limit", "0"), "0 is not in the range"),
        (("demo", "--nonsense"), "No such option"),
        (("nonsense",), "No such command"),
    ]
    for arguments, message in cases:
        done = objcache(*arguments)

        assert (2, "") == (done.returncode, done.stdout), arguments
        assert re.fullmatch(r"objcache: error: .*\n", done.stderr), done.stderr
        assert message in done.stderr
    assert not os.path.exists(path)


@pytest.mark.damages
def test_store_of_another_secret_is_refused(tree, path):
    """A demo store signed with another secret is named, with the remedies."""
    assert (
        0 == objcache("demo", "--path", tree, "--store", path, OBJCACHE_SECRET="a" * 32).returncode
    )
    done = objcache("demo", "--path", tree, "--store", path, OBJCACHE_SECRET="b" * 32)

    assert 2 == done.returncode
    assert "objcache: error: " in done.stderr
    assert "OBJCACHE_SECRET" in done.stderr


def test_interrupt_keeps_what_was_computed(path):
    """Ctrl-C ends the demo with exit code 130; the next run goes on from there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "objcache", "demo", "--store", path, "--limit", "200"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    assert process.stderr.readline().startswith("analysed 20 of 200")
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert 130 == process.returncode, errors
    assert "objcache: interrupted; what was computed so far is kept" in errors
    hits, _, computed = counts(objcache("demo", "--store", path, "--limit", "200"))
    assert hits >= 20
    assert computed == 200 - hits


def test_missing_extra_is_told(tmp_path):
    """Without click or rich the command says what to install."""
    (tmp_path / "click.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'click'\", name='click')\n"
    )
    done = objcache("demo", PYTHONPATH=f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")

    assert 2 == done.returncode
    assert "pip install 'objcache[cli]'" in done.stderr


def test_rekey_and_trust(path):
    """The remedies that WrongSecretError names exist and work; each mistake is one line."""
    old, new = "o" * 32, "n" * 32
    with Store(path, secret=old) as store:
        store["a"] = 1
    refused = objcache("rekey", path, OBJCACHE_SECRET=new)
    rekeyed = objcache("rekey", path, OBJCACHE_SECRET=f"{new}\n{old}")
    unconfirmed = objcache("trust", path)
    trusted = objcache("trust", path, "--yes")
    missing = objcache("trust", path + "-none", "--yes")

    assert (2, "") == (refused.returncode, refused.stdout)
    assert "signed 1 records; 0 were signed already, 0 are not" in rekeyed.stdout
    assert 130 == unconfirmed.returncode
    assert "signed 1 records" in trusted.stdout
    assert 2 == missing.returncode
    assert re.fullmatch(r"objcache: error: there is no store at .*\n", missing.stderr)
    with Store(path) as store:
        assert 1 == store["a"]
