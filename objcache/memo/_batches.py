"""Many calls of one function looked up together and stored together.

Knows: how calls are folded and in which order they are answered. Must not know: one call's way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from objcache.errors import ObjcacheError
from objcache.memo._entries import Kept
from objcache.memo._recall import Call, Recall, Remembered
from objcache.memo._telling import tell_computed
from objcache.protocols import MISSING

__all__ = ["Batch", "Progress", "map_plain"]

Progress = Callable[[int, int], object]
"""Called with the number of answered calls, and of all."""

# A killed process loses what it has computed since the last write.
_WRITE_EVERY_S: Final = 1.0


class Batch:
    """The calls of one `map`."""

    def __init__(
        self, recall: Recall, iterables: tuple[Iterable[Any], ...], progress: Progress | None
    ) -> None:
        self.calls = [recall.call(args, {}) for args in zip(*iterables, strict=False)]
        self.missing: list[Call] = []
        self.monotonic = recall.clock.monotonic
        self._recall = recall
        self._progress = progress
        self._places: dict[bytes, list[int]] = {}
        for place, call in enumerate(self.calls):
            self._places.setdefault(call.tail, []).append(place)
        self._answers: list[Any] = [MISSING] * len(self.calls)
        self._done = 0
        self._kept: dict[bytes, Kept] = {}
        self._views: dict[bytes, list[Any]] = {}
        self._written = self.monotonic()

    def look(self) -> None:
        """Answer what is stored, all of it in one read transaction."""
        firsts = [self.calls[places[0]] for places in self._places.values()]
        found = self._found(firsts, raised=False)
        if self._recall.settings.cache_exceptions:
            left = [call for call in firsts if call.tail not in found]
            found.update(self._found(left, raised=True))
        for call in firsts:
            remembered = found.get(call.tail)
            if remembered is None or remembered.ageing:
                self.missing.append(call)
                continue
            for _ in self._places[call.tail]:
                self._recall.count_hit(remembered.cost_us)
            if remembered.raised:
                raise remembered.value
            places = self._places[call.tail]
            if len(places) == 1:
                self._answers[places[0]] = remembered.value
                self._done += 1
            else:
                self._answer(call, remembered.value, partial(self._again, call.tail))
        self._tell()

    def _found(self, calls: list[Call], *, raised: bool) -> dict[bytes, Remembered]:
        recall, found = self._recall, {}
        opened = recall.opened()
        if opened is None:
            return {}
        dated = opened.raised if raised else opened.results
        try:
            records = dated.get_many(call.tail for call in calls)
        except ObjcacheError as error:
            recall.complaints.about("read", error)
            return {}
        for call in calls:
            record = records.get(call.tail)
            if record is None:
                continue
            try:
                stored = dated.decode(call.tail, record)
            except ObjcacheError as error:
                recall.complaints.about("read", error)
                continue
            remembered = recall.judge(call, stored, raised=raised)
            if remembered is not None:
                found[call.tail] = remembered
        return found

    def _again(self, tail: bytes) -> Any:
        found = self._recall.fetch(tail)
        return MISSING if found is None else found[0]

    def _answer(self, call: Call, value: Any, copied: Callable[[], Any]) -> None:
        first, *others = self._places[call.tail]
        self._answers[first] = value
        for place in others:  # each caller changes a result of its own
            copy = copied()
            self._answers[place] = value if copy is MISSING else copy
        self._done += 1 + len(others)

    def computed(self, call: Call, value: Any, kept: Kept | None, cost_s: float) -> None:
        """Answer a call that was missing, and took *cost_s* seconds."""
        tell_computed(self._recall.name, cost_s, stored=kept is not None)
        for _ in self._places[call.tail][1:]:
            self._recall.count_hit()
        copied: Callable[[], Any] = partial(self._decoded, call, kept)
        if kept is not None:
            self._kept[call.tail] = kept
            if kept.given is not MISSING:
                # For once it is stored; till then all have what was computed.
                others = [copied() for _ in self._places[call.tail][1:]]
                self._views[call.tail] = [kept.given, *others]
                copied = _missing
        self._answer(call, value, copied)
        if self.monotonic() - self._written > _WRITE_EVERY_S:
            self.write()
        self._tell()

    def failed(self, call: Call, kept: Kept | None, cost_s: float) -> None:
        """Keep an exception, which came after *cost_s* seconds."""
        tell_computed(self._recall.name, cost_s, stored=kept is not None, raised=True)
        if kept is not None:
            self._kept[call.tail] = kept

    def _decoded(self, call: Call, kept: Kept | None) -> Any:
        opened = self._recall.opened()
        if kept is None or opened is None:
            return MISSING
        return opened.results.decode(call.tail, bytes(kept.record))[0]

    def write(self) -> None:
        """Store what was computed since the last time, in one transaction."""
        if self._kept and self._recall.write(self._kept):
            for tail, views in self._views.items():
                for place, view in zip(self._places[tail], views, strict=True):
                    self._answers[place] = view
        self._kept, self._views = {}, {}
        self._written = self.monotonic()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._done, len(self.calls))

    def answers(self) -> list[Any]:
        """Return the results in the order of the calls."""
        return self._answers


def _missing() -> Any:
    return MISSING


def map_plain(
    recall: Recall, iterables: tuple[Iterable[Any], ...], progress: Progress | None
) -> list[Any]:
    """Return the results of a plain function for all arguments, in their order."""
    batch = Batch(recall, iterables, progress)
    batch.look()
    try:
        for call in batch.missing:
            recall.count_miss()
            picture = recall.picture(call)
            began = batch.monotonic()
            try:
                result = recall.function(*call.args)
            except recall.settings.cache_exceptions as error:
                cost_s = batch.monotonic() - began
                batch.failed(call, recall.kept(call, picture, error, cost_s, raised=True), cost_s)
                raise
            cost_s = batch.monotonic() - began
            batch.computed(call, result, recall.kept(call, picture, result, cost_s), cost_s)
    finally:
        batch.write()
    return batch.answers()
