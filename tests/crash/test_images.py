"""Power cuts while a store is written to: what opens afterwards is one transaction, whole.

A short version of the campaign (`-m campaign`, docs/design/durability.md): a power cut at random
moments, half of them beside commits, syncs and checkpoints; a disk as it may then be; the store
opened in another boot, compared record by record, walked page by page, and written to.
"""

from __future__ import annotations

import pytest

from tests.crash.campaign import CAMPAIGN, run_campaign

IMAGES = 24
SIZE = 100


@pytest.mark.parametrize("workload", CAMPAIGN)
def test_checkpoints_survive_a_power_cut(workload):
    """With `durability="checkpoint"` no store is corrupt, and none older than its checkpoint."""
    tally = run_campaign(workload, IMAGES, size=SIZE)

    assert [] == tally.failures
    assert (0, 0) == (tally.corrupt, tally.old)
    assert IMAGES <= tally.images


@pytest.mark.parametrize("workload", ["side_files", "killed_with_side_files"])
def test_side_files_survive_with_their_commits(workload):
    """With `durability="commit"` every acknowledged value is there with its side file."""
    tally = run_campaign(workload, IMAGES, subject="store commit aside", size=SIZE)

    assert [] == tally.failures
    assert (0, 0) == (tally.corrupt, tally.old)
    assert 0 == max(tally.lost)


@pytest.mark.parametrize("workload", ["single", "two", "threads", "killed_in_commit", "creation"])
def test_commits_survive_a_power_cut(workload):
    """With `durability="commit"` no commit that was acknowledged is lost."""
    tally = run_campaign(workload, IMAGES, subject="store commit", size=SIZE)

    assert [] == tally.failures
    assert (0, 0) == (tally.corrupt, tally.old)
    assert 0 == max(tally.lost)
