"""Counts of many processes: what is added is summed, and damage is ignored."""

from __future__ import annotations

import os
import stat
import struct
import sys
import threading

import pytest

from objcache import tallies as module
from objcache.tallies import COUNTERS, NAME_BYTES, Tallies, tallies_beside, tallies_of
from tests.scripts import finish, run, start

NAME = b"name of 16 bytes"
OTHER_NAME = b"another 16 bytes"
FILE_BYTES = 1 << 18

COUNTING = """
from objcache.tallies import Tallies, tallies_of
name = b"name of 16 bytes"
tallies = tallies_of(path)
tally = tallies.tally(name)
"""


@pytest.fixture
def place(tmp_path):
    """The directory of the files."""
    return tmp_path / "tallies"


@pytest.fixture
def tallies(place):
    """The counts of this process."""
    return Tallies(str(place))


def files(place):
    """Return the names of all files of tallies."""
    return sorted(file.name for file in place.glob("*.tally"))


def file_of(slots):
    """Return the bytes of a file with *slots*, which are names and three counts."""
    content = struct.pack("=8sQ", b"octally1", len(slots)).ljust(64, b"\0")
    content += b"".join(struct.pack("=16s3Q", *slot) for slot in slots)
    return content.ljust(FILE_BYTES, b"\0")


def test_what_nobody_counts_with_is_let_go(place):
    """With its last user the file goes to whoever counts next, and no descriptor stays open."""
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        tallies_of(str(place)).tally(NAME)[0] += 1
    here = tallies_of(str(place))

    assert (3, 0, 0) == here.totals(NAME)
    assert 1 == len(files(place))
    assert here is tallies_of(str(place))
    del here
    assert len(before) == len(os.listdir("/proc/self/fd"))


# -- adding and summing ----------------------------------------------------------------------


def test_counts_lie_beside_a_store(tmp_path, place):
    """The counts of a store lie in `tallies/` (docs/design/format.md); a reader adds none."""
    beside = tallies_beside(str(tmp_path), mode=0o640, readonly=False)
    readers = tallies_beside(str(tmp_path), mode=0o640, readonly=True)
    beside.tally(NAME)[0] += 1
    readers.tally(NAME)[0] += 10

    assert beside is tallies_of(str(place))
    assert (1, 0, 0) == beside.totals(NAME)
    assert (11, 0, 0) == readers.totals(NAME)
    assert [0o640] == [file.stat().st_mode & 0o777 for file in place.iterdir()]


def test_counts_of_all_objects_are_summed(place, tallies):
    """What any object of a directory has counted is in the totals of each."""
    other = Tallies(str(place))
    mine, theirs = tallies.tally(NAME), other.tally(NAME)
    mine[0] += 1
    mine[2] += 500
    theirs[0] += 2
    theirs[1] += 7
    other.tally(OTHER_NAME)[1] += 100

    assert (3, 7, 500) == tallies.totals(NAME) == other.totals(NAME)
    assert (0, 100, 0) == tallies.totals(OTHER_NAME)
    assert (0, 0, 0) == tallies.totals(b"not counted yet.")
    assert 2 == len(files(place))


def test_one_name_has_one_tally(tallies):
    """The counters of a name are the same ones whenever they are asked for."""
    first = tallies.tally(NAME)
    first[0] += 1

    assert first is tallies.tally(NAME)
    assert (3, 16) == (COUNTERS, NAME_BYTES)
    assert [1, 0, 0] == list(first)


def test_several_processes_are_summed(place):
    """The totals have what all processes have counted, the living and the dead."""
    counting = COUNTING + "tally[0] += int(sys.argv[2])\nprint('counted', flush=True)\ninput()\n"
    processes = [start(counting, place, number) for number in (1, 10, 100)]
    for process in processes:
        assert "counted\n" == process.stdout.readline()
    tallies = Tallies(str(place))

    assert (111, 0, 0) == tallies.totals(NAME)
    assert 4 == len(files(place))
    processes[0].kill()
    processes[0].wait()

    assert (111, 0, 0) == tallies.totals(NAME)
    for process in processes[1:]:
        process.stdin.write("\n")
        finish(process)
    processes[0].communicate()

    assert (111, 0, 0) == tallies.totals(NAME)


