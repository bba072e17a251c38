"""The store: a mapping on disk, opened by path.

Knows: how a store is opened, and what belongs to the whole of it. Must not know: lmdb.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from objcache.clock import SYSTEM_CLOCK, Clock
from objcache.codecs import DEFAULT_COMPRESSION_THRESHOLD_BYTES, compression_by_name
from objcache.engine import (
    DEFAULT_CHECKPOINT_INTERVAL_S,
    DEFAULT_DURABILITY,
    DURABILITIES,
    close_session,
    compact,
    open_session,
)
from objcache.errors import StoreClosedError
from objcache.keys import namespace_prefix
from objcache.protocols import Codec
from objcache.records import Records
from objcache.signing import STORE_ID_BYTES, Signer
from objcache.store._placed import PlacedWriter
from objcache.store._reading import ObjectReader
from objcache.store._secrets import Secret, find_secrets
from objcache.store._settings import open_settings
from objcache.store._writing import ObjectWriter, Target
from objcache.store.side import put_record

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

    from objcache.store._check import CheckReport
    from objcache.store._resigning import Resigned
    from objcache.store._stats import StoreStats

__all__ = ["Namespace", "Snapshot", "Store", "Transaction"]

K = TypeVar("K")
V = TypeVar("V")


class Namespace(PlacedWriter[K, V]):
    """A mapping of its own under the roof of a store; see `Store.namespace`.

    It shares the store's transactions and ends with it.
    """

    __slots__ = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The path of names from the store to here."""
        return self._names

    def namespace(self, name: str) -> Namespace[Any, Any]:
        """Return the namespace *name* below this one."""
        return _namespace(self._target, self._records, (*self._names, name))

    def using(self, codec: str | Codec) -> Namespace[K, V]:
        """Return the same namespace, writing its values by another codec.

        What is there already is read by the codec that its records name; pickles are refused
        through a namespace with a data-only codec.

        >>> with Store.temporary() as store:
        ...     settings = store.namespace("settings").using("json")
        ...     settings["theme"] = {"dark": True}
        ...     store.namespace("settings")["theme"]
        {'dark': True}
        """
        records = self._records.using(codec)
        return Namespace(self._target, records, self._prefix, self._names)

    def __repr__(self) -> str:
        return f"<objcache.Namespace {'/'.join(self._names)!r} of {self._target.directory!r}>"


class Transaction(ObjectWriter[K, V]):
    """The store as seen and changed by one open transaction; see `Store.transaction`."""

    __slots__ = ()

    def namespace(self, name: str) -> Namespace[Any, Any]:
        """Return the namespace *name*, within the transaction."""
        return _namespace(self._target, self._records, (name,))

    @contextmanager
    def transaction(self) -> Iterator[Transaction[K, V]]:
        """Begin a transaction inside this one: rolled back alone, committed with this one."""
        with self._target.transaction() as opened:
            yield Transaction(self._target.joined(opened), self._records, b"")

    def __repr__(self) -> str:
        return f"<objcache.Transaction of {self._target.directory!r}>"


class Snapshot(ObjectReader[K, V]):
    """The store as it was at one moment, read-only; see `Store.snapshot`."""

    __slots__ = ()

    def namespace(self, name: str, *names: str) -> Snapshot[Any, Any]:
        """Return the namespace *name* (and so on down *names*) at that moment."""
        return Snapshot(self._source, self._records, namespace_prefix((name, *names)))

    def __repr__(self) -> str:
        return f"<objcache.Snapshot of {self._source.directory!r}>"


def _namespace(target: Target, records: Records, names: tuple[str, ...]) -> Namespace[Any, Any]:
    return Namespace(target, records, namespace_prefix(names), names)


