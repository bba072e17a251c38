"""The engine's rules: docs/design/concurrency.md, I1 to I9."""

from __future__ import annotations

import ast
import errno
import fcntl
import os
import pathlib
import re

import lmdb
import pytest

import objcache
from objcache import Store
from objcache.clock import ManualClock
from objcache.engine import EngineFault, close_session, open_session
from objcache.engine._faults import _KINDS, translated, translating
from objcache.engine._files import FileLock, check_filesystem, filesystem_of
from objcache.errors import (
    InternalError,
    NetworkFilesystemError,
    ObjcacheError,
    PoisonedStoreError,
    StoreBusyError,
    StoreConflictError,
    StoreError,
    StoreFullError,
)

PACKAGE = pathlib.Path(objcache.__file__).parent
CONCURRENCY = pathlib.Path(__file__).parents[3] / "docs" / "design" / "concurrency.md"


def subclasses(of):
    return {of} | {deeper for kind in of.__subclasses__() for deeper in subclasses(kind)}


def test_every_error_of_lmdb_is_translated(path):
    """I8: each error class of lmdb becomes an error of objcache; a new class fails this test."""
    assert subclasses(lmdb.Error) - {lmdb.Error} == set(_KINDS)
    for kind in subclasses(lmdb.Error):
        error = translated(kind("what"), path)

        assert isinstance(error, ObjcacheError)
        assert not isinstance(error, lmdb.Error)


def test_only_the_engine_imports_lmdb():
    """I8: no other module names lmdb, and the engine imports the module, no names from it."""
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("lmdb"), file
            if any(name.split(".")[0] == "lmdb" for name in names):
                assert "engine" == file.parent.name, file


def test_rules_are_numbered_and_cited():
    """Every rule I1 to I9 has a home in the document, and every cited number exists."""
    defined = set(re.findall(r"^## (I\d+)\b", CONCURRENCY.read_text(), re.MULTILINE))
    cited = set()
    for file in PACKAGE.rglob("*.py"):
        cited |= set(re.findall(r"\b(I[1-9])\b", file.read_text()))

    assert {f"I{number}" for number in range(1, 10)} == defined == cited


def test_one_environment_for_each_file(path, tmp_path, open_store):
    """I1: stores opened by any path to one file share it, and it is closed with the last."""
    (tmp_path / "link").symlink_to(path)
    first, second = open_store(), open_store(str(tmp_path / "link"))
    first["a"] = 1

    assert first._session.environment is second._session.environment
    first.close()
    assert 1 == second["a"]
    second.close()
    assert first._session.environment._handle is None


def test_deleted_and_made_anew(path, tmp_path, open_store):
    """A store that was removed and made again under its path is another store."""
    old = open_store()
    old["a"] = 1
    os.rename(path, tmp_path / "moved")
    new = open_store()

    assert "a" not in new
    assert 1 == old["a"]


def test_conflicting_settings_are_refused(open_store):
    """I1: one environment has one durability and one bound; another wish is named, both told."""
    open_store(map_size_bytes=1 << 22)
    with pytest.raises(StoreConflictError, match="durability='process', not 'commit'"):
        open_store(durability="commit")
    with pytest.raises(StoreConflictError, match="map_bytes=4194304, not 8388608"):
        open_store(map_size_bytes=1 << 23)
    open_store()  # no wish: what is open is good


@pytest.mark.parametrize("durability", ["commit", "process"])
def test_full_store_is_usable_afterwards(open_store, durability):
    """I4: a write that does not fit is rolled back; reads, deletes and smaller writes go on."""
    store = open_store(map_size_bytes=1 << 20, durability=durability)
    store["small"] = 1
    with pytest.raises(StoreFullError, match=r"the bound of its file is 1048576 bytes") as caught:
        store["large"] = os.urandom((1 << 20) - 100)  # a little more would lie in a side file

    assert (1 << 20, 28) == (caught.value.limit_bytes, caught.value.errno)
    assert caught.value.wanted_bytes > (1 << 20) - 100
    assert {"small": 1} == store
    number = 0
    with pytest.raises(StoreFullError):
        while True:
            store[number] = os.urandom(5000)
            number += 1
    assert 100 < number
    with pytest.raises(StoreFullError):
        store.set_many({key: os.urandom(5000) for key in range(1000)})
    assert number + 1 == len(store)
    for key in range(0, number, 2):
        del store[key]
    store["again"] = os.urandom(5000)
    assert store.check().ok


