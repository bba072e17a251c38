"""Where the rows of a cache lie in the store, and what is in them.

Knows: docs/design/cache.md, "On disk". Must not know: who writes them, and when.

All rows of one generation of a cache begin with the same five bytes; `clear` begins another one.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple
from zlib import adler32, crc32

from blake3 import blake3

from objcache.errors import CorruptStoreError
from objcache.header import CREATED, DEADLINE, MAC_END, MOMENT, SIGNED, unpack
from objcache.keys import encode_key
from objcache.store.generations import DEADLINES, TAGS
from objcache.tallies import NAME_BYTES

__all__ = [
    "POSITION_BYTES",
    "SPREAD",
    "Owned",
    "Row",
    "State",
    "checked_names",
    "deadline_key",
    "name_of",
    "pack_row",
    "place_of",
    "position_of",
    "slot_of",
    "tag_key",
    "tag_prefix",
    "unpack_row",
]

# On disk. Never renumber, never reuse, only append: docs/design/cache.md, "On disk".
_FLAGS: Final = struct.Struct(">H")
_FLAGS_START: Final = 6
SPREAD: Final = 2654435761
_TIE: Final = struct.Struct(">II")
# Twice a checksum, as neither alone is long enough, and no key is there twice.
_POSITION: Final = struct.Struct(">QII")
_DEADLINE_END: Final = MAC_END + 2 * MOMENT.size
POSITION_BYTES: Final = 16
_LONGEST_NAMES_BYTES: Final = 200

#   0            8          12       13      14
#   +------------+----------+--------+-------+------------+--------+-------
#   | size       | slot     | policy | kinds | [deadline] | [tags] | keys
#   | u64        | u32      | u8     | u8    | u64        |        |
#   +------------+----------+--------+-------+------------+--------+-------
_ROW: Final = struct.Struct(">QIBB")
_HAS_DEADLINE: Final = 1
_HAS_TAGS: Final = 2
_OWNS_OTHERS: Final = 4
_COUNT: Final = struct.Struct(">H")
_OWNED: Final = struct.Struct(">BH")
# An engine key has 511 bytes at most, which leaves bits of its length free.
_MANY: Final = 1 << 15


class Owned(NamedTuple):
    """A record of a mapping beside the cache that goes with an entry.

    Attributes:
        prefix_bytes: how many of the first bytes of the engine key are its mapping's prefix.
        located: its engine key.
        many: whether it stands for all records whose engine keys begin with *located*.
    """

    prefix_bytes: int
    located: bytes
    many: bool = False


class Row(NamedTuple):
    """What the queue knows of an entry.

    Attributes:
        position: where it stands: when it was stored, and what makes that unique.
        size_bytes: what it takes on disk, about.
        slot: where the marks of its reads are.
        flags: what the policy has noted.
        deadline_us: when it is over, microseconds since the epoch.
        tags: its tags.
        located: the engine key of its record behind the prefix; b"" if it is not in the cache.
        owned: the records elsewhere that go with it.
    """

    position: bytes
    size_bytes: int
    slot: int
    flags: int
    deadline_us: int | None
    tags: tuple[str, ...]
    located: bytes
    owned: tuple[Owned, ...]


def slot_of(located: bytes) -> int:
    """Return the slot of the marks of the entry at *located*: 32 bits of a hash.

    A checksum alone puts keys that count in steps into too few slots (Knuth, TAOCP 3, 6.4).
    """
    return (crc32(located) * SPREAD >> 20) & 0xFFFFFFFF


def place_of(located: bytes, created_us: int) -> tuple[bytes, int]:
    """Return position in the queue and `slot_of` the entry at *located*, stored at *created_us*."""
    checksum = crc32(located)
    position = _POSITION.pack(created_us, checksum, adler32(located))
    return position, (checksum * SPREAD >> 20) & 0xFFFFFFFF


def position_of(located: bytes, record: bytes | bytearray) -> bytes:
    """Return the position in the queue of the entry at *located* with *record*.

    Raises:
        FormatError: it is no record.
    """
    tie = _TIE.pack(crc32(located), adler32(located))
    if len(record) > _DEADLINE_END:
        (flags,) = _FLAGS.unpack_from(record, _FLAGS_START)
        if not flags & ~(CREATED | DEADLINE | SIGNED):
            start = MAC_END + (MOMENT.size if flags & DEADLINE else 0)
            return bytes(record[start : start + MOMENT.size]) + tie
    return MOMENT.pack(unpack(bytes(record)).created_us or 0) + tie


def pack_row(row: Row) -> bytes:
    """Return *row* as it is stored, without its position."""
    _, size_bytes, slot, flags, deadline_us, tags, located, owned = row
    if deadline_us is None and not tags and not owned:
        return _ROW.pack(size_bytes, slot, flags, 0) + located
    kinds = 0
    parts = [b""]
    if row.deadline_us is not None:
        kinds |= _HAS_DEADLINE
        parts.append(MOMENT.pack(row.deadline_us))
    if row.tags:
        kinds |= _HAS_TAGS
        parts.append(_COUNT.pack(len(row.tags)))
        for tag in row.tags:
            text = tag.encode()
            parts += (_COUNT.pack(len(text)), text)
    if row.owned:
        kinds |= _OWNS_OTHERS
        parts.append(_COUNT.pack(len(row.owned)))
        for prefix_bytes, located, many in row.owned:
            size = len(located) | (_MANY if many else 0)
            parts += (_OWNED.pack(prefix_bytes, size), located)
    parts.append(row.located)
    parts[0] = _ROW.pack(size_bytes, slot, flags, kinds)
    return b"".join(parts)


def unpack_row(position: bytes, packed: bytes) -> Row:
    """Return the row at *position*.

    Raises:
        CorruptStoreError: it is damaged.
    """
    try:
        size_bytes, slot, flags, kinds = _ROW.unpack_from(packed)
        if not kinds:
            return Row(position, size_bytes, slot, flags, None, (), packed[_ROW.size :], ())
        return _unpack_row(position, packed, (size_bytes, slot, flags), kinds)
    except (struct.error, UnicodeDecodeError) as error:
        raise CorruptStoreError(
            f"a row of a cache's queue is damaged: {error}; run check()"
        ) from error


def _unpack_row(position: bytes, packed: bytes, first: tuple[int, int, int], kinds: int) -> Row:
    offset = _ROW.size
    deadline_us = None
    if kinds & _HAS_DEADLINE:
        (deadline_us,) = MOMENT.unpack_from(packed, offset)
        offset += MOMENT.size
    tags = []
    if kinds & _HAS_TAGS:
        (count,) = _COUNT.unpack_from(packed, offset)
        offset += _COUNT.size
        for _ in range(count):
            (size,) = _COUNT.unpack_from(packed, offset)
            offset += _COUNT.size + size
            tags.append(packed[offset - size : offset].decode())
    owned = []
    if kinds & _OWNS_OTHERS:
        (count,) = _COUNT.unpack_from(packed, offset)
        offset += _COUNT.size
        for _ in range(count):
            prefix_bytes, size = _OWNED.unpack_from(packed, offset)
            many, size = bool(size & _MANY), size & ~_MANY
            offset += _OWNED.size + size
            owned.append(Owned(prefix_bytes, packed[offset - size : offset], many))
    return Row(position, *first, deadline_us, tuple(tags), packed[offset:], tuple(owned))


def deadline_key(prefix: bytes, deadline_us: int, position: bytes) -> bytes:
    """Return the engine key that says when the entry at *position* is over."""
    return prefix + DEADLINES + MOMENT.pack(deadline_us) + position


def tag_prefix(prefix: bytes, tag: str) -> bytes:
    """Return what the engine keys begin with that say which entries have *tag*."""
    return prefix + TAGS + encode_key(tag)


def tag_key(prefix: bytes, tag: str, position: bytes) -> bytes:
    """Return the engine key that says that the entry at *position* has *tag*."""
    return tag_prefix(prefix, tag) + position


def checked_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the *names* of a cache below another one.

    Raises:
        ValueError: the last is none, or all together are too long.
    """
    name: object = names[-1]
    if not isinstance(name, str) or not name:
        raise ValueError(f"a namespace is named by a non-empty str, not {name!r}")
    try:
        size_bytes = sum(len(one.encode()) for one in names)
    except UnicodeEncodeError as error:
        raise ValueError(f"the name {name!r} cannot be written as UTF-8: {error}") from error
    if size_bytes > _LONGEST_NAMES_BYTES:
        raise ValueError(
            f"the names of a namespace have {_LONGEST_NAMES_BYTES} bytes of UTF-8 at most, "
            f"not {size_bytes}"
        )
    return names


