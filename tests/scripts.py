"""Running code in processes of its own: fork and kill are not for the test's process."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

PRELUDE = """
import os, sys, time
import objcache
from objcache import Store
SECRET = b"the secret of the tests, 32 bytes"
path = sys.argv[1]
def open_store(**options):
    options.setdefault("durability", "process")
    return Store(path, secret=SECRET, **options)
"""


def command(code: str, *arguments: Any) -> list[str]:
    """Return the command that runs *code* after the prelude."""
    script = PRELUDE + textwrap.dedent(code)
    return [sys.executable, "-W", "error", "-c", script, *map(str, arguments)]


def start(code: str, *arguments: Any) -> subprocess.Popen[str]:
    """Start *code* in a process of its own, its input and output in pipes."""
    return subprocess.Popen(
        command(code, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(code: str, *arguments: Any, timeout_s: float = 60) -> str:
    """Return what *code* prints; fails with its errors if it does."""
    done = subprocess.run(
        command(code, *arguments), capture_output=True, text=True, timeout=timeout_s, check=False
    )

    assert 0 == done.returncode, done.stderr
    return done.stdout


def finish(process: subprocess.Popen[str], timeout_s: float = 60) -> str:
    """Wait for *process*; return what it printed."""
    output, errors = process.communicate(timeout=timeout_s)

    assert 0 == process.returncode, errors
    return output
