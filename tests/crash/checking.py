"""Whether what a power cut left behind is the store as one transaction left it.

Knows: subjects and recordings. Must not know: how the image was made.
"""

from __future__ import annotations

import os
import random
import traceback
from typing import Final, NamedTuple

from tests.crash.page_walk import walk
from tests.crash.recording import Recording, State
from tests.crash.subjects import Subject, data_file, open_subject

__all__ = ["CORRUPT", "OLD", "WHOLE", "Outcome", "check_image"]

WHOLE: Final = "whole"
OLD: Final = "old"
CORRUPT: Final = "corrupt"

_MORE_TRANSACTIONS: Final = 25


class Outcome(NamedTuple):
    """What became of one image.

    Attributes:
        verdict: `WHOLE`, `CORRUPT`, or `OLD`: whole, but older than what was durable.
        lost: how many acknowledged transactions are gone.
        detail: what is wrong.
    """

    verdict: str
    lost: int
    detail: str


def check_image(subject_name: str, directory: str, recording: Recording, at: int) -> Outcome:
    """Open what is in *directory*, in another boot, compare it and go on writing to it.

    Args:
        subject_name: what to open it with.
        directory: the image of the store's directory.
        recording: where the image is from.
        at: at which event.
    """
    lost = 0
    try:
        if subject_name.startswith("lmdb") and (wrong := _walked(directory)):
            return Outcome(CORRUPT, lost, wrong)  # LMDB would crash on many of these
        more = {"checkpoint_interval": 3600.0} if "checkpoint" in subject_name else {}
        subject = open_subject(subject_name, directory, **more)
        try:
            found = subject.last_transaction()
            lost = max(0, recording.last_acknowledged(at) - found)
            if wrong := _wrong(subject, directory, recording.state(found)):
                return Outcome(CORRUPT, lost, f"transaction {found}: {wrong}")
            if found > max(1, recording.last_commit(at)):
                return Outcome(CORRUPT, lost, f"transaction {found} was never committed")
            if wrong := _go_on(subject, directory, recording.state(found), at):
                return Outcome(CORRUPT, lost, f"going on after transaction {found}: {wrong}")
        finally:
            subject.close()
        if wrong := _walked(directory):
            return Outcome(CORRUPT, lost, f"closed: {wrong}")
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return Outcome(
            CORRUPT,
            lost,
            f"{type(error).__name__}: {error} ({os.path.basename(place.filename)}:{place.lineno})",
        )
    floor = recording.floor(at)
    if found < floor:
        return Outcome(OLD, lost, f"transaction {found}, though {floor} was durable")
    return Outcome(WHOLE, lost, "")


def _walked(directory: str) -> str:
    path = data_file(directory)
    return "" if path is None else "; ".join(walk(path)[:3])


def _wrong(subject: Subject, directory: str, expected: State) -> str:
    return (
        _walked(directory)
        or "; ".join(subject.differences(expected)[:3])
        or "; ".join(subject.problems()[:3])
    )


def _go_on(subject: Subject, directory: str, before: State, seed: int) -> str:
    """Write so much that every free page is used again, then look once more."""
    rng = random.Random(seed)
    state = dict(before)
    tag = 1 << 48
    for number in range(_MORE_TRANSACTIONS):
        operations = []
        for _ in range(rng.randint(1, 12)):
            key = f"{rng.randrange(150):04}"
            tag += 1
            if rng.random() < 0.3:
                operations.append((key, 0, -1))
                state.pop(key, None)
            else:
                length = rng.choice((10, 700, 2200, 6000, 25_000))
                operations.append((key, tag, length))
                state[key] = tag, length
        subject.apply(operations)
        if number % 5 == 0:
            subject.sync()
    return _wrong(subject, directory, state)
