"""Golden digests: a stored result is found again by later versions, on every Python."""

from __future__ import annotations

import json

from tests.unit.hashing.goldens import FILE, VALUES, digests

REMEDY = (
    "the digest of these values changed, so no result stored before is found again: that is a new "
    "format; if it is meant, run `python -m tests.unit.hashing.goldens` and note it in the changelog"
)


def test_golden_digests():
    """Each value has the digest that it always had."""
    expected = json.loads(FILE.read_text("utf-8"))
    actual = digests()
    changed = [value for value in VALUES if expected.get(value) != actual[value]]

    assert [] == changed, REMEDY


def test_golden_values_are_listed_once():
    """The file holds these values and no others."""
    assert sorted(set(VALUES)) == sorted(json.loads(FILE.read_text("utf-8")))
