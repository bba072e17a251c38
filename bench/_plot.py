"""The picture: medians of all engines, by workload.

Knows: matplotlib and results. Must not know: how they were measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from bench._page import readable_ns

__all__ = ["write_plot"]

_COLUMNS: Final = 2
_TICKS: Final = 3  # as many as have room side by side
_OURS: Final = "#c0392b"
_LIMIT: Final = "#7f8c8d"
_OTHERS: Final = "#2c6fad"


def write_plot(results: Mapping[str, Any], path: str) -> None:
    """Write one panel a workload: a dot at the median, a line to the 99th percentile."""
    workloads = results["workloads"]
    columns = min(_COLUMNS, len(workloads))
    height = math.ceil(len(workloads) / columns)
    # Text stays text and ids do not vary: the file is small, and differs where numbers do.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "objcache", "font.size": 8}):
        figure = Figure(figsize=(4.6 * columns, 2.0 * height), layout="constrained")
        panels = list(figure.subplots(height, columns, squeeze=False).flat)
        for panel, workload in zip(panels, workloads, strict=False):
            _panel(panel, workload)
        for panel in panels[len(workloads) :]:
            panel.set_axis_off()
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _panel(panel: Any, workload: Mapping[str, Any]) -> None:
    rows = sorted(workload["rows"], key=lambda row: -row["median_ns"])
    for height, row in enumerate(rows):
        colour = _colour(row["name"])
        panel.plot([row["median_ns"], row["p99_ns"]], [height, height], color=colour, linewidth=1)
        panel.plot([row["median_ns"]], [height], "o", color=colour, markersize=4)
    panel.set_xscale("log")
    low = min(row["median_ns"] for row in rows)
    high = max(row["p99_ns"] for row in rows)
    panel.set_xlim(low / 2, high * 2)
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: readable_ns(value)))
    panel.xaxis.set_major_locator(LogLocator(numticks=_TICKS))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_yticks(range(len(rows)), [row["name"] for row in rows])
    # A title may be wider than its panel: to the left there is room above the names.
    panel.set_title(workload["title"], fontsize=9, loc="right")
    panel.grid(axis="x", color="#dddddd", linewidth=0.5)
    panel.set_axisbelow(True)


def _colour(name: str) -> str:
    if "objcache" in name:
        return _OURS
    return _LIMIT if name.startswith("limit") else _OTHERS
