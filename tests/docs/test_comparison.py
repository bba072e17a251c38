"""The ratios on the pages are those that were measured last."""

from __future__ import annotations

import json
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
COMPARISON = ROOT / "docs" / "explanation" / "comparison.md"
DURABILITY = ROOT / "docs" / "explanation" / "durability.md"
RESULTS = json.loads((ROOT / "bench" / "results" / "latest.json").read_text())
ROWS = {
    workload["name"]: {row["name"]: row for row in workload["rows"]}
    for workload in RESULTS["workloads"]
}
# What one measurement differs from the next; beyond it the page says something else.
TOLERANCE = 1.25
UNITS = {"ns": 1, "µs": 1e3, "ms": 1e6, "MB": 1e6}
# Of each line of the table: the workload, our row, the part of a row's name behind a rival's, and
# what is compared. Full caches by their mean: what a cache does now and then is the point.
LINES = {
    "read a value": ("get_hit", "objcache-checkpoint", "", "median_ns"),
    "ask for a key that is not there": ("get_miss", "objcache-checkpoint", "", "median_ns"),
    "store a value": ("set", "objcache-checkpoint", "", "median_ns"),
    "store 100 in a transaction": ("batch", "objcache-checkpoint", "", "median_ns"),
    "delete a value": ("delete", "objcache-checkpoint", "", "median_ns"),
    "iterate over 10,000": ("iterate", "objcache-checkpoint", "", "median_ns"),
    "open, read one, close": ("open", "objcache-checkpoint", "", "median_ns"),
    "store an array of 100 MB": ("array_set", "objcache-checkpoint", "", "median_ns"),
    "read an array of 100 MB": ("array_get", "objcache-checkpoint", "", "median_ns"),
    "read a frame of 100,000 rows": ("frame_get", "objcache-checkpoint", "", "median_ns"),
    "store in a cache": ("cache_set", "objcache-cache-checkpoint", "", "median_ns"),
    "store in a full cache of 2 MB": (
        *("cache_fill", "objcache-cache-checkpoint: 2 MB", ": 2 MB", "mean_ns"),
    ),
    "store in a full cache of 20 MB": (
        *("cache_fill", "objcache-cache-checkpoint: 20 MB", ": 20 MB", "mean_ns"),
    ),
    "memoized call, a hit": ("memo_int", "objcache-checkpoint", "", "median_ns"),
    "memoized call, a miss": ("memo_miss", "objcache-checkpoint", "", "median_ns"),
    "room of 10,000 values of 190 bytes": ("open", "objcache-checkpoint", "", "disk_bytes"),
    "key of an array of 100 MB": ("key_array", "objcache-digest", "-hash", "median_ns"),
    "key of a frame of 1,000 columns": ("key_wide", "objcache-digest", "-hash", "median_ns"),
}


def table():
    """The lines of the table of times, by name, each with its cells by the head of the column."""
    text = COMPARISON.read_text().partition("\n## How fast\n")[2].partition("\n## ")[0]
    head, _, *lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    return {line[0]: dict(zip(head[1:], line[1:], strict=True)) for line in lines}


def digits(number):
    """Two digits of a number, as the page has them; hundreds are whole."""
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"


def assert_near(told, measured, where):
    """A number of a page is about what was measured."""
    assert measured / TOLERANCE < told < measured * TOLERANCE, (
        f"{where}: told {told}, measured {digits(measured)}"
    )


def in_units(told):
    """A duration in nanoseconds, or a size in bytes, that a page has with its unit."""
    number, unit = told.split()
    return float(number) * UNITS[unit]


def test_the_table_has_these_lines():
    """No line is without its measurement, and the other way round."""
    assert list(LINES) == list(table())


@pytest.mark.parametrize("line", LINES)
def test_ratios_are_those_measured(line):
    """Each cell is what that library takes, as a multiple of ours; bold where it is less."""
    workload, ours, suffix, compared = LINES[line]
    rows = ROWS[workload]
    cells = table()[line]
    base = rows[ours][compared]

    assert_near(in_units(cells.pop("objcache")), base, line)
    for rival, told in cells.items():
        row = rows.get(f"{rival}{suffix}")
        assert (row is None) == (told == ""), (line, rival)
        if row is not None:
            ratio = row[compared] / base
            assert_near(float(told.strip("*")), ratio, f"{line}, {rival}")
            assert (float(told.strip("*")) < 1) == told.startswith("**"), (line, rival)


def test_what_commits_cost_is_what_was_measured():
    """The page on durability has the times of the three settings."""
    section = DURABILITY.read_text().partition("\n## What commits cost\n")[2]
    told = re.findall(r"([\d.]+ [nµm]s) with `\"(\w+)\"`", section)

    assert ["process", "checkpoint", "commit"] == [name for _, name in told]
    for duration, name in told:
        assert_near(in_units(duration), ROWS["set"][f"objcache-{name}"]["median_ns"], name)


def test_hit_ratios_are_those_measured():
    """What the explanation says of the default policy stands on the page of hit ratios."""
    measured = (ROOT / "docs" / "eviction.md").read_text()
    mean = re.search(r"geometric mean over traces[^|]*\|[^|]*\| ([\d.]+)", measured)[1]
    least = re.search(r"no trace below LRU \|[^|]*\| ([\d.]+)", measured)[1]
    page = (ROOT / "docs" / "explanation" / "making-room.md").read_text()
    told = re.search(r"([\d.]+) times the hits of LRU.* less than ([\d.]+) times", page)

    assert mean == told[1]
    assert float(least) >= float(told[2])


def test_versions_are_those_measured():
    """The page names the versions that were measured."""
    page = COMPARISON.read_text()

    for library in ("diskcache", "joblib", "sqlitedict", "rocksdict"):
        assert f"{library} {RESULTS['versions'][library]}" in page
