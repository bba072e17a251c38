"""Records with cost, deadline and tags, as keys of a mapping; and mappings that know their store."""

from __future__ import annotations

import argparse
import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objcache.clock import ManualClock
from objcache.errors import (
    CorruptRecordError,
    DecodeError,
    EncodeError,
    ReadOnlyStoreError,
    SignatureError,
    StoreClosedError,
    TransactionClosedError,
    UnsupportedFormatError,
)
from objcache.header import unpack
from objcache.store.dated import DatedRecords
from tests.scripts import start

KEYS = [b"", b"key", b"\0", b"a\0b", b"\0\xff", b"\xff\0", bytes(115), bytes(range(115))]
KEY_IDS = ["empty", "key", "zero", "zero inside", "zero first", "zero last", "zeros", "range"]


@pytest.fixture(params=["store", "namespace", "namespace with the longest prefix"])
def mapping(request, store):
    """A mapping that holds dated records."""
    if request.param == "store":
        return store
    if request.param == "namespace":
        return store.namespace("results").namespace("of\0a function")
    spaces = [store.namespace("x" * length) for length in range(190, 200)]
    return max(spaces, key=lambda space: len(space._prefix))


@pytest.fixture
def dated(mapping):
    """Dated records of it."""
    return DatedRecords(mapping, b"stem\0")


def put(dated, key, value, **fields):
    """Store *value* with a cost."""
    fields.setdefault("cost_us", 5)
    dated.put(key, dated.encode(key, value, **fields))


class StillPulse:
    """A pulse that says what it is told to."""

    def __init__(self, last, *nows):
        self._last = last
        self._nows = itertools.chain(nows, itertools.repeat(nows[-1]))

    def now(self):
        """Return the next of the numbers given."""
        return next(self._nows)

    def last(self):
        """Return the last transaction."""
        return self._last


# -- reading and writing ---------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS, ids=KEY_IDS)
@pytest.mark.parametrize("deadline_us", [None, 0, 1_700_000_000_000_000, 2**64 - 1])
@pytest.mark.parametrize("tags", [(), ("a", "é")])
def test_what_is_put_is_found(dated, mapping, key, deadline_us, tags):
    """Value, cost and deadline come back; the record keeps its tags."""
    record = dated.encode(key, ["value"], cost_us=7, deadline_us=deadline_us, tags=tags)

    assert dated.get(key) is None
    dated.put(key, record)

    assert (["value"], 7, deadline_us) == dated.get(key) == dated.decode(key, bytes(record))
    assert tags == unpack(bytes(record)).tags
    assert 1 == len(mapping)


@pytest.mark.parametrize("key", KEYS, ids=KEY_IDS)
def test_a_dated_record_is_an_ordinary_entry(dated, mapping, key):
    """What is put is an entry of the mapping: read, counted, listed and deleted there."""
    put(dated, key, {"a": 1})
    put(dated, key, {"a": 2})

    assert {b"stem\0" + key: {"a": 2}} == dict(mapping)
    assert 1 == len(mapping)
    assert b"stem\0" + key in mapping
    del mapping[b"stem\0" + key]

    assert dated.get(key) is None
    assert 0 == len(mapping)


@pytest.mark.parametrize("key", KEYS, ids=KEY_IDS)
def test_an_ordinary_entry_has_cost_nothing(dated, mapping, key):
    """A record without a cost, written by the mapping, is read with cost 0 and no deadline."""
    mapping[b"stem\0" + key] = "plain"

    assert ("plain", 0, None) == dated.get(key)
    assert dated.delete(key)
    assert not dated.delete(key)
    assert {} == dict(mapping)


def test_many_records_in_one_transaction(dated, mapping):
    """Several records are one commit; those that are there come back, each by its own key."""
    pulse = mapping._target.environment.feel_pulse()
    mapping["other"] = 1
    before = pulse.last()
    dated.put_many({key: dated.encode(key, key, cost_us=1) for key in KEYS})

    assert before + 1 == pulse.last()
    found = dated.get_many([*KEYS, b"missing"])

    assert {key: (key, 1, None) for key in KEYS} == {
        key: dated.decode(key, record) for key, record in found.items()
    }
    assert len(KEYS) + 1 == len(mapping)
    dated.put_many({})
    dated.put_many({key: dated.encode(key, 2, cost_us=1) for key in KEYS[:2]})

    assert before + 2 == pulse.last()
    assert len(KEYS) + 1 == len(mapping)


