"""Every deed of a store while its system calls fail one after the other, or kill it.

Runs in a process with the shim of faults.c preloaded. A deed is tried with its first call
failing, then with its second, and so on, until it makes no further call; after each trial the
caller must have got an error of objcache, and the store must hold what it held before.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import pickle
import shutil
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

from objcache import Store
from objcache.engine import FILE_NAME
from objcache.errors import ObjcacheError, PoisonedStoreError, StoreError, StoreFullError
from objcache.records import _assembly

SECRET = b"the secret of the tests, 32 bytes"
KINDS = ("write", "sync", "mmap", "truncate", "open", "lock", "rename", "allocate")
FAILS, LATE, SHORT, KILLS, TEARS, KILLS_LATE = range(6)
FOR_EVER = (1 << 62) - 1


class Fault(NamedTuple):
    """How calls fail: which errno, in which manner, one of them or all from then on."""

    name: str
    number: int
    manner: int
    lasting: bool


FAULTS = {
    "write": (
        Fault("EIO once", errno.EIO, FAILS, lasting=False),
        Fault("ENOSPC from then on", errno.ENOSPC, FAILS, lasting=True),
        Fault("short once", errno.EIO, SHORT, lasting=False),
        Fault("short from then on", errno.EIO, SHORT, lasting=True),
        Fault("EIO although written", errno.EIO, LATE, lasting=False),
        Fault("EIO from then on although written", errno.EIO, LATE, lasting=True),
    ),
    "mmap": (
        Fault("ENOMEM once", errno.ENOMEM, FAILS, lasting=False),
        Fault("ENOMEM from then on", errno.ENOMEM, FAILS, lasting=True),
        Fault("EIO once", errno.EIO, FAILS, lasting=False),
    ),
    "open": (
        Fault("EIO once", errno.EIO, FAILS, lasting=False),
        Fault("EMFILE from then on", errno.EMFILE, FAILS, lasting=True),
    ),
    "lock": (Fault("ENOLCK once", errno.ENOLCK, FAILS, lasting=False),),
}
USUAL_FAULTS = (
    Fault("EIO once", errno.EIO, FAILS, lasting=False),
    Fault("EIO from then on", errno.EIO, FAILS, lasting=True),
    Fault("ENOSPC once", errno.ENOSPC, FAILS, lasting=False),
)
DEATHS = {
    "write": (
        Fault("killed before it", 0, KILLS, lasting=False),
        Fault("killed in the middle of it", 0, TEARS, lasting=False),
        Fault("killed after it", 0, KILLS_LATE, lasting=False),
    ),
}
USUAL_DEATHS = DEATHS["write"][:1]

LONGEST_TRIAL_S = 5.0

shim = ctypes.CDLL(None)


class Log(logging.Handler):
    """Keeps what the library says in its log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self.lines.append(record.getMessage())


log = Log()
logging.getLogger("objcache").addHandler(log)


class HangsError(BaseException):
    """A trial takes so long that it waits for what will not come."""


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """End the wait of a block that lasts too long by an exception."""

    def give_up(*_: object) -> NoReturn:
        raise HangsError

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_TRIAL_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def arm(directory: str, kind: str, number: int, fault: Fault) -> None:
    """Make call *number* of *kind* on files below *directory* meet *fault*."""
    last = FOR_EVER if fault.lasting else number
    shim.faults_arm(
        directory.encode(),
        kind.encode(),
        ctypes.c_long(number),
        ctypes.c_long(last),
        fault.number,
        fault.manner,
    )


def await_hit() -> None:
    """Return once a call has met its fault, in whatever thread."""
    while not shim.faults_hits():
        os.sched_yield()


def disarm() -> int:
    """Let all calls succeed; return how many did not."""
    return int(shim.faults_disarm())


# -- what is done --------------------------------------------------------------------------------


class Place:
    """One directory with a store, open or not."""

    def __init__(self, directory: str, options: dict[str, Any]) -> None:
        self.directory = directory
        self.options = options
        self.store: Any = None

    def open(self) -> None:
        """Open the store."""
        self.store = Store(self.directory, secret=SECRET, **self.options)

    def close(self) -> None:
        """Close the store, if it was opened."""
        store, self.store = self.store, None
        if store is not None:
            store.close()


def fill(store: Any) -> None:
    """Write what is in every store before a deed."""
    for number, size in enumerate((10, 100, 1_000, 5_000, 20_000) * 4):
        store["key", number] = b"x" * size
    store.namespace("n").set_many({number: str(number) for number in range(10)})
    store.namespace("n").namespace("below")["a"] = 1
    store["aside"], store["aside too"] = aside("old"), aside("other")


