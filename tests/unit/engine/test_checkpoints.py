"""`durability="checkpoint"`: commits without a flush, checkpoints behind them, recovery at open."""

from __future__ import annotations

import os
import shutil
import textwrap
import threading

import lmdb
import pytest

from objcache import Store
from objcache.engine import (
    FILE_NAME,
    _agreement,
    _boot,
    _checkpoint_file,
    _checkpoints,
    _recovery,
)
from objcache.errors import (
    CorruptStoreError,
    PoisonedStoreError,
    StoreBusyError,
    StoreClosedError,
    StoreConflictError,
    StoreError,
)
from tests.conftest import SECRET
from tests.scripts import finish, run, start

NEVER = 3600.0


@pytest.fixture
def store(open_store, boot):
    """A store that makes a checkpoint only when it is told to."""
    return open_store(durability="checkpoint", checkpoint_interval=NEVER)


def image(store, path):
    """Return the path of a copy of the store's files as they are in this moment, without locks."""
    os.makedirs(path)
    for name in (FILE_NAME, "checkpoint"):
        source = os.path.join(store.path, name)
        if os.path.exists(source):
            shutil.copy(source, path)
    return path


def opened(path, **options):
    """Open the store at *path*."""
    options.setdefault("durability", "checkpoint")
    return Store(path, secret=SECRET, **options)


# -- promises --------------------------------------------------------------------------------


def test_it_is_the_default(tmp_path):
    """Who says nothing gets it."""
    with Store(tmp_path / "store", secret=SECRET) as store:
        assert "checkpoint" == store.durability


def test_a_power_cut_leaves_the_last_checkpoint(store, boot, tmp_path, caplog):
    """What was committed after it is lost, told with its transactions, and nothing else."""
    store["kept"] = 1
    store.sync()
    durable = store.durable_up_to
    for number in range(20):
        store["lost", number] = "x" * 100
    last = store.stats().last_transaction_id
    copy = image(store, tmp_path / "copy")
    boot()
    with opened(copy) as found:
        assert {"kept": 1} == dict(found)
        assert found.check().ok
        assert (durable, last) == found.stats().restored
        found["new"] = 2
    with opened(copy) as found:
        assert {"kept": 1, "new": 2} == dict(found)
        assert None is found.stats().restored
    assert f"put back to its checkpoint at transaction {durable}" in caplog.text
    assert f"up to {last} at least" in caplog.text


def test_a_killed_process_loses_nothing(store, tmp_path):
    """In the same boot nothing is put back."""
    store.sync()
    store["after"] = 1
    with opened(image(store, tmp_path / "copy")) as found:
        assert {"after": 1} == dict(found)


def test_recovery_twice_is_recovery_once(store, boot, tmp_path):
    """A crash in the middle of it, or right after it, changes nothing."""
    store["kept"] = 1
    store.sync()
    store["lost"] = 1
    copy = image(store, tmp_path / "copy")
    boot()
    for _ in range(3):
        with opened(copy) as found:
            assert {"kept": 1} == dict(found)
        boot()


def test_a_clean_close_needs_no_recovery(store, boot, caplog):
    """All that was committed is there after the machine was switched off in order."""
    store["a"] = 1
    store.close()
    boot()
    with opened(store.path) as found:
        assert {"a": 1} == dict(found)
        assert None is found.stats().restored
    assert not caplog.records


def test_nobody_recovers_what_others_use(store, boot):
    """A second opener leaves the file alone, whatever the boot says."""
    store.sync()
    store["after"] = 1
    boot()
    found = run(
        "store = open_store(durability='checkpoint', readonly=True)\nprint(dict(store))\nstore.close()",
        store.path,
    )

    assert "{'after': 1}\n" == found


def test_durable_up_to(store):
    """The transaction that a power cut would leave: none that is not flushed."""
    store.sync()
    before = store.durable_up_to
    store["a"] = 1
    assert before == store.durable_up_to < store.stats().last_transaction_id
    assert not store.wait_durable(timeout=0.01)
    store.sync()
    assert store.durable_up_to == store.stats().last_transaction_id
    assert store.wait_durable()


