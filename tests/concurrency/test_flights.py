"""Single flight between processes: one at a time, whoever dies or forks."""

from __future__ import annotations

import signal
import textwrap
import time

import pytest

from tests.lock_waiters import await_lock_waiters
from tests.scripts import finish, run, start

SETUP = """
import objcache.flights._locks as locks
from objcache.flights import Claim, Flights, Landed, WaitTimeoutError, flights_of
if sys.argv[2] == "files":
    locks._SET = -1
flights, key = flights_of(path), bytes(range(1, 33))
def is_held():
    try:
        flights.claim(key, 0.0).release()
    except WaitTimeoutError:
        return True
    return False
"""

WAITS = {
    "for ever": "claim = flights.claim(key)",
    "with a timeout": "claim = flights.claim(key, 60.0)",
    "in a loop": "import asyncio; claim = asyncio.run(flights.claim_async(key))",
}


@pytest.fixture(params=["bytes", "files"])
def kind(request):
    """Locks on bytes of one file, as on Linux, and the fallback: a file for each key."""
    return request.param


def script(code):
    """Return *code* after what all scripts of this module begin with."""
    return SETUP + textwrap.dedent(code)


def test_eight_processes_one_at_a_time(tmp_path, kind):
    """Of eight processes that make one thing at the same time never two are at it."""
    counter = tmp_path / "counter"
    counter.write_text("0")
    processes = [
        start(
            script("""
            import asyncio
            input()
            for round in range(50):
                timeout_s = [None, 60.0][round % 2]
                if round % 5:
                    claim = flights.claim(key, timeout_s)
                else:
                    claim = asyncio.run(flights.claim_async(key, timeout_s))
                os.mkdir(path + "/somebody is at it")
                with open(path + "/counter", "r+") as file:
                    count = int(file.read())
                    file.seek(0)
                    file.write(str(count + 1))
                os.rmdir(path + "/somebody is at it")
                claim.release()
            """),
            tmp_path,
            kind,
        )
        for _ in range(8)
    ]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        finish(process)

    assert "400" == counter.read_text()


@pytest.mark.parametrize("wait", WAITS)
def test_a_killed_owner_lets_the_next_one_at_once(tmp_path, kind, wait):
    """The moment the owner is killed the one that waits has the claim: the kernel sees to it."""
    owner = start(script('flights.claim(key); print("mine", flush=True); input()'), tmp_path, kind)

    assert "mine\n" == owner.stdout.readline()
    waiter = start(
        script(f"""
            {WAITS[wait]}
            print(time.monotonic())
            claim.release()
        """),
        tmp_path,
        kind,
    )
    await_lock_waiters(tmp_path, 1)
    killed_at = time.monotonic()
    owner.send_signal(signal.SIGKILL)
    took_s = float(finish(waiter)) - killed_at
    owner.communicate()

    assert took_s < 0.5


@pytest.mark.parametrize("wait", WAITS)
def test_a_killed_waiter_disturbs_nobody(tmp_path, kind, wait):
    """A process that is killed while it waits leaves the owner and the next one as they were."""
    run(
        script(f"""
        import signal
        from tests.lock_waiters import await_lock_waiters
        claim = flights.claim(key)
        pid = os.fork()
        if pid == 0:
            {WAITS[wait]}
            os._exit(0)
        await_lock_waiters(path, 1)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        other = Flights(path)
        try:
            other.claim(key, 0.0)
        except WaitTimeoutError:
            pass
        else:
            raise AssertionError
        claim.release()
        other.claim(key, 0.0).release()
        """),
        tmp_path,
        kind,
    )


def test_fork_while_a_thread_has_a_claim(tmp_path, kind):
    """The child neither waits for a thread that it has not, nor keeps its lock from others."""
    run(
        script("""
        import threading
        claimed, over = threading.Event(), threading.Event()
        def make():
            claim = flights.claim(key)
            claim.enter()
            claimed.set()
            over.wait()
            claim.release()
        thread = threading.Thread(target=make)
        thread.start()
        claimed.wait()
        reading, writing = os.pipe()
        answers, answer = os.pipe()
        pid = os.fork()
        if pid == 0:
            assert flights._flying == {} and not locks._open_locks
            assert is_held()  # by the parent
            os.write(answer, b"!")
            os.read(reading, 1)  # the parent has released it, and this child lives
            claim = flights.claim(key, 60.0)
            assert isinstance(claim, Claim)
            claim.release()
            os._exit(0)
        os.read(answers, 1)
        over.set()
        thread.join()
        assert not is_held()
        os.write(writing, b"!")
        assert os.waitpid(pid, 0)[1] == 0
        """),
        tmp_path,
        kind,
    )


