"""Single flight within one process: threads, tasks, and what they leave behind.

A second `Flights` of the same directory stands for another process: it shares nothing but the
lock file, and the locks of two open files exclude each other wherever they are open.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import fcntl
import os
import pathlib
import stat
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from objcache import flights as package
from objcache.clock import ManualClock
from objcache.flights import Claim, Flights, Landed, WaitTimeoutError, flights_of
from objcache.flights import _claims as claims_module
from objcache.flights import _locks as locks_module
from tests.lock_waiters import await_lock_waiters
from tests.scripts import run

KEY = bytes(range(1, 33))
OTHER_KEY = bytes(range(101, 133))


@pytest.fixture(params=["bytes", "files"])
def kind(request, monkeypatch):
    """Locks on bytes of one file, as on Linux, and the fallback: a file for each key."""
    if request.param == "files":
        monkeypatch.setattr(locks_module, "_SET", -1)
    return request.param


@pytest.fixture
def here(tmp_path, kind):
    """The claims of this process."""
    return Flights(str(tmp_path))


@pytest.fixture
def elsewhere(tmp_path, kind):
    """The claims of another process, as it were."""
    return Flights(str(tmp_path))


def count_joins(flights):
    """Return a semaphore that is released each time somebody has seen who makes a thing."""
    joins = threading.Semaphore(0)
    join = flights._join

    def counted(key):
        found = join(key)
        joins.release()
        return found

    flights._join = counted
    return joins


def descriptors():
    """Return how many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


def flight_threads():
    """Return the threads that wait for locks."""
    return [thread for thread in threading.enumerate() if thread.name == "objcache-flight"]


def join_flight_threads():
    """Return once no thread waits for a lock."""
    for thread in flight_threads():
        thread.join()


# -- threads ---------------------------------------------------------------------------------


def test_one_of_many_threads_makes_it(here):
    """Of all threads that want a thing exactly one has the claim, the others get what it made."""
    joins, landed = count_joins(here), Landed("made", stored=True)

    def want():
        claim = here.claim(KEY)
        if isinstance(claim, Landed):
            return claim
        for _ in range(8):
            joins.acquire()
        claim.release(landed)
        return "claim"

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: want(), range(8)))

    assert 1 == got.count("claim")
    assert 7 == got.count(landed)
    assert ("made", True) == (landed.result, landed.stored)


def test_failure_wakes_everybody_and_exactly_one_tries_next(here):
    """Who has a claim and fails lets one of the waiting threads try, one at a time."""
    joins, tries, at_once = count_joins(here), [], threading.Lock()
    first = here.claim(KEY)
    joins.acquire()

    def want():
        claim = here.claim(KEY)
        if isinstance(claim, Landed):
            return claim.result

        assert at_once.acquire(blocking=False)
        for _ in range(6 - len(tries)):
            joins.acquire()  # the others wait again
        tries.append(claim)
        at_once.release()
        claim.release(Landed("third", stored=False) if len(tries) == 3 else None)
        return "tried"

    with ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(want) for _ in range(6)]
        for _ in waiting:
            joins.acquire()
        first.release()
        got = [one.result() for one in waiting]

    assert 3 == len(tries) == got.count("tried")
    assert 3 == got.count("third")


def test_recursion_goes_ahead_without_a_claim(here):
    """Who asks again for what it is making is told to go ahead; it never waits for itself."""
    claim = here.claim(KEY)
    claim.enter()

    assert here.claim(KEY) is None
    claim.release()
    again = here.claim(KEY)

    assert isinstance(again, Claim)
    again.release()


def test_a_claim_inside_the_claim_on_another_key(here, elsewhere):
    """A thread that makes one thing may make another for it; each is locked for itself."""
    with_outer, outer = here.claim(KEY), elsewhere
    with_outer.enter()
    inner = here.claim(OTHER_KEY)
    inner.enter()

    assert here.claim(KEY) is None
    assert here.claim(OTHER_KEY) is None
    with pytest.raises(WaitTimeoutError):
        outer.claim(OTHER_KEY, 0.0)
    inner.release()
    outer.claim(OTHER_KEY, 0.0).release()

    assert here.claim(KEY) is None
    with_outer.release()


