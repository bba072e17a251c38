"""`objcache import-from`: what another library has stored, in a store or a cache of ours.

Knows: the target, and what is told of an import. Must not know: formats of other libraries.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from contextlib import AbstractContextManager
from typing import Any, Final

import click

import objcache
from objcache.cache import tags_of
from objcache.cli._foreign import Foreign, ForeignError, Found, Left, Why, name_of, one_line
from objcache.cli._importing import (
    Outcome,
    entries_text,
    in_batches,
    lazily,
    options_for,
    say,
    store_one,
    tell_counts,
)
from objcache.cli._options import color_option, complete_directories, complete_files
from objcache.cli._progress import progress
from objcache.clock import SYSTEM_CLOCK
from objcache.errors import (
    BlobError,
    KeyEncodingError,
    ObjcacheError,
    StoreNotFoundError,
)

__all__ = ["import_from"]

_CALLS: Final = "joblib-calls"
_WORDS: Final = ("importing", "read", "entries")

Target = objcache.Store[Any, Any] | objcache.Cache[Any, Any]


@dataclasses.dataclass
class _Outcome(Outcome):
    """What an import of another library's files has done so far."""

    kind: str = ""
    entries: int = 0
    evicted: int = 0
    tags_as_text: int = 0
    tags_lost: int = 0

    def leave(self, left: Left) -> None:
        """Count an entry that stays where it is."""
        if left.why is Why.FAILED:
            self.fail(left.name, left.reason)
        elif left.why is Why.EXPIRED:
            self.expired += 1
        else:
            self.refused += 1