def test_a_checkpoint_comes_by_itself(open_store, boot):
    """Within the interval; `wait_durable` waits for it."""
    store = open_store(durability="checkpoint", checkpoint_interval=0.02)
    store["a"] = 1

    assert store.wait_durable(timeout=20)
    assert store.durable_up_to == store.stats().last_transaction_id


def test_a_thread_only_while_there_is_something_to_sync(open_store, boot):
    """It ends when nothing was written for an interval, and lets the pages go."""
    store = open_store(durability="checkpoint", checkpoint_interval=0.01)
    store["a"] = 1
    checkpoints = store._session.environment.durability.checkpoints
    thread = checkpoints._thread
    thread.join(20)

    assert not thread.is_alive()
    assert None is checkpoints.pin
    assert () == store.stats().readers
    store["b"] = 2
    assert checkpoints.pin is not None
    assert thread is not checkpoints._thread


def test_many_bytes_make_an_early_checkpoint(open_store, boot):
    """Neither the interval nor memory bounds what is not flushed, but bytes do: a part of the map."""
    options = {"durability": "checkpoint", "checkpoint_interval": NEVER}
    store = open_store(map_size_bytes=64 << 20, **options)
    store["first"] = 1
    first = store.durable_up_to
    for number in range(40):  # more than a 32nd, less than a 16th
        store[number] = b"x" * (1 << 16)
    settled = store._session.environment.durability.checkpoints._settled
    with settled:
        settled.wait_for(lambda: store.durable_up_to > first, timeout=30)

    assert first < store.durable_up_to


def test_writers_wait_when_there_is_too_much(open_store, boot, monkeypatch):
    """At twice that part of the map a writer makes the checkpoint itself."""
    monkeypatch.setattr(_checkpoints.Checkpoints, "_begin_thread", lambda _: None)
    options = {"durability": "checkpoint", "checkpoint_interval": NEVER}
    store = open_store(map_size_bytes=16 << 20, **options)
    store["first"] = 1
    first = store.durable_up_to
    for number in range(40):
        store[number] = b"x" * (1 << 16)

    assert first < store.durable_up_to


def test_writers_go_on_while_the_checkpoint_they_waited_for_is_flushed(
    open_store, boot, monkeypatch
):
    """The thread begins it; the writer waits for the beginning, not for the disk."""
    begins, flushed = threading.Event(), threading.Event()
    metas_of, note = _checkpoints.Checkpoints._metas_of, _checkpoints.Checkpoints._note
    writer = threading.get_ident()

    def begun(self, transaction_id):
        if threading.get_ident() != writer:
            begins.set()
        return metas_of(self, transaction_id)

    def slow_note(self, *arguments):
        assert threading.get_ident() == writer or flushed.wait(30)
        note(self, *arguments)

    monkeypatch.setattr(_checkpoints, "_PATIENCE_S", 30)
    options = {"durability": "checkpoint", "checkpoint_interval": NEVER}
    store = open_store(map_size_bytes=16 << 20, **options)
    store["first"] = 1
    checkpoints = store._session.environment.durability.checkpoints
    checkpoints._early_bytes = checkpoints._wait_bytes
    monkeypatch.setattr(_checkpoints.Checkpoints, "_metas_of", begun)
    monkeypatch.setattr(_checkpoints.Checkpoints, "_note", slow_note)
    first = store.durable_up_to
    number = 0
    while not begins.is_set():
        store[number] = b"x" * (1 << 16)
        number += 1
    store["while it is flushed"] = 1
    assert first == store.durable_up_to
    flushed.set()
    store.sync()

    assert first < store.durable_up_to


