"""Large parts of values in side files: whole with their record, gone with it, never wrong."""

from __future__ import annotations

import errno
import os
import pathlib
import shutil
import subprocess
import threading

import pytest

from objcache import Store
from objcache.engine import FILE_NAME, _registry
from objcache.errors import (
    CorruptRecordError,
    CorruptStoreError,
    EncodeError,
    ReadOnlyStoreError,
    StoreFullError,
)
from objcache.store.dated import DatedRecords
from tests.conftest import SECRET
from tests.scripts import run

np = pytest.importorskip("numpy")

MANY = 100_000  # floats, of which a value has 800 KB
NEVER = 3600.0
MODES = {
    "process": {"durability": "process"},
    "commit": {"durability": "commit"},
    "checkpoint": {"durability": "checkpoint", "checkpoint_interval": NEVER},
}


def array(first=0.0):
    """Return an array that lies in a side file; others begin with other numbers."""
    return np.arange(first, first + MANY)


def names(store_or_path):
    """Return the names of all side files that are on the disk."""
    path = getattr(store_or_path, "path", store_or_path)
    place = pathlib.Path(path, "blobs")
    return sorted(place.iterdir()) if place.exists() else []


@pytest.fixture(params=MODES)
def any_store(request, open_store):
    """A store of each durability; checkpoints are made when the test asks for one."""
    return open_store(**MODES[request.param])


@pytest.fixture
def slow_store(open_store):
    """A store whose checkpoints are made when the test asks for one."""
    return open_store(**MODES["checkpoint"])


# -- what is stored --------------------------------------------------------------------------------


def test_large_parts_lie_beside_the_store(any_store):
    """Arrays of 256 KiB and payloads of 1 MiB lie in a file each; smaller ones in the record."""
    any_store["small"] = np.zeros(1000)
    any_store["text below"] = "x" * ((1 << 20) - 100)
    any_store["bytes"] = bytes(1000)

    assert [] == names(any_store)

    any_store["array"] = array()
    any_store["frame"] = {"a": array(1), "b": array(2), "name": "both"}
    any_store["text"] = "x" * (1 << 20)

    assert 3 == len(names(any_store))
    assert 6 == len(any_store)
    assert (array() == any_store["array"]).all()
    assert (array(2) == any_store["frame"]["b"]).all()
    assert "x" * (1 << 20) == any_store["text"]
    assert any_store.check().ok


@pytest.mark.parametrize("codec", ["raw", "json"])
def test_payloads_of_other_codecs_lie_there_too(open_store, codec):
    """A long payload lies in a side file whatever codec it has."""
    store = open_store(codec=codec)
    value = b"y" * (2 << 20) if codec == "raw" else ["y" * (2 << 20)]
    store["k"] = value

    assert 1 == len(names(store))
    assert value == store["k"] == store.view("k")


def test_each_read_is_a_copy_of_its_own(store):
    """What a read returns can be written to, and changes neither the store nor another read."""
    store["k"] = array()
    one, two = store["k"], store["k"]
    one[:] = -1

    assert (array() == two).all()
    assert (array() == store["k"]).all()


def test_values_of_many_and_of_empty_parts(store):
    """More parts than one system call takes, and parts without a byte, come back as they were."""
    value = [np.full(100, float(number)) for number in range(1500)]
    value[700] = np.empty(0)
    store["k"] = value

    assert 1 == len(names(store))
    for copy in (store["k"], store.view("k")):
        assert all((one == two).all() for one, two in zip(value, copy, strict=True))
        assert 0 == copy[700].size


def test_shortened_keys_and_namespaces(slow_store):
    """Keys that are too long for the engine, unordered keys and namespaces have side files too."""
    inner = slow_store.namespace("n")
    for mapping in (slow_store, inner):
        for key in ("k" * 700, frozenset({1}), ("a", 1)):
            mapping[key] = array(len(repr(key)))

    assert (3, 3, 6) == (len(slow_store), len(inner), len(names(slow_store)))
    for mapping in (slow_store, inner):
        for key, value in mapping.items():
            assert len(repr(key)) == value[0] == mapping.view(key)[0]
    inner.clear()
    del slow_store["k" * 700]
    slow_store.sync()

    assert (2, 0, 2) == (len(slow_store), len(inner), len(names(slow_store)))


