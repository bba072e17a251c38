"""Side files of several processes: shared in memory, never missed by a reader, never in the way."""

from __future__ import annotations

import os

import pytest

from objcache import Store
from tests.concurrency.modes import MODES
from tests.concurrency.watchdog import Pack
from tests.conftest import SECRET

np = pytest.importorskip("numpy")

MANY = 50_000


def files(path):
    """Return the names of the side files of the store below *path*."""
    return os.listdir(os.path.join(path, "blobs"))


@pytest.mark.parametrize(
    "size", [1 << 26, pytest.param(1 << 30, marks=[pytest.mark.campaign, pytest.mark.timeout(600)])]
)
def test_viewed_by_four_processes_in_memory_once(tmp_path, open_store, path, size):
    """Four processes that view the same array have it in memory once, all together."""
    with open_store() as store:
        store["k"] = np.ones(size // 8)
    with Pack(tmp_path / "pack") as pack:
        viewers = [
            pack.start(
                """
                import numpy
                def proportional():
                    with open("/proc/self/smaps_rollup") as file:
                        (found,) = [line for line in file if line.startswith("Pss:")]
                    return int(found.split()[1]) * 1024
                with open_store() as store:
                    before = proportional()
                    view = store.view("k")
                    assert view.sum() == len(view)
                    print("viewed", flush=True)
                    sys.stdin.readline()
                    print(proportional() - before, flush=True)
                    sys.stdin.readline()
                """,
                path,
                talks=True,
            )
            for _ in range(4)
        ]
        shares = []
        for viewer in viewers:
            pack.await_line(viewer, "viewed\n")
        for viewer in viewers:
            viewer.stdin.write("measure\n")
            viewer.stdin.flush()
            shares.append(int(viewer.stdout.readline()))

    assert 0.95 * size < sum(shares) < 1.1 * size
    assert max(shares) < 0.4 * size


@pytest.mark.parametrize("mode", MODES)
def test_readers_among_writers_of_other_processes(mode, tmp_path, open_store, path):
    """Whoever reads while other processes overwrite and delete gets a whole value, or none."""
    store = open_store(**MODES[mode])
    store.update({key: np.zeros(MANY) for key in range(3)})
    writer = """
        import json
        import numpy as np
        number, rounds = int(sys.argv[3]), int(sys.argv[4])
        with open_store(**json.loads(sys.argv[2])) as store:
            meet()
            for turn in range(rounds):
                key = turn % 3
                if turn % 7 == 5:
                    store.pop(key, None)
                elif turn % 7 == 6:
                    with store.transaction() as transaction:
                        for key in range(3):
                            transaction[key] = np.full({many}, 1000.0 * number + turn)
                else:
                    store[key] = np.full({many}, 1000.0 * number + turn)
        """.replace("{many}", str(MANY))
    reader = """
        import json
        rounds = int(sys.argv[4])
        with open_store(**json.loads(sys.argv[2])) as store:
            meet()
            kept = []
            for turn in range(rounds):
                key = turn % 3
                value = (store.get, lambda key: dict(store.items()).get(key))[turn % 2](key)
                if value is not None:
                    assert (value == value[0]).all()
                try:
                    kept.append((store.view(key, verify=True), None))
                    kept[-1] = kept[-1][0], kept[-1][0][0]
                except KeyError:
                    pass
                with store.snapshot() as snapshot:
                    before = {key: value[0] for key, value in snapshot.items()}
                    assert before == {key: snapshot.view(key)[-1] for key in snapshot}
            assert all((view == first).all() for view, first in kept)
        """
    import json

    options = json.dumps(MODES[mode])
    with Pack(tmp_path / "pack") as pack:
        for number in range(2):
            pack.start(writer, path, options, number, 60)
        for number in range(2):
            pack.start(reader, path, options, number, 30)
        pack.open_gate()
        pack.finish_all()
    store["last"] = 1
    store.sync()
    store.sync()
    live = sum(key != "last" for key in store)

    assert live == store.stats().side_files
    assert store.check().ok
    store.close()
    with Store(path, secret=SECRET, **MODES[mode]) as again:
        again.sync()
        again["last"] = 2
        again.sync()

        assert live == len(files(path))


@pytest.mark.parametrize("mode", MODES)
def test_copies_while_others_write(mode, tmp_path, open_store, path):
    """Copies made while another process overwrites everything are whole, each of one moment."""
    import json

    store = open_store(**MODES[mode])
    store.update({key: np.zeros(MANY) for key in range(3)})
    with Pack(tmp_path / "pack") as pack:
        process = pack.start(
            """
            import json
            import numpy as np
            with open_store(**json.loads(sys.argv[2])) as store:
                meet()
                for turn in range(60):
                    store.set_many({key: np.full(50_000, float(turn)) for key in range(3)})
            """,
            path,
            json.dumps(MODES[mode]),
        )
        pack.open_gate()
        for number in range(6):
            store.copy(tmp_path / f"copy {number}", compact=bool(number % 2))
        pack.finish(process)
    for number in range(6):
        with Store(tmp_path / f"copy {number}", secret=SECRET) as copy:
            first = copy[0][0]

            assert all((copy.view(key) == first).all() for key in range(3))
            assert 3 == len(files(copy.path))
