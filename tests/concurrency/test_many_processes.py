"""Many processes, of many kinds, on one store: no operation is lost, nobody waits for ever."""

from __future__ import annotations

import json
import random
import signal
import sys
import time

import pytest

from tests.concurrency.modes import MODES
from tests.concurrency.watchdog import Pack, StuckError

OPEN = """
    import json
    options = json.loads(sys.argv[2])
    store = open_store(**options)
"""


@pytest.fixture
def pack(tmp_path):
    """The processes of a test."""
    with Pack(tmp_path / "pack") as pack:
        yield pack


@pytest.fixture
def long_pack(tmp_path):
    """The processes of a campaign."""
    with Pack(tmp_path / "pack", limit_s=1200) as pack:
        yield pack


@pytest.fixture(params=MODES)
def options(request):
    """What a store of each durability is opened with."""
    return MODES[request.param]


def scaled(options, count):
    """Return *count*, or a fifth of it where each commit waits for the disk."""
    return count // 5 if options["durability"] == "commit" else count


# -- the classic mix -----------------------------------------------------------------------------

MIX = """
    import random
    me, processes, operations = map(int, sys.argv[3:6])
    chance = random.Random(me)
    mine, seen = {}, {}
    meet()
    for number in range(operations):
        luck = chance.random()
        if luck < 0.90:
            owner, key = chance.randrange(processes), chance.randrange(100)
            found = store.get((owner, key))
            if owner == me:
                assert found == mine.get(key), (key, found, mine.get(key))
            elif found is not None:
                # Time does not go back: what was seen once is not followed by something older.
                assert found["key"] == (owner, key) and found["number"] >= seen.get((owner, key), 0)
                seen[owner, key] = found["number"]
        else:
            key = chance.randrange(100)
            if luck < 0.99:
                mine[key] = {"key": (me, key), "number": number, "pad": "x" * chance.randrange(400)}
                store[me, key] = mine[key]
            elif mine.pop(key, None) is not None:
                del store[me, key]
            else:
                assert store.pop((me, key), None) is None
    assert mine == {key: value for (owner, key), value in store.items() if owner == me}
    print(len(mine))
    store.close()
"""


def classic_mix(pack, path, options, store, operations):
    """Run the mix in eight processes; all that they wrote is there."""
    for number in range(8):
        pack.start(OPEN + MIX, path, json.dumps(options), number, 8, operations)
    pack.open_gate()
    left = sum(map(int, pack.finish_all()))

    assert left == len(store) == len(list(store))
    assert store.check().ok


def test_classic_mix(pack, path, options, open_store):
    """90 % get, 9 % set, 1 % delete by eight processes: each finds all its own, none goes back."""
    classic_mix(pack, path, options, open_store(**options), 1000)


@pytest.mark.campaign
@pytest.mark.timeout(1500)
def test_classic_mix_at_length(long_pack, path, options, open_store):
    """The same with 10,000 operations in each process."""
    classic_mix(long_pack, path, options, open_store(**options), 10_000)


# -- counters and invariants ---------------------------------------------------------------------

COUNT = """
    rounds = int(sys.argv[3])
    below = store.namespace("below")
    meet()
    for _ in range(rounds):
        store.update_with("updated", lambda count: count + 1, default=0)
        with store.transaction() as transaction:
            transaction["counted"] = transaction.get("counted", 0) + 1
            below["counted"] = below.get("counted", 0) + 1
        store[os.getpid(), "own"] = store.get((os.getpid(), "own"), 0) + 1
    store.close()
"""


def count_up(pack, path, options, store, rounds):
    """Count in eight processes; nothing is lost."""
    for _ in range(8):
        pack.start(OPEN + COUNT, path, json.dumps(options), rounds)
    pack.open_gate()
    pack.finish_all()

    assert 8 * rounds == store["updated"] == store["counted"] == store.namespace("below")["counted"]
    assert [rounds] * 8 == [value for key, value in store.items() if isinstance(key, tuple)]


def test_counters_add_up(pack, path, options, open_store):
    """Counters incremented by eight processes, alone and in transactions, add up exactly."""
    count_up(pack, path, options, open_store(**options), scaled(options, 200))


@pytest.mark.campaign
@pytest.mark.timeout(1500)
def test_counters_add_up_at_length(long_pack, path, options, open_store):
    """The same with 5,000 rounds in each process."""
    count_up(long_pack, path, options, open_store(**options), 5000)


MOVE = """
    import random
    chance = random.Random(os.getpid())
    while True:
        with store.transaction() as transaction:
            left, right = transaction["left"], transaction.namespace("other")["right"]
            amount = chance.randrange(-50, 50)
            # One of them grows over several pages and back: many writes for one commit.
            transaction["left"] = {"amount": left["amount"] - amount, "pad": bytes(abs(amount) * 900)}
            transaction.namespace("other")["right"] = right + amount
            transaction["moves"] += 1
"""


