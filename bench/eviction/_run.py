"""One run: traces replayed through caches on disk, and through simulators.

Knows: the order of the runs, and what is counted. Must not know: what a page says.
"""

from __future__ import annotations

import datetime as dt
import random
import sys
import tempfile
from array import array
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Final, NamedTuple

from bench._inputs import SEED
from bench._machine import describe_machine, describe_versions, load_average
from bench.eviction._contestants import Bound, Contestant, contestants
from bench.eviction._simulators import Hits, clairvoyant, lru
from bench.eviction._traces import Trace
from bench.workloads import file_bytes
from objcache.errors import StoreFullError

__all__ = ["Plan", "replay", "run"]

_SMALLEST_FILE_BYTES: Final = 1 << 20
_HEAD_BYTES: Final = 8


class Plan(NamedTuple):
    """What is run.

    Attributes:
        traces: which.
        sizes: which parts of the distinct keys, or of their bytes, the caches may hold.
        policies: of objcache.
        requests: of each trace, from its start; None for all.
        rivals: who else takes part, in a run of their own with fewer requests.
        rival_requests: how many those are.
    """

    traces: Sequence[Trace]
    sizes: Sequence[float]
    policies: Sequence[str]
    requests: int | None
    rivals: Sequence[str]
    rival_requests: int


def run(plan: Plan, keep: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Return the results of *plan*, ready for JSON.

    Args:
        plan: what is run.
        keep: is given the results so far after each trace.
    """
    results: dict[str, Any] = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "seed": SEED,
        "sizes": list(plan.sizes),
        "machine": describe_machine(tempfile.gettempdir()),
        "versions": describe_versions(("objcache", "lmdb", "blake3", *plan.rivals)),
        "load_average": {"before": load_average()},
        "parts": [],
    }
    asked = [("objcache", plan.requests, contestants(plan.policies))]
    if plan.rivals:
        entrants = contestants(plan.policies, plan.rivals)
        asked.append(("rivals", plan.rival_requests, entrants))
    for name, requests, entrants in asked:
        part: dict[str, Any] = {"name": name, "requests": requests, "traces": []}
        results["parts"].append(part)
        for trace in plan.traces:
            part["traces"].append(_trace(trace.cut(requests), plan.sizes, entrants))
            results["load_average"]["after"] = load_average()
            keep(results)
    return results


def _trace(trace: Trace, sizes: Sequence[float], entrants: Sequence[Contestant]) -> dict[str, Any]:
    distinct = trace.distinct()
    found: dict[str, Any] = {
        "name": trace.name,
        "recorded": trace.recorded,
        "requests": len(trace.keys),
        "distinct": distinct,
        "objects": [
            _objects(trace, share, max(int(share * distinct), 1), entrants) for share in sizes
        ],
        "bytes": [],
    }
    if trace.sizes is not None:
        distinct_bytes = trace.distinct_bytes()
        found["requested_bytes"] = sum(trace.sizes)
        found["distinct_bytes"] = distinct_bytes
        found["bytes"] = [
            _bytes(trace, share, int(share * distinct_bytes), entrants)
            for share in sizes
            if share * distinct_bytes >= _SMALLEST_FILE_BYTES
        ]
    return found


def _objects(
    trace: Trace, share: float, entries: int, entrants: Sequence[Contestant]
) -> dict[str, Any]:
    unsized = trace._replace(sizes=None)
    rows = [_measured(unsized, each, Bound(entries=entries)) for each in entrants]
    ones = array("I", [1]) * len(trace.keys)
    for name, simulator in (("exact lru", lru), ("clairvoyant", clairvoyant)):
        hits = simulator(trace.keys, ones, entries)
        rows.append({"name": name, "hits": hits.requests, "held": entries})
    return {"share": share, "limit": entries, "rows": rows}


def _bytes(
    trace: Trace, share: float, limit_bytes: int, entrants: Sequence[Contestant]
) -> dict[str, Any]:
    rows = [_measured(trace, each, Bound(size_bytes=limit_bytes)) for each in entrants]
    simulated = [("exact lru", lru, limit_bytes), ("clairvoyant", clairvoyant, limit_bytes)]
    if rows:
        # A file has more in it than values: what would LRU do with what is left for these?
        simulated.append(("exact lru, values as held", lru, rows[0]["held_bytes"]))
    for name, simulator, limit in simulated:
        hits = simulator(trace.keys, trace.sizes or (), limit)
        row = {"name": name, "hits": hits.requests, "hit_bytes": hits.size_bytes}
        rows.append({**row, "held_bytes": limit})
    return {"share": share, "limit": limit_bytes, "rows": rows}


def _measured(trace: Trace, contestant: Contestant, bound: Bound) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="objcache-eviction-") as directory:
        opened = contestant.open(directory, bound)
        try:
            begun = perf_counter()
            refused, put = _tolerant(opened.put)
            hits = replay(trace, opened.get, put)
            taken_s = perf_counter() - begun
            held = [len(value) if trace.sizes is not None else 0 for value in opened.values()]
            files_bytes = file_bytes(directory)
        finally:
            opened.close()
    bounded = bound.entries or bound.size_bytes
    print(
        f"{trace.name:<16} {bounded:>11,} {contestant.name:<32} "
        f"{hits.requests / len(trace.keys):.4f} {taken_s:7.1f} s {len(refused) or ''}",
        flush=True,
        file=sys.stderr,
    )
    row = {"name": contestant.name, "hits": hits.requests, "held": len(held), "seconds": taken_s}
    if trace.sizes is not None:
        row |= {"hit_bytes": hits.size_bytes, "held_bytes": sum(held), "file_bytes": files_bytes}
        row["refused"] = len(refused)
    return row


def _tolerant(
    put: Callable[[str, Any], object],
) -> tuple[list[StoreFullError], Callable[[str, Any], object]]:
    """Return a *put* that goes on when a cache finds no room, and what it was told then."""
    refused: list[StoreFullError] = []

    def tolerant(key: str, value: Any) -> None:
        try:
            put(key, value)
        except StoreFullError as error:
            refused.append(error)

    return refused, tolerant


def replay(trace: Trace, get: Callable[[str], Any], put: Callable[[str, Any], object]) -> Hits:
    """Return the hits of a cache: each request is a get, a miss is followed by a set.

    Values have the recorded sizes where there are any.

    Raises:
        AssertionError: a get returned what was not set for its key.
    """
    if trace.sizes is not None:
        return _replay_sizes(trace.keys, trace.sizes, get, put)
    hits = 0
    for key in trace.keys:
        text = str(key)
        value = get(text)
        if value is None:
            put(text, key)
        else:
            assert value == key, "a value of another key"
            hits += 1
    return Hits(hits, 0)


def _replay_sizes(
    keys: Sequence[int],
    sizes: Sequence[int],
    get: Callable[[str], Any],
    put: Callable[[str, Any], object],
) -> Hits:
    filling = random.Random(SEED).randbytes(max(sizes, default=0))
    hits = hit_bytes = 0
    for key, size in zip(keys, sizes, strict=True):
        text = str(key)
        value = get(text)
        head = key.to_bytes(_HEAD_BYTES, "big")
        if value is None:
            put(text, (head + filling)[:size])
        else:
            assert value.startswith(head[: len(value)]), "a value of another key"
            hits += 1
            hit_bytes += size
    return Hits(hits, hit_bytes)
