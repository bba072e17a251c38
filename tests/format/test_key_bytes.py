"""Golden bytes of keys: what is on disk never changes (docs/design/keys.md)."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal

import pytest

from objcache.keys import encode_key, engine_key, namespace_prefix

GOLDEN = [
    (None, "00"),
    (b"a\x00b", "01 61 00ff 62 00"),
    ("aé", "02 61 c3a9 00"),
    ((), "05 00"),
    (("a", None, 1), "05 02 61 00 00ff 15 01 00"),
    (0, "14"),
    (255, "15 ff"),
    (256, "16 0100"),
    (-1, "13 fe"),
    (-256, "12 feff"),
    (2**64, "1d 09 010000000000000000"),
    (-(2**64), "0b f6 feffffffffffffffff"),
    (1.0, "21 bff0000000000000"),
    (-1.0, "21 400fffffffffffff"),
    (-0.0, "21 8000000000000000"),
    (float("nan"), "21 ffffffffffffffff"),
    (False, "26"),
    (True, "27"),
    (uuid.UUID(int=1), "30 00000000000000000000000000000001"),
    (datetime.datetime(1970, 1, 1), "40 8000000000000000"),
    (datetime.datetime(1970, 1, 1, 0, 0, 1, tzinfo=datetime.UTC), "41 80000000000f4240"),
    (Decimal("1.0"), "50 446563696d616c 00 05 02 312e30 00 00"),
    (frozenset({2, 1}), "50 66726f7a656e736574 00 05 15 01 15 02 00"),
]


@pytest.mark.parametrize(("key", "expected"), GOLDEN, ids=lambda part: str(part)[:30])
def test_key_bytes_are_frozen(key, expected):
    """Each type is encoded as it always was."""
    assert bytes.fromhex(expected) == encode_key(key)


def test_engine_key_bytes_are_frozen():
    """Sections, shortened keys and namespaces lie where they always did."""
    assert (b"\x10\x02a\x00", b"") == engine_key(b"", "a")
    assert b"\x20\x05\x02n\x00\x00" == namespace_prefix(("n",))
    located, full = engine_key(b"", "x" * 1000)
    assert b"\x10\x02" + b"x" * 493 == located[:495]
    assert "79949c9f3f037053b484bb2941cf2320" == located[495:].hex()
    located_set = engine_key(b"", frozenset({1}))[0]
    assert "11b26ffbdb1e24641c8f8da3ee56b347d1" == located_set.hex()
    assert "21e46ee0ef527b5d8054121745527f6530" == namespace_prefix(("n" * 1000,)).hex()
    assert b"\x02" + b"x" * 1000 + b"\x00" == full