class Store(PlacedWriter[K, V]):
    """A mapping on disk: any key, transactions, snapshots, ordered ranges, many processes.

    Values are pickled (or encoded by another codec) and signed; a value is decoded only
    after its signature was verified. Each read returns a copy of its own: change it and store
    it again. Every method is atomic for all threads and processes.

    Args:
        path: the directory; made with mode 0700 if missing.
        durability: what a power cut loses; the death of the process loses nothing.
            `"checkpoint"`: the commits since the last checkpoint, never the store;
            `"commit"`: nothing, for two flushes a commit, shared by threads that wait;
            `"process"`: all of it, found and emptied at the next open: for scratch data.
            All who write to a store at a time agree on one.
        checkpoint_interval: seconds from a commit to the next checkpoint, at most.
        codec: `"pickle"`, or data only: `"msgpack"`, `"json"`, `"raw"`, or one's own `Codec`.
        protocol: the pickle protocol to write, 5 by default.
        codecs: further codecs of one's own that may be read.
        compression: `"zlib"`, `"lz4"` or `"zstd"` for what is written, None for none. What is
            there is read whatever this says.
        compression_level: of the algorithm: zlib 1 to 9, lz4 0 to 12, zstd -7 to 22; None is
            its own default.
        compression_threshold_bytes: smaller values and buffers are stored as they are, like
            those that compression would not make an eighth smaller.
        secret: signs the records, 16 bytes or more; several: the first signs, all verify.
            By default `OBJCACHE_SECRET`, then the file named by `OBJCACHE_SECRET_FILE`,
            then the user's own key file.
        trust: an allow-list of classes, or their exact dotted names, for the unpickler.
        renames: `{"old.module.Name": "new.module.Name"}` for classes that have moved.
        create: make the store where there is none.
        readonly: refuse writes; needs no permission to write.
        shared: trust other users who own or may write the files.
        allow_network: do not refuse network filesystems.
        timeout: seconds that a write waits for other writers; None is for ever.
        map_size_bytes: the bound of the file's size, 1 TiB by default (address space, not disk).
        clock: where timeouts and times come from.

    Raises:
        StoreNotFoundError, StoreError, UntrustedStoreError, NetworkFilesystemError,
        StoreConflictError, SecretError, WrongSecretError, SignatureError, CorruptStoreError:
            the store was not opened; nothing was changed.

    Concurrency:
        Shared freely between threads. After fork() both processes go on using it. It
        pickles as its path and settings (with the secret, if one was passed).

    >>> with Store.temporary() as store:
    ...     store["answer"] = {"value": 42}
    ...     store["answer"]
    {'value': 42}
    """

    __slots__ = ("__weakref__", "_arguments", "_session", "_signer", "_temporary", "path")

    def __init__(
        self: Store[Any, Any],  # without an annotation of its own a store holds anything
        path: str | os.PathLike[str],
        *,
        durability: str = DEFAULT_DURABILITY,
        checkpoint_interval: float = DEFAULT_CHECKPOINT_INTERVAL_S,
        codec: str | Codec = "pickle",
        protocol: int | None = None,
        codecs: Iterable[Codec] = (),
        compression: str | None = None,
        compression_level: int | None = None,
        compression_threshold_bytes: int = DEFAULT_COMPRESSION_THRESHOLD_BYTES,
        secret: Secret | None = None,
        trust: Iterable[str | type] | None = None,
        renames: Mapping[str, str] | None = None,
        create: bool = True,
        readonly: bool = False,
        shared: bool = False,
        allow_network: bool = False,
        timeout: float | None = None,
        map_size_bytes: int | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._temporary: TemporaryDirectory[str] | None = None
        arguments = {name: value for name, value in locals().items() if name in _ARGUMENTS}
        arguments["codecs"] = codecs = tuple(codecs)
        arguments["trust"] = trust = None if trust is None else tuple(trust)
        self._arguments = arguments
        self.path = os.path.abspath(os.fsdecode(path))
        if durability not in DURABILITIES:
            raise ValueError(f"durability={durability!r} is not one of {', '.join(DURABILITIES)}")
        if not 0 < checkpoint_interval <= _LONGEST_INTERVAL_S:
            raise ValueError(
                f"checkpoint_interval={checkpoint_interval} is not between 0 and "
                f"{_LONGEST_INTERVAL_S} seconds"
            )
        if map_size_bytes is not None and map_size_bytes < _SMALLEST_MAP_BYTES:
            raise ValueError(
                f"map_size_bytes={map_size_bytes} is below the minimum of {_SMALLEST_MAP_BYTES}"
            )
        smaller = compression_by_name(compression, compression_level, compression_threshold_bytes)
        secrets = find_secrets(secret, self.path)

        def records(signer: Signer) -> Records:
            return Records(
                signer,
                codec=codec,
                protocol=protocol,
                codecs=codecs,
                trust=trust,
                renames=renames,
                files=files,
                compression=smaller,
            )

        files = None
        records(
            Signer(secrets, bytes(STORE_ID_BYTES))
        )  # refuses bad settings before a file is made
        self._session = session = open_session(
            self.path,
            durability=durability,
            checkpoint_interval_s=checkpoint_interval,
            map_bytes=map_size_bytes,
            create=create,
            readonly=readonly,
            shared=shared,
            allow_network=allow_network,
            timeout_s=timeout,
            clock=clock,
        )
        try:
            _, signer = open_settings(session, secrets, clock, readonly=readonly)
        except BaseException:
            close_session(session)
            raise
        self._signer = signer
        files = session.environment.side.files
        session.replace = partial(put_record, session.environment.side)
        super().__init__(session, records(signer), b"")

    @classmethod
    def temporary(cls, **options: Any) -> Store[Any, Any]:
        """Open a store in a new temporary directory, which is removed when it is closed.

        Args:
            options: as for `Store`; the secret is random where none is given.
        """
        import tempfile  # noqa: PLC0415  # a sixth of the import time of objcache

        directory = tempfile.TemporaryDirectory(prefix="objcache-")
        options.setdefault("secret", os.urandom(32))
        options.setdefault("durability", "process")
        store = cls(os.path.join(directory.name, "store"), **options)
        store._temporary = directory
        return store

    # -- life --------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._session.closed

    @property
    def durability(self) -> str:
        """What a commit promises; see the class."""
        return str(self._arguments["durability"])

    def close(self) -> None:
        """Close the store. Idempotent; later use raises `StoreClosedError`."""
        close_session(self._session)
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        session = getattr(self, "_session", None)
        if session is not None and not session.closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_again, (type(self), self.path, self._arguments)

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"durability={self.durability!r}"
        return f"<objcache.Store {self.path!r} {state}>"

    # -- views of it -------------------------------------------------------------------------

    def namespace(self, name: str) -> Namespace[Any, Any]:
        """Return the mapping *name* under the store's roof: its own keys, its own length.

        >>> with Store.temporary() as store:
        ...     users = store.namespace("users")
        ...     users[1] = "ada"
        ...     len(store), len(users)
        (0, 1)
        """
        return _namespace(self._session, self._records, (name,))

    @contextmanager
    def transaction(self) -> Iterator[Transaction[K, V]]:
        """Make what this thread does in the block one transaction of the store.

        Committed at the end of the block, rolled back if an exception leaves it. Everything
        this thread does to the store and its namespaces meanwhile is part of it, through
        whatever object. A block inside the block is rolled back alone.

        Raises:
            StoreBusyError: other writers took longer than the store's `timeout`.
            TransactionClosedError: at the end, if a failed write has rolled it back already.

        Concurrency:
            Other writers, of all processes, wait until it ends. Readers do not, and see nothing
            of it before. The block must be left in the thread that entered it.

        >>> with Store.temporary() as store:
        ...     store["a"], store["b"] = 100, 0
        ...     with store.transaction() as transaction:
        ...         transaction["a"] -= 10
        ...         transaction["b"] += 10
        ...     store["a"], store["b"]
        (90, 10)
        """
        with self._session.transaction() as opened:
            yield Transaction(self._session.joined(opened), self._records, b"")

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot[K, V]]:
        """Give a read-only view of the store as it is now, whatever is written meanwhile.

        Cost: while it is open, pages that writers replace are not used again: the file grows.
        `stats` shows it among the readers.
        """
        pinned = self._session.snapshot()
        try:
            yield Snapshot(pinned, self._records, b"")
        finally:
            pinned.end("its block was left")

    # -- the whole store ---------------------------------------------------------------------

    def sync(self) -> None:
        """Flush all that was committed to the disk. Cost: one fdatasync."""
        self._session.sync()

    def copy(self, path: str | os.PathLike[str], *, compact: bool = True) -> None:
        """Write a consistent copy of the store to the empty or missing directory *path*.

        The copy is a store with the same secret. Readers and writers go on meanwhile.

        Args:
            path: where to.
            compact: leave free pages out.

        Raises:
            StoreExistsError: something is there already.
            StoreFullError, StoreError: the copy could not be made durable.
        """
        from objcache.engine.copies import copy_into  # noqa: PLC0415  # seldom called

        if self._session.closed:
            raise StoreClosedError(self.path)
        target = os.path.abspath(os.fsdecode(path))
        copy_into(self._session.environment, target, compact=compact)

    def compact(self) -> None:
        """Give free pages back to the disk, by replacing the file with a compact copy.

        Raises:
            StoreBusyError: another process has the store open, or this one has a snapshot.

        Cost: reads and writes every page in use; writers wait.
        """
        compact(self._session)

    def check(self, *, deep: bool = False) -> CheckReport:
        """Read every record of the store and its namespaces; report what is wrong.

        Header, signature, key and value of each record, and each counter. Values are decoded,
        once authentic. Nothing is changed.

        Args:
            deep: also every page of the file, the list of free pages, the rows of memoized
                functions, and whether LMDB, in a child process, reads the same.
        """
        from objcache.store._check import check_store  # noqa: PLC0415  # seldom called

        return check_store(self._session, self._records, deep=deep)

    def rekey(self, *, advance: Callable[[int, int], None] | None = None) -> Resigned:
        """Sign every record with the first of the store's secrets.

        Args:
            advance: called now and then with the number of records that were looked at, and of
                all rows of the file, which are more.

        To rotate for good: open with `secret=[new, old]`, call this, and forget the old one.
        Records that no secret verifies are counted and left as they are; nothing is decoded.

        Cost: reads every record, writes those that change, a thousand in a transaction.
        """
        from objcache.store._resigning import sign_all  # noqa: PLC0415  # seldom called

        return sign_all(self._session, self._signer, vouched=False, advance=advance)

    def namespaces(self) -> list[tuple[str, ...]]:
        """Return the paths of all namespaces that have entries."""
        return list(self.stats().namespaces)

    def stats(self) -> StoreStats:
        """Return what the store holds and who reads it. Cost: O(namespaces)."""
        if self._session.closed:
            raise StoreClosedError(self.path)
        from objcache.store._stats import stats_of_store  # noqa: PLC0415  # seldom called

        return stats_of_store(self._session, self.durability)

    @property
    def durable_up_to(self) -> int:
        """The number of the last transaction that a power cut of this moment would leave.

        As `stats().last_transaction_id` counts them; 0 with `durability="process"`.
        """
        return self._session.durable_up_to()

    def wait_durable(self, timeout: float | None = None) -> bool:
        """Wait until what this process has committed survives a power cut; return whether it does.

        `sync` does not wait for the next checkpoint, but makes one.

        Args:
            timeout: seconds; None is for ever.

        Raises:
            PoisonedStoreError: it never will.
        """
        return self._session.wait_durable(timeout)


_SMALLEST_MAP_BYTES = 1 << 16
_LONGEST_INTERVAL_S = 3600.0
_ARGUMENTS = frozenset(
    {
        *(
            "durability",
            "checkpoint_interval",
            "codec",
            "protocol",
            "codecs",
            "compression",
            "compression_level",
            "compression_threshold_bytes",
            "secret",
            "trust",
            "renames",
            "create",
        ),
        *("readonly", "shared", "allow_network", "timeout", "map_size_bytes", "clock"),
    }
)


def _open_again(
    store_type: type[Store[Any, Any]], path: str, arguments: dict[str, Any]
) -> Store[Any, Any]:
    return store_type(path, **arguments)
