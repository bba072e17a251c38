"""What the writes of a cache go by, and what an entry takes on disk.

Knows: bounds, policy, hints. Must not know: rows.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from objcache.cache._layout import State
from objcache.cache._limits import Limits
from objcache.cache._policy import Policy, QueueState
from objcache.cache._shared import Hints
from objcache.engine import SideKeeper
from objcache.store.side import names_side_file, side_bytes_of

__all__ = ["Kept", "Rules", "Sibling", "size_on_disk"]

_PAGE_BYTES: Final = 4096
# A larger one has pages of its own: a node takes at most half of a page (mdb.c, me_nodemax).
_LARGEST_NODE_BYTES: Final = 2000
_PAGE_HEADER_BYTES: Final = 16
# What an entry takes beside its key and its record: the node, and its row in the queue.
_ENTRY_BYTES: Final = 64


class Sibling(NamedTuple):
    """What it takes to evict from a cache."""

    limits: Limits
    policy: Policy
    hints: Hints


class Kept:
    """The numbers of a cache as this process has last written or read them.

    They are as good as read anew while their row in the file has the same bytes; so a write
    decodes nothing.

    Attributes:
        packed: the row; b"" while a write changes the others.
        state: what it says.
        policy_state: what it says to the policy.
        over_left: whether rows of generations that are over were left behind.
        quiet_writes: how many small writes need not look how full the file is: there is room.

    Concurrency: within a write transaction only, of which a process has one.
    """

    __slots__ = ("over_left", "packed", "policy_state", "quiet_writes", "state")

    def __init__(self) -> None:
        self.packed = b""
        self.state: State | None = None
        self.policy_state: QueueState | None = None
        self.over_left = True
        self.quiet_writes = 0


class Rules(NamedTuple):
    """What all writes of one cache in this process go by.

    Attributes:
        path: of the store, for messages.
        number: of the cache's generation.
        prefix: what all rows of the generation begin with.
        registered: the row of the file that says that the generation is the present one.
        limits: what it may hold.
        largest_bytes: what no entry may be larger than.
        policy: what goes first.
        hints: marks of reads, and what was evicted.
        reserve_bytes: how much of the file is kept for pages that cannot be used again yet.
        side: the side files of the store.
        kept: the numbers, as last seen.
        siblings: the caches of the file that this process has open, and may evict from.
        names: the namespaces from the file's cache to this one, for those who listen.
    """

    path: str
    number: int
    prefix: bytes
    registered: tuple[bytes, bytes]
    limits: Limits
    largest_bytes: int
    policy: Policy
    hints: Hints
    reserve_bytes: int
    side: SideKeeper
    kept: Kept
    siblings: dict[tuple[str, ...], Sibling]
    names: tuple[str, ...]

    @property
    def ceiling_bytes(self) -> int:
        """How much of the file may be used at most."""
        return (self.limits.file_bytes or 0) - self.reserve_bytes


def size_on_disk(located: bytes, record: bytes | bytearray) -> int:
    """Return about how many bytes of the disk an entry takes, its side file with it."""
    record_bytes, side_bytes = len(record), 0
    if names_side_file(record):
        side_bytes = -(-side_bytes_of(record) // _PAGE_BYTES) * _PAGE_BYTES
    if record_bytes + len(located) > _LARGEST_NODE_BYTES:
        record_bytes = -(-(record_bytes + _PAGE_HEADER_BYTES) // _PAGE_BYTES) * _PAGE_BYTES
    return record_bytes + side_bytes + 2 * len(located) + _ENTRY_BYTES
