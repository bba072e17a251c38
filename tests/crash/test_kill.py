"""Writers killed at any moment: nothing acknowledged is lost, nothing is half there."""

from __future__ import annotations

import pytest

from tests.concurrency.modes import MODES
from tests.concurrency.watchdog import Pack
from tests.crash.supervisor import Supervisor

LONGEST_GAP_S = 1.0


@pytest.fixture(params=MODES)
def options(request):
    """What a store of each durability is opened with."""
    return MODES[request.param]


def kill(supervisor, rounds):
    """Run *rounds*, and the comparison at the end."""
    for _ in range(rounds):
        supervisor.round()
    supervisor.kill_all()

    assert supervisor.kills >= rounds
    assert supervisor.acknowledged > 20 * rounds
    assert supervisor.longest_gap_s < LONGEST_GAP_S


def test_kills_lose_nothing(options, tmp_path, open_store):
    """What was acknowledged is there, whole, with its index; the survivors go on at once."""
    with Pack(tmp_path / "pack") as pack:
        kill(Supervisor(pack, open_store(**options), options, seed=4), 15)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(3))
def test_hundreds_of_kills_lose_nothing(options, seed, tmp_path, open_store):
    """The same in hundreds of rounds, with four processes of three threads."""
    with Pack(tmp_path / "pack", limit_s=3500) as pack:
        store = open_store(**options)
        supervisor = Supervisor(pack, store, options, seed=seed, processes=4, threads=3)
        kill(supervisor, 300)
        print(
            f"{options['durability']}, seed {seed}: {supervisor.kills} kills, "
            f"{supervisor.acknowledged} steps acknowledged, "
            f"longest gap {supervisor.longest_gap_s * 1000:.0f} ms"
        )


@pytest.mark.parametrize(
    ("lie", "complaint"), [("skip", "missing"), ("half", "index and records disagree")]
)
def test_supervisor_finds_lies(lie, complaint, tmp_path, open_store):
    """A writer that acknowledges what it did not do, or does half of it, is found."""
    options = MODES["process"]
    with Pack(tmp_path / "pack") as pack:
        supervisor = Supervisor(pack, open_store(**options), options, seed=4, lie=lie)
        with pytest.raises(AssertionError, match=complaint):
            kill(supervisor, 15)
