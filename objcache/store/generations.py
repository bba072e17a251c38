"""Which rows of the file belong to caches: generations, their numbers, and those that are over.

Knows: the rows that say so, and how many rows each generation has. Must not know: entries.

A cache is a name and the number of its present generation. All rows of a generation begin with
the same five bytes. `begin_generation` makes a cache empty in one step: its rows belong to a
generation that is over, and are removed a few at a time. So are the records of the mappings that
lie beside it: they are named by the number of the generation, and end with it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from objcache.engine import SideKeeper, Transaction
from objcache.errors import CorruptStoreError
from objcache.keys import (
    CACHE_REGISTRY,
    CACHES,
    CACHES_OVER,
    RECORDS,
    decode_key,
    encode_key,
    section_range,
    successor,
)
from objcache.store._counters import (
    add_to_namespace,
    add_to_others,
    counter_key,
    namespace_counts,
)
from objcache.store.side import remove_between, remove_record

__all__ = [
    "BESIDE",
    "DEADLINES",
    "LASTING",
    "NUMBER",
    "PREFIX_BYTES",
    "QUEUE",
    "ROWS",
    "STATE",
    "TAGS",
    "Generation",
    "begin_generation",
    "beside",
    "caches_of",
    "current_generation",
    "drop_rows",
    "generation_prefix",
    "is_row_of_caches",
    "make_empty",
    "over_generations",
    "record_prefix",
    "registry_row",
    "remove_owned",
    "rows_of_caches",
]

# On disk. Never renumber, never reuse, only append: docs/design/cache.md, "On disk".
QUEUE: Final = b"\x20"
# Directly behind the newest row of the queue, and so mostly in the same page.
STATE: Final = b"\x21"
"""What the engine key of a generation's state ends with: a version byte, then u64 rows, ..."""
DEADLINES: Final = b"\x22"
TAGS: Final = b"\x23"
NUMBER: Final = struct.Struct(">I")
ROWS: Final = struct.Struct(">Q")
PREFIX_BYTES: Final = 1 + NUMBER.size
_INDEXES: Final = frozenset((QUEUE, STATE, DEADLINES, TAGS))

BESIDE: Final = "objcache.cache"
"""What the names of all mappings beside caches begin with; the next one is `beside` of them."""

LASTING: Final = (BESIDE, "lasting")
"""The names of the mapping that stays when the caches of the file are cleared."""

_LARGEST_NUMBER: Final = (1 << 32) - 1


class Generation(NamedTuple):
    """One generation of one cache.

    Attributes:
        names: of the cache.
        number: of the generation, never used twice in a file.
        rows: rows of the engine that belong to it.
    """

    names: tuple[str, ...]
    number: int
    rows: int


def generation_prefix(number: int) -> bytes:
    """Return what all rows of generation *number* begin with."""
    return CACHES + NUMBER.pack(number)


def record_prefix(located: bytes) -> bytes | None:
    """Return the prefix of the generation whose record lies at *located*; None for another row."""
    if located[:1] == CACHES and located[PREFIX_BYTES : PREFIX_BYTES + 1] in RECORDS:
        return located[:PREFIX_BYTES]
    return None


def is_row_of_caches(located: bytes) -> bool:
    """Return whether *located* is the engine key of a row about caches, but of no record."""
    if located[:1] == CACHES:
        return located[PREFIX_BYTES : PREFIX_BYTES + 1] in _INDEXES
    return located[:1] in {CACHE_REGISTRY, CACHES_OVER}


def beside(number: int) -> tuple[str, str]:
    """Return the first names of the mappings that end with generation *number*."""
    return BESIDE, str(number)


def current_generation(transaction: Transaction, names: tuple[str, ...]) -> int | None:
    """Return the number of the cache *names*, None where there is no such cache."""
    found = transaction.get(CACHE_REGISTRY + encode_key(names))
    return None if found is None else _unpacked(NUMBER, found)


def registry_row(names: tuple[str, ...], number: int) -> tuple[bytes, bytes]:
    """Return the row that says that *number* is the present generation of the cache *names*."""
    return CACHE_REGISTRY + encode_key(names), NUMBER.pack(number)


def begin_generation(transaction: Transaction, names: tuple[str, ...]) -> int:
    """Make a cache empty, or a new one, and return the number of the generation that begins."""
    before = current_generation(transaction, names)
    last = transaction.get(CACHE_REGISTRY)
    number = 1 if last is None else _unpacked(NUMBER, last) + 1
    if number > _LARGEST_NUMBER:
        raise CorruptStoreError("the numbers of generations are used up; copy the store")
    transaction.put(CACHE_REGISTRY, NUMBER.pack(number))
    transaction.put(CACHE_REGISTRY + encode_key(names), NUMBER.pack(number))
    added = (last is None) + (before is None)
    if before is not None and (rows := _rows(transaction, before)):
        transaction.put(CACHES_OVER + NUMBER.pack(before), ROWS.pack(rows))
        added += 1
    if added:
        add_to_others(transaction, added)
    return number


