"""Changing a cache: a record with all rows that index it, in one write transaction.

Knows: the queue, deadlines, tags and numbers, and when something must go. Must not know: values,
and what goes first (the policy does).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from objcache.cache._layout import (
    POSITION_BYTES,
    Row,
    State,
    deadline_key,
    pack_row,
    place_of,
    position_of,
    slot_of,
    tag_key,
    tag_prefix,
    unpack_row,
)
from objcache.cache._policy import QueueState
from objcache.cache._rules import Rules, size_on_disk
from objcache.engine import Transaction
from objcache.errors import FormatError
from objcache.header import MOMENT
from objcache.store.generations import (
    DEADLINES,
    QUEUE,
    STATE,
    drop_rows,
    remove_owned,
)
from objcache.store.side import names_side_file, put_record, remove_record

if TYPE_CHECKING:
    from objcache.cache._tracking import Tracked

__all__ = ["Incoming", "Rows", "entry_of"]

_EXPIRED_A_WRITE: Final = 8
_OVER_A_WRITE: Final = 64


class Incoming(NamedTuple):
    """An entry on its way into a cache.

    Attributes:
        located: its engine key.
        record: its record.
        position: where it will stand in the queue.
        slot: where the mark of its reads is.
        size_bytes: what it takes on disk.
        deadline_us: when it is over, microseconds since the epoch.
        tags: its tags.
    """

    located: bytes
    record: bytes | bytearray
    position: bytes
    slot: int
    size_bytes: int
    deadline_us: int | None
    tags: tuple[str, ...]


def entry_of(
    located: bytes,
    record: bytes | bytearray,
    created_us: int,
    deadline_us: int | None,
    tags: tuple[str, ...],
) -> Incoming:
    """Return the entry with *record* at *located*, stored at *created_us*."""
    position, slot = place_of(located, created_us)
    size_bytes = size_on_disk(located, record)
    return Incoming(located, record, position, slot, size_bytes, deadline_us, tags)


class Rows:
    """The rows of a cache within one write transaction; `finish` writes its numbers.

    Args:
        transaction: the write transaction.
        rules: what the cache goes by.
        now_us: returns microseconds since the epoch.

    Attributes:
        noted: what is to be told after the commit; None where nobody listens.
    """

    __slots__ = (
        *("_cursor", "_newest", "_now_us", "_policy_state", "_prefix", "_rules", "_transaction"),
        *("_over_left", "noted", "state"),
    )

    def __init__(self, transaction: Transaction, rules: Rules, now_us: Callable[[], int]) -> None:
        self._transaction = transaction
        self._rules = rules
        self._now_us = now_us
        self._prefix = rules.prefix
        packed = transaction.get(self._prefix + STATE)
        kept = rules.kept
        if packed and packed == kept.packed and kept.state and kept.policy_state:
            self.state, self._policy_state = kept.state, kept.policy_state
        else:
            self.state = State(packed)
            if not self.state.rows:
                self.state.rows = 1  # this one
            self._policy_state = QueueState.unpack(self.state.policy)
        kept.packed = b""  # until `finish`: what follows changes them
        self._cursor: Any = None
        self._over_left = False
        self._newest = b""
        self.noted: list[object] | None = None

    def finish(self) -> None:
        """Write the numbers."""
        state, kept = self.state, self._rules.kept
        state.policy = self._policy_state.pack()
        packed = state.pack()
        self._transaction.put(self._prefix + STATE, packed)
        kept.packed, kept.state, kept.policy_state = packed, state, self._policy_state

    # -- one entry ---------------------------------------------------------------------------

    def store(self, entry: Incoming, cost_us: int | None = None) -> None:
        """Write the record of an *entry*, in the place of any other.

        Args:
            entry: what to write.
            cost_us: what it took to compute.
        """
        # Flat on purpose: bench/workloads/cache_set.py.
        located, record, position, slot, size_bytes, deadline_us, tags = entry
        transaction = self._transaction
        replaced = None
        side = self._rules.side
        aside = side.flag[0] or names_side_file(record)
        if not aside and transaction.put(located, record, overwrite=False):
            self.state.rows += 1
        else:
            old = transaction.get(located)
            if old is None:
                self.state.rows += 1
            else:
                replaced = self._unlink_record(located, old, replaced=True)
                self.state.removed += replaced is not None
            if aside:
                put_record(side, transaction, located, record)
            else:
                transaction.put(located, record)
        own = located[len(self._prefix) :]
        row = Row(position, size_bytes, slot, 0, deadline_us, tags, own, ())
        self._append(row, cost_us, replaced)

    def track(self, position: bytes, tracked: Tracked, size_bytes: int) -> None:
        """Take records of other mappings for an entry at *position*: they go when it goes."""
        owned = tracked.owned
        slot = slot_of(owned[0].located)
        row = Row(position, size_bytes, slot, 0, tracked.deadline_us, tracked.tags, b"", owned)
        self._append(row, tracked.cost_us, None)

    def record_at(self, located: bytes) -> bytes | None:
        """Return the record at *located*."""
        return self._transaction.get(located)

    def remove(self, located: bytes, record: bytes) -> None:
        """Remove the entry with *record* at *located*."""
        if self._unlink_record(located, record) is None:
            removed = remove_record(self._rules.side, self._transaction, located)
            self.state.rows -= removed  # of no row: `check` tells
        self.state.removed += 1

    def clear(self, most: int) -> int:
        """Remove up to *most* entries; return how many there were."""
        removed = 0
        while removed < most and (row := self.at(b"")) is not None:
            self._unlink(row.position)
            removed += 1
        self.state.removed += removed
        return removed

    def untrack(self, position: bytes) -> None:
        """Forget the entry at *position*, whose records others remove."""
        self.state.removed += self._unlink(position, replaced=True) is not None

    def _put(self, located: bytes, record: bytes | bytearray) -> None:
        side = self._rules.side
        if side.flag[0] or names_side_file(record):
            put_record(side, self._transaction, located, record)
        else:
            self._transaction.put(located, record)

    def _append(self, row: Row, cost_us: int | None, replaced: Row | None) -> None:
        """Append *row*, whose flags do not count yet, in the place of the *replaced* one."""
        rules, prefix, state = self._rules, self._prefix, self.state
        flags = rules.policy.stored(self._policy_state, rules.hints, row, cost_us, replaced)
        if flags != row.flags:
            row = row._replace(flags=flags)
        put = self._transaction.put
        position = self._newest = row.position
        packed = pack_row(row)
        if not put(prefix + QUEUE + position, packed, overwrite=False):
            self._unlink(position)  # of another key: two checksums are the same
            state.removed += 1
            put(prefix + QUEUE + position, packed)
        if row.deadline_us is not None:
            put(deadline_key(prefix, row.deadline_us, position), b"")
            state.deadlines += 1
            state.rows += 1
        for tag in row.tags:
            put(tag_key(prefix, tag, position), b"")
            state.rows += 1
        state.rows += 1
        state.entries += 1
        state.stored += 1
        state.size_bytes += row.size_bytes

    def _unlink_record(
        self, located: bytes, record: bytes, *, replaced: bool = False
    ) -> Row | None:
        try:
            row = self._unlink(position_of(located, record), replaced=replaced)
        except FormatError:
            row = None
        if row is None:  # damaged; a row left behind would take the next record of the key along
            own = located[len(self._prefix) :]
            found = self.at(b"")
            while found is not None and found.located != own:
                found = self.at(found.position + b"\0")
            if found is not None:
                row = self._unlink(found.position, replaced=replaced)
        return row

    def _unlink(self, position: bytes, *, replaced: bool = False) -> Row | None:
        """Remove the row at *position* with its index rows, and its records unless *replaced*."""
        packed = self._transaction.pop(self._prefix + QUEUE + position)
        if packed is None:
            return None
        row = unpack_row(position, packed)
        self._forget(row)
        if not replaced:
            self._remove_records(row)
        return row

    def _forget(self, row: Row) -> None:
        """Remove the index rows of *row*, which is not in the queue any more, and count it out."""
        self._rules.policy.removed(self._policy_state, row)
        state = self.state
        if row.deadline_us is not None:
            self._transaction.delete(deadline_key(self._prefix, row.deadline_us, row.position))
            state.deadlines -= 1
            state.rows -= 1
        for tag in row.tags:
            self._transaction.delete(tag_key(self._prefix, tag, row.position))
            state.rows -= 1
        state.rows -= 1
        state.entries -= 1
        state.size_bytes -= row.size_bytes

    def _remove_records(self, row: Row) -> None:
        side, transaction = self._rules.side, self._transaction
        if row.located:
            self.state.rows -= remove_record(side, transaction, self._prefix + row.located)
        for owned in row.owned:
            remove_owned(side, transaction, owned.located, owned.prefix_bytes, many=owned.many)

    # -- many entries ------------------------------------------------------------------------

    def row_at(self, position: bytes) -> Row | None:
        """Return the row at *position*."""
        packed = self._transaction.get(self._prefix + QUEUE + position)
        return None if packed is None else unpack_row(position, packed)

    def at(self, position: bytes) -> Row | None:
        """Return the first row at *position* or behind it, for the policy."""
        queue = self._prefix + QUEUE
        cursor = self._cursor
        if cursor is None:
            cursor = self._cursor = self._transaction.cursor()
        if not cursor.set_range(queue + position):
            return None
        key, packed = cursor.item()
        return unpack_row(key[len(queue) :], packed) if key.startswith(queue) else None

    def expire(self, most: int = _EXPIRED_A_WRITE) -> int:
        """Remove up to *most* entries whose deadline has come; return how many there were."""
        first = self._prefix + DEADLINES
        cursor = self._transaction.cursor()
        now_us = self._now_us()
        removed = 0
        while removed < most and cursor.set_range(first):
            key = cursor.key()
            if not key.startswith(first):
                break
            moment = key[len(first) : -POSITION_BYTES]
            if MOMENT.unpack(moment)[0] > now_us:
                break
            if self.noted is not None:
                self._note_if_over(key[-POSITION_BYTES:], now_us)
            if self._unlink(key[-POSITION_BYTES:]) is None:
                self._transaction.delete(key)  # of no entry: `check` tells
            removed += 1
        self.state.expired += removed
        return removed

    def _note_if_over(self, position: bytes, now_us: int) -> None:
        row = self.row_at(position)
        if row is not None and row.deadline_us is not None and row.deadline_us <= now_us:
            self._note(row, evicted=False)

    def _note(self, row: Row, *, evicted: bool) -> None:
        from objcache.cache._telling import gone  # noqa: PLC0415  # where somebody listens

        assert self.noted is not None
        self.noted.append(gone(self._transaction, self._rules, row, evicted=evicted))

    def remove_tagged(self, tag: str, most: int) -> tuple[int, int]:
        """Remove up to *most* entries with *tag*; return how many there were, and how many live."""
        first = tag_prefix(self._prefix, tag)
        cursor = self._transaction.cursor()
        now_us = self._now_us()
        seen = live = 0
        while seen < most and cursor.set_range(first):
            key = cursor.key()
            # A tag that goes on with NUL begins with the same bytes.
            if not key.startswith(first) or len(key) != len(first) + POSITION_BYTES:
                break
            if self.noted is not None:
                self._note_if_over(key[-POSITION_BYTES:], now_us)
            row = self._unlink(key[-POSITION_BYTES:])
            seen += 1
            if row is None:
                self._transaction.delete(key)  # of no entry: `check` tells
            elif row.deadline_us is None or row.deadline_us > now_us:
                live += 1
            else:
                self.state.expired += 1
        self.state.removed += live
        return seen, live

    def drop_over(self, most: int = _OVER_A_WRITE) -> int:
        """Remove up to *most* rows of generations that are over; return how many there were."""
        dropped = drop_rows(self._rules.side, self._transaction, most)
        self._over_left = self._rules.kept.over_left = dropped >= most
        return dropped
