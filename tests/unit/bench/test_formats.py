"""The page about formats says what is so."""

import pathlib
import re

import pytest

from bench import formats

PAGE = pathlib.Path(formats.__file__).parents[1] / "docs" / "howto" / "formats.md"


def rows_below(heading):
    """The rows of the table under *heading*: name, and cells."""
    section = PAGE.read_text().partition(f"\n### {heading}\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| (.+) \|$", section, re.MULTILINE)[2:]
    return {name: cells for name, *cells in (row.split(" | ") for row in rows)}


def test_sizes_are_those_of_the_page():
    """Whoever runs it again finds the sizes that the page tells, on any machine."""
    told = rows_below("Size, and the libraries alone")

    assert {
        name: [f"{size:,}" for size in sizes] for name, sizes in formats.measured_sizes().items()
    } == {name: cells[::3] for name, cells in told.items()}


def test_the_page_tells_what_comes_back():
    """What each format refuses or alters is in the table, and nothing else is."""
    assert formats.comes_back() == rows_below("What comes back")


@pytest.mark.parametrize("name", formats.values())
def test_what_is_measured_comes_back(name):
    """No format is timed for a value that it does not keep."""
    value = formats.values()[name]

    for form in formats.FORMATS:
        assert value == form.loads(form.dumps(value)), form.name
