"""Eviction policies: what goes first, how much work that is, and what survives of it."""

from __future__ import annotations

import bisect
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objcache.cache._policy import POLICIES, STATE_BYTES, QueueState, Reading
from objcache.cache._shared import Hints
from objcache.errors import FormatError, UnsupportedFormatError

MASK = (1 << 64) - 1
EVICTING = sorted(set(POLICIES) - {"none"})
GATE = POLICIES["gate"]


class Row(NamedTuple):
    """A row as the queue of a cache has it."""

    position: bytes
    size_bytes: int
    slot: int
    flags: int
    key: int


def mixed(number):
    """64 bits that look random (splitmix64)."""
    number = (number + 0x9E3779B97F4A7C15) & MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & MASK
    return number ^ (number >> 31)


def hints_for(policy, slots=512, ghosts=128):
    """Hints of a small cache, in memory."""
    code = policy.mark_type
    width = 4 if code == "I" else 1
    marks = memoryview(bytearray(width * slots)).cast(code)
    return Hints(marks, slots - 1, memoryview(bytearray(4 * ghosts)).cast("I"))


class MemoryCache:
    """A cache without values: the queue of one policy, which evicts what is over *limit_bytes*.

    *looked* counts the rows that were fetched for the policy.
    """

    def __init__(self, policy, limit_bytes, *, slots=512, ghosts=128):
        self.policy = policy
        self.limit_bytes = limit_bytes
        self.hints = hints_for(policy, slots, ghosts)
        self.queue = QueueState()
        self.positions = []
        self.rows = {}
        self.by_key = {}
        self.evicted = []
        self.looked = 0
        self.most_looked = 0

    def at(self, position):
        self.looked += 1
        index = bisect.bisect_left(self.positions, position)
        return self.rows[self.positions[index]] if index < len(self.positions) else None

    def read(self, key):
        row = self.by_key.get(key)
        if row is not None:
            marks, ghosts = self.hints.marks, self.hints.ghosts
            body = self.policy.reading.value
            exec(body, {"marks": marks, "slot": row.slot & self.hints.mask, "ghosts": ghosts})
        return row is not None

    def store(self, key, size_bytes=1, cost_us=None):
        replaced = self.by_key.get(key)
        if replaced is not None:
            self.remove(key)
        number = self.queue.stored + 1
        row = Row(number.to_bytes(16, "big"), size_bytes, mixed(key) >> 32, 0, key)
        row = row._replace(flags=self.policy.stored(self.queue, self.hints, row, cost_us, replaced))
        self.positions.append(row.position)
        self.rows[row.position] = self.by_key[key] = row
        while self.queue.held_bytes > self.limit_bytes and self.evict(row.position):
            pass

    def victim(self, spare=b""):
        self.looked = 0
        row = self.policy.victim(self.queue, self.hints, self, spare)
        self.most_looked = max(self.most_looked, self.looked)
        return row

    def evict(self, spare=b""):
        row = self.victim(spare)
        if row is None:
            return False
        self.policy.evicted(self.queue, self.hints, row)
        self.remove(row.key)
        self.evicted.append(row.key)
        return True

    def remove(self, key):
        row = self.by_key.pop(key)
        self.policy.removed(self.queue, row)
        del self.positions[bisect.bisect_left(self.positions, row.position)]
        del self.rows[row.position]


