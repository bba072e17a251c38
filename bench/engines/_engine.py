"""What an adapter offers to the workloads.

Knows: the vocabulary of adapters. Must not know: any engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

__all__ = [
    "ARRAYS",
    "BOUNDED",
    "CACHE",
    "DISK",
    "FRAMES",
    "HASH",
    "MAPPING",
    "MEMOIZE",
    "MEMOIZE_DICT",
    "PROCESSES",
    "SHARED",
    "THREADS",
    "TRANSACTION",
    "VIEWS",
    "Engine",
    "Handle",
    "Loss",
    "missing",
]

MAPPING: Final = "mapping"
MEMOIZE: Final = "memoize"
MEMOIZE_DICT: Final = "memoize a dict argument"
SHARED: Final = "memoize for several processes"
HASH: Final = "hash an argument"
TRANSACTION: Final = "mapping with transactions"
THREADS: Final = "mapping for several threads, flushed somehow"
PROCESSES: Final = "mapping for several processes"
CACHE: Final = "mapping that is compared with a cache"
BOUNDED: Final = "cache with a bound"
ARRAYS: Final = "mapping of large arrays"
FRAMES: Final = "mapping of frames"
VIEWS: Final = "mapping of large arrays that are read without a copy"
DISK: Final = "mapping whose writes to the disk are counted"


class Loss(IntEnum):
    """How much a power cut may cost; a smaller number promises more."""

    NOTHING = 0
    RECENT = 1
    EVERYTHING = 2


def missing(*_: Any) -> Any:
    """Stand for an operation that an engine does not offer."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Handle:
    """One open store: what a user would call, bound to it.

    Attributes:
        close: close the store; nothing else is called afterwards.
        get: the value of a key that exists.
        find: the value of a key, or None.
        put: store one value.
        delete: remove one key that exists.
        put_many: store a mapping in one transaction.
        put_each: store a mapping entry by entry, in one transaction.
        items: iterate over all keys and values.
        memoize: wrap a function.
        map: the results of a memoized function for many arguments at once.
        hash: the key of one argument.
        put_many_until: store a mapping in one transaction, for so many seconds.
        expire: remove what is over; return how many entries that were.
        clear: remove everything.
        count: how many entries there are.
        view: the array of a key that exists, mapped and not copied.
    """

    close: Callable[[], object]
    get: Callable[[str], Any] = missing
    find: Callable[[str], Any] = missing
    put: Callable[[str, Any], object] = missing
    delete: Callable[[str], object] = missing
    put_many: Callable[[Mapping[str, Any]], object] = missing
    put_each: Callable[[Mapping[str, Any]], object] = missing
    items: Callable[[], Iterable[tuple[str, Any]]] = missing
    memoize: Callable[[Callable[..., Any]], Callable[..., Any]] = missing
    map: Callable[[Any, Iterable[Any]], Sequence[Any]] = missing
    hash: Callable[[Any], object] = missing
    put_many_until: Callable[[Mapping[str, Any], float], object] = missing
    expire: Callable[[], int] = missing
    clear: Callable[[], object] = missing
    count: Callable[[], int] = missing
    view: Callable[[str], Any] = missing


@dataclass(frozen=True, slots=True)
class Engine:
    """One row of the tables.

    Attributes:
        name: of the row.
        distributions: whose versions belong to the results.
        settings: how it is opened, for the page.
        killed: what a killed process loses.
        power_cut: what a power cut loses, in words.
        loss: the same as a rank.
        faster_because: why it may be faster than objcache, where it is.
        open: open or make the store in an existing directory.
        offers: which groups of operations it has.
        open_bounded: the same for a cache that may take so many bytes of disk.
        slow: by what the operations of a slice are divided, by workload: 300 flushes would make
            a slice of seconds.
    """

    name: str
    distributions: tuple[str, ...]
    settings: str
    killed: str
    power_cut: str
    loss: Loss
    faster_because: str
    open: Callable[[str], Handle]
    offers: frozenset[str] = frozenset({MAPPING})
    slow: Mapping[str, int] = field(default_factory=dict)
    open_bounded: Callable[[str, int], Handle] = missing
