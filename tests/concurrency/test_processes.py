"""Several processes on one store: fork, spawn, kill, and waiting for each other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from objcache.errors import StoreBusyError
from tests.scripts import finish, run, start


def test_child_and_parent_both_go_on_after_fork(path):
    """I5: after fork() both processes read and write the same store, and lose nothing."""
    output = run(
        """
        store = open_store()
        space = store.namespace("n")
        store["before"] = 1
        walk = iter(store.items())
        pid = os.fork()
        if pid == 0:
            assert store["before"] == 1 and next(walk) == ("before", 1)
            for number in range(200):
                store["child", number] = number
                space["child", number] = number
            os._exit(0)
        for number in range(200):
            store["parent", number] = number
            space["parent", number] = number
        assert os.waitpid(pid, 0)[1] == 0
        assert store["child", 199] == 199 and len(store) == 401 and len(space) == 400
        assert store.check().ok
        store.close()
        print("good")
        """,
        path,
    )

    assert "good\n" == output


def test_fork_inside_a_transaction(path):
    """The child's copy of a transaction or snapshot is refused; the parent's is not disturbed."""
    output = run(
        """
        from objcache.errors import ForkedStoreError
        store = open_store()
        store["a"] = 1
        with store.snapshot() as snapshot, store.transaction() as transaction:
            transaction["a"] = 2
            pid = os.fork()
            if pid == 0:
                for use in (lambda: transaction["a"], lambda: transaction.__setitem__("a", 3), lambda: snapshot["a"]):
                    try:
                        use()
                    except ForkedStoreError as error:
                        assert "begun before fork()" in str(error)
                    else:
                        os._exit(1)
                assert store["a"] == 1  # a new reader sees what is committed
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            transaction["b"] = 2
            assert snapshot["a"] == 1
        with store.snapshot() as snapshot:
            pid = os.fork()
            if pid == 0:
                store["child"] = 1
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            del store["child"]
            for number in range(200):  # pages of that moment must not be used again
                store["a"] = bytes([number]) * 3000
            assert dict(snapshot) == {"a": 2, "b": 2}
            assert [reader.pid for reader in store.stats().readers] == [os.getpid()]
        store["a"] = 2
        assert dict(store) == {"a": 2, "b": 2}
        store.close()
        print("good")
        """,
        path,
    )

    assert "good\n" == output


def test_child_keeps_its_locks_when_inherited_objects_go(path):
    """Dropping what was inherited does not release the child's own locks on the store."""
    output = run(
        """
        import gc, subprocess
        from objcache.errors import ForkedStoreError
        store = open_store()
        try:
            with store.transaction() as transaction:
                transaction["a"] = 1
                if os.fork():
                    os._exit(0)  # the child is left alone with the store
                assert len(store) == 0  # opened anew, while the parent's transaction is still held
        except ForkedStoreError:
            pass
        del transaction
        gc.collect()
        with store.snapshot():
            code = "import sys; from objcache import Store; s = Store(sys.argv[1], secret=sys.argv[2], durability='process'); print(len(s.stats().readers)); s.close()"
            print(subprocess.run([sys.executable, "-c", code, path, SECRET], capture_output=True, text=True).stdout, end="")
        store.close()
        """,
        path,
    )

    assert "1\n" == output


def test_child_leaves_the_blocks_it_inherited(path):
    """A child that runs on through the end of an inherited block is told, and commits nothing."""
    output = run(
        """
        from objcache.errors import ForkedStoreError
        store = open_store()
        pid = None
        try:
            with store.transaction() as transaction:
                transaction["a"] = 1
                pid = os.fork()
            assert pid
        except ForkedStoreError:
            assert pid == 0
            store["child"] = 1  # waits for the parent's commit
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert dict(store) == {"a": 1, "child": 1}
        store.close()
        print("good")
        """,
        path,
    )

    assert "good\n" == output


def test_fork_while_other_threads_read_and_write(path):
    """The child opens the store anew even if other threads were inside it at the fork."""
    output = run(
        """
        import threading, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        store = open_store()
        store.set_many({n: bytes(5000) for n in range(500)})
        stop = threading.Event()
        def read():
            while not stop.is_set():
                store.get_many(range(500))
                list(store.items())
        def write():
            n = 0
            while not stop.is_set():
                n += 1
                store["w"] = n
        threads = [threading.Thread(target=work) for work in (read, read, write)]
        for thread in threads: thread.start()
        for round in range(15):
            pid = os.fork()
            if pid == 0:
                store["child", round] = len(store[0])
                assert store["child", round] == 5000
                store.close()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0, round
        stop.set()
        for thread in threads: thread.join()
        assert [store["child", round] for round in range(15)] == [5000] * 15
        assert store.check().ok and store.stats().readers == ()
        store.close()
        print("good")
        """,
        path,
    )

    assert "good\n" == output


