"""The pulse of a file: it changes with every commit of any process, and with nothing else."""

from __future__ import annotations

import os
import struct

import pytest

from objcache.engine import FILE_NAME, Pulse
from tests.scripts import finish, run, start


@pytest.fixture
def environment(store):
    """The open file of a store with an entry."""
    store["before"] = 1
    return store._session.environment


@pytest.fixture
def pulse(environment):
    """Its pulse."""
    return environment.feel_pulse()


def reader_id(store):
    """Return the number of the transaction that a reader sees now."""
    return store._session.read(lambda transaction: transaction.id())


def test_every_commit_changes_it(store, pulse):
    """Each commit of this process gives a number that was never there before."""
    seen = [pulse.now()]
    for number in range(20):
        store["key"] = number
        seen.append(pulse.now())
    del store["key"]
    seen.append(pulse.now())
    with store.transaction() as transaction:
        transaction["a"] = 1
        with transaction.transaction() as inner:
            inner["b"] = 2

        assert seen[-1] == pulse.now()
    seen.append(pulse.now())

    assert sorted(set(seen)) == seen


def test_the_words_tell_what_now_tells(store, pulse):
    """The sum of the two words, which fast paths read for themselves, is `now`."""
    for number in range(3):
        store["key"] = number

        assert pulse.now() == pulse.ids[pulse.first] + pulse.ids[pulse.second]


def test_last_is_what_readers_see(store, pulse):
    """Between commits, `last` is the transaction that a new reader reads."""
    for number in range(5):
        assert reader_id(store) == pulse.last()
        store["key"] = number


def test_commits_of_another_process_change_it(store, pulse, path):
    """A commit of another process is seen as soon as that process knows of it itself."""
    writer = start(
        """
        store = open_store()
        print("open", flush=True)
        for number in range(10):
            input()
            store["key"] = number
            print(number, flush=True)
        store.close()
        """,
        path,
    )
    writer.stdout.readline()
    for number in range(10):
        before = pulse.now()
        writer.stdin.write("\n")
        writer.stdin.flush()

        assert f"{number}\n" == writer.stdout.readline()
        assert before < pulse.now()
        assert reader_id(store) == pulse.last()
    finish(writer)


def test_what_commits_nothing_does_not_change_it(store, pulse, path):
    """Reads, snapshots, empty and aborted transactions leave it as it was, in any process."""
    before = pulse.now()
    dict(store)
    with store.snapshot() as snapshot:
        len(snapshot)
    with store.transaction():
        pass
    with pytest.raises(ZeroDivisionError), store.transaction() as transaction:
        transaction["before"] = 2
        1 / 0
    with store.transaction() as transaction:
        with pytest.raises(ZeroDivisionError), transaction.transaction() as inner:
            inner["before"] = 3
            1 / 0
    store.pop("nothing", None)
    store.delete_many(["nothing"])
    run("store = open_store(); dict(store); store.close()", path)

    assert before == pulse.now()
    assert 1 == store["before"]


def test_writing_what_is_there_already_changes_it(store, pulse):
    """A commit counts, not what it changes: the same value again is another pulse."""
    before = pulse.now()
    store["before"] = 1

    assert before < pulse.now()


def test_one_pulse_until_the_file_is_replaced(store, environment, pulse):
    """The same object tells until `compact` puts another file in its place."""
    assert pulse is environment.feel_pulse() is environment.pulse
    told = pulse.now()
    store.compact()

    assert environment.pulse is None
    fresh = environment.feel_pulse()

    assert fresh is not pulse
    assert told != pulse.now()
    before = fresh.now()
    store["key"] = 1

    assert before < fresh.now()
    assert reader_id(store) == fresh.last()


def test_another_file_in_its_place_has_another_pulse(store, environment, path):
    """A file that was put in the place of the open one tells nothing of it."""
    file = environment.options.file
    os.rename(file, file + ".away")
    with open(file + ".away", "rb") as away, open(file, "wb") as other:
        other.write(away.read())
    pulse = environment.feel_pulse()
    os.rename(file + ".away", file)

    assert 2 * (2**64 - 1) == pulse.now()


