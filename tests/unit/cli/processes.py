"""The command line as processes of its own, also of users who may do less."""

from __future__ import annotations

import ctypes
import os
import pathlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).parents[3]

_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_CLONE_NEWNS = 0x20000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
# What every use of a store changes, a reader's too: LMDB's table of readers, and locks.
_FLEETING = (".lock", "-lock")


def objcache(*arguments, before=(), given=None, **environment):
    """Run the command line as a user does; *before*, a function here and its arguments, runs first."""
    return subprocess.run(
        _command(before, "-m", "objcache", *arguments),
        capture_output=True,
        text=True,
        input=given,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "200", **environment},
    )


def _command(before, *arguments):
    """What runs Python with *arguments*, after *before* in the same process."""
    arguments = [sys.executable, *map(str, arguments)]
    if not before:
        return arguments
    function, *given = before
    # Not preexec_fn: it may not be used where there are threads.
    code = (
        f"import os, sys; sys.path.insert(0, {str(ROOT)!r})\n"
        f"from {__name__} import {function.__name__} as before\n"
        f"before(*{list(map(str, given))!r}); os.execv(sys.argv[1], sys.argv[1:])"
    )
    return [sys.executable, "-c", code, *arguments]


def each(commands, **options):
    """Run several command lines, two at a time; return them with what became of them."""
    with ThreadPoolExecutor(2) as pool:
        return list(
            zip(commands, pool.map(lambda one: objcache(*one, **options), commands), strict=True)
        )


def content(directory):
    """Every file below *directory* with its bytes, but for what each use of a store changes."""
    return {
        str(file.relative_to(directory)): file.read_bytes()
        for file in sorted(pathlib.Path(directory).rglob("*"))
        if file.is_file() and not file.name.endswith(_FLEETING) and file.name != "side-files"
    }


def without_privileges():
    """Make what this process executes next obey permissions, whoever executes it."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None)
        for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
            libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def on_readonly(directory):
    """Make this process see *directory* on a read-only file system."""
    libc = ctypes.CDLL(None, use_errno=True)
    place = os.fsencode(directory)
    steps = (
        lambda: libc.unshare(_CLONE_NEWNS),
        lambda: libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None),
        lambda: libc.mount(place, place, None, _MS_BIND, None),
        lambda: libc.mount(None, place, None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY, None),
    )
    for step in steps:
        if step():
            raise OSError(ctypes.get_errno(), "cannot mount")


def may_mount(directory):
    """Whether this user may make read-only file systems here."""
    command = _command((on_readonly, directory), "-c", "")
    return 0 == subprocess.run(command, check=False, capture_output=True).returncode
