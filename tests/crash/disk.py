"""What certainly is on the disk and what may be, at each event of a recording.

Knows: pages, syncs, a journal of names. Must not know: what the files mean, and chance.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Final, NamedTuple

from tests.crash.recording import PAGE, Kind, Recording

__all__ = ["Disk", "DiskFile", "Names", "Versions"]

Versions = list[tuple[int, bytes | memoryview]]


class DiskFile:
    """One file: what is certainly on the disk, and what may be.

    Attributes:
        durable: the bytes that were synced; as long as the file then was.
        pending: the versions of each page since, each with the event that wrote it.
        sizes: the lengths since, likewise.
        mapped: whether its contents also change unseen.
    """

    def __init__(self, path: str, content: bytes = b"") -> None:
        self.path = path
        self.durable = bytearray(content)
        self.size = len(content)
        self.pending: dict[int, Versions] = {}
        self.sizes: list[tuple[int, int]] = []
        self.mapped = False

    @property
    def name(self) -> str:
        """The last part of the path."""
        return os.path.basename(self.path)

    def page(self, number: int) -> bytes:
        """Return what a reader sees now in page *number*."""
        versions = self.pending.get(number)
        if versions:
            return bytes(versions[-1][1])
        return self.durable_page(number)

    def durable_page(self, number: int) -> bytes:
        """Return what page *number* holds if nothing was written back since the last sync."""
        return bytes(self.durable[number * PAGE : (number + 1) * PAGE]).ljust(PAGE, b"\0")

    def write(self, at: int, offset: int, content: memoryview) -> None:
        """Note a write."""
        end = offset + len(content)
        for number in range(offset // PAGE, (end + PAGE - 1) // PAGE):
            first, last = max(offset, number * PAGE), min(end, (number + 1) * PAGE)
            part: bytes | memoryview = content[first - offset : last - offset]
            if last - first < PAGE:
                page = bytearray(self.page(number))
                page[first - number * PAGE : last - number * PAGE] = part
                part = bytes(page)
            self.pending.setdefault(number, []).append((at, part))
        if end > self.size:
            self.resize(at, end)

    def resize(self, at: int, size: int) -> None:
        """Note a new length; what is cut off reads as zeros if the file grows again."""
        for number in range(-(-size // PAGE), -(-self.size // PAGE)):
            self.pending.setdefault(number, []).append((at, bytes(PAGE)))
        if size < self.size and size % PAGE:
            page = self.page(size // PAGE)[: size % PAGE].ljust(PAGE, b"\0")
            self.pending.setdefault(size // PAGE, []).append((at, page))
        self.size = size
        self.sizes.append((at, size))

    def sync(self, begun: int) -> None:
        """Make durable what was written before event *begun*."""
        for at, size in self.sizes:
            if at < begun:
                self._set_durable_size(size)
        self.sizes = [(at, size) for at, size in self.sizes if at >= begun]
        for number in list(self.pending):
            self._settle(number, begun)

    def sync_range(self, at: int, offset: int, length: int) -> None:
        """Make durable the pages of a write through a descriptor that syncs each write."""
        if offset + length > len(self.durable):
            self._set_durable_size(offset + length)
        for number in range(offset // PAGE, (offset + length + PAGE - 1) // PAGE):
            if number in self.pending:
                self._settle(number, at)

    def _set_durable_size(self, size: int) -> None:
        if size <= len(self.durable):
            del self.durable[size:]
        else:
            self.durable.extend(bytes(size - len(self.durable)))

    def _settle(self, number: int, begun: int) -> None:
        versions = self.pending[number]
        count = sum(at < begun for at, _ in versions)
        if count:
            size = len(self.durable)
            part = versions[count - 1][1][: max(0, size - number * PAGE)]
            self.durable[number * PAGE : number * PAGE + len(part)] = part
            if count == len(versions):
                del self.pending[number]
            else:
                del versions[:count]


class NameChange(NamedTuple):
    """One entry of the journal of names."""

    kind: Kind
    path: str
    to: str
    node: DiskFile | None


Names = dict[str, DiskFile | None]
"""What a directory tree holds: a file, or None for a directory."""


class Disk:
    """What is and what may be on the disk, at each event of a recording in turn.

    Attributes:
        now: how many events have happened.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.now = 0
        self._files: dict[int, DiskFile] = {}
        self._directories: dict[int, str] = {recording.root_inode: recording.root}
        self._base: Names = {recording.root: None}
        for name, number in recording.base_names.items():
            path = os.path.join(recording.root, name)
            source = pathlib.Path(recording.base, name)
            if source.is_dir():
                self._base[path] = None
                self._directories[number] = path
            else:
                file = DiskFile(path, source.read_bytes() if source.exists() else b"")
                self._files[number] = self._base[path] = file
        self.changes: list[tuple[int, NameChange]] = []
        self.covered: set[int] = set()

    def file_of(self, inode: int) -> DiskFile | None:
        """Return the file with that number, as of now."""
        return self._files.get(inode)

    # -- events ------------------------------------------------------------------------------

    def advance(self) -> None:
        """Let the next event happen."""
        at, event = self.now, self.recording.events[self.now]
        self.now += 1
        if event.kind in {Kind.MARK, Kind.KILLED, Kind.SYNC_BEGIN}:
            return
        if event.kind in _NAME_KINDS:
            self._change_name(at, event)
        elif event.kind == Kind.SYNC_END and event.file in self._directories:
            if not event.extra:
                self._cover(self._directories[event.file], event.offset)
        else:
            self._change_file(at, event, self._files[event.file])

    def _change_file(self, at, event, file: DiskFile) -> None:
        if event.kind == Kind.WRITE:
            file.write(at, event.offset, event.payload)
        elif event.kind == Kind.TRUNCATE:
            file.resize(at, event.length)
        elif event.kind == Kind.ALLOCATE:
            if event.extra:
                raise NotImplementedError(f"fallocate with mode {event.extra}")
            if event.offset + event.length > file.size:
                file.resize(at, event.offset + event.length)
        elif event.kind == Kind.RANGE_SYNCED:
            file.sync_range(at, event.offset, event.length)
        elif event.kind == Kind.MAPPED:
            file.mapped = True
        elif event.kind == Kind.SYNC_END and not event.extra:
            file.sync(event.offset)

    def _change_name(self, at, event) -> None:
        path, to = event.names()
        node = None
        if event.kind == Kind.CREATE:
            node = self._files[event.file] = DiskFile(path)
        elif event.kind == Kind.MAKE_DIRECTORY:
            self._directories[event.file] = path
        elif event.kind == Kind.RENAME:
            self._move(path, to)
        self.changes.append((at, NameChange(Kind(event.kind), path, to, node)))

    def _move(self, path: str, to: str) -> None:
        for inode, known in self._directories.items():
            if known == path or known.startswith(path + os.sep):
                self._directories[inode] = to + known[len(path) :]
        for file in self._files.values():
            if file.path == path or file.path.startswith(path + os.sep):
                file.path = to + file.path[len(path) :]

    def _cover(self, directory: str, begun: int) -> None:
        for index, (at, change) in enumerate(self.changes):
            parents = {os.path.dirname(change.path), os.path.dirname(change.to)}
            if at < begun and directory in parents:
                self.covered.add(index)

    # -- names -------------------------------------------------------------------------------

    def names(self, present: Callable[[int], bool]) -> Names:
        """Return the tree after those changes of names for whose index *present* holds."""
        names = dict(self._base)
        for index, (_, change) in enumerate(self.changes):
            if present(index):
                _apply(names, change)
        return names


_NAME_KINDS: Final = frozenset(
    {
        Kind.CREATE,
        Kind.RENAME,
        Kind.UNLINK,
        Kind.MAKE_DIRECTORY,
        Kind.REMOVE_DIRECTORY,
        Kind.LINK,
    }
)


def _apply(names: Names, change: NameChange) -> None:
    if change.kind in {Kind.CREATE, Kind.MAKE_DIRECTORY}:
        if os.path.dirname(change.path) in names:
            names[change.path] = change.node
    elif change.path not in names:
        return  # it was never there on this disk
    elif change.kind == Kind.LINK:
        names[change.to] = names[change.path]
    elif change.kind == Kind.RENAME:
        for path in [known for known in names if known.startswith(change.path + os.sep)]:
            names[change.to + path[len(change.path) :]] = names.pop(path)
        names[change.to] = names.pop(change.path)
    elif not any(known.startswith(change.path + os.sep) for known in names):
        del names[change.path]
