"""How far it is: told, but not too often."""

from __future__ import annotations

import pytest

from objcache.cli._progress import progress


@pytest.mark.parametrize(
    ("total", "lines"), [(1, 1), (7, 7), (10, 10), (25, 10), (1000, 10), (1001, 10)]
)
def test_a_line_for_each_tenth(total, lines, capsys):
    """Where there is no terminal, at most ten lines go to stderr, the last one at the end."""
    with progress(total, no_color=False) as advance:
        for _ in range(total):
            advance()
    written = capsys.readouterr()

    assert "" == written.out
    assert lines == len(written.err.splitlines())
    assert written.err.endswith(f"analysed {total:,} of {total:,} files\n")


def test_other_work_has_other_words(capsys):
    """What was done to what is said by whoever does it."""
    with progress(2, no_color=False, words=("importing", "read", "entries")) as advance:
        advance()

    assert "read 1 of 2 entries\n" == capsys.readouterr().err
