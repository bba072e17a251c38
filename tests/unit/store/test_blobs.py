"""Values written and read piece by piece: whole or not there, never wrong, never all in memory."""

from __future__ import annotations

import errno
import io
import logging
import os
import random
import shutil
import tarfile
import tracemalloc

import pytest

from objcache import BlobError, BlobReader, CorruptRecordError, Store, StoreFullError
from objcache.engine.side_files import SideFiles
from objcache.errors import (
    KeyEncodingError,
    ReadOnlyStoreError,
    StoreClosedError,
    StoreError,
    TransactionClosedError,
)
from objcache.store import repair_store
from tests.conftest import SECRET
from tests.scripts import run, start
from tests.unit.store.test_side_files import MODES, names

LARGE = random.Random(1).randbytes((2 << 20) + 12_345)


@pytest.fixture(params=MODES)
def any_store(request, open_store):
    """A store of each durability; checkpoints are made when the test asks for one."""
    return open_store(**MODES[request.param])


def write(store, key, content=LARGE, piece=700_001):
    """Write *content* in pieces."""
    with store.open_blob(key, "wb") as blob:
        for start_at in range(0, len(content), piece):
            blob.write(content[start_at : start_at + piece])


def read(store, key, piece=100_003):
    """Return the value of *key*, read in pieces."""
    with store.open_blob(key) as blob:
        return b"".join(iter(lambda: blob.read(piece), b""))


def alter(file, offset):
    """Change one byte of *file*."""
    with open(file, "r+b") as opened:
        opened.seek(offset)
        before = opened.read(1)
        opened.seek(offset)
        opened.write(bytes([before[0] ^ 1]))


# -- what is written -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, len(LARGE)])
def test_what_was_written_is_read(any_store, size):
    """A blob is the bytes that were written, on every way; long ones lie in a side file."""
    write(any_store, "k", LARGE[:size])

    assert LARGE[:size] == any_store["k"] == any_store.get("k") == any_store.view("k")
    assert LARGE[:size] == read(any_store, "k") == dict(any_store)["k"]
    with any_store.open_blob("k") as blob:
        assert isinstance(blob, BlobReader)
        assert size == blob.size == any_store.entry("k").size
    assert (size >= 1 << 20) == len(names(any_store))
    assert any_store.check().ok


@pytest.mark.parametrize("key", ["k" * 700, frozenset({1}), ("a", 1)])
def test_any_key_of_any_mapping(any_store, key):
    """Long keys, keys without an order and namespaces have blobs, and count them."""
    inner = any_store.namespace("n")
    for mapping in (any_store, inner):
        for content in (b"small", LARGE):
            write(mapping, key, content)

            assert content == read(mapping, key) == mapping[key]
    assert (1, 1, 2) == (len(any_store), len(inner), any_store.stats().side_files)
    del inner[key]

    assert (1, 0) == (len(any_store), len(inner))


@pytest.mark.parametrize(
    "options",
    [{"codec": "json"}, {"codec": "raw"}, {"compression": "zlib"}, {"protocol": 4}],
    ids=lambda options: next(iter(options)) + "=" + str(next(iter(options.values()))),
)
def test_any_store_keeps_blobs(open_store, options):
    """Whatever encodes and compresses other values, a blob is stored as it is."""
    store = open_store(**options)
    write(store, "k", bytes(3 << 20))

    assert [3 << 20] == [os.path.getsize(file) for file in names(store)]
    assert bytes(3 << 20) == read(store, "k") == store["k"]
    assert (3 << 20, True) == (store.entry("k").size, store.check().ok)


def test_many_kinds_of_pieces(store):
    """Whatever is a contiguous buffer is written as its bytes; text is not."""
    with store.open_blob("k", "wb") as blob:
        pieces = [b"ab", bytearray(b"cd"), memoryview(b"e-f-")[::2].tobytes(), b""]
        written = [blob.write(piece) for piece in pieces]
        with pytest.raises(TypeError):
            blob.write("text")
        with pytest.raises(TypeError):
            blob.write(memoryview(b"abc")[::2])

        assert [2, 2, 2, 0] == written
        assert 6 == blob.tell() == blob.size
        assert (True, False, False) == (blob.writable(), blob.readable(), blob.seekable())
    assert b"abcdef" == store["k"]