def test_release_is_idempotent_and_the_first_counts(here):
    """A second `release` changes nothing, not even for a claim that was made since."""
    first = here.claim(KEY)
    first.enter()
    first.release(Landed(1, stored=True))
    second = here.claim(KEY)
    first.release(Landed(2, stored=True))

    assert 1 == first.outcome.landed.result
    assert not second.outcome.over
    with pytest.raises(WaitTimeoutError):
        here.claim(KEY, 0.0)
    second.release()


def test_timeout_of_a_thread_that_waits_for_a_thread(here):
    """Who will not wait so long is told; the claim of the other is not touched by it."""
    claim = here.claim(KEY)
    with ThreadPoolExecutor(1) as pool:
        for timeout_s in (0.0, 0.01, -1.0):
            with pytest.raises(WaitTimeoutError):
                pool.submit(here.claim, KEY, timeout_s).result()
        joins = count_joins(here)
        waiting = pool.submit(here.claim, KEY, 60.0)
        joins.acquire()
        claim.release(Landed("made", stored=True))

    assert "made" == waiting.result().result


def test_timeout_of_a_thread_that_waits_for_a_process(here, elsewhere):
    """The same between processes; then the next one gets the claim as if nobody had given up."""
    claim = elsewhere.claim(KEY)
    for timeout_s in (0.0, 0.01, -1.0):
        with pytest.raises(WaitTimeoutError):
            here.claim(KEY, timeout_s)
    claim.release()
    join_flight_threads()
    again = here.claim(KEY, 0.0)

    assert isinstance(again, Claim)
    again.release()


def test_timeout_counts_from_the_first_wait(here, elsewhere, monkeypatch):
    """Waiting for a thread and then for a process does not take the timeout twice."""
    clock, joins = ManualClock(), count_joins(here)
    monkeypatch.setattr(claims_module, "SYSTEM_CLOCK", clock)
    process = elsewhere.claim(KEY)
    thread = here._flying[KEY] = Claim(here, KEY)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(here.claim, KEY, 50.0)
        joins.acquire()
        clock.advance(50.0)
        thread.release()
        with pytest.raises(WaitTimeoutError):
            waiting.result()
    process.release()

    assert [] == flight_threads()


def test_a_thread_gets_the_lock_in_time(here, elsewhere, tmp_path):
    """A wait with a timeout ends at once when the lock is free."""
    claim = elsewhere.claim(KEY)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(here.claim, KEY, 60.0)
        await_lock_waiters(tmp_path, 1)
        claim.release()
        got = waiting.result()
    with pytest.raises(WaitTimeoutError):
        elsewhere.claim(KEY, 0.0)
    got.release()
    elsewhere.claim(KEY, 0.0).release()


# -- what is left behind -----------------------------------------------------------------------


def test_however_many_give_up_one_thread_waits(here, elsewhere):
    """Who gives up leaves its thread to the next one who wants the same; none pile up."""
    claim = elsewhere.claim(KEY)
    for _ in range(20):
        with pytest.raises(WaitTimeoutError):
            here.claim(KEY, 0.001)

    assert 1 == len(flight_threads())
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(here.claim, KEY, 60.0)
        claim.release()
        waiting.result().release()
    join_flight_threads()

    assert {} == here._line._given_up
    elsewhere.claim(KEY, 0.0).release()


def test_a_hundred_claims_leave_nothing_open(here, elsewhere):
    """Neither claims nor timeouts leave descriptors or threads behind."""
    threads, before = threading.active_count(), descriptors()
    for number in range(100):
        key = bytes([number]) * 16
        claim = elsewhere.claim(key)
        for timeout_s in (0.0, 0.001):
            with pytest.raises(WaitTimeoutError):
                here.claim(key, timeout_s)
        claim.release()
        join_flight_threads()
        here.claim(key).release()

    assert before == descriptors()
    assert threads == threading.active_count()
    assert {} == here._flying == elsewhere._flying == here._line._given_up
    assert set() == locks_module._open_locks


