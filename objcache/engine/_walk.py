"""Walking over every page of one state of a data file, without LMDB.

Knows: what must be true of all pages together. Must not know: what keys and records mean.

A state is what a meta page names. Its pages stay as they are while a read transaction of that
state is open (LMDB reuses only pages that no reader needs), or while nobody writes.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from objcache.engine._pages import (
    BRANCH,
    DEEPEST,
    FIRST_PAGE,
    NUMBER_BYTES,
    Meta,
    Node,
    Page,
    PageError,
    PageFile,
    Tree,
    branch_nodes,
    leaf_nodes,
    parsed,
)
from objcache.engine._session import Session
from objcache.engine._transactions import ReadSnapshot
from objcache.errors import CorruptStoreError, StoreBusyError

__all__ = ["Damage", "Ranges", "Walk", "pinned_meta"]

_ATTEMPTS: Final = 100
_MOST_DAMAGES: Final = 100_000

_RECORDS: Final = "records"
_FREE: Final = "free pages"

# What is known of a page.
_UNKNOWN: Final = 0
_REACHED: Final = 1
_WHOLE: Final = 2


class Damage(NamedTuple):
    """Something wrong with a page, and what it means for the records.

    Attributes:
        page: its number; None where it is not one page.
        reason: what is wrong, in words.
        low: the first key that cannot be relied on.
        high: the first key behind; None is the end. Equal to *low*: no record is concerned.
    """

    page: int | None
    reason: str
    low: bytes
    high: bytes | None


class Ranges:
    """Ranges of keys that are suspect."""

    def __init__(self, ranges: Iterable[tuple[bytes, bytes | None]]) -> None:
        self._lows: list[bytes] = []
        self._highs: list[bytes | None] = []
        for low, high in sorted(ranges, key=lambda one: one[0]):
            if high is not None and low >= high:
                continue
            if self._lows and (self._highs[-1] is None or low <= self._highs[-1]):
                last = self._highs[-1]
                self._highs[-1] = None if last is None or high is None else max(last, high)
            else:
                self._lows.append(low)
                self._highs.append(high)

    def pairs(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield first key and first key behind of each range."""
        yield from zip(self._lows, self._highs, strict=True)

    def __bool__(self) -> bool:
        return bool(self._lows)

    def __contains__(self, key: bytes) -> bool:
        place = bisect_right(self._lows, key) - 1
        if place < 0:
            return False
        high = self._highs[place]
        return high is None or key < high


class _Step(NamedTuple):
    """A page to be read: where it hangs, and which keys may be on it."""

    number: int
    depth: int
    low: bytes
    high: bytes | None
    parent_low: bytes
    parent_high: bytes | None
    doubtful: bool = False


class _Counts:
    """How much of a tree was met."""

    def __init__(self) -> None:
        self.branches = self.leaves = self.overflow = self.entries = 0
        self.depths: set[int] = set()

    def differing_from(self, tree: Tree) -> Iterator[tuple[str, object, object]]:
        """Yield each number that *tree* has another one for: of what, its, and what was met."""
        for what, claimed, met in (
            ("branches", tree.branch_pages, self.branches),
            ("leaves", tree.leaf_pages, self.leaves),
            ("pages of long values", tree.overflow_pages, self.overflow),
            ("entries", tree.entries, self.entries),
            ("levels", sorted({tree.depth} - {0}), sorted(self.depths)),
        ):
            if claimed != met:
                yield what, claimed, met


