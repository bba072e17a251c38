"""What a call of a memoized function does, whatever kind of function it is.

Knows: when a stored result is good, and how a new one is kept. Must not know: how the function
is run, and who waits for it.
"""

from __future__ import annotations

import math
import random
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from objcache.clock import MICROSECONDS, SYSTEM_CLOCK, Clock
from objcache.errors import AuditError, ObjcacheError, StoreClosedError, UnkeyableArgumentError
from objcache.flights import Claim, Flights, Landed, WaitTimeoutError, flights_of
from objcache.hashing import digest, text_of
from objcache.memo._arguments import Binding
from objcache.memo._complaints import Complaints
from objcache.memo._entries import (
    Entry,
    Kept,
    Picture,
    Written,
    picture_of,
    row_of,
)
from objcache.memo._hot import HotResults
from objcache.memo._known_keys import LONGEST_FORM_BYTES
from objcache.memo._results import OFF, Opened, Results
from objcache.memo._settings import Settings
from objcache.protocols import MISSING
from objcache.store.dated import Found, stored_bytes
from objcache.store.side import names_side_file

__all__ = ["Call", "Recall", "Refreshing", "Remembered"]


class Call(NamedTuple):
    """One call of a memoized function.

    Attributes:
        args: as given.
        kwargs: as given.
        bound: the values that count.
        tail: the key of these.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    bound: tuple[Any, ...]
    tail: bytes


class Remembered(NamedTuple):
    """A stored result that may be given out.

    Attributes:
        value: the result, or the exception.
        raised: whether it is an exception.
        ageing: whether it should be computed anew in the background.
        cost_us: what it took to compute.
    """

    value: Any
    raised: bool
    ageing: bool
    cost_us: int


class Recall:
    """The memory of one memoized function.

    Attributes:
        function: the plain one.
        name: what it is called in messages.
        random: gives numbers between 0 and 1; replaced in tests.
        refreshers: the threads that compute results anew in the background.

    Concurrency: any thread.
    """

    __slots__ = (
        *("binding", "complaints", "function", "hot", "name", "random", "refreshers", "results"),
        "settings",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        settings: Settings,
        binding: Binding,
        results: Results,
    ) -> None:
        self.function = function
        self.name = name
        self.settings = settings
        self.binding = binding
        self.results = results
        self.complaints = Complaints(name, strict=settings.strict)
        self.hot = HotResults(settings.hot, copy=settings.copy) if settings.hot else None
        self.random: Callable[[], float] = random.random
        self.refreshers: weakref.WeakSet[threading.Thread] = weakref.WeakSet()

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """Bind the arguments of a call.

        Raises:
            TypeError: they do not fit the signature.
            UnkeyableArgumentError: one of them has no stable value.
        """
        bound = self.binding.bind(*args, **kwargs)
        try:
            tail = self.binding.form(*args, **kwargs)
        except ValueError:  # a text of 2 GiB
            tail = None
        if tail is None or len(tail) > LONGEST_FORM_BYTES:
            tail = self.binding.tail(bound)
        return Call(args, kwargs, bound, tail)

    def opened(self) -> Opened | None:
        """Return where the results are, None where the store cannot be opened."""
        try:
            return None if OFF else self.results.current()
        except (ObjcacheError, OSError) as error:
            if isinstance(error, UnkeyableArgumentError):
                raise
            self.complaints.about("looked up", error)
            return None

    @property
    def clock(self) -> Clock:
        """Where times come from."""
        opened = self.opened()
        return SYSTEM_CLOCK if opened is None else opened.place.clock

    # -- looking -----------------------------------------------------------------------------

    def look(self, call: Call, found: Found | None = None) -> Remembered | None:
        """Return the stored result of *call* if it is still good; count nothing.

        Args:
            call: bound.
            found: what `fetch` returns for it, if it was asked already.
        """
        found = self.fetch(call.tail) if found is None else found
        raised = False
        if found is None and self.settings.cache_exceptions:
            found = self.fetch(call.tail, raised=True)
            raised = True
        return None if found is None else self.judge(call, found, raised=raised)

    def judge(self, call: Call, found: Found, *, raised: bool) -> Remembered | None:
        """Return what is stored for *call* if it is still good."""
        ageing: bool | None = False
        if found[2] is not None:
            ageing = _ageing(found[1], found[2] / MICROSECONDS - self.clock.now(), self)
        if ageing is None:
            return None
        if self.settings.looks_closer and not self._stands(call, found, raised=raised):
            return None
        return Remembered(found[0], raised, ageing, found[1])

    def fetch(self, tail: bytes, *, raised: bool = False) -> Found | None:
        """Return what is stored, good or not; None where there is nothing that can be read."""
        for _ in range(2):
            opened = self.opened()
            if opened is None:
                return None
            try:
                if self.hot is not None and not raised:
                    return self.hot.look(tail, opened) or self.hot.keep(tail, opened)
                return (opened.raised if raised else opened.results).get(tail)
            except StoreClosedError as error:
                self.results.reset()  # the default store is opened again
                failure: ObjcacheError = error
            except ObjcacheError as error:
                failure = error
                break
        self.complaints.about("read", failure)
        return None

    def _stands(self, call: Call, found: Found, *, raised: bool) -> bool:
        """Whether a result is what the settings want of one, beside not being over."""
        opened = self.opened()
        if opened is None:
            return False
        settings = self.settings
        try:
            if settings.strict_args and call.tail.startswith(b"#"):
                form = opened.arguments.get(opened.version + call.tail)
                if form != self.binding.whole(call.bound):
                    return False
            if settings.validate is None:
                return True
            row = self.results.row(call.tail)
        except ObjcacheError as error:
            self.complaints.about("read", error)
            return False
        if row is None or settings.validate is None:
            return False
        key = opened.version + call.tail
        row = {**row, "raised": raised}
        entry = Entry(key, row, self.clock.now(), lambda: found[0], current=True)
        return bool(settings.validate(entry))

    # -- keeping -----------------------------------------------------------------------------

    def picture(self, call: Call) -> Picture:
        """Return what is kept of the arguments of *call*: take it before the function runs."""
        form = None
        if self.settings.strict_args and call.tail.startswith(b"#"):
            form = self.binding.whole(call.bound)
        return Picture(picture_of(self.binding.names, call.bound, self.binding.reads), form)

    def keep(
        self, call: Call, picture: Picture, result: Any, cost_s: float, *, raised: bool = False
    ) -> tuple[Any, bool]:
        """Store a new result, unless it should not be.

        Returns:
            What the caller gets, and whether it is stored.
        """
        kept = self.kept(call, picture, result, cost_s, raised=raised)
        if kept is None or not self.write({call.tail: kept}):
            return result, False
        return (result if kept.given is MISSING else kept.given), True

    def kept(
        self, call: Call, picture: Picture, result: Any, cost_s: float, *, raised: bool = False
    ) -> Kept | None:
        """Return a new result ready to be written; None where it cannot or should not be."""
        wanted = self.settings.cache_if
        if not raised and wanted is not None and not wanted(result):
            return None
        opened = self.opened()
        if opened is None:
            return None
        try:
            kept = self.encoded(opened, call, picture, result, cost_s, raised=raised)
            return kept if self.settings.copy or raised else _viewed(opened, call, kept)
        except ObjcacheError as error:
            self.complaints.about("stored", error)
            return None

    def encoded(
        self,
        opened: Opened,
        call: Call,
        picture: Picture,
        result: Any,
        cost_s: float,
        *,
        raised: bool = False,
        extra: Mapping[str, Any] | None = None,
    ) -> Kept:
        """Return a new result ready to be written.

        Raises:
            EncodeError: it cannot be stored.
        """
        settings = self.settings
        now = opened.place.clock.now()
        deadline_us = over_us = None
        if settings.expire is not None:
            deadline_us = math.ceil((now + settings.expire) * MICROSECONDS)
            over_us = deadline_us + math.ceil(settings.stale * MICROSECONDS)
        cost_us = max(int(cost_s * MICROSECONDS), 0)
        written = Written(now, cost_us, deadline_us, settings.tag, raised)
        records = opened.raised if raised else opened.results
        record = records.encode(
            call.tail, result, cost_us=cost_us, deadline_us=deadline_us, tags=settings.tag
        )
        row = row_of(picture.fields, written, stored_bytes(record))
        row.update(extra or {})
        return Kept(record, row, raised, picture.form, opened.generation, over_us)

    def put(self, call: Call, result: Any) -> None:
        """Store *result* as that of *call*, whatever the function would return.

        Raises:
            ObjcacheError: it was not stored.
        """
        opened = self.results.current()
        kept = self.encoded(opened, call, self.picture(call), result, 0.0)
        self.results.keep({call.tail: kept})
        if self.hot is not None:
            self.hot.drop(call.tail)

    def write(self, kept: Mapping[bytes, Kept]) -> bool:
        """Store results in one transaction; return whether they are stored."""
        if self.hot is not None:
            for tail in kept:
                self.hot.drop(tail)
        try:
            return self.results.keep(kept)
        except (ObjcacheError, OSError) as error:
            self.complaints.about("stored", error)
            return False
        finally:
            if self.results.opened is not None:
                self.results.opened.results.discard_unwritten(one.record for one in kept.values())

    # -- counting ----------------------------------------------------------------------------

    def count_hit(self, cost_us: int = 0) -> None:
        """Count a call that was answered from the store."""
        opened = self.results.opened
        if opened is not None:
            opened.tally[0] += 1
            opened.tally[2] += cost_us

    def count_miss(self) -> None:
        """Count a call that ran the function."""
        opened = self.results.opened
        if opened is not None:
            opened.tally[1] += 1

    # -- checking hits -----------------------------------------------------------------------

    def wants_audit(self) -> bool:
        """Whether this hit is one of the share that is computed again."""
        return bool(self.settings.audit) and self.random() < self.settings.audit

    def audit(self, call: Call, stored: Any, computed: Any) -> None:
        """Tell whether a stored result is what the function returns now.

        Raises:
            AuditError: it is not, and the function is strict.
        """
        digests = _digest_of_result(stored), _digest_of_result(computed)
        if digests[0] != digests[1]:
            pairs = zip(self.binding.names, call.bound, strict=True)
            shown = ", ".join(f"{name}={text_of(value)}" for name, value in pairs)
            error = AuditError(f"{self.name}({shown})", digests[0].hex(), digests[1].hex())
            self.complaints.about("confirmed", error)

    # -- single flight -----------------------------------------------------------------------

    def flights(self) -> Flights | None:
        """Return who else is computing; None where nobody waits for anybody."""
        if not self.settings.single_flight:
            return None
        opened = self.opened()
        if opened is None:
            return None
        # Who has the store's write lock must not wait for one who needs it to store a result.
        if opened.place.in_transaction:
            return None
        return opened.flights

    def flight_key(self, call: Call) -> bytes:
        """Return the key of the computation of *call* among all of the directory."""
        opened = self.results.opened
        mine = (b"", b"") if opened is None else opened.flight
        return digest((*mine, call.tail))

    def begin_refresh(self, call: Call) -> Refreshing | None:
        """Return the right to compute in the background; None where somebody does already."""
        flights = self.flights() or flights_of(None)
        try:
            claim = flights.claim(self.flight_key(call), 0.0)
        except WaitTimeoutError:
            return None
        return Refreshing(self, call, claim) if isinstance(claim, Claim) else None

    def drop(self, call: Call) -> None:
        """Remove a result that is not whole."""
        try:
            self.results.forget(call.tail)
        except (ObjcacheError, OSError) as error:
            self.complaints.about("removed", error)

    def landed(self, call: Call, landed: Landed) -> Any:
        """Return the result of another thread: a copy of the caller's own where it is stored."""
        found = self.fetch(call.tail) if landed.stored else None
        return landed.result if found is None else found[0]