def test_sync_in_ones_own_transaction_is_refused(store):
    """It could not end; the transaction goes on."""
    with store.transaction() as transaction:
        transaction["a"] = 1
        with pytest.raises(StoreBusyError, match="this thread's own transaction"):
            store.sync()
    assert {"a": 1} == dict(store)


def test_closing_in_ones_own_transaction(store, boot):
    """The transaction is rolled back, what was committed before is synced."""
    store["before"] = 1
    with pytest.raises(Exception, match="closed"), store.transaction() as transaction:
        transaction["inside"] = 1
        store.close()
    boot()
    with opened(store.path) as found:
        assert {"before": 1} == dict(found)


# -- the pin ---------------------------------------------------------------------------------


def test_nothing_is_written_without_a_pin(store, boot, tmp_path):
    """Before the first commit there is a checkpoint of this boot, and its pages stay."""
    checkpoints = store._session.environment.durability.checkpoints
    store["a"] = 1
    record = _recovery.newest_record(store.path, None)

    assert record.is_of_this_boot
    assert checkpoints.pin.id() <= record.transaction_id
    for number in range(300):
        store["churn"] = bytes(number)
    copy = image(store, tmp_path / "copy")
    boot()
    with opened(copy) as found:
        assert found.check().ok
        assert "churn" not in found


def test_a_pin_that_was_dropped_is_made_anew(store, boot, tmp_path):
    """An idle process writes again: first a checkpoint, then the commit."""
    store["a"] = 1
    checkpoints = store._session.environment.durability.checkpoints
    checkpoints.make()
    assert checkpoints._end_thread()
    assert None is checkpoints.pin
    store["b"] = 2
    copy = image(store, tmp_path / "copy")
    boot()
    with opened(copy) as found:
        assert {"a": 1} == dict(found)


def test_fork_leaves_the_pin_to_the_parent(path):
    """A child neither ends it nor makes checkpoints of the parent's; both go on."""
    run(
        """
        store = open_store(durability="checkpoint", checkpoint_interval=3600.0)
        store["a"] = 1
        readers = store.stats().readers
        pid = os.fork()
        if pid == 0:
            store["child"] = 1
            store.sync()
            assert len(store.stats().readers) == 2, store.stats().readers
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert readers[0] in store.stats().readers
        store["parent"] = 1
        store.sync()
        assert dict(store) == {"a": 1, "child": 1, "parent": 1}
        store.close()
        """,
        path,
    )


def test_compact_begins_anew(store, boot, tmp_path):
    """The checkpoint of the old file is never put into the new one."""
    for number in range(50):
        store[number] = b"x" * 5000
    for number in range(40):
        del store[number]
    store.compact()
    copy = image(store, tmp_path / "after compact")
    store["later"] = 1
    later = image(store, tmp_path / "later")
    boot()
    for path in (copy, later):
        with opened(path) as found:
            assert set(range(40, 50)) == set(found)
            assert found.check().ok


def test_copies_need_no_recovery(store, boot, tmp_path):
    """`copy` gives a store that is whole, on whatever machine."""
    store["a"] = 1
    store.copy(tmp_path / "copy")
    boot()
    with opened(tmp_path / "copy") as found:
        assert {"a": 1} == dict(found)


# -- files that are not what they were -------------------------------------------------------


@pytest.mark.damages
def test_an_older_data_file_is_refused(store, boot, tmp_path):
    """A data file that is behind its own checkpoint cannot be right; nothing is changed."""
    store["a"] = 1
    store.sync()
    old = image(store, tmp_path / "old")
    store["b"] = 2
    store.sync()
    copy = image(store, tmp_path / "copy")
    with open(old / FILE_NAME, "rb") as older, open(copy / FILE_NAME, "r+b") as file:
        file.truncate(0)
        file.write(older.read())
    record = _recovery.newest_record(str(copy), 0o600)
    opened_file = _checkpoint_file.CheckpointFile(str(copy), 0o600)
    opened_file.write(record._replace(inode=os.stat(copy / FILE_NAME).st_ino))
    opened_file.close()
    before = (copy / FILE_NAME).read_bytes()
    boot()
    with pytest.raises(CorruptStoreError, match="the file is older than the checkpoint beside it"):
        opened(copy)
    assert before == (copy / FILE_NAME).read_bytes()


