"""From where a record lies to words for people: its namespace, and its key.

Knows: how engine keys are laid out. Must not know: what is wrong with a record.
"""

from __future__ import annotations

from typing import Final

from objcache.errors import ObjcacheError
from objcache.keys import (
    CACHES,
    DIGEST_BYTES,
    LONG_NAMESPACE,
    NAMESPACE,
    ORDERED,
    RECORDS,
    decode_key,
    key_of,
    namespace_prefix,
)

__all__ = [
    "ENTRIES",
    "names_of",
    "place_of",
    "prefix_of",
    "text_of",
]

ENTRIES: Final = (ORDERED, CACHES)
"""Between these lie the entries of the root mapping and of all namespaces."""

_TUPLE: Final = 0x05
_STR: Final = 0x02
_ESCAPE: Final = 0xFF


def prefix_of(located: bytes) -> bytes | None:
    """Return the prefix of the mapping that the engine key *located* belongs to; None for none."""
    section = located[:1]
    if section in RECORDS:
        return b""
    end = None
    if section == NAMESPACE:
        end = _end_of_names(located)
    elif section == LONG_NAMESPACE:
        end = 1 + DIGEST_BYTES
    if end is None or located[end : end + 1] not in RECORDS:
        return None
    return located[:end]


def _end_of_names(located: bytes) -> int | None:
    """Return where the tuple of names ends that begins behind the section byte."""
    if located[1:2] != bytes((_TUPLE,)):
        return None
    place = 2
    while located[place : place + 1] == bytes((_STR,)):
        place = located.find(0, place) + 1
        while place and located[place : place + 1] == bytes((_ESCAPE,)):
            place = located.find(0, place) + 1
        if not place:
            return None
    return place + 1 if located[place : place + 1] == b"\0" else None


def names_of(prefix: bytes, encoded: bytes | None = None) -> tuple[str, ...] | None:
    """Return the names of the namespace with *prefix*; None where they are not known.

    Args:
        prefix: of its engine keys; a short one has the names in it.
        encoded: the names as a counter keeps them; believed only if they make this prefix.
    """
    if encoded is None:
        encoded = prefix[1:]
    try:
        names = decode_key(encoded)
        if isinstance(names, tuple) and namespace_prefix(names) == prefix:
            return names
    except ObjcacheError:
        pass
    return None


def place_of(
    located: bytes, full_key: bytes = b"", names: tuple[object, ...] | None = None
) -> object:
    """Return names and key of what lies at *located*; its bytes where they cannot be told.

    Args:
        located: an engine key.
        full_key: the full key of its record, if it keeps one.
        names: of its namespace, where they are known.
    """
    prefix = prefix_of(located) if located else None
    if prefix is None:
        return located
    if names is None:
        names = (names_of(prefix) or (prefix,)) if prefix else ()
    try:
        return (*names, key_of(len(prefix), located, full_key))
    except ObjcacheError:
        return (*names, located)


def text_of(place: object) -> str:
    """Return a place, as `place_of` tells it, as people write it."""
    if isinstance(place, str):
        return place
    if not isinstance(place, tuple) or not place:
        return repr(place)
    *names, key = place
    path = "/".join(name if isinstance(name, str) else repr(name) for name in names)
    return f"{path}: {key!r}" if path else repr(key)
