"""The cache: a store with bounds, deadlines and tags, opened by path.

Knows: how a cache is opened, what it shares with others, and what belongs to the whole of it. Must
not know: lmdb.
"""

from __future__ import annotations

import logging
import os
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from objcache.cache._groups import CacheGroups
from objcache.cache._layout import checked_names, name_of
from objcache.cache._limits import Limits, limits_of, slots_for
from objcache.cache._place import CachePlace
from objcache.cache._policy import POLICIES, Policy, Reading
from objcache.cache._reads import READS
from objcache.cache._rules import Kept, Rules, Sibling
from objcache.cache._shared import SHARED_DIRECTORY, Hints, epoch_of, hints_name, hints_of
from objcache.cache._sweeping import Sweeper, checked_interval
from objcache.errors import StoreClosedError, StoreConflictError, WrongSecretError
from objcache.protocols import MISSING, Missing
from objcache.store import Store
from objcache.tallies import tallies_beside

if TYPE_CHECKING:
    from objcache.cache._check import CacheReport
    from objcache.cache._stats import CacheStats
    from objcache.memo import StoreMemoize

__all__ = ["Cache"]

K = TypeVar("K")
V = TypeVar("V")

# In a file with a bound, what is larger than some pages finds no free ones in a row.
_ASIDE_BYTES: Final = 1 << 14
# To remove an entry takes some pages first, and a small file has few.
_RESERVE_BYTES: Final = 1 << 18
_DEFAULT_LIMIT: Final = "1 GiB"
_DEFAULT_POLICY: Final = "gate"