# -- views -----------------------------------------------------------------------------------------


def test_view_is_read_only(store):
    """Arrays of a view cannot be written to; the value around them is the caller's own."""
    store["k"] = {"a": array(), "b": [1]}
    view = store.view("k")

    assert not view["a"].flags.writeable
    assert (array() == view["a"]).all()
    view["b"].append(2)
    assert [1] == store["k"]["b"]
    with pytest.raises(ValueError, match="read-only"):
        view["a"][0] = 1


def test_view_of_small_values_and_missing_keys(store):
    """A value without a side file is as from a read; a missing key is a KeyError."""
    store["small"] = {"a": 1}

    assert {"a": 1} == store.view("small")
    assert {"a": 1} == store.view("small", verify=True)
    with pytest.raises(KeyError, match="missing"):
        store.view("missing")


def another_handle(store, deed):
    """Overwrite the key through another handle of this process, do *deed*, and close both."""
    with Store(store.path, secret=SECRET, **MODES[store.durability]) as other:
        other["k"] = array(7)
        deed(other)
    store.close()


DEEDS = {
    "overwritten": lambda store: store.__setitem__("k", array(7)),
    "overwritten by a small one": lambda store: store.__setitem__("k", 1),
    "deleted": lambda store: store.__delitem__("k"),
    "popped": lambda store: store.pop("k"),
    "cleared": lambda store: store.clear(),
    "compacted": lambda store: (store.__delitem__("k"), store.compact()),
    "closed": lambda store: store.close(),
    "compacted through another handle": lambda store: another_handle(store, Store.compact),
    "cleared through another handle": lambda store: another_handle(store, Store.clear),
    "opened again": lambda store: (store.close(), Store(store.path, secret=SECRET).close()),
    "removed by hand": lambda store: (store.close(), shutil.rmtree(store.path)),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_view_stays_what_it_is(any_store, deed):
    """Whatever becomes of the key and the store, a live view sees what it saw."""
    any_store["k"] = array()
    view = any_store.view("k")
    part = any_store.view("k")[1000:2000]
    DEEDS[deed](any_store)
    if not any_store.closed:
        any_store.sync()
        for number in range(3):
            any_store["other", number] = array(1e6)

    assert (array() == view).all()
    assert (array()[1000:2000] == part).all()


def test_view_of_what_was_rolled_back(any_store):
    """A view from within a transaction stays what it is when that is rolled back."""
    with pytest.raises(ZeroDivisionError), any_store.transaction() as transaction:
        transaction["k"] = array(1)
        view = transaction.view("k")
        raise ZeroDivisionError
    any_store.sync()

    assert (array(1) == view).all()
    assert [] == names(any_store)


def test_view_of_a_forked_child(path):
    """Parent and child see what they saw, whatever the other one does, and when it ends."""
    run(
        """
        import numpy as np
        store = open_store()
        store["k"] = np.ones(100_000)
        view = store.view("k")
        told, tell = os.pipe()
        if os.fork():
            store["k"] = 0
            store.close()
            assert view.sum() == 100_000
            os.write(tell, b"x")
            assert os.wait()[1] == 0
            assert view.sum() == 100_000
        else:
            os.read(told, 1)
            assert view.sum() == 100_000
            assert store["k"] == 0
            store["k"] = np.zeros(100_000)
            store.close()
            assert view.sum() == 100_000
            os._exit(0)
        """,
        path,
    )


def test_held_mappings_are_counted(slow_store):
    """`stats` tells how many files there are, how large, and which dropped ones are still mapped."""
    slow_store["a"], slow_store["b"] = array(), array(1)

    assert (2, 2 * 8 * MANY, 0) == slow_store.stats()[-3:]

    one, two = slow_store.view("a"), slow_store.view("a")

    assert 0 == slow_store.stats().held_mappings

    slow_store["a"] = 1

    assert (1, 8 * MANY, 2) == slow_store.stats()[-3:]

    del one

    assert 1 == slow_store.stats().held_mappings

    part = two[5:6]
    del two

    assert (5.0, 1) == (part[0], slow_store.stats().held_mappings)

    del part

    assert 0 == slow_store.stats().held_mappings


def test_views_hold_no_descriptors(store):
    """From Python 3.13 on a live view costs a mapping, and no file descriptor; before, one."""
    import sys

    store["k"] = array()
    before = len(os.listdir("/proc/self/fd"))
    views = [store.view("k") for _ in range(10)]

    assert len(os.listdir("/proc/self/fd")) - before == (0 if sys.version_info >= (3, 13) else 10)
    assert 10 == len(views)


# -- when files go ---------------------------------------------------------------------------------


@pytest.mark.parametrize("drop", [lambda s: s.__setitem__("k", 1), lambda s: s.__delitem__("k")])
def test_dropped_files_go_when_no_power_cut_needs_them(any_store, drop):
    """With commits that are flushed they go at once; else after the next checkpoint."""
    any_store["k"] = array()
    any_store.sync()
    drop(any_store)
    if any_store.durability == "checkpoint":
        assert 1 == len(names(any_store))
        any_store.sync()

    assert [] == names(any_store)
    assert any_store.check().ok


def test_snapshot_keeps_its_files(any_store):
    """A snapshot reads the values of its moment; at its end what was dropped since goes."""
    any_store["k"] = array()
    with any_store.snapshot() as snapshot:
        any_store["k"] = array(1)
        any_store.sync()
        any_store["j"] = 1  # another chance to unlink
        any_store.sync()

        assert (0.0, 0.0) == (snapshot["k"][0], snapshot.view("k")[0])
        assert 2 == len(names(any_store))

    assert 1 == len(names(any_store))
    assert 1.0 == any_store["k"][0]


def test_rolled_back_files_go(any_store):
    """Files of a transaction that is rolled back go at its end, of a nested one with the outermost."""
    any_store["k"] = array()
    with pytest.raises(ZeroDivisionError), any_store.transaction() as transaction:
        transaction["k"] = array(1)
        transaction["j"] = array(2)

        assert 3 == len(names(any_store))
        assert 1.0 == transaction["k"][0] == transaction.view("k")[0]
        raise ZeroDivisionError
    any_store.sync()

    assert (1, 0.0) == (len(names(any_store)), any_store["k"][0])

    with any_store.transaction() as transaction:
        transaction["outer"] = array(3)
        with pytest.raises(ZeroDivisionError), transaction.transaction() as inner:
            inner["inner"] = array(4)
            inner["outer"] = array(5)
            del inner["k"]
            raise ZeroDivisionError
    any_store.sync()

    assert (2, 3.0) == (len(names(any_store)), any_store["outer"][0])
    assert 0.0 == any_store["k"][0]
    assert any_store.check().ok


def test_written_twice_in_a_transaction(any_store):
    """Only the last file of a key remains, whatever was written before in the same transaction."""
    with any_store.transaction() as transaction:
        for number in range(4):
            transaction["k"] = array(number)
    any_store.sync()

    assert (1, 3.0) == (len(names(any_store)), any_store["k"][0])


def test_failed_batch_leaves_no_files(any_store):
    """A batch of which one value cannot be encoded leaves neither entries nor files."""
    with pytest.raises(EncodeError):
        any_store.set_many([("a", array()), ("b", array()), ("c", threading.Lock())])

    assert ([], 0) == (names(any_store), len(any_store))


def test_interrupted_after_its_commit(any_store, monkeypatch):
    """What was committed keeps its file, even if the caller is interrupted right behind it."""
    side = any_store._session.environment.side

    def interrupt(**_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(side), "collect", lambda *_, **__: interrupt())
        with pytest.raises(KeyboardInterrupt):
            any_store["k"] = array()

    assert (array() == any_store["k"]).all()


def test_batch_is_read_as_of_one_moment(any_store, monkeypatch):
    """`get_many` finds the files of its moment although all are overwritten while it reads."""
    any_store.update({number: array(number) for number in range(4)})
    files = any_store._session.environment.side.files
    read = type(files).read
    seen = []

    def overwritten(self, *arguments):
        if not seen:
            seen.append(1)
            writer = threading.Thread(
                target=lambda: (any_store.update(dict.fromkeys(range(4), 0)), any_store.sync())
            )
            writer.start()
            writer.join()
        return read(self, *arguments)

    monkeypatch.setattr(type(files), "read", overwritten)
    found = any_store.get_many(range(4))

    assert [0.0, 1.0, 2.0, 3.0] == [found[number][0] for number in range(4)]
    assert [0] * 4 == list(any_store.values())
    any_store.sync()


@pytest.mark.parametrize("way", ["[]", "get", "view", "items", "values"])
def test_overwritten_between_record_and_file(any_store, monkeypatch, way):
    """A read that finds a record, and then its file unlinked, returns the value of now."""
    any_store["k"] = array()
    files = any_store._session.environment.side.files
    open_file = type(files).open
    seen = []

    def overwritten(self, *arguments):
        if not seen:
            seen.append(1)
            any_store["k"] = array(1)
            any_store.sync()
        return open_file(self, *arguments)

    monkeypatch.setattr(type(files), "open", overwritten)
    found = {
        "[]": lambda: any_store["k"],
        "get": lambda: any_store.get("k"),
        "view": lambda: any_store.view("k"),
        "items": lambda: dict(any_store.items())["k"],
        "values": lambda: next(iter(any_store.values())),
    }[way]()

    assert 1.0 == found[0]


def test_dated_record_changed_between_record_and_file(any_store, monkeypatch):
    """A dated record whose file was unlinked is read again: another one, none, or a damaged one."""
    dated = DatedRecords(any_store)
    files = any_store._session.environment.side.files
    open_file = type(files).open
    steps = []

    def put(first):
        dated.put(b"k", dated.encode(b"k", array(first), cost_us=first))

    def after_step(self, *arguments):
        if steps:
            steps.pop()()
            any_store.sync()
        return open_file(self, *arguments)

    put(1)
    monkeypatch.setattr(type(files), "open", after_step)
    steps.append(lambda: put(2))
    value, cost_us, deadline_us = dated.get(b"k")
    steps.append(lambda: dated.delete(b"k"))
    gone = dated.get(b"k")

    assert (2.0, 2, None) == (value[0], cost_us, deadline_us)
    assert gone is None

    put(3)
    with monkeypatch.context() as patch:
        patch.setattr(type(files), "path", lambda self, name: os.path.join(self.directory, "none"))
        with pytest.raises(CorruptRecordError, match="is gone") as caught:
            dated.get(b"k")

    assert b"k" == caught.value.key


# -- damage ----------------------------------------------------------------------------------------


def alter(file):
    """Change one byte in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES = {
    "truncated": lambda file: os.truncate(file, 1000),
    "emptied": lambda file: os.truncate(file, 0),
    "altered": alter,
    "gone": os.unlink,
    "a pipe": lambda file: (os.unlink(file), os.mkfifo(file)),
}


@pytest.mark.damages
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("value", [array(), "x" * (1 << 21)], ids=["array", "text"])
def test_damaged_file_is_never_wrong_data(store, damage, value):
    """A side file that is cut short, altered or gone is an error that names the key and the file."""
    store["fine"] = array()
    before = names(store)
    store["k"] = value
    (file,) = set(names(store)) - set(before)
    DAMAGES[damage](file)
    reads = [
        lambda: store["k"],
        lambda: store.get("k"),
        lambda: store.get_many(["k"]),
        lambda: store.view("k", verify=True),
        lambda: dict(store),
    ]
    if damage != "altered" or isinstance(value, str):  # what is decoded is always compared
        reads.append(lambda: store.view("k"))
    for read in reads:
        with pytest.raises(CorruptRecordError, match=file.name) as caught:
            read()
        assert "k" == caught.value.key
    report = store.check()

    assert [(("k",), "CorruptRecordError")] == [problem[:2] for problem in report.problems]
    assert file.name in report.problems[0].message
    assert (array() == store["fine"]).all()

    store["k"] = array(1)  # the key is not lost

    assert 1.0 == store["k"][0]
    assert store.check().ok


@pytest.mark.damages
def test_check_finds_rows_and_records_that_disagree(slow_store):
    """A record whose file has no row, a row of no record, and a wrong counter are told."""
    slow_store["a"], slow_store["b"] = array(), array(1)
    environment = slow_store._session.environment
    rows = {}
    with environment.handle.begin() as transaction:
        for key, value in transaction.cursor():
            if key[:1] == b"\x05":
                rows[key] = value
    own = next(key for key, value in rows.items() if b"a" in value)
    with environment.handle.begin(write=True) as transaction:
        transaction.delete(own)
        transaction.put(b"\x05" + b"?" * 16, b"nowhere")
        transaction.put(b"\x05", bytes(8))
    found = {(problem.key, problem.kind) for problem in slow_store.check().problems}

    assert {
        (("a",), "CorruptRecordError"),
        (b"nowhere", "side file"),
        ("side files", "count"),
        ("counter of others", "count"),
    } == found | {("counter of others", "count")}


@pytest.mark.damages
def test_copy_of_a_store_whose_file_is_gone(store, tmp_path):
    """A store that lacks a side file is not copied silently: the file is named, nothing is left."""
    store["k"] = array()
    (file,) = names(store)
    file.unlink()
    with pytest.raises(CorruptStoreError, match=file.name):
        store.copy(tmp_path / "copy")

    assert [] == os.listdir(tmp_path / "copy")


# -- full disks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["posix_fallocate", "writev"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk(any_store, monkeypatch, call, number):
    """Without room for a side file: StoreFullError, the old value intact, nothing left."""
    any_store["k"] = array()
    any_store.sync()
    before = names(any_store)

    def full(*_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(StoreFullError, match="free space on its disk"):
            any_store["k"] = array(1)
        with pytest.raises(StoreFullError), any_store.transaction() as transaction:
            transaction["j"] = 1
            transaction["k"] = array(1)

    assert (before, 0.0, 1) == (names(any_store), any_store["k"][0], len(any_store))


def test_really_full_disk(tmp_path):
    """On a filesystem of a few megabytes a value that does not fit is refused, and nothing is lost."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root may mount a small filesystem; test_full_disk simulates one")
    try:
        with Store(place / "store", secret=SECRET, **MODES["checkpoint"]) as store:
            store["k"] = array()
            for _ in range(3):
                with pytest.raises(StoreFullError):
                    store["k"] = np.zeros(1 << 20)  # 8 MiB

            assert (array() == store["k"]).all()
            assert 1 == len(names(store))
            store["k"] = array(1)
            store.sync()

            assert 1.0 == store["k"][0]
            assert store.check().ok
    finally:
        subprocess.run(["umount", str(place)], check=True)


