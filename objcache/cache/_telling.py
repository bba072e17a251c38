"""What a cache tells those who listen.

Knows: rows, and which event they make. Must not know: who listens.
"""

from __future__ import annotations

from typing import Any

from objcache.cache._layout import Row
from objcache.cache._rows import Incoming
from objcache.cache._rules import Rules
from objcache.clock import in_seconds
from objcache.engine import Transaction
from objcache.errors import ObjcacheError
from objcache.header import unpack
from objcache.keys import key_of, needs_full_key
from objcache.listeners import tell

__all__ = ["gone", "tell_miss", "tell_stored", "tell_unreadable"]


def tell_miss(path: str, names: tuple[str, ...], key: Any) -> None:
    """Tell that nothing was found."""
    from objcache.events import Miss  # noqa: PLC0415  # loaded by those who listen

    tell(Miss(path, names, key))


def tell_stored(path: str, names: tuple[str, ...], key: Any, entry: Incoming) -> None:
    """Tell that *entry* was committed under *key*."""
    from objcache.events import Stored  # noqa: PLC0415  # as above

    deadline = in_seconds(entry.deadline_us)
    tell(Stored(path, names, key, entry.size_bytes, deadline, entry.tags), written=True)


def tell_unreadable(path: str, names: tuple[str, ...], key: Any, error: Exception) -> None:
    """Tell that the entry of *key* counts as missing because of *error*."""
    from objcache.events import Unreadable  # noqa: PLC0415  # as above

    tell(Unreadable(path, names, key, error))


def gone(transaction: Transaction, rules: Rules, row: Row, *, evicted: bool) -> object:
    """Return the event of the removal of *row*, whose records are still there."""
    from objcache import events  # noqa: PLC0415  # as above

    kind = events.Evicted if evicted else events.Expired
    key = _key_of(transaction, rules.prefix, row)
    return kind(rules.path, rules.names, key, row.size_bytes, row.tags)


def _key_of(transaction: Transaction, prefix: bytes, row: Row) -> Any:
    if not row.located:
        return None
    located = prefix + row.located
    try:
        full_key = b""
        if needs_full_key(len(prefix), located):
            full_key = unpack(transaction.get(located) or b"").full_key
        return key_of(len(prefix), located, full_key)
    except ObjcacheError:  # damaged, or of a class that is not loaded
        return None