def move_under_kill(pack, path, options, store, kills):
    """Kill processes that move amounts from one key to another; the sum never changes."""
    chance = random.Random(5)
    store.set_many({"left": {"amount": 1000}, "moves": 0})
    store.namespace("other")["right"] = 0
    movers = [pack.start(OPEN + MOVE, path, json.dumps(options)) for _ in range(4)]
    moves = 0
    for _ in range(kills):
        until = moves + chance.randrange(1, 60)
        while moves < until:
            with store.snapshot() as snapshot:
                total = snapshot["left"]["amount"] + snapshot.namespace("other")["right"]

                assert 1000 == total
                # A reader that was held up while two others committed may see the second commit a
                # moment before it is there for all: docs/design/concurrency.md, "Iteration".
                assert snapshot["moves"] >= moves - 1
                moves = max(moves, snapshot["moves"])
            pack.time_left_s()
        victim = movers.pop(chance.randrange(len(movers)))
        victim.send_signal(signal.SIGKILL)
        victim.wait()

        assert "" == pack.errors(victim)
        movers.append(pack.start(OPEN + MOVE, path, json.dumps(options)))
    for mover in movers:
        mover.send_signal(signal.SIGKILL)
        mover.wait()

        assert "" == pack.errors(mover)
    assert 1000 == store["left"]["amount"] + store.namespace("other")["right"]
    assert store.check().ok


def test_invariant_under_kill(pack, path, options, open_store):
    """A sum over two keys stays what it is, for every reader, whoever is killed when."""
    move_under_kill(pack, path, options, open_store(**options), 12)


@pytest.mark.campaign
@pytest.mark.timeout(1500)
def test_invariant_under_kill_at_length(long_pack, path, options, open_store):
    """The same with 500 kills."""
    move_under_kill(long_pack, path, options, open_store(**options), 500)


# -- opening, forking, threads -------------------------------------------------------------------


@pytest.mark.parametrize("existing", [False, True])
def test_fifty_processes_open_at_once(pack, path, options, open_store, existing):
    """Fifty processes open one path at the same moment; each writes, none fails."""
    if existing:
        open_store(**options)["before"] = 1
    process = pack.start(
        """
        import json, traceback
        options = json.loads(sys.argv[2])
        gate, opens_gate = os.pipe()
        children = []
        for _ in range(50):
            children.append(os.fork())
            if children[-1] == 0:
                os.close(opens_gate)
                status = 1
                try:
                    os.read(gate, 1)
                    with open_store(**options) as store:
                        store[os.getpid()] = 1
                        assert store.update_with("count", lambda count: count + 1, default=0) > 0
                    status = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(status)
        os.close(opens_gate)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 50
        with open_store(**options) as store:
            assert all(store[child] == 1 for child in children)
        """,
        path,
        json.dumps(options),
    )
    pack.finish(process)
    store = open_store(**options)

    assert 51 + existing == len(store)
    assert 50 == store["count"]
    assert store.check().ok


def test_forks_inside_a_transaction(pack, path, options):
    """Children forked inside a transaction are refused it, and write when the parent is done."""
    process = pack.start(
        OPEN
        + """
    from objcache.errors import ForkedStoreError
    def refused(use):
        try:
            use()
        except ForkedStoreError:
            return True
        return False
    for round in range(5):
        children = []
        gate, opens_gate = os.pipe()
        refusals, tells = os.pipe()
        with store.transaction() as transaction:
            transaction["round"] = round
            with transaction.transaction() as inner:
                inner["inner", round] = 1
                for number in range(3):
                    children.append(os.fork())
                    if children[-1] == 0:
                        os.close(opens_gate)
                        assert refused(lambda: inner["inner", round])
                        assert refused(lambda: transaction.__setitem__("round", -1))
                        assert refused(lambda: transaction.namespace("n").get("a"))
                        assert store.get("round", -1) == round - 1
                        os.write(tells, b"!")
                        os.read(gate, 1)
                        with store.transaction():  # waits for the parent's
                            assert store["round"] == round
                            store["child", round, number] = os.getpid()
                        store.close()
                        os._exit(0)
            for _ in range(3):
                os.read(refusals, 1)
            transaction["after", round] = 1
            os.close(opens_gate)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 3
        for descriptor in (gate, refusals, tells):
            os.close(descriptor)
        assert [store["child", round, number] for number in range(3)] == children
        assert store["inner", round] == store["after", round] == 1
    assert len(store) == 1 + 5 * 5 and store.check().ok
    store.close()
        """,
        path,
        json.dumps(options),
    )
    pack.finish(process)