def test_the_file_of_a_dead_process_is_taken_over(place):
    """A new process goes on with the file of one that is gone, killed or not: counts stay."""
    for number in range(1, 6):
        killed = COUNTING + "tally[1] += 1\nos.kill(os.getpid(), 9)\n"
        start(killed, place).communicate()
        run(
            COUNTING + "tally[0] += 1\nassert list(tally)[:1] == [1 + int(sys.argv[2])]",
            place,
            number - 1,
        )

        assert 1 == len(files(place))
    tallies = Tallies(str(place))

    assert [5, 5, 0] == list(tallies.tally(NAME)) == list(tallies.totals(NAME))


def test_never_more_files_than_processes(place):
    """However processes come and go, there are as many files as were there at once."""
    for _ in range(3):
        processes = [
            start(COUNTING + "tally[0] += 1\nprint('', flush=True)\ninput()\n", place)
            for _ in range(4)
        ]
        for process in processes:
            process.stdout.readline()

        assert 4 == len(files(place))
        for process in processes:
            process.communicate("\n")

    assert (12, 0, 0) == Tallies(str(place)).totals(NAME)


def test_a_file_can_be_given_up(place, tallies):
    """After `close` another one goes on with the file; closing twice is no harm."""
    tallies.tally(NAME)[0] += 3
    tallies.close()
    tallies.close()
    other = Tallies(str(place))

    assert 1 == len(files(place))
    assert [3, 0, 0] == list(other.tally(NAME))


def test_totals_while_another_process_counts(place):
    """What a reader sees of a counter is never less than before, and never more than counted."""
    counting = start(
        COUNTING
        + """
print("begun", flush=True)
for number in range(400_000):
    tally[0] += 1
    tally[2] += 257
""",
        place,
    )
    counting.stdout.readline()
    tallies = Tallies(str(place))
    before = (0, 0, 0)
    while counting.poll() is None:
        now = tallies.totals(NAME)

        assert before[0] <= now[0] <= 400_000
        assert before[2] <= now[2] <= 400_000 * 257
        before = now
    counting.communicate()

    assert (400_000, 0, 400_000 * 257) == tallies.totals(NAME)


