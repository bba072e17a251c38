"""Writers that are killed, and what must be in the store whenever that happens.

A *lane* is one thread of one writer. What its step number n does is a function of seed, lane and
n alone, and it acknowledges each step through a pipe once the store has committed it. So after a
kill the entries of a lane must be exactly those of the steps that it acknowledged, or of one step
more; and the counters that all lanes share must be the sum of that.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import pickle
import random
import selectors
import signal
import threading
import time
import zlib
from typing import Any, NamedTuple

from objcache import Store

COUNTERS = ("transactions", "updates")
KEPT = 16  # steps until a record is deleted, a multiple of the kinds
SIZES = (3, 40, 700, 5_000, 30_000)
ASIDE_BYTES = 4096
KINDS = ("transaction", "put", "transaction", "update", "batch", "transaction", "delete", "nested")


class Step(NamedTuple):
    """What one step of a lane does."""

    kind: str
    lane: str
    number: int
    text: str
    category: int


def step_of(seed: int, lane: str, number: int) -> Step:
    """Return step *number* of *lane*."""
    chance = zlib.crc32(f"{seed}/{lane}/{number}".encode())
    text = f"{number}:" + "x" * SIZES[chance % len(SIZES)]
    return Step(KINDS[number % len(KINDS)], lane, number, text, chance // 256 % 4)


# -- what a step does to the model ---------------------------------------------------------------


def model_after(model: dict[Any, Any], seed: int, lane: str, number: int) -> None:
    """Change *model*, the entries of *lane* by namespace and key, as step *number* does."""
    step = step_of(seed, lane, number)
    if step.kind in {"transaction", "nested"}:
        model["", ("record", lane, number)] = step.text
        model["index", (step.category, lane, number)] = number
        model["", ("last", lane)] = number
        model["halves/left", lane] = number
        model["halves/right", lane] = -number
        old = step_of(seed, lane, number - KEPT)
        model.pop(("", ("record", lane, old.number)), None)
        model.pop(("index", (old.category, lane, old.number)), None)
    elif step.kind == "put":
        model["", ("put", lane, number % 5)] = step.text
    elif step.kind == "update":
        model["", ("updated", lane)] = number
    elif step.kind == "batch":
        for part in range(4):
            model["batches", (lane, part)] = number
    else:
        model.pop(("", ("put", lane, (number + 3) % 5)), None)


# -- what it does to the store -------------------------------------------------------------------


def stored(text: str) -> Any:
    """Return how *text* is stored: longer ones as a buffer, which lies in a side file."""
    return pickle.PickleBuffer(text.encode()) if len(text) >= ASIDE_BYTES else text


def take_step(store: Store[Any, Any], step: Step, *, leave_out_index: bool = False) -> None:
    """Do *step* to *store*; the counters of all lanes grow in the same commits."""
    lane, number = step.lane, step.number
    if step.kind in {"transaction", "nested"}:
        with store.transaction() as transaction:
            if step.kind == "nested":
                _fail_inside(transaction, lane)
            transaction["record", lane, number] = stored(step.text)
            if not leave_out_index:
                transaction.namespace("index")[step.category, lane, number] = number
            transaction["last", lane] = number
            halves = transaction.namespace("halves")
            halves.namespace("left")[lane] = number
            halves.namespace("right")[lane] = -number
            if transaction.pop(("record", lane, number - KEPT), None) is not None:
                index = transaction.namespace("index")
                for category in range(4):
                    index.pop((category, lane, number - KEPT), None)
            transaction["transactions"] += 1
    elif step.kind == "put":
        store["put", lane, number % 5] = stored(step.text)
    elif step.kind == "update":
        with store.transaction():
            store.update_with(("updated", lane), lambda _: number, default=0)
            store.update_with("updates", lambda count: count + 1)
    elif step.kind == "batch":
        store.namespace("batches").set_many({(lane, part): number for part in range(4)})
    else:
        store.pop(("put", lane, (number + 3) % 5), None)


def _fail_inside(transaction: Any, lane: str) -> None:
    """Begin a nested transaction that changes much, and roll it back."""
    with contextlib.suppress(ZeroDivisionError), transaction.transaction() as inner:
        inner["last", lane] = "never seen"
        inner.namespace("batches").clear()
        raise ZeroDivisionError


def write(store: Store[Any, Any], seed: int, firsts: dict[str, int], lie: str, lie_at: int) -> None:
    """Take the steps of each lane for ever, each lane in a thread of its own.

    Args:
        store: where to.
        seed: makes the steps.
        firsts: the number of the first step of each lane.
        lie: a fault that a checker must find: "skip" acknowledges a step that was not taken,
            "half" leaves the index row out of one.
        lie_at: from which step on it lies.
    """
    # In earnest they begin at 256 KiB. This process does nothing else.
    assembly = store._records._assembly
    assembly._aside_bytes = ASIDE_BYTES, assembly._aside_bytes[1]

    def run(lane: str, number: int) -> None:
        while True:
            step = step_of(seed, lane, number)
            lies = bool(lie) and number >= lie_at and step.kind == "transaction"
            begun = time.monotonic()
            if not (lies and lie == "skip"):
                take_step(store, step, leave_out_index=lies and lie == "half")
            ended = time.monotonic()
            # One write below PIPE_BUF: a kill never leaves half a line.
            os.write(1, f"{lane} {number} {begun} {ended}\n".encode())
            number += 1

    threads = [threading.Thread(target=run, args=first) for first in firsts.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


WRITER = """
    import json
    from tests.crash.supervisor import write
    seed, firsts, lie, lie_at = json.loads(sys.argv[3])
    store = open_store(**json.loads(sys.argv[2]))
    write(store, seed, firsts, lie, lie_at)
