"""What every engine is asked to keep: keys, values, arguments, all from one seed.

Knows: the seed. Must not know: engines, workloads.
"""

from __future__ import annotations

import os
import random
from time import perf_counter_ns, sleep
from typing import Any, Final

__all__ = [
    "ABSENT_KEYS",
    "ENTRIES",
    "KEYS",
    "NEW_VALUES",
    "NUMBERS",
    "SECRET",
    "SEED",
    "SLOW_S",
    "TREES",
    "VALUES",
    "chosen",
    "moment_of",
    "of_number",
    "of_tree",
    "slow_answer",
    "tree",
]

SEED: Final = 20_090_117
ENTRIES: Final = 10_000
SECRET: Final = b"a secret for the benchmarks only"

_WORDS: Final = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron")


def _record(source: random.Random) -> dict[str, Any]:
    """Return a dict of ten fields, about 200 bytes pickled."""
    return {
        "id": source.randrange(1 << 40),
        "name": " ".join(source.choices(_WORDS, k=2)),
        "email": f"{source.choice(_WORDS)}{source.randrange(10_000)}@example.org",
        "age": source.randrange(18, 90),
        "score": source.random(),
        "balance": round(source.uniform(-1000, 1000), 2),
        "city": source.choice(_WORDS),
        "visits": source.randrange(1000),
        "ratio": source.gauss(0.0, 1.0),
        "status": source.choice(("active", "asleep", "gone")),
    }


def tree(source: random.Random) -> dict[str, Any]:
    """Return a nested dict of 200 leaves: ints, floats and strings, in dicts and lists."""
    kinds = (lambda: source.randrange(1 << 30), source.random, lambda: source.choice(_WORDS))
    return {
        f"group{group}": {
            **{f"leaf{leaf}": kinds[leaf % 3]() for leaf in range(8)},
            "numbers": [kinds[leaf % 2]() for leaf in range(6)],
            "rows": [{"word": kinds[2](), "weight": kinds[1]()} for _ in range(3)],
        }
        for group in range(10)
    }


_SOURCE: Final = random.Random(SEED)

KEYS: Final = tuple(f"user/{number:06d}/profile" for number in range(ENTRIES))
ABSENT_KEYS: Final = tuple(f"user/{number:06d}/absent" for number in range(ENTRIES))
VALUES: Final = tuple(_record(_SOURCE) for _ in range(ENTRIES))
NEW_VALUES: Final = VALUES[1:] + VALUES[:1]
"""What is written over `VALUES`: other values of the same kind."""

NUMBERS: Final = tuple(range(100))
TREES: Final = tuple(tree(_SOURCE) for _ in range(20))
SLOW_S: Final = 1.0


def chosen(workload: str, round_: int, count: int, among: int = ENTRIES) -> list[int]:
    """Return *count* indexes in random order: the same for every engine of a round."""
    source = random.Random(f"{SEED} {workload} {round_}")
    if count <= among:
        return source.sample(range(among), count)
    return source.choices(range(among), k=count)


def of_number(number: int) -> dict[str, Any]:
    """Stand for an expensive function of an int; `made` betrays a call that was no hit."""
    return {"number": number, "half": number / 2, "name": "of_number", "made": perf_counter_ns()}


def moment_of(_number: int) -> int:
    """Stand for an expensive function whose result cannot be changed: when it was computed."""
    return perf_counter_ns()


def of_tree(tree: dict[str, Any]) -> dict[str, Any]:
    """Stand for an expensive function of a nested dict; `made` betrays a call that was no hit."""
    return {"groups": len(tree), "half": 0.5, "name": "of_tree", "made": perf_counter_ns()}


def slow_answer(log: str) -> dict[str, Any]:
    """Append a byte to *log*, wait a second, and answer who did."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, b".")
    os.close(descriptor)
    sleep(SLOW_S)
    return {"by": os.getpid(), "made": perf_counter_ns()}
