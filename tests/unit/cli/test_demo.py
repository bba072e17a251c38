"""The command line, as real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest

from objcache import ManualClock, Store
from objcache.cli import _analysis, _demo
from objcache.cli._analysis import analyse_source
from objcache.cli._demo_report import FirstRun
from objcache.cli._sources import find_sources, read_source
from tests.unit.cli.processes import objcache
from tests.unit.cli.terminals import on_terminal


@pytest.fixture
def tree(tmp_path):
    """A small source tree."""
    root = tmp_path / "tree"
    (root / "package").mkdir(parents=True)
    for number in range(6):
        (root / "package" / f"m{number}.py").write_text(
            f"def f(x):\n    return x if x else {number}\n"
        )
    (root / "bad.py").write_text("def f(:\n")
    (root / "package" / "notes.txt").write_text("not Python")
    return root


def counts(done):
    """Hits, all, and computed, from the summary."""
    found = re.search(r"(\d+) of (\d+) answers came from disk, (\d+) were computed", done.stdout)

    assert found, done.stderr
    return tuple(map(int, found.groups()))


def test_second_run_answers_from_disk(tree, path):
    """A fresh process finds every result; an edited file is the only one computed again."""
    first = objcache("demo", "--path", tree, "--store", path)
    second = objcache("demo", "--path", tree, "--store", path)
    (tree / "package" / "m3.py").write_text("def g(y):\n    return y\n")
    edited = objcache("demo", "--path", tree, "--store", path)
    fresh = objcache("demo", "--path", tree, "--store", path, "--fresh")

    assert [0] * 4 == [done.returncode for done in (first, second, edited, fresh)]
    assert [(0, 7, 7), (7, 7, 0), (6, 7, 1), (0, 7, 7)] == [
        counts(done) for done in (first, second, edited, fresh)
    ]
    assert "7 files, " in first.stdout
    assert "1 file skipped: SyntaxError 1\n" in first.stdout
    assert "the survey of all files was computed" in first.stdout
    assert "the survey of all files came from disk" in second.stdout
    assert "first run:" not in first.stdout
    assert "first run:" in second.stdout
    assert "speed-up:" in second.stdout
    assert "MiB on disk in" in second.stdout
    assert path in second.stdout
    assert "\x1b" not in first.stdout + first.stderr
    assert 10 >= len(first.stderr.splitlines())


def test_demo_analyses_the_standard_library(path):
    """Without --path the input is the running Python's standard library."""
    done = objcache("demo", "--store", path, "--limit", 5)

    assert (0, 5, 5) == counts(done)
    assert os.path.dirname(os.__file__) in done.stdout


def test_default_store_is_the_demos_own(tree, tmp_path):
    """Without --store the results lie beside the user's default store, not in it."""
    done = objcache("demo", "--path", tree, OBJCACHE_DIR=str(tmp_path / "mine"))

    assert 0 == done.returncode
    assert str(tmp_path / "mine-demo") in done.stdout
    assert not (tmp_path / "mine").exists()


def test_version_and_help():
    """--version and --help answer without a store."""
    assert "objcache, version 0.1.0\n" == objcache("--version").stdout
    assert "demo" in objcache("--help").stdout
    assert objcache("--help").stdout == objcache().stdout
    assert "Example: objcache demo" in objcache("demo", "--help").stdout


