"""Recorded processes: what they commit, sync and close, told to the log before and after.

Knows: subjects, marks, forks. Must not know: what is done in which order, and images.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, Final

from tests.crash.recorder import mark, start_recording
from tests.crash.recording import Operation
from tests.crash.subjects import NAMESPACE, Subject, open_subject

__all__ = ["LENGTHS", "Run", "Writer"]

LENGTHS: Final = (5, 40, 300, 1500, 2500, 5000, 9000, 30_000)
_SYNC_EVERY: Final = 40
_DURABLE_COMMITS: Final = frozenset({"lmdb full", "store commit", "store commit aside"})


class Writer:
    """One process that writes: what it is about to commit, and what was committed, is in the log."""

    def __init__(self, run: Run, number: int, **more: Any) -> None:
        self.rng = random.Random(f"{run.seed}:{number}")
        self.tag = (number + 1) << 32
        self._durable = "durable" if run.subject in _DURABLE_COMMITS else "done"
        self._syncs = run.subject != "lmdb nosync"
        self._closes = run.subject.startswith("store") or run.subject in _DURABLE_COMMITS
        self.lengths = LENGTHS
        self.keys = 120
        self.prefix = ""
        self.subject: Subject = run.open(**more)

    def operation(self, *, delete: float = 0.2) -> Operation:
        """Return a random operation."""
        name = f"{self.prefix}{self.rng.randrange(self.keys):04}"
        key = NAMESPACE + name if self.rng.random() < 0.2 else name
        if self.rng.random() < delete:
            return key, 0, -1
        self.tag += 1
        return key, self.tag, self.rng.choice(self.lengths)

    def transaction(self) -> list[Operation]:
        """Return a random transaction: often one write, else up to twenty."""
        rng = self.rng
        if rng.random() < 0.4:
            return [self.operation()]
        found = [self.operation() for _ in range(rng.randint(2, 20))]
        if rng.random() < 0.1:
            # Pages that are taken and given back in one transaction are never written.
            name, self.tag = f"{rng.randrange(self.keys):04}", self.tag + 1
            found += [(name, self.tag, rng.choice((20_000, 60_000))), (name, 0, -1)]
        return found

    def commit(self, operations: list[Operation] | None = None) -> None:
        """Do *operations*, or a random transaction."""
        operations = self.transaction() if operations is None else operations
        mark(intent=operations)
        self.subject.apply(operations)
        mark(acknowledged=self._durable)

    def abandon(self) -> None:
        """Roll a random transaction back."""
        self.subject.abandon(self.transaction())

    def sync(self) -> None:
        """Make everything durable, and say so."""
        mark(durable="all begins")
        self.subject.sync()
        if self._syncs:
            mark(durable="reached")

    def close(self) -> None:
        """Close, which makes durable what this process has committed."""
        mark(durable="own begins")
        self.subject.close()
        if self._closes:
            mark(durable="reached")

    def work(self, commits: int, sync_every: int = _SYNC_EVERY) -> None:
        """Commit, sync and roll back, at random."""
        for _ in range(commits):
            self.commit()
            if self.rng.random() * sync_every < 1:
                self.sync()
            if self.rng.random() < 0.03:
                self.abandon()

    def work_where_possible(self, commits: int) -> None:
        """Commit what the map has room for."""
        from objcache.errors import StoreFullError

        for _ in range(commits):
            with contextlib.suppress(StoreFullError):
                self.commit()


class Run:
    """One recorded run.

    Attributes:
        subject: what is put to the test.
        directory: where it keeps its files.
        size: how many commits, roughly.
    """

    def __init__(self, subject: str, root: str, seed: str, size: int) -> None:
        self.subject = subject
        self.root = root
        self.directory = os.path.join(root, "store")
        self.seed = seed
        self.size = size

    def open(self, **more: Any) -> Subject:
        """Open the subject."""
        if self.subject.startswith("store"):
            if "checkpoint" in self.subject:
                more.setdefault("checkpoint_interval", 0.02)
            return open_subject(self.subject, self.directory, **more)
        return open_subject(self.subject, self.directory)

    def prepare(self, base: str) -> None:
        """Make a store with a few entries, durable, and begin to record."""
        subject = self.open()
        subject.apply([("first", 1, 100), ("second", 2, 5000)])
        subject.apply([("first", 0, -1), ("second", 0, -1)])
        subject.sync()
        subject.close()
        shutil.copytree(self.root, base, dirs_exist_ok=True)
        start_recording(self.root)

    @staticmethod
    def fork(work: Callable[[], None]) -> int:
        """Do *work* in a process of its own, which ends without closing anything."""
        sys.stdout.flush()
        child = os.fork()
        if child:
            return child
        try:
            work()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)

    @staticmethod
    def join(*children: int, killed: bool = False) -> None:
        """Wait for *children*; each must end well, or by a kill if that is *killed*."""
        for child in children:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if code and not (killed and code == -signal.SIGKILL):
                raise SystemExit(f"a process of the workload ended with {code}")