def test_a_data_file_from_a_backup(store, boot, tmp_path):
    """A whole older copy that was put in the place of the file opens as it is."""
    store["a"] = 1
    store.sync()
    old = image(store, tmp_path / "old")
    store["b"] = 2
    store.sync()
    copy = image(store, tmp_path / "copy")
    os.unlink(copy / FILE_NAME)
    shutil.copy(old / FILE_NAME, copy)
    boot()
    with opened(copy) as found:
        assert {"a": 1} == dict(found)
        assert found.check().ok


@pytest.mark.damages
def test_a_file_that_was_cut_off_is_refused(store, boot, tmp_path):
    """A file without pages that its checkpoint needs is left as it is."""
    for number in range(100):
        store[number] = b"x" * 3000
    store.sync()
    store["after"] = 1
    copy = image(store, tmp_path / "copy")
    os.truncate(copy / FILE_NAME, 1 << 14)
    boot()
    with pytest.raises(CorruptStoreError, match="it was cut off"):
        opened(copy)
    assert 1 << 14 == os.path.getsize(copy / FILE_NAME)


def test_torn_records(store, boot, tmp_path):
    """A slot that was torn leaves the other one; two torn slots are none."""
    store["a"] = 1
    store.sync()
    store["b"] = 2
    store.sync()
    newest = _recovery.newest_record(store.path, None)
    path = os.path.join(store.path, "checkpoint")
    with open(path, "rb") as file:
        content = bytearray(file.read())
    slot = newest.sequence % 2 * (1 << 14)
    content[slot + 700] ^= 1
    with open(path, "wb") as file:
        file.write(content)
    assert newest.sequence - 1 == _recovery.newest_record(store.path, None).sequence
    content[(1 << 14) - slot + 700] ^= 1
    with open(path, "wb") as file:
        file.write(content)
    assert None is _recovery.newest_record(store.path, None)


@pytest.mark.damages
def test_readers_without_permission_refuse_what_needs_recovery(store, boot, tmp_path, monkeypatch):
    """Who may not write cannot put the store back, and does not read what may be wrong."""
    store["a"] = 1
    store.sync()
    store["b"] = 2
    store["c"] = 2
    copy = image(store, tmp_path / "copy")
    boot()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(CorruptStoreError, match="open it once with the permission to write"):
        opened(copy, readonly=True)


# -- other durabilities ----------------------------------------------------------------------


def test_writers_agree_on_one(store, tmp_path):
    """Another process that asks for another durability is refused, a reader is not."""
    store["a"] = 1
    code = """
        from objcache import errors
        for durability in ("commit", "process"):
            try:
                open_store(durability=durability)
            except errors.StoreConflictError as error:
                print(error.args[1:])
        reader = open_store(durability="commit", readonly=True)
        print(dict(reader))
        reader.close()
    """
    lines = run(code, store.path).splitlines()

    assert [
        "('durability', 'checkpoint', 'commit')",
        "('durability', 'checkpoint', 'process')",
        "{'a': 1}",
    ] == lines
    with pytest.raises(StoreConflictError):
        opened(store.path, durability="commit")


def test_another_durability_afterwards(store, boot, tmp_path):
    """A store may be opened with another one when nobody writes; no old checkpoint comes back."""
    store["a"] = 1
    store.close()
    with opened(store.path, durability="commit") as other:
        other["b"] = 2
        copy = image(other, tmp_path / "copy")
    boot()
    for path in (copy, store.path):
        with opened(path) as found:
            assert {"a": 1, "b": 2} == dict(found)