def test_bad_input_is_one_line_and_exit_code_2(tree, path, tmp_path):
    """Each mistake gives one clear line, exit code 2, and makes nothing."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    cases = [
        (("demo", "--path", tmp_path / "missing", "--store", path), "No such file"),
        (("demo", "--path", tree / "package" / "notes.txt", "--store", path), "nor a .py file"),
        (("demo", "--path", tmp_path / "empty", "--store", path), "there are no Python files"),
        (("demo", "--path", "", "--store", path), "cannot read ''"),
        (("demo", "--path", tree, "--store", ""), "--store is empty"),
        (
            ("demo", "--path", tree, "--store", tmp_path / "file"),
            "is a file, a store is a directory",
        ),
        (("demo", "--limit", "0"), "0 is not in the range"),
        (("demo", "--nonsense"), "No such option"),
        (("nonsense",), "there is no command"),
    ]
    for arguments, message in cases:
        done = objcache(*arguments)

        assert (2, "") == (done.returncode, done.stdout), arguments
        assert re.fullmatch(r"objcache: error: .*\n", done.stderr), done.stderr
        assert message in done.stderr
    assert not os.path.exists(path)


@pytest.mark.damages
def test_store_of_another_secret_is_refused(tree, path):
    """A demo store signed with another secret is named, with the remedies."""
    assert (
        0 == objcache("demo", "--path", tree, "--store", path, OBJCACHE_SECRET="a" * 32).returncode
    )
    done = objcache("demo", "--path", tree, "--store", path, OBJCACHE_SECRET="b" * 32)

    assert 2 == done.returncode
    assert "objcache: error: " in done.stderr
    assert "OBJCACHE_SECRET" in done.stderr


def test_interrupt_keeps_what_was_computed(path):
    """Ctrl-C ends the demo with exit code 130; the next run goes on, both are the first run."""
    process = subprocess.Popen(
        [sys.executable, "-m", "objcache", "demo", "--store", path, "--limit", "200"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    assert process.stderr.readline().startswith("analysed 20 of 200")
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert 130 == process.returncode, errors
    assert "objcache: interrupted; what was computed so far is kept" in errors
    hits, _, computed = counts(objcache("demo", "--store", path, "--limit", "200"))
    assert hits >= 20
    assert computed == 200 - hits
    assert re.search(
        r"first run: .* s in 2 runs, begun ",
        objcache("demo", "--store", path, "--limit", "200").stdout,
    )


def test_result_is_written_once_and_found_by_value(tree, path):
    """A renamed comment is another source; the old source again is found again; so is a part."""
    changed, original = tree / "package" / "m0.py", (tree / "package" / "m0.py").read_text()
    runs = []
    for text, options in ((original, ()), (original + "# why", ()), (original, ("--limit", 3))):
        changed.write_text(text)
        runs.append(objcache("demo", "--path", tree, "--store", path, *options))

    assert [(0, 7, 7), (6, 7, 1), (3, 3, 0)] == [counts(done) for done in runs]
    assert "first run:" in runs[1].stdout
    assert "first run:" not in runs[2].stdout  # it was of other files
    assert "(0." in runs[2].stdout.partition("time of one answer")[2]


def test_one_file_may_be_analysed(tree, path):
    """--path takes a single .py file, too."""
    done = objcache("demo", "--path", tree / "package" / "m1.py", "--store", path)

    assert (0, 1, 1) == counts(done)
    assert "package" in done.stdout


def test_fresh_removes_only_what_the_demo_made(tree, path):
    """--fresh in a store of one's own leaves one's own entries alone."""
    with Store(path) as store:
        store["demo", "mine"] = store["mine"] = 1
        store.namespace("mine")["a"] = 1
        store.memoize(len)("abc")
    first = objcache("demo", "--path", tree, "--store", path)
    fresh = objcache("demo", "--path", tree, "--store", path, "--fresh")

    assert [(0, 7, 7)] * 2 == [counts(first), counts(fresh)]
    assert "the survey of all files was computed" in fresh.stdout
    with Store(path) as store:
        assert (1, 1, 1) == (store["demo", "mine"], store["mine"], store.namespace("mine")["a"])
        assert 1 == store.memoize(len).cache_info().entries


def test_odd_names_and_files(tree, path):
    """Names that are no text, markup in names, pipes, dangling links: told, never a traceback."""
    odd = tree / "[red]é"
    odd.mkdir()
    name, shown = (
        (b"x\xff", "x\\udcff") if sys.platform == "linux" else (b"x", "x")
    )  # macOS refuses
    (odd / os.fsdecode(name + b".py")).write_text("def f(x):\n    return x or 1 or 2\n")
    os.mkfifo(odd / "pipe.py")
    (odd / "dangling.py").symlink_to("nowhere")
    for encoding in ("utf-8", "ascii"):
        done = objcache("demo", "--path", tree, "--store", path, PYTHONIOENCODING=encoding)

        assert 0 == done.returncode, done.stderr
        assert "[red]" in done.stdout
        assert f"{shown}.f" in done.stdout
        assert "8 files" in done.stdout
        assert "3 files skipped: No such file or directory 1, SyntaxError 1, not a regular" in (
            done.stdout
        )
        assert ("█" in done.stdout) == (encoding == "utf-8")


def test_tree_of_which_nothing_can_be_read(tmp_path, path):
    """Where every file refuses to be read, one of them is named."""
    os.mkfifo(tmp_path / "pipe.py")
    done = objcache("demo", "--path", tmp_path, "--store", path)

    assert 2 == done.returncode
    assert re.search(
        r"\nobjcache: error: cannot read any of the files, e.g. '.*pipe.py': not a r.*\n\Z",
        done.stderr,
    )


def test_warnings_of_the_sources_are_not_shown(tree, path):
    """What the parser has to say about the analysed code stays out of the output."""
    (tree / "warns.py").write_text('x = "\\d"\n')
    done = objcache("demo", "--path", tree, "--store", path, PYTHONWARNINGS="error")

    assert 0 == done.returncode, done.stderr
    assert "Warning" not in done.stdout + done.stderr
    assert "SyntaxError 1\n" in done.stdout


def test_reader_that_leaves_ends_it_quietly(tree, path):
    """`objcache demo | head -1` shows no traceback."""
    process = subprocess.Popen(
        [sys.executable, "-m", "objcache", "demo", "--path", tree, "--store", path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)

    assert "Error" not in errors
    assert "Traceback" not in errors


def test_terminal_gets_a_bar_and_colours(tree, path):
    """On a terminal there is a progress bar and colour; --no-color and NO_COLOR leave colour out."""
    coloured = re.compile(r"\x1b\[[0-9;]*3[0-9]")
    plain = on_terminal("demo", "--path", tree, "--store", path)
    without = on_terminal("demo", "--path", tree, "--store", path, "--no-color")
    environment = on_terminal("demo", "--path", tree, "--store", path, NO_COLOR="1")

    assert "analysing" in plain
    assert "analysed 1 of 7" not in plain
    assert coloured.search(plain)
    assert None is coloured.search(without)
    assert None is coloured.search(environment)


def test_file_gets_no_control_codes(tree, path, tmp_path):
    """A file or pipe gets no control codes, FORCE_COLOR or not, and there is no bar beside it."""
    done = objcache("demo", "--path", tree, "--store", path, FORCE_COLOR="1")
    with open(tmp_path / "report.txt", "w+") as report:
        beside = on_terminal("demo", "--path", tree, "--store", path, output=report)
        report.seek(0)

        assert "\x1b" not in done.stdout + done.stderr + report.read() + beside
    assert 7 == beside.count("analysed ")


def test_code_of_the_analysis_counts(tree, open_store, monkeypatch):
    """Results of another edition of the analysis are not taken for this one's."""
    store, found = open_store(), find_sources(str(tree))
    first, second = _demo._Work(store, found).run(), _demo._Work(store, found).run()
    monkeypatch.setattr(_analysis, "_SMALLEST_COPY_NODES", 61)  # as an edit of a helper would
    other = _demo._Work(store, found).run()

    assert [7, 0, 7] == [report.run.computed for report in (first, second, other)]
    assert [False, True] == [report.run.survey_read for report in (first, second)]


