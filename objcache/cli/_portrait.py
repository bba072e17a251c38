"""What a report shows of a store: its bytes by function and key prefix, ages, sizes, deadlines.

Knows: the entries of a store, as their records and rows tell of them. Must not know: how any of it
is drawn. No value is loaded, and nothing is changed.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from objcache.cache.queue import Queued, next_evictions, queue_of
from objcache.cli._keys import mapping_text, printable, shown_key, size_text
from objcache.cli._options import json_record_key, shown_record
from objcache.errors import KeyEncodingError
from objcache.keys import key_of
from objcache.memo.functions import FunctionStats, results_of
from objcache.store import RawRecords, Store
from objcache.store.dated import MEMOIZE
from objcache.store.generations import BESIDE, PREFIX_BYTES, Generation, caches_of

__all__ = ["CACHES", "FUNCTIONS", "KINDS", "STORE", "portrait"]

FUNCTIONS: Final = "memoized functions"
CACHES: Final = "caches"
STORE: Final = "store and namespaces"
KINDS: Final = (FUNCTIONS, CACHES, STORE)

_SPANS_S: Final = {
    "1 min": 60.0,
    "10 min": 600.0,
    "1 h": 3600.0,
    "6 h": 21_600.0,
    "1 day": 86_400.0,
    "1 week": 604_800.0,
    "30 days": 2_592_000.0,
    "1 year": 31_536_000.0,
}
_LIMITS_S: Final = tuple(_SPANS_S.values())
_SIZES_BYTES: Final = tuple(4**power for power in range(3, 16))
# A scheme and what follows it are one part: all of `https:` would be one group.
_PART: Final = re.compile(r"(?:[\w+.-]+://)?[:/|]*[^:/|]+[:/|]", re.DOTALL)
_LONGEST_LABEL: Final = 60
_MOST_PREFIXES: Final = 1000
_SHOWN_PREFIXES: Final = 40
_NEXT: Final = 20


class _Entry(NamedTuple):
    """What counts of one entry; no moment is known of those of a plain store."""

    kind: str
    size_bytes: int
    created: float | None = None
    deadline: float | None = None


def portrait(
    store: Store[Any, Any], records: RawRecords, functions: list[FunctionStats], now: float
) -> dict[str, Any]:
    """Return what there is to show of a store, for JSON.

    Args:
        store: opened for reading.
        records: the same.
        functions: its memoized functions.
        now: seconds since the epoch.

    Raises:
        CorruptStoreError: a page or a row is damaged.

    Cost: reads every record and every row once; memory does not grow with their number.
    """
    areas, bars = _Areas(), _Bars(now)
    for function in functions:
        areas.add_function(function)
    for result in results_of(store):
        bars.add(_Entry(FUNCTIONS, result.size_bytes, result.created, result.deadline))
    _add_mappings(store, records, areas, bars)
    caches = store._session.read(caches_of)  # noqa: SLF001  # no cache is opened for it
    for cache in caches:
        name = mapping_text(cache.names, is_cache=True)
        for queued in queue_of(store, cache):
            if not queued.is_result:
                areas.add(CACHES, name, _prefixes(_key_of(queued)), queued.size_bytes)
                bars.add(_Entry(CACHES, queued.size_bytes, queued.created, queued.deadline))
    return {
        "entries": bars.entries,
        "areas": areas.for_json(),
        **bars.for_json(),
        "next_evictions": [_forecast(store, records, cache, now) for cache in caches],
    }


def _add_mappings(store: Store[Any, Any], records: RawRecords, areas: _Areas, bars: _Bars) -> None:
    """Add the entries of the store and of its namespaces, but for those of functions."""
    for names in [(), *store.namespaces()]:
        mapping = records.mapping(names, is_cache=False)
        if mapping is None or not {MEMOIZE, BESIDE}.isdisjoint(names):
            continue
        name = f"namespace {mapping_text(names, is_cache=False)}" if names else "store"
        for raw in records.records(mapping):
            key = raw.key if raw.is_key_known else raw.located
            areas.add(STORE, name, _prefixes(key), raw.size_bytes)
            bars.add(_Entry(STORE, raw.size_bytes))


# -- by function and by prefix ---------------------------------------------------------------


class _Area(NamedTuple):
    entries: int
    size_bytes: int


class _Areas:
    """Sizes of what lies in a store, as a tree: kind, mapping or module, function or prefixes."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, ...], _Area] = {}
        self._prefixes: dict[str, int] = {}

    def add_function(self, function: FunctionStats) -> None:
        """Add all results of a function."""
        module, _, name = function.name.rpartition(".")
        if function.names or function.is_cache:
            name += f" in {mapping_text(function.names, is_cache=function.is_cache)}"
        self._add((FUNCTIONS, module, name), function.entries, function.size_bytes)

    def add(self, kind: str, mapping: str, prefixes: tuple[str, ...], size_bytes: int) -> None:
        """Add an entry."""
        path = (kind, mapping, *prefixes)
        if path not in self._found:
            seen = self._prefixes[mapping] = self._prefixes.get(mapping, 0) + 1
            if seen > _MOST_PREFIXES:
                path = (kind, mapping, "other prefixes")
        self._add(path, 1, size_bytes)

    def _add(self, path: tuple[str, ...], entries: int, size_bytes: int) -> None:
        before = self._found.get(path, _Area(0, 0))
        self._found[path] = _Area(before.entries + entries, before.size_bytes + size_bytes)

    def for_json(self) -> list[dict[str, Any]]:
        """Return every node of the tree: where it hangs, and the sums of all below it."""
        nodes: dict[tuple[str, ...], _Area] = {}
        for path, area in self._found.items():
            for depth in range(1, len(path) + 1):
                sums = nodes.get(path[:depth], _Area(0, 0))
                nodes[path[:depth]] = _Area(
                    sums.entries + area.entries, sums.size_bytes + area.size_bytes
                )
        return [
            {"path": path, "entries": area.entries, "size_bytes": area.size_bytes}
            for path, area in _pruned(nodes)
        ]


