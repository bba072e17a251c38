"""Writing to a cache: entries with deadlines and tags, each step atomic.

Knows: what is written and removed. Must not know: how a cache is opened, and what is evicted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Final, TypeVar

from objcache.cache._ledger import Ledger
from objcache.cache._ranges import UNREADABLE
from objcache.cache._rows import Incoming
from objcache.cache._rules import Rules, size_on_disk
from objcache.cache._steps import CacheSteps
from objcache.cache._telling import tell_stored
from objcache.engine import Transaction
from objcache.keys import engine_key
from objcache.listeners import LISTENERS
from objcache.protocols import MISSING, Missing
from objcache.store.generations import begin_generation
from objcache.store.side import side_file_of

__all__ = ["CacheWriter", "Tags", "tags_of"]

K = TypeVar("K")
V = TypeVar("V")

Tags = str | Iterable[str] | None

_MOST_TAGS: Final = 100
_LONGEST_TAG_BYTES: Final = 200


class CacheWriter(CacheSteps[K, V], MutableMapping[K, V]):
    """A cache as one writes to it. Every method is one atomic step, for all processes.

    Concurrency: any thread, any process; writers wait for each other.
    """

    __slots__ = ()

    # -- single entries ----------------------------------------------------------------------

    def set(
        self,
        key: K,
        value: V,
        expire: float | Missing | None = MISSING,
        tag: Tags = None,
    ) -> None:
        """Store *value* under *key*, and make room for it.

        Args:
            key: where.
            value: what.
            expire: after how many seconds it is over; None is never; left out, as the cache says.
            tag: one tag, or several.

        Raises:
            EncodeError: naming the part of the value that cannot be stored; nothing is written.
            KeyEncodingError: *key* cannot be a key.
            StoreFullError: it is too large for the cache, or the cache must not evict; nothing
                is written, nothing was evicted for it.

        Cost:
            One encoding, one keyed hash, one write transaction with the durability of the
            cache; evictions take part in it.
        """
        tags = tags_of(tag) if tag is not None else ()
        never = expire is None or (expire is MISSING and self._expire_s is None)
        self._admit(key, value, None if never else self._deadline_us(expire), tags)

    def __setitem__(self, key: K, value: V) -> None:
        """Store *value* under *key*; see `set`."""
        self.set(key, value)

    def add(
        self,
        key: K,
        value: V,
        expire: float | Missing | None = MISSING,
        tag: Tags = None,
    ) -> bool:
        """Store *value* only if *key* has no live entry; return whether it was stored."""

        def step() -> bool:
            if key in self:
                return False
            self.set(key, value, expire, tag)
            return True

        return self._atomic(step)

    def touch(self, key: K, expire: float | Missing | None = MISSING) -> bool:
        """Give a live entry another deadline; return whether there was one.

        Args:
            key: whose entry.
            expire: after how many seconds from now it is over; None is never; left out, as the
                cache says.

        Cost: as `set`, without decoding the value.
        """
        deadline_us = self._deadline_us(expire)

        def step() -> bool:
            rules = self._rules
            located, full_key = engine_key(rules.prefix, key)
            record = self._record_at(located)
            if record is None:
                return False
            try:
                header = self._records.authenticate(key, located, record)
                if header.full_key != full_key or not self._is_live(header):
                    return False
                fresh = self._records.redated(key, located, record, deadline_us)
            except UNREADABLE as error:
                self._tell(key, error)
                return False
            self._check_size(size_on_disk(located, fresh))
            self._change(
                rules, lambda ledger: ledger.redate(located, record, fresh, deadline_us), 0
            )
            return True

        return self._atomic(step)

    def get_and_touch(
        self, key: K, default: Any = None, expire: float | Missing | None = MISSING
    ) -> Any:
        """Return the live value of *key*, which from now on lives for *expire* seconds.

        Sliding expiry, as of sessions. Writes to the store, unlike `get`.
        """

        def step() -> Any:
            value = self.get(key, default=MISSING)
            if value is MISSING:
                return default
            self.touch(key, expire)
            return value

        return self._atomic(step)

    def __delitem__(self, key: K) -> None:
        """Remove *key*.

        Raises:
            KeyError: no live entry.
        """
        if not self.delete(key):
            raise KeyError(key)

    def delete(self, key: K) -> bool:
        """Remove *key*; return whether it had a live entry."""
        return self.delete_many([key]) > 0

    def pop(self, key: K, default: Any = MISSING) -> Any:
        """Remove *key* and return its live value, in one atomic step; *default* if there is none.

        Raises:
            KeyError: no live entry, and no default.
        """

        def step() -> Any:
            value = self.get(key, default=MISSING)
            if value is not MISSING:
                self.delete(key)
            return value

        value = self._atomic(step)
        if value is not MISSING:
            return value
        if default is MISSING:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[K, V]:
        """Remove and return the last live entry in key order.

        Raises:
            KeyError: there is none.
        """

        def step() -> tuple[K, V]:
            key, value = self.last()
            self.delete(key)
            return key, value

        return self._atomic(step)

    def setdefault(self, key: K, default: Any = None) -> Any:
        """Return the live value of *key*; store *default* first if there is none, atomically."""

        def step() -> Any:
            value = self.get(key, default=MISSING)
            if value is MISSING:
                self.set(key, default)
                return default
            return value

        return self._atomic(step)

    # -- many entries ------------------------------------------------------------------------

    def set_many(
        self,
        entries: Mapping[K, V] | Iterable[tuple[K, V]],
        expire: float | Missing | None = MISSING,
        tag: Tags = None,
    ) -> None:
        """Store all *entries* in one transaction: all of them, or none.

        Args:
            entries: keys and values.
            expire: as for `set`.
            tag: as for `set`.

        Cost: all are encoded before the first is written; one commit.
        """
        pairs = list(entries.items() if isinstance(entries, Mapping) else entries)
        tags = tags_of(tag)
        deadline_us = self._deadline_us(expire)
        stored: list[Incoming] = []

        def admit(ledger: Ledger, entries: list[Incoming]) -> None:
            for entry in entries:
                ledger.admit(entry)

        def write(rules: Rules) -> None:
            entries: list[Incoming] = []
            try:
                for (key, value), created_us in zip(pairs, created, strict=True):
                    entries.append(self._incoming(rules, key, value, deadline_us, tags, created_us))
                total_bytes = sum(entry.size_bytes for entry in entries)
                self._check_size(total_bytes)
                self._change(rules, lambda ledger: admit(ledger, entries), total_bytes)
                stored[:] = entries
            except BaseException:
                for entry in entries:
                    self._session.environment.side.discard(side_file_of(entry.record))
                raise

        if pairs:
            now_us = self._mend_time()
            created = [self._moment_us(now_us) for _ in pairs]
            self._retried(write)
            if LISTENERS:
                for (key, _), entry in zip(pairs, stored, strict=True):
                    tell_stored(self._rules.path, self._names, key, entry)

    def update(self, other: Any = (), /, **named: V) -> None:
        """Store all entries of *other* and *named* in one transaction."""
        self.set_many({**dict(other), **named} if named else dict(other))

    def delete_many(self, keys: Iterable[K]) -> int:
        """Remove those *keys* that have an entry, in one transaction; return how many were live."""
        wanted = list(keys)

        def remove(rules: Rules) -> int:
            places: list[tuple[K, bytes, bytes]] = [
                (key, *engine_key(rules.prefix, key)) for key in wanted
            ]
            return self._change(rules, lambda ledger: self._delete(ledger, places), 0)

        return self._retried(remove)

    def _delete(self, ledger: Ledger, places: list[tuple[K, bytes, bytes]]) -> int:
        live = 0
        for key, located, full_key in places:
            record = ledger.record_at(located)
            if record is None:
                continue
            try:
                header = self._records.authenticate(key, located, record)
            except Exception:  # noqa: BLE001  # whatever is wrong with it, it goes
                ledger.remove(located, record)
                continue
            if header.full_key == full_key:
                ledger.remove(located, record)
                live += self._is_live(header)
        return live

    def clear(self) -> None:
        """Remove all entries, in a time that does not depend on how many there are.

        Within a transaction they are removed one by one, so that they can be rolled back. Else
        another generation begins, and later writes remove the rows of the one before.
        """
        if self._session.in_transaction:
            self._in_batches(Ledger.clear)
            return
        epoch = self._epoch
        soon = _another(odd=True)

        def begin(transaction: Transaction) -> None:
            epoch[1] = soon
            begin_generation(transaction, self._names)

        try:
            self._with_room(lambda: self._session.write(begin))
        finally:
            # A: is about to begin one     B: is done, says so     C: looks, sees B's, is content
            # A: has begun one             C: would not look again if B had taken A's word away
            if epoch[1] == soon:
                epoch[1] = _another(odd=False)
        self._settle()


def tags_of(tag: Tags) -> tuple[str, ...]:
    """Return *tag* as distinct tags.

    Raises:
        TypeError: a tag is not text.
        ValueError: it is too long, or there are too many.
    """
    if tag is None:
        return ()
    tags = (tag,) if isinstance(tag, str) else tuple(dict.fromkeys(tag))
    if len(tags) > _MOST_TAGS:
        raise ValueError(f"an entry has {_MOST_TAGS} tags at most, not {len(tags)}")
    for one in tags:
        if not isinstance(one, str):
            raise TypeError(f"a tag is text, not {one!r} of type {type(one).__name__}")
        try:
            size_bytes = len(one.encode())
        except UnicodeEncodeError as error:
            raise ValueError(f"the tag {one!r} cannot be written as UTF-8: {error}") from error
        if not 0 < size_bytes <= _LONGEST_TAG_BYTES:
            raise ValueError(
                f"a tag has 1 to {_LONGEST_TAG_BYTES} bytes of UTF-8, not {size_bytes}"
            )
    return tags


def _another(*, odd: bool) -> int:
    import secrets  # noqa: PLC0415  # seldom called

    return secrets.randbits(62) << 1 | odd
