"""How `objcache bench` measures: all who do one thing take turns at it, in small slices.

Knows: operations, values and the clock. Must not know: how those who are measured do it.
"""

from __future__ import annotations

import gc
import pickle
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from statistics import median, quantiles
from typing import Any, Final, NamedTuple

from objcache.cli._contestants import RIVALS, Contestant, OpenError, open_contestant
from objcache.clock import SYSTEM_CLOCK, nanoseconds
from objcache.errors import InternalError

__all__ = [
    "FLUSH",
    "LARGE_BYTES",
    "OPERATIONS",
    "Measured",
    "Operation",
    "Ratio",
    "Summary",
    "Turns",
    "entries_of",
    "pickled_bytes",
    "timer_cost_ns",
]

LARGE_BYTES: Final = 1_000_000
FLUSH: Final = "flush"
_SEED: Final = 20_090_117
_FEWEST_ROUNDS: Final = 20
# Each single time is kept until the end, for the percentiles.
_MOST_ROUNDS: Final = 200
_ROUNDS_PER_SECOND: Final = 2
_FEWEST_CALLS: Final = 3
_MOST_IN_BATCH: Final = 100
_NUMBERS: Final = 50
_MOST_ENTRIES: Final = 1000
_FEWEST_ENTRIES: Final = 20
# What one store holds at the beginning, and what sets of new keys and batches add to it.
_HELD_BYTES: Final = 4 << 20
_LARGE_KEYS: Final = 4

Arguments = Sequence[tuple[Any, ...]]


class Operation(NamedTuple):
    """One thing that is measured.

    Attributes:
        name: of it, in JSON and among the calls of a contestant.
        title: as people read it.
        writes: whether it changes anything.
        most: how many calls a turn has at most; their arguments are in memory.
    """

    name: str
    title: str
    writes: bool = False
    most: int = 500


OPERATIONS: Final = (
    Operation("get", "get"),
    Operation("get_missing", "get of a missing key"),
    Operation("set_new", "set of a new key", writes=True),
    Operation("set_over", "set over an entry", writes=True),
    Operation("set_many", "set_many, each entry", writes=True, most=20),
    Operation("memo_hit", "memoized function, a hit"),
    Operation("cache_get", "Cache.get"),
    Operation("cache_set", "Cache.set, with expire", writes=True),
    Operation("large_set", "set of 1 MB", writes=True, most=8),
    Operation("large_get", "get of 1 MB", most=100),
    Operation("fsync", "write and fsync of 4 KiB", writes=True),
)


class Summary(NamedTuple):
    """How long one thing took one who did it; nothing is subtracted.

    Attributes:
        calls: that were timed.
        rounds: in which they were.
        median_ns: of an entry.
        p99_ns: interpolated between neighbours; of fewer than 100 calls it is near the slowest.
        per_second: entries that were done in a second of these calls.
    """

    calls: int
    rounds: int
    median_ns: float
    p99_ns: float
    per_second: float


class Ratio(NamedTuple):
    """How many times the time of another one is of the own: the ratios of single rounds.

    Attributes:
        median: of the rounds.
        q1: a quarter of the rounds lies below.
        q3: a quarter lies above.
    """

    median: float
    q1: float
    q3: float


class Measured:
    """The times of all, by operation and name, in nanoseconds for an entry."""

    def __init__(self) -> None:
        self._rounds: dict[tuple[str, str], dict[int, list[float]]] = {}

    def add(self, operation: str, name: str, round_: int, taken_ns: list[float]) -> None:
        """Keep what was measured in one turn."""
        self._rounds.setdefault((operation, name), {}).setdefault(round_, []).extend(taken_ns)

    def has(self, operation: str, name: str) -> bool:
        """Whether anything was measured."""
        return (operation, name) in self._rounds

    def summary(self, operation: str, name: str) -> Summary | None:
        """Return the summary of all rounds; None where there are none."""
        rounds = self._rounds.get((operation, name))
        if not rounds:
            return None
        taken = [one for each in rounds.values() for one in each]
        p99 = taken[0] if len(taken) == 1 else quantiles(taken, n=100, method="inclusive")[98]
        per_second = len(taken) / max(sum(taken), 1) * 1e9
        return Summary(len(taken), len(rounds), median(taken), p99, per_second)

    def ratio(self, operation: str, name: str, rival: str) -> Ratio | None:
        """Return the time of *rival* in times of *name*; None where one of them has none."""
        own = self._rounds.get((operation, name), {})
        theirs = self._rounds.get((operation, rival), {})
        ratios = [
            median(theirs[round_]) / max(median(taken), 1)
            for round_, taken in own.items()
            if round_ in theirs
        ]
        if not ratios:
            return None
        if len(ratios) == 1:
            return Ratio(ratios[0], ratios[0], ratios[0])
        q1, middle, q3 = quantiles(ratios, n=4, method="inclusive")
        return Ratio(middle, q1, q3)