def test_scratch_data_is_emptied_after_a_power_cut(open_store, boot, tmp_path, caplog):
    """A store of `durability="process"` that was not closed is found and emptied, with a warning."""
    store = open_store(durability="process")
    store["a"] = 1
    copy = image(store, tmp_path / "copy")
    boot()
    with opened(copy, durability="process") as found:
        assert {} == dict(found)
        assert (0, None) == found.stats().restored
        found["b"] = 2
    assert "was emptied" in caplog.text
    boot()
    with opened(copy, durability="process") as found:
        assert {"b": 2} == dict(found)


def test_scratch_data_that_was_closed_stays(open_store, boot):
    """A clean close keeps it over a boot."""
    store = open_store(durability="process")
    store["a"] = 1
    store.close()
    boot()
    with opened(store.path, durability="process") as found:
        assert {"a": 1} == dict(found)


def test_scratch_data_is_made_durable_by_a_checkpoint(open_store, boot, tmp_path):
    """Who opens it with checkpoints afterwards keeps what is there."""
    code = """
        from objcache.engine import _boot
        _boot.BOOT_ID_FILE = sys.argv[2]
        store = open_store()
        store["a"] = 1
        os._exit(0)
    """
    run(code, tmp_path / "store", _boot.BOOT_ID_FILE)
    store = open_store(durability="checkpoint")
    copy = image(store, tmp_path / "copy")
    boot()
    with opened(copy) as found:
        assert {"a": 1} == dict(found)


def test_without_a_name_of_the_boot(open_store, monkeypatch, tmp_path):
    """Where the system does not say, each commit is flushed, and there are no checkpoints."""
    monkeypatch.setattr(_boot, "BOOT_ID_FILE", str(tmp_path / "missing"))
    store = open_store(durability="checkpoint")
    store["a"] = 1
    flags = store._session.environment.handle.flags()

    assert (True, False) == (flags["sync"], flags["metasync"])
    assert not os.path.exists(os.path.join(store.path, "checkpoint"))
    store.sync()
    assert store.wait_durable()


# -- failures --------------------------------------------------------------------------------


def test_a_failed_flush_poisons_the_store(store, boot, tmp_path, monkeypatch):
    """Nothing is written any more, no checkpoint is noted; the next open is at the last one."""
    store["kept"] = 1
    store.sync()
    store["unsure"] = 1

    def fail(*_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(_checkpoints.Checkpoints, "_note", fail)
        with pytest.raises(PoisonedStoreError, match="Input/output error"):
            store.sync()
    for write in (lambda: store.update(a=1), store.sync, lambda: store.wait_durable(1)):
        with pytest.raises(PoisonedStoreError):
            write()
    assert 1 == store["unsure"]
    store.close()
    with opened(store.path) as found:
        assert {"kept": 1} == dict(found)
        found["again"] = 1
    with opened(store.path) as found:
        assert {"kept": 1, "again": 1} == dict(found)


def test_a_failed_flush_of_a_commit_poisons_the_store(open_store, monkeypatch):
    """With a flush for each commit, too: the kernel does not say twice what it lost."""
    store = open_store(durability="commit")
    store["a"] = 1
    error = store._session.environment.durability.failed(lmdb.Error("mdb_txn_commit: I/O error"))
    assert "I/O error" in str(error)
    with pytest.raises(PoisonedStoreError):
        store["b"] = 1
    with pytest.raises(PoisonedStoreError):
        store.sync()
    store.close()
    with opened(store.path, durability="commit") as found:
        found["b"] = 2
        assert {"a": 1, "b": 2} == dict(found)


# -- many ------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["commit", "checkpoint", "process"])
def test_threads_that_wait_share_a_transaction(open_store, boot, durability):
    """Writes of threads that wait at the same moment are committed together, and all are there."""
    store = open_store(durability=durability)
    store["begin"] = 0
    before = store.stats().last_transaction_id
    barrier = threading.Barrier(9)

    def work(number):
        barrier.wait()
        store["key", number] = number

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    with store._session.environment.holding_writes():
        barrier.wait()
        while len(store._session.environment.queue.waiting) < 8:
            pass
    for thread in threads:
        thread.join()

    assert set(range(8)) == {number for _, number in store.prefix(("key",))} or 9 == len(store)
    assert before + 1 == store.stats().last_transaction_id


def test_a_write_that_fails_fails_alone(open_store, boot):
    """Others that were committed with it are committed without it."""
    store = open_store(map_size_bytes=1 << 18, durability="process")
    errors = []

    def work(number, size):
        try:
            store["key", number] = bytes(size)
        except Exception as error:
            errors.append((number, type(error).__name__))

    sizes = [10, 1 << 19, 20]
    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(sizes)]
    with store._session.environment.holding_writes():
        for thread in threads:
            thread.start()
        while len(store._session.environment.queue.waiting) < 3:
            pass
    for thread in threads:
        thread.join()

    assert [(1, "StoreFullError")] == errors
    assert {("key", 0), ("key", 2)} == set(store)


