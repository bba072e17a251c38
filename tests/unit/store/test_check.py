"""Checking a store: every kind of damage is found and named, and nothing else is.

The damage of single records is in tests/security; repair is in test_repair.
"""

from __future__ import annotations

import os
import random
import struct
import sys
from pathlib import Path

import lmdb
import lmdb.verify
import pytest

from objcache import Store
from objcache.engine import FILE_NAME, _walk, close_session, open_session
from objcache.engine._pages import scattered_nodes
from objcache.engine.raw import PageFile, Strays, Walk, pinned_meta
from objcache.errors import (
    ObjcacheError,
    StoreBusyError,
    StoreError,
    StoreNotFoundError,
    WrongSecretError,
)
from objcache.memo import _entries, _results
from objcache.store import _check, _memo_rows, check_path
from tests.scripts import start
from tests.unit.store.damaging import (
    BRANCH,
    FREE,
    LEAF,
    LONG,
    META,
    PAGE,
    SECRET,
    Raw,
    alter,
    copy_of,
    garbled,
    records_of,
    zeroed,
)

pytestmark = pytest.mark.damages
RAN = []


def messages(report):
    """What is wrong, in words."""
    return [problem.message for problem in report.problems]


def test_sound_store_is_sound(origin):
    """A store with long values, free pages, namespaces and results has no problems, however checked."""
    with Store(origin, secret=SECRET) as store:
        plain, deep = store.check(), store.check(deep=True)
    by_path = check_path(origin, secret=SECRET)
    deep_by_path = check_path(origin, secret=SECRET, deep=True)

    assert plain.entries > 600
    assert [(plain.entries, ())] * 4 == [
        tuple(report) for report in (plain, deep, by_path, deep_by_path)
    ]


def test_value_that_keeps_a_longer_run_is_no_problem(open_store, path):
    """A long value replaced by a shorter one in one transaction keeps its pages: that is no damage."""
    with open_store() as store:
        with store.transaction():
            store["a"] = bytes(50_000)
            store["a"] = bytes(5_000)

        assert store.check(deep=True).ok
    assert [] != lmdb.verify.verify(
        os.path.join(path, FILE_NAME)
    )  # py-lmdb's checker is wrong here


@pytest.mark.parametrize("seed", range(12))
def test_walk_agrees_with_lmdb(tmp_path, seed):
    """Whatever was put and deleted, the walk reads what LMDB reads, and finds no damage."""
    chance = random.Random(seed)
    file = str(tmp_path / "file")
    model = {}
    with lmdb.open(file, subdir=False, map_size=1 << 28, sync=False, lib_version=0) as environment:
        for _ in range(chance.choice([1, 5, 60])):
            with environment.begin(write=True) as transaction:
                for _ in range(chance.choice([1, 3, 200])):
                    key = chance.randbytes(chance.choice([1, 2, 5, 100, 511]))
                    if chance.random() < 0.6:
                        value = chance.randbytes(chance.choice([0, 9, 1500, 3000, 9000]))
                        transaction.put(key, value)
                        model[key] = value
                    else:
                        transaction.delete(key)
                        model.pop(key, None)
    with PageFile(file) as opened:
        walk = Walk(opened, opened.metas()[0])
        walk.free_list()
        read = list(walk.records())
        walk.coverage()

    assert sorted(model.items()) == read
    assert [] == walk.damages


@pytest.mark.parametrize("change", [zeroed, garbled])
@pytest.mark.parametrize("kind", [BRANCH, LEAF, LONG, FREE])
def test_damaged_page_is_named(origin, layout, tmp_path, kind, change):
    """A page of any kind that holds something else is found, named, and said what it means."""
    path = str(tmp_path / "damaged")
    file = copy_of(origin, path)
    page = layout.pages[kind][0]
    alter(file, page, change)
    report = check_path(path, secret=SECRET, deep=True)
    where = [problem.key for problem in report.problems]

    assert f"page {page}" in where
    if kind != FREE:
        assert any("may be lost" in text or "the value of" in text for text in messages(report))


