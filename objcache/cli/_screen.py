"""What the commands have in common on the terminal: the console, tables, numbers with their nouns.

Knows: the terminal. Must not know: what is shown.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

__all__ = ["console", "counted", "show_table"]

_WIDTH_OF_FILES: Final = 160


def console(*, no_color: bool) -> Console:
    """Return the console of stdout: no control codes and no narrow lines if it is a file."""
    terminal = sys.stdout.isatty()
    return Console(
        force_terminal=terminal,
        # None looks at NO_COLOR, False would not.
        no_color=no_color or None,
        width=None if terminal else _WIDTH_OF_FILES,
        highlight=False,
        markup=False,  # a path may well contain [brackets]
        emoji=False,
        soft_wrap=True,
    )


def show_table(
    output: Console, columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: int = 99
) -> None:
    """Print a table: *columns* are its headings, none of them for none.

    Args:
        output: where.
        columns: their names.
        rows: as many texts each.
        right: from this column on they are numbers.
    """
    table = Table(box=None, pad_edge=False, show_header=bool(columns))
    for number, name in enumerate(columns or [""] * len(rows[0])):
        table.add_column(name, justify="right" if number >= right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    output.print(table)


def counted(number: int, one: str, several: str = "") -> str:
    """Return *number* with its noun: `1 file`, `2 files`; *several* where no s makes it."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"
