"""The group of commands, and what becomes of their errors.

Knows: click. Must not know: stores.
"""

from __future__ import annotations

import io
import sys

import click

from objcache import __version__
from objcache.cli._audit import audit
from objcache.cli._bench import bench
from objcache.cli._check import check
from objcache.cli._demo import demo
from objcache.cli._entries import get, rm, set_
from objcache.cli._export import export
from objcache.cli._import import import_
from objcache.cli._import_from import import_from
from objcache.cli._inspect import inspect
from objcache.cli._list import ls
from objcache.cli._look import functions, info, stats
from objcache.cli._options import refused
from objcache.cli._report import report
from objcache.cli._secrets import rekey, trust
from objcache.cli._upkeep import compact, copy
from objcache.cli._watch import watch
from objcache.cli._why import why
from objcache.errors import ObjcacheError

__all__ = ["cli", "run"]


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="objcache")
@click.pass_context
def cli(context: click.Context) -> None:
    """Keep Python objects on disk: memoize functions, or open a directory as a dict."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (
    *(audit, bench, check, compact, copy, demo, functions, get, info, inspect, ls, rekey, rm, set_),
    *(export, import_, import_from, report, stats, trust, watch, why),
):
    cli.add_command(command)


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