@pytest.mark.parametrize("kind", [META, BRANCH, LEAF, LONG, FREE])
def test_any_altered_bytes_are_found_or_make_no_difference(origin, layout, tmp_path, kind):
    """Bytes altered at random give a problem or an error of objcache; or the records are as before."""
    before = records_of(origin)
    for seed in range(12):
        chance = random.Random(f"{kind} {seed}")
        path = str(tmp_path / f"damaged-{seed}")
        file = copy_of(origin, path)

        def change(content, chance=chance):
            for _ in range(chance.choice([1, 2, 30])):
                content[chance.randrange(chance.choice([16, 160, 4096]))] ^= chance.randrange(
                    1, 256
                )
            return content

        alter(file, chance.choice(layout.pages[kind]), change)
        try:
            report = check_path(path, secret=SECRET, deep=True)
        except ObjcacheError:
            continue
        if report.ok:
            assert before == records_of(path), seed


def test_crash_of_lmdb_is_reported(origin, layout, tmp_path):
    """LMDB is killed by a file that was cut off: the check says so, and has read the rest."""
    path = str(tmp_path / "cut")
    file = copy_of(origin, path)
    last = max(layout.pages[LEAF])
    os.truncate(file, last * 4096)
    report = check_path(path, secret=SECRET, deep=True)

    assert report.entries > 300
    assert any("LMDB crashed (SIGBUS)" in text for text in messages(report))
    assert any("the file ends before it" in text for text in messages(report))


def test_paths_without_a_store_are_refused(tmp_path):
    """A missing path, an empty directory, a file, and a directory in the place of the file are errors."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "odd" / FILE_NAME).mkdir(parents=True)
    for name, error in (
        ("missing", StoreNotFoundError),
        ("empty", StoreNotFoundError),
        ("file", StoreError),
        ("odd", StoreError),
    ):
        with pytest.raises(error):
            check_path(tmp_path / name)

    assert [] == os.listdir(tmp_path / "empty")


def test_file_that_cannot_be_read_is_refused(origin, monkeypatch):
    """A file that may not be opened is an error of objcache, not one of the system."""

    def refused(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("objcache.store._damaged.PageFile", refused)
    with pytest.raises(StoreError, match="Permission denied"):
        check_path(origin, secret=SECRET)


def test_files_that_are_garbage_are_damaged(tmp_path):
    """An empty, a short and a garbage file are damage that is reported, and left as they are."""
    for content in (b"", b"short", b"rubbish " * 5000, bytes(20_000)):
        directory = tmp_path / f"garbage-{len(content)}"
        directory.mkdir(mode=0o700)
        file = directory / FILE_NAME
        file.write_bytes(content)
        file.chmod(0o600)
        report = check_path(directory, secret=SECRET, deep=True)

        assert (0, False) == (report.entries, report.ok)
        assert content == file.read_bytes()
        assert [FILE_NAME] == os.listdir(directory)


@pytest.mark.parametrize(
    ("offset", "number", "message"),
    [
        (40, 0, "it says that pages have 0 bytes"),
        (92, 8, "it says that the keys have another order than that of bytes"),
        (136, 1 << 61, "its map has fewer"),
    ],
)
def test_meta_pages_that_would_mislead_lmdb(origin, tmp_path, offset, number, message):
    """Numbers on the first pages that LMDB believes unseen are found before it opens the file."""
    path = str(tmp_path / "damaged")
    file = copy_of(origin, path)
    size = 2 if offset == 92 else 4 if offset == 40 else 8

    def changed(content):
        content[offset : offset + size] = number.to_bytes(size, sys.byteorder)
        return content

    for page in (0, 1):
        alter(file, page, changed)
    report = check_path(path, secret=SECRET)

    assert ["page 0", "page 1"] == [problem.key for problem in report.problems]
    assert all(text.endswith(message) for text in messages(report))
    assert [FILE_NAME] == os.listdir(path)


def test_store_without_records_is_sound(path):
    """A file that was emptied, as scratch data is after a power cut, is not called damaged."""
    close_session(open_session(path, durability="process"))

    assert (0, ()) == tuple(check_path(path, secret=SECRET, deep=True))


def test_value_that_the_disk_does_not_give(origin, layout, monkeypatch):
    """A long value whose page cannot be read is named, also by a check that is not deep."""
    page = layout.pages[LONG][1]
    read = os.pread

    def failing(descriptor, size, offset):
        if offset <= page * PAGE < offset + size:
            raise OSError(5, "Input/output error")
        return read(descriptor, size, offset)

    monkeypatch.setattr("objcache.engine._pages.os.pread", failing)
    report = check_path(origin, secret=SECRET)

    assert any("the disk does not give it; it holds the value of" in m for m in messages(report))


def test_lmdb_is_tried_with_no_module_of_this_directory(origin, tmp_path, monkeypatch):
    """Modules that lie in the current directory, which may be the store's, are not run."""
    (tmp_path / "json.py").write_text("raise SystemExit('planted')")
    (tmp_path / "lmdb.py").write_text("raise SystemExit('planted')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", ".", *sys.path])

    assert check_path(origin, secret=SECRET, deep=True).ok


