"""The picture: hits of each policy as a part of what the clairvoyant has.

Knows: matplotlib and results. Must not know: how they were measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.eviction._table import OBJECTS, comparisons

__all__ = ["write_plot"]

_SHOWN: Final = {
    "objcache gate": ("#c0392b", "o"),
    "objcache lru": ("#e59866", "s"),
    "exact lru": ("#7f8c8d", "|"),
    "diskcache least-recently-stored": ("#2c6fad", "x"),
}
_BEST: Final = "clairvoyant"


def write_plot(results: Mapping[str, Any], path: str) -> None:
    """Write one panel for each part of the results: a line a trace and size, a mark a policy."""
    parts = results["parts"]
    # Text stays text and ids do not vary: the file is small, and differs where numbers do.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "objcache", "font.size": 8}):
        figure = Figure(figsize=(5.2 * len(parts), 4.6), layout="constrained")
        panels = figure.subplots(1, len(parts), squeeze=False)[0]
        for panel, part in zip(panels, parts, strict=True):
            _panel(panel, part)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _panel(panel: Any, part: Mapping[str, Any]) -> None:
    compared = list(reversed(comparisons(part, OBJECTS)))
    for name, (colour, marker) in _SHOWN.items():
        points = [
            (each.times(name, _BEST), height)
            for height, each in enumerate(compared)
            if each.times(name, _BEST) is not None
        ]
        if points:
            panel.plot(
                [part_ for part_, _ in points],
                [height for _, height in points],
                marker,
                color=colour,
                label=name,
                markersize=8 if marker == "|" else 5,
                markeredgewidth=2 if marker == "|" else 1,
            )
    panel.set_yticks(range(len(compared)), [f"{each.trace}, {each.share:.0%}" for each in compared])
    panel.set_xlim(0, 1)
    requests = part["requests"]
    panel.set_title(
        "hits, as a part of those of the clairvoyant\n"
        + (f"first {requests:,} requests" if requests else "whole traces"),
        fontsize=9,
    )
    panel.grid(color="#dddddd", linewidth=0.5)
    panel.set_axisbelow(True)
    panel.legend(loc="lower left", fontsize=7)