@click.command("import-from")
@click.argument("kind", type=click.Choice(("shelve", "diskcache", "joblib", "sqlitedict")))
@click.argument("source", shell_complete=complete_files)
@click.argument("target", shell_complete=complete_directories)
@click.option("--trust-source", "trust", is_flag=True, help="Load its pickles: they run as you.")
@click.option("--into-existing", is_flag=True, help="TARGET may have entries; they stay.")
@click.option("--size-limit", metavar="SIZE", help='diskcache: bound the target, e.g. "1 GiB".')
@click.option("--max-entries", type=click.IntRange(min=1), help="diskcache: bound the target.")
@click.option("--disk", type=click.Choice(("plain", "json")), help="diskcache: its Disk class.")
@click.option("--table", help="sqlitedict: which table, if there are several.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@color_option
def import_from(
    *, kind: str, source: str, target: str, as_json: bool, no_color: bool, **wanted: Any
) -> int:
    """Import what another library has stored into a new store.

    SOURCE is read without its library (joblib excepted) and never changed. diskcache becomes a
    cache, with deadlines and tags; the others become a store. Results of joblib.Memory are
    found by function and joblib's hash of the arguments, not by memoized functions.

    Pickles are loaded with --trust-source only, as a pickle can run any code as you. Without,
    numbers, texts, bytes and files of diskcache are imported, and nothing of the others.

    What was interrupted goes on when run again with --into-existing.

    Exit code: 0 all was imported, 1 something was not, 2 stopped or bad input.

    Example: objcache import-from diskcache ./old-cache ./cache --trust-source
    """
    _check_options(kind, wanted)
    outcome = _Outcome(source, target, kind=kind)
    try:
        with _opened(kind, source, wanted) as found:
            _check_pickles(found, outcome, trust=wanted["trust"])
            _check_place(source, target)
            with _target(kind, target, wanted) as store:
                _run(found, store, outcome, no_color=no_color)
    except (ForeignError, ObjcacheError, OSError) as error:
        outcome.error = one_line(str(error))
    outcome.ok = outcome.code == 0
    if as_json:
        print(json.dumps(dataclasses.asdict(outcome)))
    else:
        _tell(outcome, wanted)
    return outcome.code


# -- the source and the target ---------------------------------------------------------------


def _check_options(kind: str, wanted: dict[str, Any]) -> None:
    owners = {"size_limit": "diskcache", "max_entries": "diskcache", "disk": "diskcache"}
    owners["table"] = "sqlitedict"
    for name, owner in owners.items():
        if wanted[name] is not None and kind != owner:
            raise click.UsageError(f"--{name.replace('_', '-')} belongs to {owner}")


def _opened(kind: str, source: str, wanted: dict[str, Any]) -> AbstractContextManager[Foreign]:
    try:
        # Not every Python has SQLite, and no other command needs it.
        from objcache.cli._foreign_files import open_joblib, open_shelve  # noqa: PLC0415
        from objcache.cli._foreign_sqlite import open_diskcache, open_sqlitedict  # noqa: PLC0415
    except ImportError as error:
        raise ForeignError(f"this Python cannot read databases of SQLite: {error}") from error
    if kind != "shelve":
        os.stat(source)  # a shelf may be known by the beginning of its files' names
    trust = wanted["trust"]
    if kind == "shelve":
        return open_shelve(source, trust=trust)
    if kind == "joblib":
        return open_joblib(source, trust=trust)
    if kind == "sqlitedict":
        return open_sqlitedict(source, trust=trust, table=wanted["table"])
    return open_diskcache(source, trust=trust, disk=wanted["disk"], now=SYSTEM_CLOCK.now())


def _check_pickles(found: Foreign, outcome: _Outcome, *, trust: bool) -> None:
    if found.total and found.pickles == found.total and not trust:
        outcome.refused = found.total
        raise ForeignError(
            f"{outcome.source!r} has nothing but pickles ({entries_text(found.total)}), and a pickle can "
            "run any code as you; if you know where they come from, say --trust-source; nothing "
            "was imported"
        )


def _check_place(source: str, target: str) -> None:
    inner, outer = os.path.realpath(target), os.path.realpath(source)
    if inner == outer or inner.startswith(outer + os.sep):
        raise ForeignError(f"{target!r} lies in the source, which is not to be changed")


def _target(kind: str, path: str, wanted: dict[str, Any]) -> Target:
    try:
        options = options_for(path, into_existing=wanted["into_existing"])
        if kind != "diskcache":
            return objcache.Store(path, **options)
        bounds = {"size_limit": wanted["size_limit"], "max_entries": wanted["max_entries"]}
        return objcache.Cache(path, **bounds, **options)
    except StoreNotFoundError as error:
        raise ForeignError(f"{path!r} is not empty, and no store lies there") from error
    except ValueError as error:
        if isinstance(error, (ObjcacheError, OSError)):
            raise
        raise ForeignError(str(error)) from error


# -- the import ------------------------------------------------------------------------------


def _run(found: Foreign, store: Target, outcome: _Outcome, *, no_color: bool) -> None:
    """Import all that can be; what has happened is in *outcome*, however it ends."""
    evicted, entries = _evicted(store), len(store)
    # A bounded cache evicts between its commits, and its file has a bound, too.
    bounded = isinstance(store, objcache.Cache) and _is_bounded(store)

    def take(entry: Found | Left) -> None:
        if isinstance(entry, Left):
            outcome.leave(entry)
        else:
            _import_one(entry, store, outcome)
        advance()

    try:
        with progress(found.total, no_color=no_color, words=_WORDS) as advance:
            transaction = None if bounded else store.transaction
            in_batches(lazily(found.entries), take, transaction, outcome)
        store.sync()
    except KeyboardInterrupt:
        outcome.interrupted = True
    finally:
        outcome.entries = len(store)
        outcome.evicted = _evicted(store) - evicted
        if isinstance(store, objcache.Store):
            # Ctrl-C may come when a transaction is committed and not counted yet.
            outcome.imported = outcome.entries - entries


def _is_bounded(cache: objcache.Cache[Any, Any]) -> bool:
    stats = cache.stats()
    return stats.size_limit_bytes is not None or stats.max_entries is not None


def _evicted(store: Target) -> int:
    return store.stats().evicted if isinstance(store, objcache.Cache) else 0


def _import_one(found: Found, store: Target, outcome: _Outcome) -> None:
    try:
        if found.key in store:
            outcome.present += 1
            return
    except KeyEncodingError as error:
        outcome.fail(name_of(found.key), str(error))
        return
    try:
        value = None if found.file else found.load()
    except Exception as error:  # noqa: BLE001  # a pickle may raise anything
        outcome.fail(name_of(found.key), f"{type(error).__name__}: {error}")
        return

    def put() -> None:
        if isinstance(store, objcache.Cache):
            _put_entry(found, value, store, outcome)
        else:
            _put_value(found, value, store)

    store_one(lambda: name_of(found.key), put, outcome)


def _put_value(found: Found, value: Any, store: objcache.Store[Any, Any]) -> None:
    if found.call is None:
        store[found.key] = value
        return
    with store.transaction():
        store[found.key] = value
        store.namespace(_CALLS).using("json")[found.key] = found.call


def _put_entry(
    found: Found, value: Any, cache: objcache.Cache[Any, Any], outcome: _Outcome
) -> None:
    tag = _tag(found.tag, outcome)
    # Zero is a deadline that has come: it is over on arrival.
    expire = None if found.deadline is None else max(found.deadline - SYSTEM_CLOCK.now(), 0)
    if found.file is None:
        cache.set(found.key, value, expire=expire, tag=tag)
        return
    try:
        cache.put_file(found.key, found.file, expire=expire, tag=tag)
    except OSError as error:
        if isinstance(error, ObjcacheError) or error.filename != found.file:
            raise
        raise BlobError(found.key, str(error)) from error  # as other files of the source


def _tag(tag: Any, outcome: _Outcome) -> str | None:
    """Return a tag of the source as text, if it can be one of ours."""
    if tag is None:
        return None
    text = tag
    if not isinstance(tag, str):
        text = tag.decode(errors="surrogateescape") if isinstance(tag, bytes) else str(tag)
    try:
        tags_of(text)
    except ValueError:
        outcome.tags_lost += 1
        return None
    outcome.tags_as_text += text is not tag
    return str(text)


# -- what is told ----------------------------------------------------------------------------


def _tell(outcome: _Outcome, wanted: dict[str, Any]) -> None:
    if outcome.error is None or outcome.imported:
        _tell_counts(outcome)
    again = _again(outcome, wanted)
    if outcome.refused and outcome.error is None:
        say(
            f"{entries_text(outcome.refused)} not imported, as they are pickles, and a pickle can run any "
            f"code as you; if you know where they come from: {again}"
        )
    if outcome.interrupted:
        say(
            f"interrupted; {outcome.target} has {entries_text(outcome.entries)}, each of them whole; "
            f"to go on: {again}"
        )
    if outcome.error is not None:
        say(f"error: {outcome.error}")


def _again(outcome: _Outcome, wanted: dict[str, Any]) -> str:
    """Return the command that goes on from here."""
    words = ["objcache", "import-from", outcome.kind, outcome.source, outcome.target]
    words.append("--into-existing")
    if wanted["trust"] or outcome.refused:
        words.append("--trust-source")
    for name in ("size_limit", "max_entries", "disk", "table"):
        if wanted[name] is not None:
            words += [f"--{name.replace('_', '-')}", str(wanted[name])]
    return shlex.join(words)


def _tell_counts(outcome: _Outcome) -> None:
    told: tuple[tuple[int, str], ...] = (
        (outcome.present, "there already, and left as they were"),
        (outcome.expired, "not imported: their deadline has come"),
        (outcome.refused, "not imported: pickles"),
        (outcome.failed, "not imported: they cannot be read or stored"),
        (outcome.evicted, "evicted, to stay within the bounds"),
        (outcome.tags_as_text, "with a tag that is text now"),
        (outcome.tags_lost, "without a tag: it was empty, too long or no text"),
    )
    tell_counts(outcome, told)
