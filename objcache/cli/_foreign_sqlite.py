"""Reading what others keep in SQLite: diskcache, sqlitedict, and shelves of Python 3.13.

Knows: their tables, and how a database is read without a change to it. Must not know: stores.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from objcache.cli._foreign import Foreign, ForeignError, Found, Left, Why, name_of, unpickled

__all__ = ["is_database", "open_diskcache", "open_sqlite_shelf", "open_sqlitedict"]

_MAGIC: Final = b"SQLite format 3\0"
# Of the header: which versions of the file format write it; 2 is a write-ahead log.
_WRITE_VERSION: Final = 18
_WITH_LOG: Final = 2
_LOCKED_AFTER_S: Final = 2.0

_SQLITEDICT: Final = {"key": "TEXT", "value": "BLOB"}
_SHELF: Final = {"key": "BLOB", "value": "BLOB"}

_DISKCACHE_FILE: Final = "cache.db"
_DISKCACHE_COLUMNS: Final = frozenset(
    {"key", "raw", "expire_time", "tag", "mode", "filename", "value"}
)
_RAW, _BINARY, _TEXT, _PICKLE = 1, 2, 3, 4
_PLAIN_KEYS: Final = 100  # so many keys tell which `Disk` has written them


# -- databases that stay as they are ---------------------------------------------------------


def is_database(path: str) -> bool:
    """Return whether the file at *path* is one of SQLite. Raises `OSError` if it is not read."""
    with open(path, "rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


@contextmanager
def _database(path: str) -> Iterator[sqlite3.Connection]:
    """Open a database for reading, sound from its first page to its last.

    A database with a log that nobody has open is read as a file that does not change: even a
    reader would leave files beside it. Otherwise SQLite's own locks hold: writers of a database
    without a log wait until it is closed.

    Raises:
        ForeignError: it is none, damaged, locked, or was changed meanwhile.
    """
    with open(path, "rb") as file:
        header = file.read(_WRITE_VERSION + 1)
    if not header.startswith(_MAGIC):
        raise ForeignError(f"{path!r} is not a database of SQLite")
    log, index = os.path.exists(f"{path}-wal"), os.path.exists(f"{path}-shm")
    still = header[-1] == _WITH_LOG and not (log and index)
    if still and log and os.path.getsize(f"{path}-wal"):
        raise ForeignError(
            f"{path!r} has a write-ahead log without its index, as copies may have; open it once "
            "with the library that wrote it, so that the log becomes part of it"
        )
    before = _state(path)
    place = f"file:{quote(os.fsencode(os.path.abspath(path)))}?mode=ro" + "&immutable=1" * still
    try:
        connection = sqlite3.connect(place, uri=True, timeout=_LOCKED_AFTER_S)
        try:
            connection.text_factory = _text
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("BEGIN")  # one state of it, to the end
            (problem,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if problem != "ok":
                raise ForeignError(f"the database {path!r} is damaged: {problem}")
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise ForeignError(f"cannot read the database {path!r}: {error}") from error
    if still and before != _state(path):
        raise ForeignError(
            f"the database {path!r} was written to while it was read, and what was imported may be "
            "wrong; remove that, and import again when nobody uses the source"
        )


def _state(path: str) -> tuple[int, int, bool]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, os.path.exists(f"{path}-wal")


def _text(raw: bytes) -> str:
    # What is not UTF-8 ends neither the cursor nor, by `_checked`, up in the target.
    return raw.decode("utf-8", "surrogateescape")


def _checked(found: Any) -> Any:
    if isinstance(found, str):
        found.encode()  # raises UnicodeEncodeError, a ValueError
    return found


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    """Return the columns of a table with their types; none where there is no such table."""
    found = connection.execute(
        "SELECT name, type FROM pragma_table_info(?) WHERE EXISTS"
        " (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?)",
        (table, table),
    )
    return dict(found.fetchall())


def _count(connection: sqlite3.Connection, query: str, *values: int) -> int:
    return int(connection.execute(query, values).fetchone()[0])


# -- sqlitedict, and shelves -----------------------------------------------------------------


@contextmanager
def open_sqlitedict(path: str, *, trust: bool, table: str | None) -> Iterator[Foreign]:
    """Open a file of sqlitedict, as it is written with its own encoders.

    Args:
        path: the file.
        trust: load pickles.
        table: which one; None is the only one.

    Raises:
        ForeignError: it is none, has several tables and none was chosen, or cannot be read.
    """
    with _database(path) as connection:
        listed = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = [name for (name,) in listed if _columns(connection, name) == _SQLITEDICT]
        if not tables:
            raise ForeignError(f"{path!r} is not of sqlitedict: it has no table of keys and values")
        if table is None and len(tables) > 1:
            names = ", ".join(map(repr, tables))
            raise ForeignError(f"{path!r} has several tables, choose one by --table: {names}")
        if table is not None and table not in tables:
            names = ", ".join(map(repr, tables))
            raise ForeignError(f"{path!r} has no table {table!r} of keys and values, but: {names}")
        yield _pairs(connection, table or tables[0], _checked, trust=trust)


@contextmanager
def open_sqlite_shelf(path: str, *, trust: bool) -> Iterator[Foreign]:
    """Open a shelf as Python 3.13 and later write it, by any Python.

    Raises:
        ForeignError: it is none, or cannot be read.
    """
    with _database(path) as connection:
        if _columns(connection, "Dict") != _SHELF:
            raise ForeignError(
                f"{path!r} is not a shelf: it has no table 'Dict' of keys and values"
            )
        yield _pairs(connection, "Dict", bytes.decode, trust=trust)


def _pairs(
    connection: sqlite3.Connection, table: str, decoded: Callable[[Any], Any], *, trust: bool
) -> Foreign:
    quoted = table.replace('"', '""')
    total = _count(connection, f'SELECT count(*) FROM "{quoted}"')  # noqa: S608  # quoted

    def entries() -> Iterator[Found | Left]:
        query = f'SELECT key, value FROM "{quoted}" ORDER BY rowid'  # noqa: S608  # quoted
        for key, value in connection.execute(query):
            if not trust:
                yield Left(name_of(key), Why.REFUSED)
                continue
            try:
                yield Found(decoded(key), partial(unpickled, value))
            except (TypeError, ValueError) as error:
                yield Left(name_of(key), Why.FAILED, f"its key is not text: {error}")

    return Foreign(total, total, entries())


# -- diskcache -------------------------------------------------------------------------------


@contextmanager
def open_diskcache(path: str, *, trust: bool, disk: str | None, now: float) -> Iterator[Foreign]:
    """Open the directory of a `diskcache.Cache`, or of a `FanoutCache` with all its shards.

    Args:
        path: the directory.
        trust: load pickles.
        disk: `"plain"` or `"json"`: as `diskcache.Disk` or `JSONDisk` write; None if that is to
            be seen from the keys.
        now: in seconds since the epoch; what was over by then is left.

    Raises:
        ForeignError: it is none, or cannot be read.
    """
    with ExitStack() as opened:
        shards = [
            _Shard(directory, opened.enter_context(_database(file)), now, trust=trust)
            for directory, file in _shards(path)
        ]
        as_json = [shard.looks_like_json() for shard in shards if shard.total]
        if disk is None and as_json and all(as_json):
            raise ForeignError(
                f"{path!r} looks as if it was written by diskcache.JSONDisk; say --disk json, or "
                "--disk plain if its keys really are compressed bytes"
            )
        for shard in shards:
            shard.json = disk == "json"
        total, pickles = (sum(shard.total for shard in shards), sum(s.pickles for s in shards))
        yield Foreign(total, pickles, (entry for shard in shards for entry in shard.entries()))


def _shards(path: str) -> list[tuple[str, str]]:
    if os.path.isfile(os.path.join(path, _DISKCACHE_FILE)):
        directories = [path]
    else:
        directories = [
            os.path.join(path, name) for name in sorted(os.listdir(path)) if name.isdigit()
        ]
    found = [(each, os.path.join(each, _DISKCACHE_FILE)) for each in directories]
    found = [(directory, file) for directory, file in found if os.path.isfile(file)]
    if not found:
        raise ForeignError(
            f"{path!r} is not a directory of diskcache: there is no {_DISKCACHE_FILE!r}"
        )
    return found


class _Shard:
    """One database of diskcache, and the files beside it.

    Args:
        directory: where they are.
        connection: to the database.
        now: in seconds since the epoch.
        trust: load pickles.

    Raises:
        ForeignError: it has not the tables of diskcache.
    """

    def __init__(
        self, directory: str, connection: sqlite3.Connection, now: float, *, trust: bool
    ) -> None:
        if not _columns(connection, "Cache").keys() >= _DISKCACHE_COLUMNS:
            raise ForeignError(
                f"{directory!r} is not a directory of diskcache: its database has no table 'Cache'"
            )
        self._directory = os.path.realpath(directory)
        self._connection = connection
        self._now = now
        self._trust = trust
        self.json = False
        self.total = _count(connection, "SELECT count(*) FROM Cache")
        self.pickles = _count(
            connection, "SELECT count(*) FROM Cache WHERE mode = ? OR NOT raw", _PICKLE
        )

    def looks_like_json(self) -> bool:
        """Return whether all of the first keys are what `JSONDisk` makes of keys."""
        query = "SELECT key FROM Cache ORDER BY rowid LIMIT ?"
        try:
            for (key,) in self._connection.execute(query, (_PLAIN_KEYS,)):
                _from_json(key)
        except ValueError:
            return False
        return True

    def entries(self) -> Iterator[Found | Left]:
        """Yield all entries, as they were stored."""
        rows = self._connection.execute(
            "SELECT key, raw, expire_time, tag, mode, filename, value FROM Cache ORDER BY rowid"
        )
        for row in rows:
            try:
                yield self._entry(*row)
            except Exception as error:  # noqa: BLE001  # a key's pickle may raise anything
                reason = str(error) or type(error).__name__
                yield Left(name_of(row[0]), Why.FAILED, reason)

    def _entry(
        self, key: Any, raw: Any, deadline: Any, tag: Any, mode: Any, filename: Any, value: Any
    ) -> Found | Left:
        if deadline is not None and deadline <= self._now:
            return Left(name_of(key), Why.EXPIRED)
        if not self._trust and (mode == _PICKLE or not raw):
            return Left(name_of(key), Why.REFUSED)
        found = self._found(self._key(key, raw), mode, filename, value)
        return found._replace(deadline=deadline, tag=tag)

    def _key(self, key: Any, raw: Any) -> Any:
        if not raw:
            return unpickled(key)
        return _hashable(_from_json(key)) if self.json else _checked(key)

    def _found(self, key: Any, mode: Any, filename: Any, value: Any) -> Found:
        if filename is None:
            return Found(key, partial(self._inline, mode, value))
        path = self._file(filename)
        if mode == _BINARY and not self.json:
            return Found(key, bytes, file=path)
        return Found(key, partial(self._content, mode, path))

    def _inline(self, mode: Any, value: Any) -> Any:
        if value is None:
            raise ValueError("it has no value, as diskcache stores a number that is none (nan)")
        if mode == _PICKLE:
            return unpickled(value)
        return _from_json(value) if self.json else _checked(value)

    def _content(self, mode: Any, path: str) -> Any:
        with open(path, "rb") as file:
            content = file.read()
        if mode == _PICKLE:
            return unpickled(content)
        if mode == _TEXT:
            return content.decode()  # with the line ends that were stored, unlike diskcache
        try:
            return _from_json(content)
        except ValueError:
            return content  # JSONDisk stores what is read from a file as it is

    def _file(self, filename: Any) -> str:
        # Who made the source may name any file of ours here.
        path = os.path.realpath(os.path.join(self._directory, filename))
        if not path.startswith(self._directory + os.sep):
            raise ValueError(f"its file {filename!r} lies outside of the source")
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError(f"its file {filename!r} is not a regular file")
        return path


def _from_json(stored: Any) -> Any:
    """Return what `diskcache.JSONDisk` has stored. Raises `ValueError` if it has not."""
    try:
        return json.loads(zlib.decompress(stored))
    except (RecursionError, TypeError, zlib.error) as error:
        raise ValueError(f"it is not what JSONDisk writes: {error}") from error


def _hashable(key: Any) -> Any:
    """Return a key with tuples instead of lists: JSON knows no other."""
    return tuple(map(_hashable, key)) if isinstance(key, list) else key
