"""The memoized functions of a store, as its files tell of them.

Knows: docs/design/memoize.md, and how calls are counted. Must not know: functions; none of them
need be importable here.
"""

# Annotations are not postponed: NamedTuple would compile each (bench/workloads/import_time.py).
from collections.abc import Iterator
from typing import Any, NamedTuple

from objcache.clock import MICROSECONDS
from objcache.store import Namespace, Store
from objcache.store.dated import MEMOIZE
from objcache.store.generations import BESIDE, LASTING, caches_of
from objcache.tallies import (
    Tallies,
    counted_since,
    ratio_of,
    tallied_name,
    tallies_beside,
)

__all__ = ["FunctionStats", "ResultSize", "functions_of", "results_of"]


class FunctionStats(NamedTuple):
    """What a store knows of one memoized function, over all processes.

    Attributes:
        name: module and qualified name.
        names: of the namespace or cache that keeps its results.
        is_cache: whether that is a cache.
        entries: results, of all versions of its code.
        versions: how many versions of its code have been used.
        hits: calls that were answered without running it, since `cache_clear`.
        misses: calls that ran it.
        saved_s: seconds of computing that the hits have saved.
        size_bytes: of its results.
    """

    name: str
    names: tuple[str, ...]
    is_cache: bool
    entries: int
    versions: int
    hits: int
    misses: int
    saved_s: float
    size_bytes: int

    @property
    def hit_ratio(self) -> float | None:
        """The part of calls that were answered without running it; None before the first."""
        return ratio_of(self.hits, self.misses)


class ResultSize(NamedTuple):
    """What a store knows of one result of a memoized function.

    Attributes:
        created: when it was stored, seconds since the epoch.
        size_bytes: of its record; of a generator with its items.
        deadline: when it is over, seconds since the epoch; None is never.
    """

    created: float
    size_bytes: int
    deadline: float | None


def functions_of(store: Store[Any, Any]) -> list[FunctionStats]:
    """Return what is known of every memoized function of *store*, sorted by where and by name.

    The store may be read-only, and the functions need not be importable.

    Cost: reads the rows of versions; of functions on a cache those of all results.
    """
    tallies = tallies_beside(store.directory, mode=store.file_mode, readonly=store.readonly)
    described = []
    for names, cache_names in _mappings(store):
        if cache_names is None:
            described.append(_of_store(store, tallies, names))
        else:
            described.append(_of_cache(store, tallies, names, cache_names))
    return sorted(described)


def results_of(store: Store[Any, Any]) -> Iterator[ResultSize]:
    """Yield what is known of every result of every memoized function of *store*.

    Cost: reads the rows of all results, no result. Concurrency: as iterating over a store.
    """
    for names, _ in _mappings(store):
        for row in _namespace(store, names).namespace("entries").using("json").values():
            yield ResultSize(row["created"], row["size_bytes"], row["deadline"])


def _mappings(
    store: Store[Any, Any],
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...] | None]]:
    """Yield the names of each function's mapping, and those of its cache, None on no cache."""
    present = store._session.read(caches_of)  # noqa: SLF001  # no cache is opened for it
    caches = {str(cache.number): cache.names for cache in present}
    found = set()
    for names in store.namespaces():
        places = [place for place, name in enumerate(names[:-1]) if name == MEMOIZE]
        if places:
            found.add(names[: places[-1] + 2])
    for names in sorted(found):
        if names[0] != BESIDE:
            yield names, None
        elif names[1] in caches:
            yield names, caches[names[1]]


def _of_store(store: Store[Any, Any], tallies: Tallies, names: tuple[str, ...]) -> FunctionStats:
    mapping = _namespace(store, names)
    versions = mapping.namespace("versions").using("json")
    counted = counted_since(tallies.totals(tallied_name(names)), versions.get("counted"))
    size_bytes = versions.get("bytes", 0)
    return _described(mapping, names[:-2], counted, size_bytes, is_cache=False)


def _of_cache(
    store: Store[Any, Any],
    tallies: Tallies,
    names: tuple[str, ...],
    cache_names: tuple[str, ...],
) -> FunctionStats:
    mapping = _namespace(store, names)
    name = tallied_name((BESIDE, *cache_names, *names[2:]))
    lasting = _namespace(store, LASTING).using("json")
    counted = counted_since(tallies.totals(name), lasting.get(name.hex()))
    rows = mapping.namespace("entries").using("json").values()
    size_bytes = sum(row["size_bytes"] for row in rows)
    return _described(mapping, cache_names, counted, size_bytes, is_cache=True)


def _described(
    mapping: Namespace[Any, Any],
    names: tuple[str, ...],
    counted: tuple[int, int, int],
    size_bytes: int,
    *,
    is_cache: bool,
) -> FunctionStats:
    versions = mapping.namespace("versions").using("json").values()
    return FunctionStats(
        *(mapping.names[-1], names, is_cache, len(mapping.namespace("entries"))),
        len({row["id"] for row in versions if type(row) is dict}),
        *counted[:2],
        counted[2] / MICROSECONDS,
        size_bytes,
    )


def _namespace(store: Store[Any, Any], names: tuple[str, ...]) -> Namespace[Any, Any]:
    first, *others = names
    mapping = store.namespace(first)
    for name in others:
        mapping = mapping.namespace(name)
    return mapping
