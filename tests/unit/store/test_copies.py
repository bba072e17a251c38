"""How often the bytes of large values are copied, where they lie, and whose they are."""

from __future__ import annotations

import gc
import pathlib
import pickle
import tracemalloc

import pytest

from objcache.header import unpack
from tests.scripts import run

np = pytest.importorskip("numpy")

SIZE = 1 << 24
counted = pytest.mark.skipif(
    not pathlib.Path("/proc/self/clear_refs").exists(), reason="only Linux counts such things"
)


class Owner:
    """What says of its content that it may lie outside of the pickle."""

    def __init__(self, content):
        self.content = content

    def __reduce_ex__(self, protocol):
        return Owner, (pickle.PickleBuffer(self.content),)


def floats(count=None):
    """Return an array, of SIZE bytes where nothing else is said."""
    return np.arange(float(count or SIZE // 8))


def module(name):
    """Return the library *name*, or skip the test."""
    return pytest.importorskip(name)


VALUES = {
    "numpy": floats,
    "numpy, two dimensions": lambda: floats().reshape(1024, -1),
    "numpy, Fortran's order": lambda: np.asfortranarray(floats().reshape(1024, -1)),
    "numpy, several": lambda: [floats(SIZE // 32) for _ in range(4)],
    "pandas": lambda: module("pandas").DataFrame(floats().reshape(-1, 4)),
    "pandas, columns": lambda: module("pandas").DataFrame(
        {name: floats(SIZE // 32) for name in "abcd"}
    ),
    "pyarrow": lambda: module("pyarrow").table({"a": floats(), "b": floats()}).select(["a"]),
    "pyarrow, texts": lambda: module("pyarrow").array(["0123456789abcde"] * (SIZE // 19)),
    "a PickleBuffer of a bytearray": lambda: pickle.PickleBuffer(bytearray(SIZE)),
    "an owner of a bytearray": lambda: Owner(bytearray(SIZE)),
    "an owner of bytes": lambda: Owner(bytes(SIZE)),
    "an owner of an array": lambda: Owner(floats()),
}
"""Values whose bytes lie out of band: one copy each way, none of a view."""

IN_BAND = {
    "bytearray": lambda: bytearray(SIZE),
    "bytes": lambda: bytes(SIZE),
    "str": lambda: "x" * SIZE,
    "numpy, times": lambda: np.arange(SIZE // 8).astype("M8[s]"),
    "polars": lambda: module("polars").DataFrame({"a": floats()}),
    "torch": lambda: module("torch").from_numpy(floats()),
}
"""Values whose bytes their own types write into the pickle, which costs copies of its own."""


def measured(deed):
    """Return bytes written, allocated at most, and how much the memory in use grew at most."""
    gc.collect()
    peaks = pathlib.Path("/proc/self/clear_refs")
    peaks.write_text("5")  # the peak of what is resident begins anew
    written, resident = _of_system("io", "wchar"), _of_system("status", "VmRSS")
    tracemalloc.start()
    try:
        kept = deed()
        allocated = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    grown = _of_system("status", "VmHWM") - resident
    del kept
    return _of_system("io", "wchar") - written, allocated, grown * 1024


def _of_system(file, name):
    lines = pathlib.Path("/proc/self", file).read_text().splitlines()
    return int(dict(line.split(":") for line in lines)[name].removesuffix("kB"))


def all_measured(store, value):
    """Return what `measured` says of storing, reading and viewing *value*, per byte of it."""
    store["before"] = value  # what is done once is done, and modules are loaded
    store["before"], store.view("before")
    deeds = (
        lambda: store.__setitem__("k", value),
        lambda: store["k"],
        lambda: store.view("k"),
    )
    size = header_of(store, "k" if "k" in store else "before").side_file_bytes
    return [tuple(number / size for number in measured(deed)) for deed in deeds]


def header_of(store, key):
    """Return the header of the record of *key*."""
    located = b"\x10\x02" + key.encode() + b"\x00"
    return unpack(store._session.read(lambda transaction: transaction.get(located)))


@counted
@pytest.mark.parametrize("kind", VALUES)
def test_one_copy_each_way(store, kind):
    """A store copies each byte once, into the file; a read once, out of it; a view not at all.

    While it is stored the file is mapped once, to be looked at for its digests: pages of the
    system's cache, which count as resident, and no memory that anybody has to give.
    """
    value = VALUES[kind]()
    (written, allocated, grown), got, viewed = all_measured(store, value)

    assert 1.0 <= written < 1.01
    assert allocated < 0.01
    assert grown < 1.25  # the kernel counts pages roughly

    assert got[0] < 0.01
    assert 0.99 <= got[1] < 1.01
    assert got[2] < 1.25

    assert viewed[0] < 0.01
    assert viewed[1] < 0.01
    assert viewed[2] < 0.25


@counted
@pytest.mark.parametrize("kind", IN_BAND)
def test_what_is_pickled_in_band(store, kind):
    """Bytes that a type writes into its pickle are copied by that, too: pickle's copies, and ours."""
    value = IN_BAND[kind]()
    stored, got, viewed = all_measured(store, value)

    assert 1.0 <= stored[0] < 1.01
    own = 1.2 if kind == "torch" else 0.0  # it saves into a file in memory first
    assert stored[1] < 2.6 + own  # what the type gives, and pickle's buffer, which grows by halves
    assert stored[2] < 3.2 + own
    assert got[1] < 2.2 + own
    assert viewed[1] < 2.2 + own


def test_aligned_in_files_and_records(open_store):
    """Every buffer begins at a multiple of 64 bytes: in its file, its record, and in a view."""
    store = open_store()
    for parts in ([1000, 777, 64, 4096], [100_001, 513, 300_000, 99_999]):
        store["k"] = [np.ones(size, np.int8) for size in parts]
        header = header_of(store, "k")

        assert [size for size in parts if size >= 512] == [
            part.end - part.start for part in header.buffers
        ]
        assert {0} == {part.start % 64 for part in header.buffers}
    assert header.side_file
    starts = [part.ctypes.data for part in store.view("k")]

    assert {0} == {start % 64 for start in starts}


CHANGES = {
    "numpy": lambda value: value.fill(-1),
    "numpy, small": lambda value: value.fill(-1),
    "numpy, in a record": lambda value: value.fill(-1),
    "pandas": lambda value: value.iloc.__setitem__((slice(None), 0), -1.0),
    "torch": lambda value: value.fill_(-1),
    "bytearray": lambda value: value.__setitem__(slice(None), b"y" * len(value)),
    "a PickleBuffer of a bytearray": lambda value: value.__setitem__(0, 5),
    "an owner of a bytearray": lambda value: value.content.__setitem__(0, 5),
}


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", CHANGES)
def test_plain_read_is_the_callers_own(open_store, monkeypatch, kind, compression):
    """What a plain read gives can be changed, and neither the store nor another read sees it."""
    monkeypatch.setitem(globals(), "SIZE", 1 << 20)
    store = open_store(compression=compression)
    small = {"numpy, small": lambda: floats(10), "numpy, in a record": lambda: floats(2000)}
    store["k"] = (VALUES | IN_BAND | small)[kind]()
    mine, before = store["k"], pickle.dumps(store["k"], 5)
    CHANGES[kind](mine)

    assert before != pickle.dumps(mine, 5)
    assert before == pickle.dumps(store["k"], 5)


def test_what_was_read_only_comes_back_so(store):
    """As with pickle itself, a copy of what could not be changed cannot be changed either."""
    locked = floats(100_000)
    locked.flags.writeable = False
    store["array"], store["bytes"] = locked, Owner(bytes(SIZE))

    assert not store["array"].flags.writeable
    assert memoryview(store["bytes"].content).readonly
    assert (floats(100_000) == store["array"]).all()


def test_plain_read_outlives_everything(store):
    """What a plain read gave stays what it was, whatever becomes of the key and the store."""
    store["k"] = floats(100_000)
    mine = store["k"]
    store["k"] = np.zeros(100_000)
    store.clear()
    store.close()

    assert (floats(100_000) == mine).all()


LARGE = """
    import gc, pathlib
    import numpy as np
    def of_system(name):
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
        return int(dict(line.split(":") for line in lines)[name].removesuffix("kB")) * 1024
    size = int(sys.argv[2])
    with open_store() as store:
        store["before"] = np.ones(1 << 17)
        store["before"], store.view("before")
        for deed in ("set", "get", "view"):
            value = np.ones(size // 8) if deed == "set" else None
            gc.collect()
            pathlib.Path("/proc/self/clear_refs").write_text("5")
            before = of_system("VmRSS")
            if deed == "set":
                store["k"] = value
            else:
                value = store["k"] if deed == "get" else store.view("k")
            print(deed, (of_system("VmHWM") - before) / size)
            assert deed == "set" or value[-1] == 1.0
            del value
    """


@counted
@pytest.mark.parametrize(
    "size", [1 << 27, pytest.param(1 << 30, marks=[pytest.mark.campaign, pytest.mark.timeout(600)])]
)
def test_peak_memory(path, size):
    """To store or read a large array takes at most 1.2 times its size beside it, a view nothing."""
    lines = run(LARGE, path, size, timeout_s=500).splitlines()
    peaks = {name: float(peak) for name, peak in map(str.split, lines)}

    assert peaks["set"] <= 1.2
    assert peaks["get"] <= 1.2
    assert peaks["view"] <= 0.05
