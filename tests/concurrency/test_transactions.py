"""Transactions: all or nothing, one writer at a time, each in its own thread."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from objcache.clock import ManualClock
from objcache.engine._files import FileLock
from objcache.errors import (
    ReadOnlyStoreError,
    StoreBusyError,
    StoreClosedError,
    TransactionClosedError,
    WrongThreadError,
)
from tests.scripts import run


def test_commit_and_rollback(store):
    """A block that ends commits; one that raises leaves nothing behind."""
    with store.transaction() as transaction:
        transaction["a"] = 1
    with pytest.raises(ZeroDivisionError), store.transaction() as transaction:
        transaction["a"] = 2
        store["b"] = 2
        store.namespace("n")["c"] = 2
        raise ZeroDivisionError

    assert {"a": 1} == store
    assert 0 == len(store.namespace("n"))


def test_the_store_joins_the_transaction_of_its_thread(store, open_store):
    """Whatever object the thread writes through, it is part of its open transaction."""
    same_file = open_store()
    with pytest.raises(ZeroDivisionError), store.transaction():
        same_file["a"] = 1

        assert 1 == store["a"] == same_file["a"]
        assert 1 == len(store)
        raise ZeroDivisionError
    assert "a" not in store


def test_nested_transactions_roll_back_alone(store):
    """An inner block that raises loses its own changes only; the outer one decides for all."""
    with store.transaction() as outer:
        outer["a"] = 1
        with pytest.raises(ZeroDivisionError), outer.transaction() as inner:
            inner["a"] = 2
            with store.transaction() as innermost:
                innermost["b"] = 3
            assert 3 == inner["b"]
            raise ZeroDivisionError

        assert {"a": 1} == outer
        with store.transaction() as inner:
            inner["c"] = 4
    assert {"a": 1, "c": 4} == store
    with pytest.raises(ZeroDivisionError), store.transaction():
        with store.transaction() as inner:
            inner["d"] = 5
        raise ZeroDivisionError
    assert "d" not in store


def test_others_see_nothing_before_the_commit(store):
    """Another thread reads the store as it was, without waiting, until the block ends."""
    store["a"] = 1
    with ThreadPoolExecutor(1) as pool, store.transaction() as transaction:
        transaction["a"] = 2
        transaction["b"] = 2

        assert (1, None, 1) == pool.submit(
            lambda: (store["a"], store.get("b"), len(store))
        ).result()
    assert 2 == store["a"]


def test_transaction_belongs_to_its_thread(store):
    """Another thread that uses the transaction is refused, and the owner goes on."""
    with ThreadPoolExecutor(1) as pool, store.transaction() as transaction:
        transaction["a"] = 1
        for use in (
            lambda: transaction["a"],
            lambda: transaction.__setitem__("a", 2),
            lambda: list(transaction),
            lambda: transaction.transaction().__enter__(),
        ):
            with pytest.raises(WrongThreadError, match="belongs to the thread"):
                pool.submit(use).result()
        transaction["b"] = 2
    assert {"a": 1, "b": 2} == store


def test_ended_transaction_is_refused(store):
    """A transaction that has ended is an error, never a write of its own."""
    with store.transaction() as transaction:
        space = transaction.namespace("n")
    for use in (
        lambda: transaction["a"],
        lambda: transaction.__setitem__("a", 2),
        lambda: space.__setitem__("a", 2),
        lambda: transaction.pop("a", None),
        lambda: len(transaction),
    ):
        with pytest.raises(TransactionClosedError, match="was committed"):
            use()
    assert 0 == len(store)


def test_writers_wait_for_each_other(store):
    """Threads that count up together lose nothing, by themselves and in transactions."""
    store["n"] = 0
    start = threading.Barrier(4)

    def count(_):
        start.wait()
        for step in range(100):
            if step % 2:
                store.update_with("n", lambda n: n + 1)
            else:
                with store.transaction() as transaction:
                    transaction["n"] += 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))

    assert 400 == store["n"]


def test_timeout_within_the_process(store, open_store):
    """A write that waits longer than `timeout` for another thread is a StoreBusyError."""
    hasty = open_store(timeout=0.01)
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with store.transaction() as transaction:
            transaction["held"] = 1
            entered.set()
            leave.wait()

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        entered.wait()
        for write in (
            lambda: hasty.__setitem__("a", 1),
            lambda: hasty.set_many({"a": 1}),
            lambda: hasty.update_with("a", lambda a: a, default=1),
        ):
            with pytest.raises(StoreBusyError, match=r"another thread for 0\.01 s"):
                write()
        with pytest.raises(TimeoutError), hasty.transaction():
            pass
        leave.set()
        held.result()
    hasty["a"] = 1

    assert {"a": 1, "held": 1} == store


def test_closing_inside_a_transaction(store, open_store):
    """A store that is closed inside its transaction rolls it back; the next one can write."""
    with (
        pytest.raises(TransactionClosedError, match="its store was closed"),
        store.transaction() as transaction,
    ):
        transaction["a"] = 1
        store.close()
    again = open_store()
    again["b"] = 2

    assert {"b": 2} == again


def test_closing_one_of_two_inside_a_transaction(store, open_store):
    """The file stays open as long as one store uses it."""
    other = open_store()
    with store.transaction() as transaction:
        transaction["a"] = 1
        other.close()
    assert 1 == store["a"]
    with pytest.raises(StoreClosedError):
        other["a"]


def test_read_only(store, open_store):
    """A read-only store reads what others write, and refuses every write."""
    reader = open_store(readonly=True)
    store["a"] = 1

    assert 1 == reader["a"]
    for write in (
        lambda: reader.__setitem__("a", 2),
        lambda: reader.__delitem__("a"),
        lambda: reader.pop("a"),
        lambda: reader.clear(),
        lambda: reader.set_many({"a": 2}),
        lambda: reader.compact(),
        lambda: reader.namespace("n").__setitem__("a", 1),
        lambda: reader.transaction().__enter__(),
    ):
        with pytest.raises(ReadOnlyStoreError, match="opened read-only"):
            write()
    assert {"a": 1} == store


def test_generator_that_holds_a_transaction_is_ended(store):
    """A transaction abandoned in a generator is rolled back when the generator goes."""

    def holds():
        with store.transaction() as transaction:
            transaction["a"] = 1
            yield

    generator = holds()
    next(generator)
    generator.close()
    store["b"] = 2

    assert {"b": 2} == store


@pytest.mark.damages  # its class is gone with its program
def test_main_module_classes_round_trip(path):
    """Instances of classes defined in `__main__` come back in the next run of the program."""
    code = """
        class Point:
            def __init__(self, x): self.x = x
        with open_store() as store:
            if "point" in store:
                print(type(store["point"]) is Point, store["point"].x)
            else:
                store["point"] = Point(5)
    """

    assert "" == run(code, path)
    assert "True 5\n" == run(code, path)


def test_stores_open_and_close_while_others_write(open_store):
    """Threads may open, snapshot and close stores of one file while others hold transactions."""
    keeper = open_store()
    keeper["n"] = 0
    failures = []
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            with open_store() as store, store.snapshot() as snapshot:
                assert snapshot["n"] <= store["n"]

    def write():
        for _ in range(300):
            with keeper.transaction() as transaction:
                transaction["n"] += 1

    def guarded(function):
        try:
            function()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(churn,)) for _ in range(3)]
    writers = [threading.Thread(target=guarded, args=(write,)) for _ in range(2)]
    for thread in threads + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in threads:
        thread.join()

    assert [] == failures
    assert 600 == keeper["n"]


def test_closing_waits_for_a_transaction_that_opens_another_store(open_store, tmp_path):
    """A store that is closed in one thread, while its transaction opens another one, is no deadlock."""
    store = open_store()
    inside, closing = threading.Event(), threading.Event()

    def work():
        with store.transaction() as transaction:
            inside.set()
            closing.wait()
            with open_store(str(tmp_path / "other")) as other:
                other["a"] = 1
            transaction["a"] = 1

    def close():
        inside.wait()
        closing.set()
        store.close()

    threads = [threading.Thread(target=work), threading.Thread(target=close)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert not any(thread.is_alive() for thread in threads)
    assert {"a": 1} == open_store()


def test_timeout_covers_both_locks(store, open_store):
    """The wait for threads and the wait for processes share one timeout."""
    clock = ManualClock()
    other = FileLock(os.path.join(store.path, "writers.lock"), store.path, clock, 0o600)
    other.acquire(exclusive=True, timeout_s=None)
    store.close()
    hasty = open_store(timeout=2.0, clock=clock)
    before = clock.now()
    with pytest.raises(StoreBusyError, match="another process"):
        hasty["a"] = 1

    assert 1.9 < clock.now() - before <= 2.0
    other.close()
    hasty["a"] = 1