class Cache(CacheGroups[K, V]):
    """A bounded mapping on disk: entries expire, have tags, and make room for others.

    Reads write nothing to the store. What goes first is decided by the policy, which knows of the
    reads of all processes. An entry whose deadline has come is never returned, from that moment.
    An entry that cannot be read, or was not signed with the cache's secret, is logged and missing.

    Args:
        path: the directory; made if missing. A `Store` may live in the same one.
        size_limit: the bound of the file on disk: bytes, or text as `"1 GiB"`; None is no bound.
        max_entries: the bound of the number of entries; None is no bound.
        expire: after how many seconds an entry is over, unless it is stored with another
            `expire`; None is never.
        policy: what goes first when it is full: `"gate"` keeps what is read again and what was
            dear to compute, `"lru"`, `"lfu"`, `"fifo"`; `"none"` evicts nothing.
        on_full: `"evict"`, or `"error"`: a write that finds the cache full raises.
        on_untrusted: what to do with a cache that was written with another secret: `"error"`, or
            `"discard"` all of it, unless a `Store` keeps entries in the same file.
        sweep_interval: every so many seconds a thread removes what is over, from the cache and
            its namespaces; None is none: writes remove some each time, and `expire` all.
        options: as for `Store`: `durability`, `codec`, `secret`, `trust`, `timeout`, `clock`, ...

    Raises:
        ValueError, TypeError: a bound or an option that is none.
        StoreNotFoundError, StoreError, UntrustedStoreError, NetworkFilesystemError,
        StoreConflictError, SecretError, WrongSecretError, CorruptStoreError: as for `Store`.

    Concurrency:
        Shared freely between threads and processes; after fork() both go on using it. It
        pickles as its path and settings.

    >>> with Cache.temporary(size_limit="10 MiB", expire=3600) as cache:
    ...     cache.set("answer", 42, tag="numbers")
    ...     cache.get("answer"), cache.evict("numbers"), cache.get("answer")
    (42, 1, None)
    """

    __slots__ = (
        *("__weakref__", "_arguments", "_closed", "_forked", "_owned", "_siblings", "_store"),
        *("_sweeper", "_tallies", "_tally_name", "_whole_file"),
    )

    def __init__(
        self: Cache[Any, Any],  # without an annotation of its own a cache holds anything
        path: str | os.PathLike[str],
        *,
        size_limit: int | str | None = _DEFAULT_LIMIT,
        max_entries: int | None = None,
        expire: float | None = None,
        policy: str = _DEFAULT_POLICY,
        on_full: str = "evict",
        on_untrusted: str = "error",
        sweep_interval: float | None = None,
        **options: Any,
    ) -> None:
        self._closed = True
        self._owned: Cache[Any, Any] | None = None
        self._siblings: dict[tuple[str, ...], Sibling] = {}
        self._sweeper: Sweeper | None = None
        settings = {
            "size_limit": size_limit,
            "max_entries": max_entries,
            "expire": expire,
            "policy": policy,
            "on_full": on_full,
        }
        self._arguments = {
            **settings,
            "on_untrusted": on_untrusted,
            "sweep_interval": checked_interval(sweep_interval),
            **options,
        }
        limits = limits_of(settings, whole_file=True)
        store = _trusted(path, limits, options, on_untrusted)
        try:
            self._set_up(store, (), limits, settings)
        except BaseException:
            store.close()
            raise
        if sweep_interval is not None and not store.readonly:
            self._sweeper = Sweeper(sweep_interval)
            self._sweeper.watch(self)

    def _set_up(
        self, store: Store[Any, Any], names: tuple[str, ...], limits: Limits, settings: Any
    ) -> None:
        self._store = store
        self._whole_file = not names
        self._names = names
        session = self._session = store._session  # noqa: SLF001  # the cache is a part of it
        self._source = session
        records = store._records  # noqa: SLF001
        bounded = {limits.file_bytes, limits.own_bytes} != {None}
        self._records = records.aside_from(_ASIDE_BYTES) if bounded else records
        self._decode = self._records.decode
        self._clock = store.clock
        self._expire_s = settings["expire"]
        self._last_us = 0
        self._known_epoch = -1
        self._committed = None
        writable = not store.readonly
        name = name_of(names)
        policy = POLICIES[settings["policy"]]
        self._read = READS[policy.reading]
        self._flags_reads = policy.reading is Reading.FLAG
        place = os.path.join(store.directory, SHARED_DIRECTORY)
        self._hints = _hints(place, name, policy, limits, store.file_mode)
        epoch = self._epoch = epoch_of(place, name.hex(), store.file_mode, writable=writable)
        # A reader that may not write believes what it has seen itself.
        self._latest = epoch[3:4] if writable else memoryview(bytearray(8)).cast("Q")
        self._tally_name = name
        self._forked = True
        reserve_bytes = 0 if limits.file_bytes is None else limits.file_bytes // 8 + _RESERVE_BYTES
        self._rules = Rules(
            *(store.directory, 0, b"", (b"", b""), limits, limits.largest_entry_bytes),
            *(policy, self._hints, reserve_bytes, session.environment.side),
            *(Kept(), self._siblings, names),
        )
        self._siblings[names] = Sibling(limits, policy, self._hints)
        self._closed = False
        self._refresh()
        _open_caches[id(self)] = self  # a mapping has no hash

    def _refresh(self) -> None:
        if self._forked:
            # Counts, and threads, of the parent stay with it.
            self._forked = False
            store = self._store
            self._tallies = tallies_beside(
                store.directory, mode=store.file_mode, readonly=store.readonly
            )
            self._tally = self._tallies.tally(self._tally_name)
            if self._sweeper is not None and self._whole_file:
                self._sweeper.start()
        super()._refresh()

    @classmethod
    def temporary(cls, **options: Any) -> Cache[Any, Any]:
        """Open a cache in a new temporary directory, which is removed when it is closed.

        Args:
            options: as for `Cache`; the secret is random where none is given.
        """
        import tempfile  # noqa: PLC0415  # a sixth of the import time of objcache

        directory = tempfile.TemporaryDirectory(prefix="objcache-")
        options.setdefault("secret", os.urandom(32))
        options.setdefault("durability", "process")
        cache = cls(os.path.join(directory.name, "cache"), **options)
        cache._store._temporary = directory  # noqa: SLF001  # closed with the store
        return cache

    # -- life --------------------------------------------------------------------------------

    @property
    def directory(self) -> str:
        """The directory of the cache."""
        return self._store.directory

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed or self._session.closed

    @property
    def place(self) -> CachePlace:
        """Where results of memoized functions are kept, as entries of this cache."""
        return CachePlace(self)

    def close(self) -> None:
        """Close the cache. Idempotent; later use raises `StoreClosedError`.

        A namespace ends with the cache it is part of.
        """
        if self._owned is not None:
            self._owned.close()
        if self._whole_file and not self._closed:
            self._closed = True
            if self._sweeper is not None:
                self._sweeper.stop(join=not self._session.in_transaction)
            self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and self._whole_file and not self._session.closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            if self._sweeper is not None:
                self._sweeper.stop(join=False)
            self._store.close()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._whole_file:
            return _open_again, (type(self), self._store.path, self._arguments)
        return _open_namespace, (self._arguments["parent"], self._names[-1], self._settings())

    def __repr__(self) -> str:
        if self.closed:
            return f"<objcache.Cache {self.directory!r} closed>"
        settings = self._settings()
        shown = ", ".join(f"{name}={settings[name]!r}" for name in _SHOWN)
        names = "".join(f"/{name}" for name in self._names)
        return f"<objcache.Cache {self.directory + names!r} {shown}>"

    def _settings(self) -> dict[str, Any]:
        return {name: self._arguments[name] for name in _SETTINGS}

    # -- views of it -------------------------------------------------------------------------

    def namespace(
        self,
        name: str,
        *,
        size_limit: int | str | None = None,
        max_entries: int | None = None,
        expire: float | Missing | None = MISSING,
        policy: str | None = None,
        on_full: str | None = None,
    ) -> Cache[Any, Any]:
        """Return the cache *name* below this one: its own keys, its own budget.

        Args:
            name: of the namespace.
            size_limit: the bound of the sizes of its entries together; within the file's bound.
            max_entries: the bound of their number.
            expire: as for the class; left out, as for this cache.
            policy: as for the class; None, as for this cache.
            on_full: as for the class; None, as for this cache.

        >>> with Cache.temporary() as cache:
        ...     pages = cache.namespace("pages", max_entries=1)
        ...     pages["a"] = 1
        ...     pages["b"] = 2
        ...     len(pages), len(cache)
        (1, 0)
        """
        if self.closed:
            raise StoreClosedError(self.directory)
        names = checked_names((*self._names, name))
        settings = {
            "size_limit": size_limit,
            "max_entries": max_entries,
            "expire": self._arguments["expire"] if expire is MISSING else expire,
            "policy": policy or self._arguments["policy"],
            "on_full": on_full or self._arguments["on_full"],
        }
        limits = limits_of(settings, whole_file=False)
        whole = self._rules.limits.file_bytes
        below: Cache[Any, Any] = Cache.__new__(Cache)
        below._owned = None
        below._siblings = self._siblings
        below._sweeper = self._sweeper
        below._arguments = {**settings, "parent": self}
        below._set_up(self._store, names, limits._replace(file_bytes=whole), settings)
        if self._sweeper is not None:
            self._sweeper.watch(below)
        return below

    @contextmanager
    def transaction(self) -> Iterator[Self]:
        """Make what this thread does to the cache in the block one transaction; see `Store`.

        Raises:
            StoreFullError: from within, where the file is full: a block cannot be run again after
                entries were evicted, as single steps are. It is rolled back.
        """
        with self._session.transaction():
            try:
                yield self
            except BaseException:
                self._known_epoch = -1
                raise

    @property
    def memoize(self) -> StoreMemoize:
        """Keep the results of a function here, with this cache's `expire` and bounds.

        See `objcache.memoize`. Results are evicted as other entries are, but what was dear to
        compute stays longer.

        >>> with Cache.temporary() as cache:
        ...     square = cache.memoize(lambda x: x * x, tag="squares")
        ...     square(12), square(12), square.cache_info().hits, cache.evict("squares")
        (144, 144, 1, 1)
        """
        # As in `objcache.store._placed`, against the layers for the user's convenience.
        from objcache.memo import StoreMemoize  # noqa: PLC0415

        return StoreMemoize(self.place)

    # -- the whole ---------------------------------------------------------------------------

    def volume(self) -> int:
        """Return the size of the cache's file on disk, in bytes, free pages included."""
        return self._store.stats().file_bytes

    def stats(self) -> CacheStats:
        """Return bounds, counts and sizes, over all processes. Cost: O(namespaces)."""
        from objcache.cache._stats import stats_of_cache  # noqa: PLC0415  # seldom called

        if self.closed:
            raise StoreClosedError(self.directory)
        return stats_of_cache(self, self._store, self._settings())

    def check(self) -> CacheReport:
        """Read every record, and every row of every index; report what is wrong.

        Cost: reads everything. Nothing is changed.
        """
        from objcache.cache._check import check_cache  # noqa: PLC0415  # seldom called

        return check_cache(self)

    def sync(self) -> None:
        """Make all that was committed durable; see `Store.sync`."""
        self._store.sync()

    def copy(self, path: str | os.PathLike[str], *, compact: bool = True) -> None:
        """Write a consistent copy of the whole file to the directory *path*; see `Store.copy`."""
        self._store.copy(path, compact=compact)

    def compact(self) -> None:
        """Give free pages back to the disk; see `Store.compact`."""
        self._store.compact()


