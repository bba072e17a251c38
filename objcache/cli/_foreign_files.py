"""Reading what others keep in files of their own: shelves of dbm, and results of joblib.

Knows: their directories. Must not know: SQLite, stores.
"""

from __future__ import annotations

import dbm
import importlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from objcache.cli._foreign import Foreign, ForeignError, Found, Left, Why, name_of, unpickled
from objcache.cli._foreign_sqlite import is_database, open_sqlite_shelf

__all__ = ["open_joblib", "open_shelve"]

_SHELF_ENDINGS: Final = (".dat", ".dir", ".bak", ".db")

_JOBLIB: Final = "joblib"
_RESULT: Final = "output.pkl"
_METADATA: Final = "metadata.json"
_HASH: Final = re.compile(r"[0-9a-f]{32}")


@contextmanager
def open_shelve(path: str, *, trust: bool) -> Iterator[Foreign]:
    """Open a shelf by the path that `shelve.open` was given, or by that of one of its files.

    Raises:
        ForeignError: it is none, of a kind that this Python cannot read, or cannot be read.
    """
    if os.path.isfile(path) and is_database(path):
        with open_sqlite_shelf(path, trust=trust) as opened:
            yield opened
        return
    name = dbm.whichdb(path)
    stem, ending = os.path.splitext(path)
    if not name and ending in _SHELF_ENDINGS and dbm.whichdb(stem):
        path, name = stem, dbm.whichdb(stem)
    if name is None:
        raise ForeignError(f"there is no shelf at {path!r}, or it cannot be read")
    if not name:
        raise ForeignError(f"{path!r} is not a shelf of a kind that this Python knows")
    with _database(path, name) as (database, keys):
        yield Foreign(len(keys), len(keys), _entries(database, keys, trust=trust))


@contextmanager
def _database(path: str, name: str) -> Iterator[tuple[Any, list[bytes]]]:
    try:
        opened = importlib.import_module(name).open(path, "r")
        keys = list(opened.keys())
    except ImportError as error:
        raise ForeignError(
            f"the shelf at {path!r} is one of {name}, which this Python has not; import it with "
            "one that has"
        ) from error
    except (*dbm.error, ValueError, SyntaxError) as error:
        raise ForeignError(f"cannot read the shelf at {path!r}: {error}") from error
    try:
        yield opened, keys
    finally:
        opened.close()


def _entries(database: Any, keys: list[bytes], *, trust: bool) -> Iterator[Found | Left]:
    for key in keys:
        if not trust:
            yield Left(name_of(key), Why.REFUSED)
            continue
        try:
            text = key.decode()
        except ValueError as error:
            yield Left(name_of(key), Why.FAILED, f"its key is not text: {error}")
        else:
            yield Found(text, partial(_value, database, key))


def _value(database: Any, key: bytes) -> Any:
    return unpickled(database[key])


@contextmanager
def open_joblib(path: str, *, trust: bool) -> Iterator[Foreign]:
    """Open the `location` of a `joblib.Memory`, or the directory `joblib` in it.

    The key of a result is its function, as text, and joblib's hash of the arguments.

    Raises:
        ForeignError: it is none, cannot be read, or joblib is needed and not installed.
    """
    below = os.path.join(path, _JOBLIB)
    root = below if os.path.isdir(below) else path
    results = sorted(_results(root))
    if not results and root == path:
        raise ForeignError(f"{path!r} is not a directory of joblib.Memory: it has no {_JOBLIB!r}")
    yield Foreign(len(results), len(results), _read(root, results, _loader() if trust else None))


def _loader() -> Callable[[str], Any]:
    try:
        load: Callable[[str], Any] = importlib.import_module(_JOBLIB).load
    except ImportError as error:
        raise ForeignError(
            "results of joblib are read by joblib, which is not installed here: pip install joblib"
        ) from error
    return load


def _results(root: str) -> Iterator[tuple[str, str]]:
    """Yield the directory of each function, below *root*, and the hash of each of its results."""

    def stop(error: OSError) -> None:
        raise error

    for directory, directories, _ in os.walk(root, onerror=stop):
        hashes = {name for name in directories if _HASH.fullmatch(name)}
        directories[:] = [name for name in directories if name not in hashes]
        for name in hashes:
            yield os.path.relpath(directory, root), name


def _read(
    root: str, results: list[tuple[str, str]], load: Callable[[str], Any] | None
) -> Iterator[Found | Left]:
    for function, digest in results:
        key = function.replace(os.sep, "."), digest
        if load is None:
            yield Left(name_of(key), Why.REFUSED)
            continue
        directory = os.path.join(root, function, digest)
        yield Found(key, partial(load, os.path.join(directory, _RESULT)), call=_metadata(directory))


def _metadata(directory: str) -> dict[str, Any] | None:
    """Return what joblib noted of the call, if it has: arguments as text, seconds, and when."""
    try:
        with open(os.path.join(directory, _METADATA), "rb") as file:
            found = json.load(file)
    except (OSError, RecursionError, ValueError):
        return None  # it is a note only, the result counts
    return found if isinstance(found, dict) else None