def test_programs_that_take_files(store, tmp_path):
    """Archives, text and copies go through blobs as through files."""
    with store.open_blob("tar", "wb") as blob, tarfile.open(fileobj=blob, mode="w") as archive:
        member = tarfile.TarInfo("large")
        member.size = len(LARGE)
        archive.addfile(member, io.BytesIO(LARGE))
    with store.open_blob("text", "wb") as blob, io.TextIOWrapper(blob) as text:
        text.writelines(f"line {number}\n" for number in range(1000))
    with store.open_blob("tar") as source, store.open_blob("copy", "wb") as target:
        shutil.copyfileobj(source, target)

    with store.open_blob("copy") as blob, tarfile.open(fileobj=blob) as archive:
        assert LARGE == archive.extractfile("large").read()
    with store.open_blob("text") as blob:
        assert [b"line 7\n", b"line 8\n"] == list(blob)[7:9]


def test_nothing_is_seen_before_it_is_closed(any_store):
    """Until `close` the key has its old value, and then the whole new one."""
    any_store["k"] = "old"
    blob = any_store.open_blob("k", "wb")
    for _ in range(4):
        blob.write(LARGE)
        blob.flush()

        assert "old" == any_store["k"]
        assert any_store.check().ok
    blob.close()
    blob.close()

    assert 4 * LARGE == any_store["k"]
    write(any_store, "k", LARGE)
    any_store.sync()
    assert 1 == len(names(any_store))


def test_memory_does_not_grow_with_the_blob(store, tmp_path):
    """To write, copy, read, verify and check 48 MB takes some MB."""
    piece = bytes(48_000)
    file = tmp_path / "file"
    file.write_bytes(bytes(48_000_000))
    tracemalloc.start()
    try:
        with store.open_blob("k", "wb") as blob:
            for _ in range(1000):
                blob.write(piece)
        store.put_file("file", file)
        with store.open_blob("k", verify=True) as blob:
            while blob.read(1 << 20):
                pass

        assert store.check().ok
        assert 48_000_000 == store.entry("k").size
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        tracemalloc.start()
        whole = store["k"]
        peak_of_all = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 5_000_000
    assert 48_000_000 == len(whole) < peak_of_all < 49_000_000


def test_flushed_before_it_is_named(open_store, monkeypatch):
    """With `durability="commit"` the file and its name are on the disk before the record is written."""
    store = open_store(durability="commit")
    write(store, "other")
    flushed = []
    flush = os.fsync

    def note(descriptor):
        flushed.append((os.readlink(f"/proc/self/fd/{descriptor}"), len(store)))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    write(store, "k")
    (file,) = {str(name) for name in names(store)} & {path for path, _ in flushed}

    assert [(file, 1), (os.path.dirname(file), 1)] == flushed[:2]


def test_no_descriptor_is_left(store, tmp_path):
    """What was written, read, refused, discarded and looked at holds no file open."""
    write(store, "k")
    store["value"] = 1
    before = len(os.listdir("/proc/self/fd"))
    write(store, "k")
    read(store, "k")
    discard(store)
    with pytest.raises(BlobError):
        store.open_blob("value")
    with pytest.raises(BlobError):
        store.put_file("k", tmp_path)
    store.open_blob("k", verify=True).close()

    assert len(LARGE) == store.entry("k").size == len(store.entry("k").value)
    assert store.check().ok
    assert before == len(os.listdir("/proc/self/fd"))


# -- what is not stored ----------------------------------------------------------------------------


class OddError(Exception):
    """What leaves a block."""


def leave_by_an_exception(store):
    """Leave the block by an exception."""
    with pytest.raises(OddError), store.open_blob("k", "wb") as blob:
        blob.write(LARGE)
        raise OddError


def leave_a_wrapper_by_an_exception(store):
    """Leave the block of what closes the blob by an exception."""
    with (
        pytest.raises(OddError),
        io.TextIOWrapper(store.open_blob("k", "wb")) as text,
    ):
        text.write("x" * (2 << 20))
        raise OddError


def close_in_a_finally(store):
    """Close the blob on the way of an exception."""
    blob = store.open_blob("k", "wb")

    def fail():
        try:
            blob.write(LARGE)
            raise OddError
        finally:
            blob.close()

    with pytest.raises(OddError):
        fail()


def forget(store):
    """Let the blob be collected."""
    blobs = [store.open_blob("k", "wb")]
    blobs[0].write(LARGE)
    with pytest.warns(ResourceWarning, match="unclosed <objcache.BlobWriter of 'k'"):
        blobs.clear()


