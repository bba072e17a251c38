"""Who is measured by `objcache bench`: stores, caches and memoized functions, and their rivals.

Knows: how each is opened and asked, and what it promises. Must not know: how it is timed.
"""

from __future__ import annotations

import dbm
import importlib
import os
import platform
import shelve
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Final, NamedTuple

import objcache
from objcache.engine import DURABILITIES
from objcache.engine.stats import engine_name

__all__ = ["DISK", "RIVALS", "Contestant", "OpenError", "Promise", "open_contestant"]

RIVALS: Final = ("shelve", "diskcache", "sqlitedict")
DISK: Final = "disk"
_PAGE_BYTES: Final = 4096
_DISK_PAGES: Final = 256
# Far away: an entry with a deadline is measured, not its end.
_EXPIRE_S: Final = 86_400.0


class OpenError(Exception):
    """A rival cannot be measured; the message says why."""


class Promise(NamedTuple):
    """What one of those who are measured is, and what it keeps when something dies.

    Attributes:
        settings: how it was opened.
        killed: what a killed process loses.
        power_cut: what a power cut loses.
        version: of it.
    """

    settings: str
    killed: str
    power_cut: str
    version: str


class Contestant(NamedTuple):
    """Somebody who is measured, opened.

    Attributes:
        name: of it.
        promise: what it keeps.
        calls: by the name of an operation, what does it; operations that it does not have are
            not there.
        settle: what it would else do in the turns of others, after its own in an operation;
            None where it does nothing behind what it was asked.
    """

    name: str
    promise: Promise
    calls: Mapping[str, Callable[..., Any]]
    settle: Callable[[str], object] | None = None


def answer(number: int) -> dict[str, Any]:
    """Stand for an expensive function: hits are measured, so this runs once for each number."""
    return {"number": number, "half": number / 2, "name": "answer"}


def open_contestant(name: str, directory: str, stack: ExitStack) -> Contestant:
    """Open one of those who are measured, in a new directory below *directory*.

    Args:
        name: one of `DURABILITIES`, of `RIVALS`, or `DISK`.
        directory: where.
        stack: closes it.

    Raises:
        OpenError: a rival is not installed, or fails.
        ObjcacheError, OSError: a store or the disk fails.
    """
    own = os.path.join(directory, name)
    os.mkdir(own)
    if name in DURABILITIES:
        return _open_objcache(name, own, stack)
    if name == DISK:
        return _open_disk(own, stack)
    try:
        return _OPENERS[name](own, stack)
    except ModuleNotFoundError as error:
        raise OpenError("not installed") from error
    except Exception as error:  # whatever a rival raises, it is left out
        raise OpenError(f"{type(error).__name__}: {error}") from error


_POWER_CUT: Final = {
    "checkpoint": "the last second, at most; never the store",
    "commit": "nothing",
    "process": "everything, which is found at the next open",
}


def _open_objcache(durability: str, directory: str, stack: ExitStack) -> Contestant:
    # A secret of its own: the user's is neither needed nor made.
    options: dict[str, Any] = {"durability": durability, "secret": os.urandom(32)}
    store = stack.enter_context(objcache.Store(os.path.join(directory, "store"), **options))
    cache = stack.enter_context(objcache.Cache(os.path.join(directory, "cache"), **options))
    memoized = store.memoize(answer)

    def set_in_cache(key: str, value: Any) -> None:
        cache.set(key, value, expire=_EXPIRE_S)

    def settle(operation: str) -> None:
        (cache if operation == "cache_set" else store).sync()

    calls: dict[str, Callable[..., Any]] = {
        "get": store.__getitem__,
        "get_missing": store.get,
        "set_new": store.__setitem__,
        "set_over": store.__setitem__,
        "set_many": store.set_many,
        "memo_hit": memoized,
        "cache_get": cache.get,
        "cache_set": set_in_cache,
        "large_set": store.__setitem__,
        "large_get": store.__getitem__,
        "fill": store.set_many,
        "fill_cache": cache.set_many,
        "fill_memo": memoized.map,
    }
    promise = Promise(
        f'`Store(path, durability="{durability}")`, `Cache` with the same; every record signed',
        "nothing",
        _POWER_CUT[durability],
        f"{objcache.__version__}, {engine_name()}",
    )
    return Contestant(durability, promise, calls, settle if durability == "checkpoint" else None)