def trace(length):
    """A hot set, a slow loop and a scan, mixed."""
    keys = []
    for number in range(length):
        random = mixed(number * 3 + 1)
        if random % 8 < 4:
            keys.append(int(400 * ((random >> 8) % 10007 / 10007) ** 3))
        elif random % 8 < 6:
            keys.append(1000 + number // 4 % 300)
        else:
            keys.append(2000 + number)
    numbers = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def replay(cache, keys, *, sized=False, costed=False, again=0):
    """Get each key, store it when it is missing, and *again* in so many of a thousand hits."""
    hits = 0
    for number, key in enumerate(keys):
        if key in cache.by_key and mixed(number) % 1000 >= again:
            hits += cache.read(key)
            continue
        size_bytes = 10 + mixed(key * 7) % 2000 if sized else 1
        cost_us = int(2 ** (mixed(key * 11) % 1600 / 100)) if costed else None
        cache.store(key, size_bytes, cost_us)
        if number % 997 == 0:
            cache.queue = QueueState.unpack(cache.queue.pack())
    return hits


def digest(keys):
    """32 bits of the keys and their order."""
    value = 1469598103934665603
    for key in keys:
        value = ((value ^ key) * 1099511628211) & MASK
    return value & 0xFFFFFFFF


# What an independent simulator in C has for the same trace and the same numbers.
@pytest.mark.parametrize(
    ("limit_bytes", "options", "expected"),
    [
        (100, {}, (2357, 5543, 833827229)),
        (100, {"again": 100}, (2099, 5548, 3578852341)),
        (100000, {"sized": True, "again": 50}, (2173, 5600, 2180153104)),
        (100000, {"sized": True, "costed": True, "again": 50}, (2111, 5651, 2947998776)),
    ],
    ids=["units", "stored again", "sizes", "costs"],
)
def test_gate_evicts_what_the_simulator_evicts(limit_bytes, options, expected):
    """The policy evicts the same keys in the same order as the design that was measured."""
    cache = MemoryCache(GATE, limit_bytes)

    hits = replay(cache, trace(8000), **options)

    assert expected == (hits, len(cache.evicted), digest(cache.evicted))


def test_gate_is_better_than_the_others_where_scans_are_mixed_in():
    """On a hot set with scans the default has more hits than lru, lfu and fifo."""
    hits = {name: replay(MemoryCache(POLICIES[name], 100), trace(8000)) for name in EVICTING}

    assert "gate" == max(hits, key=hits.get)
    assert "fifo" == min(hits, key=hits.get)


def test_fifo_evicts_in_the_order_of_storing():
    """What was stored first goes first, read or not; storing again is storing."""
    cache = MemoryCache(POLICIES["fifo"], 5)
    for key in (1, 2, 3, 4, 5, 2):
        cache.store(key)
        cache.read(1)

    for key in (6, 7, 8, 9, 10):
        cache.store(key)

    assert [1, 3, 4, 5, 2] == cache.evicted


def test_none_evicts_nothing():
    """A cache that must not evict has no victim."""
    cache = MemoryCache(POLICIES["none"], 1)
    cache.store(1)
    cache.store(2)

    assert cache.victim() is None
    assert [] == cache.evicted


def exact_lru(keys, entries):
    """The hits of a cache that evicts what was used least recently."""
    held, hits = {}, 0
    for key in keys:
        if key in held:
            hits += 1
            del held[key]
        elif len(held) == entries:
            del held[next(iter(held))]
        held[key] = None
    return hits


def test_lru_has_about_the_hits_of_exact_lru():
    """Looking at sixteen rows costs a twentieth of the hits at most, and gains where LRU fails."""
    keys = trace(8000)
    loop = [number % 110 for number in range(4000)]

    for entries in (50, 100, 200):
        assert replay(MemoryCache(POLICIES["lru"], entries), keys) > 0.95 * exact_lru(keys, entries)
    assert 0 == exact_lru(loop, 100)
    assert replay(MemoryCache(POLICIES["lru"], 100), loop) > 0


@pytest.mark.parametrize("name", ["lru", "lfu", "gate"])
def test_what_is_read_stays(name):
    """A key that is read between all stores is not evicted."""
    cache = MemoryCache(POLICIES[name], 40, slots=1 << 20)
    cache.store(0)

    for key in range(1, 400):
        cache.store(key)
        assert cache.read(0), key


def test_lru_does_not_hold_a_rolled_back_stamp_against_a_row():
    """A row read while a transaction that was rolled back had raised the clock is a fresh one."""
    cache = MemoryCache(POLICIES["lru"], 100)
    for key in range(5):
        cache.store(key)
    cache.hints.ghosts[0] += 50

    cache.read(0)

    assert 1 == cache.victim().key


def test_lfu_evicts_what_was_read_least():
    """Among the next sixteen rows the one with the fewest reads goes, the oldest of equals."""
    cache = MemoryCache(POLICIES["lfu"], 100, slots=1 << 20)
    for key in range(6):
        cache.store(key)
        for _ in range((5, 3, 1, 4, 1, 300)[key]):
            cache.read(key)

    for _ in range(6):
        cache.evict()

    assert [2, 4, 1, 3, 0, 5] == cache.evicted
    for key in range(20):
        cache.store(key)
    assert 0 == cache.victim().key


@pytest.mark.parametrize("name", EVICTING)
@pytest.mark.parametrize("mark", [0, 1, 255])
def test_a_victim_costs_a_bounded_number_of_rows(name, mark):
    """Whatever the marks say, no write fetches more than a hundred rows for one victim."""
    cache = MemoryCache(POLICIES[name], 1000)
    for key in range(1000):
        cache.store(key, cost_us=1)
    most = 0
    for key in range(1000, 1500):
        for slot in range(512):
            cache.hints.marks[slot] = mark
        cache.store(key, cost_us=1)
        most = max(most, cache.most_looked)

    assert 1000 == len(cache.rows)
    assert most <= 100


def test_the_gate_looks_at_few_rows_as_a_rule():
    """Over a trace the default fetches about three rows for each that it evicts."""
    cache = MemoryCache(GATE, 100)
    fetched = 0
    for key in trace(8000):
        if not cache.read(key):
            cache.looked = 0
            cache.store(key)
            fetched += cache.looked

    assert fetched < 4 * len(cache.evicted)


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["store", "store", "read", "remove", "evict", "noise"]),
        st.integers(0, 30),
        st.integers(1, 12),
        st.none() | st.integers(0, 10**9),
    ),
    max_size=120,
)


