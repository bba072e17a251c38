"""When side files are flushed and unlinked, and what it costs not to have any."""

from __future__ import annotations

import errno
import os
import pathlib
import shutil
import signal
import threading

import pytest

from objcache import Store
from objcache.engine import SideFileMissingError, _side_keeper
from objcache.engine._checkpoint_file import CheckpointFile
from objcache.errors import PoisonedStoreError, StoreError, StoreFullError
from tests.conftest import SECRET
from tests.scripts import start

NEVER = 3600.0
LONG = "x" * (1 << 20)


@pytest.fixture
def store(open_store, boot):
    """A store that makes a checkpoint only when it is told to."""
    return open_store(durability="checkpoint", checkpoint_interval=NEVER)


@pytest.fixture
def flushed(monkeypatch):
    """What is flushed from now on, by name, and "record" where a checkpoint's record is written."""
    seen = []
    fsync, write = os.fsync, CheckpointFile.write

    def told(descriptor):
        seen.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def written(self, record):
        seen.append("record")
        write(self, record)

    monkeypatch.setattr(os, "fsync", told)
    monkeypatch.setattr(CheckpointFile, "write", written)
    return seen


def names(store):
    """Return the names of all side files that are on the disk."""
    place = pathlib.Path(store.path, "blobs")
    return sorted(os.listdir(place)) if place.exists() else []


def side_of(store):
    """Return what keeps the side files of *store*."""
    return store._session.environment.side


def value(number):
    """Return a value that lies in a side file."""
    return f"{number}" + LONG


# -- flushing --------------------------------------------------------------------------------------


def test_files_are_flushed_before_the_record(store, flushed):
    """A checkpoint flushes each new file, their directory and the store's before its record; once."""
    store["a"], store["b"] = value(1), value(2)

    assert [] == flushed

    store.sync()
    before = flushed[: flushed.index("record")]

    assert {*names(store), "blobs", "store"} == set(before)

    flushed.clear()
    store["small"] = 1
    store.sync()

    assert not {*names(store), "blobs"} & set(flushed)

    store["c"] = value(3)
    flushed.clear()
    store.sync()

    assert 1 == len({*names(store)} & set(flushed))
    assert "blobs" in flushed


def test_dropped_files_are_not_flushed(store, flushed):
    """What was overwritten before a checkpoint costs it nothing."""
    for number in range(5):
        store["k"] = value(number)
    store.sync()

    assert 1 == len([name for name in flushed if len(name) == 32])


def test_flushed_commits_flush_their_files_first(open_store, flushed):
    """With `durability="commit"` a file and its directory are flushed before its record is written."""
    store = open_store(durability="commit")
    flushed.clear()
    store["k"] = value(1)

    assert [*names(store), "blobs"] == flushed[:2]


def test_scratch_that_becomes_durable(open_store, boot, flushed):
    """Files that nobody flushed are, when a scratch store goes over to checkpoints."""
    with open_store(durability="process") as scratch:
        scratch["a"], scratch["b"] = value(1), value(2)

        assert not set(names(scratch)) & set(flushed)
    assert set(names(scratch)) < set(flushed)


def test_failed_flush_poisons(store, monkeypatch):
    """A side file that cannot be flushed is as a page that cannot: nothing is written any more."""
    store["k"] = value(1)
    store.sync()
    store["k"] = value(2)
    fsync = os.fsync

    def fail(descriptor):
        if "blobs" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(PoisonedStoreError):
            store.sync()
    with pytest.raises(PoisonedStoreError):
        store["k"] = value(3)
    store.close()
    store = Store(store.path, secret=SECRET)  # from its last checkpoint

    assert value(1) == store["k"]
    assert store.check().ok
    store.close()


def test_file_that_cannot_be_opened_poisons_nothing(store, monkeypatch):
    """Without a descriptor for a file there is no checkpoint, and the next one goes well."""
    store["k"] = value(1)
    side = side_of(store)
    open_file = os.open

    def fail(path, *arguments, **named):
        if "blobs" in str(path):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return open_file(path, *arguments, **named)

    before = store.durable_up_to
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        with pytest.raises(StoreError, match="Too many open files") as caught:
            store.sync()

    assert not isinstance(caught.value, PoisonedStoreError)
    assert before == store.durable_up_to
    assert side.flag[0]
    store.sync()

    assert before < store.durable_up_to
    assert store.wait_durable(0)


# -- unlinking -------------------------------------------------------------------------------------


def test_power_cut_brings_back_old_values(store, boot, tmp_path):
    """Until a checkpoint has seen them dropped, the files of the one before are there."""
    store["kept"], store["deleted"] = value(1), value(2)
    store.sync()
    store["kept"] = value(3)
    del store["deleted"]
    store["new"] = value(4)
    image = tmp_path / "image"
    shutil.copytree(store.path, image, ignore=shutil.ignore_patterns("*lock*"))
    boot()
    with Store(image, secret=SECRET) as restored:
        assert {"kept": value(1), "deleted": value(2)} == restored
        assert 2 == len(names(restored))
        assert restored.check().ok


def test_dead_reader_keeps_no_file(store):
    """A reader that was killed does not keep what was dropped since."""
    store["k"] = value(1)
    reader = start(
        """
        store = open_store(durability="checkpoint")
        with store.snapshot() as snapshot:
            print("reading", flush=True)
            sys.stdin.read()
        """,
        store.path,
    )

    assert "reading\n" == reader.stdout.readline()
    store["k"] = value(2)
    store.sync()

    assert 2 == len(names(store))

    reader.send_signal(signal.SIGKILL)
    reader.communicate()
    store.sync()

    assert 1 == len(names(store))