"""


# -- the supervisor ------------------------------------------------------------------------------


class Lane:
    """What the supervisor knows of one lane."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.acknowledged = 0
        self.model: dict[Any, Any] = {}
        self.modelled = 0
        self.transactions = 0
        self.updates = 0

    def advance(self, seed: int) -> None:
        """Take one step in the model."""
        self.modelled += 1
        kind = step_of(seed, self.name, self.modelled).kind
        self.transactions += kind in {"transaction", "nested"}
        self.updates += kind == "update"
        model_after(self.model, seed, self.name, self.modelled)


class Writer:
    """One process with its lanes."""

    def __init__(self, lanes: list[Lane]) -> None:
        self.lanes = lanes
        self.process: Any = None
        self.left_over = b""


class Supervisor:
    """Starts writers, kills some of them at random moments, and compares store and models.

    Attributes:
        writer: what a writer runs.
    """

    writer = WRITER

    def __init__(
        self,
        pack: Any,
        store: Store[Any, Any],
        options: dict[str, Any],
        *,
        seed: int,
        processes: int = 3,
        threads: int = 2,
        lie: str = "",
    ) -> None:
        self._pack = pack
        self._store = store
        self._options = options
        self._seed = seed
        self._chance = random.Random(seed)
        self._lie = lie
        self._selector = selectors.DefaultSelector()
        self._writers = [
            Writer([Lane(f"{number}.{thread}") for thread in range(threads)])
            for number in range(processes)
        ]
        # From a kill to the next commit of any survivor. What one of them waits is no measure:
        # the mutex of lmdb is not fair, with or without kills.
        self.longest_gap_s = 0.0
        self._first_end_s = math.inf
        self.kills = 0
        self._started_at = time.monotonic()
        self.prepare()
        for writer in self._writers:
            self._start(writer)

    def prepare(self) -> None:
        """Write what must be there before the first writer starts."""
        for counter in COUNTERS:
            self._store.setdefault(counter, 0)

    @property
    def acknowledged(self) -> int:
        """How many steps were acknowledged."""
        return sum(lane.acknowledged for writer in self._writers for lane in writer.lanes)

    def round(self) -> None:
        """Kill one writer or more at a random moment; all that was promised must be true."""
        chance = self._chance
        if chance.random() < 0.8:
            # Otherwise a kill may meet writers that are just opening the store.
            self._await_steps(self._writers, 1, self._started_at)
        self._pump(chance.expovariate(1 / 0.02))
        victims = chance.sample(self._writers, chance.choice((1, 1, 1, 2, len(self._writers))))
        for victim in victims:
            victim.process.send_signal(signal.SIGKILL)
        killed_at = time.monotonic()
        for victim in victims:
            self._drain(victim)
        survivors = [writer for writer in self._writers if writer not in victims]
        self._await_steps(survivors, 3, killed_at)
        if survivors:
            self.longest_gap_s = max(self.longest_gap_s, self._first_end_s - killed_at)
        self.compare(victims)
        self._started_at = time.monotonic()
        for victim in victims:
            self._start(victim)
        self.kills += len(victims)

    def compare(self, ended: list[Writer]) -> None:
        """Compare the store with the models of all lanes, at one moment.

        Args:
            ended: the writers that are dead; the others go on meanwhile.
        """
        with self._store.transaction():
            # Who is killed between its last write and the end of its commit has committed; but
            # lmdb's readers learn it only when the next writer has taken over the mutex.
            pass
        self._pump(0)
        lanes = [lane for writer in self._writers for lane in writer.lanes]
        least = {lane.name: lane.acknowledged for lane in lanes}
        with self._store.snapshot() as snapshot:
            found = entries_by_lane(snapshot)
            counters = {name: snapshot[name] for name in COUNTERS}
        for lane in lanes:
            self._catch_up(lane, found.pop(lane.name, {}), least[lane.name])
        report = self._store.check()

        assert {} == found, "entries of no lane"
        for name in COUNTERS:
            counted = {lane.name: getattr(lane, name) for lane in lanes}

            assert sum(counted.values()) == counters[name], (name, counters[name], counted)
        assert (True, ()) == (report.ok, report.problems)
        # What runs had acknowledged nothing of what we have not seen before the snapshot.
        for writer in self._writers:
            if writer not in ended:
                continue
            for lane in writer.lanes:
                assert lane.modelled - lane.acknowledged in {0, 1}, lane.name
                lane.acknowledged = lane.modelled

    def kill_all(self) -> None:
        """End every writer, and compare for the last time."""
        for writer in self._writers:
            writer.process.send_signal(signal.SIGKILL)
        for writer in self._writers:
            self._drain(writer)
        self.compare(self._writers)
        self._selector.close()
        self._store.sync()
        left = len(os.listdir(os.path.join(self._store.directory, "blobs")))

        # The last comparison has collected what belongs to nobody, the flush what was dropped.
        assert self.side_files() == left > 0, (self.side_files(), left)

    def side_files(self) -> int:
        """Return how many side files the store says it has."""
        return self._store.stats().side_files

    def _catch_up(self, lane: Lane, found: dict[Any, Any], least: int) -> None:
        """Take the model of *lane* to the step of which *found* are the entries."""
        agree_on_index(found)
        newest = max([least, lane.modelled, *map(_number_in, found.values())])
        while lane.modelled < newest:
            lane.advance(self._seed)
        # A step that only deletes leaves no number: the store may be one further.
        for _ in range(2):
            if lane.model == found:
                return
            lane.advance(self._seed)
        missing = sorted(map(repr, lane.model.items() - found.items()))
        extra = sorted(map(repr, found.items() - lane.model.items()))
        raise AssertionError(
            f"seed {self._seed}, lane {lane.name}, {least} steps acknowledged, about {newest} "
            f"found: missing {_short(missing)}, extra {_short(extra)}"
        )

    def _start(self, writer: Writer) -> None:
        firsts = {lane.name: lane.acknowledged + 1 for lane in writer.lanes}
        work = [self._seed, firsts, self._lie, self._chance.randrange(20, 60)]
        writer.process = self._pack.start(
            self.writer,
            self._store.directory,
            json.dumps(self._options),
            json.dumps(work),
            talks=True,
        )
        output = writer.process.stdout.fileno()
        os.set_blocking(output, False)
        # A small pipe: while the supervisor compares, the writers cannot run far ahead.
        with contextlib.suppress(OSError):  # it has written more already
            fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, 4096)
        writer.left_over = b""
        self._selector.register(writer.process.stdout, selectors.EVENT_READ, writer)

    def _pump(self, duration_s: float) -> None:
        """Take acknowledgements for *duration_s* seconds, and all that wait already."""
        until = time.monotonic() + duration_s
        while True:
            ready = self._selector.select(max(0.0, until - time.monotonic()))
            for key, _ in ready:
                self._take(key.data)
            if time.monotonic() >= until:
                return

    def _await_steps(self, writers: list[Writer], count: int, since: float) -> None:
        """Return once each lane of *writers* has begun and ended *count* steps after *since*."""
        waiting = {lane.name: count for writer in writers for lane in writer.lanes}
        self._first_end_s = math.inf
        while waiting:
            for key, _ in self._selector.select(self._pack.time_left_s()):
                for lane, begun, ended in self._take(key.data):
                    if ended > since:
                        self._first_end_s = min(self._first_end_s, ended)
                    if lane in waiting and begun >= since:
                        waiting[lane] -= 1
                        if not waiting[lane]:
                            del waiting[lane]

    def _take(self, writer: Writer) -> list[tuple[str, float, float]]:
        """Take the acknowledgements that wait in the pipe of *writer*."""
        chunk = os.read(writer.process.stdout.fileno(), 1 << 16)
        assert chunk, f"a writer ended by itself: {self._pack.errors(writer.process)}"
        return self._understand(writer, chunk)

    def _understand(self, writer: Writer, chunk: bytes) -> list[tuple[str, float, float]]:
        *lines, writer.left_over = (writer.left_over + chunk).split(b"\n")
        steps = []
        lanes = {lane.name: lane for lane in writer.lanes}
        for line in lines:
            name, number, begun, ended = line.decode().split()
            lanes[name].acknowledged = int(number)
            steps.append((name, float(begun), float(ended)))
        return steps

    def _drain(self, writer: Writer) -> None:
        """Take what a killed writer has still said, to the last line."""
        writer.process.wait()
        self._selector.unregister(writer.process.stdout)
        while chunk := os.read(writer.process.stdout.fileno(), 1 << 16):
            self._understand(writer, chunk)
        writer.process.stdout.close()

        assert b"" == writer.left_over
        assert "" == self._pack.errors(writer.process)


