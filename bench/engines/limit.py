"""The limit: lmdb and pickle with nothing around them.

Knows: lmdb. Must not know: objcache. What it leaves out is what objcache adds: keys of any type
and order, signatures, limits, forks, threads, several stores on one file, counters.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import lmdb

from bench.engines._engine import (
    DISK,
    MAPPING,
    PROCESSES,
    THREADS,
    TRANSACTION,
    Engine,
    Handle,
    Loss,
)

__all__ = ["ENGINES"]


def _open(sync: bool, directory: str) -> Handle:  # noqa: FBT001  # bound by partial below
    environment = lmdb.open(
        os.path.join(directory, "limit"), map_size=1 << 40, sync=sync, lib_version=0
    )
    begin, dumps, loads = environment.begin, pickle.dumps, pickle.loads

    # The fastest of the spellings that lmdb allows: a read without `with` saves a tenth.
    def get(key: str) -> Any:
        return loads(begin().get(key.encode()))

    def find(key: str) -> Any:
        found = begin().get(key.encode())
        return None if found is None else loads(found)

    def put(key: str, value: Any) -> None:
        transaction = begin(write=True)
        transaction.put(key.encode(), dumps(value, 5))
        transaction.commit()

    def delete(key: str) -> None:
        transaction = begin(write=True)
        transaction.delete(key.encode())
        transaction.commit()

    def put_many(entries: Mapping[str, Any]) -> None:
        with begin(write=True) as transaction:
            transaction.cursor().putmulti(
                [(key.encode(), dumps(value, 5)) for key, value in entries.items()]
            )

    def put_each(entries: Mapping[str, Any]) -> None:
        with begin(write=True) as transaction:
            for key, value in entries.items():
                transaction.put(key.encode(), dumps(value, 5))

    def items() -> Iterator[tuple[str, Any]]:
        with begin() as transaction:
            for key, value in transaction.cursor():
                yield key.decode(), loads(value)

    return Handle(environment.close, get, find, put, delete, put_many, put_each, items)


_BECAUSE = (
    "it does not encode keys by type and order, sign or verify records, count entries, "
    "or guard against forks, threads and a full map"
)

ENGINES = (
    Engine(
        name="limit-process",
        distributions=("lmdb",),
        settings="`lmdb.open(path, map_size=1 << 40, sync=False, lib_version=0)` and `pickle` "
        "protocol 5 with nothing around them; keys are `key.encode()`.",
        killed="nothing",
        power_cut="may lose everything",
        loss=Loss.EVERYTHING,
        faster_because=_BECAUSE,
        open=partial(_open, False),
        offers=frozenset({MAPPING, TRANSACTION, PROCESSES}),
    ),
    Engine(
        name="limit-commit",
        distributions=("lmdb",),
        settings="the same with `sync=True`: every commit is flushed to the disk.",
        killed="nothing",
        power_cut="nothing",
        loss=Loss.NOTHING,
        faster_because=_BECAUSE,
        open=partial(_open, True),
        offers=frozenset({MAPPING, TRANSACTION, THREADS, DISK}),
        slow={"set": 5, "delete": 5, "transaction": 5},
    ),
)
