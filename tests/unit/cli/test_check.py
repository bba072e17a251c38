"""`objcache check`: what it prints, and its exit codes."""

from __future__ import annotations

import json
import os

import pytest

from objcache import Store
from objcache.cli import main
from objcache.engine import FILE_NAME
from tests.unit.cli.terminals import on_terminal
from tests.unit.store.damaging import BRANCH, LEAF, LONG, SECRET, Layout, alter, garbled, zeroed

pytestmark = pytest.mark.damages


@pytest.fixture
def library(path):
    """A store with two long values among 300 entries."""
    with Store(path, secret=SECRET) as store:
        store.update({("book", number): f"title {number} " * 5 for number in range(300)})
        store.update({("cover", number): bytes([number + 1]) * 9000 for number in range(2)})
    return path


def run(capsys, *arguments):
    """Run the command; return its exit code and what it printed."""
    code = main(["check", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def damage(path, kind, change=garbled, which=0):
    """Damage a page of a store; return its number."""
    file = os.path.join(path, FILE_NAME)
    page = Layout(file).pages[kind][which]
    alter(file, page, change)
    return page


def test_sound_store(library, capsys):
    """A sound store is one line and exit code 0, shallow and deep."""
    line = f"{library}: 302 entries read, all is well\n"

    assert (0, line, "") == run(capsys, library)
    assert (0, line, "") == run(capsys, library, "--deep")


def test_problems_are_a_table(library, capsys):
    """What is wrong is told by place, in words; the exit code is 1."""
    page = damage(library, LONG)
    code, printed, _ = run(capsys, library, "--deep")

    assert 1 == code
    assert f"page {page}" in printed
    assert "the record of ('cover', 0) is damaged" in " ".join(printed.split())
    assert printed.splitlines()[0].split() == ["where", "what", "is", "wrong"]
    assert f"problems\nsave what can be read with: objcache check {library} --repair" in printed


def test_problems_as_json(library, capsys):
    """--json is one object with the same problems, for a sound and a damaged store."""
    code, printed, _ = run(capsys, library, "--json")
    sound = json.loads(printed)
    page = damage(library, LEAF)
    damaged_code, printed, _ = run(capsys, library, "--json", "--deep")
    damaged = json.loads(printed)

    assert (0, {"path": library, "ok": True, "entries": 302, "problems": []}) == (code, sound)
    assert (1, False) == (damaged_code, damaged["ok"])
    assert f"page {page}" in [problem["where"] for problem in damaged["problems"]]
    assert {"where", "kind", "message"} == set(damaged["problems"][0])


def test_store_that_lmdb_would_refuse_is_damaged(library, capsys):
    """A lost first page, or a file that was cut off before it ends, is damage: exit code 1."""
    alter(os.path.join(library, FILE_NAME), 0, zeroed)
    code, printed, complaint = run(capsys, library)
    os.truncate(os.path.join(library, FILE_NAME), 0)
    empty_code, answer, _ = run(capsys, library, "--json")

    assert (1, "") == (code, complaint)
    assert "page 0" in printed
    assert printed.endswith(f"objcache check {library} --repair NEW_DIRECTORY\n")
    assert 1 == empty_code
    assert json.loads(answer)["problems"][0]["message"].endswith("is empty")


def test_what_cannot_be_checked(library, tmp_path, capsys, monkeypatch):
    """Missing paths, files and stores of others are exit code 2 and one line; JSON too."""
    (tmp_path / "file").write_text("mine")
    missing, file = (run(capsys, tmp_path / name) for name in ("missing", "file"))
    inside = run(capsys, library, "--repair", os.path.join(library, "saved"))
    monkeypatch.setenv("OBJCACHE_SECRET", "another secret of 16 bytes")
    wrong = run(capsys, library)
    json_code, answer, _ = run(capsys, library, "--json")

    for code, printed, complaint in (missing, file, inside, wrong):
        assert (2, "", 1) == (code, printed, complaint.count("\n"))
        assert complaint.startswith("objcache: error: ")
    assert f"no file {FILE_NAME!r} lies there" in missing[2]
    assert "is a file; a store is a directory" in file[2]
    assert "lies inside the damaged store" in inside[2]
    assert "OBJCACHE_SECRET" in wrong[2]
    assert 2 == json_code
    assert {"path", "ok", "error"} == set(json.loads(answer))


def test_repair_of_a_damaged_store(library, tmp_path, capsys):
    """A repair tells what was saved and what is lost, and its target is a store; the exit code is 1."""
    damage(library, LONG, which=4)
    target = tmp_path / "saved"
    code, printed, _ = run(capsys, library, "--repair", target)
    again = run(capsys, library, "--repair", target)
    with Store(target, secret=SECRET) as store:
        kept = len(store)

    assert 1 == code
    assert "('cover', 1)" in printed
    assert f"{target}: 301 entries saved\n" in printed
    assert "  301 as they were, 0 found elsewhere\n" in printed
    assert "  1 entry is lost\n" in printed
    assert 301 == kept
    assert 0 == run(capsys, target, "--deep")[0]
    assert 2 == again[0]
    assert "choose an empty path" in again[2]


def test_repair_as_json(library, tmp_path, capsys):
    """--json tells of a repair with each entry that was found elsewhere."""
    clean = run(capsys, library, "--repair", tmp_path / "first", "--json")
    damage(library, BRANCH, zeroed)
    code, printed, _ = run(capsys, library, "--repair", tmp_path / "second", "--json")
    answer = json.loads(printed)

    assert 0 == clean[0]
    assert [] == json.loads(clean[1])["recovered"]
    assert 1 == code
    assert (302, 0, 302, 0) == (
        answer["entries"],
        answer["present"],
        len(answer["recovered"]),
        answer["missing"],
    )
    assert {"where", "source"} == set(answer["recovered"][0])


def test_repair_tells_what_was_found_elsewhere(library, tmp_path, capsys):
    """Entries that lay on pages nothing leads to are listed, fifty of them, with a word of caution."""
    damage(library, BRANCH, zeroed)
    code, printed, _ = run(capsys, library, "--repair", tmp_path / "saved")

    assert 1 == code
    assert "252 more; --json shows all" in printed
    assert "may be older than what was lost" in printed
    assert "302 found elsewhere" in printed


def test_repair_without_settings_names_the_way_out(library, tmp_path, capsys):
    """Lost settings are an error that names --settings-from, which then repairs."""
    copy = tmp_path / "copy"
    with Store(library, secret=SECRET) as store:
        store.copy(copy)
    file = os.path.join(library, FILE_NAME)
    with open(file, "r+b") as opened:
        content = opened.read().replace(b"\x01settings", b"\x01SETTINGS")
        opened.seek(0)
        opened.write(content)
    refused = run(capsys, library, "--repair", tmp_path / "saved")
    code, printed, _ = run(capsys, library, "--repair", tmp_path / "saved", "--settings-from", copy)

    assert 2 == refused[0]
    assert "--settings-from" in refused[2]
    assert "302 entries saved" in printed
    assert "they are lost, and were taken from" in printed
    assert 1 == code


def test_settings_from_needs_repair(library, capsys):
    """--settings-from alone is a mistake."""
    code, _, complaint = run(capsys, library, "--settings-from", library)

    assert 2 == code
    assert "belongs to --repair" in complaint


def test_terminal_gets_a_bar(library):
    """On a terminal the check shows how far it is, and the answer stays."""
    written = on_terminal("check", library, "--deep", COLUMNS="200")

    assert "reading pages" in written
    assert "302 entries read, all is well" in written