def _viewed(opened: Opened, call: Call, kept: Kept) -> Kept:
    """Return *kept* with the result as later calls get it, if its large arrays have a file."""
    if not names_side_file(kept.record):
        return kept
    # Before it is written: afterwards another process may replace it, and unlink its file.
    try:
        return kept._replace(given=opened.results.decode(call.tail, bytes(kept.record))[0])
    except BaseException:
        opened.results.discard_unwritten([kept.record])
        raise


def _ageing(cost_us: int, left_s: float, recall: Recall) -> bool | None:
    """Return whether a result should be computed anew; None if it is over.

    Args:
        cost_us: of computing it.
        left_s: until its deadline; negative after it.
        recall: whose settings say how early and how late.
    """
    if left_s <= 0:
        return True if -left_s < recall.settings.stale else None
    if not recall.settings.early:
        return False
    # XFetch: Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede
    # Prevention", VLDB 2015: the gap is cost * beta * -log(a number between 0 and 1).
    unlikely = -math.log(1.0 - recall.random())
    return cost_us / MICROSECONDS * recall.settings.early * unlikely >= left_s


class Refreshing:
    """A result that is being computed in the background."""

    __slots__ = ("_call", "_claim", "_recall")

    def __init__(self, recall: Recall, call: Call, claim: Claim) -> None:
        self._recall = recall
        self._call = call
        self._claim = claim

    def begin(self) -> None:
        """Begin, in the thread or task that computes."""
        self._claim.enter()

    def still_wanted(self) -> bool:
        """Whether nobody has computed it between the look and the claim."""
        remembered = self._recall.look(self._call)
        return remembered is None or remembered.ageing

    def end(self) -> None:
        """Let others wait no more."""
        self._claim.release()


def _digest_of_result(result: Any) -> bytes:
    try:
        return digest(result)[:8]
    except ObjcacheError:
        # Values that cannot be keyed can be pickled; equal ones may have several pickles.
        import pickle  # noqa: PLC0415  # for a share of the hits

        return digest(pickle.dumps(result, 5))[:8]
