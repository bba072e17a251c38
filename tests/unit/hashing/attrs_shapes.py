"""Classes made by attrs, whose instances the corpus compares.

Knows: attrs. Must not know: hashes.
"""

from __future__ import annotations

import attrs


@attrs.define
class Point:
    """In slots, with a default."""

    x: int
    y: int = 0


@attrs.define
class Pixel:
    """The same fields under another name."""

    x: int
    y: int = 0


@attrs.frozen(cache_hash=True)
class Fixed:
    """Frozen, and its hash is kept."""

    x: int
    note: str = attrs.field(default="", eq=False)


@attrs.define(slots=False)
class Loose:
    """With a `__dict__`."""

    x: int
    double: int = attrs.field(init=False)

    def __attrs_post_init__(self):
        self.double = 2 * self.x


def hashed(value):
    """Return *value* after its hash was asked for."""
    hash(value)
    return value