def test_threads_in_processes(pack, path, options, open_store):
    """Four threads in each of four processes write, count, read and open; nothing is lost."""
    steps = scaled(options, 60)
    for number in range(4):
        pack.start(
            OPEN
            + """
    import threading
    failures, steps = [], int(sys.argv[4])
    def work(lane):
        try:
            for step in range(steps):
                store[lane, step] = bytes(step * 50)
                store.update_with("updated", lambda count: count + 1, default=0)
                with store.transaction() as transaction:
                    transaction["counted"] = transaction.get("counted", 0) + 1
                with store.snapshot() as snapshot:
                    assert snapshot["updated"] >= snapshot["counted"] - 16
                if step % 10 == 0:
                    with open_store(**options) as another:
                        assert another[lane, step] == bytes(step * 50)
            assert len(store.get_many((lane, step) for step in range(steps))) == steps
        except BaseException as error:
            failures.append(error)
            raise
    meet()
    threads = [threading.Thread(target=work, args=(f"{sys.argv[3]}.{n}",)) for n in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert failures == []
    store.close()
            """,
            path,
            json.dumps(options),
            number,
            steps,
        )
    pack.open_gate()
    pack.finish_all()
    store = open_store(**options)

    assert 4 * 4 * steps == store["updated"] == store["counted"]
    assert 4 * 4 * steps + 2 == len(store)
    assert store.check().ok


# -- readers that stay ---------------------------------------------------------------------------

READ_ON = """
    import select
    with store.snapshot() as snapshot:
        before = dict(snapshot.items())
        print("reading", flush=True)
        looks = 0
        while not select.select([sys.stdin], [], [], 0)[0]:
            assert dict(snapshot.items()) == before
            looks += 1
        assert dict(snapshot.items()) == before and len(snapshot) == len(before) == 50
    print(looks, flush=True)
    store.close()
"""
WRITE_ON = """
    rounds, duration_s = int(sys.argv[3]), float(sys.argv[4])
    until = time.monotonic() + duration_s
    done = 0
    while done < rounds or time.monotonic() < until:
        key = done % 50
        if done % 5 == 4:
            store.pop(key, None)
        else:
            store[key] = bytes([done % 256]) * (done * 37 % 9000)
        if done % 100 == 0:  # opening clears the slots of dead readers, and no other
            store.close()
            store = open_store(**options)
        done += 1
        if duration_s:
            time.sleep(0.01)  # no page is used again while a snapshot stays: the disk is finite
    store.close()
"""


def read_while_others_write(pack, path, options, store, rounds, duration_s):
    """Keep snapshots open in two processes while two others change every key."""
    store.set_many({key: bytes(key * 100) for key in range(50)})
    words = (path, json.dumps(options))
    readers = [pack.start(OPEN + READ_ON, *words, talks=True) for _ in range(2)]
    for reader in readers:
        pack.await_line(reader, "reading\n")
    write_on(pack, words, rounds, duration_s)
    for reader in readers:
        looks = int(reader.communicate("\n", timeout=pack.time_left_s())[0])

        assert looks > 0
        assert "" == pack.errors(reader)
    grown = store.stats().file_bytes
    write_on(pack, words, rounds, 0)

    # With the last reader gone its pages are used again.
    assert store.stats().file_bytes < 1.5 * grown
    assert store.check().ok


def write_on(pack, words, rounds, duration_s):
    """Let two processes write."""
    for writer in [pack.start(OPEN + WRITE_ON, *words, rounds, duration_s) for _ in range(2)]:
        pack.finish(writer)


def test_snapshots_stay_while_others_write(pack, path, options, open_store):
    """A snapshot shows the same moment however much is written and opened meanwhile."""
    read_while_others_write(pack, path, options, open_store(**options), scaled(options, 1000), 0)


@pytest.mark.campaign
@pytest.mark.timeout(1500)
def test_snapshots_stay_for_minutes(long_pack, path, options, open_store):
    """The same for three minutes."""
    read_while_others_write(long_pack, path, options, open_store(**options), 400, 180)


# -- workers of other libraries ------------------------------------------------------------------

