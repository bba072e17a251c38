"""The benchmark's page: written where it is asked for, from results that are kept."""

from __future__ import annotations

import json
import pathlib

import pytest

pytest.importorskip("matplotlib")  # of the extra `bench`, which the tests do not need otherwise

from bench.__main__ import main

ROOT = pathlib.Path(__file__).parents[3]
RESULTS = ROOT / "bench" / "results" / "latest.json"


def test_a_run_writes_what_was_asked_for(tmp_path, monkeypatch, capsys):
    """`--docs` writes page, picture and results; without it nothing is written."""
    place = tmp_path / "project"
    monkeypatch.setattr("bench.__main__._ROOT", str(place))
    run = ["--rounds", "1", "--workloads", "get_miss", "--engines", "objcache-process"]

    assert 0 == main(run)
    assert not place.exists()
    assert 0 == main([*run, "--docs"])
    written = {str(file.relative_to(place)) for file in place.rglob("*.*")}
    assert {"docs/benchmarks.md", "docs/benchmarks.svg", "bench/results/latest.json"} == written
    assert "get miss" in capsys.readouterr().out


def test_the_page_is_that_of_the_results(tmp_path, capsys):
    """`--results` makes the page again, which is the one in docs/, and runs nothing."""
    assert 0 == main(["--results", str(RESULTS), "--output", str(tmp_path)])

    assert json.loads(RESULTS.read_text()) == json.loads((tmp_path / "latest.json").read_text())
    assert (ROOT / "docs" / "benchmarks.md").read_text() == (tmp_path / "benchmarks.md").read_text()
    assert capsys.readouterr().out
