"""The page of a report: one file that needs nothing else, not even a network.

Knows: the template beside it. Must not know: stores, and how charts are drawn.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, StrictUndefined

from objcache.cli._keys import moment_text, names_text, ratio_text, size_text, span_text

__all__ = ["MARK", "page"]

MARK: Final = '<meta name="generator" content="objcache report">'
"""What a page has near its beginning, and no other file."""

_TEMPLATE: Final = "report.html"


def page(numbers: dict[str, Any], figures: dict[str, Any], library: str) -> str:
    """Return the page.

    Args:
        numbers: what is told, and kept in the page for programs.
        figures: charts, by the names of their places.
        library: the JavaScript that draws them.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters.update(
        moment=moment_text,
        names=lambda names: names_text(tuple(names)),
        ratio=ratio_text,
        size=size_text,
        span=span_text,
    )
    template = files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8")
    return environment.from_string(template).render(
        mark=MARK, numbers=numbers, stats=numbers["stats"], figures=figures, library=library
    )
