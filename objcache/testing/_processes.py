"""Processes that end at once, as those do that run out of memory.

Knows: how a process is killed and waited for. Must not know: what it was doing.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any, Final, NoReturn

__all__ = ["die", "run_until_killed"]

_TIMEOUT_S: Final = 60.0


def die() -> NoReturn:
    """End this process as a power cut would: no `finally`, no `atexit`, nothing is closed."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a killed process goes on")


def run_until_killed(
    function: Callable[..., object], *args: Any, timeout: float = _TIMEOUT_S
) -> None:
    """Run *function* in a process of its own, until it calls `die`.

    Args:
        function: of a module that can be imported. For a death in the midst of a write, it calls
            `die` within `store.transaction()`, or has it called by `failing_writes(store, die)`.
        args: what it is called with; stores and caches pickle as their path and settings.
        timeout: seconds to wait for its end.

    Raises:
        AssertionError: it ended in another way, or did not end: then it is killed.
    """
    process = multiprocessing.get_context("spawn").Process(target=function, args=args)
    process.start()
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError(f"{function!r} did not die within {timeout:g} s")
    if process.exitcode != -signal.SIGKILL:
        raise AssertionError(f"{function!r} ended with {process.exitcode}, and did not die")