def test_two_processes_make_checkpoints(path, tmp_path):
    """Each sees the other's commits, and each one's checkpoints are of both."""
    other = start(
        """
        store = open_store(durability="checkpoint", checkpoint_interval=3600.0)
        store["other"] = 0
        print("begun", flush=True)
        for line in sys.stdin:
            store["other"] += 1
            store.sync()
            print(store.durable_up_to, flush=True)
        store.close()
        """,
        path,
    )
    assert "begun\n" == other.stdout.readline()
    with opened(path, checkpoint_interval=NEVER) as store:
        for number in range(1, 20):
            store["mine"] = number
            other.stdin.write("go\n")
            other.stdin.flush()
            durable = int(other.stdout.readline())

            assert durable == store.durable_up_to == store.stats().last_transaction_id
            assert number == store["other"]
            store.sync()
    assert "" == finish(other)


ENDS = {
    "a script": "write()",
    "a thread": "import threading; threading.Thread(target=write).start()",
    "a forked worker": """
        import multiprocessing
        if __name__ == "__main__":
            worker = multiprocessing.get_context("fork").Process(target=write)
            worker.start()
            worker.join()
            os._exit(worker.exitcode)""",
}


@pytest.mark.parametrize("end", list(ENDS), ids=lambda end: end.replace(" ", "_"))
def test_a_program_that_ends_without_closing_makes_a_last_checkpoint(tmp_path, end):
    """Who forgets `close` loses no more than who does not."""
    path = tmp_path / "store"
    code = """
        store = open_store(durability="checkpoint", checkpoint_interval=3600)
        store["first"] = 1
        store.sync()
        def write():
            store["last"] = 2
    """
    run(textwrap.dedent(code) + textwrap.dedent(ENDS[end]).strip(), path)

    with opened(path) as store:
        assert 2 == store["last"]
        assert store.stats().last_transaction_id == store.durable_up_to


def test_a_transaction_left_open_does_not_keep_a_program_from_ending(tmp_path):
    """A thread that never ends its transaction costs the exit a second, not for ever."""
    code = """
        import threading
        store = open_store(durability="checkpoint", checkpoint_interval=3600)
        inside = threading.Event()
        def stay():
            with store.transaction() as transaction:
                transaction["a"] = 1
                inside.set()
                threading.Event().wait()
        threading.Thread(target=stay, daemon=True).start()
        inside.wait()
    """
    run(code, tmp_path / "store", timeout_s=20)


# -- trouble that passes, and trouble that stays -----------------------------------------------


def test_recovery_says_what_happened(store, boot, caplog):
    """A store put back because a flush failed does not say that the machine went down."""
    store["kept"] = 1
    store.sync()
    store["unsure"] = 1
    _recovery.mark_poisoned(store.path, 0o600)
    store._session.environment.durability.poisoned("injected")
    store.close()
    with opened(store.path) as found:
        assert {"kept": 1} == dict(found)
    (message,) = [record.getMessage() for record in caplog.records]
    assert "because a flush to the disk failed; transactions after it are lost" in message