def aside(text: str) -> Any:
    """Return a value that lies in a side file."""
    return pickle.PickleBuffer(text.encode() * 3_000)


def contents(store: Any) -> dict[Any, Any]:
    """Return all entries of *store*, by names and key."""
    with store.snapshot() as snapshot:
        found = {((), key): value for key, value in snapshot.items()}
        for names in (("n",), ("n", "below"), ("made",)):
            found.update(((names, k), v) for k, v in snapshot.namespace(*names).items())
    return found


def put_in_a_transaction(place: Place) -> None:
    """Change several keys and namespaces in one commit."""
    with place.store.transaction() as transaction:
        for number in range(6):
            transaction["key", number] = b"y" * 9_000
        transaction.namespace("made")["a"] = bytes(70_000)
        del transaction["key", 19]
        with transaction.transaction() as inner:
            inner.namespace("n").clear()


def change_side_files(place: Place) -> None:
    """Overwrite, delete, write twice and roll back values in side files, in one commit."""
    with place.store.transaction() as transaction:
        transaction["aside"] = aside("never seen")
        transaction["aside"] = aside("new")
        del transaction["aside too"]
        with contextlib.suppress(ZeroDivisionError), transaction.transaction() as inner:
            inner["aside"] = aside("rolled back")
            raise ZeroDivisionError


def opened_blob(place: Place) -> Any:
    """Open a blob that goes into a file from 4 KiB on, in earnest from 1 MiB on."""
    blob = place.store.open_blob("aside", "wb")
    blob._aside_bytes, blob._buffer = 4096, memoryview(bytearray(4096))
    return blob


def put_blob(place: Place) -> None:
    """Write a value piece by piece."""
    with opened_blob(place) as blob:
        for number in range(3):
            blob.write(bytes([number]) * 5_000)


def put_file(place: Place) -> None:
    """Store the content of a file."""
    source = os.path.join(os.path.dirname(place.directory), "source")
    if not os.path.exists(source):
        with open(source, "wb") as file:
            file.write(bytes(range(250)) * 40)
    with opened_blob(place) as blob:
        blob.write_file(source)


def change_blobs(place: Place) -> None:
    """Write, overwrite, discard and roll back blobs, in one commit."""
    with place.store.transaction() as transaction:
        put_blob(place)
        put_file(place)
        del transaction["aside too"]
        with contextlib.suppress(ZeroDivisionError), opened_blob(place) as blob:
            blob.write(bytes(9_000))
            raise ZeroDivisionError
        with contextlib.suppress(ZeroDivisionError), transaction.transaction():
            put_blob(place)
            raise ZeroDivisionError


def spill_in_a_transaction(place: Place) -> None:
    """Write pages in the middle of a transaction: in its last nested one, before the commit."""
    with place.store.transaction() as transaction:
        for number in range(40):
            with transaction.transaction() as inner:
                inner.set_many({("spill", number, n): bytes(300) for n in range(20)})


def check(place: Place) -> None:
    """Check the store; what cannot be read is among the problems."""
    for problem in place.store.check().problems:
        raise StoreError(problem.message)


def copy(place: Place) -> None:
    """Copy the store."""
    place.store.copy(os.path.join(place.directory, "copy"))


def look_at_copy(place: Place) -> None:
    """A copy that failed left nothing behind that would be in the way; one that did not is whole."""
    target = os.path.join(place.directory, "copy")
    if not os.path.exists(os.path.join(target, FILE_NAME)):
        place.store.copy(target)
    with Store(target, secret=SECRET, **place.options) as copied:
        assert contents(copied) == contents(place.store)
    shutil.rmtree(target)


def nothing(_place: Place) -> None:
    """Do nothing."""


class Deed(NamedTuple):
    """What is done while calls fail, and what is done before and after while none does.

    *opened* says that the store is open before, *exists* that there is one, *alone* that it must
    not be open in another process.
    """

    act: Callable[[Place], object]
    prepare: Callable[[Place], object] = nothing
    after: Callable[[Place], object] = nothing
    opened: bool = True
    exists: bool = True
    alone: bool = False