# -- pages made to be read for ever ----------------------------------------------------------


def made_up(path, pages):
    """Make a file whose two states begin with page 2; return it."""
    with lmdb.open(path, subdir=False, map_size=1 << 30, lib_version=0) as environment:
        for _ in range(3):
            with environment.begin(write=True) as transaction:
                transaction.put(b"key", b"value")
    file = bytearray(Path(path).read_bytes()[: 2 * PAGE])
    for meta in (0, 1):
        struct.pack_into("=QQ", file, meta * PAGE + 128, 2, len(pages) + 1)
    Path(path).write_bytes(bytes(file) + b"".join(pages))
    return path


def page_of(number, flags, nodes, pointers):
    """Return a page with *nodes* at its end, and *pointers* counted from the first of them."""
    upper = PAGE - len(nodes)
    places = [upper + pointer for pointer in pointers]
    head = struct.pack("=QHHHH", number, 0, flags, 16 + 2 * len(places), upper)
    head += struct.pack(f"={len(places)}H", *places)
    return head + bytes(upper - len(head)) + nodes


def child(page):
    """Return the node of a branch that leads to *page*."""
    return struct.pack("=HHHH", page & 0xFFFF, page >> 16, 0, 0)


def test_circles_of_pages_have_an_end(tmp_path):
    """Branches that lead to one another, in each node, are each read once."""
    pages = []
    for number in range(2, 202):
        nodes = b"".join(child(2 + (number * 7 + other) % 200) for other in range(200))
        pages.append(page_of(number, 1, nodes, range(0, len(nodes), 8)))
    path = made_up(str(tmp_path / "file"), pages)
    read = []
    with PageFile(path) as file:
        page = file.page
        file.page = lambda number: read.append(number) or page(number)
        walk = Walk(file, file.metas()[0])
        found = list(walk.records())

    assert [] == found
    assert 30 < len(read) == len(set(read))
    assert [(b"", None)] == list(walk.suspect().pairs())


def test_faults_have_an_end(tmp_path, monkeypatch):
    """A file with faults without number is given up, and all of it is suspect."""
    monkeypatch.setattr(_walk, "_MOST_DAMAGES", 50)
    nodes = b"".join(child(900 + number) for number in range(300))
    path = made_up(str(tmp_path / "file"), [page_of(2, 1, nodes, range(0, len(nodes), 8))])
    with PageFile(path) as file:
        walk = Walk(file, file.metas()[0])
        list(walk.records())
    given_up = [damage for damage in walk.damages if "more than 50 faults" in damage.reason]

    assert 0 == walk._room
    assert len(walk.damages) < 60
    assert [(b"", None)] == [(damage.low, damage.high) for damage in given_up]


def test_nodes_upon_nodes_are_not_read_a_thousand_times(tmp_path):
    """Of the nodes of a page that overlap no more are read than would fit twice."""
    node = struct.pack("=HHHH", 3000, 0, 0, 1) + b"k" + bytes(3000)
    content = page_of(2, 2, node, [0] * 500)
    path = made_up(str(tmp_path / "file"), [content])
    with PageFile(path) as file:
        read = [record for _, record in Walk(file, file.metas()[0]).records()]
        strays = Strays(file, None, seek_newer=False)
        found = [record for _, record in strays.records(free=False)]
    scattered = list(scattered_nodes(bytes(8) + content[8:]))

    assert [3000, 3000] == [len(record) for record in read]
    assert [3000] == [len(record) for record in found]
    assert len(scattered) < 4


