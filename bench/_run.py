"""One run: all engines take turns, workload by workload, in this process.

Knows: the order of rounds and slices. Must not know: what a slice does, what a page says.
"""

from __future__ import annotations

import datetime as dt
import os
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from statistics import fmean, median
from typing import Any

from bench._inputs import SEED
from bench._machine import describe_machine, describe_versions, load_average
from bench._statistics import p99, summary
from bench._timing import timer_cost_ns
from bench.engines import Engine
from bench.workloads import Subject, Workload

__all__ = ["run"]


def run(
    workloads: Sequence[Workload],
    engines: Sequence[Engine],
    absent: Mapping[str, str],
    *,
    rounds: int,
    scope: str,
) -> dict[str, Any]:
    """Return the results of one run, ready for JSON.

    Args:
        workloads: the questions, in order.
        engines: who is asked.
        absent: who could not be, and why.
        rounds: recorded turns of each engine in each workload; one more is not recorded.
        scope: `"full"`, `"quick"` or `"partial"`, for the page.
    """
    load_before = load_average()
    with tempfile.TemporaryDirectory(prefix="objcache-bench-") as directory:
        machine = describe_machine(directory)
        measured = [_run_workload(each, engines, directory, rounds) for each in workloads]
    distributions = dict.fromkeys(name for engine in engines for name in engine.distributions)
    return {
        "scope": scope,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "seed": SEED,
        "rounds": rounds,
        "timer_ns": timer_cost_ns(),
        "load_average": {"before": load_before, "after": load_average()},
        "machine": machine,
        "versions": describe_versions(distributions),
        "engines": [_described(engine) for engine in engines],
        "absent": dict(absent),
        "workloads": [found for found in measured if found["rows"]],
    }


def _described(engine: Engine) -> dict[str, Any]:
    return {
        "name": engine.name,
        "settings": engine.settings,
        "killed": engine.killed,
        "power_cut": engine.power_cut,
        "loss": int(engine.loss),
        "faster_because": engine.faster_because,
    }


def _run_workload(
    workload: Workload, engines: Sequence[Engine], directory: str, rounds: int
) -> dict[str, Any]:
    print(f"{workload.title} ...", end=" ", flush=True, file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=directory) as own, ExitStack() as stack:
        subjects = workload.subjects(engines, own)
        for subject in subjects:
            stack.callback(subject.close)
        slices = _take_turns(workload, subjects, workload.rounds(rounds))
    print("done", file=sys.stderr)
    return {
        "name": workload.name,
        "title": workload.title,
        "question": workload.question,
        "writes": workload.writes,
        "keeps": workload.keeps,
        "reference": workload.reference,
        "rows": [_row(subject, slices[subject.name]) for subject in subjects],
    }


def _take_turns(
    workload: Workload, subjects: Sequence[Subject], rounds: int
) -> dict[str, list[list[int]]]:
    slices: dict[str, list[list[int]]] = {subject.name: [] for subject in subjects}
    for round_ in range(rounds + workload.warm_rounds):
        if workload.writes:
            os.sync()  # no flush of one engine shall write what others left behind
        order = list(subjects)
        random.Random(f"{SEED} {workload.name} order {round_}").shuffle(order)
        for subject in order:
            taken = subject.measure(round_)
            if round_ >= workload.warm_rounds:  # those before warm the caches of all of them
                slices[subject.name].append(taken)
    return slices


def _row(subject: Subject, slices: Sequence[Sequence[int]]) -> dict[str, Any]:
    return {
        "name": subject.name,
        **summary([taken for each in slices for taken in each])._asdict(),
        "round_medians_ns": [median(each) for each in slices],
        "round_means_ns": [fmean(each) for each in slices],
        "round_p99s_ns": [p99(each) for each in slices],
        **subject.facts,
    }