def test_files_of_the_fallback_are_removed(tmp_path, monkeypatch):
    """Where each key has a file, its owner removes it."""
    monkeypatch.setattr(locks_module, "_SET", -1)
    flights = Flights(str(tmp_path))
    claim = flights.claim(KEY)

    assert [KEY[:16].hex()] == os.listdir(tmp_path / "flights")
    claim.release()

    assert [] == os.listdir(tmp_path / "flights")


@pytest.mark.parametrize(("mode", "folder"), [(0o600, 0o700), (0o660, 0o770)])
def test_modes_of_lock_files(tmp_path, kind, mode, folder):
    """New files have the mode that was asked for; who may read them may enter their directory."""
    before = os.umask(0)
    try:
        claim = Flights(str(tmp_path), mode=mode).claim(KEY)
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob("f*/*")}
    modes |= {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob("f*")}
    claim.release()

    if kind == "bytes":
        assert {"flights.lock": mode} == modes
    else:
        assert {"flights": folder, KEY[:16].hex(): mode} == modes


def test_nobody_polls():
    """No module of the package sleeps, or can be woken by time other than a timeout of its own."""
    for file in pathlib.Path(package.__file__).parent.glob("*.py"):
        assert "sleep" not in file.read_text(), file


# -- tasks -----------------------------------------------------------------------------------


def test_tasks_join_one_flight(here):
    """Of all tasks that want a thing one has the claim, the others are awakened with the result."""

    async def want():
        claim = await here.claim_async(KEY)
        if isinstance(claim, Landed):
            return claim.result
        claim.enter()

        assert await here.claim_async(KEY) is None
        for _ in range(5):
            await asyncio.sleep(0)
        claim.release(Landed("made", stored=True))
        return "claim"

    async def all_of_them():
        return await asyncio.gather(*(want() for _ in range(5)))

    assert ["claim", *["made"] * 4] == asyncio.run(all_of_them())


def test_a_task_that_is_started_inside_does_not_wait_for_it(here):
    """A task started by the one that has the claim goes ahead: its starter may wait for it."""

    async def want():
        claim = await here.claim_async(KEY)
        claim.enter()
        inner = await asyncio.create_task(here.claim_async(KEY))
        claim.release()
        return inner

    assert asyncio.run(want()) is None


