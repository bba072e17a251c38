"""What a damaged data file still holds where nothing leads: other states, and stray pages.

Knows: where LMDB leaves old pages behind. Must not know: what keys and records mean.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Final

from objcache.engine._pages import (
    DEEPEST,
    FIRST_PAGE,
    LEAF,
    NUMBER_BYTES,
    Meta,
    Node,
    Page,
    PageError,
    PageFile,
    Tree,
    branch_nodes,
    in_turn,
    leaf_nodes,
    parsed,
    read_meta,
    scattered_nodes,
)
from objcache.engine._recovery import newest_record
from objcache.engine._walk import Walk

__all__ = ["Strays", "states_of"]

_ANY_TRANSACTION: Final = 1 << 48


def states_of(file: PageFile, directory: str) -> list[Meta]:
    """Return all states that something names, the newest first.

    Those of the two meta pages, the damaged ones if they lead anywhere; then those that the
    checkpoint's record keeps.
    """
    states = []
    for number in (0, 1):
        try:
            state: Meta | None = file.meta(number)
        except PageError:
            state = file.damaged_meta(number)
        if state is not None:
            states.append(state)
    states.sort(key=lambda state: state.transaction_id, reverse=True)
    if not in_turn([state.transaction_id for state in states]):
        # A damaged page may lie about its transaction; the list of free pages names it once more.
        states.sort(key=lambda state: _last_freed(file, state), reverse=True)
    for state in _checkpoint_states(directory):
        if state.page_bytes == file.page_bytes and state not in states:
            states.append(state)
    return states


def _last_freed(file: PageFile, state: Meta) -> int:
    walk = Walk(file, state)
    walk.free_list()
    return walk.last_freed or state.transaction_id


def _checkpoint_states(directory: str) -> list[Meta]:
    try:
        record = newest_record(directory, None)
    except OSError:
        return []
    states = []
    for number, content in enumerate(record.metas if record is not None else ()):
        try:
            states.append(read_meta(content, number))
        except PageError:
            continue
    return sorted(states, key=lambda state: state.transaction_id, reverse=True)


class Strays:
    """The pages of a file that a walk has not found whole.

    Args:
        file: the damaged file.
        walk: over the newest state that is known, done before `records`; None where none is.
        seek_newer: look for a state newer than that, whose meta page is lost.

    Attributes:
        newest: the last transaction of that newer state; 0 if none was found.
    """

    def __init__(self, file: PageFile, walk: Walk | None, *, seek_newer: bool) -> None:
        self.file = file
        self.newest = 0
        self._walk = walk
        known = walk
        if seek_newer:
            lost = _last_free_list(file)
            age = 0 if walk is None else _last_freed(file, walk.meta)
            if lost.last_freed > age:
                self.newest, known = lost.last_freed, lost
                # Pages that the older state has whole may be of the newer one too.
                self._walk = None
        self._known = known

    @property
    def tell_free(self) -> bool:
        """Whether the free pages of the newest state are known: then all others are its own."""
        return self._known is not None and self._known.free_is_sound

    def records(
        self, *, free: bool, advance: Callable[[int, int], None] | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and record of what looks like one. Nothing of it may be believed.

        Args:
            free: on pages that were free, those freed last first: they hold the newer versions.
                Else on those that were in use.
            advance: called with the number of pages that were read, and of all.
        """
        suspects = self._suspects(free=free)
        damaged = []
        values = bytearray(self.file.pages)
        for done, number in enumerate(suspects):
            page = self._page(number)
            if page is None:
                damaged.append(number)
            elif page.flags == LEAF:
                for node in filter(None, leaf_nodes(page)):
                    record = self.file.value(node)
                    if record is not None:
                        self._mark(values, node)
                        yield node.key, record
            if advance is not None:
                advance(done + 1, len(suspects))
        # Last, as they may still hold parts of what was on them before.
        for number in damaged:
            for node in () if values[number] else scattered_nodes(self.file.part(number)):
                record = self.file.value(node)
                if record is not None:
                    yield node.key, record

    def _mark(self, values: bytearray, node: Node) -> None:
        """Note which pages have the value of *node*: no leaf is looked for there."""
        if node.run is not None and node.run < self.file.pages:
            needed = self.file.pages_of(node.size)
            run = self.file.run(node.run)
            end = min(node.run + needed, self.file.pages)
            if run is not None and not run.fault(node.run, needed):
                values[node.run : end] = b"\1" * (end - node.run)

    def make_sense(self, *, free: bool) -> bool:
        """Return whether each of the pages that `records` reads is one of a tree, or of a value."""
        behind = 0  # the run that was met last
        for number in sorted(self._suspects(free=free)):
            if number >= behind:
                pages = self._explained(number)
                if not pages:
                    return False
                behind = number + pages
        return True

    def _suspects(self, *, free: bool) -> list[int]:
        found = [
            number
            for number in range(FIRST_PAGE, self.file.pages)
            if (self._freed_by(number) > 0) == free
            if self._walk is None or not self._walk.is_whole(number)
        ]
        # Where nothing tells which page is newer: files grow at their end.
        return sorted(found, key=lambda number: (self._freed_by(number), number), reverse=True)

    def _freed_by(self, number: int) -> int:
        freed = self._known.freed if self._known is not None else ()
        return freed[number] if number < len(freed) else 0

    def _explained(self, number: int) -> int:
        """Return how many pages *number* and what belongs to it are; 0 if it has a flaw."""
        run = self.file.run(number)
        if run is not None and run.pages and not run.fault(number, 1):
            return run.pages
        page = self._page(number)
        if page is None:
            return 0
        listed = page.flags == LEAF and any(
            node is not None and _names_transaction(node.key) for node in leaf_nodes(page)
        )
        return int(not listed or _free_page(self.file, number)[0] > 0)

    def _page(self, number: int) -> Page | None:
        """Return page *number* if it is one of a tree without a flaw."""
        try:
            page = parsed(self.file.page(number))
        except PageError:
            return None
        nodes: Iterator[object] = leaf_nodes(page) if page.flags == LEAF else branch_nodes(page)
        return page if page.number == number and all(nodes) else None