def name_of(names: tuple[str, ...]) -> bytes:
    """Return what files and counters beside the store name the cache *names* by."""
    return blake3(encode_key(("cache", *names))).digest(NAME_BYTES)


_STATE: Final = struct.Struct(">B9Q")
_VERSION: Final = 1


class State:
    """The numbers of a cache, written with each change of it.

    Attributes:
        rows: rows of the engine, all kinds together.
        entries: entries, expired ones that are still there among them.
        size_bytes: what they take on disk, about.
        deadlines: how many of them have a deadline.
        stored: how many were ever stored.
        evicted: how many had to make room.
        expired: how many were removed after their deadline.
        removed: how many were removed by their key, by a tag, or for another value.
        allowed_bytes: how much of the file may be used, as found out; 0 before.
        policy: what the policy keeps.
    """

    __slots__ = (
        *("allowed_bytes", "deadlines", "entries", "evicted", "expired", "policy"),
        *("removed", "rows", "size_bytes", "stored"),
    )

    def __init__(self, packed: bytes | None) -> None:
        self.policy = b""
        if packed is None:
            self.rows = self.entries = self.size_bytes = self.deadlines = self.stored = 0
            self.evicted = self.expired = self.removed = self.allowed_bytes = 0
            return
        try:
            (
                version,
                self.rows,
                self.entries,
                self.size_bytes,
                self.deadlines,
                self.stored,
                self.evicted,
                self.expired,
                self.removed,
                self.allowed_bytes,
            ) = _STATE.unpack_from(packed)
        except struct.error as error:
            raise CorruptStoreError(f"the state of a cache is damaged: {error}") from error
        if version != _VERSION:
            raise CorruptStoreError(
                f"the state of a cache has version {version}, {_VERSION} can be read"
            )
        self.policy = packed[_STATE.size :]

    def pack(self) -> bytes:
        """Return the state as it is stored."""
        return (
            _STATE.pack(
                _VERSION,
                self.rows,
                self.entries,
                max(self.size_bytes, 0),
                self.deadlines,
                self.stored,
                self.evicted,
                self.expired,
                self.removed,
                self.allowed_bytes,
            )
            + self.policy
        )
