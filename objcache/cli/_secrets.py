"""`objcache rekey` and `objcache trust`: a store and its secret.

Knows: the terminal. Must not know: how records are signed.
"""

from __future__ import annotations

import click

import objcache
from objcache.cli._options import write_options
from objcache.store import Resigned, trust_store

__all__ = ["rekey", "trust"]


@click.command()
@write_options
def rekey(path: str) -> None:
    """Sign every record with the first of several secrets.

    Set OBJCACHE_SECRET (or the file that OBJCACHE_SECRET_FILE names) to the new secret, a line
    break, and the old one. Afterwards the old one is no longer needed.

    Example: OBJCACHE_SECRET_FILE=both-secrets objcache rekey ./library
    """
    with objcache.Store(path, create=False) as store:
        _tell(store.rekey())


@click.command()
@write_options
@click.option("--yes", is_flag=True, help="Do not ask.")
def trust(path: str, *, yes: bool) -> None:
    """Vouch for a store that was signed with another secret: sign all of it with yours.

    Its pickles will then be loaded, and a pickle can run any code as you. Do this only for a
    store whose origin you know.

    Example: objcache trust ./library --yes
    """
    if not yes:
        click.confirm(f"Trust every record in {path}? Its pickles will run as you", abort=True)
    _tell(trust_store(path))


def _tell(done: Resigned) -> None:
    click.echo(
        f"signed {done.signed:,} records; {done.current:,} were signed already, "
        f"{done.refused:,} are not authentic and were left as they are"
    )
