"""What the recorded processes do: `python -m tests.crash.workloads`, run under the recorder.

Knows: writers, kills. Must not know: images.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import random
import shutil
import signal
import threading
from collections.abc import Callable
from typing import Final

from tests.crash.recorder import kill_me_in, mark, start_recording
from tests.crash.subjects import pretend_boot
from tests.crash.writers import LENGTHS, Run, Writer

__all__ = ["WORKLOADS"]


def single(run: Run) -> None:
    """One process writes."""
    writer = Writer(run, 0)
    writer.work(run.size)
    writer.close()


def two(run: Run) -> None:
    """Two processes write; one closes, opens again, and both end without closing."""

    def first() -> None:
        writer = Writer(run, 0)
        writer.work(run.size // 2)
        writer.close()
        Writer(run, 10).work(run.size // 8)

    def second() -> None:
        Writer(run, 1).work(run.size // 2)

    Run.join(Run.fork(first), Run.fork(second))


def growth(run: Run) -> None:
    """Two processes write; one has too small a map, and has to adopt what the other has used."""
    for number in range(4):
        opened, grown = os.pipe(), os.pipe()

        def small(
            number: int = number, opened: tuple[int, int] = opened, grown: tuple[int, int] = grown
        ) -> None:
            # No checkpoint soon after the growth: what is lost by it shows until the next one.
            writer = Writer(run, number, map_size_bytes=1 << 20, checkpoint_interval=0.5)
            writer.work_where_possible(5)
            os.write(opened[1], b"x")
            writer.work_where_possible(run.size // 16)
            os.read(grown[0], 1)
            writer.work_where_possible(run.size // 8)

        def large(number: int = number) -> None:
            writer = Writer(run, 100 + number, map_size_bytes=1 << 30, checkpoint_interval=0.5)
            writer.commit([(f"long {number}", (200 + number) << 32, 1_500_000)])
            writer.sync()
            writer.work(run.size // 32, sync_every=1 << 20)
            if number % 2:
                writer.close()

        child = Run.fork(small)
        os.read(opened[0], 1)
        Run.join(Run.fork(large))
        run.open().close()  # forgets the readers of the process that has ended
        os.write(grown[1], b"x")
        Run.join(child)


def _rounds(run: Run, one_round: Callable[[int], None], count: int) -> None:
    """Kill a writer in each of *count* rounds; in the second half another goes on all the time."""
    for number in range(count // 2):
        Run.join(Run.fork(lambda number=number: one_round(number)), killed=True)
    told, tell = os.pipe()

    def companion() -> None:
        os.close(tell)
        os.set_blocking(told, False)
        writer = Writer(run, 1000)
        while True:
            try:
                if os.read(told, 1) == b"":
                    break
            except BlockingIOError:
                writer.work(1)
                os.sched_yield()
        writer.close()

    child = Run.fork(companion)
    os.close(told)
    for number in range(count // 2):
        Run.join(Run.fork(lambda number=number: one_round(100 + number)), killed=True)
    os.close(tell)
    Run.join(child)


# A checkpoint is a flush of the data, perhaps one of another's record, a record and its flush,
# each flush two events. What is worst is a record that was written and not flushed.
_KILLS: Final = (4, 5, 1, 6, 7, 4, 5, 2, 4, 5, 6, 7, 3, 4, 5, 8, 4, 5, 9)


def killed_in_checkpoint(run: Run) -> None:
    """Writers are killed at the first, second, third ... event of a checkpoint."""

    def one_round(number: int) -> None:
        writer = Writer(run, number)
        for _ in range(writer.rng.randint(3, 8)):
            writer.commit()
        kill_me_in(_KILLS[number % len(_KILLS)])
        writer.sync()
        os.kill(os.getpid(), signal.SIGKILL)

    _rounds(run, one_round, max(18, run.size // 12))


def killed_in_commit(run: Run) -> None:
    """Writers are killed at the first, second, third ... event of a commit."""

    def one_round(number: int) -> None:
        writer = Writer(run, number)
        writer.sync()
        for _ in range(writer.rng.randint(1, 8)):
            writer.commit()
        kill_me_in(1 + number % 9)
        writer.work(50)
        os.kill(os.getpid(), signal.SIGKILL)

    _rounds(run, one_round, max(18, run.size // 12))


def large(run: Run) -> None:
    """Values of up to 300 KB."""
    writer = Writer(run, 0)
    writer.lengths = (100, 5000, 20_000, 100_000, 300_000)
    writer.keys = 25
    for _ in range(run.size // 4):
        writer.commit([writer.operation() for _ in range(writer.rng.choice((1, 1, 3)))])
        if writer.rng.random() < 0.1:
            writer.sync()
    writer.close()


def deletes(run: Run) -> None:
    """Much is written, most of it deleted, again and again: pages are used many times."""
    writer = Writer(run, 0)
    rng = writer.rng
    writer.keys = 400
    for phase in range(max(3, run.size // 80)):
        writer.lengths = ((40, 300), (1500, 2500, 5000), (9000, 40))[phase % 3]
        for _ in range(15):
            writer.commit([writer.operation(delete=0.05) for _ in range(20)])
            if rng.random() < 0.1:
                writer.sync()
        for _ in range(15):
            writer.commit([writer.operation(delete=0.9) for _ in range(rng.choice((1, 40)))])
            if rng.random() < 0.1:
                writer.sync()
    writer.close()


def tail(run: Run) -> None:
    """Pages are taken at the end of the file and given back unwritten: it is short of them."""
    writer = Writer(run, 0)
    for number in range(run.size // 8):
        writer.tag += 1
        long = (f"long {number}", writer.tag, 30_000 + 9000 * number)
        writer.commit([writer.operation(), long, (long[0], 0, -1), writer.operation()])
        writer.sync()
        if writer.rng.random() < 0.5:
            writer.commit([writer.operation()])
    writer.close()


def reader(run: Run) -> None:
    """Readers are open for long, in the writer's process and in others; one is killed."""
    ready, told = os.pipe(), os.pipe()

    def read() -> None:
        subject = run.open()
        with subject.held():
            os.write(ready[1], b"x")
            os.read(told[0], 1)
            os.kill(os.getpid(), signal.SIGKILL)

    child = Run.fork(read)
    os.read(ready[0], 1)
    writer = Writer(run, 0)
    writer.work(run.size // 4)
    with writer.subject.held():
        writer.work(run.size // 4)
    os.write(told[1], b"x")
    Run.join(child, killed=True)
    writer.work(run.size // 4)
    with writer.subject.held():
        writer.work(run.size // 8)
        writer.close()


def forked(run: Run) -> None:
    """A process that writes forks; parent and child go on writing, the child ends first."""
    writer = Writer(run, 0)
    for number in range(4):
        writer.work(run.size // 8)

        def child(number: int = number) -> None:
            writer.rng = random.Random(f"{run.seed}:child {number}")
            writer.tag = (100 + number) << 32
            writer.work(run.size // 8)

        pid = Run.fork(child)
        writer.work(run.size // 8)
        Run.join(pid)
    writer.close()


def threads(run: Run) -> None:
    """Four threads of one process write, alone and, where they wait, in common transactions."""
    writers = [Writer(run, number) for number in range(4)]
    problems: list[BaseException] = []

    def work(number: int) -> None:
        writer = writers[number]
        # What is in which transaction is told by the values in its pages.
        writer.keys, writer.prefix, writer.lengths = 40, f"{number} ", LENGTHS[1:]
        writer.transaction = lambda: [
            writer.operation(delete=0.0) for _ in range(writer.rng.choice((1, 1, 5)))
        ]
        try:
            writer.work(run.size // 4)
        except BaseException as error:
            problems.append(error)
            raise

    found = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in found:
        thread.start()
    for thread in found:
        thread.join()
    if problems:
        raise problems[0]
    for writer in writers[1:]:
        writer.subject.close()  # not the last one of the process: that promises nothing
    writers[0].close()


_LONG: Final = (300, 9000, 9000, 20_000, 40_000)


def _long_writer(run: Run, number: int) -> Writer:
    """Return a writer of few keys, most of whose values lie in side files."""
    writer = Writer(run, number)
    writer.lengths, writer.keys = _LONG, 15
    writer.transaction = lambda: [
        writer.operation(delete=0.15) for _ in range(writer.rng.choice((1, 1, 1, 2, 6)))
    ]
    return writer


def side_files(run: Run) -> None:
    """Values in side files: overwritten, deleted and rolled back by two processes, one closes."""

    def work(number: int) -> None:
        writer = _long_writer(run, number)
        for _ in range(run.size // 6):
            writer.work(1, sync_every=20)
            if writer.rng.random() < 0.15:
                writer.abandon()
        if number:
            with writer.subject.held():
                writer.work(run.size // 12)
            writer.close()

    Run.join(Run.fork(lambda: work(0)), Run.fork(lambda: work(1)))


def killed_with_side_files(run: Run) -> None:
    """Writers are killed at each event of a write to a side file, its commit, or its checkpoint."""

    def one_round(number: int) -> None:
        writer = _long_writer(run, number)
        for _ in range(writer.rng.randint(1, 5)):
            writer.commit()
        kill_me_in(1 + number % 17)
        if number % 3:
            writer.work(20)
        else:
            writer.sync()
        os.kill(os.getpid(), signal.SIGKILL)

    _rounds(run, one_round, max(18, run.size // 12))


def creation(run: Run) -> None:
    """A store is made, written to, closed, and opened again; nothing of it was there before."""
    for number in range(2):
        writer = Writer(run, number)
        writer.work(10, sync_every=4)
        writer.close()


def prototype(run: Run) -> None:
    """The prototype; what other threads would commit, it commits between the steps itself."""
    writer = Writer(run, 0)
    writer.subject._between = lambda: [writer.commit() for _ in range(2)]
    for _ in range(run.size // 12):
        for _ in range(3):
            writer.commit()
        writer.sync()


def recovery(run: Run) -> None:
    """A store is opened in the boot after a power cut, written to, and closed."""
    writer = Writer(run, 5000)
    mark(opened=writer.subject.last_transaction())
    writer.work(4, sync_every=3)
    writer.close()


WORKLOADS: Final = {
    work.__name__: work
    for work in (
        single,
        two,
        killed_in_checkpoint,
        killed_in_commit,
        large,
        deletes,
        tail,
        reader,
        growth,
        forked,
        threads,
        side_files,
        killed_with_side_files,
        creation,
        prototype,
        recovery,
    )
}
"""By name."""

_WITHOUT_PREPARATION: Final = {"creation", "recovery"}


def main() -> None:
    """Run one workload, as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=WORKLOADS)
    for name in ("--subject", "--root", "--base", "--seed", "--boot"):
        parser.add_argument(name, required=True)
    parser.add_argument("--size", type=int, required=True)
    arguments = parser.parse_args()
    pretend_boot(arguments.boot)
    run = Run(arguments.subject, arguments.root, arguments.seed, arguments.size)
    if arguments.workload in _WITHOUT_PREPARATION:
        pathlib.Path(arguments.base).mkdir(exist_ok=True)
        shutil.copytree(arguments.root, arguments.base, dirs_exist_ok=True)
        start_recording(arguments.root)
    else:
        run.prepare(arguments.base)
    WORKLOADS[arguments.workload](run)


if __name__ == "__main__":
    main()