def test_a_cancelled_waiter_cancels_itself_only(here):
    """Whoever stops waiting, the owner and the other waiters are not disturbed."""

    async def story():
        claim = await here.claim_async(KEY)
        waiters = [asyncio.create_task(here.claim_async(KEY)) for _ in range(3)]
        await asyncio.sleep(0)
        waiters[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiters[0]

        assert not claim.outcome.over
        claim.release(Landed("made", stored=True))
        return [(await waiter).result for waiter in waiters[1:]]

    assert ["made", "made"] == asyncio.run(story())


def test_a_cancelled_owner_wakes_the_others(here):
    """A task that is cancelled while it makes a thing lets one of the others make it."""

    async def make(*, forever):
        claim = await here.claim_async(KEY)
        if isinstance(claim, Landed):
            return claim.result
        claim.enter()
        landed = None
        try:
            await (asyncio.Future() if forever else asyncio.sleep(0))
            landed = Landed("made", stored=True)
        finally:
            claim.release(landed)
        return "claim"

    async def story():
        owner = asyncio.create_task(make(forever=True))
        await asyncio.sleep(0)
        waiters = [asyncio.create_task(make(forever=False)) for _ in range(3)]
        await asyncio.sleep(0)
        owner.cancel()
        got = await asyncio.gather(owner, *waiters, return_exceptions=True)

        assert isinstance(got[0], asyncio.CancelledError)
        return sorted(got[1:])

    assert ["claim", "made", "made"] == asyncio.run(story())


def test_tasks_and_threads_wait_for_each_other(here):
    """A thread waits for a task, and a task for a thread, as for their own kind."""
    joins = count_joins(here)

    async def story(pool):
        loop = asyncio.get_running_loop()
        claim = await here.claim_async(KEY)
        joins.acquire()
        thread = loop.run_in_executor(pool, here.claim, KEY)
        await loop.run_in_executor(pool, joins.acquire)
        claim.release(Landed("by the task", stored=True))
        first = await thread
        claim = await loop.run_in_executor(pool, here.claim, KEY)
        task = asyncio.create_task(here.claim_async(KEY))
        await asyncio.sleep(0)
        await loop.run_in_executor(pool, claim.release, Landed("by the thread", stored=True))
        return first.result, (await task).result

    with ThreadPoolExecutor(2) as pool:
        assert ("by the task", "by the thread") == asyncio.run(story(pool))


@pytest.mark.parametrize("timeout_s", [None, 60.0])
def test_the_event_loop_goes_on_while_a_task_waits_for_a_process(here, elsewhere, timeout_s):
    """The loop is free while a task waits: here it is the loop that ends what is waited for."""

    async def story():
        claim = elsewhere.claim(KEY)
        task = asyncio.create_task(here.claim_async(KEY, timeout_s))
        for _ in range(100):
            await asyncio.sleep(0)

        assert not task.done()
        claim.release()
        got = await task
        with pytest.raises(WaitTimeoutError):
            elsewhere.claim(KEY, 0.0)
        got.release()

    before = descriptors()
    asyncio.run(story())
    join_flight_threads()

    assert before == descriptors()


def test_timeout_of_a_task(here, elsewhere):
    """A task that will not wait so long is told, whoever it waits for."""

    async def story():
        claim = elsewhere.claim(KEY)
        mine = await here.claim_async(OTHER_KEY)
        for timeout_s in (0.0, 0.01):
            for key in (KEY, OTHER_KEY):
                with pytest.raises(WaitTimeoutError):
                    await here.claim_async(key, timeout_s)

        assert not mine.outcome.over
        mine.release()
        claim.release()

    before = descriptors()
    asyncio.run(story())
    join_flight_threads()

    assert before == descriptors()
    elsewhere.claim(KEY, 0.0).release()


def test_a_task_cancelled_while_it_waits_for_a_process(here, elsewhere, tmp_path):
    """What a cancelled task has waited for is released as soon as it is got, or taken over."""

    async def story():
        claim = elsewhere.claim(KEY)
        task = asyncio.create_task(here.claim_async(KEY))
        waiter = asyncio.create_task(here.claim_async(KEY))
        await asyncio.sleep(0)
        await_lock_waiters(tmp_path, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        claim.release()
        (await waiter).release()

    asyncio.run(story())
    join_flight_threads()
    elsewhere.claim(KEY, 0.0).release()

    assert {} == here._flying


def test_a_lock_got_for_a_task_that_was_cancelled_at_that_moment(here, elsewhere):
    """A task that is cancelled after its thread got the lock, and before it knows, releases it."""

    async def story():
        claim = elsewhere.claim(KEY)
        task = asyncio.create_task(here.claim_async(KEY))
        await asyncio.sleep(0)
        claim.release()
        join_flight_threads()  # the loop stands still: the task is told, and does not know it
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        elsewhere.claim(KEY, 0.0).release()

    asyncio.run(story())


def test_what_has_come_before_it_is_waited_for(here):
    """A thread or task that comes too late to wait is given what was made."""
    claim = here.claim(KEY)
    claim.release(Landed("made", stored=True))
    here._flying[KEY] = claim  # seen by the others just before it was taken away

    assert "made" == here.claim(KEY).result
    assert "made" == asyncio.run(here.claim_async(KEY, 60.0)).result


def test_a_loop_that_is_closed_disturbs_nobody(here):
    """Who makes a thing that a task of a closed loop has waited for is not told of it."""
    claim = here.claim(KEY)
    loop = asyncio.new_event_loop()
    waiting = here.claim_async(KEY)
    task = loop.create_task(waiting)
    loop.call_soon(loop.stop)
    loop.run_forever()
    task._log_destroy_pending = False
    loop.close()
    claim.release(Landed("made", stored=True))
    waiting.close()

    assert {} == here._flying


def test_a_loop_that_is_closed_keeps_no_lock(here, elsewhere):
    """A lock that is got for a loop that was closed meanwhile is released."""
    claim = elsewhere.claim(KEY)
    loop = asyncio.new_event_loop()
    waiting = here.claim_async(KEY)
    task = loop.create_task(waiting)
    loop.call_soon(loop.stop)
    loop.run_forever()
    task._log_destroy_pending = False
    loop.close()
    claim.release()
    join_flight_threads()
    elsewhere.claim(KEY, 0.0).release()
    waiting.close()

    assert {} == here._flying


def test_a_coroutine_that_is_dropped_releases_its_claim(here):
    """A coroutine closed in another context than its own, by its loop's end, wakes the others."""

    async def make():
        claim = await here.claim_async(KEY)
        claim.enter()
        try:
            await asyncio.Future(loop=loop)
        finally:
            claim.release()

    loop = asyncio.new_event_loop()
    making = make()
    contextvars.copy_context().run(making.send, None)
    making.close()
    loop.close()

    assert {} == here._flying
    here.claim(KEY, 0.0).release()


# -- no locks to be had ----------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EINVAL, errno.ENOSYS])
def test_a_file_system_without_locks(here, kind, monkeypatch, number):
    """Where files cannot be locked there is one flight in each process, and no error."""

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    monkeypatch.setattr(fcntl, "flock", refuse)
    before = descriptors()
    for timeout_s in (None, 0.0, 60.0):
        claim = here.claim(KEY, timeout_s)

        assert isinstance(claim, Claim)
        with pytest.raises(WaitTimeoutError):
            here.claim(KEY, 0.0)
        claim.release()
    claim = asyncio.run(here.claim_async(KEY))

    assert isinstance(claim, Claim)
    claim.release()
    assert before == descriptors()


@pytest.mark.parametrize("kind_of_wait", ["for ever", "with a timeout", "in a loop"])
def test_locks_that_fail_while_waiting(here, elsewhere, kind, monkeypatch, kind_of_wait):
    """A wait that fails ends; the caller goes ahead, and nothing is left open."""
    claim = elsewhere.claim(KEY)
    before = descriptors()
    lock, flock = fcntl.fcntl, fcntl.flock

    def refuse_fcntl(descriptor, command, what):
        if command == locks_module._SET_WAITING:
            raise OSError(errno.ENOLCK, "no locks")
        return lock(descriptor, command, what)

    def refuse_flock(descriptor, operation):
        if operation == fcntl.LOCK_EX:
            raise OSError(errno.ENOLCK, "no locks")
        return flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "fcntl", refuse_fcntl)
    monkeypatch.setattr(fcntl, "flock", refuse_flock)
    if kind_of_wait == "in a loop":
        got = asyncio.run(here.claim_async(KEY))
    else:
        got = here.claim(KEY, None if kind_of_wait == "for ever" else 60.0)

    assert isinstance(got, Claim)
    got.release()
    assert before == descriptors()
    with pytest.raises(WaitTimeoutError):
        here.claim(KEY, 0.0)
    claim.release()


@pytest.mark.parametrize("obstacle", ["no directory", "a link", "a file", "no permission"])
def test_a_directory_without_a_lock_file(tmp_path, kind, monkeypatch, obstacle):
    """Where there can be no lock file the caller goes ahead; no link is followed."""
    directory = tmp_path / "store"
    if obstacle == "a file":
        directory.write_text("")
    elif obstacle != "no directory":
        directory.mkdir()
    if obstacle == "a link":
        (tmp_path / "target").mkdir()
        (directory / "flights.lock").symlink_to(tmp_path / "target" / "made")
        (directory / "flights").symlink_to(tmp_path / "nowhere")
    if obstacle == "no permission":

        def refuse(*_, **__):
            raise PermissionError(errno.EACCES, "read-only")

        monkeypatch.setattr(os, "open", refuse)
    flights = Flights(str(directory))
    claim = flights.claim(KEY)
    with pytest.raises(WaitTimeoutError):
        flights.claim(KEY, 0.0)
    claim.release()
    monkeypatch.undo()

    assert isinstance(claim, Claim)
    assert claim.lock is None
    assert directory.exists() == (obstacle != "no directory")
    assert not (tmp_path / "target" / "made").exists()


@pytest.mark.parametrize("timeout_s", [60.0, None])
def test_no_more_threads(here, elsewhere, monkeypatch, timeout_s):
    """Where no thread can be started for the wait, the caller goes ahead."""
    claim = elsewhere.claim(KEY)
    before = descriptors()

    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    got = asyncio.run(here.claim_async(KEY, timeout_s)) if timeout_s is None else here.claim(KEY, 9)

    assert isinstance(got, Claim)
    assert got.lock is None
    got.release()
    assert before == descriptors()
    claim.release()


# -- places ----------------------------------------------------------------------------------


def test_keys_that_differ_little_are_different_things(here, elsewhere):
    """Keys that differ in one of the first 62 bits are locked apart, the lowest included."""
    claim = here.claim(bytes(16))
    for bit in range(62):
        elsewhere.claim((1 << (127 - bit)).to_bytes(16), 0.0).release()
    claim.release()


def test_keys_of_one_place_only_wait_for_each_other(tmp_path):
    """Different keys at one offset exclude each other between processes, and never in a knot."""
    here, elsewhere = Flights(str(tmp_path)), Flights(str(tmp_path))
    first, second = bytes(8) + b"first---", bytes(8) + b"second--"
    claim = here.claim(first)
    with pytest.raises(WaitTimeoutError):
        elsewhere.claim(second, 0.0)
    claim.enter()
    inner = here.claim(second)

    assert isinstance(inner, Claim)
    inner.release()
    claim.release()
    got = elsewhere.claim(second, 0.0)

    assert isinstance(got, Claim)
    got.release()


def test_one_table_for_each_directory(tmp_path):
    """All users of a directory share its claims, by whatever path; None is shared as well."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    assert flights_of(str(tmp_path / "real")) is flights_of(str(tmp_path / "link"))
    assert flights_of(str(tmp_path / "real")) is not flights_of(str(tmp_path))
    assert flights_of(None) is flights_of(None)
    claim = flights_of(None).claim(KEY)

    assert claim.lock is None
    claim.release()


# -- interrupts ------------------------------------------------------------------------------


@pytest.mark.parametrize("wait", ["for ever", "with a timeout", "for a thread"])
def test_an_interrupt_while_waiting_leaves_nothing_locked(tmp_path, kind, wait):
    """Ctrl-C ends any wait; what was waited for is free for others afterwards, in every process."""
    output = run(
        """
        import signal, threading
        import objcache.flights._locks as locks
        from objcache.flights import Flights
        from tests.lock_waiters import await_lock_waiters
        kind, wait = sys.argv[2:]
        if kind == "files":
            locks._SET = -1
        here, elsewhere, key = Flights(path), Flights(path), bytes(range(1, 33))
        claim = (here if wait == "for a thread" else elsewhere).claim(key)

        def interrupt():
            if wait == "for a thread":
                while not claim.outcome._over._cond._waiters:
                    os.sched_yield()
            else:
                await_lock_waiters(path, 1)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            here.claim(key, 60.0 if wait == "with a timeout" else None)
        except KeyboardInterrupt:
            print("interrupted")
        thread.join()
        claim.release()
        for thread in threading.enumerate():
            if thread.name == "objcache-flight":
                thread.join()
        for flights in (here, elsewhere, here):
            flights.claim(key, 0.0).release()
        assert not locks._open_locks and not here._flying
        """,
        tmp_path,
        kind,
        wait,
    )

    assert "interrupted\n" == output