def test_leftovers_of_others_are_collected(store):
    """What a killed process has dropped goes with the next checkpoint of another."""
    store["k"] = value(1)
    writer = start(
        """
        store = open_store(durability="checkpoint", checkpoint_interval=3600.0)
        store["k"] = 1
        os.kill(os.getpid(), 9)
        """,
        store.path,
    )
    writer.communicate()

    assert 1 == len(names(store))

    store["small"] = 1
    store.sync()

    assert [] == names(store)


def test_rows_do_not_pile_up(store):
    """Rows of files that are flushed, or gone, are removed by later writes."""
    handle = store._session.environment.handle

    def count():
        with handle.begin() as transaction:
            return sum(key[:1] in {b"\x05", b"\x06", b"\x07"} for key, _ in transaction.cursor())

    for number in range(6):
        for key in range(5):
            store[key] = value(number)
        store.sync()

    assert 1 + 5 + 5 + 5 >= count()
    assert 5 == len(names(store)) == len(store)


def test_writes_look_for_dropped_files_when_there_are_any(store, monkeypatch):
    """A write that drops nothing does not ask who reads, though there are side files."""
    store["k"] = value(1)
    store.sync()
    asked = []
    oldest = _side_keeper._oldest_reader
    monkeypatch.setattr(
        _side_keeper, "_oldest_reader", lambda handle: asked.append(1) or oldest(handle)
    )
    for number in range(10):
        store[number] = number
        store["k", number] = value(number)

    assert [] == asked

    del store["k"]
    store.sync()

    assert [1] == asked


# -- writes that fail ------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["process", "commit", "checkpoint"])
def test_full_map_leaves_no_file(path, durability):
    """Where the record does not fit any more its side file goes."""
    with Store(path, secret=SECRET, durability=durability, map_size_bytes=1 << 19) as store:
        number = 0
        with pytest.raises(StoreFullError):
            while True:
                store[number] = bytes(3000)
                number += 1
        before = len(store)
        with pytest.raises(StoreFullError):
            store.set_many({(key, "x" * 400): value(key) for key in range(70)})

        assert ([], before) == (names(store), len(store))


def test_discarded_file_cannot_be_attached(store):
    """A write that was given up leaves no file, and whoever does it nevertheless is told."""
    side = side_of(store)
    name, _ = side.files.write([memoryview(b"x")])
    side.discard(name)
    with (
        pytest.raises(SideFileMissingError, match=name.hex()),
        store._session.environment.handle.begin(write=True) as transaction,
    ):
        side.attach(transaction, name, b"anywhere")

    assert [] == names(store)


def test_attached_file_is_discarded_when_nothing_is_under_way(store):
    """A file whose transaction may yet be committed is not unlinked before that has ended."""
    side, environment = side_of(store), store._session.environment
    name, _ = side.files.write([memoryview(b"x")])
    with environment.holding_writes():
        transaction = environment.handle.begin(write=True)
        side.attach(transaction, name, b"anywhere")
        other = threading.Thread(target=side.discard, args=(name,))
        other.start()
        other.join()

        assert [name.hex()] == names(store)
        transaction.abort()
    with store.transaction():
        pass

    assert [] == names(store)


def test_waiting_writes_share_a_transaction(open_store):
    """Large values that wait for each other are each committed, with their files."""
    store = open_store(durability="commit")
    problems = []

    def write(thread):
        try:
            for number in range(6):
                store[thread, number % 2] = value((thread, number))
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store["last"] = 1

    assert [] == problems
    assert 8 == len(names(store))
    assert all(store[key] == value((key[0], 4 + key[1])) for key in store if key != "last")


# -- the flag --------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"\x01" * 64, b"\xff" * 64, b"\x00" * 64, b"?"])
@pytest.mark.parametrize("has_files", [True, False])
def test_flag_is_set_anew(open_store, path, content, has_files):
    """Whatever a power cut has left in the flag, who opens the store alone knows better."""
    with open_store() as store:
        if has_files:
            store["k"] = value(1)
    pathlib.Path(path, "side-files").write_bytes(content)
    store = open_store()

    assert has_files == side_of(store).flag[0]

    store["k"] = 1

    assert [] == names(store)


def test_flag_that_was_removed(open_store, path):
    """Who finds no flag beside other users looks at what it replaces."""
    store = open_store()
    store["k"] = value(1)
    os.unlink(os.path.join(path, "side-files"))
    other = start(
        """
        with open_store() as store:
            store["k"] = 1
            assert os.listdir(path + "/blobs") == []
        """,
        path,
    )

    assert ("", "") == other.communicate()
    assert 0 == other.returncode


def test_directory_removed_by_hand(store):
    """Without its directory a store makes it again, and says which values are lost."""
    store["k"] = value(1)
    shutil.rmtree(os.path.join(store.path, "blobs"))
    store.sync()
    store["k"] = value(2)
    store.sync()

    assert value(2) == store["k"]
    assert store.check().ok


def test_closed_store_holds_no_descriptor(open_store):
    """Closing lets go of the flag, too."""
    before = len(os.listdir("/proc/self/fd"))
    store = open_store()
    store["k"] = value(1)
    store.close()

    assert before == len(os.listdir("/proc/self/fd"))
