"""Single flight of memoized functions: one computation, however many ask, whoever dies."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from objcache.errors import ComputationTimeoutError
from tests.lock_waiters import await_lock_waiters
from tests.scripts import finish, run, start

SLOW = """
def slow(x):
    with open(sys.argv[2], "a") as calls:
        calls.write("x")
    print("computing", flush=True)
    if input() == "fail":
        raise ValueError
    return x * 2
store = open_store()
f = store.memoize(slow)
"""


@pytest.fixture
def log(tmp_path):
    """A file to which each computation adds a letter."""
    return tmp_path / "calls"


def test_threads_join(store):
    """Threads that ask for one result at once wait for one of them, and get copies of their own."""
    barrier, calls = threading.Barrier(8), []
    release = threading.Event()

    @store.memoize(ignore=("release",))
    def f(x):
        calls.append(x)
        assert release.wait(20)
        return [x]

    results = []

    def ask():
        barrier.wait()
        results.append(f(1))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    release.set()
    for thread in threads:
        thread.join()

    assert [[1]] * 8 == results
    assert [1] == calls
    assert 8 == len({id(result) for result in results})
    assert (7, 1) == f.cache_info()[:2]


def test_an_exception_wakes_the_threads_and_one_tries(store):
    """Nobody gets another's exception: the next one computes."""
    barrier, calls = threading.Barrier(4), []

    @store.memoize
    def f(x):
        calls.append(x)
        if len(calls) == 1:
            raise ValueError("first")
        return "second"

    results = []

    def ask():
        barrier.wait()
        try:
            results.append(f(1))
        except ValueError as error:
            results.append(error.args[0])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ["first", "second", "second", "second"] == sorted(results)
    assert 2 == len(calls)


def test_recursion_does_not_wait_for_itself(store):
    """A function that asks for the very result that it is computing computes it."""
    depth = []

    @store.memoize
    def f(x):
        depth.append(x)
        return f(x) + 1 if len(depth) < 3 else 0

    assert 2 == f(1)


def test_processes_that_start_together_compute_once(path, log):
    """Sixteen processes ask for a cold result: one computes, all get it, and at once."""
    code = """
        def slow(x):
            with open(sys.argv[2], "a") as calls:
                calls.write("x")
            time.sleep(1.0)
            return x * 2
        store = open_store()
        f = store.memoize(slow)
        f.is_cached(0)
        print("ready", flush=True)
        input()
        began = time.perf_counter()
        result = f(21)
        print(result, time.perf_counter() - began)
        store.close()
    """
    processes = [start(code, path, log) for _ in range(16)]
    for process in processes:
        assert "ready\n" == process.stdout.readline()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [finish(process).split() for process in processes]

    assert {"42"} == {result for result, _ in answers}
    assert "x" == log.read_text()
    assert 3 > max(float(seconds) for _, seconds in answers)  # bench tells how near to 1


def test_a_killed_owner_lets_another_compute(path, log):
    """SIGKILL releases the claim at once: whoever waits goes on, with nothing to tune."""
    owner = start(SLOW + "print(f(1))", path, log)
    assert "computing\n" == owner.stdout.readline()
    waiter = start(SLOW + "print(f(1)); store.close()", path, log)
    await_lock_waiters(path, 1)
    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()
    assert "computing\n" == waiter.stdout.readline()
    waiter.stdin.write("go\n")

    assert "2\n" == finish(waiter)
    assert "xx" == log.read_text()


def test_a_process_that_waits_gets_the_result(path, log):
    """The result is read from the store, not computed again."""
    owner = start(SLOW + "print(f(1)); store.close()", path, log)
    assert "computing\n" == owner.stdout.readline()
    waiter = start(SLOW + "print(f(1)); store.close()", path, log)
    await_lock_waiters(path, 1)
    owner.stdin.write("go\n")
    owner.stdin.flush()

    assert ["2\n", "2\n"] == [finish(owner), finish(waiter)]
    assert "x" == log.read_text()


