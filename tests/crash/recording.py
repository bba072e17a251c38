"""A recording: the events of all processes in order, and what they must leave after a crash.

Knows: the frames of shim.c, where LMDB keeps a transaction's number. Must not know: how images
are made, and who wrote.
"""

from __future__ import annotations

import bisect
import enum
import json
import mmap
import os
import pathlib
import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

_FRAMES_START: Final = 4096
_HEAD: Final = struct.Struct("=QQQQQ")
_FRAME: Final = struct.Struct("=IIIIQQQQ")

PAGE: Final = 4096
META_MAGIC: Final = struct.pack("=I", 0xBEEFC0DE)
_TXNID_AFTER_MAGIC: Final = 128
_META_WRITE: Final = (32, 120)  # mdb_env_write_meta: from mm_mapsize to the end of MDB_meta

DATA_NAMES: Final = frozenset({"store.lmdb", "data.mdb"})
RECORD_NAMES: Final = frozenset({"checkpoint"})


class Kind(enum.IntEnum):
    """What happened; must agree with shim.c."""

    WRITE = 1
    TRUNCATE = 2
    ALLOCATE = 3
    CREATE = 4
    RENAME = 5
    UNLINK = 6
    MAKE_DIRECTORY = 7
    REMOVE_DIRECTORY = 8
    LINK = 9
    SYNC_BEGIN = 10
    SYNC_END = 11
    RANGE_SYNCED = 12
    MAPPED = 13
    MARK = 14
    KILLED = 15


class Event(NamedTuple):
    """One frame of the log."""

    kind: int
    process: int
    thread: int
    file: int
    offset: int
    length: int
    extra: int
    payload: memoryview

    def names(self) -> tuple[str, str]:
        """Return the two names of a change of names; the second may be empty."""
        first, _, second = bytes(self.payload).partition(b"\0")
        return os.fsdecode(first), os.fsdecode(second)


Operation = tuple[str, int, int]
"""A key, the tag of its value, and the value's length; -1 deletes the key."""

State = dict[str, tuple[int, int]]
"""What is stored: the tag and the length of the value of each key."""


_WORD: Final = 16


def _word(tag: int) -> bytes:
    return b"<%014x>" % tag  # no part of two of them, end to end, is another


