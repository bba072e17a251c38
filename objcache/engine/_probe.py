"""What LMDB itself makes of a data file: asked of a child process, which may die of it.

Knows: lmdb, and how processes end. Must not know: what keys and records mean.

LMDB believes what is on a page. A damaged one can end the process that reads it, with SIGSEGV or
SIGBUS, so a file that is not known to be sound is read by another process than ours.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
from typing import Final, NamedTuple

import lmdb
from blake3 import blake3

__all__ = ["Content", "Probed", "main", "probe"]

_SIZES: Final = struct.Struct("=QQ")
_HEADROOM_BYTES: Final = 1 << 26
_SPARE_ENTRIES: Final = 1000
_LEAST_SECONDS: Final = 60
_SLOWEST_BYTES_A_SECOND: Final = 10_000_000


class Content:
    """A digest of keys and values in the order in which they are read."""

    def __init__(self) -> None:
        self.entries = 0
        self._hasher = blake3()

    def add(self, key: bytes, value: bytes) -> None:
        """Count one entry in."""
        self.entries += 1
        self._hasher.update(_SIZES.pack(len(key), len(value)))
        self._hasher.update(key)
        self._hasher.update(value)

    def hexdigest(self) -> str:
        """Return the digest of what was added."""
        return self._hasher.hexdigest()


class Probed(NamedTuple):
    """What LMDB has read; *failure* says in words why it has not, "" if it has."""

    transaction_id: int
    entries: int
    digest: str
    failure: str


def probe(file: str, expected_entries: int, *, lock: bool) -> Probed:
    """Let LMDB read all of *file* in a child process; return what became of it.

    Args:
        file: the data file.
        expected_entries: far beyond these it stops: a damaged file may lead it in circles.
        lock: take part in LMDB's locks, needed while others write.
    """
    # -P: no module of the current directory, which may be that of a store of who knows whom.
    command = [sys.executable, "-P", "-m", __name__, file, str(expected_entries), str(int(lock))]
    # Relative ones, as an empty one, are that directory too; what it gave us has its own place.
    own = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    paths = os.pathsep.join([*filter(os.path.isabs, sys.path), own])
    environment = {**os.environ, "PYTHONPATH": paths}
    try:
        done = subprocess.run(  # noqa: S603  # this interpreter, this module
            command, capture_output=True, text=True, check=False, env=environment
        )
    except OSError as error:
        return Probed(0, 0, "", f"LMDB could not be tried in another process: {error}")
    if done.returncode == -signal.SIGXCPU:
        return Probed(0, 0, "", "LMDB came to no end when a process read the file through it")
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return Probed(0, 0, "", f"LMDB crashed ({name}) when a process read the file through it")
    try:
        return Probed(*json.loads(done.stdout))
    except (ValueError, TypeError):
        last = done.stderr.strip().rpartition("\n")[2]
        return Probed(0, 0, "", f"LMDB could not be tried in another process: {last}")


def main(arguments: list[str]) -> None:
    """Read the file that *arguments* name; print what `probe` returns."""
    import resource  # noqa: PLC0415  # only in the child

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash is expected, its core is not wanted
    file, expected, lock = arguments
    # Reading takes a second a gigabyte; a damaged file may send LMDB over the same pages for ever.
    seconds = _LEAST_SECONDS + os.path.getsize(file) // _SLOWEST_BYTES_A_SECOND
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    try:
        found = _read(file, int(expected) * 2 + _SPARE_ENTRIES, lock=lock == "1")
    except lmdb.Error as fault:
        found = Probed(0, 0, "", f"LMDB cannot read the file: {fault}")
    print(json.dumps(found))  # noqa: T201  # to the process that asked


def _read(file: str, limit: int, *, lock: bool) -> Probed:
    map_bytes = os.path.getsize(file) + _HEADROOM_BYTES
    with lmdb.open(
        file, subdir=False, readonly=True, create=False, lock=lock, map_size=map_bytes
    ) as environment:
        content = Content()
        with environment.begin() as transaction:
            for key, value in transaction.cursor():
                content.add(key, value)
                if content.entries > limit:
                    return Probed(0, 0, "", "LMDB finds far more entries than there are")
            number = transaction.id()
        return Probed(number, content.entries, content.hexdigest(), "")


if __name__ == "__main__":
    main(sys.argv[1:])