def test_transaction_that_hits_the_bound_is_over(open_store):
    """I4: after a failed write the whole transaction is rolled back, and says so until its end."""
    store = open_store(map_size_bytes=1 << 20)
    with (
        pytest.raises(ObjcacheError, match="was rolled back.*has no room"),
        store.transaction() as transaction,
    ):
        transaction["a"] = 1
        with pytest.raises(StoreFullError):
            transaction["large"] = os.urandom((1 << 20) - 100)
        with pytest.raises(ObjcacheError, match="was rolled back"):
            transaction["b"] = 1
    store["after"] = 1

    assert {"after": 1} == store


def test_growth_by_another_environment_is_adopted(open_store, monkeypatch):
    """I3: a map that another process has outgrown is enlarged; its snapshots end, the store works."""
    store = open_store(map_size_bytes=1 << 20)
    store["a"] = 1
    environment = store._session.environment
    real = environment._handle
    calls = []

    def resized():
        if len(calls) < 2:  # for the flat path, and for the one that mends
            calls.append(1)
            raise lmdb.MapResizedError("grown elsewhere")
        return real.begin()

    with store.snapshot() as snapshot:
        store._session.begin = resized

        assert 1 == store["a"]
        with pytest.raises(ObjcacheError, match="another process enlarged the store"):
            snapshot["a"]


def test_full_reader_table_is_cleared_or_told(store):
    """Readers of dead processes make room; if all are alive it is a StoreBusyError."""

    def full():
        raise lmdb.ReadersFullError("full")

    store["a"] = 1
    store._session.begin = full
    with pytest.raises(StoreBusyError, match="other processes"):
        store["a"]


def test_no_view_leaves_the_engine(store):
    """I6: what the engine hands out are bytes of its own, never a view into the map."""
    store["a"] = 1
    record = store._session.begin().get(b"\x10\x02a\x00")

    assert bytes is type(record)
    assert all(bytes is type(part) for pair in store._session.begin().cursor() for part in pair)


def test_writemap_is_never_used():
    """I9: an unsynced mode is never combined with a writable map."""
    source = "".join(file.read_text() for file in (PACKAGE / "engine").glob("*.py"))

    assert "lmdb.open(" in source
    assert "writemap=True" not in source


def test_durability_sets_the_flags(open_store, tmp_path):
    """I9: "commit" flushes each commit; the others flush nothing by themselves."""
    for durability, flushed in (("commit", True), ("checkpoint", False), ("process", False)):
        store = open_store(str(tmp_path / durability), durability=durability)
        flags = store._session.environment.handle.flags()

        assert (flushed, flushed, False) == (flags["sync"], flags["metasync"], flags["writemap"])
        store.sync()


