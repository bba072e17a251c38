"""rocksdict with its default settings.

Knows: rocksdict. Must not know: other engines.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from rocksdict import Rdict, WriteBatch

from bench.engines._engine import Engine, Handle, Loss

__all__ = ["ENGINES"]


def _open(directory: str) -> Handle:
    database = Rdict(os.path.join(directory, "rocks"))

    def put_many(entries: Mapping[str, Any]) -> None:
        batch = WriteBatch()
        for key, value in entries.items():
            batch[key] = value
        database.write(batch)

    return Handle(
        close=database.close,
        get=database.__getitem__,
        find=database.get,
        put=database.__setitem__,
        delete=database.__delitem__,
        put_many=put_many,
        items=database.items,
    )


ENGINES = (
    Engine(
        name="rocksdict",
        distributions=("rocksdict",),
        settings="`Rdict(path)` with its default settings: RocksDB, write-ahead log without a "
        "flush; a batch is one `WriteBatch`; threads of its own flush and compact.",
        killed="nothing",
        power_cut="the last commits, until the system writes them back",
        loss=Loss.RECENT,
        faster_because="RocksDB appends a write to a log and to memory, where LMDB copies the "
        "pages of a tree; only one process may open it, so it needs no lock between processes; "
        "it does not sign or verify records",
        open=_open,
    ),
)
