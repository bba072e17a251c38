"""Which files are open in this process: one environment for each, whoever asks (I1).

Knows: the life of environments, and what fork() does to them. Must not know: their inside.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from typing import Any, Final

from objcache.clock import SYSTEM_CLOCK, Clock
from objcache.engine._environment import Environment
from objcache.engine._faults import translating
from objcache.engine._files import check_filesystem, check_trust, prepare
from objcache.engine._opening import DEFAULT_MAP_BYTES, Options
from objcache.engine._session import Session
from objcache.errors import StoreConflictError, StoreError
from objcache.listeners import LISTENERS, tell

__all__ = [
    "DEFAULT_CHECKPOINT_INTERVAL_S",
    "DEFAULT_DURABILITY",
    "DURABILITIES",
    "close_session",
    "compact",
    "open_session",
]

DURABILITIES: Final = ("commit", "checkpoint", "process")
DEFAULT_DURABILITY: Final = "checkpoint"
DEFAULT_CHECKPOINT_INTERVAL_S: Final = 1.0

# The modules that were told of us: they never forget.
_told: list[Any] = []
_environments: dict[tuple[int, int], Environment] = {}
# Taken after the right to write, never before it: a transaction may open another store, or fork.
_lock = threading.RLock()


def open_session(
    directory: str,
    *,
    durability: str = DEFAULT_DURABILITY,
    checkpoint_interval_s: float = DEFAULT_CHECKPOINT_INTERVAL_S,
    map_bytes: int | None = None,
    create: bool = True,
    readonly: bool = False,
    shared: bool = False,
    allow_network: bool = False,
    timeout_s: float | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Session:
    """Return a session on the store's file below *directory*.

    Args:
        directory: an absolute path.
        durability: one of `DURABILITIES`.
        checkpoint_interval_s: at most so long after a commit there is a checkpoint.
        map_bytes: the bound of the file's size; None is `DEFAULT_MAP_BYTES`.
        create: make the store where there is none; ignored when *readonly*.
        readonly: refuse every write of this session.
        shared: trust other users who may write there.
        allow_network: do not refuse network filesystems.
        timeout_s: how long writes wait for other writers; None is for ever.
        clock: measures the timeout.

    Raises:
        StoreNotFoundError, UntrustedStoreError, NetworkFilesystemError, StoreConflictError,
        StoreError: nothing was opened.
    """
    with translating(directory, "opened"):
        file = prepare(directory, create=create and not readonly, shared=shared)
        if not shared:
            check_trust(directory)
        if not allow_network:
            check_filesystem(directory)
        options = Options(
            directory=directory,
            file=file,
            durability=durability,
            map_bytes=map_bytes or DEFAULT_MAP_BYTES,
            shared=shared,
            lockable=_is_writable(directory, file),
            checkpoint_interval_s=checkpoint_interval_s,
            clock=clock,
            readonly=readonly,
        )
        if not options.lockable and not readonly:
            raise StoreError(f"no permission to write to {directory!r}; open it with readonly=True")
        with _lock:
            environment = _shared_environment(options, bounded=map_bytes is not None)
            if not readonly:
                _take_part(environment)
            session = Session(environment, readonly=readonly, timeout_s=timeout_s)
            environment.references += 1
            first = environment.references == 1
    return _announced(session) if first else session


def _announced(session: Session) -> Session:
    """Return *session*, the first of its file, after telling what opening that has recovered."""
    if LISTENERS and session.environment.restored is not None:
        from objcache.events import Recovered  # noqa: PLC0415  # loaded by those who listen

        tell(Recovered(session.directory, *session.environment.restored))
    return session


def _is_writable(directory: str, file: str) -> bool:
    return os.access(directory, os.W_OK) and (not os.path.exists(file) or os.access(file, os.W_OK))


def _take_part(environment: Environment) -> None:
    try:
        environment.durability.take_part()
    except BaseException:
        if environment.references == 0:
            _environments.pop(environment.identity(), None)
            environment.close()
        raise


def _shared_environment(options: Options, *, bounded: bool) -> Environment:
    try:
        status = os.stat(options.file)
    except FileNotFoundError:
        found = None
    else:
        found = _environments.get((status.st_dev, status.st_ino))
    if found is None:
        environment = Environment(options)
        _environments[environment.identity()] = environment
        return environment
    current = found.options
    if current.durability != options.durability:
        raise StoreConflictError(
            options.directory, "durability", current.durability, options.durability
        )
    if bounded and current.map_bytes != options.map_bytes:
        raise StoreConflictError(
            options.directory, "map_bytes", current.map_bytes, options.map_bytes
        )
    return found


def close_session(session: Session) -> None:
    """End *session*; the last one of an environment closes the file. Idempotent."""
    environment = session.environment
    with environment.between_writes(), _lock:
        if session.closed:
            return
        session.close()
        environment.references -= 1
        if environment.references == 0:
            for identity, known in list(_environments.items()):
                if known is environment:
                    del _environments[identity]
            with translating(session.directory, "closed as it should"):
                environment.close()


def compact(session: Session) -> None:
    """Replace the file of *session* by one without free pages; see `Store.compact`."""
    from objcache.engine.copies import compact_into, put_in_place  # noqa: PLC0415  # seldom called

    session.check_writable()
    environment = session.environment
    fresh = f"{environment.options.file}-compact"
    with translating(session.directory, "compacted"), environment.alone(session.timeout_s):
        try:
            compact_into(environment, fresh)
            with _lock:
                before = environment.identity()
                try:
                    put_in_place(environment, fresh)
                finally:
                    _environments.pop(before, None)
                    _environments[environment.identity()] = environment
        finally:
            with contextlib.suppress(OSError):
                os.unlink(fresh)  # it has its place, or is for nothing


def _make_last_checkpoints() -> None:
    for environment in list(_environments.values()):
        environment.durability.exiting()


def _finalize_in_worker(_registered: object) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, _make_last_checkpoints, exitpriority=0)


def _before_fork() -> None:
    # A worker of multiprocessing ends by os._exit, which knows its own finalizers only.
    util = sys.modules.get("multiprocessing.util")
    if util is not None and util not in _told:
        _told.append(util)
        util.register_after_fork(_make_last_checkpoints, _finalize_in_worker)
    _lock.acquire()  # so that no environment is half open in the child


def _after_fork_in_parent() -> None:
    _lock.release()


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603  # the parent's may have waiters that are not here
    _lock = threading.RLock()
    for environment in _environments.values():
        environment.after_fork_in_child()


atexit.register(_make_last_checkpoints)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
