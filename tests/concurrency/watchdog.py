"""Processes that are watched: when they outstay their time, the failure shows what each one does."""

from __future__ import annotations

import contextlib
import os
import pathlib
import select
import signal
import subprocess
import textwrap
import time
from typing import Any, Self

from tests.scripts import command

LIMIT_S = 120.0

WATCHED = """
import ctypes, faulthandler, signal
faulthandler.register(signal.SIGUSR1, all_threads=True, chain=False)
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it ends with the test
def meet():
    os.write({ready}, b"!")
    os.read({gate}, 1)
"""
"""What a script begins with: it shows its stacks when asked, as do the children that it forks.

`meet()` returns once the test lets all go on together.
"""


class StuckError(AssertionError):
    """Processes did not end in time; the message holds the stacks of all of them."""


class Pack:
    """The processes of one test, each with its output in files of its own.

    A process that fails, says anything on its standard error or outstays *limit_s* fails the
    test, and none of them outlives the pack.

    Attributes:
        give_up: until when they may take, on the monotonic clock.
    """

    def __init__(self, directory: str | os.PathLike[str], limit_s: float = LIMIT_S) -> None:
        self._directory = pathlib.Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        self.give_up = time.monotonic() + limit_s
        self._limit_s = limit_s
        self._members: list[subprocess.Popen[str]] = []
        self._ready, self._tells_ready = os.pipe()
        self._gate, self._opens_gate = os.pipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._members:
            # Each is the leader of a group of its own: what it forked goes with it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        for name in ("_ready", "_tells_ready", "_gate", "_opens_gate"):
            descriptor, self.__dict__[name] = self.__dict__[name], -1
            if descriptor >= 0:
                os.close(descriptor)

    def open_gate(self, count: int | None = None) -> None:
        """Let all go on who `meet`, once all (or *count*) are there. Once for each pack."""
        for _ in range(len(self._members) if count is None else count):
            if not select.select([self._ready], [], [], self.time_left_s())[0]:
                raise self.stuck()
            os.read(self._ready, 1)
        os.close(self._opens_gate)
        self._opens_gate = -1

    def start(self, code: str, *arguments: Any, talks: bool = False) -> subprocess.Popen[str]:
        """Start *code*; one that *talks* has its input and output in pipes."""
        watched = WATCHED.format(ready=self._tells_ready, gate=self._gate)
        return self.launch(command(watched + textwrap.dedent(code), *arguments), talks=talks)

    def launch(self, words: list[str], *, talks: bool = False) -> subprocess.Popen[str]:
        """Start a command whose program registers the handler of `WATCHED` itself."""
        number = len(self._members)
        with contextlib.ExitStack() as files:
            errors = files.enter_context(open(self._file(number, "errors"), "w"))
            output = files.enter_context(open(self._file(number, "output"), "w"))
            process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else output,
                stderr=errors,
                text=True,
                start_new_session=True,
                pass_fds=(self._tells_ready, self._gate),
            )
        self._members.append(process)
        return process

    def finish(self, process: subprocess.Popen[str]) -> str:
        """Return what *process* printed, once it has ended well and without complaint."""
        try:
            process.wait(max(0.0, self.give_up - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise self.stuck() from None
        errors = self.errors(process)
        output = self._file(self._members.index(process), "output").read_text()

        assert (0, "") == (process.returncode, errors), errors
        assert "lmdb." not in output
        return output

    def finish_all(self) -> list[str]:
        """Return what each process printed, once all have ended well and without complaint."""
        return [self.finish(process) for process in self._members]

    def await_line(self, process: subprocess.Popen[str], line: str) -> None:
        """Wait until *process*, which talks, prints *line* as the next thing that it prints."""
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], self.time_left_s())[0]:
            raise self.stuck()

        assert line == process.stdout.readline(), self.errors(process)

    def errors(self, process: subprocess.Popen[str]) -> str:
        """Return what *process* said on its standard error so far."""
        return self._file(self._members.index(process), "errors").read_text()

    def time_left_s(self) -> float:
        """Return how long the pack may still run; raises with all stacks when that is over."""
        left_s = self.give_up - time.monotonic()
        if left_s <= 0:
            raise self.stuck()
        return left_s

    def stuck(self) -> StuckError:
        """Return the error that shows where each process is, and end them."""
        alive = [process for process in self._members if process.poll() is None]
        seen = [pid for process in alive for pid in _family(process.pid)]
        states = [f"process {pid}: {_state(pid)}" for pid in seen]
        for pid in seen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR1)
            # One after the other: a process and its children write to one file, piece by piece.
            time.sleep(0.2)
        for process in alive:
            # The handler writes in C, without the interpreter's lock: a moment is enough.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
        stacks = [
            f"--- {process.pid} ({process.returncode}):\n{self.errors(process)}"
            for process in self._members
        ]
        self.__exit__()
        return StuckError("\n".join([f"not done after {self._limit_s:g} s", *states, *stacks]))

    def _file(self, number: int, name: str) -> pathlib.Path:
        return self._directory / f"{number}.{name}"


def _family(pid: int) -> list[int]:
    """Return *pid* and all that descend from it."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += _family(int(child))
    return found


def _state(pid: int) -> str:
    """Return in which call of the kernel the threads of *pid* wait."""
    try:
        tasks = sorted(pathlib.Path(f"/proc/{pid}/task").iterdir())
        return ", ".join((task / "wchan").read_text() or "running" for task in tasks)
    except OSError:
        return "gone"
