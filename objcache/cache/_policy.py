"""Which entry of a full cache goes first.

Knows: the queue of rows in the order of storing, marks of reads, ghosts: docs/design/decisions/0014.
Must not know: keys, values, or where anything is kept.

A row never moves, and a read changes one mark in shared memory. What a policy must remember is a
`QueueState`, which is written with each change of the cache. Marks and ghosts may be anything:
only the hit ratio suffers.
"""

from __future__ import annotations

import enum
import struct
from typing import ClassVar, Final, Literal, Protocol, TypeVar

from objcache.cache._shared import Hints
from objcache.errors import FormatError, UnsupportedFormatError

__all__ = [
    "POLICIES",
    "STATE_BYTES",
    "Fifo",
    "Gate",
    "Lfu",
    "Line",
    "Lru",
    "Nothing",
    "Policy",
    "QueueState",
    "Reading",
    "Row",
]


class Row(Protocol):
    """An entry's row in the queue, as far as policies look."""

    @property
    def position(self) -> bytes:
        """Where it stands: 16 bytes that sort by when it was stored."""

    @property
    def size_bytes(self) -> int:
        """What the entry takes on disk."""

    @property
    def slot(self) -> int:
        """32 bits of a hash of its key: where the mark of its reads is, and what a ghost keeps."""

    @property
    def flags(self) -> int:
        """What `Policy.stored` has returned for it."""


R = TypeVar("R", bound=Row)
R_co = TypeVar("R_co", bound=Row, covariant=True)


class Line(Protocol[R_co]):
    """The queue within one write transaction."""

    def at(self, position: bytes, /) -> R_co | None:
        """Return the first row at *position* or behind it; *position* is of any length."""


class Reading(enum.Enum):
    """What a read does to the mark at its `slot`, without a lock: the body is the value."""

    NOTHING = "pass"
    FLAG = "marks[slot] |= 1"
    COUNT = "if marks[slot] < 255: marks[slot] += 1"
    STAMP = "marks[slot] = ghosts[0]"


# On disk, within the state of a cache. Never reorder: docs/design/cache.md, "On disk".
#   version, probation share, mean cost, held bytes, probation bytes, stored,
#   costs seen, bytes gone since the last tick (gate, main), ticks (gate, main), gate, hand
_STATE: Final = struct.Struct(">BddQQQIQQBB16s16s")
_VERSION: Final = 1
STATE_BYTES: Final = _STATE.size
_FRONT: Final = bytes(16)
_MOST_U64: Final = (1 << 64) - 1
_MOST_AGE: Final = 1 << 31

_PROVEN: Final = 1
_CREDIT: Final = 0b1110
_MOST_CREDIT: Final = 7
_READ: Final = 1
_GHOST_HASH: Final = 0x7FFFFF


