"""Writers killed at any moment: nothing acknowledged is lost, nothing is half there."""

from __future__ import annotations

import pytest

from objcache import Cache
from tests.concurrency.modes import MODES
from tests.concurrency.watchdog import Pack
from tests.conftest import SECRET
from tests.crash.cache_writers import LIMIT_BYTES, CacheSupervisor
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


def kill_cache(cache, supervisor, rounds):
    """Run *rounds* on a cache, and the comparison at the end."""
    for _ in range(rounds):
        supervisor.round()
    supervisor.kill_all()

    assert supervisor.kills >= rounds
    assert cache.stats().evicted > 5 * rounds
    assert 0 < supervisor.side_files() <= len(cache)


@pytest.fixture
def cache(options, tmp_path):
    """A cache of a few MiB."""
    with Cache(tmp_path / "cache", size_limit=LIMIT_BYTES, secret=SECRET, **options) as opened:
        yield opened


def test_kills_of_writers_of_a_full_cache(options, cache, tmp_path):
    """A full cache with side files and blobs holds nothing that is old, torn or deleted."""
    with Pack(tmp_path / "pack") as pack:
        kill_cache(cache, CacheSupervisor(pack, cache, options, seed=4), 8)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2))
def test_hundreds_of_kills_of_writers_of_a_full_cache(options, cache, seed, tmp_path):
    """The same in a hundred rounds, with four processes of two threads."""
    with Pack(tmp_path / "pack", limit_s=3500) as pack:
        supervisor = CacheSupervisor(pack, cache, options, seed=seed, processes=4)
        kill_cache(cache, supervisor, 100)
        print(
            f"cache, {options['durability']}, seed {seed}: {supervisor.kills} kills, "
            f"{supervisor.acknowledged} steps acknowledged, {cache.stats().evicted} evictions, "
            f"longest gap {supervisor.longest_gap_s * 1000:.0f} ms"
        )


def test_supervisor_of_caches_finds_lies(tmp_path):
    """A writer of a cache that acknowledges what it did not do is found."""
    options = MODES["process"]
    with (
        Cache(tmp_path / "cache", size_limit=LIMIT_BYTES, secret=SECRET, **options) as cache,
        Pack(tmp_path / "pack") as pack,
    ):
        supervisor = CacheSupervisor(pack, cache, options, seed=4, lie="skip")
        with pytest.raises(AssertionError, match="was acknowledged"):
            kill_cache(cache, supervisor, 15)


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
