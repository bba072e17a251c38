"""What has no stable value is refused as an argument, by path, type and remedy, and never consumed."""

from __future__ import annotations

import array
import asyncio
import collections
import concurrent.futures
import contextlib
import contextvars
import csv
import dataclasses
import functools
import hashlib
import io
import itertools
import logging
import mmap
import multiprocessing
import operator
import os
import queue
import re
import select
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import types
import weakref
import zlib
from typing import NamedTuple

import pytest

from objcache.errors import UnkeyableArgumentError
from objcache.hashing import digest
from tests.unit.hashing.shapes import Answers

CONSUMED = "it would be consumed"
UNSTABLE = "it has no stable value"


def generator():
    yield 1


async def coroutine():
    return 1


async def asynchronous():
    yield 1


def frame():
    return sys._getframe()


def failure():
    try:
        {}["x"]
    except KeyError as error:
        return error.__traceback__


def cell():
    n = 1
    return (lambda: n).__closure__[0]


class Sequence:
    """What is iterated over by its indexes."""

    def __getitem__(self, number):
        return (1, 2)[number]


class Steps:
    """An iterator written out."""

    def __init__(self):
        self.left = [3, 2, 1]

    def __iter__(self):
        return self

    def __next__(self):
        return self.left.pop()


class Buffer(io.BytesIO):
    """A file in memory of one's own class."""


# Made anew for each test; the path is where the part is that has no value.
LOCKS = {
    "Lock": (threading.Lock, ""),
    "RLock": (threading.RLock, ""),
    "Condition": (threading.Condition, "._lock"),
    "Event": (threading.Event, "._cond._lock"),
    "Semaphore": (threading.Semaphore, "._cond._lock"),
    "BoundedSemaphore": (threading.BoundedSemaphore, "._cond._lock"),
    "Barrier": (lambda: threading.Barrier(2), "._cond._lock"),
    "local": (threading.local, ""),
    "queue.Queue": (queue.Queue, ".mutex"),
    "queue.SimpleQueue": (queue.SimpleQueue, ""),
    "Future": (concurrent.futures.Future, "._condition._lock"),
    "multiprocessing.Lock": (multiprocessing.Lock, ""),
    "multiprocessing.Event": (multiprocessing.Event, "._cond"),
    "handler": (logging.StreamHandler, ".lock"),
}
OTHERS = {
    "weakref": lambda: weakref.ref(Steps),
    "WeakMethod": lambda: weakref.WeakMethod(Steps().__next__),
    "epoll": lambda: getattr(select, "epoll", socket.socket)(),
    "socket": socket.socket,
    "connection": lambda: sqlite3.connect(":memory:"),
    "mmap": lambda: mmap.mmap(-1, 8),
    "match": lambda: re.match("a", "a"),
    "scanner": lambda: re.compile("a").scanner("a"),
    "ContextVar": lambda: contextvars.ContextVar("x"),
    "Context": contextvars.copy_context,
    "Token": lambda: contextvars.ContextVar("x").set(1),
    "frame": frame,
    "traceback": failure,
    "cell": cell,
    "hash": hashlib.sha256,
    "compressor": zlib.compressobj,
    "keys": {1: 2}.keys,
    "values": {1: 2}.values,
    "items": {1: 2}.items,
    "writer": lambda: csv.writer(io.StringIO()),
    "getset": lambda: types.FunctionType.__dict__["__code__"],
}
ITERATORS = {
    "generator": generator,
    "generator expression": lambda: (x for x in [1]),
    "list": lambda: iter([1]),
    "tuple": lambda: iter((1,)),
    "str": lambda: iter("a"),
    "wide str": lambda: iter("\u20ac"),
    "bytes": lambda: iter(b"a"),
    "bytearray": lambda: iter(bytearray(b"a")),
    "memoryview": lambda: iter(memoryview(b"a")),
    "array": lambda: iter(array.array("b", b"a")),
    "dict": lambda: iter({1: 2}),
    "dict values": lambda: iter({1: 2}.values()),
    "dict items": lambda: iter({1: 2}.items()),
    "OrderedDict": lambda: iter(collections.OrderedDict(a=1)),
    "set": lambda: iter({1}),
    "frozenset": lambda: iter(frozenset({1})),
    "deque": lambda: iter(collections.deque([1])),
    "range": lambda: iter(range(3)),
    "long range": lambda: iter(range(2**70)),
    "indexes": lambda: iter(Sequence()),
    "reversed list": lambda: reversed([1]),
    "reversed tuple": lambda: reversed((1,)),
    "reversed dict": lambda: reversed({1: 2}),
    "callable": lambda: iter([0, 2, 1].pop, 0),
    "map": lambda: map(int, [1]),
    "zip": lambda: zip([1]),
    "filter": lambda: filter(None, [1]),
    "enumerate": lambda: enumerate([1]),
    "count": itertools.count,
    "cycle": lambda: itertools.cycle([1]),
    "repeat": lambda: itertools.repeat(1),
    "chain": lambda: itertools.chain([1]),
    "islice": lambda: itertools.islice([1], 1),
    "tee": lambda: itertools.tee([1])[0],
    "product": lambda: itertools.product([1]),
    "groupby": lambda: itertools.groupby([1]),
    "accumulate": lambda: itertools.accumulate([1]),
    "pairwise": lambda: itertools.pairwise([1, 2]),
    "finditer": lambda: re.finditer("a", "a"),
    "csv reader": lambda: csv.reader(["a"]),
    "unpack": lambda: struct.iter_unpack("b", b"a"),
    "directory": lambda: os.scandir("."),
    "rows": lambda: sqlite3.connect(":memory:").execute("select 1"),
    "own": Steps,
    "in-memory text": lambda: io.StringIO("a"),
    "in-memory bytes": lambda: io.BytesIO(b"a"),
    "in-memory bytes of its own class": lambda: Buffer(b"a"),
    "reader of bytes": lambda: io.BufferedReader(io.BytesIO(b"a")),
    "text of bytes": lambda: io.TextIOWrapper(io.BytesIO(b"a")),
}