class QueueState:
    """What a policy remembers from one write to the next; the same for all policies.

    Attributes:
        share: how much of what is held may be on probation, 0 to 1.
        mean_cost: of computing an entry, microseconds a byte, over the last thousand or so.
        held_bytes: of all rows.
        probation_bytes: of the rows behind the gate that are not proven.
        stored: how many rows were ever appended.
        costs_seen: how many costs `mean_cost` stands for.
        gone_bytes: evicted from probation and from the proven since the last tick of each.
        ticks: sixteenths of the held bytes evicted from probation and from the proven, modulo 256.
        gate: the last row that is not on probation any more.
        hand: the row that the hand passed last.
    """

    __slots__ = (
        *("costs_seen", "gate", "gone_bytes", "hand", "held_bytes", "mean_cost"),
        *("probation_bytes", "share", "stored", "ticks"),
    )

    def __init__(self) -> None:
        self.share = 0.1
        self.mean_cost = 0.0
        self.held_bytes = 0
        self.probation_bytes = 0
        self.stored = 0
        self.costs_seen = 0
        self.gone_bytes = [0, 0]
        self.ticks = [0, 0]
        self.gate = _FRONT
        self.hand = _FRONT

    def pack(self) -> bytes:
        """Return the state as `STATE_BYTES` bytes."""
        gone, ticks = self.gone_bytes, self.ticks
        try:
            return _STATE.pack(
                _VERSION,
                self.share,
                self.mean_cost,
                self.held_bytes,
                self.probation_bytes,
                self.stored,
                self.costs_seen,
                gone[0],
                gone[1],
                ticks[0],
                ticks[1],
                self.gate,
                self.hand,
            )
        except struct.error:  # numbers of a damaged state, grown beyond their fields
            self.held_bytes = min(self.held_bytes, _MOST_U64)
            self.probation_bytes = min(self.probation_bytes, _MOST_U64)
            self.stored = min(self.stored, _MOST_U64)
            self.gone_bytes = [min(number, _MOST_U64) for number in gone]
            return self.pack()

    @classmethod
    def unpack(cls, packed: bytes) -> QueueState:
        """Return the state that was packed; of b"" that of an empty queue.

        Raises:
            FormatError: the bytes are not a state.
        """
        state = cls()
        if not packed:
            return state
        if packed[0] > _VERSION:
            raise UnsupportedFormatError("eviction state version", packed[0], _VERSION)
        if packed[0] != _VERSION or len(packed) != _STATE.size:
            raise FormatError(
                f"the eviction state of a cache has {len(packed)} bytes of version {packed[0]}, "
                f"not {_STATE.size} of version {_VERSION}; run check()"
            )
        _, share, mean_cost, *numbers, state.gate, state.hand = _STATE.unpack(packed)
        # A NaN compares false with everything: it becomes the first bound.
        state.share = share if 0 <= share <= 1 else 0.1
        state.mean_cost = mean_cost if 0 <= mean_cost < float("inf") else 0.0
        state.held_bytes, state.probation_bytes, state.stored, state.costs_seen = numbers[:4]
        state.gone_bytes, state.ticks = numbers[4:6], numbers[6:8]
        return state


class Policy:
    """What all policies do: keep the state up to date. One object serves all threads.

    Attributes:
        name: what users call it.
        mark_type: the typecode of a mark in memory.
        reading: what a read does to a mark.
    """

    name: ClassVar[str]
    mark_type: ClassVar[Literal["B", "I"]] = "B"
    reading: ClassVar[Reading] = Reading.NOTHING

    def stored(
        self,
        state: QueueState,
        hints: Hints,
        row: Row,
        cost_us: int | None = None,  # noqa: ARG002  # not every policy asks for it
        replaced: Row | None = None,
    ) -> int:
        """Note that a row is about to be appended, set its mark, and return its flags.

        Args:
            state: of the queue; changed.
            hints: changed.
            row: the row; its flags do not count yet.
            cost_us: how long the value took to compute, if that is known.
            replaced: the former row of the same key, of which `removed` was just told.
        """
        marks, mask, _ = hints
        marks[row.slot & mask] = 0 if replaced is None else marks[replaced.slot & mask]
        _add(state, row, 0)
        return 0

    def victim(
        self, state: QueueState, hints: Hints, line: Line[R], spare: bytes = b""
    ) -> R | None:
        """Return the row to evict next, None if there is none; the caller then removes it.

        Args:
            state: of the queue; changed.
            hints: changed.
            line: the queue.
            spare: the position of a row that must stay: the one just stored.

        Cost:
            It looks at 32 rows at most, at one or two as a rule.
        """
        raise NotImplementedError

    def evicted(self, state: QueueState, hints: Hints, row: Row) -> None:
        """Note that *row*, a victim, goes; `removed` is called after it."""

    def removed(self, state: QueueState, row: Row) -> None:
        """Note that *row* is not in the queue any more, for whatever reason."""
        if _on_probation(state, row, row.flags):
            state.probation_bytes = max(state.probation_bytes - row.size_bytes, 0)
        state.held_bytes = max(state.held_bytes - row.size_bytes, 0)


def _on_probation(state: QueueState, row: Row, flags: int) -> bool:
    return not flags & _PROVEN and row.position > state.gate


def _add(state: QueueState, row: Row, flags: int) -> None:
    state.stored += 1
    state.held_bytes += row.size_bytes
    if _on_probation(state, row, flags):
        state.probation_bytes += row.size_bytes


def _behind(line: Line[R], position: bytes) -> R | None:
    """Return the first row behind *position*, which has 16 bytes."""
    return line.at(position + b"\0")


def _oldest(line: Line[R], spare: bytes) -> R | None:
    """Return the oldest row but the one at *spare*."""
    row = line.at(_FRONT)
    return _behind(line, spare) if row is not None and row.position == spare else row


