"""Whether anything was committed since: read from the file's own pages, without a transaction.

Knows: where LMDB keeps its last transaction. Must not know: what was committed.
"""

from __future__ import annotations

import mmap
import os
from typing import Final

__all__ = ["Pulse"]

# A file of LMDB 0.9 begins with two meta pages, written in turn; each says which transaction
# wrote it (mdb.c: MDB_page, MDB_meta.mm_txnid).
_META_PAGES: Final = 2
_TXNID_OFFSET: Final = 144


# As many words as two meta pages of any size begin with; LMDB counts from zero.
_ENDED: Final = memoryview(b"\xff" * (1 << 17)).cast("Q")


class Pulse:
    """The numbers of the last two transactions of a file, as they are now.

    Attributes:
        ids: all words of the meta pages.
        first: which word is the number of one transaction.
        second: which word is the number of the other.

    `ids[first] + ids[second]` changes with every commit of any process that changes anything.
    Reading, rolling back and committing nothing write no meta page. Both words only grow: if the
    sum is what it was, nothing was committed between, even if the words were read one by one.

    Args:
        path: the data file.
        page_bytes: the size of its pages.
    """

    __slots__ = ("first", "ids", "second")

    def __init__(self, path: str, page_bytes: int) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            mapped = mmap.mmap(descriptor, _META_PAGES * page_bytes, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)
        self.ids = memoryview(mapped).cast("Q")
        self.first = _TXNID_OFFSET // 8
        self.second = (page_bytes + _TXNID_OFFSET) // 8

    def end(self) -> None:
        """Never tell the same again: the file was replaced."""
        self.ids = _ENDED

    def now(self) -> int:
        """Return a number that changes with every commit."""
        return self.ids[self.first] + self.ids[self.second]

    def last(self) -> int:
        """Return the number of the last transaction whose pages are in the file."""
        return max(self.ids[self.first], self.ids[self.second])
