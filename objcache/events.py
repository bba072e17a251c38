"""What happens in the stores, caches and memoized functions of this process, as it happens.

    import objcache.events

    objcache.events.listen(print, objcache.events.Evicted, objcache.events.Full)

Knows: the events and what each tells. Must not know: who makes them, and who listens. What was only
read is no event: hits are counted (`stats`, `cache_info`), at no cost. Events are of this process;
the counts are of all.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from objcache.listeners import Listening, listen

__all__ = [
    "CheckpointFailed",
    "Computed",
    "Discarded",
    "Event",
    "Evicted",
    "Expired",
    "Full",
    "Listening",
    "Miss",
    "Recovered",
    "ResultFailed",
    "Stored",
    "Unreadable",
    "listen",
]


class Miss(NamedTuple):
    """A read of a cache found no live entry.

    Attributes:
        path: the cache's directory.
        names: the namespaces from the cache to the one that was read; () for the cache itself.
        key: what was asked for.
    """

    path: str
    names: tuple[str, ...]
    key: Any


class Stored(NamedTuple):
    """An entry was written to a cache.

    Attributes:
        path: the cache's directory.
        names: the namespaces from the cache to the entry.
        key: of the entry.
        size_bytes: what it takes on disk, about.
        deadline: when it is over, in seconds since the epoch; None for never.
        tags: of the entry.
    """

    path: str
    names: tuple[str, ...]
    key: Any
    size_bytes: int
    deadline: float | None
    tags: tuple[str, ...]


class Evicted(NamedTuple):
    """A live entry of a cache was removed to make room.

    Attributes:
        path: the cache's directory.
        names: the namespaces from the cache to the entry.
        key: of the entry; None for a result of a memoized function.
        size_bytes: what it took on disk, about.
        tags: of the entry.
    """

    path: str
    names: tuple[str, ...]
    key: Any
    size_bytes: int
    tags: tuple[str, ...]


class Expired(NamedTuple):
    """An entry of a cache whose deadline had come was removed from the disk.

    It was missing from its deadline on; this is when a write, a sweep or `expire` came by.

    Attributes:
        path: the cache's directory.
        names: the namespaces from the cache to the entry.
        key: of the entry; None for a result of a memoized function.
        size_bytes: what it took on disk, about.
        tags: of the entry.
    """

    path: str
    names: tuple[str, ...]
    key: Any
    size_bytes: int
    tags: tuple[str, ...]


class Unreadable(NamedTuple):
    """A cache met an entry that it cannot read, and which counts as missing.

    Attributes:
        path: the cache's directory.
        names: the namespaces from the cache to the entry.
        key: of the entry.
        error: why: `SignatureError` for one that was altered or signed by somebody else.
    """

    path: str
    names: tuple[str, ...]
    key: Any
    error: Exception


class Full(NamedTuple):
    """A write found no room and was refused; in a cache: after evictions, if it may evict.

    Attributes:
        path: the directory of the store or cache.
        error: what was raised, with the bound that was hit.
    """

    path: str
    error: Exception


class Computed(NamedTuple):
    """A memoized function ran to its end, because there was no good result or to refresh one.

    Attributes:
        function: its name.
        seconds: how long it ran.
        stored: whether the result is stored; by `map`, whether it is going to be.
        raised: whether the result is an exception, of those that are kept.
    """

    function: str
    seconds: float
    stored: bool
    raised: bool


class ResultFailed(NamedTuple):
    """A result of a memoized function could not be kept or read; the call was answered anyway.

    Each time, while the log tells each cause once.

    Attributes:
        function: its name.
        step: what could not be done with the result: "stored", "read", "looked up", ...
        error: why.
    """

    function: str
    step: str
    error: Exception


class CheckpointFailed(NamedTuple):
    """Commits could not be made durable.

    Attributes:
        path: the store's directory.
        error: why.
        final: whether the store refuses all writes from now on, until it is opened again;
            otherwise another attempt follows.
    """

    path: str
    error: Exception
    final: bool


class Recovered(NamedTuple):
    """This process has opened a store after a power cut, and put it back to its last checkpoint.

    Attributes:
        path: the store's directory.
        transaction_id: of the checkpoint; 0 if the store was emptied (`durability="process"`).
        lost_up_to: the last transaction after it that has left a trace; None if none has.
    """

    path: str
    transaction_id: int
    lost_up_to: int | None


class Discarded(NamedTuple):
    """A cache that was written with another secret was emptied, as `on_untrusted="discard"` asks.

    Attributes:
        path: the cache's directory.
    """

    path: str


Event = (
    Miss
    | Stored
    | Evicted
    | Expired
    | Unreadable
    | Full
    | Computed
    | ResultFailed
    | CheckpointFailed
    | Recovered
    | Discarded
)
"""One of them, for annotations."""
