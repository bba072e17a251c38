"""A walk over every page of an LMDB file: py-lmdb's verifier without its one false alarm.

Knows: `lmdb.verify`. Must not know: what is stored.
"""

from __future__ import annotations

import os
import struct

from lmdb import verify

_OVERFLOW = 0x04


class _Walk(verify._Verifier):
    """Takes the length of an overflow run from its first page, as LMDB does.

    A value that is overwritten by a shorter one in the same transaction keeps its longer run
    (mdb.c: mdb_cursor_put). py-lmdb expects the shortest run that could hold the value.
    """

    def _bigdata(self, ctx, pgno, i, buf, doff, dsize, want_bytes):
        (first,) = struct.unpack_from("=Q", buf, doff)
        header = self.read_page(first) if 2 <= first < self.next_pgno else None
        wanted = dsize
        needed = (self.hdrsz - 1 + dsize) // self.psize + 1
        if header is not None and self._pg_flags(header, 0) & _OVERFLOW:
            pages = self._pg_pages(header, 0)
            if needed < pages <= self.next_pgno - first:
                dsize = pages * self.psize - self.hdrsz
        content = super()._bigdata(ctx, pgno, i, buf, doff, dsize, want_bytes)
        return None if content is None else content[:wanted]


def walk(path: str) -> list[str]:
    """Return what is wrong with the pages of the data file *path*: nothing, if it is whole."""
    with open(path, "rb") as file:
        try:
            return _Walk(file, os.fstat(file.fileno()).st_size).verify()
        except (verify.VerifyError, struct.error, IndexError, RecursionError) as error:
            return [f"{type(error).__name__}: {error}"]