class Fifo(Policy):
    """Evict what was stored first; reads do not count."""

    name = "fifo"

    def victim(
        self,
        state: QueueState,  # noqa: ARG002  # the order is all it needs
        hints: Hints,  # noqa: ARG002  # the same
        line: Line[R],
        spare: bytes = b"",
    ) -> R | None:
        """Return the oldest row."""
        return _oldest(line, spare)


class Nothing(Policy):
    """Evict nothing: what does not fit is refused."""

    name = "none"

    def victim(
        self,
        state: QueueState,  # noqa: ARG002  # nothing to choose
        hints: Hints,  # noqa: ARG002  # the same
        line: Line[R],  # noqa: ARG002  # the same
        spare: bytes = b"",  # noqa: ARG002  # the same
    ) -> R | None:
        """Return None."""
        return None


class _Window(Policy):
    """Evict the worst of the next rows behind a hand that goes round and round."""

    rows: ClassVar[int] = 16

    def victim(
        self, state: QueueState, hints: Hints, line: Line[R], spare: bytes = b""
    ) -> R | None:
        """Return the worst of the next sixteen rows, the first of them if several are."""
        marks, mask, _ = hints
        best = state.stored if self.reading is Reading.STAMP else 255
        worst = None
        most = -1
        for _ in range(self.rows):
            row = _behind(line, state.hand) or line.at(_FRONT)
            if row is None:
                return None
            state.hand = row.position
            badness = (best - marks[row.slot & mask]) & 0xFFFFFFFF
            if badness > _MOST_AGE:  # stamped in a transaction that was rolled back
                badness = 0
            if badness > most and row.position != spare:
                worst, most = row, badness
        return worst if worst is not None else _oldest(line, spare)


class Lru(_Window):
    """Evict what was not read for long: the time is how many entries were stored since."""

    name = "lru"
    mark_type = "I"
    reading = Reading.STAMP

    def stored(
        self,
        state: QueueState,
        hints: Hints,
        row: Row,
        cost_us: int | None = None,
        replaced: Row | None = None,
    ) -> int:
        """Note that a row is about to be appended, set its mark, and return its flags."""
        flags = super().stored(state, hints, row, cost_us, replaced)
        # Reads stamp what they find in the first ghost: this policy has no other use for ghosts.
        now = hints.ghosts[0] = state.stored & 0xFFFFFFFF
        hints.marks[row.slot & hints.mask] = now
        return flags


class Lfu(_Window):
    """Evict what was read seldom since it was stored."""

    name = "lfu"
    reading = Reading.COUNT


