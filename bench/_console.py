"""The same results for the terminal.

Knows: results. Must not know: how they were measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from bench._losses import losses
from bench._page import readable_bytes, readable_ns, readable_ratio, verdict
from bench._targets import judge, row_ratio

__all__ = ["print_results"]


def print_results(results: Mapping[str, Any]) -> None:
    """Print medians and tails, the targets, and where objcache loses."""
    for workload in results["workloads"]:
        print(f"\n{workload['title']}")
        for row in workload["rows"]:
            times = row_ratio(workload, row["name"], workload["reference"])
            print(
                f"  {row['name']:<30}{readable_ns(row['median_ns']):>10}"
                f"{readable_ns(row['p99_ns']):>10} p99{readable_ns(row['max_ns']):>10} max"
                + (f"   {readable_ratio(times)}" if times else "")
                + _bounded(row)
                + _bytes(row)
            )
            for kind, found in row.get("others", {}).items():
                print(
                    f"    {kind:<28}{readable_ns(found['median_ns']):>10}"
                    f"{readable_ns(found['p99_ns']):>10} p99{readable_ns(found['max_ns']):>10} max"
                )
    print("\nwhat was asked")
    for judged in judge(results):
        if judged.measured is None and results["scope"] == "partial":
            continue
        asked = f"{'<=' if judged.target.at_most else '>='} {judged.target.asked:g}"
        measured = readable_ratio(judged.measured) if judged.measured else "-"
        whole = readable_ratio(judged.whole) if judged.whole else "-"
        words = f"  {judged.target.words:<72}{asked:>7}  {measured:<24}{verdict(judged):<14}"
        print(f"{words}whole slices: {whole}")
    print("\nwhere objcache loses (times longer at the median; at p99; the other side promises)")
    for loss in losses(results):
        print(
            f"  {loss.title:<42}{loss.ours:<20}to {loss.theirs:<16}"
            f"{readable_ratio(loss.times):<24}{loss.p99_times:>8.2f}  {loss.promise}"
        )
    for name, why in results["absent"].items():
        print(f"\nleft out: {name} ({why})")


def _bounded(row: Mapping[str, Any]) -> str:
    if "held" not in row:
        return ""
    return f"   p99.9 {readable_ns(median(row['round_p999s_ns']))}, {median(row['held']):,.0f} held"


def _bytes(row: Mapping[str, Any]) -> str:
    if "written_bytes" not in row:
        return ""
    given, written, others, grown, files = (
        readable_bytes(median(row[f"{name}_bytes"]))
        for name in ("given", "written", "others", "grown", "file")
    )
    return (
        f"   a commit: {given} given, {written} written, {grown} grown; files {files}; "
        f"others {others}/s"
    )
