"""Memoized generator functions.

Knows: the protocol of generators (PEP 342). Must not know: where items are.

Nobody waits for anybody: a generator runs as fast as the one who consumes it. What is sent or
thrown into a generator changes what it does: from then on it runs, and nothing is kept.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from objcache.memo._chunks import ItemsGoneError, ItemsWriter, read_items
from objcache.memo._recall import Call, Recall, Remembered
from objcache.memo._telling import tell_computed

__all__ = ["StreamRuns", "stream_call"]

_Items = Generator[Any, Any, Any]


def stream_call(recall: Recall) -> Callable[..., Any]:
    """Return the memoized generator function."""
    function, settings = recall.function, recall.settings
    bind, tail_of = recall.binding.bind, recall.binding.tail
    answer = StreamRuns(recall).answer

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = bind(*args, **kwargs)
        except TypeError:
            if settings.key is not None:
                raise
            return function(*args, **kwargs)  # raises what the plain function raises
        return answer(Call(args, kwargs, bound, tail_of(bound)))

    return call


class StreamRuns:
    """The calls of one generator function."""

    __slots__ = ("_recall",)

    def __init__(self, recall: Recall) -> None:
        self._recall = recall

    def answer(self, call: Call) -> _Items:
        """Give the stored items, or run the generator and store what it gives."""
        remembered = self._recall.look(call)
        if remembered is None:
            return (yield from self.refresh(call))
        self._recall.count_hit(remembered.cost_us)
        returned = yield from self._replayed(call, remembered)
        if remembered.ageing:  # not before: it removes the items that are being read
            self._refresh_in_background(call)
        return returned

    def refresh(self, call: Call) -> _Items:
        """Run the generator and replace what is stored when it has come to its end."""
        recall = self._recall
        recall.count_miss()
        writer = ItemsWriter(recall, call)
        generator = recall.function(*call.args, **call.kwargs)
        try:
            return (yield from self._driven(generator, partial(next, generator), writer))
        finally:
            writer.abandon()

    def put(self, call: Call, items: Any) -> None:
        """Store *items* as those of *call*."""
        writer = ItemsWriter(self._recall, call)
        try:
            for item in items:
                writer.add(item)
            writer.finish()
        finally:
            writer.abandon()

    def _replayed(self, call: Call, remembered: Remembered) -> _Items:
        given = 0
        step: Callable[[Any], Any] = next
        try:
            for item in read_items(self._recall, remembered.value):
                given += 1
                try:
                    sent = yield item
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001  # thrown into the generator
                    step = partial(_throw, error)
                    break
                if sent is not None:
                    step = partial(_send, sent)
                    break
            else:
                return remembered.value[2]
        except ItemsGoneError:
            self._recall.drop(call)
        # Go on with the function itself, from where the stored items end.
        generator = self._recall.function(*call.args, **call.kwargs)
        try:
            for _ in range(given):
                next(generator)
        except StopIteration as ended:
            return ended.value
        return (yield from self._driven(generator, partial(step, generator), None))

    def _driven(
        self, generator: _Items, step: Callable[[], Any], writer: ItemsWriter | None
    ) -> _Items:
        monotonic = self._recall.clock.monotonic
        while True:
            began = monotonic()
            try:
                item = step()
            except StopIteration as ended:
                if writer is not None:
                    writer.cost_s += monotonic() - began
                    stored = writer.finish(ended.value)
                    tell_computed(self._recall.name, writer.cost_s, stored=stored)
                return ended.value
            if writer is not None:
                writer.cost_s += monotonic() - began
                writer.add(item)
            try:
                sent = yield item
            except GeneratorExit:
                generator.close()
                raise
            except BaseException as error:  # noqa: BLE001  # thrown into the generator
                step = partial(generator.throw, error)
                if writer is not None:
                    writer.abandon()
                    writer = None
                continue
            if sent is None:
                step = partial(next, generator)
            else:
                step = partial(generator.send, sent)
                if writer is not None:
                    writer.abandon()
                    writer = None

    def _refresh_in_background(self, call: Call) -> None:
        """Run the generator to its end; one thread of all processes does."""
        recall = self._recall
        refreshing = recall.begin_refresh(call)
        if refreshing is None:
            return

        def refresh() -> None:
            refreshing.begin()
            try:
                if refreshing.still_wanted():
                    for _ in self.refresh(call):
                        pass
            except Exception as error:  # noqa: BLE001  # nobody is there to catch it
                recall.complaints.about("refreshed", error, quiet=True)
            finally:
                refreshing.end()

        thread = threading.Thread(target=refresh, name=f"refresh {recall.name}", daemon=True)
        recall.refreshers.add(thread)
        try:
            thread.start()
        except BaseException:  # no more threads to be had
            refreshing.end()
            raise


def _send(sent: Any, generator: _Items) -> Any:
    return generator.send(sent)


def _throw(error: BaseException, generator: _Items) -> Any:
    return generator.throw(error)