def test_stems_keep_records_apart(mapping):
    """Records of different stems do not meet, even if one stem begins with the other."""
    stems = [b"", b"a", b"a\0", b"a\0\xff", b"b"]
    kept = [DatedRecords(mapping, stem) for stem in stems]
    for dated in kept:
        put(dated, b"key", dated.stem)

    assert [(stem, 5, None) for stem in stems] == [dated.get(b"key") for dated in kept]
    assert kept[1].delete(b"key")
    assert stems[:1] + stems[2:] == [dated.stem for dated in kept if dated.get(b"key")]


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_keys_are_located_as_the_mapping_does(open_store, stem, key):
    """Any stem and key of at most 120 bytes have the engine key that the mapping gives them."""
    store = open_store()
    for mapping in (store, store.namespace("n")):
        dated = DatedRecords(mapping, stem)
        put(dated, key, "dated")

        assert "dated" == mapping[stem + key]
        mapping[stem + key] = "plain"

        assert ("plain", 0, None) == dated.get(key)
        assert dated.delete(key)


def test_in_an_open_transaction(store):
    """Inside a transaction records are read and written with it, and go with it."""
    space = store.namespace("n")
    dated = DatedRecords(space)
    with pytest.raises(ZeroDivisionError), store.transaction() as transaction:
        put(dated, b"key", 1)
        inside = DatedRecords(transaction.namespace("n"))

        assert (1, 5, None) == dated.get(b"key") == inside.get(b"key")
        put(inside, b"other", 2)
        with pytest.raises(ZeroDivisionError), space.atomic():
            assert dated.delete(b"key")
            1 / 0
        assert {b"key", b"other"} == set(dated.get_many([b"key", b"other"]))
        1 / 0

    assert dated.get(b"key") is None
    assert 0 == len(space)
    with pytest.raises(TransactionClosedError):
        inside.get(b"key")


def test_what_cannot_be_stored_is_named(dated):
    """A value that cannot be encoded is an error that says which part of it, before any write."""
    with pytest.raises(EncodeError, match="value"):
        dated.encode(b"key", {"lock": threading.Lock()}, cost_us=1)


def test_stores_that_refuse(store, path, open_store):
    """A read-only store refuses to write, a closed one everything."""
    put(DatedRecords(store.namespace("n")), b"key", 1)
    readonly = open_store(readonly=True)
    dated = DatedRecords(readonly.namespace("n"))
    record = dated.encode(b"key", 2, cost_us=1)
    for write in (
        lambda: dated.put(b"key", record),
        lambda: dated.put_many({b"key": record}),
        lambda: dated.delete(b"key"),
    ):
        with pytest.raises(ReadOnlyStoreError):
            write()

    assert (1, 5, None) == dated.get(b"key")
    readonly.close()
    for use in (
        lambda: dated.get(b"key"),
        lambda: dated.get_many([b"key"]),
        lambda: dated.put(b"key", record),
    ):
        with pytest.raises(StoreClosedError):
            use()


def test_reading_goes_on_when_the_file_is_replaced(store):
    """Records are found in the file that `compact` puts in the place of the old one."""
    dated = DatedRecords(store.namespace("n"))
    put(dated, b"key", 1)
    store.compact()

    assert (1, 5, None) == dated.get(b"key")
    put(dated, b"key", 2)

    assert (2, 5, None) == dated.get(b"key")


# -- authenticity ----------------------------------------------------------------------------


@pytest.mark.damages
@pytest.mark.parametrize("deadline_us", [None, 1])
def test_an_altered_record_is_refused(dated, mapping, deadline_us):
    """Whichever bit of a record is flipped, and wherever it is cut, it is refused undecoded."""
    record = bytes(dated.encode(b"key", "value", cost_us=3, deadline_us=deadline_us))
    located = dated.locate(b"key")
    altered = [record[:length] for length in range(len(record))]
    for position in range(len(record)):
        for bit in range(8):
            flipped = bytearray(record)
            flipped[position] ^= 1 << bit
            altered.append(bytes(flipped))
    dated.put(b"key", record)
    for bad in altered:
        with pytest.raises((SignatureError, CorruptRecordError, UnsupportedFormatError)):
            dated.decode(b"key", bad)
    mapping._target.write(lambda transaction: transaction.put(located, altered[-1]))
    with pytest.raises(SignatureError) as caught:
        dated.get(b"key")

    assert caught.value.key == b"key"


