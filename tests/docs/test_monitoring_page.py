"""The page on monitoring tells of every message and every event."""

from __future__ import annotations

import ast
import pathlib
import re

from objcache import events
from objcache.integrations._numbers import NUMBERS

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "monitoring.md").read_text()
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "warn"}


def messages():
    """Level and text of each message that the package logs."""
    for file in (ROOT / "objcache").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            function = node.func
            if isinstance(function, ast.Attribute) and function.attr in LEVELS:
                if "getLogger" not in ast.unparse(function.value):
                    continue
                level = function.attr
            elif isinstance(function, ast.Name) and function.id == "warn":
                level = "warning"
            else:
                continue
            if isinstance(node.args[0], ast.Constant):  # else it passes on what it was given
                yield {"exception": "error"}.get(level, level), node.args[0].value


def test_every_message_is_documented():
    """The table of the page has each message of the logger with its level, and no other."""
    table = set(re.findall(r"^\| (warning|error|info|debug) \| `([^`]+)` \|", PAGE, re.MULTILINE))

    assert set(messages()) == table


def test_every_event_is_documented():
    """The table of the page has each event, and no other."""
    table = set(re.findall(r"^\| `([A-Z]\w+)` \|", PAGE, re.MULTILINE))
    kinds = {name for name in events.__all__ if hasattr(getattr(events, name), "_fields")}

    assert kinds == table


def test_every_number_is_documented():
    """The table of the page has each number, under what it is of and how it changes."""
    rows = {
        "": r"^\| each \|(.*)\|(.*)\|$",
        "cache": r"^\| a `Cache` \|(.*)\|(.*)\|$",
        "function": r"^\| a memoized function \|(.*)\|(.*)\|$",
        "store": r"^\| a `Store` \|(.*)\|(.*)\|$",
    }
    for kind, pattern in rows.items():
        counters, gauges = re.search(pattern, PAGE, re.MULTILINE).groups()
        for column, grows in ((counters, True), (gauges, False)):
            wanted = [
                "_".join((*number.words[-1:], number.unit)).rstrip("_")
                for number in NUMBERS
                if (number.kind, number.grows) == (kind, grows)
            ]

            assert wanted == re.findall(r"`(\w+)`", column.partition(":")[0])
