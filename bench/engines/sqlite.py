"""SQLite with a write-ahead log that is flushed at every commit: a table of keys and pickles.

Knows: sqlite3 of the standard library. Must not know: other engines.
"""

from __future__ import annotations

import os
import pickle
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

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

_BUSY_S: Final = 60.0
_PUT: Final = "INSERT OR REPLACE INTO entries VALUES (?, ?)"
_GET: Final = "SELECT value FROM entries WHERE key = ?"


class _Database:
    """One file, and a connection to it for each thread that asks."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        with self.transaction() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID"
            )

    def connection(self) -> sqlite3.Connection:
        """Return the connection of this thread."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = sqlite3.connect(
                self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            found.execute("PRAGMA journal_mode=WAL")
            found.execute("PRAGMA synchronous=FULL")
            self._local.connection = found
            self._opened.append(found)
        return found

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit the block as one transaction, or roll it back."""
        connection = self.connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def close(self) -> None:
        """Close the connections of all threads."""
        for connection in self._opened:
            connection.close()


def _open(directory: str) -> Handle:
    database = _Database(os.path.join(directory, "sqlite.db"))
    connection, dumps, loads = database.connection, pickle.dumps, pickle.loads

    def get(key: str) -> Any:
        return loads(connection().execute(_GET, (key,)).fetchone()[0])

    def find(key: str) -> Any:
        found = connection().execute(_GET, (key,)).fetchone()
        return None if found is None else loads(found[0])

    def put(key: str, value: Any) -> None:
        connection().execute(_PUT, (key, dumps(value, 5)))

    def delete(key: str) -> None:
        connection().execute("DELETE FROM entries WHERE key = ?", (key,))

    def put_many(entries: Mapping[str, Any]) -> None:
        with database.transaction() as opened:
            opened.executemany(_PUT, [(key, dumps(value, 5)) for key, value in entries.items()])

    def put_each(entries: Mapping[str, Any]) -> None:
        with database.transaction() as opened:
            for key, value in entries.items():
                opened.execute(_PUT, (key, dumps(value, 5)))

    def items() -> Iterator[tuple[str, Any]]:
        for key, value in connection().execute("SELECT key, value FROM entries ORDER BY key"):
            yield key, loads(value)

    return Handle(
        close=database.close,
        get=get,
        find=find,
        put=put,
        delete=delete,
        put_many=put_many,
        put_each=put_each,
        items=items,
    )


ENGINES = (
    Engine(
        name="sqlite-full",
        distributions=(),
        settings="`sqlite3` of the standard library, `journal_mode=WAL`, `synchronous=FULL`, which "
        "flushes the log at every commit; `entries (key TEXT PRIMARY KEY, value BLOB) WITHOUT "
        "ROWID`, values by `pickle` protocol 5; a connection for each thread, with a busy timeout "
        f"of {_BUSY_S:g} s.",
        killed="nothing",
        power_cut="nothing",
        loss=Loss.NOTHING,
        faster_because="SQLite appends a commit to its log and flushes that once, where LMDB "
        "flushes pages and then their root; it does not sign or verify records",
        open=_open,
        offers=frozenset({MAPPING, TRANSACTION, THREADS, PROCESSES, DISK}),
        slow={"set": 5, "delete": 5, "transaction": 5, "mix": 5},
    ),
)
