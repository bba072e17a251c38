"""Repair: everything that does not lie on a damaged page comes back, and nothing forged does."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objcache import Store
from objcache.engine import FILE_NAME
from objcache.engine._checkpoint_file import CHECKPOINT_FILE_NAME
from objcache.errors import (
    CorruptStoreError,
    ObjcacheError,
    StoreBusyError,
    StoreExistsError,
    StoreNotFoundError,
    WrongSecretError,
)
from objcache.keys import key_of
from objcache.store import Problem, check_path, repair_store
from tests.unit.store.damaging import (
    BRANCH,
    FREE,
    LEAF,
    LONG,
    META,
    PAGE,
    SECRET,
    Layout,
    Raw,
    alter,
    copy_of,
    entries,
    garbled,
    records_of,
    zeroed,
)

pytestmark = pytest.mark.damages

# What stands before the bytes of a long value in its record: header, MAC, beginning of the pickle.
RECORD_BYTES = 38


@pytest.fixture(scope="module")
def whole(origin):
    """All its records by engine key."""
    return records_of(origin)


def is_entry(key):
    """Whether an engine key is that of an entry, not of a counter or the settings."""
    return key >= b"\x10"


def entries_of(records):
    """Those of *records* that are entries."""
    return {key: record for key, record in records.items() if is_entry(key)}


def repaired(path, target, **options):
    """Repair; check that the damaged store is as it was and the new one is whole; return both."""
    file = os.path.join(path, FILE_NAME)
    with open(file, "rb") as opened:
        before = opened.read()
    listed = sorted(os.listdir(path))
    done = repair_store(path, target, secret=SECRET, **options)
    with open(file, "rb") as opened:
        after = opened.read()
    report = check_path(target, secret=SECRET, deep=True)

    assert before == after
    assert listed == sorted(os.listdir(path))
    # Rows that agreed may have lost their results; everything else is right.
    assert set() == {problem.kind for problem in report.problems} - {"memo"}
    assert report.entries == done.entries
    return done, records_of(target)


# -- what comes back -------------------------------------------------------------------------


def test_sound_store_comes_back_as_it_is(origin, whole, tmp_path):
    """A store without damage is copied whole, deleted entries stay deleted, nothing is reported."""
    done, found = repaired(origin, str(tmp_path / "target"))

    assert whole == found
    assert done.complete
    assert (len(entries_of(whole)), len(entries_of(whole)), 0) == (
        done.entries,
        done.present,
        done.missing,
    )
    assert entries(origin) == entries(str(tmp_path / "target"))


@pytest.mark.parametrize("change", [zeroed, garbled])
@pytest.mark.parametrize("kind", [META, BRANCH, LEAF, LONG, FREE])
def test_all_but_a_damaged_page_comes_back(origin, layout, whole, tmp_path, kind, change):
    """One page of any kind is lost: every record that lay elsewhere is in the new store as it was."""
    for page in layout.pages[kind][:4]:
        path, target = str(tmp_path / f"damaged-{page}"), str(tmp_path / f"target-{page}")
        alter(copy_of(origin, path), page, change)
        done, found = repaired(path, target)
        safe = set(entries_of(whole)) - layout.keys_on({page})

        assert {key: whole[key] for key in safe} == {key: found.get(key) for key in safe}
        assert not done.complete
        assert kind == LONG or any(str(page) in str(problem.key) for problem in done.problems)


@pytest.mark.parametrize("kind", [META, BRANCH, FREE])
def test_lost_directory_brings_nothing_deleted_back(origin, layout, whole, tmp_path, kind):
    """Where only pages without records are lost, the new store is the old one: no more, no less."""
    for page in layout.pages[kind]:
        path, target = str(tmp_path / f"damaged-{page}"), str(tmp_path / f"target-{page}")
        alter(copy_of(origin, path), page, zeroed)
        _, found = repaired(path, target)

        assert entries_of(whole) == entries_of(found), page


def test_both_meta_pages_lost(origin, whole, tmp_path):
    """Without both meta pages every record comes back, in its last version."""
    path = str(tmp_path / "damaged")
    file = copy_of(origin, path)
    alter(file, 0, zeroed)
    alter(file, 1, zeroed)
    done, found = repaired(path, str(tmp_path / "target"))

    assert entries_of(whole).items() <= found.items()
    assert done.missing is None
    assert Problem("page 0", "page", "it is no meta page of LMDB 0.9 on this kind of machine") in (
        done.problems
    )


def test_meta_page_with_a_damaged_byte_still_leads(origin, layout, whole, tmp_path):
    """One wrong byte in each meta page makes LMDB refuse the file; the state is known nevertheless."""

    def no_magic(content):
        content[16] ^= 1
        return content

    path = str(tmp_path / "damaged")
    file = copy_of(origin, path)
    for page in layout.pages[META]:
        alter(file, page, no_magic)
    done, found = repaired(path, str(tmp_path / "target"))

    assert whole == found
    assert (len(entries_of(whole)), 0, 2) == (done.present, done.missing, len(done.problems))


def test_run_that_claims_the_pages_of_others(origin, layout, whole, tmp_path):
    """A long value that says it has more pages than it has hides nothing that lies on these."""
    path = str(tmp_path / "damaged")
    alter(copy_of(origin, path), layout.pages[LONG][0], greedy)
    done, found = repaired(path, str(tmp_path / "target"))

    assert whole == found
    assert (len(entries_of(whole)), ()) == (done.present, done.recovered)
    assert "it claims pages that others have" in [problem.message for problem in done.problems]


def greedy(content):
    """A run that says it has a hundred pages."""
    content[12:16] = (100).to_bytes(4, sys.byteorder)
    return content


def test_last_transaction_without_meta_page_and_free_list(origin, layout, whole, tmp_path):
    """What the last transaction wrote comes back even if nothing says that there was one."""
    newest = max(layout.pages[META], key=layout.transaction_of)
    path = str(tmp_path / "damaged")
    file = copy_of(origin, path)
    for page in (newest, *layout.pages[FREE]):
        alter(file, page, zeroed)
    _, found = repaired(path, str(tmp_path / "target"))

    assert set(entries_of(whole)) <= set(found)
    assert found[b"\x10\x02last\x00"] == whole[b"\x10\x02last\x00"]


def test_pages_inside_a_value_are_no_pages(tmp_path):
    """A value that holds an old page of its own store brings nothing of that page back."""
    path = str(tmp_path / "store")
    file = os.path.join(path, FILE_NAME)
    with Store(path, secret=SECRET) as store:
        store.update({number: bytes(50) for number in range(300)})
        store["gone"] = "deleted"
        layout = Layout(file)
        (page,) = layout.homes[b"\x10\x02gone\x00"]
        image = layout.content[page * PAGE : (page + 1) * PAGE]
        del store["gone"]
        # Behind the header of its run the value goes on at the beginning of a page.
        store["image"] = bytes(PAGE - 16 - RECORD_BYTES) + image + bytes(PAGE)
    for branch in Layout(file).pages[BRANCH]:
        alter(file, branch, zeroed)
    done, found = repaired(path, str(tmp_path / "target"))

    assert b"\x10\x02gone\x00" not in found
    assert (301, 0) == (done.entries, done.missing)


def test_newest_of_many_versions_comes_back(tmp_path):
    """Of the versions on free pages the one that was freed last is taken."""
    path = str(tmp_path / "store")
    file = os.path.join(path, FILE_NAME)
    with Store(path, secret=SECRET) as store:
        store["begun"] = True
        with store.snapshot():  # no page is used again meanwhile
            for version in range(6):
                store["version"] = version
                if version == 4:
                    before = Layout(file)
    for page in {*before.pages[LEAF], *Layout(file).pages[LEAF]}:
        alter(file, page, zeroed)
    done, _ = repaired(path, str(tmp_path / "target"))

    assert {((), "begun"): True, ((), "version"): 3} == entries(str(tmp_path / "target"))
    assert {"unreachable pages"} == {one.source for one in done.recovered}


def test_checkpoint_tells_where_the_lost_meta_pages_led(origin, whole, tmp_path):
    """The record of the last checkpoint stands in for both meta pages, and says how much there was."""
    path = str(tmp_path / "damaged")
    file = copy_of(origin, path)
    shutil.copy(os.path.join(origin, CHECKPOINT_FILE_NAME), path)
    alter(file, 0, zeroed)
    alter(file, 1, zeroed)
    done, found = repaired(path, str(tmp_path / "target"))

    assert entries_of(whole) == entries_of(found)
    assert (len(entries_of(whole)), 0) == (done.present, done.missing)


def test_damaged_leaf_is_filled_from_older_pages(origin, layout, whole, tmp_path):
    """What lay on a lost leaf is found on older pages, marked as such, and what is lost is counted."""
    (page,) = layout.homes[b"\x10\x02last\x00"]
    path = str(tmp_path / "damaged")
    alter(copy_of(origin, path), page, zeroed)
    done, found = repaired(path, str(tmp_path / "target"))
    back = layout.keys_on({page}) & set(found)

    assert layout.keys_on({page}) - {b"\x10\x02last\x00"} <= back
    assert len(done.recovered) >= len(back)
    assert "an older state" in {one.source for one in done.recovered}
    assert done.present == len(entries_of(whole)) - len(layout.keys_on({page}))
    assert any("may be lost" in problem.message for problem in done.problems)


@pytest.mark.parametrize("how", ["misplaced", "mixed", "led to a free page", "keys"])
def test_older_version_is_said_to_be_one(tmp_path, how):
    """Where damage makes the tree lead to older pages, what they hold is listed, not called present."""
    path, target = str(tmp_path / "store"), str(tmp_path / "target")
    file = os.path.join(path, FILE_NAME)
    with Store(path, secret=SECRET) as store:
        with store.transaction():
            store.update({number: f"first {number}" * 3 for number in range(300)})
        before = Layout(file)
        with store.snapshot(), store.transaction():
            store.update({number: f"second {number}" * 3 for number in range(300)})
        whole = records_of_file(file)
    now = Layout(file)
    key = b"\x10\x15\x64"
    (old,), (new,), (root,) = before.homes[key], now.homes[key], now.pages[BRANCH]

    def led_elsewhere(content):
        (place,) = [
            place for place in range(16, PAGE - 8) if content[place : place + 6] == child(new)
        ]
        content[place : place + 6] = child(old)
        if how == "keys":
            content[16:18] = b"\xff\xff"
        return content

    def older(content):
        number = old if how == "misplaced" else root
        return number.to_bytes(8, sys.byteorder) + before.content[old * PAGE + 8 : (old + 1) * PAGE]

    alter(file, root, older if how in {"misplaced", "mixed"} else led_elsewhere)
    if how == "keys":
        for page in now.pages[FREE]:
            alter(file, page, zeroed)
    done, found = repaired(path, target)
    stale = {one for one, record in entries_of(found).items() if record != whole.get(one)}

    assert key in stale
    assert {key_of(0, one, b"") for one in stale} <= {one.key[-1] for one in done.recovered}
    assert "pages that may be of an older state" in {one.source for one in done.recovered}


def child(page):
    """Where a node of a branch says which page it leads to."""
    return page.to_bytes(6, sys.byteorder)


def records_of_file(file):
    """The records of a copy of *file* that is made for that."""
    directory = f"{os.path.dirname(file)}-read"
    os.mkdir(directory, 0o700)
    shutil.copy(file, directory)
    return records_of(directory)


def test_lost_value_is_named_and_counted(tmp_path):
    """A long value that lies nowhere else is lost: its key is named, the others are there."""
    path, target = str(tmp_path / "store"), str(tmp_path / "target")
    with Store(path, secret=SECRET) as store:
        store.update({number: bytes([number]) * 9000 for number in range(5)})
    page = Layout(os.path.join(path, FILE_NAME)).pages[LONG][4]
    alter(os.path.join(path, FILE_NAME), page, garbled)
    done, _ = repaired(path, target)

    assert (4, 4, (), 1) == (done.entries, done.present, done.recovered, done.missing)
    assert [(1,)] == [problem.key for problem in done.problems]
    assert {0, 2, 3, 4} == {key for _, key in entries(target)}


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_file_that_was_cut_off(origin, layout, whole, tmp_path, share):
    """Each entry that lies before the end of a file that was cut off comes back."""
    path = str(tmp_path / "cut")
    file = copy_of(origin, path)
    size = int(os.path.getsize(file) * share)
    os.truncate(file, size)
    gone = range(size // PAGE, len(layout.content) // PAGE)
    safe = set(entries_of(whole)) - layout.keys_on(gone)
    _, found = repaired(path, str(tmp_path / "target"))

    assert set() == safe - set(found)


def test_wrong_counters_are_counted_anew(origin, whole, tmp_path):
    """Counters that were wrong or lost are right in the new store, with the names of namespaces."""
    path, target = str(tmp_path / "damaged"), str(tmp_path / "target")
    copy_of(origin, path)
    with Raw(path) as transaction:
        transaction.put(b"\x01others", b"")
        for key, _ in list(transaction.cursor()):
            if key.startswith(b"\x02\x20"):
                transaction.delete(key)
    _, found = repaired(path, target)

    assert whole == found


def test_lost_names_of_a_long_namespace(origin, tmp_path):
    """Names that only a counter held are lost: the entries are there, and the next write heals it."""
    path, target = str(tmp_path / "damaged"), str(tmp_path / "target")
    copy_of(origin, path)
    with Raw(path) as transaction:
        for key, _ in list(transaction.cursor()):
            if key.startswith(b"\x02\x21"):
                transaction.put(key, (3).to_bytes(8, "big") + b"rubbish")
    done = repair_store(path, target, secret=SECRET)
    with Store(target, secret=SECRET) as store:
        lost = [problem.kind for problem in store.check().problems]
        named = store.namespace("y" * 300)
        read = dict(named)
        length = len(named)
        named["new"] = 1
        healed = store.check().problems

    assert ["names"] == [problem.kind for problem in done.problems]
    assert {number: number for number in range(40)} == read
    assert 40 == length
    assert ["KeyEncodingError"] == lost
    assert () == healed


# -- the settings ----------------------------------------------------------------------------


def without_settings(origin, path):
    """Copy a store and remove each trace of its settings."""
    file = copy_of(origin, path)
    with open(file, "r+b") as opened:
        content = opened.read().replace(b"\x01settings", b"\x01SETTINGS")
        opened.seek(0)
        opened.write(content)


def test_lost_settings_are_found_on_older_pages(origin, whole, tmp_path):
    """Settings that were removed lie on pages that are free now, and the repair finds them."""
    path = str(tmp_path / "damaged")
    copy_of(origin, path)
    with Raw(path) as transaction:
        transaction.delete(b"\x01settings")
    _, found = repaired(path, str(tmp_path / "target"))

    assert whole == found


def test_lost_settings_come_from_a_copy(origin, whole, tmp_path):
    """Without its settings nothing can be verified; an old copy of the store tells its id."""
    path, target, copy = (str(tmp_path / name) for name in ("damaged", "target", "copy"))
    without_settings(origin, path)
    with Store(origin, secret=SECRET) as store:
        store.copy(copy)
    with pytest.raises(CorruptStoreError, match="--settings-from"):
        repair_store(path, target, secret=SECRET)
    made = os.path.exists(target)
    _, found = repaired(path, target, settings_from=copy)

    assert not made
    assert entries_of(whole) == entries_of(found)


def test_settings_of_another_store_save_nothing(origin, tmp_path):
    """The id of another store verifies no record of this one."""
    path, target, other = (str(tmp_path / name) for name in ("damaged", "target", "other"))
    without_settings(origin, path)
    with Store(other, secret=SECRET):
        pass
    done, found = repaired(path, target, settings_from=other)

    assert (0, 0) == (done.entries, len(entries_of(found)))


# -- what does not come back -----------------------------------------------------------------


def test_nothing_forged_comes_back(origin, whole, layout, tmp_path):
    """Records planted with a wrong MAC, of another key or another store are refused, and named."""
    path, other = str(tmp_path / "damaged"), str(tmp_path / "other")
    copy_of(origin, path)
    with Store(other, secret=SECRET) as store:
        store["planted"] = "of another store"
    foreign = records_of(other)[b"\x10\x02planted\x00"]
    last = whole[b"\x10\x02last\x00"]
    planted = {
        b"\x10\x02planted\x00": foreign,
        b"\x10\x02moved\x00": last,
        b"\x10\x02bits\x00": last[:20] + b"\0\0\0\0" + last[24:],
        b"\x10\x02none\x00": last[:6] + b"\0\0" + last[24:],
        b"\x10\x02short\x00": b"oc",
    }
    with Raw(path) as transaction:
        for key, record in planted.items():
            transaction.put(key, record)
    done, found = repaired(path, str(tmp_path / "target"))
    # The same where nothing leads to them but the pages themselves.
    for page in Layout(os.path.join(path, FILE_NAME)).pages[BRANCH]:
        alter(os.path.join(path, FILE_NAME), page, zeroed)
    _, scattered = repaired(path, str(tmp_path / "scattered"))

    assert entries_of(whole) == entries_of(found)
    assert entries_of(whole).items() <= scattered.items()
    assert set() == set(planted) & set(scattered)
    assert {"planted", "moved", "bits", "none", "short"} == {
        problem.key[0] for problem in done.problems
    }


def test_altered_buffer_does_not_come_back(tmp_path):
    """An array with an altered byte is lost, though its pickle is authentic."""
    numpy = pytest.importorskip("numpy")
    path = str(tmp_path / "store")
    with Store(path, secret=SECRET) as store:
        store["array"] = numpy.arange(10_000)
    page = Layout(os.path.join(path, FILE_NAME)).pages[LONG][5]
    alter(os.path.join(path, FILE_NAME), page, garbled)
    done, _ = repaired(path, str(tmp_path / "target"))

    assert 0 == done.entries
    assert "buffer 0 was altered" in done.problems[0].message


def test_other_secret_saves_nothing(origin, tmp_path):
    """Without the secret of the store nothing is made."""
    with pytest.raises(WrongSecretError):
        repair_store(origin, tmp_path / "target", secret="another secret of 16 bytes")

    assert not (tmp_path / "target").exists()


def test_paths_that_cannot_be_used(origin, open_store, path, tmp_path):
    """Nothing is overwritten, no store in use is read, no garbage gives a store."""
    full, garbage, empty = tmp_path / "full", tmp_path / "garbage", tmp_path / "empty"
    full.mkdir()
    (full / "file").write_text("mine")
    garbage.mkdir()
    (garbage / FILE_NAME).write_bytes(b"rubbish " * 5000)
    empty.mkdir()
    (empty / FILE_NAME).write_bytes(b"")
    store = open_store()
    store["in use"] = True
    cases = [
        (tmp_path / "missing", tmp_path / "target", StoreNotFoundError),
        (origin, full, StoreExistsError),
        (origin, origin, StoreExistsError),
        (path, tmp_path / "target", StoreBusyError),
        (garbage, tmp_path / "target", CorruptStoreError),
        (empty, tmp_path / "target", CorruptStoreError),
    ]
    for source, target, error in cases:
        with pytest.raises(error):
            repair_store(source, target, secret=SECRET)

        assert not (tmp_path / "target").exists()
    assert ["file"] == os.listdir(full)


def test_repair_that_fails_leaves_nothing(origin, tmp_path):
    """A repair that is interrupted leaves no half store behind, in a new or an empty directory."""
    (tmp_path / "empty").mkdir(mode=0o700)

    def interrupt(_done, _all):
        raise KeyboardInterrupt

    for name in ("empty", "new"):
        with pytest.raises(KeyboardInterrupt):
            repair_store(origin, tmp_path / name, secret=SECRET, advance=interrupt)

    assert [] == os.listdir(tmp_path / "empty")
    assert not (tmp_path / "new").exists()


def test_target_is_no_store_before_it_is_whole(origin, tmp_path):
    """A repair that is killed leaves files that no store is opened from."""
    code = (
        "import os, sys; from objcache.store import _repair\n"
        "_repair._Salvage.finish = lambda *_: (_[0]._flush(), os._exit(9))\n"
        "_repair.repair_store(sys.argv[1], sys.argv[2])"
    )
    target = str(tmp_path / "target")
    subprocess.run([sys.executable, "-c", code, origin, target], check=False, timeout=60)

    assert os.path.exists(os.path.join(target, FILE_NAME))
    with pytest.raises(CorruptStoreError, match="has records but no settings"):
        Store(target, secret=SECRET)


# -- properties ------------------------------------------------------------------------------


@st.composite
def damages(draw):
    """Some pages, by their share of the file, and how each is damaged."""
    number = draw(st.integers(1, 4))
    how = st.sampled_from(["zero", "garble", "few", "many", "header", "rubbish"])
    kinds = st.sampled_from([META, BRANCH, LEAF, LONG, FREE, "any"])
    return [(draw(kinds), draw(st.integers(0, 10_000)), draw(how)) for _ in range(number)]


def damage(content, how, seed):
    """Return *content*, damaged in the way that *how* names."""
    chance = random.Random(seed)
    if how == "zero":
        return zeroed(content)
    if how == "garble":
        return garbled(content)
    if how == "rubbish":
        return chance.randbytes(len(content))
    times, width = {"few": (2, 4096), "many": (200, 4096), "header": (3, 24)}[how]
    for _ in range(times):
        content[chance.randrange(width)] ^= chance.randrange(1, 256)
    return content


@settings(max_examples=80)
@given(damages(), st.one_of(st.none(), st.floats(0.3, 1.0)))
def test_any_damage_loses_only_what_it_touches(origin, layout, tmp_path, chosen, cut):
    """Whatever is damaged: an error of objcache, or every record on an intact page comes back."""
    whole = records_of(origin)
    path, target = str(tmp_path / "damaged"), str(tmp_path / "target")
    for left in (path, target):
        shutil.rmtree(left, ignore_errors=True)
    file = copy_of(origin, path)
    pages = len(layout.content) // PAGE
    touched = set()
    for kind, seed, how in chosen:
        among = layout.pages.get(kind) or range(pages)
        page = among[seed % len(among)]
        touched.add(page)
        alter(file, page, lambda content, how=how, seed=seed: damage(content, how, seed))
    if cut is not None:
        size = int(pages * PAGE * cut)
        os.truncate(file, size)
        touched.update(range(size // PAGE, pages))
    try:
        repair_store(path, target, secret=SECRET)
    except ObjcacheError:
        settings_page = layout.homes[b"\x01settings"]

        assert settings_page & touched
        return
    found = records_of(target)
    safe = set(entries_of(whole)) - layout.keys_on(touched)
    written = {**whole, **found}

    assert set() == safe - set(found)
    # Which of two versions is the present one is told by what leads to it, or the list of free pages.
    leading = {*layout.pages[META], *layout.pages[BRANCH]}
    if not (touched & leading and touched & set(layout.pages[FREE])):
        assert {key: whole[key] for key in safe} == {key: written[key] for key in safe}
    assert check_path(target, secret=SECRET).ok


@settings(max_examples=60)
@given(st.binary(max_size=3 * PAGE), st.integers(0, 3))
def test_any_file_is_an_error_or_a_store(origin, layout, tmp_path, rubbish, begin):
    """Whatever bytes a file has, also behind true meta pages, nothing but errors of objcache."""
    path, target = tmp_path / "rubbish", str(tmp_path / "target")
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    (path / FILE_NAME).write_bytes(layout.content[: begin * PAGE] + rubbish)
    (path / FILE_NAME).chmod(0o600)
    for read in (
        lambda: check_path(path, secret=SECRET),
        lambda: repair_store(path, target, secret=SECRET),
    ):
        shutil.rmtree(target, ignore_errors=True)
        try:
            read()
        except ObjcacheError:
            pass