def _last_free_list(file: PageFile) -> Walk:
    """Return a walk over the newest list of free pages that lies around in *file*.

    The last leaf of such a list names the transaction that wrote it; what leads to that leaf is
    of the same transaction.
    """
    newest, root = 0, None
    parents: dict[int, int] = {}
    for number in range(FIRST_PAGE, file.pages):
        transaction_id, children = _free_page(file, number)
        if transaction_id > newest:
            newest, root = transaction_id, number
        for child in children:
            parents[child] = number
    for _ in range(DEEPEST):
        if root in parents:
            root = parents[root]
    none = Tree(0, 0, 0, 0, 0, 0, None)
    tree = none._replace(root=root)
    walk = Walk(file, Meta(0, newest, file.page_bytes, tree, none, file.pages - 1))
    walk.free_list()
    # Nothing says how many there should be: only damaged pages count.
    walk.free_is_sound = newest > 0 and all(damage.page is None for damage in walk.damages)
    return walk


def _names_transaction(key: bytes) -> bool:
    """Return whether *key* looks like one of the list of free pages."""
    return len(key) == NUMBER_BYTES and int.from_bytes(key, sys.byteorder) < _ANY_TRANSACTION


def _free_page(file: PageFile, number: int) -> tuple[int, list[int]]:
    """Return the last transaction on a page of a list of free pages, or the children of one."""
    try:
        page = parsed(file.page(number))
    except PageError:
        return 0, []
    if page.flags != LEAF:
        nodes = list(branch_nodes(page))
        if any(node is None or len(node[0]) not in {0, NUMBER_BYTES} for node in nodes):
            return 0, []
        return 0, [node[1] for node in nodes if node is not None]
    last = 0
    for leaf in leaf_nodes(page):
        if leaf is None or len(leaf.key) != NUMBER_BYTES:
            return 0, []
        listed = file.value(leaf)
        if not listed or len(listed) % NUMBER_BYTES:
            return 0, []
        if memoryview(listed).cast("Q")[0] != len(listed) // NUMBER_BYTES - 1:
            return 0, []
        last = int.from_bytes(leaf.key, sys.byteorder)
    return last, []