# -- copies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("compact", [True, False])
def test_copy_is_complete(any_store, tmp_path, compact):
    """A copy has the side files of its records and no others, and goes on by itself."""
    any_store["k"], any_store["dropped"] = array(), array(1)
    any_store.namespace("n")["k"] = array(2)
    any_store["small"] = 1
    del any_store["dropped"]
    any_store.copy(tmp_path / "copy", compact=compact)
    any_store.clear()
    any_store.sync()
    with Store(tmp_path / "copy", secret=SECRET, **MODES["checkpoint"]) as copy:
        assert (0.0, 2.0, 1) == (copy["k"][0], copy.namespace("n")["k"][0], copy["small"])
        assert 2 == len(copy) == len(names(copy))
        assert copy.check(deep=True).ok
        copy["k"] = array(3)
        copy.sync()

        assert (3.0, 2) == (copy.view("k")[0], len(names(copy)))


def test_copy_while_others_write(any_store, tmp_path, monkeypatch):
    """A copy is of one moment, although all its values are overwritten before their files are copied."""
    from objcache.engine import copies

    any_store.update({number: array(number) for number in range(3)})
    copied = copies.copy_side_file

    def overwritten(*arguments):
        any_store.update({number: array(-1) for number in range(3)})
        any_store.sync()
        return copied(*arguments)

    monkeypatch.setattr(copies, "copy_side_file", overwritten)
    any_store.copy(tmp_path / "copy")
    with Store(tmp_path / "copy", secret=SECRET) as copy:
        assert [0.0, 1.0, 2.0] == [value[0] for value in copy.values()]
    any_store["last"] = 1
    any_store.sync()

    assert 3 == len(names(any_store))