def test_a_record_of_another_key_is_refused(dated, store):
    """A record is bound to its key and its mapping: moved elsewhere it is refused."""
    record = bytes(dated.encode(b"key", "value", cost_us=3))
    elsewhere = DatedRecords(store.namespace("elsewhere"), dated.stem)
    for refused in (lambda: dated.decode(b"yek", record), lambda: elsewhere.decode(b"key", record)):
        with pytest.raises(SignatureError):
            refused()


# -- the moment ------------------------------------------------------------------------------


def test_a_stamp_holds_until_the_next_commit(dated, mapping):
    """A record read when nobody commits is stamped with the pulse, which the next commit ends."""
    put(dated, b"key", 1)
    pulse = dated.environment.feel_pulse()
    record, stamp = dated.stamped(b"key", pulse)

    assert (1, 5, None) == dated.decode(b"key", record)
    assert pulse.now() == stamp
    mapping["other"] = 1

    assert pulse.now() != stamp
    assert (record, pulse.now()) == dated.stamped(b"key", pulse)
    assert (None, pulse.now()) == dated.stamped(b"missing", pulse)


def test_no_stamp_inside_a_transaction_of_ones_own(store):
    """What a thread has written and not committed is never stamped; another thread's reads are."""
    dated = DatedRecords(store.namespace("n"))
    put(dated, b"key", 1)
    pulse = dated.environment.feel_pulse()
    with store.transaction() as transaction:
        put(dated, b"key", 2)
        inside = DatedRecords(transaction.namespace("n"))
        for own in (dated, inside):
            record, stamp = own.stamped(b"key", pulse)

            assert ((2, 5, None), -1) == (own.decode(b"key", record), stamp)
        with transaction.transaction():
            assert -1 == dated.stamped(b"key", pulse)[1]
        others = []
        thread = threading.Thread(target=lambda: others.append(dated.stamped(b"key", pulse)))
        thread.start()
        thread.join()

    record, stamp = others[0]

    assert ((1, 5, None), True) == (dated.decode(b"key", record), stamp != -1)
    assert pulse.now() != stamp


@pytest.mark.parametrize(
    ("newer", "nows"),
    [(1, (10,)), (0, (10, 12)), (-1, (10,))],
    ids=["a commit not yet seen by readers", "a commit while reading", "an older file"],
)
def test_no_stamp_while_somebody_commits(store, newer, nows):
    """A record that may be older than the pulse, or newer, is not stamped."""
    dated = DatedRecords(store)
    put(dated, b"key", 1)
    seen = store._session.read(lambda transaction: transaction.id())
    record, stamp = dated.stamped(b"key", StillPulse(seen + newer, *nows))

    assert ((1, 5, None), -1) == (dated.decode(b"key", record), stamp)
    assert 10 == dated.stamped(b"key", StillPulse(seen, 10))[1]


def test_no_stamp_outlives_a_commit(store, path):
    """While another process writes: as long as the pulse is the stamp, the record is the newest."""
    dated = DatedRecords(store.namespace("n"))
    put(dated, b"key", -1)
    pulse = dated.environment.feel_pulse()
    writer = start(
        """
        from objcache.store.dated import DatedRecords
        store = open_store()
        dated = DatedRecords(store.namespace("n"))
        for number in range(3000):
            dated.put(b"key", dated.encode(b"key", number, cost_us=1))
            sum(range(number % 11 * 500))  # the reader meets pauses of any length
        store.close()
        """,
        path,
    )
    stamps = set()
    while writer.poll() is None:
        record, stamp = dated.stamped(b"key", pulse)
        if stamp == -1:
            continue
        stamps.add(stamp)
        found = dated.get(b"key")
        if pulse.now() == stamp:
            assert found == dated.decode(b"key", record)

    assert ("", "") == writer.communicate()
    assert (2999, 1, None) == dated.get(b"key")
    assert len(stamps) > 3


