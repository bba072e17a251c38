"""A thousand power cuts in every second workload; the others are in test_campaign_odd: `-m campaign`."""

from __future__ import annotations

import pytest

from tests.crash.campaign import CAMPAIGN, run_campaign, table

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(3600)]


@pytest.mark.parametrize("workload", CAMPAIGN[::2])
def test_a_thousand_power_cuts(workload, capsys):
    """None of a thousand images is corrupt, or older than the last durable checkpoint."""
    tally = run_campaign(workload, 1000)
    with capsys.disabled():
        print(f"\n{table([tally])}")

    assert [] == tally.failures
    assert (0, 0) == (tally.corrupt, tally.old)
    assert 1000 <= tally.images
