"""Writers of a full cache that are killed, and what must be in it whenever that happens.

Values lie in records, in side files and are written as blobs; most are evicted sooner or later, by
whoever writes. So of each key there may be nothing at any time; but never what is older than the
last step that was acknowledged for it, never a part, and never what was deleted.
"""

from __future__ import annotations

import math
import os
import pickle
import threading
import time
import zlib
from typing import Any, NamedTuple

from objcache import Cache
from tests.crash.supervisor import Supervisor, Writer

LIMIT_BYTES = 4 << 20
KEYS = 40
SIZES = (30, 3_000, 14_000, 20_000, 50_000, 150_000)
KINDS = ("set", "blob", "buffer", "progress", "many", "blob", "delete", "set", "touch")


class Step(NamedTuple):
    """What one step of a lane does."""

    kind: str
    number: int
    keys: tuple[int, ...]


def step_of(seed: int, lane: str, number: int) -> Step:
    """Return step *number* of *lane*."""
    chance = zlib.crc32(f"{seed}/{lane}/{number}".encode())
    kind = KINDS[number % len(KINDS)]
    keys = tuple((chance + 7 * part) % KEYS for part in range(3 if kind == "many" else 1))
    return Step(kind, number, () if kind == "progress" else keys)


def content_of(lane: str, number: int) -> bytes:
    """Return what step *number* of *lane* stores."""
    size = SIZES[zlib.crc32(f"{lane} {number}".encode()) % len(SIZES)]
    line = b"%d of %s, " % (number, lane.encode())
    return line * (size // len(line) + 1) + b"end"


def take_step(cache: Any, lane: str, step: Step) -> None:
    """Do *step* to *cache*."""
    content = content_of(lane, step.number)
    if step.kind == "progress":
        cache.namespace("progress")[lane] = step.number
    elif step.kind == "many":
        cache.set_many({(lane, key): content for key in step.keys}, tag=lane)
    elif step.kind == "delete":
        cache.delete((lane, step.keys[0]))
    elif step.kind == "touch":
        cache.touch((lane, step.keys[0]), expire=1_000_000)
    elif step.kind == "blob":
        with cache.open_blob((lane, step.keys[0]), "wb", expire=1_000_000) as blob:
            for start in range(0, len(content), 40_000):
                blob.write(content[start : start + 40_000])
    else:
        value = pickle.PickleBuffer(content) if step.kind == "buffer" else content
        cache.set((lane, step.keys[0]), value, tag=(lane, step.kind))


def write(cache: Any, seed: int, firsts: dict[str, int], lie_at: int) -> None:
    """Take the steps of each lane for ever; tell of each, from *lie_at* on of some too early."""

    def run(lane: str, number: int) -> None:
        while True:
            step = step_of(seed, lane, number)
            begun = time.monotonic()
            if not (0 < lie_at <= number and step.kind in {"set", "delete"}):
                take_step(cache, lane, step)
            os.write(1, f"{lane} {number} {begun} {time.monotonic()}\n".encode())
            number += 1

    threads = [threading.Thread(target=run, args=first) for first in firsts.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


WRITER = f"""
    import json
    from objcache import Cache
    from tests.crash.cache_writers import write
    seed, firsts, lie, lie_at = json.loads(sys.argv[3])
    options = json.loads(sys.argv[2])
    # Small buffers: a blob of 50 KB goes into its file in two pieces.
    from objcache.store import blobs
    blobs.PIECE_BYTES = 1 << 15
    cache = Cache(path, size_limit={LIMIT_BYTES}, secret=SECRET, **options)
    write(cache, seed, firsts, lie_at if lie else 0)
"""


class CacheSupervisor(Supervisor):
    """Starts writers of a cache, kills some of them, and compares the cache with what was promised."""

    writer = WRITER
    _store: Cache[Any, Any]

    def prepare(self) -> None:
        """Nothing need be there."""
        self._last: dict[str, tuple[int, dict[int, Step], int]] = {}

    def side_files(self) -> int:
        """Return how many side files the cache says it has."""
        return self._store._store.stats().side_files

    def _await_steps(self, writers: list[Writer], count: int, since: float) -> None:
        """Return once *writers* have begun and ended *count* steps a lane, taken together.

        Not each of them: two threads of one process that write without a pause, and flush each
        commit, keep the mutex of lmdb from the other processes for as long as they like.
        """
        lanes = {lane.name for writer in writers for lane in writer.lanes}
        wanted = count * len(lanes)
        self._first_end_s = math.inf
        while wanted > 0:
            for key, _ in self._selector.select(self._pack.time_left_s()):
                for lane, begun, ended in self._take(key.data):
                    if ended > since:
                        self._first_end_s = min(self._first_end_s, ended)
                    wanted -= lane in lanes and begun >= since

    def compare(self, ended: list[Writer]) -> None:
        """Compare the cache with what every lane was told, at one moment."""
        cache = self._store
        self._pump(0)
        lanes = [lane for writer in self._writers for lane in writer.lanes]
        # What runs may be further by any number of steps, what was killed by one.
        acknowledged = {lane.name: lane.acknowledged for lane in lanes}
        with cache.transaction():
            found = dict(cache.items())
            progress = dict(cache.namespace("progress").items())
            stats = cache._store.stats()
            # While others wrote, the file would grow by all that the snapshots of checks keep, and
            # in a file that has once grown to the limit there is no room beside it.
            reports = [
                checked.check() for checked in (cache, cache.namespace("progress"), cache._store)
            ]
        if len(ended) == len(self._writers):
            reports.append(cache._store.check())  # collects what belongs to nobody
        for report in reports:
            assert () == report.problems
        for (name, key), value in found.items():
            self._compare_entry(name, key, bytes(value), acknowledged[name])
        for lane in lanes:
            _, _, told = self._promised(lane.name, lane.acknowledged)

            assert progress.get(lane.name, 0) >= told, lane.name
        assert stats.file_bytes + stats.side_file_bytes <= LIMIT_BYTES, stats

    def _compare_entry(self, name: str, key: int, value: bytes, acknowledged: int) -> None:
        number = int(value.partition(b" ")[0])
        _, steps, _ = self._promised(name, acknowledged)
        last = steps.get(key)

        assert content_of(name, number) == value, (name, key, "a part of a value")
        assert key in step_of(self._seed, name, number).keys
        if last is not None:
            # A step that was cut off is taken again: it may be there before it is told.
            assert number > last.number or (number == last.number and last.kind != "delete"), (
                f"lane {name}, key {key}: step {number}, though {last} was acknowledged"
            )

    def _promised(self, name: str, acknowledged: int) -> tuple[int, dict[int, Step], int]:
        """Return the last step of each key of a lane, and its last progress, up to a step."""
        done, steps, progress = self._last.get(name, (0, {}, 0))
        while done < acknowledged:
            done += 1
            step = step_of(self._seed, name, done)
            if step.kind == "progress":
                progress = done
            elif step.kind != "touch":
                steps.update(dict.fromkeys(step.keys, step))
        self._last[name] = done, steps, progress
        return self._last[name]
