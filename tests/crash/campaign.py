"""Thousands of power cuts: `python -m tests.crash.campaign --workload two --images 1000`.

Knows: how a series of recordings, images and checks becomes a row of a table. Must not know:
what is checked.

A run with the same seed draws the same images from a recording; a recording of several processes
is another each time, so what fails is kept (`--keep`), and checked again by `--replay`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import pathlib
import random
import select
import shutil
import signal
import statistics
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Final, NamedTuple

from tests.crash.checking import CORRUPT, OLD, Outcome, check_image
from tests.crash.disk import Disk
from tests.crash.images import ImagePlan, draw_image
from tests.crash.recorder import run_recorded, scratch
from tests.crash.recording import Earlier, Recording
from tests.crash.subjects import pretend_boot

__all__ = ["CAMPAIGN", "Tally", "run_campaign", "table"]

CAMPAIGN: Final = (
    "single",
    "two",
    "killed_in_checkpoint",
    "killed_in_commit",
    "large",
    "deletes",
    "tail",
    "reader",
    "recovery",
    "growth",
    "forked",
    "threads",
    "side_files",
    "killed_with_side_files",
    "creation",
)
"""The workloads of the table in docs/design/durability.md."""


def usual_subject(workload: str) -> str:
    """Return what *workload* is tried with where nothing else is said."""
    return "store checkpoint aside" if "side_files" in workload else "store checkpoint"


_IMAGES_OF_A_RECORDING: Final = 250
_IMAGES_OF_A_RECOVERY: Final = 20
_SIZE: Final = 400
_LONGEST_CHECK_S: Final = 60
_SHOWN: Final = 10


class Failure(NamedTuple):
    """One image that is not as it must be, and how to get it again."""

    verdict: str
    workload: str
    seed: str
    at: int
    drawn: str
    detail: str
    kept: str


class Tally(NamedTuple):
    """What became of the images of one workload."""

    workload: str
    subject: str
    images: int
    corrupt: int
    old: int
    lost: list[int]
    failures: list[Failure]

    def row(self) -> str:
        """Return a row of the table."""
        median = int(statistics.median(self.lost or [0]))
        return (
            f"| {self.workload.replace('_', ' ')} | {self.subject} | {self.images:,} "
            f"| {self.corrupt} | {self.old} | {median} / {max(self.lost, default=0)} |"
        )


_HEADING: Final = (
    "| workload | subject | images | corrupt | older than the last durable checkpoint "
    "| commits lost, median / max |\n| --- | --- | --- | --- | --- | --- |"
)


def table(tallies: list[Tally]) -> str:
    """Return the table of *tallies* in Markdown."""
    return "\n".join([_HEADING, *(tally.row() for tally in tallies)])


# -- plans -----------------------------------------------------------------------------------------


def plans(recording: Recording, images: int, seed: str) -> list[ImagePlan]:
    """Return *images* plans, by event: half within two events of something that matters."""
    kinds = list(recording.interesting().values())
    count = len(recording.events)
    found = []
    for index in range(images):
        own = f"{seed}:{index}"
        rng = random.Random(own)
        at = rng.randint(1, count)
        if kinds and rng.random() < 0.5:
            at = rng.choice(rng.choice(kinds)) + rng.randint(-1, 2)
        found.append(ImagePlan(index, min(max(at, 1), count), own))
    return sorted(found, key=lambda plan: plan.at)


# -- checking in processes that may crash ----------------------------------------------------------


def _checked(
    subject: str, recording: Recording, todo: list[ImagePlan], boot: str, place: str, output: int
) -> None:
    """Draw and check each image of *todo*; write a line before and after each."""
    logging.getLogger("objcache").addHandler(logging.NullHandler())
    pretend_boot(boot)
    disk = Disk(recording)
    for plan in todo:
        while disk.now < plan.at:
            disk.advance()
        shutil.rmtree(place, ignore_errors=True)
        os.mkdir(place, 0o700)
        drawn = draw_image(disk, plan, place)
        os.write(output, json.dumps([plan.index, drawn]).encode() + b"\n")
        outcome = check_image(subject, os.path.join(place, "store"), recording, plan.at)
        os.write(output, json.dumps([plan.index, drawn, *outcome]).encode() + b"\n")


def outcomes(
    subject: str, recording: Recording, todo: list[ImagePlan], boot: str, place: str
) -> Iterator[tuple[ImagePlan, str, Outcome]]:
    """Check *todo* in a process of its own; one that crashes or hangs is a corrupt image."""
    while todo:
        source, output = os.pipe()
        sys.stdout.flush()
        child = os.fork()
        if not child:
            os.close(source)
            try:
                _checked(subject, recording, todo, boot, place, output)
            except BaseException as error:
                os.write(output, json.dumps(["error", repr(error)]).encode() + b"\n")
                raise
            finally:
                os._exit(0)
        os.close(output)
        drawn, done = "", 0
        with os.fdopen(source) as lines:
            for line in _lines(lines, child):
                index, drawn, *rest = json.loads(line)
                if index == "error":
                    raise RuntimeError(drawn)
                if rest:
                    yield todo[done], drawn, Outcome(*rest)
                    done += 1
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if done < len(todo):
            yield todo[done], drawn, Outcome(CORRUPT, 0, f"the process ended with {code}")
            done += 1
        todo = todo[done:]


def _lines(lines, child: int) -> Iterator[str]:
    while select.select([lines], [], [], _LONGEST_CHECK_S)[0]:
        # One line at a time: what is written next is not in the buffer of `lines`.
        line = lines.readline()
        if not line:
            return
        yield line
        while _has_line(lines):
            yield lines.readline()
    os.kill(child, signal.SIGKILL)


def _has_line(lines) -> bool:
    return b"\n" in lines.buffer.peek(1) if select.select([lines], [], [], 0)[0] else False


# -- one workload ----------------------------------------------------------------------------------


class Campaign:
    """The images of one workload.

    Args:
        workload: its name.
        subject: what is put to the test.
        seed: of everything.
        keep: a directory for what fails.
        size: how long a recording is, in commits, roughly.
    """

    def __init__(
        self, workload: str, subject: str, seed: str, keep: str | None = None, size: int = _SIZE
    ) -> None:
        self.workload = workload
        self.subject = subject
        self.seed = f"{seed}:{workload}"
        self.size = size
        self._keep = keep
        self._tally = Tally(workload, subject, 0, 0, 0, [], [])

    def run(self, images: int) -> Tally:
        """Make and check *images* images."""
        number = 0
        while self._tally.images < images:
            left = min(images - self._tally.images, _IMAGES_OF_A_RECORDING)
            with scratch("crash") as place:
                seed = f"{self.seed}:{number}"
                boots = [_boot(place, seed, index) for index in range(3)]
                if self.workload == "recovery":
                    self._recoveries(place, seed, left, boots)
                else:
                    recording = self.record(self.workload, place, seed, boots[0])
                    self._check(recording, left, seed, boots[1], place)
            number += 1
        return self._tally

    def record(
        self, workload: str, place: str, seed: str, boot: str, before: Earlier | None = None
    ) -> Recording:
        """Run *workload* below *place* and read what was recorded."""
        root, base, log = (os.path.join(place, name) for name in ("root", "base", "log"))
        os.makedirs(root, exist_ok=True)
        arguments = [workload, "--subject", self.subject, "--root", root, "--base", base]
        arguments += ["--seed", seed, "--boot", boot, "--size", str(self.size)]
        run_recorded(["-m", "tests.crash.workloads", *arguments], root, log)
        recording = Recording(root, base, log, before)
        if unseen := recording.unseen():
            raise RuntimeError(f"not everything was recorded: {unseen}")
        return recording

    def _recoveries(self, place: str, seed: str, images: int, boots: list[str]) -> None:
        """Cut the power again while a store is recovered from a first power cut."""
        first = self.record(
            random.Random(seed).choice(("single", "two", "killed_in_commit")), place, seed, boots[0]
        )
        count = -(-images // _IMAGES_OF_A_RECOVERY)
        disk = Disk(first)
        for plan in plans(first, count, seed):
            while disk.now < plan.at:
                disk.advance()
            again = os.path.join(place, f"again {plan.index}")
            os.makedirs(os.path.join(again, "root"), 0o700)
            draw_image(disk, plan, os.path.join(again, "root"))
            earlier = Earlier(first.state, first.floor(plan.at))
            second = self.record("recovery", again, plan.seed, boots[1], earlier)
            self._check(second, images // count, plan.seed, boots[2], again)
            shutil.rmtree(again)

    def _check(self, recording: Recording, images: int, seed: str, boot: str, place: str) -> None:
        todo = plans(recording, images, seed)
        image = os.path.join(place, "image")
        for plan, drawn, outcome in outcomes(self.subject, recording, todo, boot, image):
            self._count(outcome)
            if outcome.verdict in {CORRUPT, OLD} and len(self._tally.failures) < _SHOWN:
                kept = self._kept(recording, plan, boot)
                failure = Failure(
                    outcome.verdict,
                    self.workload,
                    plan.seed,
                    plan.at,
                    drawn,
                    outcome.detail,
                    kept,
                )
                self._tally.failures.append(failure)

    def _count(self, outcome: Outcome) -> None:
        tally = self._tally
        tally.lost.append(outcome.lost)
        self._tally = tally._replace(
            images=tally.images + 1,
            corrupt=tally.corrupt + (outcome.verdict == CORRUPT),
            old=tally.old + (outcome.verdict == OLD),
        )

    def _kept(self, recording: Recording, plan: ImagePlan, boot: str) -> str:
        if self._keep is None:
            return ""
        place = pathlib.Path(self._keep, plan.seed.replace(":", "-"))
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        subprocess.run(["cp", "--sparse=always", recording.log, place / "log"], check=True)
        shutil.copytree(recording.base, place / "base", dirs_exist_ok=True)
        shutil.copytree(recording.root, place / "root")
        shutil.copy(boot, place / "boot")
        told = {
            "subject": self.subject,
            "root": recording.root,
            "plan": list(plan),
            "before": recording.state(recording.opened_at),
            "floor": recording.floor(1),
        }
        (place / "plan.json").write_text(json.dumps(told))
        return str(place)


def _boot(place: str, seed: str, index: int) -> str:
    path = os.path.join(place, f"boot {index}")
    number = uuid.UUID(int=random.Random(f"{seed}:{index}").getrandbits(128))
    pathlib.Path(path).write_text(f"{number}\n", encoding="ascii")
    return path


def run_campaign(
    workload: str,
    images: int,
    seed: str = "1",
    *,
    subject: str | None = None,
    size: int = _SIZE,
    keep: str | None = None,
) -> Tally:
    """Check *images* images of *workload* in a process of its own: checking one may crash it.

    Raises:
        RuntimeError: the workload failed, or broke a promise without a power cut.
    """
    arguments = ["--workload", workload, "--images", str(images), "--seed", seed, "--json"]
    arguments += ["--subject", subject or usual_subject(workload), "--size", str(size)]
    arguments += ["--keep", keep] if keep else []
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.campaign", *arguments],
        cwd=pathlib.Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(
            f"the campaign of {workload} ended with {done.returncode}: {done.stderr}"
        )
    *counts, failures = json.loads(done.stdout)
    return Tally(*counts, [Failure(*failure) for failure in failures])


def replay(place: str) -> Outcome:
    """Check again an image that was kept."""
    told = json.loads(pathlib.Path(place, "plan.json").read_text())
    plan = ImagePlan(*told["plan"])
    state = {key: (tag, length) for key, (tag, length) in told["before"].items()}
    earlier = Earlier(lambda _: state, told["floor"])
    recording = Recording(f"{place}/root", f"{place}/base", f"{place}/log", earlier)
    recording.root = told["root"]  # the events name it
    image = os.path.join(place, "image")
    ((_, drawn, outcome),) = outcomes(told["subject"], recording, [plan], f"{place}/boot", image)
    sys.stdout.write(f"event {plan.at}: {drawn}\n{outcome}\n")
    return outcome


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", action="append", help="several times for several; else all")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--subject", help="else a store with checkpoints")
    parser.add_argument("--size", type=int, default=_SIZE)
    parser.add_argument("--keep", help="a directory for recordings of which an image fails")
    parser.add_argument("--json", action="store_true", help="for one workload")
    parser.add_argument("--replay", help="check again what was kept in this directory")
    arguments = parser.parse_args()
    if arguments.replay:
        replay(arguments.replay)
        return
    tallies = []
    for workload in arguments.workload or CAMPAIGN:
        campaign = Campaign(
            workload,
            arguments.subject or usual_subject(workload),
            arguments.seed,
            arguments.keep,
            arguments.size,
        )
        tallies.append(campaign.run(arguments.images))
        if arguments.json:
            sys.stdout.write(json.dumps(tallies[0]))
            return
        for failure in tallies[-1].failures:
            sys.stderr.write(f"{failure}\n")
        sys.stderr.write(tallies[-1].row() + "\n")
    sys.stdout.write(table(tallies) + "\n")


if __name__ == "__main__":
    main()
