"""What the demo shows: every number with the label of what it is."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from objcache.cli._analysis import analyse_source
from objcache.cli._demo_report import FirstRun, Report, Run, show_report
from objcache.cli._screen import console
from objcache.cli._survey import survey

COMPUTED = Run(8.0, 4, 6.0, 0, 0.0, survey_read=False)
READ = Run(0.5, 0, 0.0, 4, 0.25, survey_read=True)
MIXED = Run(1.0, 1, 0.5, 3, 0.03, survey_read=False)
FIRST = FirstRun(1_000_000.0, 1, 4, 8.0, 6.0)


def shown(run, first_run, *, width=160, encoding="utf-8", skipped=(), sources=None):
    """The report as text."""
    sources = sources or {"a": "import b\n", "b": "import a\ndef f(x):\n return x or 1\n"}
    files = [analyse_source(name, source.encode()) for name, source in sources.items()]
    report = Report(
        root="/tree/[bold]",
        files=len(files),
        skipped=skipped,
        survey=survey(files),
        run=run,
        first_run=first_run,
        store_path="/store/[red]",
        store_bytes=3 << 20,
    )
    raw = io.BytesIO()
    text = io.TextIOWrapper(raw, encoding=encoding, newline="")
    show_report(Console(file=text, width=width, markup=False, emoji=False, soft_wrap=True), report)
    text.flush()
    return raw.getvalue().decode(encoding)


def test_first_run_promises_the_second():
    """A run that computed everything compares itself to nothing."""
    text = shown(COMPUTED, FIRST)

    assert "0 of 4 answers came from disk, 4 were computed; the survey of all files was" in text
    assert "this run: 8.000 s\nrun it again" in text
    assert "computed ████████████████████ 1,500.000 ms (6.000 s for 4, this run)" in text
    assert "first run" not in text
    assert "3.0 MiB on disk in /store/[red]\n" in text


def test_second_run_is_compared_to_the_first():
    """A run that read everything tells the first run's numbers as the first run's."""
    text = shown(READ, FIRST)

    assert "4 of 4 answers came from disk, 0 were computed; the survey of all files came" in text
    assert "this run: 0.500 s\nfirst run: 8.000 s, begun 1970-01-1" in text
    assert "speed-up: 16.0 times" in text
    assert "computed ████████████████████ 1,500.000 ms (6.000 s for 4, the first run)" in text
    assert "from disk █ 62.500 ms (0.250 s for 4, this run)" in text


def test_mixed_run_compares_its_own_answers():
    """Where some were computed and some read, both times are those of this run."""
    text = shown(MIXED, FIRST)

    assert "3 of 4 answers came from disk, 1 were computed" in text
    assert "500.000 ms (0.500 s for 1, this run)" in text
    assert "10.000 ms (0.030 s for 3, this run)" in text


@pytest.mark.parametrize("first_run", [None, FIRST._replace(computed=9)])
def test_other_runs_are_no_comparison(first_run):
    """Nothing is compared to a first run that is unknown or was of other files."""
    text = shown(READ, first_run)

    assert "speed-up" not in text
    assert "first run: " not in text


def test_first_run_in_parts_is_told():
    """A first run that was interrupted is said to be two runs."""
    assert "first run: 8.000 s in 2 runs, begun" in shown(READ, FIRST._replace(runs=2))


def test_findings_are_shown():
    """Functions, imports, cycles and chains are there, numbers in the singular where it is one."""
    text = shown(READ, None)

    assert "/tree/[bold]\n2 files, 4 lines, 1 function, 0 classes\n" in text
    assert "b.f                              2      0      2" in text
    assert "1 import cycle when modules are loaded, the largest of 2: a, b\n" in text
    assert "longest chain of imports: 1 module\n  a\n" in text
    assert "skipped" not in text


def test_skipped_files_are_counted_by_reason():
    """What was skipped is counted by its kind, with an example."""
    skipped = (("x.py", "SyntaxError: bad (line 1)"), ("y.py", "gone"), ("z.py", "SyntaxError: b"))
    text = shown(READ, None, skipped=skipped)

    assert "3 files skipped: SyntaxError 2, gone 1\n  e.g. x.py: SyntaxError: bad (line 1)" in text


def test_copies_are_shown():
    """Copied functions are listed with what they waste; long lists are cut, and say so."""
    body = "(rows):\n" + "".join(f"    rows[{n}] = rows[{n + 1}] * {n}\n" for n in range(9))
    text = shown(READ, None, sources={f"m{n}": f"def f{body}" for n in range(7)})

    assert "1 function found again elsewhere" in text
    assert "60 lines: m0.f, m1.f, m2.f, m3.f, m4.f and 2 more\n" in text


def test_little_is_shown_of_little():
    """A tree without functions and imports has no empty tables."""
    text = shown(READ, None, sources={"a": ""})

    assert "complex" not in text
    assert "import" not in text


def test_late_imports_are_shown():
    """Imports made later are counted, with those that must be."""
    sources = {"a": "import b\n", "b": "def f():\n import a\n"}

    assert "1 import made later, 1 of them would close a cycle\n" in shown(
        READ, None, sources=sources
    )


def test_output_that_knows_ascii_only():
    """Bars are drawn with what the output can encode."""
    text = shown(COMPUTED, None, encoding="ascii")

    assert "computed #################### 1,500.000 ms" in text


def test_nothing_is_lost_in_a_narrow_terminal():
    """Names are folded, not cut, where the terminal is narrow."""
    name = "a_rather_long_name_of_a_function_that_does_not_fit"
    text = shown(READ, None, width=60, sources={"m": f"def {name}(): pass\n"})

    assert "…" not in text
    assert name in "".join(line.split(" ")[0] for line in text.splitlines())


def test_console_of_a_file_is_plain():
    """Without a terminal there are no control codes, and lines are not narrow."""
    output = console(no_color=False)

    assert not output.is_terminal
    assert 160 == output.width
