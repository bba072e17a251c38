"""Bad input to every command: one clear line, exit code 2, nothing changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from objcache.cli import main
from objcache.engine import FILE_NAME
from tests.unit.cli.every import COMMANDS
from tests.unit.cli.processes import (
    content,
    each,
    may_mount,
    objcache,
    on_readonly,
    without_privileges,
)
from tests.unit.store.damaging import LEAF, Layout, alter, garbled, zeroed

OTHER_SECRET = "another secret of 16 bytes"


def commands(path, tmp_path):
    """One command line of each kind, about the store at *path*: those that read come first."""
    reading = [
        *(("info", path), ("ls", path), ("get", path, "greeting"), ("stats", path)),
        *(("functions", path), ("inspect", path, "greeting"), ("audit", path)),
        *(("watch", path, "--count", 1, "--interval", 0.1), ("export", path)),
        *(("report", path, "-o", tmp_path / "page.html"), ("check", path)),
    ]
    lines = tmp_path / "lines.jsonl"
    lines.write_text(
        '{"objcache":"lines","version":1}\n{"key":"new","value":1}\n{"end":{"entries":1}}\n'
    )
    writing = [
        *(("set", path, "new", "1"), ("rm", path, "greeting"), ("compact", path)),
        *(("rekey", path), ("trust", path, "--yes")),
        ("import", path, lines, "--into-existing"),
    ]
    return reading, writing, [("copy", path, tmp_path / "copied")]


def all_commands(path, tmp_path, *, but=()):
    """The same, in one list, without those *but*."""
    every = [command for group in commands(path, tmp_path) for command in group]
    return [command for command in every if command[0] not in but]


def assert_refused(done, *words):
    """It was refused, in one line with all *words*, and nothing was printed."""
    for command, result in done:
        assert (2, "") == (result.returncode, result.stdout), (command, result)
        assert 1 == result.stderr.count("\n"), (command, result.stderr)
        assert result.stderr.startswith("objcache: error: "), (command, result.stderr)
        for word in words:
            assert word in result.stderr, (command, result.stderr)


def test_missing_path(tmp_path):
    """Where nothing is, each command says so, and makes nothing."""
    missing = tmp_path / "missing"
    done = all_commands(missing, tmp_path)
    done = each([command for command in done if command[0] != "import"])  # it makes a store

    assert_refused(done, "there is no store at", FILE_NAME)
    assert not missing.exists()
    assert not (tmp_path / "copied").exists()


def test_not_a_store(tmp_path):
    """A file, and a directory whose data file is something else, are refused by what they are."""
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    directory = tmp_path / "directory"
    directory.mkdir()
    (directory / "thesis").write_text("x")

    assert_refused(each(all_commands(file, tmp_path)), "is a file; a store is a directory")
    assert_refused(each(all_commands(directory, tmp_path)), "there is no store at")
    assert "mine" == file.read_text()
    assert ["thesis"] == os.listdir(directory)


@pytest.mark.damages
def test_data_file_of_something_else(tmp_path):
    """A data file that is none is refused before LMDB reads it, with the command that tells more."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / FILE_NAME).write_bytes(b"not a database " * 1000)
    before = content(tmp_path / "store")

    commands = all_commands(tmp_path / "store", tmp_path, but=("check",))
    assert_refused(each(commands), "damaged", "objcache check")
    assert before == content(tmp_path / "store")


def test_wrong_secret(shop, tmp_path):
    """With another secret each command names the remedies; `inspect` and `audit` look anyway."""
    before = content(shop)
    # `trust` is the remedy: tests/unit/cli/test_secrets.py.
    done = each(all_commands(shop, tmp_path, but=("trust",)), OBJCACHE_SECRET=OTHER_SECRET)
    looking = {command[0]: result for command, result in done if command[0] in {"inspect", "audit"}}

    assert_refused(
        [one for one in done if one[0][0] not in looking], "OBJCACHE_SECRET", "objcache trust"
    )
    assert before == content(shop)
    assert "signed with another secret" in looking["inspect"].stdout
    assert (0, 1) == (looking["inspect"].returncode, looking["audit"].returncode)


@pytest.mark.damages
def test_damaged_store(shop, tmp_path):
    """A damaged page that a command needs is told in one line, with the command that tells more."""
    file = os.path.join(shop, FILE_NAME)
    alter(file, Layout(file).pages[LEAF][0], garbled)
    before = content(shop)

    commands = all_commands(shop, tmp_path, but=("check",))
    assert_refused(each(commands), "damaged", "objcache check")
    assert 1 == objcache("check", shop).returncode
    assert before == content(shop)
    assert not (tmp_path / "copied").exists() or not os.listdir(tmp_path / "copied")


