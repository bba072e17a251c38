"""What memoized coroutine functions and asynchronous generator functions offer.

Knows: tasks. Must not know: how a call is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from objcache.memo._async_streams import AsyncStreamRuns
from objcache.memo._batches import Batch, Progress
from objcache.memo._controls import Controls, StreamControls
from objcache.memo._recall import Call, Recall
from objcache.memo._tasks import TaskRuns

__all__ = ["AsyncStreamControls", "TaskControls"]


class TaskControls(Controls):
    """What is special to coroutine functions."""

    async def refresh(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the function, replace what is stored, and return the new result."""
        return await TaskRuns(self.recall).refresh(self.call(args, kwargs))

    def put(self, result: Any, /, *args: Any, **kwargs: Any) -> None:
        """Store *result* as that of a call, which need not have been made."""
        self.recall.put(self.call(args, kwargs), result)

    async def map(
        self,
        /,
        *iterables: Iterable[Any],
        progress: Progress | None = None,
        concurrency: int = 16,
    ) -> list[Any]:
        """Return the results for the members of *iterables*; as for plain functions.

        Args:
            iterables: one for each positional argument.
            progress: called with the number of answered calls, and of all.
            concurrency: how many calls run at a time, at most.
        """
        return await _map_tasks(self.recall, iterables, progress, concurrency)


class AsyncStreamControls(Controls):
    """What is special to asynchronous generator functions."""

    offered = StreamControls.offered

    def refresh(self, /, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Run the generator, and replace what is stored when it has come to its end."""
        return AsyncStreamRuns(self.recall).refresh(self.call(args, kwargs))

    async def put(self, items: Any, /, *args: Any, **kwargs: Any) -> None:
        """Store *items*, of whatever can be iterated over, as those of a call."""
        await AsyncStreamRuns(self.recall).put(self.call(args, kwargs), items)


async def _map_tasks(
    recall: Recall,
    iterables: tuple[Iterable[Any], ...],
    progress: Progress | None,
    concurrency: int,
) -> list[Any]:
    """Return the results of a coroutine function, at most *concurrency* running at a time."""
    if concurrency < 1:
        raise ValueError(f"concurrency={concurrency} would run nothing; it must be 1 or more")
    batch = Batch(recall, iterables, progress)
    batch.look()
    remaining = iter(batch.missing)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(batch.missing))):
                group.create_task(_work(recall, batch, remaining))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None  # as awaiting one after the other would
    finally:
        batch.write()
    return batch.answers()


async def _work(recall: Recall, batch: Batch, remaining: Iterator[Call]) -> None:
    for call in remaining:
        recall.count_miss()
        picture = recall.picture(call)
        began = batch.monotonic()
        try:
            result = await recall.function(*call.args)
        except recall.settings.cache_exceptions as error:
            cost_s = batch.monotonic() - began
            batch.failed(call, recall.kept(call, picture, error, cost_s, raised=True), cost_s)
            raise
        cost_s = batch.monotonic() - began
        batch.computed(call, result, recall.kept(call, picture, result, cost_s), cost_s)
