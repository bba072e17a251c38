"""The recorder: nothing that is written goes unseen, and kills come when they are due."""

from __future__ import annotations

import os
import pathlib
import textwrap

import pytest

from tests.crash import recorder
from tests.crash.recorder import run_recorded, scratch
from tests.crash.recording import Kind, Recording, RecordingError

PRELUDE = """
import ctypes, os, signal, struct, sys
import lmdb
from tests.crash.recorder import kill_me_in, mark, start_recording
root = os.environ["CRASH_DIRECTORY"]
os.chdir(root)
"""


@pytest.fixture
def place():
    """A directory that holds what was recorded."""
    with scratch("recorder") as directory:
        os.mkdir(os.path.join(directory, "root"))
        os.mkdir(os.path.join(directory, "base"))
        yield directory


def record(place, code):
    """Run *code* under the recorder; return what was recorded."""
    script = PRELUDE + textwrap.dedent(code)
    run_recorded(["-c", script], f"{place}/root", f"{place}/log")
    return Recording(f"{place}/root", f"{place}/base", f"{place}/log")


def kinds(recording):
    """Return the names of the kinds of all events but marks."""
    return [Kind(event.kind).name for event in recording.events if event.kind != Kind.MARK]


def test_every_way_to_write_is_seen(place):
    """Whatever call writes, the log holds the bytes: replayed, it gives the files as they are."""
    recording = record(
        place,
        """
        start_recording(root)
        fd = os.open("one", os.O_RDWR | os.O_CREAT)
        os.write(fd, b"1" * 5000)
        os.pwrite(fd, b"2" * 10, 4090)
        os.writev(fd, [b"3" * 7, b"4" * 8000])
        os.pwritev(fd, [b"5", b"6"], 20_000)
        held = bytearray(b"seven")
        parts = struct.pack("PN", ctypes.addressof(ctypes.c_char.from_buffer(held)), len(held))
        ctypes.CDLL(None).pwritev(fd, parts, 1, ctypes.c_long(21_000))
        os.ftruncate(fd, 15_003)
        os.posix_fallocate(fd, 0, 30_000)
        os.close(fd)
        with open("two", "wb") as file:
            file.write(b"7" * 100_000)
        with open("two", "ab") as file:
            file.write(b"8")
        os.truncate("two", 99_999)
        with open("one", "r+b") as file:
            file.seek(100)
            file.write(b"9")
        os.mkdir("below")
        os.rename("two", "below/three")
        os.link("one", "below/four")
        os.unlink("one")
        os.mkdir("gone")
        os.rmdir("gone")
        """,
    )

    assert [] == recording.unseen()
    assert 8 == kinds(recording).count("WRITE")
    assert ["MAKE_DIRECTORY", "RENAME", "LINK", "UNLINK"] == kinds(recording)[-6:-2]


@pytest.mark.parametrize("sync", [True, False])
def test_what_lmdb_writes_is_seen(place, sync):
    """Pages, runs of pages, meta pages and flushes of py-lmdb's wheel all pass the recorder."""
    recording = record(
        place,
        f"""
        start_recording(root)
        env = lmdb.open("store", map_size=1 << 30, sync={sync}, lib_version=0)
        for number in range(5):
            with env.begin(write=True) as transaction:
                transaction.put(b"key", bytes([number]) * 200_000)
                transaction.put(b"%d" % number, b"short")
        env.close()
        """,
    )

    assert [] == recording.unseen()
    assert [1, 2, 3, 4, 5] == [commit.transaction for commit in recording.commits]
    assert (5 if sync else 0) == kinds(recording).count("SYNC_END")
    assert (5 if sync else 0) == kinds(recording).count("RANGE_SYNCED")


def test_what_is_not_recorded_is_noticed(place):
    """Writes through a mapping cannot be seen: files like that are known."""
    recording = record(
        place,
        """
        import mmap
        start_recording(root)
        fd = os.open("mapped", os.O_RDWR | os.O_CREAT)
        os.ftruncate(fd, 4096)
        mmap.mmap(fd, 4096)[0] = 1
        """,
    )
    pathlib.Path(place, "root", "more").write_bytes(b"from elsewhere")

    assert "MAPPED" in kinds(recording)
    assert [f"{recording.root}/more: there or not?"] == recording.unseen()


