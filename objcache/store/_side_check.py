"""Whether the rows of side files and the records that name them agree.

Knows: which record names which file. Must not know: keys, values, and what the files hold.
"""

from __future__ import annotations

from collections.abc import Iterator

from objcache.engine import side_row
from objcache.header import Header

__all__ = ["SideFileRows"]


class SideFileRows:
    """The rows of side files of a store, and the records that name one.

    Attributes:
        found: how many rows there are.
    """

    def __init__(self) -> None:
        self.found = 0
        self._said: int | None = None
        self._live: dict[bytes, bytes] = {}
        self._damaged: list[bytes] = []

    def take(self, located: bytes, record: bytes) -> bool:
        """Note a row; return whether it is one of side files."""
        row = side_row(located)
        if row is None:
            return False
        self.found += 1
        kind, name = row
        if kind == "count" and len(record) >= 8:
            self._said = int.from_bytes(record[:8], "big")
        elif kind == "live":
            self._live[name] = record
        elif kind in {"damaged", "count"}:
            self._damaged.append(located)
        return True

    def note(self, located: bytes, header: Header) -> str:
        """Note the record at *located*, after its file's row; return what is wrong with that."""
        if not header.side_file:
            return ""
        owner = self._live.pop(header.side_file, None)
        if owner == located:
            return ""
        if owner is not None:
            self._live[header.side_file] = owner
        return f"its side file {header.side_file.hex()} is not said to be its own"

    def excuse(self, name: bytes) -> None:
        """Take the side file *name*, b"" for none, for one of a record that is not checked."""
        self._live.pop(name, None)

    def problems(self) -> Iterator[tuple[object, str, str]]:
        """Yield key, kind and message of what is wrong, after all was taken."""
        for located in self._damaged:
            yield located, "side file", "a row of side files is damaged"
        for name, located in self._live.items():
            yield (
                located,
                "side file",
                f"the side file {name.hex()} is said to belong to a record that does not name it",
            )
        if self.found and self._said != self.found:
            yield (
                "side files",
                "count",
                f"the counter says {self._said or 0} rows of side files, there are {self.found}",
            )