def discard(store):
    """Discard the blob."""
    blob = store.open_blob("k", "wb")
    blob.write(LARGE)
    blob.discard()
    blob.discard()
    blob.close()


def close_the_store(store):
    """Close the store before the blob."""
    with Store(store.path, secret=SECRET, durability=store.durability) as other:
        blob = other.open_blob("k", "wb")
        blob.write(LARGE)
    with pytest.raises(StoreClosedError):
        blob.close()


@pytest.mark.parametrize(
    "end",
    [
        leave_by_an_exception,
        leave_a_wrapper_by_an_exception,
        close_in_a_finally,
        forget,
        discard,
        close_the_store,
    ],
)
def test_what_is_not_closed_well_is_not_stored(any_store, end, caplog):
    """The old value stays, nothing is left of the new one, and another one can be written."""
    any_store["k"] = "old"
    end(any_store)

    assert (end in {close_in_a_finally, leave_a_wrapper_by_an_exception}) == bool(caplog.text)

    assert "old" == any_store["k"]
    assert [] == names(any_store)
    assert any_store.check().ok
    write(any_store, "k")
    assert LARGE == any_store["k"]


def fail():
    """Raise."""
    raise OddError


def test_closed_within_an_exception_is_told(store, caplog):
    """A blob that is closed while an exception is handled is not stored, and the log says so."""
    blob = store.open_blob("k", "wb")
    try:
        fail()
    except OddError:
        with caplog.at_level(logging.WARNING, "objcache"):
            blob.close()

    assert "the blob at 'k' was closed while an exception was being handled" in caplog.text
    assert "k" not in store


def test_opened_and_closed_within_an_exception(store):
    """What is opened where an exception is handled already is stored: that one is not its own."""
    try:
        fail()
    except OddError:
        blob = store.open_blob("one", "wb")
        blob.close()
        try:
            fail()
        except OddError:
            two = store.open_blob("two", "wb")
        two.close()

    assert {"one": b"", "two": b""} == dict(store)


def test_a_failed_write_fails_the_blob(store, monkeypatch):
    """After a write that has failed nothing is stored, and `close` says so."""
    store["k"] = "old"
    blob = store.open_blob("k", "wb")
    blob.write(LARGE)

    def broken(*_):
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patched:
        patched.setattr(os, "writev", broken)
        with pytest.raises(StoreError, match="broken"):
            blob.write(LARGE)

    assert [] == names(store)
    with pytest.raises(BlobError, match=r"a write to it has failed \(StoreError: .*broken"):
        blob.write(b"x")
    with pytest.raises(BlobError, match="a write to it has failed"):
        blob.close()
    blob.close()
    assert ("old", True) == (store["k"], blob.closed)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["writev", "posix_fallocate", "open"])
def test_full_disk(any_store, tmp_path, monkeypatch, number, call):
    """Without room for a blob or a file: StoreFullError, the old value intact, nothing left."""
    file = tmp_path / "file"
    file.write_bytes(LARGE)
    write(any_store, "k")
    any_store.sync()
    before = names(any_store)
    done = getattr(os, call)

    def full(*arguments):
        if call == "open" and "blobs" not in str(arguments[0]):
            return done(*arguments)
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        if call != "posix_fallocate":
            with pytest.raises(StoreFullError, match="free space on its disk"):
                write(any_store, "k", LARGE * 2)
        with pytest.raises(StoreFullError, match="free space on its disk"):
            any_store.put_file("k", file)
        with pytest.raises(StoreFullError), any_store.transaction() as transaction:
            transaction["j"] = 1
            transaction.put_file("k", file)

    assert (before, LARGE, 1) == (names(any_store), any_store["k"], len(any_store))


def test_killed_writers_leave_no_file(path, open_store):
    """What a killed process has written of a blob goes with the next open, and never was a value."""
    with open_store(durability="checkpoint") as store:
        store["k"] = "old"
    writer = start(
        """
        blob = open_store(durability="checkpoint").open_blob("k", "wb")
        for _ in range(4):
            blob.write(bytes(1 << 20))
        print("written", flush=True)
        sys.stdin.read()
        """,
        path,
    )
    writer.stdout.readline()

    assert 1 == len(names(path))
    writer.kill()
    writer.communicate()
    store = open_store(durability="checkpoint")
    assert ("old", []) == (store["k"], names(path))