# -- codecs ----------------------------------------------------------------------------------


def test_a_namespace_with_a_codec_of_its_own(store):
    """`using` writes by another codec, and refuses pickles; what is there is read by its own."""
    pickled = store.namespace("n")
    as_json = pickled.using("json")
    dated = DatedRecords(as_json)
    put(dated, b"json", {"a": [1]})
    put(DatedRecords(pickled), b"pickle", {1, 2})

    assert ({"a": [1]}, 5, None) == dated.get(b"json") == DatedRecords(pickled).get(b"json")
    assert b'{"a"' in dated.get_many([b"json"])[b"json"]
    with pytest.raises(DecodeError, match="data-only"):
        dated.get(b"pickle")
    with pytest.raises(EncodeError):
        put(dated, b"set", {1, 2})
    as_json["text"] = "text"

    assert "text" == pickled["text"]
    assert pickled.names == as_json.names
    assert 3 == len(pickled) == len(as_json)
    assert {"x": 1} == _written_and_read(as_json.namespace("below"), {"x": 1})
    with pytest.raises(EncodeError):
        as_json.namespace("below")["set"] = {1}
    assert {1} == _written_and_read(as_json.using("pickle"), {1})


def _written_and_read(mapping, value):
    mapping["key"] = value
    return mapping["key"]


@pytest.mark.parametrize("options", [{"trust": ()}, {"renames": {"old.Name": "new.Name"}}])
def test_an_allow_list_holds_for_dated_records(open_store, options):
    """A store that loads listed classes only, or renames some, does so here as well."""
    plain = open_store()
    put(DatedRecords(plain), b"class", argparse.Namespace(a=1))
    put(DatedRecords(plain), b"list", [1])
    plain.close()
    dated = DatedRecords(open_store(**options))

    assert ([1], 5, None) == dated.get(b"list")
    if "trust" in options:
        with pytest.raises(DecodeError, match="Namespace"):
            dated.get(b"class")


# -- mappings that know their store ----------------------------------------------------------


def test_a_mapping_knows_its_store(path, open_store):
    """Store and namespaces tell directory, mode, clock and whether writes are refused."""
    clock = ManualClock()
    store = open_store(clock=clock)
    for placed in (store, store.namespace("a"), store.namespace("a").namespace("b").using("raw")):
        assert (path, 0o600, clock) == (placed.directory, placed.file_mode, placed.clock)
        assert not placed.readonly
        assert not placed.in_transaction
    readonly = open_store(readonly=True, clock=clock)

    assert readonly.readonly
    assert readonly.namespace("a").readonly
    with store.transaction() as transaction:
        inside = transaction.namespace("a")

        assert (path, 0o600, clock) == (inside.directory, inside.file_mode, inside.clock)
        assert not inside.readonly


def test_the_mode_of_a_shared_store(tmp_path, open_store):
    """New files of a shared store may be written by its group."""
    assert 0o660 == open_store(str(tmp_path / "shared"), shared=True).file_mode


def test_a_thread_knows_whether_it_is_in_a_transaction(store):
    """`in_transaction` is of the calling thread, for all mappings of the file."""
    space, others = store.namespace("a"), []
    with store.transaction() as transaction:
        thread = threading.Thread(target=lambda: others.append(store.in_transaction))
        thread.start()
        thread.join()

        assert store.in_transaction
        assert space.in_transaction
        assert transaction.namespace("a").in_transaction
    assert not store.in_transaction
    assert not space.in_transaction
    assert [False] == others


def test_atomic_is_all_or_nothing(store):
    """What is done to any mapping of the store within `atomic` is one transaction; it nests."""
    space = store.namespace("a")
    pulse = store._session.environment.feel_pulse()
    before = pulse.last()
    with space.atomic():
        space["one"] = 1
        store["two"] = 2
        with store.atomic():
            space["three"] = 3

    assert before + 1 == pulse.last()
    with pytest.raises(ZeroDivisionError), store.atomic():
        space["four"] = 4
        with space.atomic():
            store["five"] = 5
        1 / 0

    assert ({"one": 1, "three": 3}, {"two": 2}) == (dict(space), dict(store))