def test_copy_that_fails_leaves_nothing(store, tmp_path, monkeypatch):
    """Where there is no room for the side files there is no copy."""
    store["k"] = array()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "sendfile", full)
        with pytest.raises(StoreFullError):
            store.copy(tmp_path / "copy")

    assert [] == os.listdir(tmp_path / "copy")
    store.copy(tmp_path / "copy")
    assert FILE_NAME in os.listdir(tmp_path / "copy")


def test_compact_keeps_live_files_only(any_store):
    """A compact store has its live files and no others, and unlinks as before."""
    for number in range(20):
        any_store["k"] = array(number)
        any_store["small", number] = 1
    any_store.compact()

    assert (1, 19.0, 21) == (len(names(any_store)), any_store["k"][0], len(any_store))
    assert any_store.check(deep=True).ok

    any_store["k"] = array(20)
    any_store.sync()

    assert (1, 20.0) == (len(names(any_store)), any_store["k"][0])
    any_store.close()
    with Store(any_store.path, secret=SECRET, **MODES[any_store.durability]) as store:
        assert 20.0 == store.view("k", verify=True)[0]


# -- orphans and foreign files ---------------------------------------------------------------------


def plant(store, count):
    """Leave *count* files that belong to nobody, and two that are none of ours."""
    place = pathlib.Path(store.path, "blobs")
    place.mkdir(exist_ok=True)
    for number in range(count):
        (place / f"{number:032x}").write_bytes(bytes(100))
    (place / "README").write_text("not ours")
    (place / "abcd").write_text("not ours")