def counted(cache):
    """The bytes of all rows and of those on probation, counted one by one."""
    rows = cache.rows.values()
    probation = [
        row.size_bytes for row in rows if row.position > cache.queue.gate and not row.flags & 1
    ]
    return sum(row.size_bytes for row in rows), sum(probation)


@pytest.mark.parametrize("name", EVICTING)
@given(operations=OPERATIONS)
@settings(max_examples=60, deadline=None)
def test_the_numbers_are_those_of_the_rows(name, operations):
    """After any operations the bytes held and on probation are what counting the rows gives."""
    cache = MemoryCache(POLICIES[name], 60, slots=16, ghosts=8)
    for operation, key, size_bytes, cost_us in operations:
        if operation == "store":
            cache.store(key, size_bytes, cost_us)
            assert key in cache.by_key
        elif operation == "read":
            cache.read(key)
        elif operation == "remove" and key in cache.by_key:
            cache.remove(key)
        elif operation == "evict":
            assert bool(cache.rows) == cache.evict()
        else:
            cache.hints.marks[key % 16] = mixed(key) & 0xFF
            cache.hints.ghosts[key % 8] = mixed(size_bytes) & 0xFFFFFFFF
        cache.queue = QueueState.unpack(cache.queue.pack())

        assert counted(cache) == (cache.queue.held_bytes, cache.queue.probation_bytes)
        assert cache.queue.held_bytes <= 60


@pytest.mark.parametrize("name", EVICTING)
@given(rest=st.binary(min_size=STATE_BYTES - 1, max_size=STATE_BYTES - 1))
def test_any_state_has_a_victim(name, rest):
    """With a state of random bytes each row is evicted once, and the spared one stays."""
    cache = MemoryCache(POLICIES[name], 1000)
    for key in range(20):
        cache.store(key, key + 1)
    cache.queue = QueueState.unpack(b"\1" + rest)
    spare = cache.by_key[7].position

    while cache.evict(spare):
        pass

    assert [7] == list(cache.by_key)
    assert set(range(20)) - {7} == set(cache.evicted)


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_an_empty_queue_has_no_victim(name):
    """There is nothing to evict from an empty queue."""
    assert MemoryCache(POLICIES[name], 10).victim() is None


def test_unread_newcomers_go_before_what_was_read():
    """A scan passes through probation: what was read stays, but one where the looking ended."""
    cache = MemoryCache(GATE, 100, slots=1 << 20)
    for key in range(50):
        cache.store(key)
        cache.read(key)

    for key in range(1000, 1200):
        cache.store(key)

    assert 49 == len(set(range(50)) & set(cache.by_key))


