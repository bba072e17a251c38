"""What bounds a cache: sizes as people write them, and how much of a file may be used.

Knows: numbers. Must not know: the file.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final, NamedTuple

from objcache.cache._policy import POLICIES

__all__ = [
    "SMALLEST_LIMIT_BYTES",
    "Limits",
    "checked_seconds",
    "limits_of",
    "size_in_bytes",
    "slots_for",
]

SMALLEST_LIMIT_BYTES: Final = 1 << 20

# An entry of a cache has a kilobyte or two, most of the time; two slots of four stay empty.
_BYTES_A_SLOT: Final = 256
_FEWEST_SLOTS: Final = 1 << 12
_MOST_SLOTS: Final = 1 << 22
_MOST_BYTES: Final = (1 << 63) - 1

_UNITS: Final = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
}
_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", re.IGNORECASE)


class Limits(NamedTuple):
    """What a cache may hold.

    Attributes:
        file_bytes: the bound of the file; None where it has none, or another cache sees to it.
        own_bytes: the bound of the sizes of its entries, for a cache that shares a file.
        entries: the bound of their number.
        evicts: whether what is over a bound makes room, or refuses the write.
    """

    file_bytes: int | None = None
    own_bytes: int | None = None
    entries: int | None = None
    evicts: bool = True

    @property
    def largest_entry_bytes(self) -> int:
        """What no entry may be larger than, as evicting everything would not make room for it."""
        bounds = [_MOST_BYTES]
        if self.file_bytes is not None:
            bounds.append(self.file_bytes // 2)
        if self.own_bytes is not None:
            bounds.append(self.own_bytes)
        return min(bounds)


def size_in_bytes(size: int | str | None, name: str = "size_limit") -> int | None:
    """Return *size* in bytes: a number, or text as `"1 GiB"`, `"500 MB"`; None is no bound.

    Raises:
        ValueError: naming what is understood, or the smallest size.
        TypeError: neither a number nor text.

    >>> size_in_bytes("1.5 KiB"), size_in_bytes(4096)
    (1536, 4096)
    """
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, (int, str)):
        raise TypeError(f"{name} is a number of bytes or text as '1 GiB', not {size!r}")
    if isinstance(size, int):
        return size
    found = _SIZE.fullmatch(size.strip())
    unit = None if found is None else _UNITS.get(found[2].lower())
    if found is None or unit is None:
        raise ValueError(
            f"{name}={size!r} is not a size; write a number of bytes, or one with a unit of "
            "kB, MB, GB, TB (thousands) or KiB, MiB, GiB, TiB (1,024s)"
        )
    return int(float(found[1]) * unit) if "." in found[1] else int(found[1]) * unit


def checked_seconds(expire: Any) -> float | None:
    """Return *expire*, a number of seconds from 0 on, or None for never.

    Raises:
        ValueError: it is neither.
    """
    if expire is None:
        return None
    if (
        isinstance(expire, bool)
        or not isinstance(expire, (int, float))
        or math.isnan(expire)
        or expire < 0
    ):
        raise ValueError(
            f"expire={expire!r} is not a number of seconds from 0 on, nor None for never"
        )
    return expire


def limits_of(settings: dict[str, Any], *, whole_file: bool) -> Limits:
    """Return what bounds a cache with these *settings*.

    Raises:
        ValueError, TypeError: they make no sense.
    """
    checked_seconds(settings["expire"])
    size = size_in_bytes(settings["size_limit"])
    entries = settings["max_entries"]
    if size is not None and size < SMALLEST_LIMIT_BYTES and whole_file:
        raise ValueError(
            f"size_limit={settings['size_limit']!r} is {size} bytes, the file of a cache needs "
            f"{SMALLEST_LIMIT_BYTES} at least"
        )
    if size is not None and size <= 0:
        raise ValueError(f"size_limit={settings['size_limit']!r} leaves no room for an entry")
    if entries is not None and (type(entries) is not int or entries < 1):
        raise ValueError(f"max_entries={entries!r} is not a number of entries from 1 on, nor None")
    if settings["policy"] not in POLICIES:
        known = ", ".join(POLICIES)
        raise ValueError(f"policy={settings['policy']!r} is not one of {known}")
    if settings["on_full"] not in {"evict", "error"}:
        raise ValueError(f"on_full={settings['on_full']!r} is neither 'evict' nor 'error'")
    evicts = settings["on_full"] == "evict" and settings["policy"] != "none"
    if whole_file:
        return Limits(file_bytes=size, entries=entries, evicts=evicts)
    return Limits(own_bytes=size, entries=entries, evicts=evicts)


def slots_for(limits: Limits) -> int:
    """Return how many marks a cache gets, a power of two."""
    wanted = _MOST_SLOTS
    bound = limits.own_bytes or limits.file_bytes
    if bound is not None:
        wanted = bound // _BYTES_A_SLOT
    if limits.entries is not None:
        wanted = min(wanted, 8 * limits.entries)
    wanted = min(max(wanted, _FEWEST_SLOTS), _MOST_SLOTS)
    return 1 << (wanted - 1).bit_length()
