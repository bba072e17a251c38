"""Discarding a cache that was written with another secret.

Knows: how to make a store empty, and one's own. Must not know: what was in it.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from objcache.clock import SYSTEM_CLOCK
from objcache.engine import Transaction, close_session, open_session
from objcache.keys import decode_key
from objcache.listeners import LISTENERS, tell
from objcache.store._counters import namespace_counts
from objcache.store._length import length_of
from objcache.store.generations import BESIDE, make_empty

__all__ = ["discard"]

_SESSION_OPTIONS = frozenset({"durability", "shared", "allow_network"})


def discard(path: str | os.PathLike[str], options: dict[str, Any]) -> bool:
    """Remove everything from the file below *path*; who opens it next makes it one's own.

    A file in which a store keeps entries is left as it is.

    Args:
        path: the directory.
        options: those of the store.

    Returns:
        Whether it was done.

    Raises:
        StoreError: nothing was changed.
    """
    directory = os.path.abspath(os.fsdecode(path))
    session = open_session(
        directory,
        create=False,
        clock=options.get("clock", SYSTEM_CLOCK),
        **{name: value for name, value in options.items() if name in _SESSION_OPTIONS},
    )
    try:
        if not session.write(_emptied):
            return False
    finally:
        close_session(session)
    logging.getLogger("objcache").warning(
        "the cache at %r was written with another secret, and was discarded", directory
    )
    if LISTENERS:
        from objcache.events import Discarded  # noqa: PLC0415  # loaded by those who listen

        tell(Discarded(directory))
    return True


def _emptied(transaction: Transaction) -> bool:
    namespaces = (decode_key(names) for _, names, _ in namespace_counts(transaction))
    if length_of(transaction, b"") or any(names[0] != BESIDE for names in namespaces):
        return False
    make_empty(transaction)
    return True