@contextlib.contextmanager
def closing(value):
    """Close *value* at the end, or what it reads from, if that can be."""
    try:
        yield value
    finally:
        getattr(getattr(value, "connection", value), "close", lambda: None)()


def refused(value):
    """Return the error with which *value* is refused."""
    with pytest.raises(UnkeyableArgumentError) as caught:
        digest(value)
    return caught.value


def name_of(kind):
    """What messages call a type."""
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


@pytest.mark.parametrize("name", LOCKS)
def test_locks(name):
    """Whatever waits for others is refused, naming the lock inside."""
    make, path = LOCKS[name]
    with closing(make()) as value:
        error = refused(value)

    assert f"value{path}" == error.path
    assert UNSTABLE == error.reason
    assert "Lock" in error.type_name or "lock" in error.type_name or not path or name[0].islower()


@pytest.mark.parametrize("name", OTHERS)
def test_handles(name):
    """Handles, views, references and what belongs to a running program are refused."""
    with closing(OTHERS[name]()) as value:
        error = refused(value)

    assert ("value", name_of(type(value)), UNSTABLE) == (error.path, error.type_name, error.reason)


@pytest.mark.parametrize("name", ITERATORS)
def test_iterators(name):
    """Iterators, and files even in memory, are refused and give what they would have given."""
    # Two that are made alike, one of them asked for its digest first.
    with closing(ITERATORS[name]()) as value, closing(ITERATORS[name]()) as other:
        error = refused(value)

        assert ("value", name_of(type(value)), CONSUMED) == (
            error.path,
            error.type_name,
            error.reason,
        )
        ours, others = list(itertools.islice(value, 3)), list(itertools.islice(other, 3))

    if name not in {"groupby", "finditer", "directory"}:  # whose members are never equal
        assert others == ours
    assert len(others) == len(ours) > 0


@pytest.mark.parametrize("mode", ["r", "rb", "r+", "r+b", "w", "wb", "a"])
@pytest.mark.parametrize("buffering", [-1, 0])
def test_files(tmp_path, mode, buffering):
    """An open file is refused in every mode, and where it stands does not change."""
    if buffering == 0 and "b" not in mode:
        buffering = 1
    file = tmp_path / "file"
    file.write_text("one\ntwo\n")
    with open(file, mode, buffering) as opened:
        place = opened.tell()
        error = refused({"file": opened})

        assert place == opened.tell()
    assert ("value['file']", CONSUMED) == (error.path, error.reason)


def test_closed_files(tmp_path):
    """A closed file is refused like an open one."""
    with open(tmp_path / "file", "w") as opened:
        pass

    assert CONSUMED == refused(opened).reason


