"""sqlitedict that commits after every statement.

Knows: sqlitedict. Must not know: other engines.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from sqlitedict import SqliteDict

from bench.engines._engine import Engine, Handle, Loss

__all__ = ["ENGINES"]


def _open(directory: str) -> Handle:
    path = os.path.join(directory, "sqlitedict.db")
    single = SqliteDict(path, autocommit=True)
    batches: list[SqliteDict] = []

    def put_many(entries: Mapping[str, Any]) -> None:
        # With autocommit each row of `update` would be a transaction.
        if not batches:
            batches.append(SqliteDict(path, autocommit=False))
        batches[0].update(entries)
        batches[0].commit()

    def close() -> None:
        for opened in (single, *batches):
            opened.close()

    return Handle(
        close=close,
        get=single.__getitem__,
        find=single.get,
        put=single.__setitem__,
        delete=single.__delitem__,
        put_many=put_many,
        items=single.items,
    )


ENGINES = (
    Engine(
        name="sqlitedict",
        distributions=("sqlitedict",),
        settings="`SqliteDict(path, autocommit=True)`: SQLite, rollback journal, which it opens "
        "with `synchronous=OFF`; all calls go through a thread of its own; a batch is one "
        "`update` and one `commit` of a second connection without autocommit.",
        killed="nothing",
        power_cut="may lose everything",
        loss=Loss.EVERYTHING,
        faster_because="it does not sign or verify records",
        open=_open,
    ),
)