def test_a_blob_that_the_map_has_no_room_for(open_store):
    """Where the record cannot be written, `close` raises, and the file is gone."""
    store = open_store(map_size_bytes=1 << 16)
    with pytest.raises(StoreFullError):
        for number in range(1000):
            write(store, "k" * 300 + str(number), bytes(1 << 20))

    stored = len(store)
    assert stored == len(names(store))
    assert store.check().ok


# -- transactions ----------------------------------------------------------------------------------


def test_blobs_belong_to_transactions(any_store):
    """A blob is seen in its transaction from `close` on, and goes with it where it is rolled back."""
    any_store["k"] = "old"
    with pytest.raises(OddError), any_store.transaction() as transaction:
        with transaction.open_blob("k", "wb") as blob:
            blob.write(LARGE)

            assert "old" == transaction["k"]
        assert LARGE == transaction["k"] == read(transaction, "k")
        raise OddError

    assert ("old", []) == (any_store["k"], names(any_store))
    with any_store.transaction() as transaction:
        write(transaction, "one")
        with pytest.raises(OddError), transaction.transaction() as inner:
            write(inner, "two")
            raise OddError
        write(any_store, "three", LARGE[::-1])

    assert ["k", "one", "three"] == list(any_store)
    assert (2, True) == (len(names(any_store)), any_store.check().ok)


def test_a_blob_outlives_no_transaction(any_store):
    """A blob of a transaction cannot be closed after it, and leaves nothing behind."""
    with any_store.transaction() as transaction:
        blob = transaction.open_blob("k", "wb")
        blob.write(LARGE)
    with pytest.raises(TransactionClosedError):
        blob.close()
    with pytest.raises(TransactionClosedError):
        transaction.open_blob("k", "wb")

    assert ([], {}) == (names(any_store), dict(any_store))


def test_snapshots_read_their_own_blobs(any_store):
    """A snapshot opens the blob of its moment, and writes none."""
    write(any_store, "k")
    with any_store.snapshot() as snapshot:
        write(any_store, "k", b"new")
        any_store.sync()

        assert LARGE == read(snapshot, "k")
        assert len(LARGE) == snapshot.entry("k").size
        with pytest.raises(ReadOnlyStoreError):
            snapshot.open_blob("k", "wb")


# -- reading ---------------------------------------------------------------------------------------


def test_reading_is_as_of_files(store):
    """Every way to read and to seek gives what it gives of the same bytes in memory."""
    write(store, "k")
    chance = random.Random(2)
    with store.open_blob("k") as blob, io.BytesIO(LARGE) as plain:
        assert (True, True, False) == (blob.readable(), blob.seekable(), blob.writable())
        for _ in range(400):
            size = chance.choice((-1, 0, 1, 100, 5000, 200_000, 3_000_000))
            deed = chance.choice(("seek", "read", "readinto", "readline", "peek", "end", "here"))
            if deed == "seek":
                place = chance.randrange(len(LARGE) + 100)

                assert plain.seek(place) == blob.seek(place)
            elif deed == "end":
                assert plain.seek(-size, 2) == blob.seek(-size, 2) if 0 < size < 10**6 else True
            elif deed == "here":
                assert plain.seek(1, 1) == blob.seek(1, 1)
            elif deed == "readinto":
                one, two = bytearray(max(size, 0)), bytearray(max(size, 0))

                assert plain.readinto(one) == blob.readinto(two)
                assert one == two
            elif deed == "peek":
                ahead = blob.peek(10)

                assert plain.getvalue()[plain.tell() :][: len(ahead)] == ahead
            else:
                assert getattr(plain, deed)(size) == getattr(blob, deed)(size)
            assert plain.tell() == blob.tell()
        for wrong in ((-1, 0), (-1 - len(LARGE), 2), (0, 7)):
            with pytest.raises(ValueError, match=r"seek|negative|invalid|whence"):
                blob.seek(*wrong)
        blob.seek(0)
        assert LARGE == blob.read(None)
        blob.seek(0)
        assert LARGE[:100] == blob.read1(100)
        assert 50 == blob.readinto1(bytearray(50))
        assert blob.read1()


@pytest.mark.parametrize("end", ["overwritten", "deleted", "compacted", "closed"])
def test_what_is_open_stays_what_it_is(path, end):
    """A reader goes on whatever becomes of the key and of the store."""
    store = Store(path, secret=SECRET, **MODES["checkpoint"])
    write(store, "k")
    blob = store.open_blob("k")
    first = blob.read(200_000)
    if end == "overwritten":
        write(store, "k", LARGE[::-1])
    elif end != "closed":
        del store["k"]
    store.sync()
    if end == "compacted":
        store.compact()
    store.close()
    shutil.rmtree(path)
    with blob:
        assert LARGE == first + blob.read()


