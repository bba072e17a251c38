"""What the pages show of a terminal is what the commands print."""

from __future__ import annotations

import collections
import datetime
import decimal
import os
import pathlib
import re
import shlex
import time

import pytest

import objcache
from objcache.testing import forge
from tests.unit.cli.processes import objcache as command

DOCS = pathlib.Path(__file__).parents[2] / "docs"
CLI = DOCS / "reference" / "cli.md"
CHECK = DOCS / "reference" / "check.md"


def transcripts(page):
    """Each command line that a page shows with a prompt, and what it printed."""
    for block in re.findall(r"^```text\n(\$ .*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        for line in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            typed, _, printed = line.partition("\n")
            if typed.startswith("objcache "):
                yield typed, printed


def shape(printed):
    """What is printed without what differs: digests, sizes, ages, and the widths of columns."""
    without_digests = re.sub(r"\b(?=[a-f]*\d)[0-9a-f]{12,}\b", "DIGEST", printed)
    without_sizes = re.sub(r"[\d.]+ (B|kB|KiB|MiB)\b", "SIZE", without_digests)
    without_ages = re.sub(r"\d+ (s|min|h)\b", "AGE", without_sizes)
    return [re.sub(r" +", " ", line).strip() for line in without_ages.strip().splitlines()]


def said(page, beginning):
    """What a page says that the one command printed that begins so; with the command."""
    (found,) = [one for one in transcripts(page) if one[0].startswith(beginning)]
    return found


def run_as_said(page, beginning, directory, monkeypatch, code=0):
    """Run a command of a page in *directory*: what it prints has the shape that the page shows."""
    typed, printed = said(page, beginning)
    monkeypatch.chdir(directory)
    done = command(*shlex.split(typed)[1:])

    assert code == done.returncode, done.stderr
    assert shape(printed) == shape(done.stdout)


def test_ls(tmp_path, monkeypatch):
    """The listing of a cache."""
    now = time.time()
    clock = objcache.ManualClock(now - 180)
    with objcache.Cache(tmp_path / "pages", clock=clock) as cache:
        cache.set("/", "<html>" * 3000, expire=3600, tag=("shop", "new"))
        clock.advance(171)
        cache.set("/cart", collections.Counter(book=2), expire=1809, tag="shop")

    run_as_said(CLI, "objcache ls ./pages", tmp_path, monkeypatch)


def test_set_and_get(tmp_path, monkeypatch):
    """A value that was set is got."""
    objcache.Store(tmp_path / "library").close()

    run_as_said(CLI, "objcache set", tmp_path, monkeypatch)
    run_as_said(CLI, "objcache get", tmp_path, monkeypatch)


def test_inspect(tmp_path, monkeypatch):
    """The record of a value with a class in it."""
    with objcache.Store(tmp_path / "library") as store:
        store["user", 7] = {"price": decimal.Decimal("1.5")}

    run_as_said(CLI, "objcache inspect", tmp_path, monkeypatch)


class Surprise:
    """A pickle that would run a command."""

    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.damages
def test_audit(tmp_path, monkeypatch):
    """What was stored by somebody else, with a class that is not allowed in it."""
    with objcache.Store(tmp_path / "theirs", secret="somebody else's secret") as store:
        store["order", 1] = {"day": datetime.date(2026, 1, 2)}
        store["order", 2] = Surprise()

    run_as_said(CLI, "objcache audit", tmp_path, monkeypatch, code=1)


def test_check(tmp_path, monkeypatch):
    """A store that is whole."""
    with objcache.Store(tmp_path / "library") as store:
        store.update({("book", number): number for number in range(1052)})

    typed, printed = next(transcripts(CHECK))
    monkeypatch.chdir(tmp_path)
    done = command(*shlex.split(typed)[1:])

    assert printed == done.stdout


@pytest.mark.damages
def test_check_of_a_damaged_store(tmp_path, monkeypatch):
    """An entry that was altered is told in the words of the page."""
    with objcache.Store(tmp_path / "library") as store:
        store["cover", 0] = "a cover"
        forge(store, ("cover", 0))
    monkeypatch.chdir(tmp_path)
    done = command("check", "./library")
    _, printed = said(CHECK, "objcache check ./library --deep")

    assert 1 == done.returncode
    assert shape(printed)[:2] == shape(done.stdout)[:2]
    assert shape(printed)[-1] == shape(done.stdout)[-1]