DEEDS: dict[str, Deed] = {
    "put": Deed(lambda place: place.store.__setitem__("new", b"z" * 50)),
    "put large": Deed(lambda place: place.store.__setitem__(("key", 3), b"z" * 60_000)),
    "put side file": Deed(lambda place: place.store.__setitem__("aside", aside("new"))),
    "delete side file": Deed(lambda place: place.store.__delitem__("aside")),
    "side files": Deed(change_side_files),
    "put blob": Deed(put_blob),
    "put file": Deed(put_file),
    "blobs": Deed(change_blobs),
    "delete": Deed(lambda place: place.store.__delitem__(("key", 4))),
    "pop": Deed(lambda place: place.store.pop(("key", 2))),
    "update_with": Deed(lambda place: place.store.update_with(("key", 0), lambda old: old + b"!")),
    "set_many": Deed(lambda place: place.store.set_many({n: bytes(2_000) for n in range(30)})),
    "clear": Deed(lambda place: place.store.clear()),
    "namespace": Deed(lambda place: place.store.namespace("made").__setitem__("a", "b")),
    "transaction": Deed(put_in_a_transaction),
    "nested": Deed(spill_in_a_transaction),
    "sync": Deed(lambda place: place.store.sync(), lambda place: place.store.setdefault("new", 1)),
    "check": Deed(check),
    "rekey": Deed(lambda place: place.store.rekey()),
    "copy": Deed(copy, after=look_at_copy),
    "compact": Deed(lambda place: place.store.compact(), alone=True),
    "close": Deed(lambda place: place.close(), alone=True),
    "open": Deed(lambda place: place.open(), opened=False, alone=True),
    "create": Deed(lambda place: place.open(), opened=False, exists=False, alone=True),
}


# -- trials --------------------------------------------------------------------------------------