def test_name_of_the_module_counts(tmp_path, open_store):
    """Equal files in two places are two results: relative imports say other things there."""
    for package in ("one", "two"):
        (tmp_path / "tree" / package).mkdir(parents=True)
        (tmp_path / "tree" / package / "__init__.py").write_text("from . import x\n")
        (tmp_path / "tree" / package / "x.py").write_text("")
    report = _demo._Work(open_store(), find_sources(str(tmp_path / "tree"))).run()

    assert 4 == report.run.computed
    assert {"one.x", "two.x"} == {hub.module for hub in report.survey.hubs}


CLOCK = ManualClock(1_000_000.0)


def read_in_a_second(file):
    """Read a source file."""
    CLOCK.advance(1.0)
    return read_source(file)


def analyse_in_ten_seconds(module, source):
    """Analyse a source file. A function of the module: what it refers to is no part of its key."""
    CLOCK.advance(10.0)
    return analyse_source(module, source)


def test_times_are_of_what_they_say(tree, open_store, monkeypatch):
    """The run counts reading the sources, the answers do not; each kind of answer is by itself."""
    monkeypatch.setattr(_demo, "SYSTEM_CLOCK", CLOCK)
    monkeypatch.setattr(_demo, "read_source", read_in_a_second)
    monkeypatch.setattr(_demo, "analyse_source", analyse_in_ten_seconds)
    store, found = open_store(), find_sources(str(tree))
    first = _demo._Work(store, found).run()
    (tree / "package" / "m0.py").write_text("pass\n")
    second = _demo._Work(store, found).run()

    assert (77.0, 7, 70.0, 0, 0.0) == first.run[:5]
    assert (17.0, 1, 10.0, 6, 0.0) == second.run[:5]
    assert FirstRun(1_000_000.0, 1, 7, 77.0, 70.0) == first.first_run == second.first_run


