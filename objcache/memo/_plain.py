"""Memoized plain functions.

Knows: how a function is run once while threads and processes wait. Must not know: where results
are.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from pickle import loads
from typing import Any

from objcache.clock import MICROSECONDS
from objcache.errors import ComputationTimeoutError
from objcache.flights import Claim, Landed, WaitTimeoutError
from objcache.memo._known_keys import LONGEST_FORM_BYTES
from objcache.memo._recall import Call, Recall, Remembered
from objcache.memo._telling import tell_computed

__all__ = ["PlainRuns", "hot_call", "plain_call"]


def plain_call(recall: Recall) -> Callable[..., Any]:
    """Return the memoized function."""
    function, results, settings = recall.function, recall.results, recall.settings
    bind, form, tail_of = recall.binding.bind, recall.binding.form, recall.binding.tail
    answer, longest, microseconds = PlainRuns(recall).answer, LONGEST_FORM_BYTES, MICROSECONDS
    own_key = settings.key is not None
    # Whatever needs more than a record that is not over is answered below.
    simple = not (settings.looks_closer or settings.early)

    # Flat on purpose: bench/workloads/memo_hit.py; oracle: `PlainRuns.answer`.
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        bound = None
        try:
            tail = form(*args, **kwargs)
        except (TypeError, ValueError):  # a wrong call, or a text of 2 GiB
            tail = None
        if tail is None or len(tail) > longest:
            try:
                bound = bind(*args, **kwargs)
            except TypeError:
                if own_key:
                    raise
                return function(*args, **kwargs)  # raises what the plain function raises
            tail = tail_of(bound)
        opened = results.opened
        if simple and opened is not None:
            try:
                found = opened.results.get(tail)
            except Exception:  # noqa: BLE001  # told, or raised, by `answer`
                found = None
            if found is not None:
                deadline_us = found[2]
                if deadline_us is None or deadline_us > opened.now() * microseconds:
                    tally = opened.tally
                    tally[0] += 1
                    tally[2] += found[1]
                    return found[0]
        return answer(Call(args, kwargs, bound or bind(*args, **kwargs), tail))

    return call


def hot_call(recall: Recall) -> Callable[..., Any]:
    """Return the memoized function, where decoded results are kept in memory."""
    function, results, hot = recall.function, recall.results, recall.hot
    assert hot is not None
    bind, form, tail_of = recall.binding.bind, recall.binding.form, recall.binding.tail
    answer, served, settings = PlainRuns(recall).answer, hot.served, recall.settings
    own_key = settings.key is not None
    if settings.looks_closer or settings.early:
        served = {}  # each hit is looked at below

    # Flat on purpose: bench/workloads/memo_hit.py; oracle: `PlainRuns.answer`.
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            tail = form(*args, **kwargs)
        except (TypeError, ValueError):  # a wrong call, or a text of 2 GiB
            tail = None
        entry, opened = served.get(tail), results.opened
        if entry is not None and opened is not None:
            pulse = entry.pulse
            ids = pulse.ids
            if entry.stamp == ids[pulse.first] + ids[pulse.second] and entry.deadline_us is None:
                entry.used = True
                tally = opened.tally
                tally[0] += 1
                tally[2] += entry.cost_us
                return entry.value if entry.pickled is None else loads(entry.pickled)
        try:
            bound = bind(*args, **kwargs)
        except TypeError:
            if own_key:
                raise
            return function(*args, **kwargs)  # raises what the plain function raises
        return answer(Call(args, kwargs, bound, tail_of(bound)))

    return call


class PlainRuns:
    """The calls of one plain function that are not answered in the first lines of the wrapper."""

    __slots__ = ("_recall",)

    def __init__(self, recall: Recall) -> None:
        self._recall = recall

    def answer(self, call: Call) -> Any:
        """Return the stored result, or run the function and store it."""
        remembered = self._recall.look(call)
        if remembered is not None:
            return self._given(call, remembered)
        return self.compute(call)

    def compute(self, call: Call) -> Any:
        """Run the function for a call that has no good result, unless another thread does."""
        recall = self._recall
        flights = recall.flights()
        if flights is None:
            return self.run(call)[0]
        try:
            claim = flights.claim(recall.flight_key(call), recall.settings.timeout)
        except WaitTimeoutError:
            if recall.settings.on_timeout == "raise":
                timeout = recall.settings.timeout or 0.0
                raise ComputationTimeoutError(recall.name, timeout) from None
            return self.run(call)[0]
        if claim is None:
            return self.run(call)[0]
        if isinstance(claim, Landed):
            recall.count_hit()
            return recall.landed(call, claim)
        return self._run_claimed(call, claim)

    def run(self, call: Call) -> tuple[Any, bool]:
        """Run the function and store its result; return what `Recall.keep` returns."""
        recall = self._recall
        recall.count_miss()
        picture = recall.picture(call)
        monotonic = recall.clock.monotonic
        began = monotonic()
        try:
            result = recall.function(*call.args, **call.kwargs)
        except recall.settings.cache_exceptions as error:
            cost_s = monotonic() - began
            _, stored = recall.keep(call, picture, error, cost_s, raised=True)
            tell_computed(recall.name, cost_s, stored=stored, raised=True)
            raise
        cost_s = monotonic() - began
        given, stored = recall.keep(call, picture, result, cost_s)
        tell_computed(recall.name, cost_s, stored=stored)
        return given, stored

    def refresh(self, call: Call) -> Any:
        """Run the function and replace its result."""
        return self.run(call)[0]

    def _run_claimed(self, call: Call, claim: Claim) -> Any:
        landed = None
        try:
            claim.enter()
            # Another process may have stored it while this one waited for the lock.
            remembered = self._recall.look(call)
            if remembered is not None and not remembered.ageing:
                landed = Landed(remembered.value, stored=True)
                return self._given(call, remembered)
            result, stored = self.run(call)
            landed = Landed(result, stored=stored)
            return result
        finally:
            claim.release(landed)

    def _given(self, call: Call, remembered: Remembered) -> Any:
        recall = self._recall
        recall.count_hit(remembered.cost_us)
        if remembered.raised:
            raise remembered.value
        if remembered.ageing:
            self._refresh_in_background(call)
        elif recall.wants_audit():
            recall.audit(call, remembered.value, recall.function(*call.args, **call.kwargs))
        return remembered.value

    def _refresh_in_background(self, call: Call) -> None:
        """Compute a result that is served meanwhile; one thread of all processes does."""
        recall = self._recall
        refreshing = recall.begin_refresh(call)
        if refreshing is None:
            return

        def refresh() -> None:
            refreshing.begin()
            try:
                if refreshing.still_wanted():
                    self.run(call)
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