class Walk:
    """One walk over the state that *meta* names.

    Args:
        file: where it lies.
        meta: which state.
        advance: called now and then with the number of pages that were read, and of all.

    Attributes:
        damages: what is wrong, so far.
        freed: for each page the transaction that freed it, 0 for those in use.
        free_is_sound: whether `free_list` has found nothing wrong.
        unaccounted: pages that are neither in use nor free, after `coverage`.
        last_freed: the last transaction that freed pages, after `free_list`: as a rule its own.
        is_doubtful: whether the last record may be of another state: its page, or one above it,
            is listed as free, says that it is another page, or is a damaged branch.
    """

    def __init__(
        self, file: PageFile, meta: Meta, advance: Callable[[int, int], None] | None = None
    ) -> None:
        self.file = file
        self.meta = meta
        self.damages: list[Damage] = []
        # Both are bounded by the file, not by what a meta page claims.
        self.known_pages = max(min(meta.last_page + 1, file.pages), FIRST_PAGE)
        self.freed = array("Q", bytes(NUMBER_BYTES * self.known_pages))
        self.free_is_sound = False
        self.unaccounted = 0
        self.last_freed = 0
        self.is_doubtful = False
        self._states = bytearray(self.known_pages)
        self._doubtful = False
        self._spare: list[tuple[int, int, int]] = []
        self._room = 0
        self._advance = advance
        self._read = FIRST_PAGE

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and record of everything that can be read, in order where all is well."""
        for node in self._nodes(self.meta.main, _RECORDS):
            record = self._value(node)
            if record is not None:
                yield node.key, record

    @property
    def is_mixed(self) -> bool:
        """Whether pages of several states are in its place, and nothing tells which they are."""
        return self._doubtful and not Ranges((damage.low, damage.high) for damage in self.damages)

    def _value(self, node: Node) -> bytes | None:
        value = self.file.value(node)
        if value is None and node.run is not None and self.is_whole(node.run):
            self._note(node.run, "the disk does not give it", node.key, node.key + b"\0")
        return value

    def is_whole(self, page: int) -> bool:
        """Return whether the walk has met *page*, and nothing was wrong with it."""
        return page < FIRST_PAGE or (page < self.known_pages and self._states[page] == _WHOLE)

    # -- the pages that are free -------------------------------------------------------------

    def free_list(self) -> None:
        """Read which pages are free."""
        before = len(self.damages)
        for node in self._nodes(self.meta.free, _FREE):
            listed = self._value(node)
            if listed is not None:
                self._free(int.from_bytes(node.key, "big"), listed)
        self.free_is_sound = len(self.damages) == before
        self.damages[before:] = [
            damage._replace(reason=f"in the list of free pages: {damage.reason}", low=b"", high=b"")
            for damage in self.damages[before:]
        ]

    def _free(self, transaction_id: int, listed: bytes) -> None:
        words = len(listed) // NUMBER_BYTES
        numbers = memoryview(listed[: words * NUMBER_BYTES]).cast("Q")
        if not words or len(listed) % NUMBER_BYTES or numbers[0] != words - 1:
            self._note_fault("a part of it has another length than it says")
            return
        self.last_freed = max(self.last_freed, transaction_id)
        if not 1 <= transaction_id <= self.meta.transaction_id:
            self._note_fault(f"it names transaction {transaction_id}, which was not yet")
            return
        before = self.meta.last_page + 1
        for number in numbers[1:]:
            if not FIRST_PAGE <= number < before:
                self._note_fault(f"page {number} is out of place in it")
                return
            before = number
            if number < self.known_pages:
                if self.freed[number]:
                    self._note_fault(f"page {number} is in it twice")
                self.freed[number] = transaction_id

    def _note_fault(self, reason: str) -> None:
        self.damages.append(Damage(None, reason, b"", b""))

    def coverage(self) -> None:
        """Compare the free pages with those that were met, after `free_list` and `records`."""
        for first, start, end in self._spare:
            others = any(self._states[start:end]) or any(self.freed[start:end])
            if end > self.known_pages or others:
                self.damages.append(Damage(first, "it claims pages that others have", b"", b""))
            else:
                self._states[start:end] = bytes((_WHOLE,)) * (end - start)
        both = neither = 0
        first_both = first_neither = 0
        for number in range(FIRST_PAGE, self.known_pages):
            met, free = self._states[number] != _UNKNOWN, self.freed[number] != 0
            if met and free:
                both += 1
                first_both = first_both or number
            elif not met and not free:
                neither += 1
                first_neither = first_neither or number
        if both:
            self._doubtful = True
            self._note_fault(
                f"pages in use that are listed as free: {both}, the first is {first_both}"
            )
        self.unaccounted = neither
        if neither:
            self._note_fault(
                f"pages neither in use nor free: {neither}, the first is {first_neither}"
            )

    def suspect(self) -> Ranges:
        """Return the keys whose records may be missing, or old, after all was walked."""
        if self.is_mixed:
            return Ranges([(b"", None)])
        return Ranges((damage.low, damage.high) for damage in self.damages)

    # -- trees -------------------------------------------------------------------------------

    def _nodes(self, tree: Tree, name: str) -> Iterator[Node]:
        """Yield the nodes of the leaves of a tree, with keys whose order is that of bytes."""
        counts = _Counts()
        self._room = _MOST_DAMAGES
        if tree.root is not None:
            steps = [_Step(tree.root, 1, b"", None, b"", None)]
            while steps and self._room > 0:
                step = steps.pop()
                page = self._page(step)
                if page is None:
                    continue
                stray = page.number != step.number or self._is_listed_free(step.number)
                step = step._replace(doubtful=step.doubtful or stray)
                if page.flags == BRANCH:
                    counts.branches += 1
                    steps.extend(reversed(self._children(page, step, name)))
                else:
                    counts.leaves += 1
                    counts.depths.add(step.depth)
                    yield from self._leaf(page, step, name, counts)
        self._compare(tree, name, counts)

    def _note(self, page: int, reason: str, low: bytes, high: bytes | None) -> None:
        """Note a damage. There is an end to it: what is left then can be told by nobody."""
        self._room -= 1
        if self._room > 0:
            self.damages.append(Damage(page, reason, low, high))
        elif self._room == 0:
            reason = f"more than {_MOST_DAMAGES:,} faults: what else is wrong was not looked for"
            self.damages.append(Damage(None, reason, b"", None))

    def _page(self, step: _Step) -> Page | None:
        if not self._take(step.number, 1, step.low, step.high):
            return None
        try:
            page = parsed(self.file.page(step.number))
        except PageError as fault:
            self._damaged(step, str(fault))
            return None
        if page.number != step.number:
            self._damaged(step, f"it says that it is page {page.number}")
        else:
            self._states[step.number] = _WHOLE
        if page.flags == BRANCH and step.depth >= DEEPEST:
            self._damaged(step, "it lies deeper than any tree is")
            return None
        return page

    def _take(self, first: int, pages: int, low: bytes, high: bytes | None) -> bool:
        """Note that pages are in use; False where they cannot be, or are already."""
        if first < FIRST_PAGE or first + pages > self.known_pages:
            reason = "the file ends before it" if first >= FIRST_PAGE else "it is a meta page"
            self._note(first, reason, low, high)
            return False
        if any(self._states[first : first + pages]):
            self._note(first, "two places lead to it", low, high)
            return False
        self._states[first : first + pages] = bytes((_REACHED,)) * pages
        self._read += pages
        return True

    def _damaged(self, step: _Step, reason: str) -> None:
        self._states[step.number] = _REACHED
        self._note(step.number, reason, step.low, step.high)

    def _children(self, page: Page, step: _Step, name: str) -> list[_Step]:
        """Return the children of a branch, each with the keys that may be on it."""
        nodes = list(branch_nodes(page))
        found = [node for node in nodes if node is not None]
        # The first key of the first child is not written down.
        bounds = [step.low, *(_ordered(key, name) for key, _ in found[1:])]
        ends = [*bounds[1:], step.high]
        rising = all(high is None or low < high for low, high in zip(bounds, ends, strict=True))
        if not found or len(found) < len(nodes) or not rising:
            self._damaged(step, "its keys are damaged")
            step = step._replace(doubtful=True)
            bounds, ends = [step.low] * len(found), [step.high] * len(found)
        return [
            _Step(child, step.depth + 1, low, high, step.low, step.high, step.doubtful)
            for (_, child), low, high in zip(found, bounds, ends, strict=True)
        ]

    def _leaf(self, page: Page, step: _Step, name: str, counts: _Counts) -> Iterator[Node]:
        last: bytes | None = None
        for found in leaf_nodes(page):
            if found is None:
                self._damaged(step, "a record of it is damaged")
                continue
            node = found._replace(key=_ordered(found.key, name))
            if node.key < step.low or (step.high is not None and node.key >= step.high):
                self._damaged(step, "it has a key that belongs elsewhere")
                above = step.parent_low, step.parent_high
                self._note(step.number, "or its parent is damaged", *above)
                continue
            if last is not None and node.key <= last:
                self._damaged(step, "its keys are out of order")
            last = node.key
            counts.entries += 1
            if node.run is not None:
                counts.overflow += self._overflow(node, node.run)
            self.is_doubtful = step.doubtful or self._is_listed_free(node.run or 0)
            yield node
        if self._advance is not None:
            self._advance(self._read, self.known_pages)

    def _is_listed_free(self, number: int) -> bool:
        return number < self.known_pages and self.freed[number] > 0

    def _overflow(self, node: Node, first: int) -> int:
        """Check the run of a long value; return how many pages it has."""
        behind = node.key + b"\0"
        needed = self.file.pages_of(node.size)
        run = self.file.run(first) if first < self.file.pages else None
        if run is None:
            self._note(first, "the file ends before it", node.key, behind)
            return 0
        if not self._take(first, needed, node.key, behind):
            return 0
        fault = run.fault(first, needed)
        if fault:
            self._note(first, fault, node.key, behind)
            return needed
        self._states[first : first + needed] = bytes((_WHOLE,)) * needed
        if run.pages > needed:
            # Believed when all else was read: a damaged number must not hide the pages of others.
            self._spare.append((first, first + needed, first + run.pages))
        return run.pages

    def _compare(self, tree: Tree, name: str, counts: _Counts) -> None:
        wrong = set()
        for what, claimed, met in counts.differing_from(tree):
            wrong.add(what)
            self._note_fault(f"the tree of {name} should have {claimed} {what}, found were {met}")
        # One number may be damaged itself; two that are wrong together are about the pages.
        if name == _RECORDS and "entries" in wrong and wrong & {"leaves", "branches"}:
            self._doubtful = True


def _ordered(key: bytes, name: str) -> bytes:
    """Return *key* so that its bytes sort as the tree does: numbers do by value."""
    return key[::-1] if name == _FREE and sys.byteorder == "little" else key


def pinned_meta(session: Session, file: PageFile) -> tuple[ReadSnapshot, Meta]:
    """Return a snapshot, to be ended by the caller, and the state of *file* that it keeps.

    Raises:
        CorruptStoreError: a meta page is damaged.
        StoreBusyError: others commit so fast that no state could be caught.
    """
    for _ in range(_ATTEMPTS):
        snapshot = session.snapshot()
        try:
            wanted = snapshot.read(lambda transaction: transaction.id())
            # Two commits from now its meta page is overwritten: read twice, it was not yet.
            for meta in file.metas():
                if meta.transaction_id == wanted and meta in file.metas():
                    file.measure()
                    return snapshot, meta
        except BaseException:
            snapshot.end("it failed")
            raise
        snapshot.end("others wrote at the same moment")
    for number in (0, 1):
        try:
            file.meta(number)
        except PageError as fault:
            raise CorruptStoreError(
                f"the file {file.path!r} is damaged: page {number}, which says where all others "
                f"are: {fault}"
            ) from None
    raise StoreBusyError(session.directory, "writers that left no moment for a check")