class Turns:
    """One run: opens all who are measured, and lets them take turns until the time is over.

    Args:
        directory: where; closed, and to be removed by the caller.
        value_bytes: of a pickled value, about.
        stop: called between slices; raises to end the run.

    Attributes:
        batch: how many entries one `set_many` stores.
        contestants: those who are measured, by name.
        absent: why rivals are not.
        measured: what was.
    """

    def __init__(self, directory: str, value_bytes: int, stop: Callable[[], None]) -> None:
        self._directory = directory
        self._value_bytes = value_bytes
        self._stop = stop
        self._entries = entries_of(value_bytes)
        self._most_new = max(_HELD_BYTES // value_bytes, _MOST_IN_BATCH)
        self.batch = min(_MOST_IN_BATCH, self._entries)
        self._new: Counter[str] = Counter()
        self._cost_ns: dict[tuple[str, str], float] = {}
        self._stacks: list[ExitStack] = []
        self.contestants: dict[str, Contestant] = {}
        self.absent: dict[str, str] = {}
        self.measured = Measured()

    def close(self) -> None:
        """Close all who are measured."""
        for stack in reversed(self._stacks):
            with suppress(Exception):  # a rival that was broken off; the files are to be removed
                stack.close()

    def run(self, names: Iterable[str], seconds: float, advance: Callable[[float], None]) -> None:
        """Open and measure *names* for about *seconds*: each for one round at least, 200 at most.

        Raises:
            ObjcacheError, OSError: objcache, or the disk, fails.
        """
        began = SYSTEM_CLOCK.monotonic()
        for name in names:
            self._stop()
            self._open(name)

        def part() -> float:
            self._stop()
            return (SYSTEM_CLOCK.monotonic() - began) / seconds

        # The first round warms caches, and tells how long a call takes; it is not kept.
        rounds = round(seconds * _ROUNDS_PER_SECOND)
        rounds = min(max(rounds, _FEWEST_ROUNDS), _MOST_ROUNDS)
        for round_ in range(-1, rounds):
            for number, operation in enumerate(OPERATIONS):
                done = part()
                advance(done)
                if round_ > 0 and done >= 1:
                    return
                left = (rounds - max(round_, 0)) * len(OPERATIONS) - number
                self._group(operation, round_, max(1 - done, 0) * seconds * 1e9 / left)
        self._stop()

    def _open(self, name: str) -> None:
        stack = ExitStack()
        self._stacks.append(stack)
        try:
            contestant = open_contestant(name, self._directory, stack)
            self._fill(contestant)
        except OpenError as error:  # of rivals only
            self.absent[name] = str(error)
        except Exception as error:  # noqa: BLE001  # raised, or told, by `_leave_out`
            self._leave_out(name, error)
        else:
            self.contestants[name] = contestant

    def _leave_out(self, name: str, error: Exception) -> None:
        """Go on without a rival that has failed; objcache must not."""
        if name not in RIVALS:
            raise error
        self.contestants.pop(name, None)
        self.absent[name] = f"{type(error).__name__}: {error}"

    def _fill(self, contestant: Contestant) -> None:
        """Store what the operations expect."""
        source = random.Random(_SEED)  # noqa: S311  # values, no secrets
        entries = {
            _key(number): _value(source, self._value_bytes) for number in range(self._entries)
        }
        large = {_large_key(number): source.randbytes(LARGE_BYTES) for number in range(_LARGE_KEYS)}
        for call, given in (
            *(("fill", entries), ("fill", large)),
            *(("fill_cache", entries), ("fill_memo", range(_NUMBERS))),
        ):
            if call in contestant.calls:
                contestant.calls[call](given)
            self._stop()
        for key, value in (*list(entries.items())[:1], *list(large.items())[:1]):
            if "get" in contestant.calls and contestant.calls["get"](key) != value:
                raise InternalError(f"{contestant.name} gives back another value than it was given")

    # -- one operation -----------------------------------------------------------------------

    def _group(self, operation: Operation, round_: int, share_ns: float) -> None:
        """Let all who do *operation* take their turns, in an order of chance.

        Args:
            operation: which.
            round_: its number; below 0 it is not kept.
            share_ns: how long all turns together may take.
        """
        order = [one for one in self.contestants.values() if operation.name in one.calls]
        random.Random(f"{operation.name} {round_}").shuffle(order)  # noqa: S311
        for contestant in order:
            self._stop()
            count = self._count(contestant.name, operation, share_ns / len(order))
            if not count:
                continue
            try:
                self._turn(contestant, operation, round_, count)
            except Exception as error:  # noqa: BLE001  # raised, or told, by `_leave_out`
                self._leave_out(contestant.name, error)

    def _count(self, name: str, operation: Operation, share_ns: float) -> int:
        """Return how many calls a turn has: as many as *share_ns* lets it, by the turn before."""
        cost_ns = self._cost_ns.get((operation.name, name))
        count = _FEWEST_CALLS if cost_ns is None else round(share_ns / cost_ns)
        count = min(max(count, _FEWEST_CALLS), operation.most)
        return (
            min(count, self._most_new - self._new[name]) if operation.name == "set_new" else count
        )

    def _turn(self, contestant: Contestant, operation: Operation, round_: int, count: int) -> None:
        began = nanoseconds()
        # The same for all, and made anew for each: nothing of a value is known from others' turns.
        arguments = self._arguments(operation, round_, count, self._new[contestant.name])
        if operation.name == "set_new":
            self._new[contestant.name] += count
        taken = _timed(contestant.calls[operation.name], arguments)
        self._cost_ns[operation.name, contestant.name] = (nanoseconds() - began) / count
        if round_ >= 0:
            entries = self.batch if operation.name == "set_many" else 1
            each = [one / entries for one in taken]
            self.measured.add(operation.name, contestant.name, round_, each)
        if operation.writes and contestant.settle is not None:
            flushed = _timed(contestant.settle, [(operation.name,)])
            if round_ >= 0:
                self.measured.add(FLUSH, contestant.name, round_, [float(one) for one in flushed])

    def _arguments(self, operation: Operation, round_: int, count: int, new: int) -> Arguments:
        """Return the arguments of *count* calls: who has fewer has the first of them.

        Args:
            operation: which.
            round_: its number.
            count: how many.
            new: how many new keys the contestant has had.
        """
        name, size = operation.name, self._value_bytes
        source = random.Random(f"{_SEED} {name} {round_}")  # noqa: S311
        of_keys = random.Random(f"{_SEED} {name} {round_} keys")  # noqa: S311
        keys = [_key(of_keys.randrange(self._entries)) for _ in range(count)]
        if name in {"get", "cache_get"}:
            return [(key,) for key in keys]
        if name == "get_missing":
            return [(f"{key}/absent",) for key in keys]
        if name == "memo_hit":
            return [(source.randrange(_NUMBERS),) for _ in range(count)]
        if name == "large_get":
            return [(_large_key(source.randrange(_LARGE_KEYS)),) for _ in range(count)]
        if name == "large_set":
            return [
                (_large_key(number % _LARGE_KEYS), source.randbytes(LARGE_BYTES))
                for number in range(count)
            ]
        if name == "fsync":
            return [(number, source.randbytes(4096)) for number in range(count)]
        if name == "set_many":
            return [
                ({_key(number): _value(source, size) for number in range(self.batch)},)
                for _ in range(count)
            ]
        if name == "set_new":
            keys = [f"new/{new + number:08d}" for number in range(count)]
        return [(key, _value(source, size)) for key in keys]


def entries_of(value_bytes: int) -> int:
    """Return how many entries a store holds at the beginning."""
    return min(max(_HELD_BYTES // value_bytes, _FEWEST_ENTRIES), _MOST_ENTRIES)


def pickled_bytes(value_bytes: int) -> int:
    """Return the size of the pickle of a value that is asked to have *value_bytes*."""
    return len(pickle.dumps(_value(random.Random(_SEED), value_bytes), 5))  # noqa: S311


def _key(number: int) -> str:
    return f"user/{number:06d}/profile"


def _large_key(number: int) -> str:
    return f"large/{number}"


_FIELDS_BYTES: Final = 96


def _value(source: random.Random, size_bytes: int) -> Any:
    """Return a record with a text that makes its pickle about so large; small ones are the text."""
    if size_bytes <= _FIELDS_BYTES:
        return source.randbytes(size_bytes).hex()[:size_bytes]
    return {
        "id": source.randrange(1 << 40),
        "score": source.random(),
        "visits": source.randrange(1000),
        "active": source.random() < 0.5,
        "text": source.randbytes(size_bytes).hex()[: size_bytes - _FIELDS_BYTES],
    }


def _timed(call: Callable[..., object], arguments: Arguments) -> list[int]:
    """Return the nanoseconds of each `call(*arguments)`."""
    clock = nanoseconds
    taken: list[int] = []
    append = taken.append
    with _without_gc():
        for given in arguments:
            begun = clock()
            call(*given)
            append(clock() - begun)
    return taken


@contextmanager
def _without_gc() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def timer_cost_ns() -> float:
    """Return what is measured for a call that does nothing: a part of every number."""
    return median(_timed(callable, [(None,)] * 10_000))