@pytest.mark.parametrize(
    "make", [tempfile.TemporaryFile, tempfile.SpooledTemporaryFile, tempfile.NamedTemporaryFile]
)
def test_temporary_files(make):
    """Temporary files are refused."""
    with make() as opened:
        assert CONSUMED == refused(opened).reason


def test_bare_objects():
    """A bare object is known by its identity only; one in a default is found."""
    assert "a bare object() is known by its identity only" == refused(object()).reason


def test_coroutines():
    """Coroutines and asynchronous generators are refused, unstarted and not awaited."""
    started = coroutine()
    items = asynchronous()

    assert UNSTABLE == refused(started).reason
    assert CONSUMED == refused(items).reason
    assert 1 == asyncio.run(started)

    async def taken():
        return [item async for item in items]

    assert [1] == asyncio.run(taken())


def test_event_loops():
    """Loops, tasks and futures are refused while they run."""

    async def main():
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        return [refused(value) for value in (loop, task, loop.create_future())]

    errors = asyncio.run(main())

    assert ["value", "value"] == [error.path for error in errors[1:]]
    assert errors[0].path.startswith("value.")
    assert [name_of(asyncio.Task), name_of(asyncio.Future)] == [
        error.type_name for error in errors[1:]
    ]


def test_threads_and_processes():
    """Threads and processes are refused, running or not."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        thread.start()
        found = [
            refused(value)
            for value in (
                *(thread, threading.Thread(), threading.main_thread(), process),
                *(multiprocessing.Process(), multiprocessing.current_process()),
            )
        ]
        process.stdin.close()
        done.set()
        thread.join()

    assert all(error.path.startswith("value.") for error in found)


def test_executors():
    """An executor is refused."""
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        assert "value._work_queue" == refused(executor).path


def test_what_seems_to_have_no_value_and_does():
    """Loggers and modules are known by their names, enums and exceptions by their parts."""
    assert digest(logging.getLogger("a.b")) == digest(logging.getLogger("a.b"))
    assert digest(logging.getLogger("a.b")) != digest(logging.getLogger("a.c"))
    assert digest(os) != digest(sys)
    assert digest(KeyError("x").with_traceback(failure())) == digest(KeyError("x"))


# -- where it is --------------------------------------------------------------------------------


@dataclasses.dataclass
class Holder:
    """A field of a dataclass."""

    held: object


class Slotted:
    """An attribute in a slot."""

    __slots__ = ("held",)

    def __init__(self, held):
        self.held = held


class Pool:
    """Attributes of a plain object."""

    def __init__(self, held):
        self.pool = [None, None, None, Holder(held)]

    def use(self):
        return self.pool


class Named(NamedTuple):
    """A named tuple."""

    first: int
    held: object


class Sealed(dict):
    """A dict of its own class."""


def closed_over(held):
    def f(x):
        return held, x

    return f


def defaulting(held):
    def f(x, a=1, b=held, *, c=held):
        return x

    return f


PATHS = {
    "list": (lambda held: [1, [held]], "[1][0]"),
    "tuple": (lambda held: (1, (held,)), "[1][0]"),
    "dict": (lambda held: {"a": {1: held}}, "['a'][1]"),
    "dict with other keys": (lambda held: {(1, 2): held}, "[...]"),
    "set of tuples": (lambda held: {(held,)}, "{...}[0]"),
    "key": (lambda held: {(1, held): 1}, ": key ...[1]"),
    "dataclass": (Holder, ".held"),
    "slots": (Slotted, ".held"),
    "attributes": (Pool, ".pool[3].held"),
    "named tuple": (lambda held: Named(1, held), "[1]"),
    "namespace": (lambda held: types.SimpleNamespace(a=held), ".a"),
    "deque": (lambda held: collections.deque([1, held]), "[1]"),
    "defaultdict": (lambda held: collections.defaultdict(list, a=held), "['a']"),
    "OrderedDict": (lambda held: collections.OrderedDict(a=held), "[0][1]"),
    "dict of its own class": (lambda held: Sealed(a=held), "['a']"),
    "partial argument": (lambda held: functools.partial(print, 1, held), ".args[1]"),
    "partial keyword": (lambda held: functools.partial(print, end=held), ".keywords['end']"),
    "bound method": (lambda held: Pool(held).use, ".__self__.pool[3].held"),
    "builtin method": (lambda held: [held].append, ".__self__[0]"),
    "closure": (closed_over, ": closure held"),
    "default": (defaulting, ".defaults[1]"),
    "exception": (lambda held: ValueError("x", held), ".args[1]"),
    "slice": (lambda held: slice(held), "[1]"),
    "proxy": (lambda held: types.MappingProxyType({"a": held}), "['a']"),
    "generic alias": (lambda held: types.GenericAlias(list, (held,)), ".arguments[1][0]"),
}


@pytest.mark.parametrize("name", PATHS)
def test_paths(name):
    """The message says how the part is reached, however deep it lies."""
    make, path = PATHS[name]
    lock = threading.Lock()

    assert (f"value{path}", "_thread.lock") == (
        refused(make(lock)).path,
        refused(make(lock)).type_name,
    )
    assert f"value['x']{path}" == refused({"x": make(lock)}).path
    assert not lock.locked()


def test_paths_in_messages():
    """The message has path, type, reason and every remedy."""
    with pytest.raises(UnkeyableArgumentError) as caught:
        digest(Pool(threading.Lock()), path="client")

    assert (
        "client.pool[3].held of type _thread.lock cannot be part of a key: it has no stable value; "
        "leave the argument out with ignore=, make the key yourself with key=, or teach objcache "
        "the type with objcache.hashing.register(lock, function)"
    ) == str(caught.value)


def test_the_first_part_is_named():
    """Of several parts without a value the first is named, in the order of the containers."""
    lock = threading.Lock()

    assert "value['b'][0]" == refused({"a": 1, "b": [lock], "c": lock}).path


def test_deep_and_recursive_values():
    """A part is found in values that nest as deep as memory, and in those that contain themselves."""
    deep = [threading.Lock()]
    for _ in range(5000):
        deep = [deep]
    loop = {"a": [Pool(None)]}
    loop["a"] += [loop, threading.Lock()]

    assert f"value{'[0]' * 5001}" == refused(deep).path
    assert "value['a'][2]" == refused(loop).path


def test_parts_of_iterators_are_not_asked():
    """What is found before the part that is refused is left as it was."""
    numbers = iter([1, 2, 3])
    refused([numbers, threading.Lock()])
    refused([1, {"x": numbers}])

    assert [1, 2, 3] == list(numbers)


# -- objects that fail or lie --------------------------------------------------------------------


class Failing:
    """Whatever is asked of it, it fails; it has a value nevertheless."""

    def __init__(self, x):
        vars(self)["x"] = x

    def _fail(self, *_):
        raise RuntimeError("not to be asked")

    __repr__ = __str__ = __eq__ = __hash__ = __bool__ = __len__ = __iter__ = __contains__ = _fail
    __getattr__ = __setattr__ = __format__ = __sizeof__ = __dir__ = __call__ = __enter__ = _fail
    __lt__ = __int__ = __index__ = __getitem__ = __bytes__ = __instancecheck__ = _fail

    @property
    def y(self):
        raise RuntimeError("not to be asked")


class Agreeing:
    """Equal to all, true to none, with every attribute there is."""

    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 1

    def __bool__(self):
        return False

    def __repr__(self):
        return "Agreeing()"

    def __getattr__(self, name):
        return Agreeing(name)


class Meta(Agreeing, metaclass=Answers):
    """A class with every attribute there is."""


@pytest.mark.parametrize("kind", [Failing, Agreeing, Meta])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x], lambda x: {"a": (x, Holder(x))}])
def test_objects_are_known_by_their_state_alone(kind, wrap):
    """An object that fails or lies when it is asked is known by its attributes all the same."""
    one, same, other = wrap(kind(1)), wrap(kind(1)), wrap(kind(2))

    assert digest(one) == digest(same)
    assert digest(one) != digest(other)


@pytest.mark.parametrize("kind", [Failing, Agreeing, Meta])
def test_the_state_of_objects_that_lie_is_searched(kind):
    """The part without a value is found in them, too."""
    assert "value[0].x[1]" == refused([kind([1, threading.Lock()])]).path


class Unreadable:
    """An object that refuses to say its state."""

    def __reduce_ex__(self, protocol):
        raise RuntimeError("not to be pickled")


class Hidden:
    """An object that refuses to say anything but its class."""

    def __getattribute__(self, name):
        if name == "__class__":
            return Hidden
        raise RuntimeError(f"not {name}")


@pytest.mark.parametrize("kind", [Unreadable, Hidden])
def test_objects_without_a_state_are_refused(kind):
    """An object that fails to say its state has no value."""
    assert ("value[0]", name_of(kind), UNSTABLE) == operator.attrgetter(
        "path", "type_name", "reason"
    )(refused([kind()]))
