"""`objcache rekey` and `objcache trust`: a store and its secret.

Knows: the terminal. Must not know: how records are signed.
"""

from __future__ import annotations

import click

import objcache
from objcache.cli._keys import printable
from objcache.cli._options import color_option, writable, write_options
from objcache.cli._progress import counting
from objcache.cli._screen import counted
from objcache.store import Resigned, refuse_damaged, trust_store

__all__ = ["rekey", "trust"]

_SIGNING = "signing"


@click.command()
@write_options
@color_option
def rekey(*, path: str, no_color: bool) -> None:
    """Sign every record with the first of several secrets.

    Set OBJCACHE_SECRET (or the file that OBJCACHE_SECRET_FILE names) to the new secret, a line
    break, and the old one. Afterwards the old one is no longer needed. What was stopped half way
    is finished by running it again.

    Exit code: 0; 2 nothing was signed.

    Example: OBJCACHE_SECRET_FILE=both-secrets objcache rekey ./library
    """
    with (
        objcache.Store(path, **writable(path)) as store,
        counting(_SIGNING, no_color=no_color) as advance,
    ):
        done = store.rekey(advance=advance)
    _tell(done)


@click.command()
@write_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@color_option
def trust(*, path: str, yes: bool, no_color: bool) -> None:
    """Vouch for a store that was signed with another secret: sign all of it with yours.

    Its pickles will then be loaded, and a pickle can run any code as you. Do this only for a
    store whose origin you know; `audit` looks at it first. What was stopped half way is finished
    by running it again.

    Exit code: 0; 2 nothing was signed; 130 the question was not answered with y.

    Example: objcache trust ./library --yes
    """
    refuse_damaged(path)
    if not yes:
        shown = printable(path)
        click.confirm(f"Trust every record in {shown}? Its pickles will run as you", abort=True)
    with counting(_SIGNING, no_color=no_color) as advance:
        done = trust_store(path, advance=advance)
    _tell(done)


def _tell(done: Resigned) -> None:
    click.echo(
        f"signed {counted(done.signed, 'record')}; {done.current:,} were signed already, "
        f"{done.refused:,} are not authentic and were left as they are"
    )
