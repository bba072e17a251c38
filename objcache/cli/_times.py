"""What `objcache bench` tells: times, ratios and what each of those who were measured promises.

Knows: the terminal. Must not know: how anything was measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from rich.console import Console

from objcache.cli._contestants import DISK, RIVALS, Contestant
from objcache.cli._keys import printable
from objcache.cli._screen import counted, show_table
from objcache.cli._turns import FLUSH, LARGE_BYTES, OPERATIONS, Measured, Summary

__all__ = ["Answer", "Surroundings", "facts_of", "show"]

_UNITS: Final = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"))
_FEW_CALLS: Final = 100


class Surroundings(NamedTuple):
    """Where it was measured.

    Attributes:
        directory: below which.
        filesystem: its type; "" where the system does not tell.
        is_memory: whether that keeps files in memory.
        seconds: asked for.
        took_s: that it took.
        value_bytes: of a pickled value.
        entries: in each store at the beginning.
        batch: entries of one `set_many`.
        timer_ns: that are measured for a call that does nothing.
        cores: of the machine.
        load: processes that wanted a core in the minute before.
    """

    directory: str
    filesystem: str
    is_memory: bool
    seconds: float
    took_s: float
    value_bytes: int
    entries: int
    batch: int
    timer_ns: float
    cores: int
    load: float


class Answer(NamedTuple):
    """All that a run has found.

    Attributes:
        surroundings: where.
        measured: the times.
        contestants: of whom, by name.
        absent: why others were not measured.
    """

    surroundings: Surroundings
    measured: Measured
    contestants: Mapping[str, Contestant]
    absent: Mapping[str, str]

    @property
    def stores(self) -> list[str]:
        """The durabilities that were measured."""
        return [name for name in self.contestants if name not in {*RIVALS, DISK}]

    @property
    def rivals(self) -> list[str]:
        """The rivals that were measured."""
        return [name for name in self.contestants if name in RIVALS]


def facts_of(answer: Answer) -> dict[str, Any]:
    """Return what was found, for JSON; times in nanoseconds for an entry."""
    where, measured = answer.surroundings, answer.measured
    disk = measured.summary("fsync", DISK)
    flush = measured.summary(FLUSH, "checkpoint")
    return {
        **where._asdict(),
        "large_bytes": LARGE_BYTES,
        "engines": {name: one.promise._asdict() for name, one in answer.contestants.items()},
        "absent": dict(answer.absent),
        "disk": disk and disk._asdict(),
        "checkpoint_flush": flush and flush._asdict(),
        "operations": [
            {
                "name": operation.name,
                "durabilities": {
                    name: {**found._asdict(), "ratios": _ratios(answer, operation.name, name)}
                    for name, found in _summaries(answer, operation.name, answer.stores)
                },
                "rivals": {
                    name: found._asdict()
                    for name, found in _summaries(answer, operation.name, answer.rivals)
                },
            }
            for operation in OPERATIONS
            if operation.name != "fsync"
        ],
    }


def _summaries(
    answer: Answer, operation: str, names: Sequence[str]
) -> Iterator[tuple[str, Summary]]:
    for name in names:
        found = answer.measured.summary(operation, name)
        if found is not None:
            yield name, found


def _ratios(answer: Answer, operation: str, name: str) -> dict[str, Any]:
    found = {rival: answer.measured.ratio(operation, name, rival) for rival in answer.rivals}
    return {rival: ratio._asdict() for rival, ratio in found.items() if ratio is not None}


# -- for people ------------------------------------------------------------------------------


def show(output: Console, answer: Answer) -> None:
    """Print tables of times and ratios, and what is needed to read them."""
    where = answer.surroundings
    for name in answer.stores:
        promise = answer.contestants[name].promise
        output.print(f'durability="{name}"', style="bold", end="")
        output.print(f": a killed process loses {promise.killed}, a power cut {promise.power_cut}")
        _show_store(output, answer, name)
        output.print()
    if answer.rivals:
        output.print("the others, median", style="bold")
        rows = [
            (title, *(_median_text(answer, operation, rival) for rival in answer.rivals))
            for operation, title in _titles()
        ]
        show_table(output, ("", *answer.rivals), [row for row in rows if any(row[1:])], right=1)
        output.print()
    _show_promises(output, answer)
    _show_disk(output, answer)
    output.print(
        f"values of {where.value_bytes:,} bytes pickled; {counted(where.entries, 'entry', 'entries')} "
        f"in each store; {where.batch} in one set_many; {where.took_s:.1f} s"
    )
    if answer.stores:
        output.print(f"objcache {answer.contestants[answer.stores[0]].promise.version}")
    output.print(f"the clock itself: {_time_text(where.timer_ns)}, a part of every number")
    if where.load > where.cores / 2:
        output.print(
            f"other programs were busy: in the minute before {where.load:.1f} processes wanted one of "
            f"{counted(where.cores, 'core')}"
        )


def _titles() -> list[tuple[str, str]]:
    return [
        (operation.name, operation.title) for operation in OPERATIONS if operation.name != "fsync"
    ]


def _show_store(output: Console, answer: Answer, name: str) -> None:
    rows = []
    few = False
    for operation, title in _titles():
        found = answer.measured.summary(operation, name)
        if found is None:
            continue
        few = few or found.calls < _FEW_CALLS
        mark = "*" if found.calls < _FEW_CALLS else ""
        ratios = [answer.measured.ratio(operation, name, rival) for rival in answer.rivals]
        rows.append(
            (
                *(title, _time_text(found.median_ns), _time_text(found.p99_ns) + mark),
                _count_text(found.per_second),
                *("" if ratio is None else _ratio_text(ratio.median) for ratio in ratios),
            )
        )
    show_table(output, ("", "median", "p99", "per second", *answer.rivals), rows, right=1)
    if few:
        output.print(f"* of fewer than {_FEW_CALLS} calls, and so near the slowest", style="dim")


def _show_promises(output: Console, answer: Answer) -> None:
    if answer.rivals:
        output.print(
            f"below {', '.join(answer.rivals)}: how many times as long it took them, in the same rounds; "
            "below 1 they were faster"
        )
    for name in answer.rivals:
        promise = answer.contestants[name].promise
        output.print(
            f"{name} {promise.version}: {promise.settings}; a killed process loses {promise.killed}, "
            f"a power cut {promise.power_cut}"
        )
    for name, reason in answer.absent.items():
        output.print(f"{name}: left out, {printable(reason)}")


def _show_disk(output: Console, answer: Answer) -> None:
    where, measured = answer.surroundings, answer.measured
    on = f" on {where.filesystem}" if where.filesystem else ""
    disk, flush = measured.summary("fsync", DISK), measured.summary(FLUSH, "checkpoint")
    if disk is not None:
        output.print(
            f"the disk{on}: one write of 4 KiB and its fsync take {_time_text(disk.median_ns)}, "
            f'p99 {_time_text(disk.p99_ns)}; a transaction of durability="commit" waits for one or two flushes'
        )
    if flush is not None:
        output.print(
            f'what durability="checkpoint" flushes behind its writes took {_time_text(flush.median_ns)} '
            "after each turn, beside the times above"
        )
    if where.is_memory:
        output.print(
            f"{where.filesystem} keeps files in memory: a flush costs nothing there, and a power cut takes "
            "everything; name a DIRECTORY on a disk to measure one",
            style="bold",
        )


def _median_text(answer: Answer, operation: str, name: str) -> str:
    found = answer.measured.summary(operation, name)
    return "" if found is None else _time_text(found.median_ns)


def _time_text(taken_ns: float) -> str:
    for size, unit in _UNITS:
        if taken_ns >= size:
            return f"{_digits(taken_ns / size)} {unit}"
    return f"{taken_ns:.0f} ns"


def _ratio_text(ratio: float) -> str:
    return f"{_digits(ratio)}x"


def _count_text(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else _digits(number)


def _digits(number: float) -> str:
    """Return about three digits of *number*."""
    if number >= 100:
        return f"{number:,.0f}"
    if number < 1:
        return f"{number:.2g}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}"
