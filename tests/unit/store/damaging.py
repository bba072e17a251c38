"""A store to be damaged, and what lies on which page of its file.

The reader here is a second one, written from mdb.c like that of the engine, for nothing else than
to know which records a damage has touched.
"""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

import lmdb

from objcache import Store
from objcache.engine import FILE_NAME

SECRET = b"the secret of the tests, 32 bytes"
PAGE = 4096
META, BRANCH, LEAF, LONG, FREE = "meta", "branch", "leaf", "long value", "free list"


def build(path):
    """Make a store with every kind of page and record; return all entries by names and key."""
    with Store(path, secret=SECRET) as store:
        with store.transaction():
            for number in range(600):
                store[number] = b"first %d " % number * 4
            for number in range(6):
                store["long", number] = bytes([number + 1]) * 9000
            store[frozenset({1})] = "unordered"
            store["x" * 700] = "shortened"
            store.namespace("users").update({number: f"user {number}" for number in range(60)})
            store.namespace("y" * 300).update({number: number for number in range(40)})
        with store.transaction():
            for number in range(0, 600, 3):
                store[number] = b"second %d " % number * 4
        with store.transaction():
            for number in range(1, 600, 6):
                del store[number]
        memoized = store.memoize(square)
        for number in range(10):
            memoized(number)
        store["last"] = "the last transaction"
    return entries(path)


def square(number):
    """A function to be memoized."""
    return number * number


def entries(path):
    """Every entry of a store, by the names of its namespace and its key."""
    with Store(path, secret=SECRET, create=False) as store:
        found = {((), key): value for key, value in store.items()}
        for names in store.namespaces():
            mapping = store
            for name in names:
                mapping = mapping.namespace(name)
            found.update({(names, key): value for key, value in mapping.items()})
    return found


def copy_of(origin, path):
    """Copy the data file of a store that nobody has open into a directory of its own."""
    os.makedirs(path, mode=0o700)
    shutil.copy(os.path.join(origin, FILE_NAME), path)
    return os.path.join(path, FILE_NAME)


def alter(file, page, change, page_bytes=PAGE):
    """Replace a page of *file* by what *change* makes of it."""
    with open(file, "r+b") as opened:
        opened.seek(page * page_bytes)
        content = change(bytearray(opened.read(page_bytes)))
        opened.seek(page * page_bytes)
        opened.write(content)


def zeroed(content):
    """Nothing but zeros, as a page that was never written."""
    return bytes(len(content))


def garbled(content):
    """Every byte altered, as on a disk that returns something else."""
    return bytes(byte ^ 0x5A for byte in content)


class Layout:
    """Which pages the present state of a file uses for what.

    Attributes:
        pages: page numbers by kind.
        homes: for each engine key the pages that its record lies on.
        parents: for each page the pages above it.
    """

    def __init__(self, file):
        self.content = Path(file).read_bytes()
        self.pages = {META: [0, 1], BRANCH: [], LEAF: [], LONG: [], FREE: []}
        self.homes = {}
        newest = max((0, 1), key=lambda page: self._number("=Q", page * PAGE + 144))
        free, main = (self._number("=Q", newest * PAGE + offset) for offset in (80, 128))
        self._walk(free, FREE)
        self._walk(main, "")

    def _number(self, form, offset):
        return struct.unpack_from(form, self.content, offset)[0]

    def _walk(self, page, kind):
        if page == 2**64 - 1:
            return
        start = page * PAGE
        _, _, flags, lower, _ = struct.unpack_from("=QHHHH", self.content, start)
        self.pages[kind or {1: BRANCH, 2: LEAF}[flags]].append(page)
        for place in range(start + 16, start + lower, 2):
            node = start + self._number("=H", place)
            low, high, node_flags, size = struct.unpack_from("=HHHH", self.content, node)
            if flags == 1:
                self._walk(low | high << 16 | node_flags << 32, kind)
                continue
            key = self.content[node + 8 : node + 8 + size]
            homes = {page}
            if node_flags & 1:
                run = self._number("=Q", node + 8 + size)
                pages = range(run, run + self._number("=I", run * PAGE + 12))
                self.pages[kind or LONG].extend(pages)
                homes.update(pages)
            if not kind:
                self.homes[key] = homes

    def transaction_of(self, meta):
        """The transaction that a meta page names."""
        return self._number("=Q", meta * PAGE + 144)

    def keys_on(self, pages):
        """The engine keys of the entries that lie on any of *pages*."""
        return {key for key, homes in self.homes.items() if homes & set(pages) and key >= b"\x10"}


class Raw:
    """The records of a store as anybody sees them who can write to its file."""

    def __init__(self, path):
        self._environment = lmdb.open(os.path.join(path, FILE_NAME), subdir=False, lib_version=0)

    def __enter__(self):
        self._transaction = self._environment.begin(write=True)
        return self._transaction

    def __exit__(self, *_):
        self._transaction.commit()
        self._environment.close()


def records_of(path):
    """All records of a store by engine key, as LMDB reads them."""
    with Raw(path) as transaction:
        return dict(transaction.cursor())