def test_a_mark_without_a_record_is_forgotten(path, boot):
    """A mark of a failed flush undoes nothing that was written after the store was opened again."""
    with opened(path, durability="commit") as store:
        store["a"] = 1
    _recovery.mark_poisoned(path, 0o600)
    with opened(path, durability="process") as store:
        assert {"a": 1} == dict(store)
    with opened(path, durability="process") as store:
        assert {"a": 1} == dict(store)
        assert not os.path.exists(os.path.join(path, "restore"))


def test_a_record_that_is_written_by_halves(store, boot, tmp_path, monkeypatch):
    """Where the system takes a part of a write the rest follows: the record is whole."""
    real = os.pwrite
    sizes = []

    def short(descriptor, content, offset):
        sizes.append(len(content))
        return real(descriptor, content[: (len(content) + 1) // 2], offset)

    store["a"] = 1
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", short)
        store.sync()
    boot()

    assert len(sizes) > 2
    with opened(image(store, tmp_path / "image")) as found:
        assert {"a": 1} == dict(found)


def test_a_disk_that_takes_nothing(store, monkeypatch):
    """A write of nothing is an I/O error, not an attempt without end."""
    store["a"] = 1
    store.sync()
    store["a"] = 2
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", lambda *_: 0)
        with pytest.raises(PoisonedStoreError, match="Input/output error"):
            store.sync()


def test_who_failed_to_take_part_stands_in_nobodys_way(path, monkeypatch):
    """A store that could not be opened keeps no lock: the next attempt does not wait for it."""

    def fail(*_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(_agreement, "write_whole", fail)
        with pytest.raises(StoreError, match="Input/output error"):
            opened(path)
    with opened(path) as store:
        store["a"] = 1


def test_a_failed_compact_leaves_a_store_with_checkpoints(store, boot, tmp_path, monkeypatch):
    """After a compact that could not finish nothing is written without a checkpoint behind it."""
    store["a"] = 1

    def fail(*_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", fail)
        with pytest.raises(StoreError, match="cannot be compacted.*Input/output error"):
            store.compact()
    store["b"] = 2
    boot()

    assert store._session.environment.durability.checkpoints.pin is not None
    assert not os.path.exists(os.path.join(store.path, FILE_NAME + "-compact"))
    with opened(image(store, tmp_path / "image")) as found:
        assert {"a": 1} == dict(found)


def test_a_poisoned_store_is_not_compacted(store, boot):
    """The last checkpoint of a store whose flush has failed is not given away for a copy."""
    store["a"] = 1
    store.sync()
    store._session.environment.durability.poisoned("injected")
    with pytest.raises(PoisonedStoreError, match="injected"):
        store.compact()
    assert os.path.exists(os.path.join(store.path, "checkpoint"))


def test_a_file_that_cannot_be_opened_poisons_nothing(store, monkeypatch):
    """Too many open files is told, and passes: no flush has failed."""
    store["a"] = 1
    store.close()

    def fail(*_, **__):
        raise OSError(24, "Too many open files")

    with opened(store.path) as found:
        with monkeypatch.context() as patched:
            patched.setattr(_checkpoints, "CheckpointFile", fail)
            with pytest.raises(StoreError, match="cannot be made durable.*Too many") as told:
                found["a"] = 2
        found["a"] = 3

        assert StoreError is type(told.value)
        assert {"a": 3} == dict(found)


def test_who_waits_for_a_poisoned_store_is_told(store):
    """A thread that waits until its commits are durable does not wait for ever."""
    store["a"] = 1
    store.sync()
    store["a"] = 2
    waits = threading.Event()
    told = []

    def wait():
        waits.set()
        try:
            store.wait_durable(None)
        except (PoisonedStoreError, StoreClosedError) as error:
            told.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    waits.wait()
    store._session.environment.durability.poisoned("injected")
    thread.join(30)

    assert [PoisonedStoreError] == [type(error) for error in told]