def test_what_comes_back_in_time_is_proven_and_widens_probation():
    """A key that probation has just evicted is not put on probation again, and its share grows."""
    cache = MemoryCache(GATE, 10, slots=1 << 20)
    for key in range(11):
        cache.store(key)
    share = cache.queue.share

    cache.store(cache.evicted[0])

    assert cache.by_key[0].flags & 1
    assert share + 0.1 == pytest.approx(cache.queue.share)


def test_a_ghost_counts_once():
    """A key that came back and was deleted begins on probation like any other."""
    cache = MemoryCache(GATE, 10, slots=1 << 20)
    for key in range(11):
        cache.store(key)
    cache.store(0)
    cache.remove(0)

    cache.store(0)

    assert 0 == cache.by_key[0].flags


def test_the_hand_decides_where_only_the_spared_row_is_on_probation():
    """A large newcomer makes an unread row go, not the oldest."""
    cache = MemoryCache(GATE, 20, slots=1 << 20)
    for key in range(9):
        cache.store(key)
        cache.read(key)
    cache.queue.gate = cache.by_key[8].position
    cache.queue.probation_bytes = 0
    for key in range(1, 9):
        cache.hints.marks[cache.by_key[key].slot & cache.hints.mask] = 0

    cache.store(9, 12)

    assert [1] == cache.evicted


def test_a_wrong_number_of_bytes_on_probation_mends_itself():
    """Where the gate finds nothing more on probation, the number becomes right again."""
    cache = MemoryCache(GATE, 100, slots=1 << 20)
    for key in range(20):
        cache.store(key)
        cache.read(key)
    cache.queue.probation_bytes = 10**6

    cache.evict()

    assert counted(cache) == (cache.queue.held_bytes, cache.queue.probation_bytes)
    cache.store(20)
    cache.queue.probation_bytes = 10**6
    cache.evict(cache.by_key[20].position)
    assert counted(cache) == (cache.queue.held_bytes, cache.queue.probation_bytes)
    assert 1 == cache.queue.probation_bytes


def test_marks_of_another_time_are_cut():
    """A mark that no policy of this version wrote is the most credit there is."""
    cache = MemoryCache(GATE, 100, slots=1 << 20)
    for key in range(20):
        cache.store(key)
    cache.queue.gate = cache.by_key[19].position
    cache.queue.probation_bytes = 0
    for row in cache.rows.values():
        cache.hints.marks[row.slot & cache.hints.mask] = 254

    cache.evict()

    marks = [cache.hints.marks[row.slot & cache.hints.mask] for row in cache.rows.values()]
    assert {10, 12} == set(marks)


def test_what_probation_did_not_evict_narrows_it():
    """A proven key that was evicted and comes back in time takes its size from probation."""
    cache = MemoryCache(GATE, 10, slots=1 << 20)
    for key in range(5):
        cache.store(key)
        cache.read(key)
    for key in range(5, 11):
        cache.store(key)
    cache.queue.share = 0.9
    for _ in range(20):
        if cache.evict() and cache.evicted[-1] < 5:
            break
    proven = cache.evicted[-1]
    assert proven < 5
    share = cache.queue.share

    cache.store(proven)

    assert cache.by_key[proven].flags & 1
    assert cache.queue.share < share


def test_a_loop_that_does_not_fit_has_hits():
    """Of a loop a tenth larger than the cache some part stays, where LRU keeps nothing."""
    loop = [number % 1100 for number in range(20000)]
    cache = MemoryCache(GATE, 1000, slots=8192, ghosts=1024)

    hits = replay(cache, loop)

    assert 0 == exact_lru(loop, 1000)
    assert hits > len(loop) // 3


def test_what_is_dear_stays_longer():
    """Unread, a result that took a thousand times as long for its size outlasts many others."""
    cache = MemoryCache(GATE, 100, slots=1 << 20)
    for key in range(1, 300):
        cache.store(key, 1, 1000)
        if key == 50:
            cache.store(0, 1, 1_000_000)

    assert 0 in cache.by_key
    assert 7 == cache.by_key[0].flags >> 1
    assert 0 == cache.by_key[299].flags >> 1


