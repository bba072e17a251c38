"""The group of commands, and what becomes of their errors.

Knows: click. Must not know: stores.
"""

from __future__ import annotations

import difflib
import importlib
import io
import sys
from typing import Final

import click

from objcache import __version__
from objcache.cli._options import refused
from objcache.errors import ObjcacheError

__all__ = ["cli", "run"]


# Where each command is: to import all of them takes as long as most of them run.
_COMMANDS: Final = {
    "audit": "_audit:audit",
    "bench": "_bench:bench",
    "check": "_check:check",
    "compact": "_upkeep:compact",
    "copy": "_upkeep:copy",
    "demo": "_demo:demo",
    "export": "_export:export",
    "functions": "_look:functions",
    "get": "_entries:get",
    "import": "_import:import_",
    "import-from": "_import_from:import_from",
    "info": "_look:info",
    "inspect": "_inspect:inspect",
    "ls": "_list:ls",
    "rekey": "_secrets:rekey",
    "report": "_report:report",
    "rm": "_entries:rm",
    "set": "_entries:set_",
    "stats": "_look:stats",
    "trust": "_secrets:trust",
    "watch": "_watch:watch",
    "why": "_why:why",
}


class _Commands(click.Group):
    """Commands that are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the names of all commands."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command; None if there is none of that name."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        found = getattr(importlib.import_module(f"objcache.cli.{module}"), name)
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is asked for; of a name that is none, tell the nearest.

        Raises:
            click.UsageError: there is none of that name.
        """
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(name, _COMMANDS, 1)
            hint = f"did you mean {near[0]}?" if near else "objcache --help lists all"
            ctx.fail(f"there is no command {name!r}; {hint}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="objcache")
@click.pass_context
def cli(context: click.Context) -> None:
    """Keep Python objects on disk: memoize functions, or open a directory as a dict."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def run(arguments: list[str] | None) -> int:
    """Run a command; errors are one line and exit code 2, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A path may have characters that the terminal has not.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(args=arguments, prog_name="objcache", standalone_mode=False)
    except click.ClickException as error:
        return refused(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        print("objcache: interrupted", file=sys.stderr)
        return 130
    except (ObjcacheError, OSError) as error:
        return refused(error)
    return code if isinstance(code, int) else 0
