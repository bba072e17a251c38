"""Every command, by its name."""

from __future__ import annotations

import click

from objcache.cli._main import cli

__all__ = ["COMMANDS"]

COMMANDS = {
    name: cli.get_command(click.Context(cli), name)
    for name in cli.list_commands(click.Context(cli))
}
