"""Golden bytes of caches: what is on disk never changes (docs/design/cache.md)."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

from objcache import keys
from objcache.cache import _layout
from objcache.cache._layout import (
    Owned,
    Row,
    State,
    deadline_key,
    pack_row,
    position_of,
    tag_key,
    unpack_row,
)
from objcache.keys import ORDERED, UNORDERED
from objcache.records import Records
from objcache.signing import Signer
from objcache.store import generations

DOCUMENT = (Path(__file__).parents[2] / "docs" / "design" / "cache.md").read_text()
POSITION = bytes(range(16))
PREFIX = generations.generation_prefix(7)


def table(heading):
    """The rows of the table that begins with *heading*, by their first cell."""
    _, _, rest = DOCUMENT.partition(heading)
    lines = rest.split("\n\n")[0].splitlines()[2:]
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {first.strip("`"): others for first, *others in cells}


def test_the_document_agrees_with_the_code():
    """Sections, kinds and bits of the tables are those of the code."""
    sections = {name: row[0] for name, row in table("| name | bytes | what |").items() if name}
    kinds = {name: row[0] for name, row in table("| kind | byte |").items()}
    bits = {name: int(row[0]) for name, row in table("| kind of field | bit |").items()}

    assert {name: f"`{getattr(keys, name).hex()}`" for name in sections} == {
        name: re.match(r"`[0-9a-f]+`", cell)[0] for name, cell in sections.items()
    }
    assert {"CACHE_REGISTRY", "CACHES_OVER", "CACHES"} == set(sections)
    assert {
        "ORDERED": ORDERED,
        "UNORDERED": UNORDERED,
        "QUEUE": generations.QUEUE,
        "STATE": generations.STATE,
        "DEADLINES": generations.DEADLINES,
        "TAGS": generations.TAGS,
    } == {name: bytes.fromhex(cell.strip("`")) for name, cell in kinds.items()}
    assert {name: getattr(_layout, name) for name in bits} == bits
    assert 3 == len(bits)


def test_key_bytes_are_frozen():
    """Engine keys of the rows are these for ever."""
    assert bytes.fromhex("30 00000007") == PREFIX
    assert PREFIX + bytes.fromhex("22 0000000000000005") + POSITION == deadline_key(
        PREFIX, 5, POSITION
    )
    assert PREFIX + bytes.fromhex("23 02 74 00") + POSITION == tag_key(PREFIX, "t", POSITION)


def test_row_bytes_are_frozen():
    """Rows of the queue are these for ever, and are read back."""
    plain = Row(POSITION, 1, 2, 3, None, (), b"\x10k", ())
    owned = (Owned(5, b"abcdefg"), Owned(0, b"x", many=True))
    full = Row(POSITION, 1, 2, 3, 4, ("t", "é"), b"", owned)

    assert bytes.fromhex("0000000000000001 00000002 03 00 106b") == pack_row(plain)
    assert bytes.fromhex(
        "0000000000000001 00000002 03 07 0000000000000004 0002 0001 74 0002 c3a9"
        "0002 05 0007 61626364656667 00 8001 78"
    ) == pack_row(full)
    assert [plain, full] == [unpack_row(POSITION, pack_row(row)) for row in (plain, full)]


def test_state_bytes_are_frozen():
    """The numbers of a cache are these for ever, and are read back."""
    state = State(None)
    names = ("rows", "entries", "size_bytes", "deadlines", "stored")
    names += ("evicted", "expired", "removed", "allowed_bytes")
    for number, name in enumerate(names):
        setattr(state, name, number + 1)
    state.policy = b"policy"
    packed = state.pack()

    assert b"\x01" + b"".join(n.to_bytes(8, "big") for n in range(1, 10)) + b"policy" == packed
    again = State(packed)
    assert [*range(1, 10), b"policy"] == [*(getattr(again, name) for name in names), again.policy]


def test_positions_are_frozen():
    """A position is the moment of the record and two checksums of its engine key, however it is read."""
    records = Records(Signer((b"golden secret of 32 bytes, frozen",), bytes(16)))
    key = PREFIX + b"\x10\x02k\0"
    tie = zlib.crc32(key).to_bytes(4, "big") + zlib.adler32(key).to_bytes(4, "big")
    for fields in ({}, {"deadline_us": 9}, {"deadline_us": 9, "tags": ("t",)}, {"tags": ("t",)}):
        for value in (1, "x" * 100, bytearray(3000)):
            record = records.encode(key, b"", value, created_us=5, **fields)

            assert (5).to_bytes(8, "big") + tie == position_of(key, record)
