"""Memoized asynchronous generator functions.

Knows: the protocol of asynchronous generators (PEP 525). Must not know: where items are.

As `_streams`, which see: nobody waits for anybody, and what is sent or thrown is not kept.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any

from objcache.memo._chunks import ItemsGoneError, ItemsWriter, read_items
from objcache.memo._recall import Call, Recall, Remembered
from objcache.memo._telling import tell_computed

__all__ = ["AsyncStreamRuns", "async_stream_call"]

_Items = AsyncGenerator[Any, Any]


def async_stream_call(recall: Recall) -> Callable[..., Any]:
    """Return the memoized asynchronous generator function."""
    function, settings = recall.function, recall.settings
    bind, tail_of = recall.binding.bind, recall.binding.tail
    answer = AsyncStreamRuns(recall).answer

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


class AsyncStreamRuns:
    """The calls of one asynchronous generator function."""

    __slots__ = ("_recall", "_refreshing")

    def __init__(self, recall: Recall) -> None:
        self._recall = recall
        self._refreshing: set[asyncio.Task[None]] = set()

    async def answer(self, call: Call) -> _Items:
        """Give the stored items, or run the generator and store what it gives."""
        remembered = self._recall.look(call)
        if remembered is not None:
            self._recall.count_hit(remembered.cost_us)
        run = _Run(self._recall, call, remembered)
        try:
            while True:
                try:
                    item = await run.step()
                except StopAsyncIteration:
                    break
                try:
                    sent = yield item
                except GeneratorExit:
                    await run.close()
                    raise
                except BaseException as error:  # noqa: BLE001  # thrown into the generator
                    await run.throw(error)
                    continue
                if sent is not None:
                    await run.send(sent)
        finally:
            run.end()
        if remembered is not None and remembered.ageing:
            # Not before: it removes the items that are being read.
            self._refresh_in_background(call)

    async def refresh(self, call: Call) -> _Items:
        """Run the generator and replace what is stored when it has come to its end."""
        run = _Run(self._recall, call, None)
        try:
            while True:
                try:
                    item = await run.step()
                except StopAsyncIteration:
                    return
                yield item
        finally:
            run.end()

    async def put(self, call: Call, items: Any) -> None:
        """Store *items* as those of *call*."""
        writer = ItemsWriter(self._recall, call)
        try:
            if hasattr(items, "__aiter__"):
                async for item in items:
                    writer.add(item)
            else:
                for item in items:
                    writer.add(item)
            writer.finish()
        finally:
            writer.abandon()

    def _refresh_in_background(self, call: Call) -> None:
        recall = self._recall
        refreshing = recall.begin_refresh(call)
        if refreshing is None:
            return

        async def refresh() -> None:
            refreshing.begin()
            try:
                if refreshing.still_wanted():
                    async for _ in self.refresh(call):
                        pass
            except Exception as error:  # noqa: BLE001  # nobody awaits it
                recall.complaints.about("refreshed", error, quiet=True)
            finally:
                refreshing.end()

        # The loop keeps only a weak reference to a task.
        task = asyncio.get_running_loop().create_task(refresh())
        self._refreshing.add(task)
        task.add_done_callback(self._refreshing.discard)
        # It may be cancelled before its first step.
        task.add_done_callback(lambda _: refreshing.end())


class _Run:
    """One walk over the items of a call: stored ones as far as they go, then the generator's."""

    def __init__(self, recall: Recall, call: Call, remembered: Remembered | None) -> None:
        self._recall = recall
        self._call = call
        self._given = 0
        self._stored: Iterator[Any] | None = None
        self._generator: _Items | None = None
        self._writer: ItemsWriter | None = None
        self._next: Callable[[], Awaitable[Any]] | None = None
        if remembered is not None:
            self._stored = read_items(recall, remembered.value)
        else:
            recall.count_miss()
            self._writer = ItemsWriter(recall, call)
            self._generator = recall.function(*call.args, **call.kwargs)

    async def step(self) -> Any:
        """Return the next item.

        Raises:
            StopAsyncIteration: there is none.
        """
        if self._stored is not None:
            try:
                item = next(self._stored)
            except StopIteration:
                raise StopAsyncIteration from None
            except ItemsGoneError:
                self._recall.drop(self._call)
                await self._leave_stored()
            else:
                self._given += 1
                return item
        return await self._produced()

    async def _produced(self) -> Any:
        generator, writer = self._generator, self._writer
        assert generator is not None
        step, self._next = self._next or generator.__anext__, None
        monotonic = self._recall.clock.monotonic
        began = monotonic()
        try:
            item = await step()
        except StopAsyncIteration:
            if writer is not None:
                writer.cost_s += monotonic() - began
                stored = writer.finish()
                tell_computed(self._recall.name, writer.cost_s, stored=stored)
            raise
        if writer is not None:
            writer.cost_s += monotonic() - began
            writer.add(item)
        return item

    async def send(self, sent: Any) -> None:
        """Let the next item be what the generator answers to *sent*; keep nothing from here on."""
        generator = await self._changed()
        self._next = partial(generator.asend, sent)

    async def throw(self, error: BaseException) -> None:
        """Let the next item be what the generator answers to *error*; keep nothing more."""
        generator = await self._changed()
        self._next = partial(generator.athrow, error)

    async def close(self) -> None:
        """Close the generator, if it runs."""
        if self._generator is not None:
            await self._generator.aclose()

    def end(self) -> None:
        """Remove what was kept of a walk that did not come to its end."""
        if self._writer is not None:
            self._writer.abandon()

    async def _changed(self) -> _Items:
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None
        if self._stored is not None:
            await self._leave_stored()
        assert self._generator is not None
        return self._generator

    async def _leave_stored(self) -> None:
        """Go on with the function itself, from where the stored items end."""
        self._stored = None
        generator = self._recall.function(*self._call.args, **self._call.kwargs)
        for _ in range(self._given):
            await generator.__anext__()
        self._generator = generator
