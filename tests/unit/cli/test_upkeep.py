"""`objcache compact` and `copy`: whole or not at all, whatever ends them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from objcache import Store
from tests.unit.cli.processes import content, objcache
from tests.unit.cli.terminals import on_terminal

INTERRUPTED = """
import os, signal, sys
from objcache.engine import copies
from objcache.cli import main

whole = getattr(copies, sys.argv[1])

def interrupted(*arguments, **options):
    {before}
    os.kill(os.getpid(), signal.SIGINT)
    return whole(*arguments, **options)

setattr(copies, sys.argv[1], interrupted)
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def wasteful(path):
    """A store with many free pages and a side file."""
    with Store(path) as store:
        store.update({number: bytes(3000) for number in range(300)})
        store["aside"] = os.urandom(1 << 21)
        store.delete_many(list(range(290)))
    return path


def entries(path):
    """What is in a store."""
    with Store(path) as store:
        assert store.check(deep=True).ok
        return dict(store.items())


def test_compact(wasteful):
    """Free pages are given back, entries stay, and the sizes are told."""
    before, size = entries(wasteful), os.path.getsize(os.path.join(wasteful, "store.lmdb"))
    done = objcache("compact", wasteful)

    assert (0, "") == (done.returncode, done.stderr)
    assert "given back" in done.stdout
    assert os.path.getsize(os.path.join(wasteful, "store.lmdb")) < size / 2
    assert before == entries(wasteful)


def test_compact_of_a_store_in_use(wasteful):
    """While somebody has the store open it is not compacted, and stays what it was."""
    with Store(wasteful) as store:
        done = objcache("compact", wasteful)

        assert (2, 1) == (done.returncode, done.stderr.count("\n"))
        assert 11 == len(store)


def test_copy(wasteful, tmp_path):
    """The copy is a store with the same entries; what is there is never written over."""
    before = content(wasteful)
    compacted = objcache("copy", wasteful, tmp_path / "small")
    whole = objcache("copy", wasteful, tmp_path / "large", "--with-free-pages")
    again = objcache("copy", wasteful, tmp_path / "small")

    assert [(0, ""), (0, "")] == [(done.returncode, done.stderr) for done in (compacted, whole)]
    assert entries(wasteful) == entries(tmp_path / "small") == entries(tmp_path / "large")
    sizes = [(tmp_path / name / "store.lmdb").stat().st_size for name in ("small", "large")]
    assert sizes[0] < sizes[1]
    assert (2, 1) == (again.returncode, again.stderr.count("\n"))
    assert "choose an empty path" in again.stderr
    assert before.keys() == content(wasteful).keys()


def interrupt(function, arguments, *, after_work=False):
    """Run a command that Ctrl-C meets when it calls *function*."""
    code = INTERRUPTED.format(before="whole(*arguments, **options)" if after_work else "")
    return subprocess.run(
        [sys.executable, "-c", code, function, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("after_work", [False, True])
@pytest.mark.parametrize("function", ["compact_into", "copy_to", "put_in_place"])
def test_compact_survives_ctrl_c(wasteful, function, after_work):
    """Ctrl-C before, during and after the copy leaves a whole store with all entries."""
    before = entries(wasteful)
    done = interrupt(function, ["compact", wasteful], after_work=after_work)

    assert (130, "objcache: interrupted\n") == (done.returncode, done.stderr.lstrip())
    assert before == entries(wasteful)
    assert not [name for name in os.listdir(wasteful) if name.endswith("-compact")]


@pytest.mark.parametrize("after_work", [False, True])
def test_copy_survives_ctrl_c(wasteful, tmp_path, after_work):
    """Ctrl-C leaves the store as it was, and nothing where the copy was to be."""
    before = entries(wasteful)
    done = interrupt("_complete", ["copy", wasteful, tmp_path / "copied"], after_work=after_work)

    assert (130, "objcache: interrupted\n") == (done.returncode, done.stderr.lstrip())
    assert before == entries(wasteful)
    assert not [files for _, _, files in os.walk(tmp_path / "copied") if files]
    assert 0 == objcache("copy", wasteful, tmp_path / "copied").returncode


def test_progress_on_a_terminal(wasteful, tmp_path):
    """On a terminal it is shown that something is being done, and the answer stays."""
    copied = on_terminal("copy", wasteful, tmp_path / "copied", COLUMNS="200")

    assert "copying" in copied
    assert "a copy of" in copied
    assert "compacting" in on_terminal("compact", wasteful, COLUMNS="200")
    assert "looking at records" in on_terminal("audit", wasteful, COLUMNS="200")