def _open_disk(directory: str, stack: ExitStack) -> Contestant:
    descriptor = os.open(os.path.join(directory, "pages"), os.O_RDWR | os.O_CREAT, 0o600)
    stack.callback(os.close, descriptor)
    os.write(descriptor, os.urandom(_PAGE_BYTES * _DISK_PAGES))
    os.fsync(descriptor)

    def write(place: int, page: bytes) -> None:
        os.pwrite(descriptor, page, place % _DISK_PAGES * _PAGE_BYTES)
        os.fsync(descriptor)

    promise = Promise("4 KiB over a page of a file, and `os.fsync`", "nothing", "nothing", "")
    return Contestant(DISK, promise, {"fsync": write})


# -- rivals ----------------------------------------------------------------------------------


def _open_shelve(directory: str, stack: ExitStack) -> Contestant:
    path = os.path.join(directory, "shelf")
    shelve.open(path).close()  # some kinds are known by what they write at the end
    kind = dbm.whichdb(path) or "unknown"
    shelf: shelve.Shelf[Any] = shelve.open(path)  # noqa: SIM115  # the stack closes it
    stack.callback(shelf.close)

    def set_many(entries: Mapping[str, Any]) -> None:
        shelf.update(entries)
        shelf.sync()

    promise = Promise(
        f"`shelve.open(path)`, which is `{kind}` here; no transactions, one process",
        *_SHELVES.get(kind, ("nothing, unless killed within a write", "everything, perhaps")),
        f"Python {platform.python_version()}",
    )
    return Contestant("shelve", promise, _mapping_calls(shelf, set_many))


_SHELVES: Final = {
    "dbm.dumb": (
        "overwrites since the last sync, which may come back mixed up",
        "everything, perhaps",
    ),
    "dbm.sqlite3": ("nothing", "nothing"),
}


def _open_diskcache(directory: str, stack: ExitStack) -> Contestant:
    module = importlib.import_module("diskcache")
    cache = module.Cache(os.path.join(directory, "cache"))
    stack.callback(cache.close)

    def set_many(entries: Mapping[str, Any]) -> None:
        with cache.transact():
            for key, value in entries.items():
                cache[key] = value

    def set_in_cache(key: str, value: Any) -> None:
        cache.set(key, value, expire=_EXPIRE_S)

    promise = Promise(
        "`diskcache.Cache(path)`: SQLite, write-ahead log, `synchronous=NORMAL`; no signatures",
        "nothing",
        "the commits since SQLite's last checkpoint",
        str(module.__version__),
    )
    memoized = cache.memoize()(answer)
    calls = {
        **_mapping_calls(cache, set_many),
        "memo_hit": memoized,
        "fill_memo": lambda numbers: [memoized(number) for number in numbers],
        "cache_get": cache.get,
        "cache_set": set_in_cache,
    }
    return Contestant("diskcache", promise, calls)


def _open_sqlitedict(directory: str, stack: ExitStack) -> Contestant:
    module = importlib.import_module("sqlitedict")
    path = os.path.join(directory, "sqlitedict.db")
    single = module.SqliteDict(path, autocommit=True)
    stack.callback(single.close)
    batch = module.SqliteDict(path, autocommit=False)
    stack.callback(batch.close)

    def set_many(entries: Mapping[str, Any]) -> None:
        batch.update(entries)
        batch.commit()

    promise = Promise(
        "`SqliteDict(path, autocommit=True)`: SQLite, `synchronous=OFF`; no signatures",
        "nothing",
        "everything, perhaps",
        str(module.__version__),
    )
    return Contestant("sqlitedict", promise, _mapping_calls(single, set_many))


def _mapping_calls(
    mapping: Any, set_many: Callable[[Mapping[str, Any]], None]
) -> dict[str, Callable[..., Any]]:
    return {
        "get": mapping.__getitem__,
        "get_missing": mapping.get,
        "set_new": mapping.__setitem__,
        "set_over": mapping.__setitem__,
        "set_many": set_many,
        "large_set": mapping.__setitem__,
        "large_get": mapping.__getitem__,
        "fill": set_many,
    }


_OPENERS: Final[Mapping[str, Callable[[str, ExitStack], Contestant]]] = {
    "shelve": _open_shelve,
    "diskcache": _open_diskcache,
    "sqlitedict": _open_sqlitedict,
}
