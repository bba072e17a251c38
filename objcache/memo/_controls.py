"""What a memoized function offers beside being called.

Knows: results, rows and counts. Must not know: how a call is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from objcache.memo._batches import Progress, map_plain
from objcache.memo._chunks import read_items
from objcache.memo._entries import Entry, Row
from objcache.memo._plain import PlainRuns
from objcache.memo._recall import Call, Recall
from objcache.memo._streams import StreamRuns
from objcache.memo._why import Explanation, explain

__all__ = ["CacheInfo", "Controls", "PlainControls", "StreamControls"]


class CacheInfo(NamedTuple):
    """How a memoized function has done, in all processes since `cache_clear`.

    Attributes:
        hits: calls that were answered without running the function.
        misses: calls that ran it.
        entries: results in the store, of all versions of the function.
        size_bytes: of their records.
        saved_s: seconds of computing that the hits have saved.
    """

    hits: int
    misses: int
    entries: int
    size_bytes: int
    saved_s: float


class Controls:
    """What all kinds of memoized functions have; docs/reference/memoize.md tells of each."""

    offered: tuple[str, ...] = (
        *("bypass", "cache_clear", "cache_info", "cache_key", "entries", "forget", "is_cached"),
        *("keep_entries", "map", "put", "refresh", "why"),
    )

    def __init__(self, recall: Recall) -> None:
        self.recall = recall

    def attach(self, memoized: Any) -> None:
        """Make what is offered attributes of the memoized function."""
        for name in self.offered:
            setattr(memoized, name, getattr(self, name))

    def bypass(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the plain function; look nothing up, store nothing, count nothing."""
        return self.recall.function(*args, **kwargs)

    def cache_info(self) -> CacheInfo:
        """Return hits, misses, entries, bytes and seconds saved, of all processes.

        Raises:
            ObjcacheError: the store cannot be read.
        """
        hits, misses, saved_s, entries, size_bytes = self.recall.results.counts()
        return CacheInfo(hits, misses, entries, size_bytes, saved_s)

    def cache_clear(self, tag: str | None = None) -> int:
        """Remove the results of all versions, or those with *tag*; return how many there were.

        Without a tag the counts of `cache_info` begin at zero again.
        """
        if self.recall.hot is not None:
            self.recall.hot.clear()
        return self.recall.results.clear(tag)

    def cache_key(self, /, *args: Any, **kwargs: Any) -> str:
        """Return the key of a call: `Entry.key` of its result."""
        recall = self.recall
        call = recall.call(args, kwargs)
        opened = recall.results.current()
        return (opened.version + call.tail).hex()

    def is_cached(self, /, *args: Any, **kwargs: Any) -> bool:
        """Whether a call would be answered without running the function; counts nothing."""
        recall = self.recall
        return recall.look(recall.call(args, kwargs)) is not None

    def forget(self, /, *args: Any, **kwargs: Any) -> bool:
        """Remove the result of a call; return whether there was one."""
        recall = self.recall
        call = recall.call(args, kwargs)
        if recall.hot is not None:
            recall.hot.drop(call.tail)
        return recall.results.forget(call.tail)

    def why(self, /, *args: Any, **kwargs: Any) -> Explanation:
        """Return why a call is, or is not, answered from the store.

        Cost: on a miss, reads what is known of every result of the function.
        """
        return explain(self.recall, self.recall.call(args, kwargs))

    def entries(self) -> Iterator[Entry]:
        """Iterate over the stored results, of all versions; each is read when it is asked for."""
        recall = self.recall
        opened = recall.results.current()
        now = opened.now()
        for key, row in recall.results.rows():
            current = key.startswith(opened.version)
            yield Entry(key, row, now, self._loader(key, row), current=current)

    def keep_entries(self) -> int:
        """Take the results of the version before this one for those of this one.

        For an edit that changed the code and not what it does. Return how many results there are.
        """
        if self.recall.hot is not None:
            self.recall.hot.clear()
        return self.recall.results.adopt()

    def _loader(self, key: bytes, row: Row) -> Callable[[], Any]:
        def load() -> Any:
            found = self.recall.results.found(key, raised=row["raised"])
            if found is None:
                raise KeyError(key.hex())
            return list(read_items(self.recall, found[0])) if "stream" in row else found[0]

        return load

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """Return a call with its arguments bound."""
        return self.recall.call(args, kwargs)


class PlainControls(Controls):
    """What is special to plain functions."""

    def refresh(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the function, replace what is stored, and return the new result."""
        return PlainRuns(self.recall).refresh(self.call(args, kwargs))

    def put(self, result: Any, /, *args: Any, **kwargs: Any) -> None:
        """Store *result* as that of a call, which need not have been made."""
        self.recall.put(self.call(args, kwargs), result)

    def map(self, /, *iterables: Iterable[Any], progress: Progress | None = None) -> list[Any]:
        """Return the results for the members of *iterables*, as `map` would pass them.

        Only what is missing is computed, equal arguments once. One transaction reads, one writes;
        a second one after each second of computing, so that a killed process loses little.

        Args:
            iterables: one for each positional argument.
            progress: called with the number of answered calls, and of all.
        """
        return map_plain(self.recall, iterables, progress)


class StreamControls(Controls):
    """What is special to generator functions."""

    offered = tuple(name for name in Controls.offered if name != "map")

    def refresh(self, /, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Run the generator, and replace what is stored when it has come to its end."""
        return StreamRuns(self.recall).refresh(self.call(args, kwargs))

    def put(self, items: Iterable[Any], /, *args: Any, **kwargs: Any) -> None:
        """Store *items* as those of a call, which need not have been made."""
        StreamRuns(self.recall).put(self.call(args, kwargs), items)