def test_a_child_does_not_outlive_its_parent_with_the_lock(tmp_path, kind):
    """When the owner is killed its lock is free, although a child that it forked lives on."""
    owner = start(
        script("""
        claim = flights.claim(key)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(writing)
            claim.release()  # not the child's
            assert is_held()
            print("forked", flush=True)
            sys.stdin.read()
            os._exit(0)
        os.read(reading, 1)
        """),
        tmp_path,
        kind,
    )

    assert "forked\n" == owner.stdout.readline()
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    run(script("assert not is_held()"), tmp_path, kind)
    owner.communicate()


def test_a_child_forked_inside_a_claim(tmp_path, kind):
    """A child of the thread that makes a thing goes ahead without waiting, and releases nothing."""
    run(
        script("""
        import threading
        claim = flights.claim(key)
        claim.enter()
        held, forked = threading.Event(), threading.Event()
        def wait():
            with claim.outcome._over._cond:  # as every waiter has it for a moment
                held.set()
                forked.wait()
        thread = threading.Thread(target=wait)
        thread.start()
        held.wait()
        pid = os.fork()
        if pid == 0:
            assert flights.claim(key) is None
            claim.release(Landed(1, stored=True))
            assert is_held()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        forked.set()
        thread.join()
        assert not claim.outcome.over
        other = Flights(path)
        try:
            other.claim(key, 0.0)
        except WaitTimeoutError:
            claim.release()
        assert not is_held()
        """),
        tmp_path,
        kind,
    )


def test_forks_at_any_moment_keep_no_lock(tmp_path, kind):
    """Children forked while threads claim, wait and give up hold nothing, whenever it was."""
    run(
        script("""
        import threading
        stop = threading.Event()
        def churn(flights, timeout_s):
            while not stop.is_set():
                try:
                    claim = flights.claim(key, timeout_s)
                except WaitTimeoutError:
                    continue
                if isinstance(claim, Claim):
                    claim.release()
        sys.setswitchinterval(1e-5)
        threads = [
            threading.Thread(target=churn, args=(which, timeout_s))
            for which in (flights, Flights(path))
            for timeout_s in (None, 0.0, 0.0005)
        ]
        for thread in threads:
            thread.start()
        reading, writing = os.pipe()
        children = []
        for _ in range(40):
            pid = os.fork()
            if pid == 0:
                os.close(writing)
                links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
                names = [os.readlink(link) for link in links if os.path.lexists(link)]
                bad = [name for name in names if "flights" in name]
                claim = flights.claim(key)
                claim.release()
                os.read(reading, 1)
                os._exit(len(bad))
            children.append(pid)
        stop.set()
        for thread in threads:
            thread.join()
        for thread in threading.enumerate():
            if thread.name == "objcache-flight":
                thread.join()
        flights.claim(key, 60.0).release()
        os.close(writing)
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 40
        assert not is_held() and not locks._open_locks
        """),
        tmp_path,
        kind,
    )


def test_the_event_loop_goes_on_while_another_process_makes_it(tmp_path, kind):
    """A task that waits for another process lets the other tasks of its loop run."""
    owner = start(
        script('claim = flights.claim(key); print("mine", flush=True); input(); claim.release()'),
        tmp_path,
        kind,
    )

    assert "mine\n" == owner.stdout.readline()
    waiter = start(
        script("""
        import asyncio
        async def story():
            task = asyncio.create_task(flights.claim_async(key))
            for _ in range(1000):
                await asyncio.sleep(0)
            assert not task.done()
            print("running", flush=True)
            (await task).release()
        asyncio.run(story())
        """),
        tmp_path,
        kind,
    )

    assert "running\n" == waiter.stdout.readline()
    owner.communicate("\n")
    finish(waiter)


def test_a_read_only_directory(tmp_path, kind):
    """A user who may not write to the directory goes ahead, one flight in each process."""
    run(
        script("""
        flights.claim(key).release()  # all that it imports is there
        os.remove(path + "/flights.lock") if sys.argv[2] == "bytes" else os.rmdir(path + "/flights")
        os.chmod(path, 0o555)
        if os.getuid() == 0:
            os.setuid(65534)
        claim = flights.claim(key)
        assert isinstance(claim, Claim) and claim.lock is None
        assert is_held()
        claim.release()
        """),
        tmp_path,
        kind,
    )
    tmp_path.chmod(0o700)
