"""A disk of a few megabytes that is really full: StoreFullError, what was there intact, nothing left over."""

from __future__ import annotations

import os
import pathlib
import pickle
import shutil
import subprocess

import pytest

from objcache import Cache, Store, StoreFullError
from tests.conftest import SECRET
from tests.unit.store.test_side_files import MODES

MIB = 1 << 20


@pytest.fixture
def small_disk(tmp_path):
    """A filesystem of 8 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root may mount a small filesystem; test_full_disk simulates one")
    yield place
    # Counters and marks of a cache stay mapped for as long as its process lives.
    subprocess.run(["umount", "-l", str(place)], check=True)


def files(place):
    """Return names and sizes of the side files of the store below *place*."""
    found = pathlib.Path(place, "blobs").iterdir()
    return sorted((file.name, file.stat().st_size) for file in found)


def put_array(mapping, _source):
    """Store a value with a large buffer."""
    mapping["k"] = pickle.PickleBuffer(bytes(20 * MIB))


def put_bytes(mapping, _source):
    """Store a value with a large payload."""
    mapping["k"] = bytes(20 * MIB)


def put_blob(mapping, _source):
    """Write a value piece by piece, until that fails."""
    with mapping.open_blob("k", "wb") as blob:
        for _ in range(20):
            blob.write(bytes(MIB))


def put_file(mapping, source):
    """Store a file."""
    mapping.put_file("k", source)


def put_in_a_transaction(mapping, _source):
    """Store what fits, then what does not, in one transaction."""
    with mapping.transaction():
        mapping["j"] = pickle.PickleBuffer(bytes(MIB))
        put_blob(mapping, None)


def close_late(mapping, _source):
    """Take the room that the end of a blob needs, then close it."""
    with mapping.open_blob("k", "wb") as blob:
        blob.write(bytes(MIB + 200_000))
        fill(mapping.directory)


def fill(place):
    """Take all room there is."""
    with open(os.path.join(place, "filler"), "wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            return


@pytest.mark.parametrize(
    "put", [put_array, put_bytes, put_blob, put_file, put_in_a_transaction, close_late]
)
@pytest.mark.parametrize("kind", [*MODES, "cache"])
def test_a_full_disk(small_disk, tmp_path, kind, put):
    """What does not fit is refused, the old value stays, no file is left, and there is room again."""
    source = tmp_path / "source"
    with open(source, "wb") as file:
        file.truncate(20 * MIB)
    place = small_disk / "store"
    if kind == "cache":
        opened = Cache(place, size_limit="64 MiB", secret=SECRET)
    else:
        opened = Store(place, secret=SECRET, **MODES[kind])
    with opened as mapping:
        mapping["k"] = pickle.PickleBuffer(b"old" * MIB)
        mapping.sync()
        before = files(place)
        for _ in range(2):
            with pytest.raises(StoreFullError, match="free space on its disk"):
                put(mapping, source)

        assert (b"old" * MIB, 1, before) == (mapping["k"], len(mapping), files(place))
        (place / "filler").unlink(missing_ok=True)
        with mapping.open_blob("more", "wb") as blob:
            blob.write(bytes(MIB))
        mapping.sync()
        assert bytes(MIB) == mapping["more"]
        assert mapping.check().ok
        del mapping["k"]
        mapping.sync()
        assert [MIB] == [size for _, size in files(place)]