def test_fork_while_another_thread_holds_a_transaction(path):
    """A transaction of another thread goes on in the parent; the child waits for its end."""
    output = run(
        """
        import threading, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        store = open_store()
        inside, leave = threading.Event(), threading.Event()
        def hold():
            with store.transaction() as transaction:
                transaction["held"] = 1
                inside.set()
                leave.wait()
        thread = threading.Thread(target=hold)
        thread.start()
        inside.wait()
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            assert "held" not in store
            os.write(writer, b"x")
            with store.transaction():  # waits for the parent's
                store["child"] = store["held"]
            os._exit(0)
        os.read(reader, 1)
        leave.set()
        thread.join()
        assert os.waitpid(pid, 0)[1] == 0
        assert dict(store) == {"held": 1, "child": 1}
        store.close()
        print("good")
        """,
        path,
    )

    assert "good\n" == output


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_store_goes_to_worker_processes(path, tmp_path, method):
    """A store passed to workers works there, however they are started."""
    script = tmp_path / "main.py"
    script.write_text(
        """
import multiprocessing, sys
import objcache

def work(store, number):
    store[number] = number * number
    value = store.update_with("sum", lambda total: total + number, default=0)
    store.close()
    return value

if __name__ == "__main__":
    store = objcache.Store(sys.argv[1], secret=b"the secret of the tests, 32 bytes", durability="process")
    with multiprocessing.get_context(sys.argv[2]).Pool(2) as pool:
        pool.starmap(work, [(store, number) for number in range(8)], chunksize=1)
    assert [store[number] for number in range(8)] == [number * number for number in range(8)]
    assert store["sum"] == 28
    assert store.check().ok
    store.close()
"""
    )
    done = subprocess.run(
        [sys.executable, script, path, method],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)


def test_processes_count_up_together(path, store):
    """Counters incremented by several processes at once add up exactly."""
    store["n"] = 0
    code = """
        store = open_store()
        for _ in range(300):
            store.update_with("n", lambda n: n + 1)
            with store.transaction() as transaction:
                transaction["n"] += 1
        store.close()
    """
    for process in [start(code, path) for _ in range(3)]:
        finish(process)

    assert 1800 == store["n"]


def test_many_processes_open_a_new_store_at_once(path):
    """One of many creates the store, the others find it; all write."""
    code = """
        store = open_store()
        store[os.getpid()] = 1
        store.close()
    """
    for process in [start(code, path) for _ in range(12)]:
        finish(process)

    assert "12 True\n" == run("s = open_store(); print(len(s), s.check().ok); s.close()", path)


def test_timeout_between_processes(path, open_store):
    """A write that waits longer than `timeout` for another process is a StoreBusyError."""
    hasty = open_store(timeout=0.05)
    holder = start(
        """
        store = open_store()
        with store.transaction() as transaction:
            transaction["held"] = 1
            print("held", flush=True)
            sys.stdin.readline()
        store.close()
        """,
        path,
    )

    assert "held\n" == holder.stdout.readline()
    with pytest.raises(StoreBusyError, match="another process"):
        hasty["a"] = 1
    with pytest.raises(StoreBusyError), hasty.transaction():
        pass
    holder.stdin.write("\n")
    finish(holder)
    hasty["a"] = 1
    assert {"a": 1, "held": 1} == hasty


def test_killed_writer_blocks_nobody(path, store):
    """The death of a process inside a transaction rolls it back and releases every lock."""
    holder = start(
        """
        store = open_store()
        store["committed"] = 1
        with store.transaction() as transaction:
            transaction["half"] = 1
            print("held", flush=True)
            sys.stdin.readline()
        """,
        path,
    )

    assert "held\n" == holder.stdout.readline()
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    store["after"] = 1
    assert {"committed": 1, "after": 1} == store
    with store.transaction() as transaction:
        transaction["b"] = 2
    assert store.check().ok


def test_readers_of_dead_processes_are_cleared(path, open_store):
    """The slots of killed readers do not pin pages for ever: the next open clears them."""
    first = open_store()
    first["a"] = 1
    reader = start(
        """
        store = open_store()
        with store.snapshot():
            print("reading", flush=True)
            sys.stdin.readline()
        """,
        path,
    )

    assert "reading\n" == reader.stdout.readline()
    assert [reader.pid] == [found.pid for found in first.stats().readers]
    reader.send_signal(signal.SIGKILL)
    reader.communicate()
    assert 1 == len(first.stats().readers)
    run("open_store().close()", path)
    assert () == first.stats().readers


def test_compact_needs_the_store_alone(path, open_store):
    """Compacting while another process has the store open is refused, and harms nothing."""
    store = open_store()
    store["a"] = 1
    other = start(
        'store = open_store(); print("open", flush=True); sys.stdin.readline(); store["b"] = 2; store.close()',
        path,
    )

    assert "open\n" == other.stdout.readline()
    with pytest.raises(StoreBusyError, match="another process"):
        store.compact()
    with store.snapshot(), pytest.raises(StoreBusyError, match="1 snapshots"):
        store.compact()
    other.stdin.write("\n")
    finish(other)
    store.compact()
    assert {"a": 1, "b": 2} == store


def test_readers_go_on_while_the_store_is_compacted(open_store):
    """Threads that read and write while the file is replaced see nothing of it."""
    import threading

    store = open_store()
    store.set_many({number: number for number in range(300)})
    stop = threading.Event()
    failures = []

    def use(number):
        try:
            while not stop.is_set():
                assert number == store[number]
                store["written", number] = number
                assert 300 <= len(list(store))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        store.compact()
    stop.set()
    for thread in threads:
        thread.join()

    assert [] == failures
    assert 303 == len(store)


def test_no_lmdb_error_after_the_descriptor_limit(path):
    """Running out of descriptors is an error of objcache, and leaves the store as it was."""
    output = run(
        """
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))
        held = []
        try:
            while True: held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError: pass
        try:
            open_store()
        except objcache.errors.StoreError as error:
            print(type(error).__name__)
        for descriptor in held: os.close(descriptor)
        with open_store() as store:
            store["a"] = 1
            print(store["a"])
        """,
        path,
    )

    assert "StoreError\n1\n" == output


def test_address_space_limit_makes_the_map_smaller(path):
    """Under a limit of address space the map is halved until it fits."""
    output = run(
        """
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        with open_store() as store:
            store["a"] = 1
            print(store["a"], 1 << 28 <= store.stats().map_bytes < 4 << 30)
        """,
        path,
    )

    assert "1 True\n" == output
    assert os.path.exists(path)