@pytest.mark.parametrize("how", ["open", "check"])
def test_orphans_are_collected(open_store, how):
    """Files that belong to nobody go when the store is opened alone, or checked; others stay."""
    store = open_store(**MODES["checkpoint"])
    store["k"] = array()
    plant(store, 5)
    if how == "open":
        store.close()
        store = open_store(**MODES["checkpoint"])
    else:
        assert store.check().ok

    assert 3 == len(names(store))
    assert (array() == store["k"]).all()


def test_orphans_may_belong_to_another_process(store):
    """While another process has the store open, no file is taken for an orphan."""
    plant(store, 2)
    run(
        """
        with open_store() as store:
            assert store.check().ok
        """,
        store.path,
    )

    assert 4 == len(names(store))


def test_check_in_a_transaction(store):
    """A check within a transaction, or beside a snapshot, takes nothing for an orphan."""
    with store.transaction() as transaction, store.snapshot():
        transaction["k"] = array()

        assert store.check().ok
        assert 1 == len(names(store))

    assert (array() == store["k"]).all()


def test_stores_without_large_values_have_no_files(any_store):
    """Who stores small values only pays for one byte."""
    any_store["k"] = 1
    any_store.namespace("n").update({number: number for number in range(10)})
    any_store.clear()

    assert not os.path.exists(os.path.join(any_store.path, "blobs"))
    assert 0 == any_store._session.environment.side.flag[0]