def test_threads_lose_no_count(tallies):
    """Additions of threads that share the global lock are exact, however often they change."""
    tally, interval = tallies.tally(NAME), sys.getswitchinterval()
    found = (None, 3)

    def count(tally):
        tally[0] += 1
        tally[2] += found[1]

    def count_often():
        for _ in range(100_000):
            count(tally)

    threads = [threading.Thread(target=count_often) for _ in range(4)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    assert (400_000, 0, 1_200_000) == tallies.totals(NAME)


def test_threads_that_ask_for_names_at_once_get_slots_of_their_own(tallies):
    """Names that several threads ask for at the same time do not share counters."""
    barrier, interval = threading.Barrier(4), sys.getswitchinterval()

    def ask(first):
        barrier.wait()
        for number in range(first, 1200, 4):
            tallies.tally(b"%16d" % number)[0] += 1
            tallies.tally(NAME)[0] += 1

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(4)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    assert {(1, 0, 0)} == {tallies.totals(b"%16d" % number) for number in range(1200)}
    assert (1200, 0, 0) == tallies.totals(NAME)


def test_more_names_than_slots(place, tallies):
    """A name for which there is no slot is counted for this process only."""
    slots = (FILE_BYTES - 64) // 40
    for number in range(slots + 2):
        tallies.tally(b"%16d" % number)[0] += number
    other = Tallies(str(place))

    assert (slots - 1, 0, 0) == other.totals(b"%16d" % (slots - 1))
    assert (slots + 1, 0, 0) == tallies.totals(b"%16d" % (slots + 1))
    assert (0, 0, 0) == other.totals(b"%16d" % slots)
    assert FILE_BYTES == os.path.getsize(place / files(place)[0])


# -- damage ----------------------------------------------------------------------------------

GOOD = file_of([(NAME, 1, 2, 3)])
DAMAGED = {
    "cut off": GOOD[:-1],
    "too long": GOOD + b"\0",
    "another magic": b"octally2" + GOOD[8:],
    "more slots than fit": GOOD[:8] + struct.pack("=Q", 1 << 40) + GOOD[16:],
    "a count that nobody can add to": file_of([(NAME, 2**64 - 1, 0, 0)]),
    "text": b"some text",
    "a few zeros": bytes(100),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_left_alone(place, content):
    """A file that is not one of tallies is neither counted nor taken over nor changed."""
    place.mkdir()
    (place / "a.tally").write_bytes(content)
    (place / "b.tally").write_bytes(GOOD)
    taking, reading = Tallies(str(place)), Tallies(str(place))
    taking.tally(NAME)[0] += 1

    assert (2, 2, 3) == taking.totals(NAME) == reading.totals(NAME)
    assert content == (place / "a.tally").read_bytes()
    assert 3 == len(files(place))


def test_the_intact_file_of_these_tests_is_one(place):
    """The bytes that the other tests damage are those of a file of tallies."""
    place.mkdir()
    (place / "a.tally").write_bytes(GOOD)

    assert [1, 2, 3] == list(Tallies(str(place)).tally(NAME))


@pytest.mark.parametrize("kind", ["link", "pipe", "directory", "dangling link"])
def test_what_is_no_file_is_never_followed(place, tmp_path, kind):
    """Links are not followed, pipes are not waited for; nothing outside is made or changed."""
    place.mkdir()
    obstacle, target = place / "a.tally", tmp_path / "target"
    if kind == "link":
        target.write_bytes(GOOD)
    if "link" in kind:
        obstacle.symlink_to(target)
    elif kind == "pipe":
        os.mkfifo(obstacle)
    else:
        obstacle.mkdir()
    first, second = Tallies(str(place)), Tallies(str(place))
    first.tally(NAME)[0] += 5

    assert (5, 0, 0) == first.totals(NAME) == second.totals(NAME)
    assert (kind == "link") == target.exists()
    if kind == "link":
        assert GOOD == target.read_bytes()


@pytest.mark.parametrize("content", [b"", bytes(FILE_BYTES)], ids=["empty", "no header"])
def test_a_file_that_was_not_finished_is_taken(place, content):
    """A process killed while it made its file leaves one that the next process finishes."""
    place.mkdir()
    (place / "a.tally").write_bytes(content)
    Tallies(str(place)).tally(NAME)[0] += 1

    assert ["a.tally"] == files(place)
    assert file_of([(NAME, 1, 0, 0)]) == (place / "a.tally").read_bytes()


def test_a_new_file_has_all_its_blocks(place, tallies):
    """A file is not mapped before the disk has room for it: a full one never kills the process."""
    status = (place / files(place)[0]).stat()

    assert status.st_blocks * 512 >= status.st_size == FILE_BYTES


def test_a_full_disk(place, monkeypatch):
    """Where there is no room for a file, counts are of this object only."""
    monkeypatch.setattr(module.os, "pwrite", lambda _descriptor, content, _at: len(content) // 2)
    tallies = Tallies(str(place))
    tallies.tally(NAME)[0] += 1
    monkeypatch.undo()

    assert (1, 0, 0) == tallies.totals(NAME)
    assert (0, 0, 0) == Tallies(str(place)).totals(NAME)


@pytest.mark.parametrize("obstacle", ["a file in its place", "no locks", "not writable"])
def test_no_files_can_be_made(place, tmp_path, monkeypatch, obstacle):
    """Without a file, counts are of this object only; those of others are still read."""
    if obstacle == "a file in its place":
        place.write_text("")
    else:
        Tallies(str(place)).tally(NAME)[0] += 10

        def refuse(*_):
            raise PermissionError

        if obstacle == "no locks":
            monkeypatch.setattr(module.fcntl, "flock", refuse)
        else:
            opened = os.open
            monkeypatch.setattr(
                module.os,
                "open",
                lambda path, flags, *mode: (
                    refuse() if flags & os.O_RDWR else opened(path, flags, *mode)
                ),
            )
    tallies = Tallies(str(place))
    tallies.tally(NAME)[0] += 1

    assert (1 if place.is_file() else 11, 0, 0) == tallies.totals(NAME)
    assert 1 == tallies.tally(NAME)[0]


# -- who shares what -------------------------------------------------------------------------


def test_counts_that_are_not_shared(tmp_path):
    """Without a directory, counts are of the caller only; who shares none reads those of others."""
    private = tallies_of(None)
    private.tally(NAME)[0] += 1
    shared = Tallies(str(tmp_path))
    shared.tally(NAME)[0] += 1
    beside = Tallies(str(tmp_path), shared=False)

    assert (1, 0, 0) == private.totals(NAME)
    assert (0, 0, 0) == tallies_of(None).totals(NAME)
    assert (1, 0, 0) == beside.totals(NAME)


def test_one_object_for_each_directory(tmp_path):
    """All users of a directory in one process share one file, by whatever path."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    tallies = tallies_of(str(tmp_path / "link"))

    assert tallies is tallies_of(str(tmp_path / "real"))
    assert 1 == len(files(tmp_path / "real"))


@pytest.mark.parametrize(("mode", "folder"), [(0o600, 0o700), (0o660, 0o770)])
def test_modes_of_new_files(place, mode, folder):
    """New files have the mode that was asked for; who may read them may enter the directory."""
    before = os.umask(0)
    try:
        Tallies(str(place), mode=mode)
    finally:
        os.umask(before)

    assert mode == stat.S_IMODE((place / files(place)[0]).stat().st_mode)
    assert folder == stat.S_IMODE(place.stat().st_mode)


# -- fork ------------------------------------------------------------------------------------


def test_a_forked_child_counts_in_a_file_of_its_own(place):
    """Parent and child go on each in its own file, and nothing that either counts is lost."""
    run(
        COUNTING
        + """
tally[0] += 1
pid = os.fork()
if pid == 0:
    own = tallies_of(path)
    assert own is not tallies
    own = own.tally(name)
    for _ in range(20_000):
        own[0] += 1
    os._exit(0)
for _ in range(20_000):
    tally[0] += 1
assert os.waitpid(pid, 0)[1] == 0
assert tallies is tallies_of(path)
assert tallies.totals(name) == (40_001, 0, 0), tallies.totals(name)
assert len(os.listdir(path)) == 2
""",
        place,
    )


def test_a_child_does_not_keep_the_file_of_its_dead_parent(place):
    """When the parent dies, its file is free for others although the child lives on."""
    parent = start(
        COUNTING
        + """
tally[0] += 1
reading, writing = os.pipe()
if os.fork() == 0:
    os.close(writing)
    os.read(reading, 1)
    print("alone", flush=True)
    sys.stdin.read()
    os._exit(0)
os._exit(0)
""",
        place,
    )

    assert "alone\n" == parent.stdout.readline()
    parent.wait()
    tallies = Tallies(str(place))

    assert 1 == len(files(place))
    assert [1, 0, 0] == list(tallies.tally(NAME))
    parent.communicate()


def test_forks_while_a_thread_opens_its_file(tmp_path):
    """A child that is forked while the parent opens a file does not keep it locked."""
    run(
        """
        import threading
        from objcache.tallies import Tallies, tallies_of
        name = b"name of 16 bytes"
        sys.setswitchinterval(1e-5)
        places = [os.path.join(path, str(number)) for number in range(150)]
        opened = []
        def open_all():
            for place in places:
                opened.append(tallies_of(place))
                opened[-1].tally(name)[0] += 1
        thread = threading.Thread(target=open_all)
        thread.start()
        reading, writing = os.pipe()
        children = []
        while thread.is_alive() and len(children) < 30:
            pid = os.fork()
            if pid == 0:
                os.close(writing)
                os.read(reading, 1)
                os._exit(0)
            children.append(pid)
        thread.join()
        for place, tallies in zip(places, opened, strict=True):
            tallies.close()
            assert Tallies(place).totals(name) == (1, 0, 0)
            assert len(os.listdir(place)) == 1, place
        os.close(writing)
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * len(children)
        """,
        tmp_path,
    )