class Trials:
    """All trials of one mode of durability, and what was wrong."""

    def __init__(self, directory: str, options: dict[str, Any]) -> None:
        # In earnest side files begin at 256 KiB; so each trial copies less. This process ends soon.
        assert hasattr(_assembly, "ASIDE_BUFFERS_BYTES")
        _assembly.ASIDE_BUFFERS_BYTES = 8192
        self._directory = directory
        self._options = options
        self._pristine = os.path.join(directory, "pristine")
        place = Place(self._pristine, options)
        place.open()
        fill(place.store)
        self._filled = contents(place.store)
        place.close()
        self.counts: Counter[str] = Counter()
        self.tolerated: set[str] = set()
        self.problems: list[str] = []
        self._number = 0

    def series(self, name: str, kind: str, fault: Fault) -> None:
        """Try the deed *name* with each of its calls of *kind* failing in turn."""
        old, new = self._outcomes(DEEDS[name])
        number = 1
        while self._trial(name, kind, fault, number, old, new):
            number += 1
        self.counts["injected"] += number - 1

    def deaths(self, name: str, kind: str, death: Fault) -> None:
        """Try the deed *name* in a process that meets *death* at each of its calls of *kind*."""
        old, new = self._outcomes(DEEDS[name])
        number = 1
        while self._killed(name, kind, death, number, old, new):
            number += 1
        self.counts["killed"] += number - 1

    def _outcomes(self, deed: Deed) -> tuple[dict[Any, Any], dict[Any, Any]]:
        with self._place(deed) as place:
            old = contents(place.store) if deed.opened else None
            deed.act(place)
            if place.store is None:
                place.open()
            new = contents(place.store)
        return new if old is None else old, new

    def _place(self, deed: Deed) -> _Fresh:
        self._number += 1
        directory = os.path.join(self._directory, f"trial-{self._number}")
        if deed.exists:
            shutil.copytree(self._pristine, directory)
        return _Fresh(Place(directory, self._options), deed)

    def _trial(self, name: str, kind: str, fault: Fault, number: int, old: Any, new: Any) -> bool:
        """Return whether the fault was met; what is wrong then is noted."""
        deed = DEEDS[name]
        title = f"{name}, {kind} {number}, {fault.name}"
        with self._place(deed) as place, limited():
            error: BaseException | None = None
            arm(place.directory, kind, number, fault)
            try:
                deed.act(place)
            except BaseException as caught:
                error = caught
            hits = disarm()
            allowed = [new] if error is None else [old]
            if fault.manner == LATE and fault.lasting:
                # The disk did what it says it did not: both are the truth, half is not.
                allowed = [old, new]
            if error is None and hits:
                self.tolerated.add(f"{name}: {kind}, {fault.name}")
            full = fault.number == errno.ENOSPC and kind == "write"
            told = self._told(error, hits, full=full)
            for problem in [*told, *self._state(deed, place, error, allowed)]:
                text = problem.replace(place.directory, "PLACE")
                self.problems.append(f"{title}: {text}")
        return hits > 0

    def _told(self, error: BaseException | None, hits: int, *, full: bool) -> Iterator[str]:
        """Yield what is wrong with the error that the caller gets."""
        if error is None:
            return
        self.counts[type(error).__name__] += 1
        if not hits:
            yield f"fails without a fault: {error!r}"
        if not isinstance(error, ObjcacheError):
            yield f"not an error of objcache: {error!r}"
        elif full and not isinstance(error, (StoreFullError, PoisonedStoreError)):
            yield f"not said to be full: {error!r}"
        elif "CorruptStoreError" in {cls.__name__ for cls in type(error).__mro__}:
            yield f"called damaged: {error}"

    def _state(self, deed: Deed, place: Place, error: Any, allowed: list[Any]) -> Iterator[str]:
        """Yield what is wrong with the store, in this process and when it is opened again."""
        if place.store is not None:
            yield from self._still_usable(deed.after, place, error, allowed)
            try:
                place.close()
            except BaseException as caught:
                yield f"close: {caught!r}"
        try:
            place.open()
            found = contents(place.store)
            found.pop(((), "after"), None)
            report = place.store.check()
            place.store["again"] = 1
            again = place.store["again"]
            place.close()
        except BaseException as caught:
            yield f"opened again: {caught!r}"
            return
        if found not in allowed:
            yield f"opened again: neither old nor new: {_difference(found, allowed[0])}"
        if not report.ok:
            yield f"opened again: {report.problems}"
        if again != 1:
            yield "opened again: a write is lost"

    def _still_usable(
        self, after: Callable[[Place], object], place: Place, error: Any, allowed: list[Any]
    ) -> Iterator[str]:
        """Yield what is wrong with the store where it is still open; it may be poisoned."""
        try:
            after(place)
            found = contents(place.store)
            if found not in allowed:
                yield f"neither old nor new: {_difference(found, allowed[0])}"
            place.store["after"] = 1
            if place.store["after"] != 1:
                yield "a write is lost"
            if place.store._session.environment.side.has_unknown():
                yield "a side file is left that belongs to nobody"
        except PoisonedStoreError:
            self.counts["poisoned"] += 1
            if error is None:
                yield "poisoned without an error"
            if self._options["durability"] == "checkpoint":
                # What was committed after the last checkpoint may have gone with the flush.
                allowed.append(self._filled)
        except BaseException as caught:
            yield f"neither usable nor poisoned: {caught!r} after {error!r}"

    def _killed(self, name: str, kind: str, death: Fault, number: int, old: Any, new: Any) -> bool:
        """Return whether the process met its death; what is wrong then is noted."""
        deed = DEEDS[name]
        with self._place(deed) as place:
            if deed.alone:
                place.close()
            pid = os.fork()
            if pid == 0:
                _act_and_exit(deed, place, kind, number, death)
            status = os.waitpid(pid, 0)[1]
            if status not in {0, signal.SIGKILL}:
                self.problems.append(f"{name}: status {status}")
            with limited():
                for problem in self._aftermath(place, [new] if status == 0 else [old, new]):
                    text = problem.replace(place.directory, "PLACE")
                    self.problems.append(f"{name}, {kind} {number}, {death.name}: {text}")
        return status == signal.SIGKILL

    def _aftermath(self, place: Place, allowed: list[Any]) -> Iterator[str]:
        """Yield what is wrong for a process that uses the store after another one has died."""
        begun = time.monotonic()
        try:
            if place.store is None:
                place.open()
            found = contents(place.store)
            place.store["after"] = 1
            later = contents(place.store)
            took_ms = round((time.monotonic() - begun) * 1000)
            report = place.store.check()
        except BaseException as caught:
            yield f"not usable: {caught!r}"
            return
        self.counts["longest wait, ms"] = max(self.counts["longest wait, ms"], took_ms)
        later.pop(((), "after"))
        # Readers learn of a commit that was cut off after its last write from the next writer.
        if found not in allowed or later not in allowed:
            yield f"neither old nor new: {_difference(later, allowed[0])}"
        if not report.ok:
            yield f"{report.problems}"


def _act_and_exit(deed: Deed, place: Place, kind: str, number: int, death: Fault) -> NoReturn:
    """Do *deed* in a forked child, which meets *death* or ends well."""
    try:
        if place.store is None and deed.opened:
            place.open()
        arm(place.directory, kind, number, death)
        deed.act(place)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


class _Fresh:
    """A place, ready for a deed, that is gone at the end of its block."""

    def __init__(self, place: Place, deed: Deed) -> None:
        self._place = place
        self._deed = deed

    def __enter__(self) -> Place:
        if self._deed.opened:
            self._place.open()
            self._deed.prepare(self._place)
        return self._place

    def __exit__(self, *_: object) -> None:
        self._place.close()
        shutil.rmtree(self._place.directory, ignore_errors=True)


def _difference(found: dict[Any, Any], wanted: dict[Any, Any]) -> str:
    missing = [key for key in wanted if key not in found]
    extra = [key for key in found if key not in wanted]
    other = [key for key in found if key in wanted and found[key] != wanted[key]]
    return f"missing {missing[:5]}, extra {extra[:5]}, other values {other[:5]}"
