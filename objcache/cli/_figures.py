"""The charts of a report.

Knows: plotly, and what each chart is to show. Must not know: stores, and the page around them.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any, Final

from plotly import graph_objects
from plotly.offline import get_plotlyjs

from objcache.cli._keys import size_text, span_text
from objcache.cli._portrait import CACHES, FUNCTIONS, KINDS, STORE

__all__ = ["COLOURS", "figures", "library"]

# Okabe and Ito (2008): told apart by people who see fewer colours too.
COLOURS: Final = {FUNCTIONS: "#0072b2", CACHES: "#d55e00", STORE: "#009e73"}
_HITS: Final = COLOURS[FUNCTIONS]
_SHOWN_FUNCTIONS: Final = 15
_LONGEST_NAME: Final = 26
_BAR_PX: Final = 30
_MARGIN_PX: Final = 90
# The page gives texts and lines its own colours, light or dark.
_LAYOUT: Final[dict[str, Any]] = {
    "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"family": "system-ui, sans-serif", "size": 13},
    "template": None,
    "hoverlabel": {"align": "left"},
}

Numbers = dict[str, Any]


def library() -> str:
    """Return the JavaScript that draws the charts."""
    return str(get_plotlyjs())


def figures(numbers: Numbers) -> dict[str, Any]:
    """Return the charts for *numbers*, by the names of their places in the page, for JSON.

    A chart without anything to show is left out.
    """
    drawn = {"areas": _treemap(numbers["areas"])} if numbers["areas"] else {}
    for name in ("ages", "sizes", "deadlines"):
        if any(map(sum, numbers[name]["entries"].values())):
            drawn[name] = _histogram(numbers[name])
    functions = [one for one in numbers["stats"]["functions"] if one["hits"] + one["misses"]]
    if functions:
        functions.sort(key=lambda one: (-one["saved_s"], -one["hits"], one["name"]))
        drawn["hit_ratios"] = _hit_ratios(functions[:_SHOWN_FUNCTIONS])
        if functions[0]["saved_s"]:
            drawn["saved"] = _saved(functions[:_SHOWN_FUNCTIONS])
    return {name: figure.to_plotly_json() for name, figure in drawn.items()}


def _treemap(areas: Sequence[Numbers]) -> graph_objects.Figure:
    """Draw the tree of what lies in the store; a click goes into a part of it."""
    ids = ["", *("\0".join(area["path"]) for area in areas)]
    whole = {
        "entries": sum(area["entries"] for area in areas if len(area["path"]) == 1),
        "size_bytes": sum(area["size_bytes"] for area in areas if len(area["path"]) == 1),
    }
    every = [whole, *areas]
    trace = graph_objects.Treemap(
        ids=["all", *ids[1:]],
        labels=["all", *(_text(area["path"][-1]) for area in areas)],
        parents=["", *("\0".join(area["path"][:-1]) or "all" for area in areas)],
        values=[area["size_bytes"] for area in every],
        customdata=[(f"{area['entries']:,}", size_text(area["size_bytes"])) for area in every],
        branchvalues="total",
        maxdepth=5,
        marker={
            "colors": ["rgba(0,0,0,0)", *(COLOURS[area["path"][0]] for area in areas)],
            "depthfade": True,
            "cornerradius": 3,
        },
        tiling={"pad": 3},
        pathbar={"visible": True, "thickness": 24},
        texttemplate="%{label}<br>%{customdata[1]}",
        hovertemplate=(
            "<b>%{label}</b><br>%{customdata[1]}, %{customdata[0]} entries<br>"
            "%{percentRoot:.1%} of all<extra></extra>"
        ),
    )
    figure = graph_objects.Figure(trace, _LAYOUT)
    # The bar of the path lies in the margin.
    return figure.update_layout(height=520, margin={"t": 32})


def _histogram(bins: Numbers) -> graph_objects.Figure:
    """Draw bars of entries and, hidden at first, bars of bytes: `meta` says which is which."""
    figure = graph_objects.Figure(layout=_LAYOUT)
    labels = bins["labels"]
    filled = [any(bins["entries"][kind][bar] for kind in KINDS) for bar in range(len(labels))]
    first, last = filled.index(True), len(filled) - filled[::-1].index(True)
    for unit in ("entries", "size_bytes"):
        for kind in KINDS:
            counts = bins[unit][kind][first:last]
            if any(bins["entries"][kind]):
                shown = [
                    size_text(count) if unit == "size_bytes" else f"{count:,}" for count in counts
                ]
                figure.add_bar(
                    x=labels[first:last],
                    y=counts,
                    name=kind,
                    meta=unit,
                    visible=unit == "entries",
                    marker={"color": COLOURS[kind]},
                    customdata=shown,
                    hovertemplate="%{x}: %{customdata}<extra>" + kind + "</extra>",
                )
    return figure.update_layout(
        barmode="stack",
        height=300,
        bargap=0.15,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        showlegend=True,
        xaxis={"type": "category", "automargin": True},
        yaxis={"automargin": True, "rangemode": "tozero", "tickformat": "~s"},
    )


def _hit_ratios(functions: Sequence[Numbers]) -> graph_objects.Figure:
    figure = _bars(
        functions,
        [one["hit_ratio"] for one in functions],
        [f"{one['hit_ratio']:.1%}" for one in functions],
        [f"{one['hits']:,} hits, {one['misses']:,} misses" for one in functions],
    )
    return figure.update_xaxes(range=[0, 1.35], tickformat=".0%", tickvals=[0, 0.5, 1])


def _saved(functions: Sequence[Numbers]) -> graph_objects.Figure:
    spans = [span_text(one["saved_s"]) for one in functions]
    hovers = [f"{one['saved_s']:,.3f} s saved" for one in functions]
    figure = _bars(functions, [one["saved_s"] for one in functions], spans, hovers)
    longest = functions[0]["saved_s"]
    return figure.update_xaxes(
        range=[0, longest * 1.5], tickformat="~s", ticksuffix="s", nticks=3, tickangle=0
    )


def _bars(
    functions: Sequence[Numbers],
    lengths: Sequence[float],
    texts: Sequence[str],
    hovers: Sequence[str],
) -> graph_objects.Figure:
    """Draw a bar for each function, the first at the top."""
    trace = graph_objects.Bar(
        orientation="h",
        x=lengths,
        # Two functions may be called the same; each has a bar of its own.
        y=list(range(len(functions))),
        text=texts,
        textposition="outside",
        cliponaxis=False,
        marker={"color": _HITS},
        customdata=[
            (_text(one["name"]), hover) for one, hover in zip(functions, hovers, strict=True)
        ],
        hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}<extra></extra>",
    )
    figure = graph_objects.Figure(trace, _LAYOUT)
    return figure.update_layout(
        height=_MARGIN_PX + _BAR_PX * len(functions),
        xaxis={"automargin": True, "fixedrange": True},
        yaxis={
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
            "autorange": "reversed",
            "fixedrange": True,
            "tickvals": list(range(len(functions))),
            "ticktext": [_short(one["name"]) for one in functions],
        },
    )


def _short(name: str) -> str:
    """Return the end of a dotted name: its beginning is what many have in common."""
    return _text(name if len(name) <= _LONGEST_NAME else "…" + name[1 - _LONGEST_NAME :])


def _text(text: str) -> str:
    """Return *text* as plotly shows it: it takes some tags, and a key may look like one."""
    return html.escape(text, quote=False)
