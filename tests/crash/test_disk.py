"""The model of a disk: which versions of pages, lengths and names a power cut may leave."""

from __future__ import annotations

import os
import pathlib
import random
from types import SimpleNamespace

import pytest

from tests.crash.disk import Disk, DiskFile
from tests.crash.images import DATA_POLICIES, ImagePlan, draw_image
from tests.crash.page_walk import walk
from tests.crash.recording import PAGE, Event, Kind, txnids_in, value_of

ROOT = "/root"


def event(kind, file=7, offset=0, length=0, payload=b"", extra=0):
    """Return an event of the log."""
    return Event(kind, 1, 1, file, offset, length or len(payload), extra, memoryview(payload))


def created(path, file=7):
    """Return the event that creates *path*."""
    return event(Kind.CREATE, file, payload=f"{ROOT}/{path}".encode())


def renamed(path, to):
    """Return the event that renames *path*."""
    return event(Kind.RENAME, 0, payload=f"{ROOT}/{path}\0{ROOT}/{to}".encode())


def disk_after(events, tmp_path):
    """Return the disk after *events*, from nothing."""
    base = tmp_path / "base"
    base.mkdir(exist_ok=True)
    recording = SimpleNamespace(
        root=ROOT, base=str(base), base_names={}, root_inode=1, events=list(events)
    )
    disk = Disk(recording)
    for _ in events:
        disk.advance()
    return disk


def drawn(disk, tmp_path, count=200):
    """Return *count* images, as what they hold by name."""
    found = []
    for number in range(count):
        target = tmp_path / f"image {number}"
        target.mkdir()
        draw_image(disk, ImagePlan(number, disk.now, f"seed {number}"), str(target))
        found.append(
            {
                str(file.relative_to(target)): file.read_bytes()
                for file in target.rglob("*")
                if file.is_file()
            }
        )
    return found


def page(letter):
    """Return a page full of *letter*."""
    return letter.encode() * PAGE


def test_unsynced_pages_are_there_or_not_each_for_itself(tmp_path):
    """Of three pages that were not synced, any may be on the disk and any may not."""
    events = [
        created("file"),
        *(
            event(Kind.WRITE, offset=number * PAGE, payload=page("abc"[number]))
            for number in range(3)
        ),
    ]
    images = drawn(disk_after(events, tmp_path), tmp_path)
    contents = {image["file"] for image in images if "file" in image}
    kept = {
        "".join(content[at : at + 1].decode() for at in range(0, len(content), PAGE)).replace(
            "\0", "-"
        )
        for content in contents
    }

    assert {"", "a", "ab", "abc", "--c", "-b-", "a-c"} <= kept
    assert kept <= {
        "".join(found)[:length]
        for length in range(4)
        for found in ((a, b, c) for a in "a-" for b in "b-" for c in "c-")
    }


def test_what_a_sync_covers_is_always_there(tmp_path):
    """A write before a sync that has ended is in every image; one after its begin may be."""
    events = [
        created("file"),
        event(Kind.WRITE, payload=page("a")),
        event(Kind.SYNC_BEGIN),
        event(Kind.WRITE, payload=page("b")),
        event(Kind.SYNC_END, offset=2),
    ]
    images = drawn(disk_after(events, tmp_path), tmp_path)
    found = {image["file"] for image in images if "file" in image}
    pure = {content for content in found if len(set(content)) == 1}

    assert {page("a"), page("b")} == pure
    assert all(set(content) <= {ord("a"), ord("b")} for content in found)


@pytest.mark.parametrize("problem", ["it has not ended", "it failed"])
def test_a_sync_that_has_not_succeeded_covers_nothing(tmp_path, problem):
    """A sync under way, or one that failed, promises nothing."""
    events = [created("file"), event(Kind.WRITE, payload=page("a")), event(Kind.SYNC_BEGIN)]
    if problem == "it failed":
        events.append(event(Kind.SYNC_END, offset=2, extra=1))
    images = drawn(disk_after(events, tmp_path), tmp_path)

    assert b"" in {image["file"] for image in images if "file" in image}


def test_pages_may_be_old_and_torn(tmp_path):
    """A page written twice may hold either version, or sectors of each, but no half sector."""
    events = [
        created("file"),
        event(Kind.WRITE, payload=page("a")),
        event(Kind.SYNC_BEGIN),
        event(Kind.SYNC_END, offset=2),
        event(Kind.WRITE, payload=page("b")),
        event(Kind.WRITE, payload=page("c")),
    ]
    images = drawn(disk_after(events, tmp_path), tmp_path)
    found = {image["file"] for image in images if "file" in image}
    sectors = {content[at : at + 512] for content in found for at in range(0, PAGE, 512)}

    assert {page("a"), page("b"), page("c")} <= found
    assert any(len(set(content)) == 3 for content in found)
    assert {letter.encode() * 512 for letter in "abc"} == sectors


def test_a_small_write_keeps_the_rest_of_its_page():
    """A write of some bytes makes a version of the page that holds the others as they were."""
    file = DiskFile("file", page("a"))
    file.write(0, 100, memoryview(b"bb"))
    file.write(1, PAGE + 1, memoryview(b"c"))

    assert b"a" * 100 + b"bb" + b"a" * (PAGE - 102) == file.page(0)
    assert b"\0c" + bytes(PAGE - 2) == file.page(1)
    assert PAGE + 2 == file.size
    assert page("a") == file.durable


def test_a_synced_write_covers_its_own_pages_only():
    """A write through a descriptor with O_DSYNC makes its page durable, not its neighbours."""
    file = DiskFile("file", page("a") * 2)
    file.write(0, 0, memoryview(page("b")))
    file.write(1, PAGE + 10, memoryview(b"c"))
    file.sync_range(2, PAGE + 10, 1)

    assert page("a") + b"a" * 10 + b"c" + b"a" * (PAGE - 11) == file.durable
    assert {0} == file.pending.keys()