# -- permissions -----------------------------------------------------------------------------------


@pytest.mark.damages  # nothing; but it cannot be opened without `shared`
@pytest.mark.parametrize(
    ("shared", "file", "directory"), [(False, 0o600, 0o700), (True, 0o660, 0o770)]
)
def test_modes(open_store, shared, file, directory):
    """Side files are as private as the store; of a shared store they are the group's."""
    before = os.umask(0)
    try:
        store = open_store(shared=shared)
        store["k"] = array()
    finally:
        os.umask(before)
    (made,) = names(store)

    assert (file, directory) == tuple(path.stat().st_mode & 0o777 for path in (made, made.parent))


def test_without_permission_to_write(open_store, monkeypatch):
    """Who may only read the files reads, views, and is refused to write before a byte is."""
    with open_store() as store:
        store["k"] = array()
    monkeypatch.setattr(_registry, "_is_writable", lambda *_: False)
    monkeypatch.setattr(os, "unlink", None)
    reader = open_store(readonly=True)

    assert (array() == reader["k"]).all()
    assert (array() == reader.view("k", verify=True)).all()
    assert reader.check().ok
    assert 1 == reader.stats().side_files
    with pytest.raises(ReadOnlyStoreError):
        reader["k"] = array(1)

    assert 1 == len(names(reader))