@pytest.mark.damages
@pytest.mark.parametrize("offset", [0, 1 << 20, len(LARGE) - 1])
@pytest.mark.parametrize("piece", [1, 1000, 1 << 20, -1])
def test_altered_bytes_are_told_by_the_end(store, offset, piece):
    """Who reads in order to the end, in whatever pieces, gets an error in the place of the last."""
    write(store, "k")
    (file,) = names(store)
    alter(file, offset)
    with store.open_blob("k") as blob:
        blob.seek((2 << 20) if piece == 1 else 0)
        if piece == 1:  # in order, but for what was read at once
            blob.seek(0)
            blob.readinto(bytearray(len(LARGE) - 20_000))
        read_bytes = blob.tell()
        with pytest.raises(CorruptRecordError, match=f"'k'.*{file.name} was altered"):
            while got := blob.read(piece):
                read_bytes += len(got)

        assert read_bytes < len(LARGE)
        with pytest.raises(CorruptRecordError):
            blob.read()
    with pytest.raises(CorruptRecordError, match=file.name):
        store.open_blob("k", verify=True)
    for deed in (store.__getitem__, store.view):
        with pytest.raises(CorruptRecordError, match=file.name):
            deed("k")
    assert ["CorruptRecordError"] == [problem.kind for problem in store.check().problems]


@pytest.mark.damages
def test_each_pass_is_compared(store):
    """What is altered after it was read once is told to who reads it again from the start."""
    write(store, "k")
    with store.open_blob("k", verify=True) as blob:
        assert LARGE == blob.read()
        alter(names(store)[0], 0)
        blob.seek(0)
        with pytest.raises(CorruptRecordError):
            while blob.read(1000):
                pass


@pytest.mark.damages
def test_files_that_are_cut_short_or_gone(store):
    """A file that is cut short under a reader is an error where it ends; one that is gone at open."""
    write(store, "k")
    (file,) = names(store)
    with store.open_blob("k") as blob:
        os.truncate(file, 1_500_000)
        with pytest.raises(CorruptRecordError, match="cut short"):
            blob.read()
    with pytest.raises(CorruptRecordError, match=f"{file.name}.* is gone"):
        store.open_blob("k")
    file.unlink()
    entry = store.entry("k")

    assert len(LARGE) == entry.size
    for deed in (lambda: store.open_blob("k"), lambda: entry.value, lambda: store["k"]):
        with pytest.raises(CorruptRecordError, match="is gone"):
            deed()


def test_an_unreadable_disk_is_an_error_of_objcache(store, monkeypatch):
    """What the system cannot read is a StoreError, in the place of the bytes."""
    write(store, "k")

    def broken(*_):
        raise OSError(errno.EIO, "broken")

    with store.open_blob("k") as blob, monkeypatch.context() as patched:
        patched.setattr(os, "preadv", broken)
        with pytest.raises(StoreError, match="broken"):
            blob.read()


@pytest.mark.parametrize("value", [b"abc", bytearray(b"abc"), LARGE, bytearray(LARGE)])
def test_bytes_that_were_not_written_as_blobs(open_store, value):
    """Any value that is bytes is read as a file."""
    store = open_store()
    store["k"] = value

    assert value == read(store, "k")
    with open_store(store.path + " raw", codec="raw", compression="zlib") as raw:
        raw["k"] = bytes(value) + bytes(2 << 20)

        assert bytes(value) + bytes(2 << 20) == read(raw, "k")


def test_other_values_are_no_files(store):
    """A value that is something else is refused, and named."""
    store["k"] = {"a": 1}
    with pytest.raises(BlobError, match="the blob at 'k' is a value of type dict, not bytes"):
        store.open_blob("k")


# -- what is refused -------------------------------------------------------------------------------


