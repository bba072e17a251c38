"""System calls that fail one after the other: an error of objcache each time, and the old state."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess

import pytest

from tests.concurrency.modes import MODES
from tests.concurrency.watchdog import Pack
from tests.crash.faults import DEEDS, KINDS

TRIALS = """
    import json
    from tests.crash.faults import *
    options = json.loads(sys.argv[2])
    trials = Trials(path, options)
"""
REPORT = """
    print(json.dumps([dict(trials.counts), sorted(trials.tolerated), trials.problems]))
"""
TELLING = (
    "put",
    "put side file",
    "put blob",
    "put file",
    "transaction",
    "sync",
    "copy",
    "compact",
    "close",
    "open",
    "create",
)
TOLERATED = {
    # The rest is written next: of a copy, and of the file that says which durability there is.
    *(f"{deed}: write, short once" for deed in ("copy", "compact", "open", "create")),
    # And of a side file.
    *(f"{deed}: write, short once" for deed in ("put side file", "side files")),
    *(f"{deed}: write, short once" for deed in ("put blob", "put file", "blobs")),
    # There is less address space than wished for: a smaller map will do.
    *(f"{deed}: mmap, ENOMEM once" for deed in ("open", "create", "copy", "compact")),
}
TOLERATED_BY = {
    # The rest of the record of a checkpoint, too.
    "checkpoint": {f"{deed}: write, short once" for deed in DEEDS},
}


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    """The shim, compiled."""
    compiler = shutil.which("cc")

    assert compiler, "fault injection needs a C compiler: install one that is called cc"
    library = tmp_path_factory.mktemp("shim") / "faults.so"
    source = pathlib.Path(__file__).with_name("faults.c")
    subprocess.run(
        [compiler, "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source, "-ldl"],
        check=True,
    )
    return library


@pytest.fixture
def run_trials(tmp_path, shim, monkeypatch):
    """Run a script with the shim preloaded; return what it counted, tolerated and found wrong."""
    with Pack(tmp_path / "pack") as pack:

        def run(code, options, *arguments):
            monkeypatch.setenv("LD_PRELOAD", str(shim))
            script = TRIALS + code + REPORT
            process = pack.start(script, tmp_path / "trials", json.dumps(options), *arguments)
            monkeypatch.delenv("LD_PRELOAD")
            return json.loads(pack.finish(process))

        yield run


def fail_in_turn(run_trials, durability, kind, deeds):
    """Let each call of *kind* in each of *deeds* fail; nothing is wrong afterwards."""
    counts, tolerated, problems = run_trials(
        """
    for name in sys.argv[4].split(","):
        for fault in FAULTS.get(sys.argv[3], USUAL_FAULTS):
            trials.series(name, sys.argv[3], fault)
        """,
        MODES[durability],
        kind,
        ",".join(sorted(deeds)),
    )

    assert [] == problems
    assert counts["injected"] > 0
    assert TOLERATED | TOLERATED_BY.get(durability, set()) >= set(tolerated)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("durability", MODES)
def test_each_call_fails_in_turn(durability, kind, run_trials):
    """Whichever call fails, the caller is told by objcache and the store holds the old state."""
    fail_in_turn(run_trials, durability, kind, TELLING)


@pytest.mark.campaign
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("durability", MODES)
def test_each_call_of_each_deed_fails_in_turn(durability, kind, run_trials):
    """The same for everything that can be done to a store."""
    fail_in_turn(run_trials, durability, kind, DEEDS)


def kill_at_each_call(run_trials, durability, deeds):
    """Kill at each call of each of *deeds*; nothing is wrong afterwards, nobody waits."""
    counts, _, problems = run_trials(
        """
    for name in sys.argv[3].split(","):
        for kind in KINDS:
            for death in DEATHS.get(kind, USUAL_DEATHS):
                trials.deaths(name, kind, death)
        """,
        MODES[durability],
        ",".join(sorted(deeds)),
    )

    assert [] == problems
    assert counts["killed"] > 10 * len(deeds)
    assert counts["longest wait, ms"] < 1000


@pytest.mark.parametrize("durability", MODES)
def test_killed_at_each_call(durability, run_trials):
    """A process killed before or in the middle of any of its calls leaves the old state or the new."""
    kill_at_each_call(run_trials, durability, set(TELLING) - {"copy", "compact"})


@pytest.mark.campaign
@pytest.mark.parametrize("durability", MODES)
def test_killed_at_each_call_of_each_deed(durability, run_trials):
    """The same for everything that can be done to a store."""
    kill_at_each_call(run_trials, durability, DEEDS)


@pytest.mark.parametrize("durability", MODES)
def test_trials_find_half_a_deed(durability, run_trials):
    """Two commits that should have been one are found, by faults and by kills."""
    _, _, problems = run_trials(
        """
    def act(place):
        place.store["key", 0] = 1
        place.store["key", 1] = 1
    DEEDS["two"] = Deed(act)
    trials.series("two", "write", FAULTS["write"][0])
    assert any("neither old nor new" in problem for problem in trials.problems)
    trials.problems.clear()
    trials.deaths("two", "write", USUAL_DEATHS[0])
        """,
        MODES[durability],
    )

    assert any("other values [((), ('key', 0))]" in problem for problem in problems)


@pytest.mark.parametrize("durability", MODES)
def test_trials_find_foreign_errors(durability, run_trials):
    """An error that is not of objcache is found."""
    _, _, problems = run_trials(
        """
    DEEDS["own"] = Deed(lambda place: os.close(os.open(place.directory + "/own", os.O_CREAT)))
    trials.series("own", "open", USUAL_FAULTS[0])
        """,
        MODES[durability],
    )

    assert [
        "own, open 1, EIO once: not an error of objcache: OSError(5, 'Input/output error')"
    ] == [problem.partition(": 'PLACE")[0] for problem in problems]


@pytest.mark.parametrize(("kind", "number"), [("sync", 1), ("sync", 2), ("write", 1)])
def test_checkpoint_in_the_background_fails(kind, number, run_trials):
    """A flush that fails behind the back of all is told to the next who writes, syncs or waits."""
    counts, _, problems = run_trials(
        """
    from objcache.errors import PoisonedStoreError
    place = Place(path + "/other", {**options, "checkpoint_interval": 0.2})
    place.open()
    fill(place.store)
    place.store.sync()
    before, durable = contents(place.store), place.store.durable_up_to
    place.store["a"] = 1
    fault = Fault("EIO from then on", errno.EIO, FAILS, lasting=True)
    arm(place.directory, sys.argv[3], int(sys.argv[4]), fault)
    after = contents(place.store)
    await_hit()
    uses = {
        "wait": lambda: place.store.wait_durable(60.0),
        "put": lambda: place.store.__setitem__("b", 1),
        "sync": lambda: place.store.sync(),
        "transaction": lambda: place.store.transaction().__enter__(),
    }
    for name, use in uses.items():
        try:
            use()
        except PoisonedStoreError:
            trials.counts["told"] += 1
        else:
            trials.problems.append(f"{name}: not told")
    if place.store.durable_up_to != durable:
        trials.problems.append(f"durable up to {place.store.durable_up_to}, not {durable}")
    if contents(place.store) != after:
        trials.problems.append("readers see something else")
    disarm()
    place.close()
    if not any("checkpoint" in line for line in log.lines):
        trials.problems.append("nothing in the log")
    place.open()
    if any("machine went down" in line for line in log.lines):
        trials.problems.append(f"not true: {log.lines[-1]}")
    if contents(place.store) not in (before, after) or not place.store.check().ok:
        trials.problems.append("opened again: neither before nor after")
    place.store["b"] = 1
    if not place.store.wait_durable(60.0):
        trials.problems.append("not durable after it was opened again")
    place.close()
        """,
        MODES["checkpoint"],
        kind,
        number,
    )

    assert [] == problems
    assert 4 == counts["told"]


def test_checkpoints_go_on_after_a_passing_fault(run_trials):
    """A checkpoint that cannot begin is not the last one: once it can, commits are durable again."""
    _, _, problems = run_trials(
        """
    place = Place(path + "/other", options)
    place.open()
    place.store["a"] = 1
    place.store.sync()
    arm(place.directory, "lock", 1, FAULTS["lock"][0])
    place.store["a"] = 2
    await_hit()
    disarm()
    for number in range(3):
        place.store["b"] = number
        if not place.store.wait_durable(10.0):
            trials.problems.append("no more checkpoints")
            break
    place.close()
        """,
        MODES["checkpoint"],
    )

    assert [] == problems


@pytest.mark.parametrize("durability", MODES)
def test_largest_file_the_system_allows(durability, tmp_path):
    """A write that the kernel cuts short is an error of objcache, and the store holds the rest."""
    with Pack(tmp_path / "pack") as pack:
        process = pack.start(
            """
            import resource, signal
            from objcache.errors import StoreError
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            store = open_store(durability=sys.argv[2])
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_123, resource.RLIM_INFINITY))
            stored = 0
            try:
                while True:
                    store[stored] = bytes(7_000)
                    stored += 1
            except StoreError as error:
                assert stored > 20, error
            assert len(store) == stored
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            store.close()
            with open_store(durability=sys.argv[2]) as store:
                assert dict(store) == {number: bytes(7_000) for number in range(stored)}
                store[stored] = 1
                assert store.check().ok
            """,
            tmp_path / "store",
            durability,
        )
        pack.finish(process)
