"""How Sphinx builds these pages: `sphinx-build -W -n --keep-going docs build/docs`.

The same pages are read on a forge: links between them are relative links to `.md` files, and what
only Sphinx understands (the lists of pages, the docstrings) stands on pages of its own. Nothing is
fetched: no inventories of other projects, no fonts, no scripts from elsewhere.
"""

import re
from typing import Any

from objcache import __version__

project = "objcache"
author = "The objcache authors"
copyright = author  # noqa: A001  # Sphinx asks for this name
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
root_doc = "index"
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"objcache {version}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_favicon = "_static/icon.svg"
# Found pages are shown without a part of their text: from a disk a browser fetches none.
html_show_search_summary = False
html_copy_source = False
html_show_sphinx = False

# The anchors that a forge gives to headings, so that `page.md#heading` leads there in both places.
myst_heading_anchors = 4

# Docstrings are plain English with names in single backticks.
default_role = "literal"
autodoc_member_order = "bysource"
# Of extras that building the pages does not need.
autodoc_mock_imports = ["opentelemetry", "prometheus_client"]
autodoc_typehints = "none"  # the types stand in the docstrings where they say something
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False  # as above
napoleon_custom_sections = ["Cost", "Concurrency"]

# Without inventories of other projects only our own names can be checked: those must resolve.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!objcache\b).*")]


def join_errors(
    _app: Any, _what: str, _name: str, _documented: Any, _options: Any, lines: list[str]
) -> None:
    """Put errors that share one text onto one line, as napoleon wants them."""
    joined: list[str] = []
    for line in lines:
        if joined and re.fullmatch(r"\s+(\w+Error, )*\w+Error,", joined[-1]):
            joined[-1] += f" {line.strip()}"
        else:
            joined.append(line)
    lines[:] = joined


def setup(app: Any) -> None:
    """Connect what is above, to run before napoleon."""
    app.connect("autodoc-process-docstring", join_errors, priority=400)