def value_of(tag: int, length: int) -> bytes:
    """Return the value that *tag* and *length* stand for; of 16 bytes or more, no other does."""
    word = _word(tag)
    return (word * (length // len(word) + 1))[:length] if length >= len(word) else word[-length:]


class Commit(NamedTuple):
    """A transaction whose meta page was written at an event."""

    event: int
    transaction: int
    operations: tuple[Operation, ...]


def txnids_in(content: bytes | memoryview | bytearray) -> list[int]:
    """Return the transaction numbers of all meta pages that lie anywhere in *content*."""
    found, raw, at = [], bytes(content), -1
    while (at := raw.find(META_MAGIC, at + 1)) >= 0:
        if at + _TXNID_AFTER_MAGIC + 8 <= len(raw):
            found.append(struct.unpack_from("=Q", raw, at + _TXNID_AFTER_MAGIC)[0])
    return found


class Earlier(NamedTuple):
    """What a recording that begins after a power cut knows of the one before.

    Attributes:
        state: gives what was stored after a transaction.
        floor: the transaction that was durable.
    """

    state: Callable[[int], State]
    floor: int


class Recording:
    """The events of one run, the commits among them, and what was promised to be durable.

    Attributes:
        root: the directory that was recorded.
        base: a copy of it from before the recording, all of it durable.
        events: everything that happened.
        commits: in order; a kill without a power cut loses none, so their numbers have no gap.

    Args:
        root: see above.
        base: see above.
        log: what the shim wrote.
        before: of the recording that ended in the power cut after which this one begins.
    """

    def __init__(self, root: str, base: str, log: str, before: Earlier | None = None) -> None:
        self.root = os.path.realpath(root)
        self.base = base
        self.log = log
        self.events = list(_frames(log))
        self.marks = {
            at: json.loads(bytes(event.payload))
            for at, event in enumerate(self.events)
            if event.kind == Kind.MARK
        }
        first = next(iter(self.marks.values()))
        self.root_inode: int = first["root"]
        self.base_names: dict[str, int] = first["base"]
        self.commits: list[Commit] = []
        self.acknowledged: list[tuple[int, int]] = []
        self.opened_at = self._first_transaction()
        self._before = {} if before is None else before.state(self.opened_at)
        self._read()
        self._states: dict[int, State] = {}
        self.floors = [] if before is None else [(0, before.floor)]
        self._find_floors()

    # -- what was committed ------------------------------------------------------------------

    def _first_transaction(self) -> int:
        for found in self.marks.values():
            if "opened" in found:  # there was something to recover first
                return int(found["opened"])
        for name in self.base_names:
            if os.path.basename(name) in DATA_NAMES:
                content = pathlib.Path(self.base, name).read_bytes()[: 2 * PAGE]
                return max(txnids_in(content), default=0)
        return 0

    def data_files(self) -> set[int]:
        """Return the inodes that were ever a data file."""
        found = {
            number
            for name, number in self.base_names.items()
            if os.path.basename(name) in DATA_NAMES
        }
        inodes: dict[str, int] = {}
        for event in self.events:
            if event.kind == Kind.CREATE:
                name = os.fsdecode(bytes(event.payload))
                inodes[name] = event.file
            elif event.kind == Kind.RENAME:
                name, to = event.names()
                inodes[to] = inodes.pop(name, 0)
                name = to
            else:
                continue
            if os.path.basename(name) in DATA_NAMES:
                found.add(inodes[name])
        return found

    def _read(self) -> None:
        outstanding: dict[int, dict[int, tuple[Operation, ...]]] = {}
        written: dict[int, list[memoryview]] = {}
        committed: dict[int, int] = {}
        last = self.opened_at
        files = self.data_files()
        for at, event in enumerate(self.events):
            process = event.process
            if event.kind == Kind.MARK:
                found = self.marks[at]
                if "intent" in found:
                    intent = tuple((key, tag, size) for key, tag, size in found["intent"])
                    outstanding.setdefault(process, {})[event.thread] = intent
                elif "acknowledged" in found and process in committed:
                    self.acknowledged.append((at, committed[process]))
            elif event.kind != Kind.WRITE or event.file not in files:
                continue
            elif not _is_commit(event):
                written.setdefault(process, []).append(event.payload)
            else:
                number = struct.unpack("=Q", event.payload[-8:])[0]
                if number != last + 1:
                    raise RecordingError(
                        f"event {at}: process {process} commits transaction {number} after "
                        f"{last}: a commit was lost, or made twice, without a power cut"
                    )
                last = committed[process] = number
                done = _committed_with(
                    event.thread, outstanding.get(process, {}), written.pop(process, [])
                )
                self.commits.append(Commit(at, number, done))

    def state(self, transaction: int) -> State:
        """Return what was stored after *transaction*."""
        start = max((known for known in self._states if known <= transaction), default=None)
        state = dict(self._before if start is None else self._states[start])
        for commit in self.commits:
            if commit.transaction > transaction:
                break
            if start is None or commit.transaction > start:
                for key, tag, length in commit.operations:
                    if length < 0:
                        state.pop(key, None)
                    else:
                        state[key] = tag, length
                if commit.transaction % 100 == 0:
                    self._states.setdefault(commit.transaction, dict(state))
        return state

    def last_commit(self, at: int) -> int:
        """Return the last transaction whose meta page was written before event *at*."""
        index = bisect.bisect_left(self.commits, at, key=lambda commit: commit.event)
        return self.commits[index - 1].transaction if index else self.opened_at

    def last_acknowledged(self, at: int) -> int:
        """Return the last transaction that a caller knew to be committed at event *at*."""
        index = bisect.bisect_left(self.acknowledged, at, key=lambda pair: pair[0])
        return max((number for _, number in self.acknowledged[:index]), default=self.opened_at)

    # -- what was promised -------------------------------------------------------------------

    def _find_floors(self) -> None:
        """Find from which event on which transaction must survive.

        Two kinds: a caller was told so (`sync` or `close` returned, or each commit is durable),
        and a checkpoint's record was flushed, whoever knew of it.
        """
        from tests.crash.disk import Disk  # the model of the disk reads recordings

        begun: dict[tuple[int, int], int] = {}
        own: dict[int, int] = {}
        noted: list[tuple[int, int]] = []
        acknowledged = dict(self.acknowledged)
        disk = Disk(self)
        commits = {commit.event: commit.transaction for commit in self.commits}
        for at, event in enumerate(self.events):
            disk.advance()
            who = event.process, event.thread
            if at in commits:
                own[event.process] = commits[at]
            elif event.kind == Kind.MARK:
                found = self.marks[at]
                if found.get("acknowledged") == "durable" and at in acknowledged:
                    self.floors.append((at, acknowledged[at]))
                elif found.get("durable") == "all begins":
                    begun[who] = self.last_commit(at)
                elif found.get("durable") == "own begins":
                    begun[who] = own.get(event.process, self.opened_at)
                elif found.get("durable") == "reached":
                    self.floors.append((at, begun.pop(who)))
            elif event.kind in {Kind.WRITE, Kind.SYNC_END}:
                file = disk.file_of(event.file)
                if file is None or file.name not in RECORD_NAMES:
                    continue
                if event.kind == Kind.WRITE:
                    noted.append((at, max(txnids_in(event.payload), default=0)))
                elif not event.extra:
                    self.floors += [(at, number) for note, number in noted if note < event.offset]
                    noted = [(note, number) for note, number in noted if note >= event.offset]

    def floor(self, at: int) -> int:
        """Return the transaction that must be there after a crash at event *at*, or a later one."""
        index = bisect.bisect_left(self.floors, at, key=lambda pair: pair[0])
        return max([self.opened_at, *(number for _, number in self.floors[:index])])

    def unseen(self) -> list[str]:
        """Return how the files differ from what the events say: writes that were not recorded."""
        from tests.crash.disk import Disk

        disk = Disk(self)
        for _ in self.events:
            disk.advance()
        names = disk.names(lambda _: True)
        found = {self.root}
        for directory, directories, files in os.walk(self.root):
            found.update(os.path.join(directory, name) for name in [*directories, *files])
        wrong = [f"{path}: there or not?" for path in found ^ names.keys()]
        for path in found & names.keys():
            file = names[path]
            if file is not None and not file.mapped:
                pages = b"".join(map(file.page, range(-(-file.size // PAGE))))
                if pathlib.Path(path).read_bytes() != pages[: file.size]:
                    wrong.append(f"{path}: other contents than what was recorded")
        return wrong

    # -- where to crash ----------------------------------------------------------------------

    def interesting(self) -> dict[str, list[int]]:
        """Return the events beside which crashes are worth most, by kind."""
        from tests.crash.disk import Disk

        found: dict[str, list[int]] = {
            "commit": [commit.event for commit in self.commits],
            "sync": [],
            "record": [],
            "kill": [],
            "record after a kill": [],
            "name": [],
            "restored": [],
        }
        disk = Disk(self)
        commits = set(found["commit"])
        killed = False
        for at, event in enumerate(self.events):
            file = disk.file_of(event.file)
            disk.advance()
            if event.kind in {Kind.SYNC_BEGIN, Kind.SYNC_END}:
                found["sync"].append(at)
            elif event.kind == Kind.WRITE and file is not None and file.name in RECORD_NAMES:
                found["record"].append(at)
                if killed:
                    found["record after a kill"].append(at)
                killed = False
            elif event.kind == Kind.WRITE and event.offset < 2 * PAGE and at not in commits:
                if file is not None and file.name in DATA_NAMES:
                    found["restored"].append(at)
            elif event.kind == Kind.KILLED:
                found["kill"].append(at)
                killed = True
            elif Kind.CREATE <= event.kind <= Kind.LINK:
                found["name"].append(at)
        return {kind: events for kind, events in found.items() if events}


def _committed_with(
    thread: int, outstanding: dict[int, tuple[Operation, ...]], pages: list[memoryview]
) -> tuple[Operation, ...]:
    """Take from *outstanding* what a commit of *thread* holds, and return it.

    The engine may put the writes of several waiting threads into one transaction. Those whose
    values are in its pages are in it; a thread's values are nowhere before.
    """
    if outstanding.keys() <= {thread}:
        return outstanding.pop(thread, ())
    done: list[Operation] = []
    for one, operations in list(outstanding.items()):
        words = [_word(tag) for _, tag, length in operations if length >= 2 * _WORD]
        known = (any(word in bytes(page) for page in pages) for word in words)
        if any(known) if words else one == thread:
            done += outstanding.pop(one)
    return tuple(done)


class RecordingError(Exception):
    """The recorded run itself broke a promise, without any power cut."""


def _is_commit(event: Event) -> bool:
    offset, length = _META_WRITE
    return event.length == length and event.offset in {offset, PAGE + offset}


def _frames(log: str) -> Iterator[Event]:
    with open(log, "rb") as file:
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    used = _HEAD.unpack_from(mapped)[2]
    at = _FRAMES_START
    while at < used:
        size, *fields = _FRAME.unpack_from(mapped, at)
        yield Event(*fields, mapped[at + _FRAME.size : at + size])
        at += (size + 7) & ~7