def _pruned(nodes: dict[tuple[str, ...], _Area]) -> Iterator[tuple[tuple[str, ...], _Area]]:
    """Yield the largest children of each node, and one for the others."""
    children: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for path in nodes:
        children.setdefault(path[:-1], []).append(path)
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        parent = waiting.pop()
        found = sorted(children.get(parent, ()), key=lambda path: (-nodes[path].size_bytes, path))
        for path in found[:_SHOWN_PREFIXES]:
            yield path, nodes[path]
            waiting.append(path)
        left = [nodes[path] for path in found[_SHOWN_PREFIXES:]]
        if left:
            sums = _Area(sum(one.entries for one in left), sum(one.size_bytes for one in left))
            yield (*parent, f"{len(left):,} more"), sums


def _prefixes(key: Any) -> tuple[str, ...]:
    """Return the groups that a key belongs to, by how it begins, the widest first.

    Text is cut behind its first and its second `:`, `/` or `|`, a tuple behind its first and its
    second element; other keys belong together by type.
    """
    if type(key) is str:
        first = _PART.match(key)
        if first is None:
            return ("text",)
        second = _PART.match(key, first.end())
        return tuple(_label(found.group()) for found in (first, second) if found)
    if type(key) is tuple and key:
        # The last element tells entries of a group apart.
        parts = [_label(shown_key(part)) for part in key[:-1][:2]]
        groups = (f"({', '.join(parts[:depth])}, …)" for depth in range(1, len(parts) + 1))
        return tuple(groups) or ("(…,)",)
    return (type(key).__name__,)


def _label(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"


def _key_of(queued: Queued) -> Any:
    """Return the key of an entry of a cache, or its bytes where its record would have to be read."""
    try:
        return key_of(PREFIX_BYTES, queued.located, b"")
    except KeyEncodingError:
        return queued.located


# -- ages, sizes, deadlines ------------------------------------------------------------------


class _Bars:
    """How many entries, and bytes, are of which age and size, and end when."""

    def __init__(self, now: float) -> None:
        self._now = now
        self.entries = 0
        spans = tuple(_SPANS_S)
        self._ages = _Histogram((*(f"≤ {span}" for span in spans), "older"))
        sizes = (f"≤ {size_text(size)}".replace(".0", "") for size in _SIZES_BYTES)
        self._sizes = _Histogram((*sizes, "larger"))
        self._deadlines = _Histogram(("over", *(f"≤ {span}" for span in spans), "later", "never"))

    def add(self, entry: _Entry) -> None:
        """Add one entry."""
        self.entries += 1
        self._sizes.add(bisect_left(_SIZES_BYTES, entry.size_bytes), entry)
        if entry.created is None:
            return
        self._ages.add(bisect_left(_LIMITS_S, self._now - entry.created), entry)
        number = len(_LIMITS_S) + 2
        if entry.deadline is not None:
            left_s = entry.deadline - self._now
            number = 0 if left_s <= 0 else 1 + bisect_left(_LIMITS_S, left_s)
        self._deadlines.add(number, entry)

    def for_json(self) -> dict[str, Any]:
        """Return the three."""
        return {
            "ages": self._ages.for_json(),
            "sizes": self._sizes.for_json(),
            "deadlines": self._deadlines.for_json(),
        }


class _Histogram:
    """Entries and bytes of each kind in bins with names."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        self._labels = labels
        self._entries = {kind: [0] * len(labels) for kind in KINDS}
        self._bytes = {kind: [0] * len(labels) for kind in KINDS}

    def add(self, number: int, entry: _Entry) -> None:
        """Count *entry* in bin *number*."""
        self._entries[entry.kind][number] += 1
        self._bytes[entry.kind][number] += entry.size_bytes

    def for_json(self) -> dict[str, Any]:
        """Return labels, and by kind entries and bytes of each."""
        return {"labels": self._labels, "entries": self._entries, "size_bytes": self._bytes}


# -- what goes next --------------------------------------------------------------------------


def _forecast(
    store: Store[Any, Any], records: RawRecords, cache: Generation, now: float
) -> dict[str, Any]:
    found = next_evictions(store, cache, _NEXT, now)
    entries = [
        {
            **_named(records, queued),
            "size_bytes": queued.size_bytes,
            "created": queued.created,
            "deadline": queued.deadline,
            "tags": queued.tags,
        }
        for queued in found.entries
    ]
    return {"names": cache.names, "policy": found.policy, "entries": entries}


def _named(records: RawRecords, queued: Queued) -> dict[str, Any]:
    raw = records.record_at(queued.located)
    if raw is None:  # gone meanwhile
        return {"key": None, "shown": f"at {queued.located.hex()}"}
    if queued.is_result:
        return {"key": None, "shown": f"a result of {raw.mapping.names[-1]}"}
    return {"key": json_record_key(raw), "shown": shown_record(raw)}