@pytest.mark.parametrize("page_bytes", [4096, 8192, 16384, 32768, 65536])
def test_a_pulse_that_has_ended(tmp_path, page_bytes):
    """It says what no file says, so that nothing that was seen with it is current any more."""
    file = tmp_path / "file"
    file.write_bytes(bytes(2 * page_bytes))
    pulse = Pulse(str(file), page_bytes)
    pulse.end()
    pulse.end()

    assert (2 * (2**64 - 1), 2**64 - 1) == (pulse.now(), pulse.last())
    assert pulse.now() == pulse.ids[pulse.first] + pulse.ids[pulse.second]


def test_copies_and_rekeying_replace_nothing(store, environment, pulse, tmp_path, open_store):
    """`copy` leaves the pulse of its source alone; a new signature is a commit like others."""
    before = pulse.now()
    store.copy(tmp_path / "copy")

    assert before == pulse.now()
    copy = open_store(str(tmp_path / "copy"))
    other = copy._session.environment.feel_pulse()
    was = other.now()
    copy["key"] = 1

    assert before == pulse.now()
    assert was < other.now()
    store.rekey()

    assert pulse is environment.pulse
    assert reader_id(store) == pulse.last()


def test_a_store_opened_again_has_another_pulse(path, open_store):
    """A store that is closed and opened again tells of the file as it is now."""
    first = open_store()
    first["key"] = 1
    old = first._session.environment.feel_pulse()
    first.close()
    second = open_store()
    second["key"] = 2
    fresh = second._session.environment.feel_pulse()

    assert fresh is not old
    assert fresh.now() != old.now()
    assert reader_id(second) == fresh.last()


def test_a_store_that_is_only_read(store, environment, path, open_store):
    """A read-only store has a pulse like any other."""
    store.close()
    readonly = open_store(readonly=True)
    pulse = readonly._session.environment.feel_pulse()
    before = pulse.now()
    run("store = open_store(); store['key'] = 1; store.close()", path)

    assert before < pulse.now()
    assert reader_id(readonly) == pulse.last()


def test_a_forked_child_has_its_own(path):
    """The child opens the file anew; parent and child see each other's commits."""
    run(
        """
        store = open_store()
        store["key"] = 0
        pulse = store._session.environment.feel_pulse()
        before = pulse.now()
        pid = os.fork()
        if pid == 0:
            store["key"] = 1
            assert store._session.environment.pulse is None
            own = store._session.environment.feel_pulse()
            assert own is not pulse and own.now() > before
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert pulse.now() > before
        store.close()
        """,
        path,
    )


@pytest.mark.parametrize("page_bytes", [4096, 8192, 16384, 32768, 65536])
def test_any_size_of_page(tmp_path, page_bytes):
    """The numbers are found whatever the size of the two pages."""
    file = tmp_path / "file"
    content = bytearray(3 * page_bytes)
    content[144:152] = struct.pack("=Q", 40)
    content[page_bytes + 144 : page_bytes + 152] = struct.pack("=Q", 41)
    file.write_bytes(content)
    pulse = Pulse(str(file), page_bytes)

    assert (81, 41) == (pulse.now(), pulse.last())


def test_it_costs_one_descriptor(store, environment):
    """A pulse costs one descriptor while it is used, and none afterwards."""
    before = len(os.listdir("/proc/self/fd"))
    pulses = [Pulse(environment.options.file, 4096) for _ in range(3)]

    assert before + 3 == len(os.listdir("/proc/self/fd"))
    pulses.clear()

    assert before == len(os.listdir("/proc/self/fd"))


def test_a_file_that_is_not_there(tmp_path):
    """A pulse of nothing is an error of the operating system, and leaves nothing open."""
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        Pulse(str(tmp_path / FILE_NAME), 4096)
    (tmp_path / "short").write_bytes(b"short")
    with pytest.raises(ValueError, match="length"):
        Pulse(str(tmp_path / "short"), 4096)

    assert before == len(os.listdir("/proc/self/fd"))