def caches_of(transaction: Transaction) -> list[Generation]:
    """Return the present generation of every cache of the file."""
    found = []
    for key, value in _rows_from(transaction, CACHE_REGISTRY):
        if key != CACHE_REGISTRY:
            names = decode_key(key[1:])
            assert isinstance(names, tuple)
            number = _unpacked(NUMBER, value)
            found.append(Generation(names, number, _rows(transaction, number)))
    return found


def over_generations(transaction: Transaction) -> list[tuple[int, int]]:
    """Return number and remaining rows of the generations that are over."""
    return [
        (_unpacked(NUMBER, key[1:]), _unpacked(ROWS, value))
        for key, value in _rows_from(transaction, CACHES_OVER)
    ]


def rows_of_caches(transaction: Transaction) -> int:
    """Return how many rows of the engine belong to caches. Cost: O(caches)."""
    present = sum(generation.rows for generation in caches_of(transaction))
    return present + sum(rows for _, rows in over_generations(transaction))


def drop_rows(side: SideKeeper, transaction: Transaction, most: int) -> int:
    """Remove up to *most* rows of generations that are over, and records of mappings beside them.

    Returns:
        How many there were.
    """
    removed = 0
    for number, rows in over_generations(transaction):
        removed += _drop_generation(side, transaction, number, rows, most - removed)
        if removed >= most:
            break
    return removed


def _drop_generation(
    side: SideKeeper, transaction: Transaction, number: int, rows: int, most: int
) -> int:
    """Remove up to *most* rows of a generation that has *rows*, and what lies beside it."""
    prefix = generation_prefix(number)
    removed = remove_between(side, transaction, prefix, successor(prefix), most)
    left = max(rows - removed, 0)
    removed += _drop_beside(side, transaction, number, most - removed)
    if removed < most:
        transaction.delete(CACHES_OVER + prefix[1:])
        add_to_others(transaction, -1)
    else:
        transaction.put(CACHES_OVER + prefix[1:], ROWS.pack(left))
    return removed


def _drop_beside(side: SideKeeper, transaction: Transaction, number: int, most: int) -> int:
    """Remove up to *most* records of the mappings beside generation *number*."""
    removed = 0
    wanted = encode_key(beside(number))[:-1]
    for prefix, names, _ in namespace_counts(transaction) if most > 0 else ():
        if not names.startswith(wanted):
            continue
        low, high = section_range(prefix)[:2]
        gone = remove_between(side, transaction, low, high, most - removed)
        removed += gone
        if removed >= most:
            add_to_namespace(transaction, prefix, None, -gone)
            break
        # The count is of nothing now, whatever it was.
        transaction.delete(counter_key(prefix))
        add_to_others(transaction, -gone - 1)
    return removed


def remove_owned(
    side: SideKeeper,
    transaction: Transaction,
    located: bytes,
    prefix_bytes: int,
    *,
    many: bool = False,
) -> int:
    """Remove the record at *located* of the mapping whose prefix has *prefix_bytes*.

    Args:
        side: the side files of the store.
        transaction: the write transaction.
        located: its engine key, or what several begin with.
        prefix_bytes: 0 for the root mapping.
        many: whether all records go whose engine keys begin with *located*.

    Returns:
        How many there were.
    """
    if many:
        removed = remove_between(side, transaction, located, successor(located))
    else:
        removed = int(remove_record(side, transaction, located))
    if removed and prefix_bytes:
        add_to_namespace(transaction, located[:prefix_bytes], None, -removed)
    return removed


def _rows(transaction: Transaction, number: int) -> int:
    prefix = generation_prefix(number)
    state = transaction.get(prefix + STATE)
    if state is not None and len(state) > ROWS.size:
        return _unpacked(ROWS, state[1:])
    # Lost, or never written: what is there is counted.
    return sum(1 for _ in _rows_from(transaction, prefix))


def _rows_from(transaction: Transaction, section: bytes) -> Iterator[tuple[bytes, bytes]]:
    cursor = transaction.cursor()
    if cursor.set_range(section):
        for key, value in cursor:
            if not key.startswith(section):
                return
            yield key, value


def _unpacked(packing: struct.Struct, packed: bytes) -> int:
    try:
        number: int = packing.unpack_from(packed)[0]
    except struct.error:
        raise CorruptStoreError(
            f"a row about caches has {len(packed)} bytes; run check()"
        ) from None
    return number


def make_empty(transaction: Transaction) -> None:
    """Remove every record of the file, the settings too. Cost: O(records)."""
    cursor = transaction.cursor()
    found = cursor.first()
    while found:
        found = cursor.delete()