def test_values_of_many_nodes_are_read_no_more_than_32_times(tmp_path):
    """Nodes that all claim the same long value make nobody read it without end."""
    nodes = b"".join(
        struct.pack("=HHHH", 40_000, 0, 1, 2) + struct.pack(">H", number) + struct.pack("=Q", 3)
        for number in range(150)
    )
    run = struct.pack("=QHHI", 3, 0, 4, 10) + bytes(10 * PAGE - 16)
    leaf = page_of(2, 2, nodes, range(0, len(nodes), 18))
    path = made_up(str(tmp_path / "file"), [leaf, run])
    with PageFile(path) as file:
        found = list(Walk(file, file.metas()[0]).records())

    assert 32 * file.size // 40_000 == len(found)


def test_file_of_holes_is_refused(tmp_path):
    """A file that claims a terabyte and has next to nothing on the disk is damaged, not counted."""
    path = str(tmp_path / "sparse")
    os.mkdir(path, 0o700)
    try:
        os.truncate(made_up(os.path.join(path, FILE_NAME), []), 1 << 40)
    except OSError:
        pytest.skip("this filesystem has no files of that size")
    report = check_path(path, secret=SECRET)

    assert 1 == len(report.problems)
    assert "are on the disk: no store is like that" in messages(report)[0]


def test_other_secret_is_refused(origin):
    """A store of another secret is not called damaged."""
    with pytest.raises(WrongSecretError):
        check_path(origin, secret="another secret of 16 bytes")


def test_lost_settings_are_reported(origin, tmp_path):
    """Without settings no record can be verified; the check says so and reads on."""
    path = str(tmp_path / "lost")
    copy_of(origin, path)
    with Raw(path) as transaction:
        transaction.delete(b"\x01settings")
    report = check_path(path, secret=SECRET, deep=True)

    assert "the store has no settings" in messages(report)
    assert report.entries > 600


def test_wrong_counters_are_reported(origin, tmp_path):
    """Each counter that disagrees with the records is named with both numbers."""
    path = str(tmp_path / "counters")
    copy_of(origin, path)
    with Raw(path) as transaction:
        transaction.put(b"\x01others", (7).to_bytes(8, "big"))
        for key, record in transaction.cursor():
            if key.startswith(b"\x02") and b"users" in record:
                transaction.put(key, (9).to_bytes(8, "big") + record[8:])
    report = check_path(path, secret=SECRET)
    with Store(path, secret=SECRET) as store:
        same = store.check()

    assert "the counter says 9 entries, there are 60" in messages(report)
    assert any(text.startswith("the counter says 7 records") for text in messages(report))
    assert messages(report) == messages(same)


def test_stray_and_uncounted_records_are_reported(origin, tmp_path):
    """Records that lie in no mapping, and namespaces without a counter, are found."""
    path = str(tmp_path / "stray")
    copy_of(origin, path)
    with Raw(path) as transaction:
        transaction.put(b"\x30nowhere", b"record")
        transaction.put(b"\x20\x05\x02a", b"record")
        transaction.put(b"\x20\x05\x02a\x00\xffb\x00\x00\x10\x15\x01", b"record")
        for key, record in transaction.cursor():
            if key.startswith(b"\x02") and b"users" in record:
                transaction.delete(key)
    report = check_path(path, secret=SECRET)
    places = {problem.key: problem.message for problem in report.problems}

    assert "records that belong to no mapping: 2" == places["store"]
    assert "the counter says 0 entries, there are 60" == places[("users",)]
    assert "the counter says 0 entries, there are 1" == places[("a\0b",)]


def shout():
    """Tell that a value was loaded."""
    RAN.append("loaded")


class Loud:
    """A value that tells when it is loaded."""

    def __reduce__(self):
        return shout, ()


def test_values_are_not_loaded_by_path(open_store, path):
    """A check of a path authenticates and loads nothing: classes need not be there, no code runs."""
    RAN.clear()
    with open_store() as store:
        store["loud"] = Loud()
    report = check_path(path, secret=SECRET, deep=True)
    silent = list(RAN)
    with open_store() as store:
        store.check()

    assert (1, ()) == tuple(report)
    assert [] == silent
    assert ["loaded"] == RAN