def test_bad_ways_to_open(store, open_store):
    """Modes that are none, keys that are none or missing, stores that cannot be written or are closed."""
    for mode in ("r", "w", "r+b", "ab", ""):
        with pytest.raises(BlobError, match=r"mode .*: it is 'rb' or 'wb'"):
            store.open_blob("k", mode)
    with pytest.raises(BlobError, match="verify=True, which is for 'rb'"):
        store.open_blob("k", "wb", verify=True)
    with pytest.raises(KeyError):
        store.open_blob("k")
    with pytest.raises(KeyEncodingError):
        store.open_blob(object(), "wb")
    assert store.entry("k") is None
    with open_store(store.path, readonly=True) as reading:
        for deed in (lambda: reading.open_blob("k", "wb"), lambda: reading.put_file("k", __file__)):
            with pytest.raises(ReadOnlyStoreError):
                deed()
    store.close()
    for mode in ("rb", "wb"):
        with pytest.raises(StoreClosedError):
            store.open_blob("k", mode)


def test_use_after_close(store):
    """A closed blob says so, whatever is asked of it."""
    blob = store.open_blob("k", "wb")
    blob.write(LARGE)
    blob.close()
    for deed in (lambda: blob.write(b"x"), blob.tell, blob.__enter__):
        with pytest.raises(BlobError, match="the blob at 'k' is closed"):
            deed()
    with pytest.raises(BlobError, match="is closed"):
        blob.write_file(__file__)
    reader = store.open_blob("k")
    reader.close()
    reader.close()
    for deed in (reader.read, reader.tell, reader.readline, lambda: reader.seek(0)):
        with pytest.raises(BlobError, match="the blob at 'k' is closed"):
            deed()


def test_readers_complain_where_nobody_closes_them(store):
    """A reader that is forgotten warns, as files do."""
    store["k"] = b"x"
    blobs = [store.open_blob("k")]
    with pytest.warns(ResourceWarning, match="unclosed <objcache.BlobReader of 'k', 1 bytes>"):
        blobs.clear()


def test_forked_children(path):
    """A child may go on reading; what its parent writes it can neither write nor take away."""
    run(
        """
        from objcache.errors import ForkedStoreError
        store = open_store(durability="checkpoint")
        content = os.urandom(3_000_000)
        with store.open_blob("old", "wb") as blob:
            blob.write(content)
        reader, writer = store.open_blob("old"), store.open_blob("new", "wb")
        assert reader.read(1000) == content[:1000]
        writer.write(content)
        child = os.fork()
        if child == 0:
            for deed in (lambda: writer.write(b"x"), writer.close):
                try:
                    deed()
                except ForkedStoreError as error:
                    assert "blob" in str(error)
                else:
                    raise AssertionError
            del writer
            assert reader.read() == content[1000:]
            reader.close()
            with store.open_blob("child", "wb") as blob:
                blob.write(content[::-1])
            store.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert reader.read() == content[1000:]
        reader.close()
        writer.write(b"end")
        writer.close()
        assert store["new"] == content + b"end"
        assert store["child"] == content[::-1]
        assert store.check().ok
        store.close()
        """,
        path,
    )


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 5, 1 << 20, len(LARGE)])
def test_files_are_stored(any_store, tmp_path, size):
    """A file is stored with its content, small or large, as a path or as text."""
    file = tmp_path / "file"
    file.write_bytes(LARGE[:size])
    any_store.put_file("k", file)
    any_store.namespace("n").put_file("k", str(file))

    assert LARGE[:size] == any_store["k"] == read(any_store.namespace("n"), "k")
    assert any_store.check().ok
    file.write_bytes(b"another")
    assert LARGE[:size] == any_store["k"]


def test_files_that_share_their_blocks(store, tmp_path, monkeypatch):
    """Where the filesystem shares the blocks of files, nothing is written, and all of it compared."""
    file = tmp_path / "file"
    file.write_bytes(LARGE)
    cloned = []

    def clone(self, descriptor, source):
        cloned.append(os.sendfile(descriptor, source, 0, len(LARGE)))
        return True

    monkeypatch.setattr(SideFiles, "clone", clone)
    monkeypatch.setattr(SideFiles, "append", lambda _self, _descriptor, piece: piece[0] * 0)
    with store.open_blob("k", "wb") as blob:
        blob.write_file(file)
        monkeypatch.undo()
        blob.write(b"more")

    assert [len(LARGE)] == cloned
    assert LARGE + b"more" == store["k"] == read(store, "k")


