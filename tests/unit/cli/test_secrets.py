"""`objcache rekey` and `trust`: signing all of a store anew."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from objcache import Store
from tests.conftest import SECRET
from tests.unit.cli.processes import content, objcache
from tests.unit.cli.terminals import on_terminal

# Those that every store is checked with after its test.
OLD, NEW = SECRET.decode(), "another secret of 16 bytes"
ENTRIES = 2500  # three transactions

INTERRUPTED = """
import os, signal, sys
from objcache.engine import Session
from objcache.cli import main

whole = Session.write
left = [2]

def interrupted(*arguments, **options):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGINT)
    return whole(*arguments, **options)

Session.write = interrupted
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def library(path):
    """A store of the old secret."""
    with Store(path, secret=OLD) as store, store.transaction():
        store.update({number: str(number) for number in range(ENTRIES)})
    return path


def entries(path, secret):
    """What a store has, read with one secret."""
    with Store(path, secret=secret) as store:
        return dict(store.items())


def test_rekey(library):
    """With both secrets all is signed with the new one, which then is enough."""
    refused = objcache("rekey", library, OBJCACHE_SECRET=NEW)
    done = objcache("rekey", library, OBJCACHE_SECRET=f"{NEW}\n{OLD}")
    again = objcache("rekey", library, OBJCACHE_SECRET=NEW)

    assert (2, "") == (refused.returncode, refused.stdout)
    assert f"signed {ENTRIES:,} records; 0 were signed already, 0 are not" in done.stdout
    assert f"signed 0 records; {ENTRIES:,} were signed already" in again.stdout
    assert list(range(ENTRIES)) == list(entries(library, NEW))


def test_trust(library):
    """A store of another secret becomes one's own, after a question or with --yes."""
    before = content(library)
    unconfirmed = objcache("trust", library, OBJCACHE_SECRET=NEW)
    refused = objcache("trust", library, OBJCACHE_SECRET=NEW, given="n\n")
    unchanged = content(library)
    done = objcache("trust", library, OBJCACHE_SECRET=NEW, given="y\n")

    assert (130, 130) == (unconfirmed.returncode, refused.returncode)
    assert before == unchanged
    assert "Its pickles will run as you" in done.stdout
    assert f"signed {ENTRIES:,} records" in done.stdout
    assert list(range(ENTRIES)) == list(entries(library, NEW))


@pytest.mark.parametrize("command", ["rekey", "trust"])
def test_survives_ctrl_c(library, command):
    """Ctrl-C half way loses nothing, and running it again finishes it."""
    secret = f"{NEW}\n{OLD}" if command == "rekey" else NEW
    arguments = [command, library, *(["--yes"] if command == "trust" else [])]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OBJCACHE_SECRET": secret},
    )
    between = entries(library, [NEW, OLD])
    again = objcache(*arguments, OBJCACHE_SECRET=secret)

    assert (130, "objcache: interrupted") == (done.returncode, done.stderr.strip())
    assert list(range(ENTRIES)) == list(between)
    assert 0 == again.returncode
    assert "signed 0 records" not in again.stdout
    assert list(range(ENTRIES)) == list(entries(library, NEW))


def test_progress_on_a_terminal(library):
    """On a terminal it is shown how far the signing is."""
    shown = on_terminal("rekey", library, COLUMNS="200", OBJCACHE_SECRET=f"{NEW}\n{OLD}")

    assert "signing" in shown
    assert f"signed {ENTRIES:,} records" in shown
