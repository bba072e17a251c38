"""`python -m bench`: run and print; with `--docs` write the page, the picture and the results."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bench._arguments import positive
from bench._console import print_results
from bench._page import page
from bench._plot import write_plot
from bench._run import run
from bench._targets import judge
from bench.engines import ENGINE_NAMES, load_engines
from bench.workloads import WORKLOADS

_ROOT: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_PAGE: Final = "benchmarks.md"
_PLOT: Final = "benchmarks.svg"
_RESULTS: Final = "latest.json"
_FULL_ROUNDS: Final = 40
_QUICK_ROUNDS: Final = 6


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as the command line says; return the exit status."""
    asked = _parser().parse_args(arguments)
    if asked.results:
        with open(asked.results, encoding="utf-8") as file:
            results = json.load(file)
    else:
        results = _run(asked)
    if asked.docs:
        _write(results, os.path.join(_ROOT, "docs"), os.path.join(_ROOT, "bench", "results"))
    if asked.output:
        _write(results, asked.output, asked.output)
    print_results(results)
    return _status(results) if asked.check else 0


def _run(asked: argparse.Namespace) -> Mapping[str, Any]:
    chosen_workloads = [each for each in WORKLOADS if each.name in asked.workloads]
    engines, absent = load_engines(asked.engines)
    partial = len(chosen_workloads) < len(WORKLOADS) or len(asked.engines) < len(ENGINE_NAMES)
    return run(
        chosen_workloads,
        engines,
        absent,
        rounds=asked.rounds or (_QUICK_ROUNDS if asked.quick else _FULL_ROUNDS),
        scope="partial" if partial else "quick" if asked.quick else "full",
    )


def _parser() -> argparse.ArgumentParser:
    workload_names = [each.name for each in WORKLOADS]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK_ROUNDS} rounds")
    parser.add_argument("--rounds", type=positive, metavar="N", help=f"default {_FULL_ROUNDS}")
    _add_names(parser, "--engines", ENGINE_NAMES)
    _add_names(parser, "--workloads", workload_names)
    parser.add_argument(
        "--docs",
        action="store_true",
        help=f"write docs/{_PAGE}, its picture, and bench/results/{_RESULTS}",
    )
    parser.add_argument("--output", metavar="DIR", help="write all three there")
    parser.add_argument(
        "--results", metavar="FILE", help="run nothing: take the results of an earlier run"
    )
    parser.add_argument("--check", action="store_true", help="exit 1 if a target is missed")
    return parser


def _add_names(parser: argparse.ArgumentParser, option: str, known: Sequence[str]) -> None:
    def names(text: str) -> list[str]:
        asked = text.split(",")
        if unknown := sorted(set(asked) - set(known)):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(known)}")
        return asked

    parser.add_argument(
        option, type=names, default=list(known), metavar="A,B", help=f"of {', '.join(known)}"
    )


def _write(results: Mapping[str, Any], documents: str, numbers: str) -> None:
    for directory in (documents, numbers):
        os.makedirs(directory, exist_ok=True)
    with open(os.path.join(numbers, _RESULTS), "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1, ensure_ascii=False)
        file.write("\n")
    with open(os.path.join(documents, _PAGE), "w", encoding="utf-8") as file:
        file.write(page(results, _PLOT))
    write_plot(results, os.path.join(documents, _PLOT))


def _status(results: Mapping[str, Any]) -> int:
    """Return 1 if a target is missed, or none could be judged: silence is no success."""
    verdicts = [judged.met for judged in judge(results)]
    return int(False in verdicts or True not in verdicts)


if __name__ == "__main__":
    sys.exit(main())