def entries_by_lane(snapshot: Any) -> dict[str, dict[Any, Any]]:
    """Return the entries of each lane, by namespace and key."""
    found: dict[str, dict[Any, Any]] = {}

    def add(space: str, key: Any, lane: str, value: Any) -> None:
        text = value if isinstance(value, str | int) else bytes(value).decode()
        found.setdefault(lane, {})[space, key] = text

    for key, value in snapshot.items():
        if key not in COUNTERS:
            add("", key, key[1], value)
    for key, value in snapshot.namespace("index").items():
        add("index", key, key[1], value)
    for key, value in snapshot.namespace("batches").items():
        add("batches", key, key[0], value)
    for half in ("left", "right"):
        for key, value in snapshot.namespace("halves", half).items():
            add(f"halves/{half}", key, key, value)
    return found


def agree_on_index(found: dict[Any, Any]) -> None:
    """Each record has its row in the index, and each row its record."""
    records = {(key[1], key[2]) for space, key in found if space == "" and key[0] == "record"}
    rows = {(key[1], key[2]) for space, key in found if space == "index"}

    assert records == rows, "index and records disagree"


def _number_in(value: Any) -> int:
    return abs(value) if isinstance(value, int) else int(str(value).partition(":")[0])


def _short(texts: list[str]) -> list[str]:
    return [text[:90] for text in texts[:6]]
