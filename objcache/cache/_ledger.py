"""Changing a cache within its bounds: what must go when something is stored.

Knows: bounds, and how full the file is. Must not know: values, and what goes first (the policy does).
"""

from __future__ import annotations

from typing import Final, NoReturn

from objcache.cache._rows import Incoming, Rows
from objcache.cache._rules import Kept, size_on_disk
from objcache.engine import side_bytes
from objcache.errors import StoreFullError
from objcache.store.generations import QUEUE, caches_of, generation_prefix

__all__ = ["Ledger"]

_OVER_BATCHES: Final = 16
_LITTLE: Final = 64
# Pages fall free in steps, as neighbours go: a write does not wait for the next step.
_MOST_FOR_ONE: Final = 4
_MOST_IN_DANGER: Final = 16
# More than what one write adds to the file: pages to its record and rows, and to what is evicted.
_COMMIT_BYTES: Final = 1 << 17
_AHEAD_BYTES: Final = 1 << 17
# What a small write may take: pages that are split, on the way to its record and to its rows.
_MOST_PAGES_BYTES: Final = 1 << 14
_MOST_QUIET_WRITES: Final = 64
_SLOWLY: Final = 16


class Ledger(Rows):
    """The rows of a cache, and its bounds, within one write transaction; see `Rows`."""

    __slots__ = ()

    def admit(self, entry: Incoming) -> None:
        """Write the record of an *entry*, and make room for it."""
        self.store(entry)
        self.make_room(entry.size_bytes)

    def redate(
        self, located: bytes, old: bytes, record: bytes | bytearray, deadline_us: int | None
    ) -> None:
        """Write *record*, which differs from the *old* one by its deadline only."""
        row = self._unlink_record(located, old, replaced=True)
        if row is None:
            return
        self._put(located, record)
        size_bytes = size_on_disk(located, record)
        fresh = row._replace(deadline_us=deadline_us, size_bytes=size_bytes)
        self._append(fresh, None, row)
        self.state.stored -= 1
        self.make_room(size_bytes)

    def cull(self, most: int) -> int:
        """Evict up to *most* entries that are too much; return how many there were."""
        limits = self._rules.limits
        evicted = 0
        while evicted < most and limits.evicts and self._is_over() and self.evict():
            evicted += 1
        return evicted

    def _is_over(self) -> bool:
        state, limits = self.state, self._rules.limits
        return (
            (limits.entries is not None and state.entries > limits.entries)
            or (limits.own_bytes is not None and state.size_bytes > limits.own_bytes)
            or (limits.file_bytes is not None and self.used_bytes() > self.allowed_bytes())
        )

    # -- room --------------------------------------------------------------------------------

    def make_room(self, stored_bytes: int) -> None:
        """Evict what is too much after an entry of *stored_bytes* was stored.

        Raises:
            StoreFullError: it must not, or there is nothing to evict.
        """
        state, limits = self.state, self._rules.limits
        if limits.entries is not None:
            while state.entries > limits.entries:
                self._evict_or_refuse(stored_bytes, "max_entries", limits.entries)
        if limits.own_bytes is not None:
            while state.size_bytes > limits.own_bytes:
                self._evict_or_refuse(stored_bytes, "its size limit", limits.own_bytes)
        if limits.file_bytes is not None:
            kept = self._rules.kept
            if kept.quiet_writes and stored_bytes <= _MOST_PAGES_BYTES:
                kept.quiet_writes -= 1
            else:
                self._make_room_in_file(stored_bytes, limits.file_bytes)

    def _make_room_in_file(self, stored_bytes: int, limit: int) -> None:
        state, limits = self.state, self._rules.limits
        allowed = self.allowed_bytes()
        used = self.used_bytes()
        if used <= allowed:
            self._note_room(allowed, used, stored_bytes)
            return
        for _ in range(_OVER_BATCHES):
            if not self._over_left or used <= allowed:
                break
            self.drop_over()
            used = self.used_bytes()
        if self._over_left:
            return  # what was cleared goes before what is live
        room = _MOST_FOR_ONE * stored_bytes
        # Entries that go here and there free no page for long; but most of the reserve must stay,
        # or there are no pages left to remove with.
        dangerous = allowed + self._soft_bytes
        # Some pages more than needed: what goes in one write lies together, and the writes after
        # it change fewer pages.
        enough = allowed - min(_AHEAD_BYTES, allowed // _LITTLE) if limits.evicts else allowed
        evicted = count = 0
        while used > enough and (evicted < room or (used > dangerous and count < _MOST_IN_DANGER)):
            count += 1
            before = state.size_bytes
            if state.deadlines and self.expire(1):
                freed = max(before - state.size_bytes, 1)
            elif limits.evicts:
                freed = self._evict_largest(1)
            else:
                self._refuse(stored_bytes, "its size limit", limit)
            if not freed:
                break
            evicted += freed
            used = self.used_bytes()

    def _note_room(self, allowed: int, used: int, stored_bytes: int) -> None:
        """Note that less is in use than is allowed, after *stored_bytes* were stored."""
        room = (allowed - used) // (stored_bytes + _MOST_PAGES_BYTES)
        # Several processes may each use up the same room: the map is the hard bound then, but not
        # of a file and what lies beside it.
        together = bool(self._rules.side.flag[0])
        self._rules.kept.quiet_writes = 0 if together else min(room, _MOST_QUIET_WRITES)
        if self.state.allowed_bytes:
            grown = allowed + stored_bytes // _SLOWLY
            self.state.allowed_bytes = min(grown, self._rules.ceiling_bytes)

    def allowed_bytes(self) -> int:
        """Return how many bytes of the file may be in use."""
        ceiling = self._rules.ceiling_bytes
        return min(self.state.allowed_bytes or ceiling, ceiling)

    def used_bytes(self) -> int:
        """Return how many bytes of the file are in use, with the side files."""
        pages = self._transaction.stat()
        count = pages["branch_pages"] + pages["leaf_pages"] + pages["overflow_pages"]
        used = int(count * pages["psize"])
        side = self._rules.side
        if not side.flag[0]:
            return used
        aside = side_bytes(self._transaction)
        used += aside
        limit = self._rules.limits.file_bytes
        if not aside or limit is None:
            return used
        # Pages that are free do not leave the file: side files must fit beside all of it, beside
        # what this transaction adds to it, which lmdb tells when it is committed, and beside what
        # a small write may leave to the writes after it.
        extent = side.file_bytes() + _COMMIT_BYTES + self._soft_bytes
        return max(used, self.allowed_bytes() + extent + aside - limit)

    @property
    def _soft_bytes(self) -> int:
        """How much more than is allowed a write may leave, as evicting it would take long."""
        return self._rules.reserve_bytes // 4

    def free(self, wanted_bytes: int, *, gently: bool) -> int:
        """Evict entries of *wanted_bytes* together; return how many bytes they had.

        The file was full: less of it may be in use from now on.

        Args:
            wanted_bytes: how many; more are free already, but they may lie apart from each other.
            gently: leave caches alone that hold too little to make a difference.
        """
        freed = 0
        least_bytes = self._rules.ceiling_bytes // _LITTLE if gently else 0
        while freed < wanted_bytes and (found := self._evict_largest(1, least_bytes)):
            freed += found
        self.state.allowed_bytes = max(
            min(self.allowed_bytes(), self.used_bytes()), self._rules.ceiling_bytes // 4
        )
        return freed

    def _evict_largest(self, wanted_bytes: int, least_bytes: int = 0) -> int:
        """Evict from the largest cache of the file, of those that may; return how many bytes.

        A small one would lose all that it has, and the file would be as full as before.
        """
        largest = self
        for cache in caches_of(self._transaction) if len(self._rules.siblings) > 1 else ():
            sibling = self._rules.siblings.get(cache.names)
            if cache.number != self._rules.number and sibling is not None:
                limits, policy, hints = sibling
                prefix = generation_prefix(cache.number)
                rules = self._rules._replace(
                    number=cache.number,
                    prefix=prefix,
                    limits=limits,
                    policy=policy,
                    hints=hints,
                    kept=Kept(),
                    names=cache.names,
                )
                other = Ledger(self._transaction, rules, self._now_us)
                other.noted = self.noted
                if limits.evicts and other.state.size_bytes > largest.state.size_bytes:
                    largest = other
        before = largest.state.size_bytes
        if before < least_bytes:
            return 0
        while before - largest.state.size_bytes < wanted_bytes and largest.evict():
            pass
        if largest is not self:
            largest.finish()
        return before - largest.state.size_bytes

    def evict(self) -> bool:
        """Evict the entry that the policy names; return whether there was one, and it may."""
        rules, policy_state = self._rules, self._policy_state
        if not rules.limits.evicts:
            return False
        row = rules.policy.victim(policy_state, rules.hints, self, self._newest)
        if row is None:
            return False
        rules.policy.evicted(policy_state, rules.hints, row)
        self._transaction.delete(self._prefix + QUEUE + row.position)
        self._forget(row)
        if self.noted is not None:
            self._note(row, evicted=True)
        self._remove_records(row)
        self.state.evicted += 1
        return True

    def _evict_or_refuse(self, stored_bytes: int, bound: str, limit: int) -> None:
        if not (self.state.deadlines and self.expire(1)) and not self.evict():
            self._refuse(stored_bytes, bound, limit)

    def _refuse(self, stored_bytes: int, bound: str, limit: int) -> NoReturn:
        raise StoreFullError(self._rules.path, limit, stored_bytes, bound)
