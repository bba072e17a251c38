"""`objcache info`, `stats` and `functions`: what a store holds, and what it was good for.

Knows: the terminal. Must not know: how any of it is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console

from objcache.cache import CacheCounts, counts_of_caches
from objcache.cli._keys import (
    mapping_text,
    moment_text,
    names_text,
    printable,
    ratio_text,
    size_text,
    span_text,
)
from objcache.cli._options import command_options, print_json, store_to_read
from objcache.cli._screen import console, show_table
from objcache.clock import SYSTEM_CLOCK
from objcache.engine import written_durability
from objcache.engine.stats import engine_name
from objcache.header import FORMAT_VERSION
from objcache.memo.functions import FunctionStats, functions_of
from objcache.store import RawRecords, Store, StoreStats
from objcache.store.dated import MEMOIZE
from objcache.store.generations import BESIDE

__all__ = ["counts_as_json", "functions", "info", "stats"]


@click.command()
@command_options
def info(*, path: str, as_json: bool, no_color: bool) -> None:
    """Say what kind of store lies at PATH, and how large it is.

    Nothing is changed, and no value is read.

    Exit code: 0; 2 no store there, or not ours to read.

    Example: objcache info ./library
    """
    with RawRecords(path) as records, Store(path, readonly=True) as store:
        settings, known = records.settings, store.stats()
        caches = counts_of_caches(store)
        facts = {
            "path": known.path,
            "format": FORMAT_VERSION,
            "engine": engine_name(),
            "secret_fingerprint": settings.fingerprint,
            "store_id": settings.store_id.hex(),
            "created": settings.created,
            "durability": written_durability(known.path),
            **_sizes(known),
            "namespaces": [_namespace(names, count) for names, count in _namespaces(known)],
            "caches": [{"names": cache.names, "entries": cache.entries} for cache in caches],
        }
    if as_json:
        print_json(facts)
        return
    facts["created"] = moment_text(settings.created)
    facts["durability"] = facts["durability"] or "not known"
    for name in ("file_bytes", "used_bytes", "side_file_bytes"):
        facts[name] = f"{size_text(facts[name])} ({facts[name]:,} bytes)"
    facts["oldest_reader"] = _reader_text(known)
    del facts["namespaces"], facts["caches"]
    output = console(no_color=no_color)
    _show_facts(output, facts)
    _show_mappings(output, known, caches)


@click.command()
@command_options
def stats(*, path: str, as_json: bool, no_color: bool) -> None:
    """Count what a store, its caches and its memoized functions hold, and how often it was asked.

    Counts are those of all processes. Nothing is changed, and no value is read.

    Exit code: 0; 2 no store there, or not ours to read.

    Example: objcache stats ./library --json
    """
    with store_to_read(path) as store:
        known, caches, memoized = store.stats(), counts_of_caches(store), functions_of(store)
    if as_json:
        print_json(counts_as_json(known, caches, memoized))
        return
    output = console(no_color=no_color)
    output.print(f"{printable(known.path)}", style="bold")
    used, whole = size_text(known.used_bytes), size_text(known.file_bytes)
    output.print(f"{used} in use of a file of {whole}, {known.free_pages:,} pages free")
    if known.side_files:
        side = size_text(known.side_file_bytes)
        output.print(f"{side} in files beside it: {known.side_files:,}")
    output.print(_reader_text(known))
    _show_mappings(output, known, caches)
    _show_caches(output, caches)
    _show_functions(output, memoized)


@click.command()
@command_options
def functions(*, path: str, as_json: bool, no_color: bool) -> None:
    """List the memoized functions of a store: entries, hits, seconds saved, bytes, versions.

    Counts are those of all processes since `cache_clear`. The functions need not be importable.
    With --json one object for each function.

    Exit code: 0; 2 no store there, or not ours to read.

    Example: objcache functions ~/.cache/objcache/default
    """
    with store_to_read(path) as store:
        memoized = functions_of(store)
    if as_json:
        for function in memoized:
            print_json(_function(function))
        return
    output = console(no_color=no_color)
    if not memoized:
        output.print("no memoized function has results here")
    _show_functions(output, memoized)


# -- as JSON ---------------------------------------------------------------------------------


def counts_as_json(
    known: StoreStats, caches: Sequence[CacheCounts], memoized: Sequence[FunctionStats]
) -> dict[str, Any]:
    """Return what is known of a store, its caches and its memoized functions, for JSON."""
    return {
        "path": known.path,
        **_sizes(known),
        "last_transaction_id": known.last_transaction_id,
        "durable_up_to": known.durable_up_to,
        "readers": [reader._asdict() for reader in known.readers],
        "namespaces": [_namespace(names, count) for names, count in _namespaces(known)],
        "caches": [{**cache._asdict(), "hit_ratio": cache.hit_ratio} for cache in caches],
        "functions": [_function(function) for function in memoized],
    }


def _sizes(known: StoreStats) -> dict[str, Any]:
    return {
        "entries": known.entries,
        "file_bytes": known.file_bytes,
        "used_bytes": known.used_bytes,
        "page_bytes": known.page_bytes,
        "free_pages": known.free_pages,
        "side_files": known.side_files,
        "side_file_bytes": known.side_file_bytes,
        "oldest_reader": known.oldest_reader_age if known.readers else None,
    }


def _namespaces(known: StoreStats) -> list[tuple[tuple[str, ...], int]]:
    return sorted(known.namespaces.items())


def _namespace(names: tuple[str, ...], count: int) -> dict[str, Any]:
    return {"names": names, "entries": count}


def _function(function: FunctionStats) -> dict[str, Any]:
    return {**function._asdict(), "hit_ratio": function.hit_ratio}


# -- for people ------------------------------------------------------------------------------


def _show_facts(output: Console, facts: dict[str, Any]) -> None:
    rows = []
    for name, value in facts.items():
        shown = f"{value:,}" if isinstance(value, int) else printable(str(value))
        rows.append((name.replace("_", " "), shown))
    show_table(output, (), rows)


def _reader_text(known: StoreStats) -> str:
    if not known.readers:
        return "nobody is reading"
    oldest = min(known.readers, key=lambda reader: reader.transaction_id)
    return f"the oldest reader, process {oldest.pid}, is {known.oldest_reader_age:,} commits behind"


def _show_mappings(output: Console, known: StoreStats, caches: Sequence[CacheCounts]) -> None:
    rows = [(mapping_text(cache.names, is_cache=True), f"{cache.entries:,}") for cache in caches]
    others = 0
    for names, count in _namespaces(known):
        if {MEMOIZE, BESIDE}.isdisjoint(names):
            rows.append((f"namespace {names_text(names)}", f"{count:,}"))
        else:
            others += count
    if others:
        rows.append(("records of memoized functions", f"{others:,}"))
    if rows:
        output.print()
        rows.insert(0, ("store", f"{known.entries:,}"))
        show_table(output, ("mapping", "entries"), rows, right=1)


def _show_caches(output: Console, caches: Sequence[CacheCounts]) -> None:
    if not caches:
        return
    now = SYSTEM_CLOCK.now()
    columns = ("cache", "entries", "size", "hits", "misses", "hit ratio", "stored", "evicted")
    rows = []
    for cache in caches:
        oldest = "" if cache.oldest is None else span_text(now - cache.oldest)
        counts = (cache.hits, cache.misses)
        rows.append(
            (
                *(names_text(cache.names), f"{cache.entries:,}", size_text(cache.size_bytes)),
                *(*(f"{count:,}" for count in counts), ratio_text(cache.hit_ratio)),
                *(f"{cache.stored:,}", f"{cache.evicted:,}", f"{cache.expired:,}", oldest),
            )
        )
    output.print()
    show_table(output, (*columns, "expired", "oldest"), rows, right=1)


def _show_functions(output: Console, memoized: Sequence[FunctionStats]) -> None:
    if not memoized:
        return
    columns = ("function", "in", "entries", "hits", "misses", "hit ratio", "saved", "size")
    rows = [
        (
            *(
                printable(function.name),
                mapping_text(function.names, is_cache=function.is_cache),
                f"{function.entries:,}",
            ),
            *(f"{function.hits:,}", f"{function.misses:,}", ratio_text(function.hit_ratio)),
            *(span_text(function.saved_s), size_text(function.size_bytes)),
            f"{function.versions:,}",
        )
        for function in memoized
    ]
    output.print()
    show_table(output, (*columns, "versions"), rows, right=2)
