"""Types of arguments on the command lines of the benchmarks.

Knows: argparse. Must not know: what is asked for.
"""

from __future__ import annotations

import argparse

__all__ = ["positive"]


def positive(text: str) -> int:
    """Return *text* as a whole number from 1 on.

    Raises:
        argparse.ArgumentTypeError, ValueError: it is none.
    """
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number
