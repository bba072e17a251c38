"""`python -m bench.eviction`: replay, print, and write the results, the page and the picture."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

from bench._arguments import positive
from bench.eviction._contestants import POLICIES, RIVALS
from bench.eviction._page import page
from bench.eviction._run import Plan, run
from bench.eviction._table import print_tables
from bench.eviction._traces import TraceError, read_traces

_ROOT: Final = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_VARIABLE: Final = "OBJCACHE_TRACES"
_RESULTS: Final = "eviction.json"
_PAGE: Final = "eviction.md"
_PLOT: Final = os.path.join("images", "eviction.svg")
_SIZES: Final = "0.01,0.1"
_RIVAL_REQUESTS: Final = 50_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as the command line says; return the exit status."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.results:
        with open(asked.results, encoding="utf-8") as file:
            results = json.load(file)
    else:
        if not asked.traces:
            parser.error(f"no traces: name their directory, --traces DIR or {_VARIABLE}")
        try:
            traces = read_traces(asked.traces, asked.only)
        except TraceError as error:
            parser.error(str(error))
        plan = Plan(
            traces,
            asked.sizes,
            asked.policies,
            asked.requests,
            asked.rivals,
            min(asked.rival_requests, asked.requests or asked.rival_requests),
        )
        output = asked.output or os.path.join(_ROOT, "bench", "results")
        results = run(plan, lambda so_far: _keep(so_far, output))
    print_tables(results)
    if asked.docs:
        _write_docs(results, os.path.join(_ROOT, "docs"))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.eviction", description=__doc__)
    parser.add_argument(
        "--traces",
        metavar="DIR",
        default=os.environ.get(_VARIABLE),
        help=f"where the traces are (default: the environment variable {_VARIABLE})",
    )
    parser.add_argument("--only", type=_names(), default=[], metavar="A,B", help="these traces")
    parser.add_argument(
        "--requests", type=positive, metavar="N", help="of each trace (default: all)"
    )
    parser.add_argument(
        "--sizes",
        type=_shares,
        default=_shares(_SIZES),
        metavar="X,Y",
        help=f"parts of the distinct keys, or of their bytes, that are held (default {_SIZES})",
    )
    for option, known in (("--policies", POLICIES), ("--rivals", RIVALS)):
        parser.add_argument(
            option,
            type=_names(known),
            default=list(known),
            metavar="A,B",
            help=f"of {', '.join(known)}" + ("; or none" if option == "--rivals" else ""),
        )
    parser.add_argument(
        "--rival-requests",
        type=positive,
        default=_RIVAL_REQUESTS,
        metavar="N",
        help=f"of each trace, where rivals take part (default {_RIVAL_REQUESTS:,})",
    )
    parser.add_argument(
        "--output", metavar="DIR", help="where the results go (default: bench/results/)"
    )
    parser.add_argument("--docs", action="store_true", help="write docs/eviction.md, its picture")
    parser.add_argument(
        "--results", metavar="FILE", help="run nothing: take the results of an earlier run"
    )
    return parser


def _shares(text: str) -> list[float]:
    shares = [float(part) for part in text.split(",")]
    if not all(0 < share <= 1 for share in shares):
        raise argparse.ArgumentTypeError("parts are above 0, and 1 at most")
    return shares


def _names(known: Sequence[str] = ()) -> Any:
    def names(text: str) -> list[str]:
        asked = [] if text == "none" else text.split(",")
        if known and (unknown := sorted(set(asked) - set(known))):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not of {', '.join(known)}")
        return asked

    return names


def _keep(results: dict[str, Any], output: str) -> None:
    os.makedirs(output, exist_ok=True)
    with open(os.path.join(output, _RESULTS), "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1, ensure_ascii=False)
        file.write("\n")


def _write_docs(results: dict[str, Any], documents: str) -> None:
    from bench.eviction._plot import write_plot  # the rest needs no matplotlib

    plot = os.path.join(documents, _PLOT)
    os.makedirs(os.path.dirname(plot), exist_ok=True)
    with open(os.path.join(documents, _PAGE), "w", encoding="utf-8") as file:
        file.write(page(results, _PLOT))
    write_plot(results, plot)


if __name__ == "__main__":
    sys.exit(main())