def test_altered_buffers_are_found_by_path(open_store, path):
    """Bytes of an array that were altered are found though nothing is loaded."""
    numpy = pytest.importorskip("numpy")
    with open_store() as store:
        store["array"] = numpy.arange(10_000)
    with Raw(path) as transaction:
        key = next(key for key, _ in transaction.cursor() if b"array" in key)
        transaction.put(key, transaction.get(key)[:-1] + b"\x77")
    report = check_path(path, secret=SECRET)

    assert ["CorruptRecordError"] == [problem.kind for problem in report.problems]
    assert "buffer 0 was altered" in messages(report)[0]


# -- while others write ----------------------------------------------------------------------


def test_store_that_others_write_to_is_checked(path, open_store):
    """While another process commits, each deep check sees one whole state and no problem."""
    with open_store() as store:
        store["begun"] = True
        writer = start(
            """
            with open_store() as store:
                print("ready", flush=True)
                for number in range(100_000_000):
                    with store.transaction():
                        store[number % 500] = bytes(number % 6000)
                        store.namespace("n")[number % 50] = number
                        store.pop((number * 7) % 500, None)
            """,
            path,
        )
        try:
            assert "ready\n" == writer.stdout.readline()
            reports = [store.check(deep=True) for _ in range(5)]
            reports += [check_path(path, secret=SECRET, deep=True) for _ in range(3)]
        finally:
            writer.kill()
            writer.communicate()

    assert [()] * 8 == [report.problems for report in reports]
    assert 1 < len({report.entries for report in reports})


class Hurried:
    """A session whose file is written to between its snapshot and whatever follows."""

    def __init__(self, store, commits):
        self.directory = store.path
        self._store = store
        self._commits = commits

    def snapshot(self):
        """Begin a snapshot, then commit as often as is left to do."""
        snapshot = self._store._session.snapshot()
        for _ in range(self._commits.pop(0) if self._commits else 0):
            self._store["hurried"] = len(self._commits)
        return snapshot


@pytest.mark.parametrize("commits", [[], [1], [2, 1], [3, 2, 1]])
def test_state_is_that_of_the_snapshot(open_store, path, commits):
    """However many commits come between, the pages that are walked are those that are pinned."""
    store = open_store()
    store["begun"] = True
    with PageFile(os.path.join(path, FILE_NAME)) as file:
        snapshot, meta = pinned_meta(Hurried(store, commits), file)
        pinned = snapshot.read(lambda transaction: transaction.id())
        snapshot.end("the test is done")

    assert pinned == meta.transaction_id


def test_writers_that_leave_no_moment(open_store, path):
    """Where a state cannot be caught at all, the check says that the store is busy."""
    store = open_store()
    with (
        PageFile(os.path.join(path, FILE_NAME)) as file,
        pytest.raises(StoreBusyError, match="left no moment"),
    ):
        pinned_meta(Hurried(store, [2] * 1000), file)


def test_page_with_another_number_is_found(origin, layout, tmp_path):
    """A page that says that it is another one, as after a write to the wrong place, is named."""

    def renumbered(content):
        content[0] ^= 1
        return content

    path = str(tmp_path / "damaged")
    page = layout.pages[LEAF][2]
    alter(copy_of(origin, path), page, renumbered)
    problems = check_path(path, secret=SECRET).problems

    assert [f"page {page}"] == [problem.key for problem in problems]
    assert problems[0].message.startswith(f"it says that it is page {page ^ 1}; entries from")


@pytest.mark.parametrize("by", [2, 256])
def test_meta_pages_out_of_turn_are_found(origin, layout, tmp_path, by):
    """A meta page that names a transaction that does not follow the other's is said to be damaged."""
    newest = max(layout.pages[META], key=layout.transaction_of)

    def later(content):
        named = int.from_bytes(content[144:152], sys.byteorder)
        content[144:152] = (named + by).to_bytes(8, sys.byteorder)
        return content

    path = str(tmp_path / "damaged")
    alter(copy_of(origin, path), newest, later)
    problems = check_path(path, secret=SECRET, deep=True).problems

    assert ["pages 0 and 1"] == [problem.key for problem in problems]
    assert "do not follow one another" in problems[0].message


def test_file_without_locks_that_others_write_to(open_store, path):
    """Where a check may not hold writers off, what it has found while they wrote is no damage."""
    store = open_store()
    store["before"] = 1
    with PageFile(os.path.join(path, FILE_NAME)) as file:
        state = _check._State(store._session, None, file.metas()[0], file)
        _check._refuse_written(state)
        store["after"] = 1
        with pytest.raises(StoreBusyError, match="permission"):
            _check._refuse_written(state)


