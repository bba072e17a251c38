"""The queue of a cache as it lies: its entries in the order of storing, and which go next.

Knows: rows of the queue, and how policies choose. Must not know: values. Nothing is changed, no
cache is opened, and no bounds need be known.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from objcache.cache._layout import POSITION_BYTES, Row, State, name_of, unpack_row
from objcache.cache._policy import POLICIES, QueueState
from objcache.cache._shared import SHARED_DIRECTORY, Hints, copied_hints
from objcache.clock import MICROSECONDS, in_seconds
from objcache.engine import Transaction
from objcache.header import MOMENT
from objcache.keys import successor
from objcache.store import Store
from objcache.store._scan import scan
from objcache.store.generations import (
    DEADLINES,
    QUEUE,
    STATE,
    Generation,
    generation_prefix,
)

__all__ = ["Forecast", "Queued", "next_evictions", "queue_of"]

_DEFAULT: Final = next(iter(POLICIES))
_NO_GHOSTS: Final = memoryview(bytearray(4)).cast("I")


class Queued(NamedTuple):
    """An entry as the queue of its cache knows it.

    Attributes:
        located: the engine key of its record; of the result's, for a memoized function.
        is_result: whether it is a result of a memoized function.
        created: when it was stored, seconds since the epoch.
        size_bytes: what it takes on disk, about.
        deadline: when it is over, seconds since the epoch; None is never.
        tags: its tags.
    """

    located: bytes
    is_result: bool
    created: float
    size_bytes: int
    deadline: float | None
    tags: tuple[str, ...]


class Forecast(NamedTuple):
    """Which entries of a cache go first if room were needed now.

    Attributes:
        policy: of the program that last used the cache; `""` if that cannot be told, and then
            the choice is that of the default policy, knowing nothing of reads.
        entries: in the order in which they go: those whose deadline has come, then the others.
    """

    policy: str
    entries: tuple[Queued, ...]


def queue_of(store: Store[Any, Any], cache: Generation) -> Iterator[Queued]:
    """Yield the entries of *cache* in the order in which they were stored.

    Raises:
        CorruptStoreError: a row is damaged.

    Cost: reads all rows, no record. Concurrency: see `scan`; no read transaction stays open.
    """
    prefix = generation_prefix(cache.number)
    low = prefix + QUEUE
    for key, packed in scan(store._session, low, successor(low), _all):  # noqa: SLF001
        yield _queued(prefix, unpack_row(key[len(low) :], packed))


def next_evictions(store: Store[Any, Any], cache: Generation, most: int, now: float) -> Forecast:
    """Return which entries of *cache* would make room, were it needed at *now*.

    The policy chooses as it would, with a copy of what it remembers. What is read or stored in
    between changes its choice.

    Args:
        store: where the cache is.
        cache: which one.
        most: how many entries at most.
        now: seconds since the epoch.

    Raises:
        CorruptStoreError, FormatError: rows or numbers are damaged.

    Cost: one read transaction; a few rows an entry, and a copy of the marks of reads.
    """
    found = copied_hints(
        os.path.join(store.directory, SHARED_DIRECTORY),
        name_of(cache.names),
        {policy.name: policy.mark_type for policy in POLICIES.values()},
    )
    name, hints = found or (_DEFAULT, Hints(memoryview(bytearray(1)), 0, _NO_GHOSTS))
    policy = POLICIES[name]
    prefix = generation_prefix(cache.number)

    def choose(transaction: Transaction) -> list[Row]:
        line = _Line(transaction, prefix)
        state = QueueState.unpack(State(transaction.get(prefix + STATE)).policy)
        chosen = line.over(int(now * MICROSECONDS), most)
        for row in chosen:
            policy.removed(state, row)
            line.gone.add(row.position)
        while len(chosen) < most and (victim := policy.victim(state, hints, line)) is not None:
            policy.removed(state, victim)
            line.gone.add(victim.position)
            chosen.append(victim)
        return chosen

    chosen = store._session.read(choose)  # noqa: SLF001  # the cache is a part of it
    return Forecast(name if found else "", tuple(_queued(prefix, row) for row in chosen))


class _Line:
    """The queue within one read transaction, without those that are thought gone."""

    def __init__(self, transaction: Transaction, prefix: bytes) -> None:
        self._transaction = transaction
        self._prefix = prefix
        self._cursor = transaction.cursor()
        self.gone: set[bytes] = set()

    def at(self, position: bytes) -> Row | None:
        """Return the first row at *position* or behind it."""
        queue = self._prefix + QUEUE
        found = self._cursor.set_range(queue + position)
        while found:
            key, packed = self._cursor.item()
            if not key.startswith(queue):
                return None
            if key[len(queue) :] not in self.gone:
                return unpack_row(key[len(queue) :], packed)
            found = self._cursor.next()
        return None

    def over(self, now_us: int, most: int) -> list[Row]:
        """Return up to *most* rows whose deadline has come, the first deadline first."""
        rows: list[Row] = []
        first = self._prefix + DEADLINES
        cursor = self._transaction.cursor()
        found = cursor.set_range(first)
        while found and len(rows) < most:
            key = cursor.key()
            moment = key[len(first) : -POSITION_BYTES]
            if not key.startswith(first) or MOMENT.unpack(moment)[0] > now_us:
                break
            position = key[-POSITION_BYTES:]
            packed = self._transaction.get(self._prefix + QUEUE + position)
            if packed is not None:
                rows.append(unpack_row(position, packed))
            found = cursor.next()
        return rows


def _queued(prefix: bytes, row: Row) -> Queued:
    is_result = bool(row.owned) and not row.located
    located = row.owned[0].located if is_result else prefix + row.located
    (created_us,) = MOMENT.unpack_from(row.position)
    return Queued(
        *(located, is_result, created_us / MICROSECONDS, row.size_bytes),
        *(in_seconds(row.deadline_us), row.tags),
    )


def _all(_located: bytes) -> bool:
    return True
