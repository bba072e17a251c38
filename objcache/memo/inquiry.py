"""Whether a call of a memoized function has a stored result, asked without changing anything.

Knows: where results lie, also where there is no store yet. Must not know: how functions are run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from objcache.errors import StoreNotFoundError
from objcache.memo._default import default_path, default_store
from objcache.memo._entries import VERSION_BYTES
from objcache.memo._recall import Call, Recall
from objcache.memo._results import Place
from objcache.memo._why import Explanation, explain
from objcache.store import Store, refuse_damaged

__all__ = ["Inquiry", "inquire", "recall_of"]


class Inquiry(NamedTuple):
    """What is known of one call.

    Attributes:
        function: module and qualified name, as results are kept below it.
        path: the directory of its store.
        names: of the namespace or cache that keeps its results.
        is_cache: whether that is a cache.
        key: of the call's result, as `cache_key` returns it.
        explanation: why there is a result, or none.
    """

    function: str
    path: str
    names: tuple[str, ...]
    is_cache: bool
    key: str
    explanation: Explanation


def recall_of(function: Any) -> Recall | None:
    """Return what a memoized function remembers by; None if *function* is none."""
    found = getattr(function, "__objcache_recall__", None)
    return found if isinstance(found, Recall) else None


def inquire(recall: Recall, call: Call) -> Inquiry:
    """Return what is known of *call*, as `why` does; write nothing, count nothing, mark nothing.

    The default store is opened so that it cannot be written to, and is not made if it is not
    there. A store that the function's module has opened is read as it is.

    Raises:
        ObjcacheError: the store cannot be read.

    Cost: where there is no result, reads the rows of all results of the function.
    """
    with _place_of(recall) as place:
        if place is None:
            return _without_store(recall, call)
        results = recall.results.for_reading(lambda: place)
        asked = Recall(recall.function, recall.name, recall.settings, recall.binding, results)
        opened = results.open()
        is_cache = opened.bounds is not None
        return Inquiry(
            results.identity.name,
            place.directory,
            # Those of a cache come after that of all caches, the others before two of our own.
            tuple(place.names[1:]) if is_cache else opened.mapping.names[:-2],  # type: ignore[union-attr]
            is_cache,
            (opened.version + call.tail).hex(),
            explain(asked, call),
        )


@contextmanager
def _place_of(recall: Recall) -> Iterator[Place | None]:
    """Give where the results of a function are; None where there is no store yet."""
    if recall.results.choose is not default_store:
        yield recall.results.choose()
        return
    path = default_path()
    try:
        refuse_damaged(path)
    except StoreNotFoundError:
        yield None
        return
    with Store(path, readonly=True) as store:
        yield store


def _without_store(recall: Recall, call: Call) -> Inquiry:
    identity, path = recall.results.identity, default_path()
    key = identity.fingerprint[:VERSION_BYTES] + call.tail
    explanation = Explanation("never called", (f"there is no store at {path!r} yet",))
    return Inquiry(identity.name, path, (), False, key.hex(), explanation)
