"""What is known of a stored result beside the result: for people, and for explanations.

Knows: how it is written down, as JSON. Must not know: where, and who asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from objcache.clock import MICROSECONDS, in_seconds
from objcache.hashing import digest, outline, text_of
from objcache.memo._inputs import Input
from objcache.protocols import MISSING
from objcache.store.entries import LazyValue

__all__ = [
    "VERSION_BYTES",
    "Entry",
    "Kept",
    "Picture",
    "Row",
    "Written",
    "outline_of",
    "picture_of",
    "row_of",
]

Row = dict[str, Any]
"""The form on disk; docs/design/memoize.md lists the fields."""


class Entry(LazyValue):
    """A stored result of a memoized function, and what is known of it.

    Attributes:
        arguments: the arguments as short texts, by parameter.
        cost_s: how many seconds the function took.
        size_bytes: of the record on disk.
        created: when it was computed, in seconds since the epoch.
        age_s: how many seconds ago that is.
        deadline: when it is over, in seconds since the epoch; None for never.
        tags: the tags it was stored with.
        version: which version of the function's code it is of.
        current: whether that is the version of this process.
        raised: whether it is an exception that the function raised.
        key: what `cache_key` returns for its arguments, in that version.
    """

    __slots__ = (
        *("age_s", "arguments", "cost_s", "created", "current", "deadline"),
        *("key", "raised", "size_bytes", "tags", "version"),
    )

    def __init__(
        self, key: bytes, row: Row, now: float, load: Callable[[], Any], *, current: bool
    ) -> None:
        super().__init__(load)
        self.key = key.hex()
        self.arguments: Mapping[str, str] = dict(row["arguments"])
        self.cost_s: float = row["cost_s"]
        self.size_bytes: int = row["size_bytes"]
        self.created: float = row["created"]
        self.age_s = now - self.created
        self.deadline: float | None = row["deadline"]
        self.tags: tuple[str, ...] = tuple(row["tags"])
        self.version = key[:VERSION_BYTES].hex()
        self.current = current
        self.raised: bool = row["raised"]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={text}" for name, text in self.arguments.items())
        return f"<objcache.Entry ({shown}) of {self.cost_s:.3g} s, {self.size_bytes} bytes>"


VERSION_BYTES: Final = 16


class Picture(NamedTuple):
    """What a call looked like before the function ran, which may change its arguments.

    Attributes:
        fields: of the row.
        form: the whole encoded arguments, where they are compared on a hit.
    """

    fields: Row
    form: bytes | None


class Written(NamedTuple):
    """What was written with a result."""

    created: float
    cost_us: int
    deadline_us: int | None
    tags: tuple[str, ...]
    raised: bool


class Kept(NamedTuple):
    """What one write stores: a result, its row, and what hangs on them.

    Attributes:
        record: of the result.
        row: what is known of it.
        raised: whether it is an exception.
        form: the whole encoded arguments, where they are compared on a hit.
        generation: of the cache that it was encoded for; 0 for a store.
        over_us: from when on it is of no use, not even stale: microseconds since the epoch.
        items_bytes: what the items of a generator take on disk.
        given: what the caller gets once it is stored, where that is a view of it.
    """

    record: bytes | bytearray
    row: Row
    raised: bool = False
    form: bytes | None = None
    generation: int = 0
    over_us: int | None = None
    items_bytes: int = 0
    given: Any = MISSING


def picture_of(names: Iterable[str], values: Iterable[Any], reads: Iterable[Input]) -> Row:
    """Return what a row says of the arguments.

    Args:
        names: of the parameters that are part of the key.
        values: of the same.
        reads: what the function reads beside them.

    Cost: hashes the parts of the arguments once more.
    """
    pairs = list(zip(names, values, strict=True))
    return {
        "arguments": [[name, _text_of(value)] for name, value in pairs],
        "digests": [digest(value).hex()[:16] for _, value in pairs],
        "outlines": [outline_of(value) for _, value in pairs],
        "reads": {read.label: digest(read).hex()[:16] for read in reads},
    }


def _text_of(value: Any) -> str:
    return value.label if isinstance(value, Input) else text_of(value)


def outline_of(value: Any) -> Any:
    """Return the outline of an argument."""
    if isinstance(value, Input):
        return f"{value.label} #{digest(value)[:6].hex()}"
    return outline(value)


def row_of(fields: Row, written: Written, size_bytes: int) -> Row:
    """Return the row of a result whose record has *size_bytes*."""
    return {
        "created": written.created,
        "cost_s": written.cost_us / MICROSECONDS,
        "size_bytes": size_bytes,
        "deadline": in_seconds(written.deadline_us),
        "tags": list(written.tags),
        "raised": written.raised,
        **fields,
    }