def test_readonly_beside_a_writer(open_store):
    """A store that was opened read-only refuses large values, and leaves no file."""
    writer, reader = open_store(), open_store(readonly=True)
    writer["k"] = array()
    with pytest.raises(ReadOnlyStoreError):
        reader["k"] = array(1)

    assert (1, 0.0) == (len(names(writer)), reader.view("k")[0])


# -- forks, many stores ----------------------------------------------------------------------------


def test_forked_child_whose_parent_has_closed(path):
    """The first write of a forked child keeps its file, though nobody else has the store open."""
    run(
        """
        import numpy as np
        store = open_store(durability="checkpoint")
        store["parent"] = np.zeros(100_000)
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.read(told, 1)
            store["child"] = np.ones(100_000)
            assert store["child"].sum() == 100_000
            store["parent"] = np.ones(100_000)
            store.sync()
            assert len(os.listdir(path + "/blobs")) == 2
            store.close()
            os._exit(0)
        store.close()
        os.write(tell, b"x")
        assert os.waitpid(child, 0)[1] == 0
        with open_store(durability="checkpoint") as store:
            assert store["child"].sum() == store["parent"].sum() == 100_000
            assert store.check().ok
        """,
        path,
    )


def test_forked_child_of_a_parent_that_has_hashed_much(path):
    """A child writes and reads large values, though the threads that hash stay with the parent."""
    run(
        """
        import signal
        import numpy as np
        store = open_store()
        store["parent"] = np.zeros(1_000_000)
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            store["child"] = np.ones(1_000_000)
            assert store["child"].sum() == 1_000_000
            assert store["parent"].sum() == 0
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        store.close()
        """,
        path,
    )


def test_threads_overwrite_and_read(any_store):
    """Readers among threads that overwrite get one of the values, and one file remains for each."""
    problems = []
    keys = 3
    any_store.update({key: array(key) for key in range(keys)})

    def write(thread):
        for number in range(12):
            key = number % keys
            any_store[key] = array(key + 10 * thread)

    def read():
        try:
            for number in range(30):
                key = number % keys
                value = any_store[key] if number % 2 else any_store.view(key, verify=True)
                if not (value == value[0] + np.arange(MANY)).all() or value[0] % 10 != key:
                    problems.append(value[0])
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    threads += [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    any_store.sync()
    any_store["last"] = 1
    any_store.sync()

    assert [] == problems
    assert keys == len(names(any_store))
    assert any_store.check().ok


# -- repair ----------------------------------------------------------------------------------------


def test_repair_saves_values_with_side_files(slow_store, tmp_path):
    """A repair takes the side files with their records; one that is damaged is told, and left."""
    from objcache.store._repair import repair_store

    slow_store["k"], slow_store["cut"] = array(), array(1)
    slow_store["small"] = 1
    before = names(slow_store)
    slow_store["text"] = "x" * (1 << 21)
    slow_store.close()
    saved = repair_store(slow_store.path, tmp_path / "saved", secret=SECRET)

    assert (True, 4, 0) == (saved.complete, saved.entries, saved.missing)
    with Store(tmp_path / "saved", secret=SECRET) as store:
        assert (0.0, 1.0, 1) == (store["k"][0], store.view("cut")[0], store["small"])
        assert "x" * (1 << 21) == store["text"]
        assert 3 == len(names(store))
        assert store.check(deep=True).ok
        store.clear()
    shutil.rmtree(tmp_path / "saved")
    for file in before:
        os.truncate(file, 100)
    partly = repair_store(slow_store.path, tmp_path / "saved", secret=SECRET)

    assert (False, 2) == (partly.complete, partly.entries)
    assert {"k", "cut"} == {problem.key[-1] for problem in partly.problems}
    shutil.rmtree(slow_store.path)