def test_what_was_cut_off_reads_as_zeros():
    """A file that was cut and grows again holds zeros there."""
    file = DiskFile("file", page("a") * 2)
    file.resize(0, 10)
    file.resize(1, 2 * PAGE)

    assert b"a" * 10 + bytes(PAGE - 10) == file.page(0)
    assert bytes(PAGE) == file.page(1)

    file.sync(2)

    assert b"a" * 10 + bytes(2 * PAGE - 10) == file.durable


def test_lengths_lie_between_the_synced_and_the_latest(tmp_path):
    """A file is as long as the sync said, or longer, at most as long as it ever was since."""
    events = [
        created("file"),
        event(Kind.WRITE, payload=page("a")),
        event(Kind.SYNC_BEGIN),
        event(Kind.SYNC_END, offset=2),
        event(Kind.WRITE, offset=3 * PAGE, payload=page("b")),
        event(Kind.TRUNCATE, length=2 * PAGE),
    ]
    images = drawn(disk_after(events, tmp_path), tmp_path)
    lengths = {len(image["file"]) for image in images if "file" in image}

    assert {PAGE, 2 * PAGE, 4 * PAGE} <= lengths
    assert {True} == {PAGE <= length <= 4 * PAGE for length in lengths}
    assert all(image["file"][:PAGE] == page("a") for image in images if "file" in image)


def test_names_are_durable_when_their_directory_was_synced(tmp_path):
    """A new name may be missing until its directory was synced; a rename is whole or not at all."""
    made = [created("new"), event(Kind.WRITE, payload=b"x"), renamed("new", "name")]
    synced = [event(Kind.SYNC_BEGIN, file=1), event(Kind.SYNC_END, file=1, offset=3)]
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    before, after = (
        {tuple(image) for image in drawn(disk_after(events, tmp_path), tmp_path / name, 100)}
        for name, events in (("before", made), ("after", made + synced))
    )

    assert {(), ("new",), ("name",)} == before
    assert {("name",)} == after


@pytest.mark.parametrize(
    "synced",
    [
        [event(Kind.SYNC_BEGIN, file=1), created("new"), event(Kind.SYNC_END, file=1, offset=0)],
        [created("new"), event(Kind.SYNC_BEGIN, file=1)],
        [
            created("new"),
            event(Kind.SYNC_BEGIN, file=1),
            event(Kind.SYNC_END, file=1, offset=1, extra=1),
        ],
        [created("new"), event(Kind.SYNC_BEGIN), event(Kind.SYNC_END, offset=1)],
    ],
    ids=["made later", "not ended", "failed", "of the file"],
)
def test_names_that_no_sync_of_their_directory_covers(tmp_path, synced):
    """A sync keeps no name that was made after it began, nor if it failed, nor one of the file."""
    images = {tuple(image) for image in drawn(disk_after(synced, tmp_path), tmp_path, 50)}

    assert {(), ("new",)} == images


def test_a_directory_that_is_missing_takes_its_files_along(tmp_path):
    """What was made in a directory is gone if that directory was not kept."""
    events = [
        event(Kind.MAKE_DIRECTORY, 5, payload=f"{ROOT}/below\0".encode()),
        created("below/file"),
        event(Kind.SYNC_BEGIN, file=5),
        event(Kind.SYNC_END, file=5, offset=2),
    ]
    images = drawn(disk_after(events, tmp_path), tmp_path, 100)

    assert {(), ("below/file",)} == {tuple(image) for image in images}


def test_the_same_plan_gives_the_same_image(tmp_path):
    """Images are repeatable: all chance comes from the seed."""
    events = [
        created("file"),
        *(event(Kind.WRITE, offset=n * PAGE, payload=os.urandom(PAGE)) for n in range(20)),
    ]
    disk = disk_after(events, tmp_path)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()

    assert drawn(disk, tmp_path / "one", 20) == drawn(disk, tmp_path / "two", 20)


def test_metas_without_their_pages_are_among_the_policies():
    """The images that hurt LMDB most are drawn: both meta pages, and few or no others."""
    rng, versions = random.Random(1), [(0, page("b"))]
    metas_only = DATA_POLICIES["metas only"]

    assert page("b") == metas_only(rng, 1, versions, page("a"))
    assert metas_only(rng, 2, versions, page("a")) is None


def test_values_tell_who_wrote_them():
    """Values of 16 bytes and more are different for each tag; all have the length asked for."""
    values = [value_of(tag << shift, 50) for tag in range(1, 100) for shift in (0, 32)]

    assert len(values) == len(set(values))
    assert [5, 16, 17, 300_000] == [len(value_of(3, length)) for length in (5, 16, 17, 300_000)]
    assert value_of(1 << 32 | 3, 16) not in value_of(3 << 32 | 1, 64)


def test_the_walk_knows_runs_that_are_longer_than_their_value(tmp_path):
    """A long value overwritten by a shorter one in one transaction is whole; damage is not."""
    import lmdb

    path = tmp_path / "store"
    with lmdb.open(str(path), lib_version=0) as env:
        with env.begin(write=True) as transaction:
            transaction.put(b"key", b"x" * 20_000)
            transaction.put(b"key", b"y" * 5000)
    data = path / "data.mdb"

    assert [] == walk(str(data))
    assert [2] == [len(txnids_in(data.read_bytes()))]

    damaged = bytearray(data.read_bytes())
    damaged[2 * PAGE : 3 * PAGE] = bytes(PAGE)
    pathlib.Path(data).write_bytes(damaged)

    assert [] != walk(str(data))
