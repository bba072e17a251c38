"""What is done to the files before they are opened: a power cut may have been.

Knows: the checkpoint file and which boot this is. Must not know: lmdb.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, Final

from objcache.engine._boot import boot_id
from objcache.engine._checkpoint_file import (
    CHECKPOINT_FILE_NAME,
    SCRATCH,
    CheckpointFile,
    Record,
    Restored,
    restore,
)
from objcache.engine._faults import translating
from objcache.engine._files import LOCK_SUFFIX, sync_directory
from objcache.errors import CorruptStoreError

__all__ = [
    "mark_poisoned",
    "newest_record",
    "note_scratch",
    "recover",
    "refuse_unrecovered",
    "warn",
]

_POISON_NAME: Final = "restore"


def recover(directory: str, file: str, mode: int) -> Restored | None:
    """Put the store back to its last checkpoint if the machine went down since, or a flush failed.

    The caller holds `opening.lock` and is the only user of the store.

    Raises:
        CorruptStoreError: that cannot be right; nothing was changed.
        StoreError: the files cannot be read or written.
    """
    with translating(directory, "recovered"):
        record = newest_record(directory, mode)
        if record is None or not os.path.exists(file):
            # Without a record nothing was written since the file was flushed. A mark that stayed
            # would one day undo commits that have nothing to do with it.
            _forget_poison(directory)
            return None
        event = _event(directory, record)
        if not event:
            return None
        if record.kind == SCRATCH:
            return _emptied(directory, file)
        restored = restore(file, record)
        _forget_poison(directory)
    if restored is not None:
        lost = "" if restored.lost_up_to is None else f" up to {restored.lost_up_to} at least"
        warn(
            "the store at %r was put back to its checkpoint at transaction %d, because %s; "
            "transactions after it are lost%s",
            directory,
            restored.transaction_id,
            event,
            lost,
        )
    return restored


def refuse_unrecovered(directory: str, file: str) -> None:
    """Refuse a store that needs `recover` and may not be written to.

    Raises:
        CorruptStoreError: naming the remedy.
    """
    try:
        record = newest_record(directory, None)
    except OSError:
        return  # no checkpoint file, or none that we may read: nothing is known
    if record is None or not os.path.exists(file):
        return
    event = _event(directory, record)
    if not event:
        return
    with open(file, "rb") as opened:
        first = opened.read(len(record.metas[0]))
    if record.kind == SCRATCH or first != record.metas[0]:
        raise CorruptStoreError(
            f"{event} while {directory!r} was written to; open it once with the "
            "permission to write, which puts it back to its last checkpoint"
        )


def newest_record(directory: str, mode: int | None) -> Record | None:
    """Return the newest record of the checkpoint file, None if there is no file."""
    try:
        opened = CheckpointFile(directory, mode)
    except FileNotFoundError:
        return None
    try:
        return opened.newest()
    finally:
        opened.close()


def note_scratch(directory: str, file: str, mode: int) -> None:
    """Let a power cut from now on empty the store, unless it is closed before."""
    boot = boot_id()
    if boot is None:
        return
    made = not os.path.exists(os.path.join(directory, CHECKPOINT_FILE_NAME))
    opened = CheckpointFile(directory, mode, create=True)
    try:
        inode = os.stat(file).st_ino
        opened.write(Record(SCRATCH, 0, boot, 0, 0, inode, 0, (b"", b"")))
    finally:
        opened.close()
    if made:
        sync_directory(directory)


def mark_poisoned(directory: str, mode: int) -> None:
    """Tell who opens the store next that only its checkpoint can be trusted."""
    # The disk may take nothing any more: then it has not taken the pages either.
    with contextlib.suppress(OSError):
        os.close(os.open(os.path.join(directory, _POISON_NAME), os.O_CREAT | os.O_WRONLY, mode))


def warn(message: str, *arguments: Any) -> None:
    """Log a warning to `objcache`."""
    import logging  # noqa: PLC0415  # as long to load as a third of objcache

    logging.getLogger("objcache").warning(message, *arguments)


def _event(directory: str, record: Record) -> str:
    """Return what happened after *record* that makes recovery necessary; "" if nothing did."""
    boot = boot_id()
    if boot is None or record.boot != boot:
        return "the machine went down"
    return "a flush to the disk failed" if _is_poisoned(directory) else ""


def _is_poisoned(directory: str) -> bool:
    return os.path.exists(os.path.join(directory, _POISON_NAME))


def _forget_poison(directory: str) -> None:
    if _is_poisoned(directory):
        os.unlink(os.path.join(directory, _POISON_NAME))


def _emptied(directory: str, file: str) -> Restored:
    for path in (file, file + LOCK_SUFFIX, os.path.join(directory, CHECKPOINT_FILE_NAME)):
        if os.path.exists(path):
            os.unlink(path)
    _forget_poison(directory)
    sync_directory(directory)
    warn(
        "the store at %r was emptied: it was written to with durability='process' and not closed "
        "when the machine went down",
        directory,
    )
    return Restored(0, None)
