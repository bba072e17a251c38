"""`python -m bench.formats`: pickle against JSON and msgpack, in size, speed, and what comes back.

Prints the tables of docs/howto/formats.md; with `--docs` it writes them into that page. A few
seconds. Sizes, and what comes back, are the same on every machine; times are not.

Knows: the three formats, with and without a store around them. Must not know: engines, workloads.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import pickle
import random
import re
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from statistics import median
from typing import Any, Final, NamedTuple

import msgpack

from bench._inputs import SECRET, SEED, tree
from bench._machine import describe_machine, describe_versions, load_average
from bench._page import readable_ns
from bench._timing import time_calls, time_pairs
from objcache import Store
from objcache.errors import CodecError

__all__ = ["comes_back", "main", "measured_sizes", "values"]

_PAGE: Final = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs", "howto", "formats.md"
)
_ROUNDS: Final = 15
_SLICE_NS: Final = 4_000_000
_MOST_CALLS: Final = 200
_LONGEST_CELL: Final = 22


class Format(NamedTuple):
    """One way to bytes and back, through its library alone."""

    name: str
    dumps: Callable[[Any], bytes]
    loads: Callable[[bytes], Any]


FORMATS: Final = (
    Format("pickle", lambda value: pickle.dumps(value, 5), pickle.loads),
    Format(
        "json",
        lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(),
        json.loads,
    ),
    Format("msgpack", msgpack.packb, msgpack.unpackb),
)


def values() -> dict[str, Any]:
    """Return what is measured, by name: data that all three formats keep."""
    source = random.Random(SEED)
    words = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron")
    rows = [
        {"id": number, "name": source.choice(words), "score": source.random(), "active": True}
        for number in range(1000)
    ]
    return {
        "a small dict": rows[7],
        "a nested dict of 200 leaves": tree(source),
        "1,000 dicts of 4 fields": rows,
        "10,000 floats": [source.random() for _ in range(10_000)],
        "10,000 small ints": [source.randrange(1000) for _ in range(10_000)],
        "text of 100,000 letters": " ".join(source.choices(words, k=17_000))[:100_000],
    }


class Colour:
    """An instance of a class of the program."""

    def __init__(self) -> None:
        self.name = "red"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Colour) and other.name == self.name

    __hash__ = None  # type: ignore[assignment]


def odd_values() -> dict[str, Any]:
    """Return what is not plain data to every format, by name."""
    shared = ["shared"]
    return {
        "`(1, 2)`": (1, 2),
        "`b'bytes'`": b"bytes",
        "`{1: 'int as a key'}`": {1: "int as a key"},
        "`2**64`": 2**64,
        "`float('inf')`": float("inf"),
        "`{1, 2}`": {1, 2},
        "`datetime.date(2026, 1, 2)`": dt.date(2026, 1, 2),
        "`Decimal('1.10')`": Decimal("1.10"),
        "a `UUID`": uuid.UUID(int=7),
        "an instance of a class": Colour(),
        "one list, twice in a value": [shared, shared],
    }


def comes_back() -> dict[str, list[str]]:
    """Return for each of `odd_values` what comes back from each format, plain and in a store."""
    told = {}
    with tempfile.TemporaryDirectory() as directory:
        stores = {format_.name: _store(directory, format_.name) for format_ in FORMATS}
        try:
            ways = [partial(_converted, form) for form in FORMATS]
            ways += [partial(_through, store) for store in stores.values()]
            for name, value in odd_values().items():
                told[name] = [_back(way, value) for way in ways]
        finally:
            for store in stores.values():
                store.close()
    return told


def measured_sizes() -> dict[str, list[int]]:
    """Return the bytes of each of `values` in each format."""
    return {name: [len(form.dumps(value)) for form in FORMATS] for name, value in values().items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.formats", description=__doc__)
    parser.add_argument("--docs", action="store_true", help="write the tables into the page")
    asked = parser.parse_args(arguments)
    tables = "\n".join(_tables())
    print(tables)
    if asked.docs:
        with open(_PAGE, encoding="utf-8") as file:
            page = file.read()
        begin, end = "<!-- measured: python -m bench.formats --docs -->", "<!-- end -->"
        page = re.sub(
            f"{begin}.*?{end}", lambda _: f"{begin}\n\n{tables}\n{end}", page, flags=re.DOTALL
        )
        with open(_PAGE, "w", encoding="utf-8") as file:
            file.write(page)
    return 0


def _store(directory: str, codec: str) -> Store[Any, Any]:
    path = os.path.join(directory, codec)
    return Store(path, codec=codec, durability="process", secret=SECRET)


def _converted(form: Format, value: Any) -> Any:
    return form.loads(form.dumps(value))


def _through(store: Store[Any, Any], value: Any) -> Any:
    store["odd"] = value
    return store["odd"]


def _back(there_and_back: Callable[[Any], Any], value: Any) -> str:
    try:
        found = there_and_back(value)
    except (CodecError, TypeError, ValueError, OverflowError):
        return "refused"
    if type(found) is not type(value) or found != value:
        shown = repr(found)
        return f"`{shown}`" if len(shown) <= _LONGEST_CELL else f"a `{type(found).__name__}`"
    if type(found) is list and found[0] is not found[1]:
        return "two lists"
    return "yes"


def _tables() -> Iterator[str]:
    names = [form.name for form in FORMATS]
    yield "### Size, and the libraries alone"
    yield ""
    yield f"| value | {' | '.join(f'{name}: bytes | dumps | loads' for name in names)} |"
    yield f"| --- | {' | '.join(['---:'] * 9)} |"
    sizes = measured_sizes()
    for name, value in values().items():
        cells = [
            cell
            for form, size, (write, read) in zip(FORMATS, sizes[name], _library_times(value))
            for cell in (f"{size:,}", readable_ns(write), readable_ns(read))
        ]
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""
    yield "### In a store"
    yield ""
    yield f"| value | {' | '.join(f'{name}: set | get' for name in names)} |"
    yield f"| --- | {' | '.join(['---:'] * 6)} |"
    for name, value in values().items():
        cells = [readable_ns(time) for pair in _store_times(value) for time in pair]
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""
    yield from _surroundings()
    yield ""
    yield "### What comes back"
    yield ""
    yield f"| value | {' | '.join(names)} | {' | '.join(f'store, {name}' for name in names)} |"
    yield f"| --- | {' | '.join(['---'] * 6)} |"
    for name, cells in comes_back().items():
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""


def _surroundings() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as directory:
        facts = describe_machine(directory)
    facts |= describe_versions(("objcache", "lmdb", "msgpack"))
    told = ", ".join(f"{name} {value}" for name, value in facts.items())
    yield (
        f"Medians of {_ROUNDS} rounds in which the formats take turns; seed {SEED}; stores with "
        f'`durability="process"`; {told}; load {load_average()}.'
    )


def _library_times(value: Any) -> list[tuple[float, float]]:
    written = [form.dumps(value) for form in FORMATS]
    calls = [_calls(form.loads, payload) for form, payload in zip(FORMATS, written)]
    writes: list[list[float]] = [[] for _ in FORMATS]
    reads: list[list[float]] = [[] for _ in FORMATS]
    for _ in range(_ROUNDS):
        for at, form in enumerate(FORMATS):
            writes[at].append(median(time_calls(form.dumps, [value] * calls[at])))
            reads[at].append(median(time_calls(form.loads, [written[at]] * calls[at])))
    return [(median(write), median(read)) for write, read in zip(writes, reads)]


def _store_times(value: Any) -> list[tuple[float, float]]:
    writes: list[list[float]] = [[] for _ in FORMATS]
    reads: list[list[float]] = [[] for _ in FORMATS]
    with tempfile.TemporaryDirectory() as directory:
        stores = [_store(directory, form.name) for form in FORMATS]
        for store in stores:
            store["key"] = value
        calls = [_calls(store.__getitem__, "key") for store in stores]
        for _ in range(_ROUNDS):
            for at, store in enumerate(stores):
                pairs = [("key", value)] * calls[at]
                writes[at].append(median(time_pairs(store.__setitem__, pairs)))
                reads[at].append(median(time_calls(store.__getitem__, ["key"] * calls[at])))
        for store in stores:
            store.close()
    return [(median(write), median(read)) for write, read in zip(writes, reads)]


def _calls(operation: Callable[[Any], object], argument: Any) -> int:
    once = median(time_calls(operation, [argument] * 3))
    return max(3, min(_MOST_CALLS, int(_SLICE_NS / once)))


if __name__ == "__main__":
    sys.exit(main())