def test_an_exception_in_another_process(path, log):
    """A process whose predecessor failed tries itself."""
    catching = "try: f(1)\nexcept ValueError: print('failed')\nstore.close()"
    owner = start(SLOW + catching, path, log)
    assert "computing\n" == owner.stdout.readline()
    waiter = start(SLOW + "print(f(1)); store.close()", path, log)
    await_lock_waiters(path, 1)
    owner.stdin.write("fail\n")
    owner.stdin.flush()
    assert "failed\n" == finish(owner)
    assert "computing\n" == waiter.stdout.readline()
    waiter.stdin.write("go\n")

    assert "2\n" == finish(waiter)


def test_a_fork_in_the_middle_does_not_deadlock(path):
    """A child forked while a thread computes asks for the same result and gets it."""
    run(
        """
        import threading
        store = open_store()
        begun, go = threading.Event(), threading.Event()
        parent = os.getpid()
        @store.memoize
        def f(x):
            if os.getpid() == parent:
                begun.set()
                assert go.wait(20)
            return x * 2
        thread = threading.Thread(target=f, args=(1,))
        thread.start()
        assert begun.wait(20)
        pid = os.fork()
        if pid == 0:
            # The parent computes: the child waits for its lock, and gets its result.
            assert f(1) == 2
            assert f(2) == 4
            os._exit(0)
        go.set()
        thread.join()
        assert os.waitpid(pid, 0)[1] == 0
        assert f(1) == 2
        store.close()
        """,
        path,
    )


def test_timeout(store):
    """A caller that would not wait longer raises, or computes as well, as it was told."""
    begun, release = threading.Event(), threading.Event()

    def slow(x):
        begun.set()
        assert release.wait(20)
        return x

    outside = ("begun", "release")
    raising = store.memoize(timeout=0.01, ignore=outside)(slow)
    computing = store.memoize(timeout=0.01, on_timeout="compute", ignore=outside)(slow)
    owner = threading.Thread(target=raising, args=(1,))
    owner.start()
    assert begun.wait(20)
    with pytest.raises(ComputationTimeoutError, match=r"slow for more than timeout=0.01 s"):
        raising(1)
    begun.clear()
    other = threading.Thread(target=computing, args=(1,))
    other.start()
    assert begun.wait(20)
    release.set()
    owner.join()
    other.join()

    assert 1 == raising(1)


def test_no_single_flight(store):
    """Without it each caller computes."""
    barrier = threading.Barrier(2)

    @store.memoize(single_flight=False, ignore=("barrier",))
    def f(x):
        barrier.wait(20)  # both are in the function
        return x

    threads = [threading.Thread(target=f, args=(1,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (0, 2) == f.cache_info()[:2]


def test_one_refresh_in_the_background(path):
    """However many processes serve a result that has ended, one of them computes it anew."""
    code = """
        from objcache import ManualClock
        clock = ManualClock(1_000_000.0)
        store = open_store(clock=clock)
        sys.stdout.reconfigure(write_through=True)
        @store.memoize(expire=10, stale=100, ignore=("release",))
        def f(x):
            sys.stdout.write("computing\\n")
            if sys.argv[2] == "second":
                sys.stdin.readline()
            return x
        if sys.argv[2] == "first":
            f(1)
        else:
            clock.advance(20)
            f(1)
            sys.stdout.write("served\\n")
            sys.stdin.readline()
            for thread in f.__objcache_recall__.refreshers:
                thread.join()
        store.close()
    """.replace(', ignore=("release",)', "")
    assert "computing\n" == run(code, path, "first")
    second = start(code, path, "second")
    assert {"served\n", "computing\n"} == {second.stdout.readline(), second.stdout.readline()}
    third = start(code, path, "third")
    assert "served\n" == third.stdout.readline()
    third.stdin.write("go\n")
    assert "" == finish(third)
    second.stdin.write("go\ngo\n")
    assert "" == finish(second)