MOUNTS = """\
22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw
40 22 0:40 / /home rw,relatime shared:2 - nfs4 server:/home rw
41 40 0:41 / /home/with\\040space rw - tmpfs tmpfs rw
42 22 0:42 / /tmp rw - ext4 /dev/tmp rw
43 22 0:43 / /tmp rw - fuse.sshfs host: rw
garbage
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/srv/store", "ext4"),
        ("/home/ada/store", "nfs4"),
        ("/homestead", "ext4"),
        ("/home/with space/store", "tmpfs"),
        ("/tmp/store", "fuse.sshfs"),
    ],
)
def test_filesystem_is_that_of_the_nearest_mount(path, expected, monkeypatch):
    """The mount point closest above the path counts, the later of two on one point."""
    monkeypatch.setattr(os.path, "realpath", lambda path: path)

    assert expected == filesystem_of(path, MOUNTS)
    assert "" == filesystem_of(path, "")


def test_network_filesystem_is_refused(path, monkeypatch):
    """A store on a network filesystem is refused with the reason, unless allowed."""
    with monkeypatch.context() as patch:
        patch.setattr(
            "objcache.engine._files._mounts", lambda: "1 0 0:1 / / rw - nfs4 server:/ rw\n"
        )
        with pytest.raises(NetworkFilesystemError, match="lies on nfs4.*allow_network=True"):
            Store(path)
        Store(path, allow_network=True).close()


def test_local_filesystem_is_accepted(tmp_path):
    """The filesystem of this test is told by the system and accepted."""
    check_filesystem(str(tmp_path))


def test_lock_waits_by_the_clock_it_is_given(tmp_path):
    """A lock with a timeout gives up when its clock says so, and names holder and time."""
    clock = ManualClock()
    one = FileLock(str(tmp_path / "lock"), "store", clock, 0o600)
    other = FileLock(str(tmp_path / "lock"), "store", clock, 0o600)
    one.acquire(exclusive=True, timeout_s=None)
    before = clock.now()
    with pytest.raises(StoreBusyError, match="another process for 5 s"):
        other.acquire(exclusive=True, timeout_s=5.0)

    assert 4.9 < clock.now() - before <= 5.0
    one.release()
    other.acquire(exclusive=True, timeout_s=5.0)
    one.close()
    other.close()


def test_session_is_closed_twice(path):
    """Closing is idempotent, and the last session closes the file."""
    session = open_session(path, durability="process")
    close_session(session)
    close_session(session)

    assert session.closed
    os.unlink(os.path.join(path, "store.lmdb"))


def test_faults_never_leave_as_they_are(store, monkeypatch):
    """I8: an error of lmdb in any operation reaches the user as one of objcache, its cause attached."""
    store["a"] = 1

    class Failing:
        def __getattr__(self, name):
            def fail(*_, **__):
                raise lmdb.PanicError("injected")

            return fail

    store._session.begin = Failing
    operations = [
        lambda: store["a"],
        lambda: store.get("a"),
        lambda: "a" in store,
        lambda: len(store),
        lambda: list(store),
        lambda: list(store.items()),
        lambda: store.get_many(["a"]),
        lambda: list(store.range()),
    ]
    for operation in operations:
        with pytest.raises(ObjcacheError) as caught:
            operation()

        assert isinstance(caught.value.__cause__, EngineFault)
    store._session.environment.rewire()
    monkeypatch.setattr(type(store._session.environment), "begin_write", lambda *_, **__: Failing())
    for operation in (
        lambda: store.__setitem__("a", 1),
        lambda: store.__delitem__("a"),
        lambda: store.set_many({"a": 1}),
        lambda: store.clear(),
    ):
        with pytest.raises((ObjcacheError, lmdb.PanicError)) as caught:
            operation()

        assert isinstance(caught.value, ObjcacheError)


def test_full_disk_is_told_as_that(path):
    """Full disks and quotas are a StoreFullError, whether lmdb or the system says so."""
    assert isinstance(
        translated(lmdb.DiskError("copy: No space left on device"), path), StoreFullError
    )
    for number in (errno.ENOSPC, errno.EDQUOT):
        with pytest.raises(StoreFullError), translating(path, "opened"):
            raise OSError(number, os.strerror(number))


def test_lmdb_that_has_given_up_is_poisoned(open_store):
    """After a meta page that could not be written the store says so, and is closed in silence."""
    store = open_store()
    store["a"] = 1
    environment = store._session.environment

    assert isinstance(environment.translated(lmdb.PanicError("injected")), PoisonedStoreError)
    for use in (lambda: store.update(a=1), store.sync):
        with pytest.raises(PoisonedStoreError, match="injected"):
            use()
    assert 1 == store["a"]
    store.close()


def test_system_that_cannot_lock_is_an_error_of_objcache(tmp_path, monkeypatch):
    """Errors of flock(2) are told as a StoreError that names the file."""
    lock = FileLock(str(tmp_path / "lock"), str(tmp_path), ManualClock(), 0o600)

    def fail(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    for use in (
        lambda: lock.acquire(exclusive=True, timeout_s=None),
        lambda: lock.acquire(exclusive=False, timeout_s=1.0),
        lock.try_exclusive,
        lock.release,
    ):
        with pytest.raises(StoreError, match="cannot lock.*lock': .*No locks available"):
            use()
    lock.close()


def test_unknown_trouble_is_reported_as_ours(path):
    """What should not happen asks to be reported."""
    assert isinstance(translated(lmdb.BadDbiError("x"), path), InternalError)


def test_read_only_without_permission_to_write(path, monkeypatch):
    """A store that may not be written, as one in an image, opens for reading and takes no locks."""
    with Store(path) as store:
        store["a"] = 1
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        with pytest.raises(ObjcacheError, match="no permission to write.*readonly=True"):
            Store(path)
        with Store(path, readonly=True) as baked:
            environment = baked._session.environment

            assert {"a": 1} == baked
            assert environment.users is None
            assert environment.handle.flags()["readonly"]
            assert baked.check().ok
            with pytest.raises(ObjcacheError, match="opened read-only"):
                baked["b"] = 1