@pytest.mark.damages
def test_damaged_first_pages(shop, tmp_path):
    """First pages that would mislead LMDB, and a file that was cut off, are refused before it opens."""
    file = os.path.join(shop, FILE_NAME)
    whole = tmp_path / "whole"
    shutil.copy(file, whole)
    alter(file, 0, zeroed)
    first = content(shop)

    commands = all_commands(shop, tmp_path, but=("check",))
    assert_refused(each(commands), "is damaged: page 0", "objcache check")
    assert first == content(shop)
    shutil.copy(whole, file)
    os.truncate(file, os.path.getsize(file) // 2)
    cut = content(shop)

    assert_refused(each(commands), "is damaged", "objcache check")
    assert 1 == objcache("check", shop).returncode
    assert cut == content(shop)


def test_no_permission(shop, tmp_path):
    """Who may not read is told so; who may read only, reads and cannot write."""
    before = content(shop)
    reading, writing, copying = commands(shop, tmp_path)
    os.chmod(shop, 0)
    closed = each([*reading, *writing, *copying], before=(without_privileges,))
    os.chmod(shop, 0o500)
    done = each(reading, before=(without_privileges,))
    refused = each(writing, before=(without_privileges,))
    os.chmod(shop, 0o700)

    assert_refused(closed, "Permission denied")
    assert [] == [(command, result) for command, result in done if result.returncode]
    assert_refused(refused, "no permission to write")
    assert before == content(shop)


def test_readonly_file_system(shop, tmp_path):
    """A store on a read-only file system can be read, and copied elsewhere, and not written to."""
    if not may_mount(shop):
        return  # a user who is not root cannot make one; CI as root does
    before = content(shop)
    reading, writing, copying = commands(shop, tmp_path)
    done = each([*reading, *copying], before=(on_readonly, shop))
    refused = each(writing, before=(on_readonly, shop))

    assert [] == [(command, result) for command, result in done if result.returncode]
    assert_refused(refused, "no permission to write")
    assert before == content(shop)


def test_reading_changes_nothing(shop, tmp_path):
    """Commands that read leave every file as it was, and make none."""
    before = content(shop)
    reading, _, copying = commands(shop, tmp_path)
    done = each([*reading, *copying, ("ls", shop, "--cache", "/"), ("audit", shop, "--json")])

    assert {0} == {result.returncode for _, result in done}
    assert before == content(shop)


@pytest.mark.parametrize(
    "command",
    [
        *("info", "ls", "get", "stats", "functions", "inspect", "audit", "watch", "report"),
        *("bench", "export"),
    ],
)
def test_refusals_as_json(tmp_path, command, capsys):
    """With --json a refusal is one object on stdout, of the same form for every command."""
    key = ["key"] if command in {"get", "inspect"} else []
    code = main([command, str(tmp_path / "missing"), *key, "--json"])
    printed = capsys.readouterr()

    assert (2, "") == (code, printed.err)
    assert {"path", "ok", "error"} == set(json.loads(printed.out))


def test_wrong_commands(shop):
    """What is no command line is one line that says why; nothing is changed."""
    before = content(shop)
    done = each(
        [
            *(("ls",), ("ls", ""), ("get", shop), ("ls", shop, "--sort", "colour")),
            *(("check", ""), ("rekey", ""), ("trust", "", "--yes")),
            *(("ls", shop, "--cache", "none"), ("ls", shop, "--cache", "/", "--namespace", "a")),
            *(("get", shop, "x", "--namespace", ""), ("inspect", shop), ("set", shop, "k")),
            *(("inspect", shop, "--at", "xyz"), ("set", shop, "k", "{not json")),
            *(("set", shop, "k", "1", "--expire", "5"), ("set", shop, "k", "--file", shop + "/no")),
            *(("set", shop, "k", "1", "--cache", "none"), ("copy", shop, "")),
            *(("copy", shop, shop + "/inside"), ("audit", shop, "--trust", "module")),
            ("rm", shop, "k", "--namespace", "objcache.memoize/f"),
            ("get", shop, "('user', 7)", "--raw"),
            *(
                ("why",),
                ("why", "json"),
                ("why", "json:dumps"),
                ("bench", ""),
                ("bench", shop, "x"),
            ),
            *(("export", shop, "--cache", "none"), ("export", shop, "-o", shop + "/lines")),
            ("export", shop, "--namespace", "objcache.memoize/f"),
            *(("import", shop), ("import", shop, ""), ("import", shop, shop)),
            *(("import", shop, __file__, "--into-existing"), ("import", shop, __file__)),
            ("import", shop, __file__, "--replace"),
        ]
    )

    assert_refused(done)
    assert before == content(shop)


@pytest.mark.parametrize(
    ("name", "hint"), [("expotr", "did you mean export?"), ("x", "objcache --help lists all")]
)
def test_misspelt_command(name, hint, capsys):
    """A command that there is not is told with the nearest one."""
    assert 2 == main([name, "./library"])
    assert f"objcache: error: there is no command {name!r}; {hint}\n" == capsys.readouterr().err


def test_reader_that_has_seen_enough(shop):
    """A pipe that is closed early ends the command without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "objcache", "ls", shop, "--json"],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)

    assert (1, b"") == (done.returncode, done.stderr)


def test_every_command_tells_its_exit_codes():
    """--help of each command says with which codes it ends."""
    assert {"demo"} == {  # a guided tour
        name for name, command in COMMANDS.items() if "Exit code: " not in command.help
    }
    assert 0 == objcache("ls", "--help").returncode
