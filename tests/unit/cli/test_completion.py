"""Completion in a shell: of commands, options and directories."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys

import click
import pytest

from objcache.cli._main import cli
from tests.unit.cli.every import COMMANDS
from tests.unit.cli.processes import objcache

SHELLS = ("bash", "zsh", "fish")
DIRECTORIES = {"path", "target", "directory", "copy"}  # as parameters are named


def is_bash_able():
    """Whether there is a bash that click's script is made for."""
    bash = shutil.which("bash")
    able = "(( BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404 ))"
    return bash is not None and 0 == subprocess.run([bash, "-c", able], check=False).returncode


def proposed(shell, *words):
    """What is proposed to *shell* for the last of *words*, as pairs of type and text."""
    last = words[-1] if shell == "fish" else len(words)
    done = objcache(
        _OBJCACHE_COMPLETE=f"{shell}_complete",
        COMP_WORDS=shlex.join(["objcache", *(word for word in words if word)]),
        COMP_CWORD=str(last),
    )

    assert (0, "") == (done.returncode, done.stderr)
    if shell == "bash":
        return [tuple(line.split(",", 1)) for line in done.stdout.splitlines()]
    if shell == "zsh":
        lines = done.stdout.splitlines()
        return list(zip(lines[::3], lines[1::3], strict=True))
    lines = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    return [tuple(line.split(",", 1)) for line in lines if "," in line]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_for_each_shell(shell):
    """What the reference tells to evaluate is printed, and defines the completion of objcache."""
    done = objcache(_OBJCACHE_COMPLETE=f"{shell}_source")

    assert 0 == done.returncode, done.stderr
    assert f"_OBJCACHE_COMPLETE={shell}_complete" in done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_and_options_are_proposed(shell):
    """The beginning of a command, or of an option of a command, is completed."""
    assert [("plain", "stats")] == proposed(shell, "st")
    assert ("plain", "--sort") in proposed(shell, "ls", "library", "--so")


@pytest.mark.parametrize("shell", SHELLS)
def test_paths_are_directories(shell):
    """Where the directory of a store belongs, the shell is told to propose directories."""
    assert ["dir"] == [kind for kind, _ in proposed(shell, "stats", "lib")]
    assert ["dir"] == [kind for kind, _ in proposed(shell, "copy", "library", "b")]
    assert ["file"] == [kind for kind, _ in proposed(shell, "import-from", "shelve", "old")]


def test_every_directory_is_completed():
    """No argument or option for a directory is completed as a word."""
    context = click.Context(cli)
    left_out = [
        (name, parameter.name)
        for name, command in COMMANDS.items()
        for parameter in command.params
        if parameter.name in DIRECTORIES or parameter.metavar in {"DIR", "COPY", "TARGET"}
        if not {"dir", "file"}.intersection(
            item.type for item in parameter.shell_complete(context, "x")
        )
    ]

    assert [] == left_out


@pytest.mark.skipif(not is_bash_able(), reason="completion needs bash 4.4 or later")
def test_bash_completes(tmp_path):
    """The script for bash does it in bash."""
    program = tmp_path / "objcache"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m objcache "$@"\n')
    program.chmod(0o700)
    script = """
        eval "$(_OBJCACHE_COMPLETE=bash_source objcache)"
        COMP_WORDS=(objcache wa) COMP_CWORD=1
        _objcache_completion objcache
        echo "${COMPREPLY[*]}"
        complete -p objcache
    """
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
    )

    completed, registered = done.stdout.splitlines()
    assert "watch" == completed
    assert registered.endswith("-F _objcache_completion objcache")
