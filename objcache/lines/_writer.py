"""Writing the line format: header, entries, chunks, end.

Knows: what the lines are. Must not know: where they go, and what is in a store.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

from objcache._version import __version__
from objcache.lines._frames import CHUNK_BYTES, FORMAT, LARGEST_LINE_BYTES, VERSION

__all__ = ["LineTooLongError", "LineWriter"]


class LineTooLongError(Exception):
    """An entry does not fit into a line; nothing of it was written."""


class LineWriter:
    """Writes lines.

    Args:
        write: takes the bytes of each line.
        exported: what it is an export of, for the header.
        ascii_only: write other characters as escapes, which a terminal does not obey.

    Attributes:
        entries: how many were written.

    Concurrency: one thread at a time.
    """

    def __init__(
        self, write: Callable[[bytes], object], exported: Any, *, ascii_only: bool = False
    ) -> None:
        self._write = write
        self._to_json = json.JSONEncoder(
            ensure_ascii=ascii_only, allow_nan=False, check_circular=False, separators=(",", ":")
        ).encode
        self._hasher = hashlib.sha256()
        self.entries = 0
        self._line(
            {
                "objcache": FORMAT,
                "version": VERSION,
                "written_by": f"objcache {__version__}",
                "exported": exported,
            }
        )

    def _line(self, content: dict[str, Any]) -> None:
        line = self._to_json(content).encode() + b"\n"
        if len(line) > LARGEST_LINE_BYTES:
            raise LineTooLongError(f"a line of {len(line):,} bytes")
        self._hasher.update(line)
        self._write(line)

    def entry(self, content: dict[str, Any]) -> None:
        """Write the line of an entry; `chunks` writes what it announces.

        Raises:
            LineTooLongError: it is too long for one.
        """
        self._line(content)
        self.entries += 1

    def chunks(self, pieces: Iterable[bytes | memoryview]) -> None:
        """Write *pieces* one after another, in chunks."""
        waiting = bytearray()
        for piece in pieces:
            for start in range(0, len(piece), CHUNK_BYTES):
                waiting += piece[start : start + CHUNK_BYTES]
                while len(waiting) >= CHUNK_BYTES:
                    self._chunk(waiting[:CHUNK_BYTES])
                    del waiting[:CHUNK_BYTES]
        if waiting:
            self._chunk(waiting)

    def _chunk(self, piece: bytearray) -> None:
        self._line({"chunk": base64.b64encode(piece).decode("ascii")})

    def end(self) -> None:
        """Write the last line, by which a reader knows that nothing is missing."""
        self._line({"end": {"entries": self.entries, "sha256": self._hasher.hexdigest()}})