def test_equal_costs_are_as_good_as_none():
    """Costs that are all the same change nothing."""
    keys = trace(3000)
    plain, costed = MemoryCache(GATE, 100), MemoryCache(GATE, 100)
    for key in keys:
        for cache, cost_us in ((plain, None), (costed, 500)):
            if not cache.read(key):
                cache.store(key, 1, cost_us)

    assert plain.evicted == costed.evicted


def test_storing_again_keeps_what_was_known():
    """The new row of a key has the mark, the credit and the standing of the old one."""
    cache = MemoryCache(GATE, 30, slots=1 << 20)
    for key in range(2, 40):
        cache.store(key, 1, 10)
    cache.store(1, 1, 1_000_000)
    cache.read(1)
    for key in range(40, 80):
        cache.store(key, 1, 10)
    former = cache.by_key[1]
    mark = cache.hints.marks[former.slot & cache.hints.mask]
    assert 7 == mark >> 1
    assert 7 == former.flags >> 1
    assert former.position <= cache.queue.gate

    cache.store(1)

    row = cache.by_key[1]
    assert former.position < row.position
    assert mark == cache.hints.marks[row.slot & cache.hints.mask]
    assert former.flags | 1 == row.flags


@pytest.mark.parametrize("name", EVICTING)
def test_slots_that_are_shared_do_no_harm(name):
    """With one mark for all rows the limit still holds, and something is found."""
    cache = MemoryCache(POLICIES[name], 100, slots=1, ghosts=1)

    hits = replay(cache, trace(2000))

    assert 100 == len(cache.rows)
    assert hits > 200


def test_the_first_policy_is_the_default():
    """Policies have the names that users give, the default first."""
    assert ["gate", "lru", "lfu", "fifo", "none"] == list(POLICIES)
    assert all(name == policy.name for name, policy in POLICIES.items())


def test_readings_are_what_is_read_inline():
    """A read flags, counts or stamps; it never takes the counter over what a byte holds."""
    marks, ghosts = bytearray([6, 254]), [77]
    for reading in Reading:
        scope = {"marks": marks, "ghosts": ghosts, "slot": 0}
        exec(reading.value, scope)
        scope["slot"] = 1
        exec(reading.value, scope)
        exec(reading.value, scope)
        expected = {"NOTHING": [6, 254], "FLAG": [7, 255], "COUNT": [8, 255], "STAMP": [77, 77]}

        assert expected[reading.name] == list(marks)


def test_version_1_state_bytes_are_frozen():
    """The state of version 1 is these 95 bytes for ever."""
    state = QueueState()
    state.share, state.mean_cost = 0.25, 2.0
    state.held_bytes, state.probation_bytes, state.stored, state.costs_seen = 1, 2, 3, 4
    state.gone_bytes, state.ticks = [5, 6], [7, 8]
    state.gate, state.hand = b"g" * 16, b"h" * 16
    frozen = (
        "01 3fd0000000000000 4000000000000000 0000000000000001 0000000000000002"
        "0000000000000003 00000004 0000000000000005 0000000000000006 07 08"
    )

    packed = state.pack()

    assert bytes.fromhex(frozen) + b"g" * 16 + b"h" * 16 == packed
    assert STATE_BYTES == len(packed)
    assert packed == QueueState.unpack(packed).pack()


def test_no_bytes_are_a_new_state():
    """A cache that never had a policy begins with an empty queue."""
    assert QueueState().pack() == QueueState.unpack(b"").pack()


def test_a_newer_state_is_refused():
    """A state of a later version is refused, with both numbers."""
    with pytest.raises(UnsupportedFormatError, match="version 2 was found"):
        QueueState.unpack(b"\2" + bytes(STATE_BYTES - 1))


@given(
    packed=st.binary(max_size=2 * STATE_BYTES)
    | st.binary(min_size=STATE_BYTES - 1, max_size=STATE_BYTES - 1).map(lambda rest: b"\1" + rest)
)
def test_any_bytes_are_a_state_or_a_format_error(packed):
    """Garbage on disk is a FormatError, or a state that can be packed again."""
    try:
        state = QueueState.unpack(packed)
    except FormatError:
        return

    assert STATE_BYTES == len(state.pack())
    assert 0 <= state.share <= 1
    assert 0 <= state.mean_cost < float("inf")
