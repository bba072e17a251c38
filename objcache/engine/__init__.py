"""LMDB without its sharp edges: sessions that read and write bytes.

Knows: lmdb (nobody else imports it), files, locks, fork. Must not know: keys, records, secrets.
Read docs/design/concurrency.md first: the rules I1 to I9 that the comments cite.
"""

from objcache.engine._agreement import written_durability as written_durability
from objcache.engine._checkpoint_file import Restored as Restored
from objcache.engine._environment import Environment as Environment
from objcache.engine._faults import EngineFault as EngineFault
from objcache.engine._files import FILE_NAME as FILE_NAME
from objcache.engine._files import filesystem_at as filesystem_at
from objcache.engine._files import sync_directory as sync_directory
from objcache.engine._opening import DEFAULT_MAP_BYTES as DEFAULT_MAP_BYTES
from objcache.engine._pulse import Pulse as Pulse
from objcache.engine._registry import (
    DEFAULT_CHECKPOINT_INTERVAL_S as DEFAULT_CHECKPOINT_INTERVAL_S,
)
from objcache.engine._registry import DEFAULT_DURABILITY as DEFAULT_DURABILITY
from objcache.engine._registry import DURABILITIES as DURABILITIES
from objcache.engine._registry import close_session as close_session
from objcache.engine._registry import compact as compact
from objcache.engine._registry import open_session as open_session
from objcache.engine._session import JoinedSession as JoinedSession
from objcache.engine._session import Session as Session
from objcache.engine._side_keeper import SideKeeper as SideKeeper
from objcache.engine._side_rows import live_files as live_files
from objcache.engine._side_rows import side_bytes as side_bytes
from objcache.engine._side_rows import side_row as side_row
from objcache.engine._side_rows import side_rows as side_rows
from objcache.engine._transactions import ReadSnapshot as ReadSnapshot
from objcache.engine._transactions import Transaction as Transaction
from objcache.engine._transactions import WriteTransaction as WriteTransaction
from objcache.engine.side_files import SideFileMissingError as SideFileMissingError
from objcache.engine.side_files import SideFiles as SideFiles
from objcache.engine.side_files import copy_side_file as copy_side_file

__all__ = [
    "DEFAULT_CHECKPOINT_INTERVAL_S",
    "DEFAULT_DURABILITY",
    "DEFAULT_MAP_BYTES",
    "DURABILITIES",
    "FILE_NAME",
    "EngineFault",
    "Environment",
    "JoinedSession",
    "Pulse",
    "ReadSnapshot",
    "Restored",
    "Session",
    "SideFileMissingError",
    "SideFiles",
    "SideKeeper",
    "Transaction",
    "WriteTransaction",
    "close_session",
    "compact",
    "copy_side_file",
    "filesystem_at",
    "live_files",
    "open_session",
    "side_bytes",
    "side_row",
    "side_rows",
    "sync_directory",
    "written_durability",
]