class Gate(Policy):
    """Evict what nobody has read since it was stored, then what nobody reads any more.

    Two hands go over the queue. Rows behind the *gate* are on probation: when they hold more than
    their share, the oldest of them passes if it was read, else it is evicted. Otherwise the other
    *hand*, among those that have passed, evicts the first that was not read since it came by last.

    Of what is evicted a ghost remains. A key that comes back in time shifts the share to the side
    that would have kept it, and is proven at once; so is what probation evicted longer ago. What
    was proven and comes back late begins again: a loop that does not fit would push itself out.

    A row that took long to compute for its size has *credit*, one for each two times the mean: it
    passes the gate, and is passed by the hand that many times, unread.
    """

    name = "gate"
    reading = Reading.FLAG
    least_share: ClassVar[float] = 0.02
    most_share: ClassVar[float] = 0.9
    rows: ClassVar[int] = 32

    # A mark: bit 0 whether it was read, bits 1 to 3 the credit that is left.
    # Flags of a row: bit 0 whether it was proven when stored, bits 1 to 3 its credit.
    # A ghost: bit 31 whether it was among the proven, bits 23 to 30 the tick, below the hash.

    def stored(
        self,
        state: QueueState,
        hints: Hints,
        row: Row,
        cost_us: int | None = None,
        replaced: Row | None = None,
    ) -> int:
        """Note that a row is about to be appended, set its mark, and return its flags."""
        # Flat on purpose: bench/workloads/cache_set.py.
        marks, mask, ghosts = hints
        slot, size_bytes = row.slot, row.size_bytes
        flags = 0 if cost_us is None else self._credit(state, cost_us, size_bytes)
        if replaced is None:
            marks[slot & mask] = flags
            ghost = ghosts[slot % len(ghosts)]
            if ghost and (ghost ^ slot >> 9) & _GHOST_HASH == 0:
                flags |= self._returned(state, hints, slot, size_bytes)
        else:
            marks[slot & mask] = marks[replaced.slot & mask]
            if cost_us is None:
                flags = replaced.flags & _CREDIT
            flags |= not _on_probation(state, replaced, replaced.flags)
        state.stored += 1
        state.held_bytes += size_bytes
        if not flags & _PROVEN and row.position > state.gate:
            state.probation_bytes += size_bytes
        return flags

    def _credit(self, state: QueueState, cost_us: int, size_bytes: int) -> int:
        """Return the flags that say what computing the entry again would cost."""
        cost = cost_us / max(size_bytes, 1)
        state.costs_seen = min(state.costs_seen + 1, 1000)
        state.mean_cost += (cost - state.mean_cost) / state.costs_seen
        if state.mean_cost <= 0:
            return 0
        return int(min(cost / (2 * state.mean_cost), _MOST_CREDIT)) << 1

    def _returned(self, state: QueueState, hints: Hints, slot: int, size_bytes: int) -> bool:
        """Take the ghost of a key and learn from it; return whether the key is proven."""
        ghosts = hints.ghosts
        number = slot % len(ghosts)
        ghost = ghosts[number]
        ghosts[number] = 0
        side = ghost >> 31
        age = (state.ticks[side] - (ghost >> 23)) & 0xFF
        share = state.share
        # All that the other side has would not have kept an older one.
        in_time = age <= 16 * (share if side else 1 - share)
        if in_time:
            step = size_bytes / max(state.held_bytes, size_bytes, 1)
            share += -step if side else step
            state.share = min(max(share, self.least_share), self.most_share)
        return in_time or not side

    def victim(
        self, state: QueueState, hints: Hints, line: Line[R], spare: bytes = b""
    ) -> R | None:
        """Return the first row that neither hand lets stay."""
        marks, mask, _ = hints
        for left in range(self.rows - 1, -1, -1):
            row, at_gate = self._next(state, line, spare)
            if row is None or row.position == spare:
                break
            mark = marks[row.slot & mask]
            proven = at_gate and row.flags & _PROVEN
            if not left or not (mark or proven):
                return row
            if not at_gate:
                state.hand = row.position
                read = mark & _READ
                marks[row.slot & mask] = row.flags & _CREDIT if read else min(mark, _CREDIT) - 2
                continue
            state.gate = row.position
            if not proven:
                state.probation_bytes = max(state.probation_bytes - row.size_bytes, 0)
                marks[row.slot & mask] = mark & ~_READ
        return _oldest(line, spare)

    def _next(self, state: QueueState, line: Line[R], spare: bytes) -> tuple[R | None, bool]:
        """Return the row that the one hand or the other looks at, and whether it is the gate."""
        if state.probation_bytes > state.share * state.held_bytes:
            row = _behind(line, state.gate)
            if row is not None and row.position != spare:
                return row, True
            # There is no other: the number may have been wrong, clocks go back.
            state.probation_bytes = 0
            if row is not None and not row.flags & _PROVEN:
                state.probation_bytes = row.size_bytes
        row = _behind(line, state.hand)
        if row is None or row.position > state.gate:
            state.hand = _FRONT
            row = line.at(_FRONT)
        return row, row is not None and row.position > state.gate

    def evicted(self, state: QueueState, hints: Hints, row: Row) -> None:
        """Leave a ghost of the key."""
        side = 0 if _on_probation(state, row, row.flags) else 1
        gone_bytes = state.gone_bytes[side] + row.size_bytes
        if gone_bytes * 16 >= state.held_bytes:
            tick = state.ticks[side] + gone_bytes * 16 // max(state.held_bytes, 1)
            state.ticks[side] = tick & 0xFF
            gone_bytes = 0
        state.gone_bytes[side] = gone_bytes
        ghost = side << 31 | state.ticks[side] << 23 | row.slot >> 9 & _GHOST_HASH
        hints.ghosts[row.slot % len(hints.ghosts)] = ghost


POLICIES: Final[dict[str, Policy]] = {
    policy.name: policy for policy in (Gate(), Lru(), Lfu(), Fifo(), Nothing())
}
"""By name; the first is the default."""
