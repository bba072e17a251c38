"""Seeing from outside who waits for a lock: what blocks cannot tell it itself."""

from __future__ import annotations

import os
import pathlib


def lock_waiters(directory):
    """Return how many waits for locks on files below *directory* the kernel knows (proc(5))."""
    inodes = {
        str(file.stat().st_ino) for file in pathlib.Path(directory).rglob("*") if file.exists()
    }
    lines = pathlib.Path("/proc/locks").read_text().splitlines()
    return sum("->" in line and line.split()[6].split(":")[2] in inodes for line in lines)


def await_lock_waiters(directory, count):
    """Return once *count* waits are seen; the time limit of the tests bounds it."""
    while lock_waiters(directory) != count:
        os.sched_yield()