def test_a_file_among_other_pieces(store, tmp_path, monkeypatch):
    """A file may stand between pieces, and behind another file; it shares no blocks then."""
    file = tmp_path / "file"
    file.write_bytes(LARGE)
    monkeypatch.setattr(SideFiles, "clone", None)
    with store.open_blob("k", "wb") as blob:
        blob.write(b"before")

        assert [len(LARGE)] * 2 == [blob.write_file(file) for _ in range(2)]
        blob.write(b"after")

    assert b"before" + LARGE + LARGE + b"after" == store["k"] == read(store, "k")


def shrink(file):
    """Cut *file* short."""
    os.truncate(file, 1_100_000)


def grow(file):
    """Append to *file*."""
    with open(file, "ab") as opened:
        opened.write(b"more")


def rewrite(file):
    """Change a byte of *file*."""
    alter(file, 0)
    os.utime(file, (1, 1))


@pytest.mark.parametrize("change", [shrink, grow, rewrite])
def test_files_that_change_meanwhile_are_not_stored(any_store, tmp_path, monkeypatch, change):
    """A file that is changed while it is copied is refused; the old value stays."""
    any_store["k"] = "old"
    file = tmp_path / "file"
    file.write_bytes(LARGE)
    reserve = SideFiles.reserve

    def change_then_reserve(self, descriptor, size_bytes):
        change(file)
        reserve(self, descriptor, size_bytes)

    monkeypatch.setattr(SideFiles, "reserve", change_then_reserve)
    with pytest.raises(BlobError, match=r"cannot be made from '.*file': it was changed meanwhile"):
        any_store.put_file("k", file)

    assert ("old", []) == (any_store["k"], names(any_store))


def test_what_is_no_file(store, tmp_path):
    """What is missing, a directory or a pipe is refused at once; nothing is left."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError):
        store.put_file("k", tmp_path / "missing")
    for name in ("pipe", "."):
        with pytest.raises(BlobError, match="it is no regular file"):
            store.put_file("k", tmp_path / name)

    assert ({}, []) == (dict(store), names(store))


# -- the whole store -------------------------------------------------------------------------------


def test_blobs_are_ordinary_entries(path, open_store, tmp_path):
    """Copies, compacting, new secrets, repair and counts of stores know blobs as other values."""
    store = open_store(**MODES["checkpoint"])
    write(store, "k")
    write(store, "small", b"abc")
    write(store, "gone")
    del store["gone"]
    store.copy(tmp_path / "copy")
    store.compact()

    assert 1 == len(names(store)) == store.stats().side_files
    assert len(LARGE) == store.stats().side_file_bytes
    with open_store(tmp_path / "copy") as copied:
        assert {"k": LARGE, "small": b"abc"} == dict(copied)
        assert LARGE == read(copied, "k")
    store.close()
    new = b"another secret of 16 bytes"
    with open_store(secret=[new, SECRET]) as store:
        assert (2, 0) == (store.rekey().signed, store.rekey().refused)
    with open_store(secret=new) as store:
        assert LARGE == read(store, "k")
    repaired = repair_store(path, tmp_path / "repaired", secret=new)

    assert repaired.complete
    with open_store(tmp_path / "repaired", secret=new) as saved:
        assert LARGE == read(saved, "k")
        assert saved.check(deep=True).ok


def test_entries_tell_the_size_without_the_value(open_store, monkeypatch):
    """`entry` counts the bytes of the value as stored, and reads it only when asked."""
    store = open_store(compression="zlib")
    store["text"] = "x" * 100_000
    store["array"] = bytearray(3_000_000)
    write(store, "blob")
    write(store, "small", b"abc")
    monkeypatch.setattr(os, "preadv", None)
    sizes = {key: store.entry(key).size for key in store}

    assert (len(LARGE), 3) == (sizes["blob"], sizes["small"])
    assert 0 < sizes["text"] < 2000
    assert 0 < sizes["array"] < 30_000
    assert len(LARGE) < store.entry("blob").size_bytes < len(LARGE) + 300
    monkeypatch.undo()
    entry = store.entry("blob")

    assert f"<objcache.StoreEntry of {len(LARGE)} bytes>" == repr(entry)
    assert entry.value is entry.value == LARGE


def test_the_value_of_an_entry_that_was_replaced(open_store):
    """A small value stays with its entry; a large one that went is a missing key."""
    store = open_store(**MODES["checkpoint"])
    write(store, "large")
    write(store, "small", b"abc")
    large, small = store.entry("large"), store.entry("small")
    store.clear()
    store.sync()

    assert b"abc" == small.value
    with pytest.raises(KeyError, match="large"):
        _ = large.value