@pytest.mark.parametrize("package", ["click", "rich"])
def test_missing_extra_is_told(tmp_path, package):
    """Without click or rich the command says what to install."""
    (tmp_path / f"{package}.py").write_text(
        f"raise ModuleNotFoundError(\"No module named '{package}'\", name='{package}')\n"
    )
    done = objcache("demo", PYTHONPATH=f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")

    assert 2 == done.returncode
    message = (
        f"the command line needs the package {package}; "
        "install it with: pip install 'objcache[cli]'"
    )
    assert f"objcache: error: {message}\n" == done.stderr


def test_first_run_is_what_computed_everything(tree, open_store):
    """Interrupted runs add up, a part and the rest too; edits and parts leave it as it was."""

    def run(limit=None, *, stop_after=None):
        work = _demo._Work(store, find_sources(str(tree), limit))
        steps = iter(range(stop_after or 100))
        try:
            report = work.run(lambda: next(steps, None) is None and interrupt())
        except KeyboardInterrupt:
            # Ctrl-C may also come when an answer is stored and not counted yet.
            uncounted = work._tree.files[work._read.calls + work._computed.calls]
            work._analyse(uncounted.module, read_source(uncounted))
            return work.remember(interrupted=True)
        return report.first_run

    def interrupt():
        raise KeyboardInterrupt

    store = open_store()
    stopped = run(stop_after=1)
    stopped_again = run(stop_after=4)
    whole = run()
    part = run(3)
    (tree / "package" / "m0.py").write_text("pass\n")
    edited = run()

    assert (1, 2, True) == (stopped.runs, stopped.computed, stopped.interrupted)
    assert (2, 5, True) == (stopped_again.runs, stopped_again.computed, stopped_again.interrupted)
    assert (3, 7, False) == (whole.runs, whole.computed, whole.interrupted)
    assert whole == part == edited
    assert stopped.date == whole.date
    assert stopped.seconds < stopped_again.seconds < whole.seconds
    store = open_store(f"{store.path}-2")
    assert (1, 3, False) == (run(3).runs, run(3).computed, run(3).interrupted)
    assert (2, 7) == (run().runs, run().computed)
