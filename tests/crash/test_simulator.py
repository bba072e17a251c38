"""The simulator finds what is wrong with LMDB that does not sync, and nothing wrong with LMDB that does.

A simulator that finds nothing proves nothing: here it meets each mistake that the protocol of
docs/design/durability.md avoids.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from tests.crash.campaign import replay, run_campaign

SIZE = 120


@pytest.mark.parametrize("mode", ["nosync", "periodic"])
def test_unsynced_lmdb_is_found_corrupt(mode):
    """Without syncs, and with one now and then, at least half of the images are corrupt."""
    tally = run_campaign("single", 60, subject=f"lmdb {mode}", size=SIZE)

    assert 60 == tally.images
    assert 30 <= tally.corrupt


@pytest.mark.parametrize("mode", ["full", "metasync"])
@pytest.mark.parametrize("workload", ["single", "killed_in_commit"])
def test_synced_lmdb_is_found_whole(mode, workload):
    """LMDB's own two modes that are safe are whole, and lose nothing or the last commit only."""
    tally = run_campaign(workload, 40, subject=f"lmdb {mode}", size=SIZE)

    assert [] == tally.failures
    assert (40, 0, 0) == (tally.images, tally.corrupt, tally.old)
    assert max(tally.lost) <= (1 if mode == "metasync" else 0)


def test_the_protocol_is_found_whole():
    """The prototype of the protocol is whole, and loses what came after its last checkpoint."""
    tally = run_campaign("prototype", 60, subject="prototype none", size=SIZE)

    assert [] == tally.failures
    assert (60, 0, 0) == (tally.images, tally.corrupt, tally.old)
    assert 0 < max(tally.lost) < 30


@pytest.mark.parametrize(
    ("fault", "images", "at_least"),
    [("unpinned", 40, 10), ("early", 60, 3), ("record first", 60, 3), ("one slot", 150, 1)],
)
def test_each_mistake_in_the_protocol_is_found(fault, images, at_least):
    """A pin that is missing or let go early, a record before its pages, a single slot: corrupt."""
    tally = run_campaign("prototype", images, subject=f"prototype {fault}", size=SIZE)

    assert images == tally.images
    assert at_least <= tally.corrupt


@pytest.mark.parametrize("fault", ["unflushed", "unnamed", "at once"])
def test_each_mistake_with_side_files_is_found(fault):
    """Side files or their names that no checkpoint flushes, or that go before it: corrupt."""
    tally = run_campaign(
        "killed_with_side_files", 40, subject=f"store checkpoint aside {fault}", size=SIZE
    )

    assert 40 == tally.images
    assert 5 <= tally.corrupt


def test_blobs_that_are_not_flushed_are_found():
    """With a flush for each commit, blobs that are named before they are flushed: corrupt."""
    tally = run_campaign("side_files", 40, subject="store commit aside unfinished", size=SIZE)

    assert 40 == tally.images
    assert 5 <= tally.corrupt


def test_what_failed_can_be_checked_again(tmp_path):
    """A recording of which an image failed is kept, and gives the same failure again."""
    tally = run_campaign("prototype", 30, subject="prototype unpinned", size=60, keep=str(tmp_path))
    failure = tally.failures[0]
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.campaign", "--replay", failure.kept],
        cwd=pathlib.Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )

    assert replay.__doc__
    assert f"event {failure.at}: {failure.drawn}" in done.stdout
    assert failure.detail in done.stdout


def test_a_run_can_be_repeated():
    """The same seed gives the same images of a process that is alone, and the same verdicts."""
    one, two = (run_campaign("single", 40, "7", subject="lmdb nosync", size=60) for _ in range(2))

    assert one == two
    assert 0 < one.corrupt