def test_check_in_a_transaction_sees_what_is_committed(open_store):
    """A deep check inside a transaction of its own thread waits for nobody."""
    with open_store() as store:
        store["before"] = 1
        with store.transaction():
            store["inside"] = 2

            assert (1, ()) == tuple(store.check(deep=True))


# -- memoized functions ----------------------------------------------------------------------


def test_names_are_those_of_memoize():
    """What the check knows of memoized functions is what `objcache.memo` writes."""
    assert _entries.VERSION_BYTES == _memo_rows._VERSION_BYTES
    assert {False: _results._RESULT, True: _results._RAISED} == _memo_rows._MARKS


@pytest.fixture
def memoized(open_store):
    """A store with the results of a function and of a generator, and where they lie."""
    store = open_store()

    @store.memoize(expire=3600, tag="numbers")
    def double(number):
        return 2 * number

    @store.memoize
    def count(number):
        yield from range(number)

    for number in range(5):
        double(number)
        list(count(number))
    base = store.namespace("objcache.memoize")
    places = {}
    for names in store.namespaces():
        if names[-1] == "entries":
            short = "count" if names[1].endswith("count") else "double"
            places[short] = base.namespace(names[1])
    return store, places["double"], places["count"]


def test_sound_results_agree(memoized):
    """Results, rows and items of memoized functions agree, also below a namespace."""
    store = memoized[0]

    @store.namespace("below").memoize(strict_args=True)
    def inner(number):
        if number:
            raise ValueError(number)
        return number

    inner(0)

    assert store.check(deep=True).ok


def disagreements(store):
    """What a deep check says of memoized functions; a plain check says nothing."""
    assert store.check().ok
    return [
        problem.message for problem in store.check(deep=True).problems if problem.kind == "memo"
    ]


def test_result_without_row_is_found(memoized):
    """A row that was removed by hand leaves a result, and a wrong sum."""
    store, double, _ = memoized
    rows = double.namespace("entries")
    del rows[next(iter(rows))]
    found = disagreements(store)

    assert "there is a result and no row" in found
    assert any("bytes, " in text for text in found)


def test_row_without_result_is_found(memoized):
    """A result that was removed by hand leaves a row."""
    store, double, _ = memoized
    del double[next(iter(double))]

    assert ["there is a row and no result"] == disagreements(store)


def test_rows_that_disagree_are_found(memoized):
    """A row with another deadline, tag or size, or without fields, is found."""
    store, double, _ = memoized
    rows = double.namespace("entries").using("json")
    keys = list(rows)
    rows[keys[0]] = {**rows[keys[0]], "deadline": 1.0}
    rows[keys[1]] = {**rows[keys[1]], "tags": ["others"]}
    rows[keys[2]] = {**rows[keys[2]], "size_bytes": 1}
    rows[keys[3]] = {"raised": False}
    found = disagreements(store)

    assert "the row has another deadline than the result" in found
    assert "the row has other tags than the result" in found
    assert any(text.startswith("the row says 1 bytes, there are") for text in found)
    assert "the row lacks what a row has" in found


def test_missing_items_and_versions_are_found(memoized):
    """An item of a generator, or the version of a result, that was removed by hand is missed."""
    store, _, count = memoized
    chunks = count.namespace("chunks")
    second = next(key for key in chunks if key.endswith(bytes(7) + b"\1"))
    del chunks[second[:-1] + b"\0"]
    versions = count.namespace("versions")
    del versions[next(key for key in versions if len(key) == 32)]
    found = disagreements(store)

    assert "items of the generator are missing" in found
    assert "the row is of a version of the code that is not listed" in found


def test_arguments_without_row_are_found(open_store):
    """Whole arguments that no row speaks of are found."""
    store = open_store()

    @store.memoize(strict_args=True)
    def double(number):
        return 2 * number

    double("long enough to be kept beside its digest" * 9)
    names = next(names for names in store.namespaces() if names[-1] == "arguments")
    arguments = store.namespace(names[0]).namespace(names[1]).namespace("arguments").using("raw")
    arguments[bytes(40)] = b"form"

    assert ["there are arguments and no row"] == disagreements(store)
