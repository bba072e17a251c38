"""The pages of a data file, read without LMDB: whatever is in them, nothing can crash.

Knows: how a file of LMDB 0.9 is laid out (mdb.c: MDB_page, MDB_node, MDB_db, MDB_meta). Must not
know: trees, or what keys and records mean.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Final, NamedTuple, Self

from objcache.errors import CorruptStoreError

__all__ = [
    "BRANCH",
    "DEEPEST",
    "FIRST_PAGE",
    "LEAF",
    "NUMBER_BYTES",
    "Meta",
    "Node",
    "Page",
    "PageError",
    "PageFile",
    "Run",
    "Tree",
    "branch_nodes",
    "in_turn",
    "leaf_nodes",
    "parsed",
    "read_meta",
    "scattered_nodes",
]

# Integers have the byte order of the machine: a file of LMDB belongs to one kind of machine.
_HEADER: Final = struct.Struct("=QHHHH")
_NODE: Final = struct.Struct("=HHHH")
_POINTER: Final = struct.Struct("=H")
_NUMBER: Final = struct.Struct("=Q")
_TREE: Final = struct.Struct("=IHHQQQQQ")
_META: Final = struct.Struct("=IIQQ")
_META_END: Final = struct.Struct("=QQ")

_MAGIC: Final = 0xBEEFC0DE
_VERSION: Final = 1
_NO_PAGE: Final = 2**64 - 1
_META_BYTES: Final = _META.size + 2 * _TREE.size + _META_END.size
_BIG: Final = 1
_BLOCK_BYTES: Final = 512
_LARGEST_KEY: Final = 511
_READ_BYTES: Final = 1 << 26
# A repair reads each long value some ten times. What would be read more often is claimed by many
# nodes at once, and only an attacker writes such pages.
_READINGS: Final = 32
_MOST_HOLES_BYTES: Final = 1 << 37

FIRST_PAGE: Final = 2
"""The first page that is not a meta page."""
NUMBER_BYTES: Final = _NUMBER.size
"""How long the numbers of pages and transactions are, in the list of free pages."""
DEEPEST: Final = 32
"""A tree with more levels is a circle."""
BRANCH: Final = 1
LEAF: Final = 2
_OVERFLOW: Final = 4
_META_FLAG: Final = 8


class PageError(Exception):
    """A page that is not what it should be; the message says what it is instead."""


class Tree(NamedTuple):
    """What a meta page says of one of its two trees."""

    flags: int
    depth: int
    branch_pages: int
    leaf_pages: int
    overflow_pages: int
    entries: int
    root: int | None


class Meta(NamedTuple):
    """A state of the file: one of its two meta pages."""

    number: int
    transaction_id: int
    page_bytes: int
    free: Tree
    main: Tree
    last_page: int


class Page(NamedTuple):
    """A page of a tree, with the places of its nodes."""

    number: int
    flags: int
    upper: int
    pointers: tuple[int, ...]
    content: bytes


class Node(NamedTuple):
    """A key on a leaf, with its value or the first page of the run that holds it."""

    key: bytes
    size: int
    value: bytes | None
    run: int | None


class Run(NamedTuple):
    """What the first page of a run says of itself."""

    number: int
    flags: int
    pages: int

    def fault(self, number: int, needed: int) -> str:
        """Return what is wrong with it, as the run from page *number* of *needed* pages."""
        if self.flags != _OVERFLOW:
            return f"page {number} should begin a long value and does not"
        if self.number != number:
            return f"page {number} says that it is page {self.number}"
        # A value that was replaced by a shorter one in the same transaction keeps its pages.
        if self.pages < needed:
            return f"page {number} begins a run of {self.pages} pages, the value has {needed}"
        return ""


class PageFile:
    """A data file, opened for reading only.

    Args:
        path: the file.

    Raises:
        CorruptStoreError: it cannot be a file of LMDB.
        OSError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.page_bytes = mmap.PAGESIZE
            self.measure()
            self.page_bytes = self._find_page_bytes()
            self.measure()
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)

    def measure(self) -> None:
        """Take notice of what the file has grown meanwhile.

        Raises:
            CorruptStoreError: it is empty, or next to all of it are holes.
        """
        status = os.fstat(self._descriptor)
        self.size = status.st_size
        if not self.size:
            raise CorruptStoreError(f"the file {self.path!r} is empty")
        # What is kept of each page is little, but a hole costs nobody anything.
        if self.size - status.st_blocks * _BLOCK_BYTES > _MOST_HOLES_BYTES:
            raise CorruptStoreError(
                f"the file {self.path!r} has {self.size:,} bytes, of which only "
                f"{status.st_blocks * _BLOCK_BYTES:,} are on the disk: no store is like that"
            )
        self.pages = -(-self.size // self.page_bytes)
        self._left_bytes = _READINGS * self.size

    def span(self, offset: int, size: int) -> bytes | None:
        """Return *size* bytes from *offset*; None where the file or the disk does not give them."""
        if size > self.size - offset:
            return None
        parts = []
        try:
            while size > 0:
                part = os.pread(self._descriptor, min(size, _READ_BYTES), offset)
                if not part:
                    return None
                parts.append(part)
                offset += len(part)
                size -= len(part)
        except OSError:
            return None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def page(self, number: int) -> bytes:
        """Return a page; b"" where the file or the disk does not give all of it."""
        return self.span(number * self.page_bytes, self.page_bytes) or b""

    def part(self, number: int) -> bytes:
        """Return as much of a page as there is."""
        offset = number * self.page_bytes
        return self.span(offset, max(min(self.page_bytes, self.size - offset), 0)) or b""

    def value(self, node: Node) -> bytes | None:
        """Return the value of *node*, wherever it lies; None as for `span`."""
        if node.run is None:
            return node.value
        self._left_bytes -= node.size
        if self._left_bytes < 0:
            return None
        return self.span(node.run * self.page_bytes + _HEADER.size, node.size)

    def run(self, number: int) -> Run | None:
        """Return what the first page of a run says of itself."""
        content = self.span(number * self.page_bytes, _HEADER.size)
        if content is None:
            return None
        found, _, flags, lower, upper = _HEADER.unpack(content)
        low, high = (lower, upper) if sys.byteorder == "little" else (upper, lower)
        return Run(found, flags, low | high << 16)

    def pages_of(self, size: int) -> int:
        """Return how many pages a value of *size* bytes needs that has pages of its own."""
        return (_HEADER.size - 1 + size) // self.page_bytes + 1

    def meta(self, number: int) -> Meta:
        """Return the state that meta page *number* names.

        Raises:
            PageError: it is no meta page, or contradicts itself.
        """
        content = self.span(number * self.page_bytes, _HEADER.size + _META_BYTES)
        if content is None:
            raise PageError("the file ends before it")
        meta = read_meta(content, number)
        if meta.page_bytes != self.page_bytes:
            raise PageError(f"it says that pages have {meta.page_bytes} bytes")
        return meta

    def metas(self) -> list[Meta]:
        """Return the states whose meta pages can be read, the newest first."""
        found = []
        for number in (0, 1):
            try:
                found.append(self.meta(number))
            except PageError:
                continue
        return sorted(found, key=lambda meta: meta.transaction_id, reverse=True)

    def damaged_meta(self, number: int) -> Meta | None:
        """Return the state that a damaged meta page names, if that leads anywhere."""
        content = self.span(number * self.page_bytes, _HEADER.size + _META_BYTES)
        if content is None:
            return None
        meta = _unpack_meta(content, number)._replace(page_bytes=self.page_bytes)
        for root in (meta.main.root, meta.free.root):
            try:
                if root is not None and parsed(self.page(min(root, self.pages))).number != root:
                    return None
            except PageError:
                return None
        return None if meta.main.root is None else meta

    def _find_page_bytes(self) -> int:
        sizes = dict.fromkeys((mmap.PAGESIZE, 4096, 16384, 8192, 32768, 2048, 1024, 512))
        for offset in (0, *sizes):
            content = self.span(offset, _HEADER.size + _META_BYTES)
            try:
                meta = read_meta(content or b"", int(offset > 0))
            except PageError:
                continue
            if offset in {0, meta.page_bytes}:
                return meta.page_bytes
        return mmap.PAGESIZE  # what LMDB takes for a new file


def read_meta(content: bytes, number: int) -> Meta:
    """Return the state that *content*, the beginning of meta page *number*, names.

    Raises:
        PageError: it is no meta page, or contradicts itself.
    """
    if len(content) < _HEADER.size + _META_BYTES:
        raise PageError("the file ends before it")
    own, _, flags, _, _ = _HEADER.unpack_from(content)
    magic, version, _, map_bytes = _META.unpack_from(content, _HEADER.size)
    meta = _unpack_meta(content, number)
    if magic != _MAGIC or version != _VERSION:
        raise PageError("it is no meta page of LMDB 0.9 on this kind of machine")
    if own != number or flags != _META_FLAG:
        raise PageError("it is not marked as this meta page")
    if meta.page_bytes & (meta.page_bytes - 1) or not 256 <= meta.page_bytes <= 32768:
        raise PageError(f"it says that pages have {meta.page_bytes} bytes")
    # Transactions write the two in turn: the even ones the first.
    if meta.transaction_id and meta.transaction_id & 1 != number:
        raise PageError(f"it names transaction {meta.transaction_id}, which has the other one")
    if meta.last_page < 1:
        raise PageError("it says that the file has no pages")
    if (meta.last_page + 1) * meta.page_bytes > map_bytes:
        raise PageError(f"it says that the file has {meta.last_page + 1} pages, its map has fewer")
    if meta.main.flags:
        raise PageError("it says that the keys have another order than that of bytes")
    return meta


def _unpack_meta(content: bytes, number: int) -> Meta:
    offset = _HEADER.size + _META.size
    page_bytes, free = _read_tree(content, offset)
    _, main = _read_tree(content, offset + _TREE.size)
    last_page, transaction_id = _META_END.unpack_from(content, offset + 2 * _TREE.size)
    return Meta(number, transaction_id, page_bytes, free, main, last_page)


def _read_tree(content: bytes, offset: int) -> tuple[int, Tree]:
    padding, flags, depth, branches, leaves, overflow, entries, root = _TREE.unpack_from(
        content, offset
    )
    known = None if root == _NO_PAGE else root
    return padding, Tree(flags, depth, branches, leaves, overflow, entries, known)


def in_turn(transaction_ids: Sequence[int]) -> bool:
    """Return whether states of *transaction_ids* can be the two that the meta pages name."""
    return len(transaction_ids) == 2 and abs(transaction_ids[0] - transaction_ids[1]) <= 1


def parsed(content: bytes) -> Page:
    """Return the page in *content*.

    Raises:
        PageError: its header is that of no page of a tree.
    """
    if not content:
        raise PageError("the file ends before it, or the disk does not give it")
    number, _, flags, lower, upper = _HEADER.unpack_from(content)
    if flags not in {BRANCH, LEAF}:
        raise PageError("it is neither a branch nor a leaf")
    if not _HEADER.size <= lower <= upper <= len(content) or lower & 1:
        raise PageError("its header contradicts itself")
    pointers = struct.unpack_from(f"={(lower - _HEADER.size) // 2}H", content, _HEADER.size)
    return Page(number, flags, upper, pointers, content)


def leaf_nodes(page: Page) -> Iterator[Node | None]:
    """Yield the nodes of a leaf; None for each that is damaged."""
    room = _room(page.content)
    for pointer in page.pointers:
        node = _leaf_node(page.content, pointer) if pointer >= page.upper else None
        room -= _bytes_of(node)
        yield node if room >= 0 else None


def branch_nodes(page: Page) -> Iterator[tuple[bytes, int] | None]:
    """Yield first key and page number of each child of a branch; None where it is damaged."""
    content = page.content
    for pointer in page.pointers:
        if not page.upper <= pointer <= len(content) - _NODE.size:
            yield None
            continue
        low, high, flags, key_bytes = _NODE.unpack_from(content, pointer)
        start = pointer + _NODE.size
        if key_bytes > _LARGEST_KEY or start + key_bytes > len(content):
            yield None
            continue
        # The flags of a leaf's node are the highest bits of a child's number.
        first, second = (low, high) if sys.byteorder == "little" else (high, low)
        yield content[start : start + key_bytes], first | second << 16 | flags << 32


def _room(content: bytes) -> int:
    """Return how many bytes of nodes are believed to be on one page.

    Damaged ones may overlap; a page made up of nothing else would be read a thousand times.
    """
    return 2 * len(content)


def _bytes_of(node: Node | None) -> int:
    if node is None:
        return 0
    return _NODE.size + len(node.key) + (_NUMBER.size if node.value is None else node.size)


def _leaf_node(content: bytes, pointer: int) -> Node | None:
    start = pointer + _NODE.size
    if start > len(content):
        return None
    first, second, flags, key_bytes = _NODE.unpack_from(content, pointer)
    low, high = (first, second) if sys.byteorder == "little" else (second, first)
    size, end = low | high << 16, start + key_bytes
    if not 0 < key_bytes <= _LARGEST_KEY or flags & ~_BIG or end > len(content):
        return None
    if flags & _BIG:
        if end + _NUMBER.size > len(content):
            return None
        return Node(content[start:end], size, None, _NUMBER.unpack_from(content, end)[0])
    if end + size > len(content):
        return None
    return Node(content[start:end], size, content[end : end + size], None)


def scattered_nodes(content: bytes) -> Iterator[Node]:
    """Yield whatever looks like a node of a leaf, however damaged the rest of the page is.

    Most of what is found on a page that is no leaf is rubbish: nothing of it may be believed.
    """
    if len(content) < _HEADER.size:
        return
    _, _, _, lower, upper = _HEADER.unpack_from(content)
    plausible = _HEADER.size <= lower <= len(content)
    tried = set()
    for place in range(_HEADER.size, (lower if plausible else len(content)) - 1, 2):
        (pointer,) = _POINTER.unpack_from(content, place)
        if pointer >= _HEADER.size:
            tried.add(pointer)
    room = _room(content)
    for pointer in sorted(tried):
        node = _leaf_node(content, pointer)
        room -= _bytes_of(node)
        if node is not None and room >= 0:
            yield node
    # The nodes themselves lie one behind the other, up to the end of the page.
    while _HEADER.size <= upper < len(content):
        node = _leaf_node(content, upper)
        if node is None:
            return
        if upper not in tried:
            yield node
        upper += _bytes_of(node)
        upper += upper & 1
