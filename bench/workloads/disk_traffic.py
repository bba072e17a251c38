"""How much does a commit write to the disk, and by how much do the files grow?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import count
from time import perf_counter_ns, sleep
from typing import Any, Final

from bench._crowd import Answer, Crowd, Errand
from bench._inputs import ENTRIES, KEYS, SEED, VALUES, chosen
from bench._timing import without_gc
from bench.engines import DISK, Engine, Handle
from bench.workloads._workload import (
    Subject,
    Workload,
    file_bytes,
    filled,
    new_directory,
)

__all__ = ["WORKLOADS", "DiskTraffic"]

_SLICE_S: Final = 3
_PER_SECOND: Final = 1000
_FEWER: Final = 20
_IDLE_S: Final = 0.5
_CALLS: Final = "/proc/self/io"
_SECTOR_BYTES: Final = 512  # of the counters of all block devices
_SECTORS_WRITTEN: Final = 6
_OF_COMMITS: Final = ("given_bytes", "written_bytes", "grown_bytes")


class DiskTraffic(Workload):
    """Commits of some entries each, as fast as it goes or at a pace."""

    operations = 1
    needs = DISK
    writes = True
    warm_rounds = 0

    def __init__(self, size: int, per_second: int | None) -> None:
        pace = f"{per_second:,} entries a second" if per_second else "flat out"
        commits = "single commits" if size == 1 else f"commits of {size}"
        self.name = f"disk_{size if per_second else 'flat'}"  # type: ignore[misc]  # several workloads of one class
        self.title = f"disk traffic of {commits}, {pace}"  # type: ignore[misc]
        self.question = (  # type: ignore[misc]
            f"A process opens a store of 10,000 entries and writes over them for {_SLICE_S} s, "
            f"in {commits}, {pace}; then it closes the store, and `sync` flushes the system. "
            "*Given* is what that process gave to `write` and its kin (`wchar` of "
            f"`{_CALLS}`); a page that is written twice before it is flushed counts twice. "
            "*Written* is what reached the block device below the files, by its own counter, with "
            "the journal of the filesystem, and with what others wrote to it meanwhile: the column "
            "*others* is of half a second before each slice, in which nobody here wrote. Only with "
            "`TMPDIR` on a filesystem of its own is that nothing. (`write_bytes` of "
            f"`{_CALLS}` counts a folio of up to megabytes for each page in it.) *Growth* is of the "
            "files at the end, still open, against the start."
        )
        self._size = size
        self._per_second = per_second

    def rounds(self, asked: int) -> int:
        """Return fewer: each takes seconds for each engine, and bytes hardly vary."""
        return max(1, asked // _FEWER)

    def subjects(self, engines: Iterable[Engine], directory: str) -> list[Subject]:
        """Return the rows, or none where the system does not count; they share a process."""
        asked = [engine for engine in engines if self.needs in engine.offers]
        if not asked or not os.path.exists(_CALLS) or not os.path.exists(_device(directory)):
            return []
        crowd = Crowd(1, [engine.name for engine in asked])
        return [self._row(engine, new_directory(directory, engine.name), crowd) for engine in asked]

    def subject(self, engine: Engine, directory: str) -> Subject:
        """Refuse: the rows share their process."""
        raise NotImplementedError

    def _row(self, engine: Engine, directory: str, crowd: Crowd) -> Subject:
        facts: dict[str, list[float]] = {
            name: [] for name in (*_OF_COMMITS, "others_bytes", "file_bytes")
        }

        def measure(round_: int) -> list[int]:
            own = new_directory(directory, f"round{round_}")
            with filled(engine, own):
                pass
            facts["others_bytes"].append(_others_bytes(own))
            work = partial(_write, round_, own, self._size, self._per_second)
            (answer,) = crowd.send(Errand(engine.name, own, work))
            taken: list[int] = answer.result["taken"]
            for name in _OF_COMMITS:
                facts[name].append(answer.result[name] / len(taken))
            facts["file_bytes"].append(answer.result["file_bytes"])
            return taken

        return Subject(engine.name, measure, crowd.close, facts)


def _write(
    round_: int,
    directory: str,
    size: int,
    per_second: int | None,
    handle: Handle,
    _rank: int,
    wait: Callable[[], object],
) -> Answer:
    batches = _batches(round_, size)
    handle.find(KEYS[0])
    wait()
    size_before, given, written = file_bytes(directory), _given_bytes(), _written_bytes(directory)
    clock, taken = perf_counter_ns, []
    began = clock()
    last: Mapping[str, Any] = {}
    with without_gc():
        for number in count():
            if clock() - began > _SLICE_S * 1e9:
                break
            last = next(batches)
            if per_second:
                sleep(max(0.0, number * size / per_second - (clock() - began) / 1e9))
            begun = clock()
            if size == 1:
                handle.put(*next(iter(last.items())))
            else:
                handle.put_many(last)
            taken.append(clock() - begun)
    ended = clock()
    size_after = file_bytes(directory)
    for key, value in last.items():
        assert value == handle.get(key), "a write was lost"
    handle.close()
    given = _given_bytes() - given
    os.sync()
    return Answer(
        began,
        ended,
        {
            "taken": taken,
            "given_bytes": given,
            "written_bytes": _written_bytes(directory) - written,
            "grown_bytes": size_after - size_before,
            "file_bytes": size_after,
        },
    )


def _batches(round_: int, size: int) -> Iterator[dict[str, Any]]:
    for turn in count():
        indexes = chosen(f"{SEED} disk {round_}", turn, ENTRIES)
        for start in range(0, ENTRIES - size + 1, size):
            yield {
                KEYS[index]: VALUES[(index + turn + 1) % ENTRIES]
                for index in indexes[start : start + size]
            }


def _given_bytes() -> int:
    with open(_CALLS, encoding="ascii") as lines:
        return int(dict(line.split(": ") for line in lines)["wchar"])


def _device(directory: str) -> str:
    """Return the file with the counters of the block device that *directory* is on."""
    device = os.stat(directory).st_dev
    return f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat"


def _written_bytes(directory: str) -> int:
    with open(_device(directory), encoding="ascii") as file:
        return int(file.read().split()[_SECTORS_WRITTEN]) * _SECTOR_BYTES


def _others_bytes(directory: str) -> float:
    """Return what others write to the device in a second."""
    os.sync()
    began, before = perf_counter_ns(), _written_bytes(directory)
    sleep(_IDLE_S)
    os.sync()
    return (_written_bytes(directory) - before) * 1e9 / (perf_counter_ns() - began)


WORKLOADS = (
    DiskTraffic(1, None),
    DiskTraffic(1, _PER_SECOND),
    DiskTraffic(10, _PER_SECOND),
    DiskTraffic(100, _PER_SECOND),
)
