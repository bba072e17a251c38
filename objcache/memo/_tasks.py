"""Memoized coroutine functions.

Knows: how a coroutine is run once while tasks, threads and processes wait. Must not know: where
results are.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from objcache.errors import ComputationTimeoutError
from objcache.flights import Claim, Landed, WaitTimeoutError
from objcache.memo._recall import Call, Recall, Remembered
from objcache.memo._telling import tell_computed

__all__ = ["TaskRuns", "task_call"]


def task_call(recall: Recall) -> Callable[..., Any]:
    """Return the memoized coroutine function."""
    function, settings = recall.function, recall.settings
    bind, tail_of = recall.binding.bind, recall.binding.tail
    answer = TaskRuns(recall).answer

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = bind(*args, **kwargs)
        except TypeError:
            if settings.key is not None:
                raise
            return await function(*args, **kwargs)  # raises what the plain function raises
        return await answer(Call(args, kwargs, bound, tail_of(bound)))

    return call


class TaskRuns:
    """The calls of one coroutine function.

    Reading a result takes microseconds and is done in the event loop; waiting for others and
    running the function is awaited.
    """

    __slots__ = ("_recall", "_refreshing")

    def __init__(self, recall: Recall) -> None:
        self._recall = recall
        self._refreshing: set[asyncio.Task[None]] = set()

    async def answer(self, call: Call) -> Any:
        """Return the stored result, or run the function and store it."""
        remembered = self._recall.look(call)
        if remembered is not None:
            return await self._given(call, remembered)
        return await self.compute(call)

    async def compute(self, call: Call) -> Any:
        """Run the function for a call that has no good result, unless another task does."""
        recall = self._recall
        flights = recall.flights()
        if flights is None:
            return (await self.run(call))[0]
        try:
            claim = await flights.claim_async(recall.flight_key(call), recall.settings.timeout)
        except WaitTimeoutError:
            if recall.settings.on_timeout == "raise":
                timeout = recall.settings.timeout or 0.0
                raise ComputationTimeoutError(recall.name, timeout) from None
            return (await self.run(call))[0]
        if claim is None:
            return (await self.run(call))[0]
        if isinstance(claim, Landed):
            recall.count_hit()
            return recall.landed(call, claim)
        return await self._run_claimed(call, claim)

    async def run(self, call: Call) -> tuple[Any, bool]:
        """Run the function and store its result; return what `Recall.keep` returns."""
        recall = self._recall
        recall.count_miss()
        picture = recall.picture(call)
        monotonic = recall.clock.monotonic
        began = monotonic()
        try:
            result = await recall.function(*call.args, **call.kwargs)
        except recall.settings.cache_exceptions as error:
            cost_s = monotonic() - began
            _, stored = recall.keep(call, picture, error, cost_s, raised=True)
            tell_computed(recall.name, cost_s, stored=stored, raised=True)
            raise
        cost_s = monotonic() - began
        given, stored = recall.keep(call, picture, result, cost_s)
        tell_computed(recall.name, cost_s, stored=stored)
        return given, stored

    async def refresh(self, call: Call) -> Any:
        """Run the function and replace its result."""
        return (await self.run(call))[0]

    async def _run_claimed(self, call: Call, claim: Claim) -> Any:
        landed = None
        try:
            claim.enter()
            # Another process may have stored it while this one waited for the lock.
            remembered = self._recall.look(call)
            if remembered is not None and not remembered.ageing:
                landed = Landed(remembered.value, stored=True)
                return await self._given(call, remembered)
            result, stored = await self.run(call)
            landed = Landed(result, stored=stored)
            return result
        finally:
            claim.release(landed)

    async def _given(self, call: Call, remembered: Remembered) -> Any:
        recall = self._recall
        recall.count_hit(remembered.cost_us)
        if remembered.raised:
            raise remembered.value
        if remembered.ageing:
            self._refresh_in_background(call)
        elif recall.wants_audit():
            recall.audit(call, remembered.value, await recall.function(*call.args, **call.kwargs))
        return remembered.value

    def _refresh_in_background(self, call: Call) -> None:
        recall = self._recall
        refreshing = recall.begin_refresh(call)
        if refreshing is None:
            return

        async def refresh() -> None:
            refreshing.begin()
            try:
                if refreshing.still_wanted():
                    await self.run(call)
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