MAIN = """
import concurrent.futures, faulthandler, json, multiprocessing, os, signal, sys, warnings
import objcache
from objcache.errors import EncodeError, StoreClosedError
# At its exit, by a race of CPython 3.12's own: nothing of ours is there.
warnings.filterwarnings("ignore", "ResourceTracker called reentrantly")
faulthandler.register(signal.SIGUSR1, all_threads=True, chain=False)
SECRET = b"the secret of the tests, 32 bytes"

class Dataset:
    # As a data loader's: it holds the store, and goes to each worker with it.
    def __init__(self, store):
        self.store = store
    @property
    def results(self):
        return self.store.namespace("results")
    def __getitem__(self, index):
        if index not in self.results:
            self.results[index] = {"index": index, "pixels": self.store["raw", index] * 2}
        self.store.update_with("reads", lambda count: count + 1)
        return self.results[index]

def load(dataset, tasks, loaded):
    for index in iter(tasks.get, None):
        loaded.put((index, dataset[index]))
    dataset.store.close()

def epoch(dataset, tasks, loaded, indices):
    for index in indices:
        tasks.put(index)
    return dict(loaded.get() for _ in indices)

def run_loader(context, store):
    store.set_many({("raw", index): bytes([index]) * 5000 for index in range(24)})
    store["reads"] = 0
    dataset = Dataset(store)
    tasks, loaded = context.Queue(), context.Queue()
    workers = [context.Process(target=load, args=(dataset, tasks, loaded)) for _ in range(3)]
    with store.snapshot() as snapshot:
        for worker in workers:
            worker.start()
        for number in range(2):
            found = epoch(dataset, tasks, loaded, range(24))
            store["epoch"] = number
            assert all(found[index]["pixels"] == bytes([index]) * 10_000 for index in range(24))
        assert dict(snapshot.items()) == {
            **{("raw", index): bytes([index]) * 5000 for index in range(24)}, "reads": 0
        }
    for worker in workers:
        tasks.put(None)
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert store["reads"] == 48 and len(dataset.results) == 24

def work(store, number):
    store["square", number] = number * number
    total = store.update_with("sum", lambda total: total + number, default=0)
    store.close()
    return total

def fail(store, number):
    try:
        if number % 2:
            store["bad"] = lambda: number
        store.close()
        store["bad"] = number
    finally:
        store.close()

def check_squares(store, totals):
    assert max(totals) == store["sum"] == sum(range(20))
    assert [store["square", number] for number in range(20)] == [n * n for n in range(20)]
    assert "bad" not in store

def run_pool(context, store):
    with context.Pool(2) as pool:
        check_squares(store, pool.starmap(work, [(store, n) for n in range(20)], chunksize=1))
        for number, error in ((0, StoreClosedError), (1, EncodeError)):
            try:
                pool.apply(fail, (store, number))
            except error as caught:
                assert "lmdb" not in str(caught)
            else:
                raise AssertionError(number)
        pool.close()
        pool.join()

def run_executor(context, store):
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        check_squares(store, list(pool.map(work, [store] * 20, range(20))))
        for number, error in ((0, StoreClosedError), (1, EncodeError)):
            assert isinstance(pool.submit(fail, store, number).exception(), error)

if __name__ == "__main__":
    runs = {"loader": run_loader, "pool": run_pool, "executor": run_executor}
    for options in json.loads(sys.argv[2]):
        path = os.path.join(sys.argv[1], options["durability"])
        with objcache.Store(path, secret=SECRET, **options) as store:
            runs[sys.argv[4]](multiprocessing.get_context(sys.argv[3]), store)
            assert store.check().ok
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("kind", ["loader", "pool", "executor"])
def test_workers(pack, tmp_path, kind, method):
    """A store made in the parent serves in workers of every kind, however they are started."""
    script = tmp_path / "main.py"
    script.write_text(MAIN)
    process = pack.launch(
        [sys.executable, script, tmp_path, json.dumps(list(MODES.values())), method, kind]
    )
    pack.finish(process)


# -- the watchdog --------------------------------------------------------------------------------


def test_watchdog_shows_every_stack(tmp_path, path):
    """When processes wait for ever the failure shows where, their children too; none is left."""
    holds = """
        def hold_for_ever():
            with store.transaction():
                if os.fork():
                    print("held", flush=True)
                    os.read(reading, 1)
                in_the_child()
        def in_the_child():
            os.read(reading, 1)
        store = open_store()
        reading, writing = os.pipe()
        hold_for_ever()
    """
    waits = """
        def wait_for_ever():
            store["a"] = 1
        store = open_store()
        print("waiting", flush=True)
        wait_for_ever()
    """
    with Pack(tmp_path / "pack") as pack:
        members = []
        for code, line in ((holds, "held\n"), (waits, "waiting\n")):
            members.append(pack.start(code, path, talks=True))
            pack.await_line(members[-1], line)
        pack.give_up = time.monotonic() + 2.0  # a loaded machine is slow to get there
        with pytest.raises(StuckError) as caught:
            pack.finish_all()

    text = str(caught.value)
    for member in members:
        assert f"process {member.pid}" in text
        assert -signal.SIGKILL == member.returncode
    for name in ("hold_for_ever", "in_the_child", "wait_for_ever"):
        assert f"in {name}" in text
    assert "not done" in text
