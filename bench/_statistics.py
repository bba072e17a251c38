"""Medians, percentiles, and ratios with their spread.

Knows: numbers. Must not know: where they come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median, quantiles
from typing import NamedTuple

__all__ = ["Ratio", "Summary", "p99", "p999", "ratio", "summary"]


class Summary(NamedTuple):
    """How long an operation took, over all rounds, in nanoseconds."""

    operations: int
    median_ns: float
    p90_ns: float
    p99_ns: float
    max_ns: float
    mean_ns: float


class Ratio(NamedTuple):
    """The median over the rounds of a ratio of two medians, and between what 80 % of them lie."""

    median: float
    p10: float
    p90: float
    rounds: int


def summary(taken_ns: Sequence[int]) -> Summary:
    """Return the summary of *taken_ns*, interpolated between neighbours."""
    hundredths = _hundredths(taken_ns)
    return Summary(
        operations=len(taken_ns),
        median_ns=median(taken_ns),
        p90_ns=hundredths[89],
        p99_ns=hundredths[98],
        max_ns=max(taken_ns),
        mean_ns=fmean(taken_ns),
    )


def p99(taken_ns: Sequence[int]) -> float:
    """Return the 99th percentile, interpolated between neighbours."""
    return _hundredths(taken_ns)[98]


def p999(taken_ns: Sequence[int]) -> float:
    """Return the 99.9th percentile, interpolated between neighbours."""
    if len(taken_ns) == 1:
        return taken_ns[0]
    return quantiles(taken_ns, n=1000, method="inclusive")[998]


def ratio(
    numerators: Sequence[float],
    denominators: Sequence[float],
    baselines: Sequence[float] | None = None,
) -> Ratio:
    """Return the ratio of two series that were measured round by round.

    Args:
        numerators: one number a round.
        denominators: the other side, in the same rounds.
        baselines: subtracted from both, round by round.
    """
    if baselines is None:
        baselines = [0.0] * len(numerators)
    ratios = [
        (upper - base) / (lower - base)
        for upper, lower, base in zip(numerators, denominators, baselines, strict=True)
    ]
    hundredths = _hundredths(ratios)
    return Ratio(median(ratios), hundredths[9], hundredths[89], len(ratios))


def _hundredths(numbers: Sequence[float]) -> list[float]:
    if len(numbers) == 1:
        return [numbers[0]] * 99
    return quantiles(numbers, n=100, method="inclusive")
