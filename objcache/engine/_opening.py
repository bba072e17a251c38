"""How lmdb opens a file, in each durability.

Knows: the flags. Must not know: who uses the file.
"""

# Annotations are not postponed: NamedTuple would compile each (bench/workloads/import_time.py).
import os
from typing import Final, NamedTuple

import lmdb

from objcache.clock import Clock
from objcache.engine._boot import boot_id
from objcache.engine._files import sync_directory

__all__ = ["DEFAULT_MAP_BYTES", "Options", "create", "lmdb_open", "open_largest_map"]

DEFAULT_MAP_BYTES: Final = 1 << 40
"""Address space, not disk: the file is only as long as what was written."""

_SMALLEST_MAP_BYTES: Final = 1 << 20
_MAX_READERS: Final = 2048


class Options(NamedTuple):
    """How a file is opened; shared by all sessions of a process on it."""

    directory: str
    file: str
    durability: str
    map_bytes: int
    shared: bool
    lockable: bool
    checkpoint_interval_s: float
    clock: Clock
    readonly: bool

    @property
    def file_mode(self) -> int:
        """The mode of new files."""
        return 0o660 if self.shared else 0o600

    @property
    def makes_checkpoints(self) -> bool:
        """Whether commits are not flushed, and checkpoints are; else where no boot has a name."""
        return self.durability == "checkpoint" and self.lockable and boot_id() is not None


def create(options: Options) -> None:
    """Make an empty file that is durable before it has its name.

    A power cut leaves no file, or a whole one; so a file without a checkpoint beside it needs none.
    The caller holds `opening.lock` and is the only user of the store.
    """
    fresh = f"{options.file}-new"
    if os.path.exists(fresh):
        os.unlink(fresh)  # of a process that died here
    made = lmdb.open(
        fresh,
        subdir=False,
        map_size=_SMALLEST_MAP_BYTES,
        lock=False,
        mode=options.file_mode,
        lib_version=0,
    )
    try:
        made.sync(True)  # lmdb's own "force"
    finally:
        made.close()
    os.rename(fresh, options.file)
    sync_directory(options.directory)


def open_largest_map(options: Options, map_bytes: int) -> tuple[lmdb.Environment, int]:
    """Return the open file, and how much of it could be mapped."""
    while True:
        try:
            return lmdb_open(options, map_bytes), map_bytes
        except lmdb.MemoryError:
            # Under `ulimit -v` there is less address space than the map we would like.
            if map_bytes // 2 < _SMALLEST_MAP_BYTES:
                raise
            map_bytes //= 2


def lmdb_open(options: Options, map_bytes: int) -> lmdb.Environment:
    """Return the open file."""
    # I9: never writemap; sync=False only with checkpoints behind it, or where the user chose to
    # lose all in a power cut. Where no boot has a name a checkpoint cannot be told from a power
    # cut: then one flush a commit, which loses the last one at most.
    return lmdb.open(
        options.file,
        subdir=False,
        map_size=map_bytes,
        max_readers=_MAX_READERS,
        max_dbs=0,
        max_spare_txns=0,
        sync=options.durability != "process" and not options.makes_checkpoints,
        metasync=options.durability == "commit",
        mode=options.file_mode,
        readonly=not options.lockable,
        lock=options.lockable,
        lib_version=0,
    )
