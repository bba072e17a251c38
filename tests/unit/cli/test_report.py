"""`objcache report`: the page shows what is there, in a browser, and needs nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from objcache.cli import main
from objcache.cli._page import MARK
from objcache.cli._portrait import KINDS, _Areas, _prefixes
from objcache.memo.functions import FunctionStats
from tests.unit.cli.conftest import BORN, HOSTILE
from tests.unit.cli.processes import content, objcache, without_privileges


def numbers_of(capsys, path):
    """Run `report --json`; return its object."""
    assert 0 == main(["report", str(path), "--json"])
    return json.loads(capsys.readouterr().out)


def sums(areas, depth):
    """Sum entries and bytes of all areas at one depth, by their last names."""
    return {
        area["path"][-1]: (area["entries"], area["size_bytes"])
        for area in areas
        if len(area["path"]) == depth
    }


# -- the numbers -----------------------------------------------------------------------------


def test_numbers_are_those_of_stats(market, capsys):
    """What a report says of store, caches and functions is what `stats --json` says."""
    found = numbers_of(capsys, market)
    main(["stats", market, "--json"])
    told = json.loads(capsys.readouterr().out)
    areas = sums(found["areas"], 1)
    caches = sums([area for area in found["areas"] if area["path"][0] == "caches"], 2)

    assert told == found["stats"]
    assert areas["memoized functions"] == (
        sum(one["entries"] for one in told["functions"]),
        sum(one["size_bytes"] for one in told["functions"]),
    )
    assert told["entries"] == sums(found["areas"], 2)["store"][0]
    results = [one["entries"] for one in told["functions"] if one["is_cache"] and not one["names"]]
    assert told["caches"][0]["entries"] == caches["cache /"][0] + sum(results)
    assert (1, told["caches"][1]["size_bytes"]) == caches["cache sub"]
    assert found["entries"] == sum(entries for entries, _ in areas.values())


def test_bars_add_up(market, capsys):
    """Every entry is in one bin of sizes, and of ages and deadlines if its moment is known."""
    found = numbers_of(capsys, market)
    areas = sums(found["areas"], 1)

    for kind in KINDS:
        for unit, number in (("entries", 0), ("size_bytes", 1)):
            assert areas[kind][number] == sum(found["sizes"][unit][kind])
            known = 0 if kind == KINDS[2] else areas[kind][number]
            assert known == sum(found["ages"][unit][kind]) == sum(found["deadlines"][unit][kind])
    labels, counts = found["deadlines"]["labels"], found["deadlines"]["entries"]["caches"]
    cached = {label: count for label, count in zip(labels, counts, strict=True) if count}
    assert {"over": 1, "never": 4} == cached


def test_what_goes_next(market, capsys):
    """What is over goes first; each entry is named as it is typed, a result by its function."""
    found = numbers_of(capsys, market)["next_evictions"]
    first = found[0]["entries"]

    assert [[], ["sub"]] == [cache["names"] for cache in found]
    assert ("gate", "page") == (found[0]["policy"], first[0]["shown"])
    assert (BORN, BORN + 60, ["shop", "new"]) == (
        first[0]["created"],
        first[0]["deadline"],
        first[0]["tags"],
    )
    assert {"old", "lasting", HOSTILE, "a result of tests.unit.cli.conftest.double"} == {
        entry["shown"] for entry in first[1:]
    }


@pytest.mark.parametrize(
    ("key", "groups"),
    [
        ("plain", ("text",)),
        ("user:7", ("user:",)),
        ("a/b/c", ("a/", "b/")),
        ("/api/users/7", ("/api/", "users/")),
        ("https://a.org/x/y", ("https://a.org/", "x/")),
        ("a\nb:c", ("a\\nb:",)),
        (7, ("int",)),
        (b"x", ("bytes",)),
        ((), ("tuple",)),
        ((1,), ("(…,)",)),
        (("user", 7), ("(user, …)",)),
        (("user", 7, "x", "y"), ("(user, …)", "(user, 7, …)")),
        ("x" * 99 + ":y", ("x" * 59 + "…",)),
    ],
)
def test_groups_of_keys(key, groups):
    """A key belongs to those that begin alike: text up to separators, tuples by elements."""
    assert groups == _prefixes(key)


def test_many_groups_are_few_areas():
    """However many prefixes there are, memory and areas are bounded, and sums are right."""
    areas = _Areas()
    for number in range(5000):
        areas.add("caches", "cache /", (f"{number}:",), number)
    areas.add_function(FunctionStats("f", (), False, 2, 1, 0, 0, 0.0, 10))
    found = areas.for_json()
    below = [area for area in found if len(area["path"]) == 3 and area["path"][0] == "caches"]

    assert (5000, sum(range(5000))) == sums(found, 2)["cache /"]
    assert (5000, sum(range(5000))) == tuple(
        sum(area[unit] for area in below) for unit in ("entries", "size_bytes")
    )
    assert 41 == len(below)
    assert (2, 10) == sums(found, 3)["f"]


# -- the file --------------------------------------------------------------------------------


def test_page_is_written(market, tmp_path):
    """The command writes one page, says how large it is, and changes nothing in the store."""
    before = content(market)
    target = tmp_path / "page.html"
    done = objcache("report", market, "-o", target)

    assert (0, "") == (done.returncode, done.stderr)
    assert f"{target}: a page of " in done.stdout
    assert MARK in target.read_text()
    assert before == content(market)
    assert ["page.html"] == [name for name in os.listdir(tmp_path) if "page" in name]


def test_page_on_stdout(shop):
    """`-o -` writes the page to stdout, and nothing else."""
    done = objcache("report", shop, "-o", "-")

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("<!DOCTYPE html>")
    assert done.stdout.rstrip().endswith("</html>")


def test_what_is_replaced(shop, tmp_path):
    """An earlier report is replaced, another file with --force only."""
    target = tmp_path / "page.html"
    target.write_text("mine")
    refused = objcache("report", shop, "-o", target)

    assert (2, "") == (refused.returncode, refused.stdout)
    assert "exists; choose another name, or say --force" in refused.stderr
    assert "mine" == target.read_text()
    assert 0 == objcache("report", shop, "-o", target, "--force").returncode
    first = target.read_text()
    assert 0 == objcache("report", shop, "-o", target).returncode
    assert MARK in first
    assert MARK in target.read_text()


def test_bad_targets(shop, tmp_path):
    """A page that cannot be written is one line that names it, and leaves nothing behind."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    before = content(shop)
    for target, words in (
        (tmp_path, "is no regular file"),
        (pipe, "is no regular file"),
        ("", "FILE is empty"),
        (os.path.join(shop, "page.html"), "lies in the store"),
        (tmp_path / "missing" / "page.html", "there is no directory"),
        (locked / "page.html", "Permission denied"),
    ):
        done = objcache("report", shop, "-o", target, before=(without_privileges,))

        assert (2, "") == (done.returncode, done.stdout), target
        assert 1 == done.stderr.count("\n"), done.stderr
        assert words in done.stderr
        assert str(target) in done.stderr
    assert [] == os.listdir(locked)
    assert before == content(shop)
    assert 2 == main(["report", shop, "--json", "-o", "x"])


def test_without_the_extra(shop, tmp_path):
    """Without plotly the command names the extra; --json needs none."""
    (tmp_path / "plotly.py").write_text("raise ModuleNotFoundError('no', name='plotly')")
    refused = objcache("report", shop, PYTHONPATH=str(tmp_path))
    told = objcache("report", shop, "--json", PYTHONPATH=str(tmp_path))

    assert (2, "") == (refused.returncode, refused.stdout)
    assert "pip install 'objcache[report]'" in refused.stderr
    assert 0 == told.returncode


def test_interrupted(shop, tmp_path):
    """Ctrl-C leaves the earlier page, and no part of another."""
    target = tmp_path / "page.html"
    assert 0 == objcache("report", shop, "-o", target).returncode
    before = target.read_bytes()
    code = (
        "import os, signal\n"
        "from objcache.cli import main, _page\n"
        "begun = _page.page\n"
        "def page(*given):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    return begun(*given)\n"
        "_page.page = page\n"
        f"raise SystemExit(main(['report', {shop!r}, '-o', {str(target)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (130, "objcache: interrupted") == (done.returncode, done.stderr.strip())
    assert before == target.read_bytes()
    assert not list(tmp_path.glob("*.unfinished"))