def test_one_order_over_all_processes(place):
    """Events of two processes are in the order in which they happened."""
    recording = record(
        place,
        """
        start_recording(root)
        fd = os.open("file", os.O_RDWR | os.O_CREAT)
        turns = [os.pipe(), os.pipe()]
        child = os.fork()
        me = 0 if child else 1
        if me == 0:
            os.write(turns[0][1], b"x")
        for number in range(50):
            os.read(turns[me][0], 1)
            os.pwrite(fd, b"%d" % me, 2 * number + me)
            os.write(turns[1 - me][1], b"x")
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        """,
    )
    writes = [event for event in recording.events if event.kind == Kind.WRITE]

    assert list(range(100)) == [event.offset for event in writes]
    assert b"01" * 50 == b"".join(bytes(event.payload) for event in writes)
    assert 2 == len({event.process for event in writes})


def test_a_process_dies_at_the_event_that_was_asked_for(place):
    """The n-th event is not done, those before are, and the lock passes to other processes."""
    recording = record(
        place,
        """
        start_recording(root)
        fd = os.open("file", os.O_RDWR | os.O_CREAT)
        for events in (1, 2, 3):
            child = os.fork()
            if not child:
                kill_me_in(events)
                for number in range(10):
                    os.pwrite(fd, b"x", 10 * events + number)
                os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        os.pwrite(fd, b"parent", 100)
        """,
    )
    offsets = [event.offset for event in recording.events if event.kind == Kind.WRITE]

    assert [20, 30, 31, 100] == offsets
    assert 3 == kinds(recording).count("KILLED")
    assert [] == recording.unseen()


def test_others_write_while_one_syncs(place):
    """A sync is two events, and what another thread writes meanwhile lies between them."""
    recording = record(
        place,
        """
        import threading
        start_recording(root)
        fd = os.open("file", os.O_RDWR | os.O_CREAT)
        written = threading.Event()

        def sync():
            while not written.is_set():
                os.fdatasync(fd)

        syncing = threading.Thread(target=sync)
        syncing.start()
        for _ in range(1000):
            os.pwrite(fd, b"x", 0)
        written.set()
        syncing.join()
        os.fsync(fd)
        """,
    )
    found = "".join(
        {"WRITE": "w", "SYNC_BEGIN": "(", "SYNC_END": ")"}.get(kind, "")
        for kind in kinds(recording)
    )

    assert 1 < found.count("(") == found.count(")")
    assert 1000 == found.count("w")
    assert "(w" in found


def test_without_a_compiler_the_tests_fail_and_say_why(monkeypatch, tmp_path):
    """No C compiler is an error with a name, never a silent skip."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(recorder.tempfile, "gettempdir", lambda: str(tmp_path))
    recorder.compiled_shim.cache_clear()
    with pytest.raises(RuntimeError, match="needs a C compiler"):
        recorder.compiled_shim()
    recorder.compiled_shim.cache_clear()


def test_what_the_compiler_says_is_shown(monkeypatch, tmp_path):
    """A shim that does not compile fails with the compiler's words."""
    broken = tmp_path / "shim.c"
    broken.write_text("this is not C\n")
    monkeypatch.setattr(recorder, "_SOURCE", broken)
    monkeypatch.setattr(recorder.tempfile, "gettempdir", lambda: str(tmp_path))
    recorder.compiled_shim.cache_clear()
    with pytest.raises(RuntimeError, match=r"cannot compile shim\.c"):
        recorder.compiled_shim()
    recorder.compiled_shim.cache_clear()


def test_a_commit_lost_without_a_power_cut_is_noticed(place):
    """Transactions without a power cut between them have numbers without a gap."""
    code = """
        start_recording(root)
        def commit():
            with lmdb.open("store", sync=False, lib_version=0) as env:
                with env.begin(write=True) as transaction:
                    transaction.put(b"key", b"value")
        commit()
        commit()
        with open("store/data.mdb", "rb") as file:
            before = file.read(8192)
        commit()
        with open("store/data.mdb", "r+b") as file:
            file.write(before)
        commit()
        """
    with pytest.raises(RecordingError, match="commits transaction 3 after 3: a commit was lost"):
        record(place, code)