_SETTINGS: Final = ("size_limit", "max_entries", "expire", "policy", "on_full")
_SHOWN: Final = ("size_limit", "max_entries", "expire", "policy")


def _hints(place: str, name: bytes, policy: Policy, limits: Limits, mode: int) -> Hints:
    slots = slots_for(limits)
    return hints_of(place, hints_name(name, policy.name, slots), policy.mark_type, slots, mode)


def _trusted(
    path: str | os.PathLike[str], limits: Limits, options: dict[str, Any], on_untrusted: str
) -> Store[Any, Any]:
    if on_untrusted not in {"error", "discard"}:
        raise ValueError(f"on_untrusted={on_untrusted!r} is neither 'error' nor 'discard'")
    try:
        return _opened(path, limits, options)
    except WrongSecretError:
        if on_untrusted == "error":
            raise
        from objcache.cache._discarding import discard  # noqa: PLC0415  # seldom called

        if not discard(path, options):
            raise
        return _opened(path, limits, options)


def _opened(path: Any, limits: Limits, options: dict[str, Any]) -> Store[Any, Any]:
    if limits.file_bytes is None:
        return Store(path, **options)
    try:
        return Store(path, map_size_bytes=limits.file_bytes, **options)
    except StoreConflictError as error:
        if error.setting != "map_bytes":
            raise
        # A store of this process has the file open with another bound, which stays.
        store = Store(path, **options)
        logging.getLogger("objcache").warning(
            "the file of the cache at %r is open in this process with a bound of %s bytes: the "
            "cache evicts by its own of %s, but nothing stops others from going beyond it",
            store.directory,
            store.stats().map_bytes,
            limits.file_bytes,
        )
        return store


def _open_again(
    cache_type: type[Cache[Any, Any]], path: str, arguments: dict[str, Any]
) -> Cache[Any, Any]:
    return cache_type(path, **arguments)


def _open_namespace(
    parent: Cache[Any, Any], name: str, settings: dict[str, Any]
) -> Cache[Any, Any]:
    below = parent.namespace(name, **settings)
    below._owned = parent  # noqa: SLF001  # nobody else has it, to close it
    return below


_open_caches: weakref.WeakValueDictionary[int, Cache[Any, Any]] = weakref.WeakValueDictionary()


def _after_fork_in_child() -> None:
    for cache in list(_open_caches.values()):
        cache._forked = True  # noqa: SLF001  # as above
        cache._known_epoch = -1  # noqa: SLF001  # so that its next use looks


os.register_at_fork(after_in_child=_after_fork_in_child)
