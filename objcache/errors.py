"""Every error that objcache raises, as one tree.

    ObjcacheError
        StoreError                      the store as a whole cannot serve
            StoreNotFoundError          (also FileNotFoundError)
            StoreExistsError            (also FileExistsError)
            StoreClosedError            (also ValueError, as for closed files)
            StoreBusyError              (also TimeoutError)
            StoreFullError              (also OSError)
            ReadOnlyStoreError          (also PermissionError)
            ForkedStoreError            begun before fork(), used after
            StoreConflictError          (also ValueError) open in this process with other settings
            NetworkFilesystemError      (also OSError)
            UntrustedStoreError         (also PermissionError) owner or mode
            WrongSecretError            signed with another secret
            CorruptStoreError
                CorruptRecordError      .key .reason
            PoisonedStoreError          an earlier I/O error; close and open again
        TransactionError
            TransactionClosedError
            WrongThreadError
        FormatError                     (also ValueError) bytes this version cannot read
            UnsupportedFormatError      .what .found .supported
                UnknownCodecError       .codec_id
        SecretError                     (also ValueError) the secret itself cannot be used
        SignatureError                  .key .reason
        CodecError                      the value, not the store
            EncodeError                 .path .type_name .reason
            DecodeError                 .module .name .reason
                UntrustedTypeError      not in the allow-list
        KeyEncodingError                (also ValueError)
        UnkeyableArgumentError          (also TypeError) .path .type_name
        BlobError                       (also ValueError) .key .reason
        ComputationTimeoutError         (also TimeoutError) .function .timeout_s
        AuditError                      .call .stored_digest .computed_digest
        MissingExtraError               (also ImportError) .package .extra
        InternalError                   our bug; please report

A missing key is a plain `KeyError`: that is what a mapping promises.

Knows: what can go wrong. Must not know: where. Every error pickles: its `args` are the
constructor's arguments.
"""

from __future__ import annotations

import errno
from typing import Final

__all__ = [
    "AuditError",
    "BlobError",
    "CodecError",
    "ComputationTimeoutError",
    "CorruptRecordError",
    "CorruptStoreError",
    "DecodeError",
    "EncodeError",
    "ForkedStoreError",
    "FormatError",
    "InternalError",
    "KeyEncodingError",
    "MissingExtraError",
    "NetworkFilesystemError",
    "ObjcacheError",
    "PoisonedStoreError",
    "ReadOnlyStoreError",
    "SecretError",
    "SignatureError",
    "StoreBusyError",
    "StoreClosedError",
    "StoreConflictError",
    "StoreError",
    "StoreExistsError",
    "StoreFullError",
    "StoreNotFoundError",
    "TransactionClosedError",
    "TransactionError",
    "UnkeyableArgumentError",
    "UnknownCodecError",
    "UnsupportedFormatError",
    "UntrustedStoreError",
    "UntrustedTypeError",
    "WrongSecretError",
    "WrongThreadError",
]


class ObjcacheError(Exception):
    """The root of every error of objcache."""


class StoreError(ObjcacheError):
    """The store as a whole cannot serve."""


class StoreNotFoundError(StoreError, FileNotFoundError):
    """There is no store at this path."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return (
            f"there is no store at {self.path!r}; open it with create=True (flag 'c') to make one"
        )


class StoreExistsError(StoreError, FileExistsError):
    """The target of a copy already holds something."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path!r} already holds a store or other files; choose an empty path"


class StoreClosedError(StoreError, ValueError):
    """The store was closed before this operation."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"the store at {self.path!r} is closed; open it again"


class StoreBusyError(StoreError, TimeoutError):
    """Another user of the store did not finish in time."""

    def __init__(self, path: str, holder: str, timeout_s: float | None = None) -> None:
        super().__init__()  # OSError gives two or more arguments a meaning of its own
        self.args = (path, holder, timeout_s)
        self.path = path
        self.holder = holder
        self.timeout_s = timeout_s

    def __str__(self) -> str:
        waited = "" if self.timeout_s is None else f" for {self.timeout_s:g} s"
        return f"the store at {self.path!r} was held by {self.holder}{waited}; try again later"


class StoreFullError(StoreError, OSError):
    """A bound of the store or of the disk was hit; the write was rolled back."""

    # What no eviction helps against.
    LARGEST_ENTRY: Final = "the largest entry of this cache"

    def __init__(self, path: str, limit_bytes: int, wanted_bytes: int | None, bound: str) -> None:
        super().__init__()  # OSError gives two or more arguments a meaning of its own
        self.args = (path, limit_bytes, wanted_bytes, bound)
        self.path = path
        self.limit_bytes = limit_bytes
        self.wanted_bytes = wanted_bytes
        self.bound = bound
        self.errno = errno.ENOSPC

    def __str__(self) -> str:
        wanted = "" if self.wanted_bytes is None else f" for a write of {self.wanted_bytes} bytes"
        return (
            f"the store at {self.path!r} has no room{wanted}: {self.bound} is "
            f"{self.limit_bytes} bytes; nothing was written, delete entries or raise the bound"
        )


class ReadOnlyStoreError(StoreError, PermissionError):
    """A write was asked of a store that was opened for reading only."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"the store at {self.path!r} was opened read-only; open it with readonly=False"


class ForkedStoreError(StoreError):
    """A transaction, snapshot or iterator begun before fork() was used in the child."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"this {self.what} was begun before fork(); begin another one in the child"


class StoreConflictError(StoreError, ValueError):
    """The store is open in this process with settings that cannot be shared."""

    def __init__(self, path: str, setting: str, current: object, wanted: object) -> None:
        super().__init__(path, setting, current, wanted)
        self.path = path
        self.setting = setting
        self.current = current
        self.wanted = wanted

    def __str__(self) -> str:
        return (
            f"the store at {self.path!r} is open in this process with {self.setting}="
            f"{self.current!r}, not {self.wanted!r}; close it first or use the same setting"
        )


class NetworkFilesystemError(StoreError, OSError):
    """The store would lie on a filesystem whose locks and mappings are not coherent."""

    def __init__(self, path: str, filesystem: str) -> None:
        super().__init__()  # OSError gives two or more arguments a meaning of its own
        self.args = (path, filesystem)
        self.path = path
        self.filesystem = filesystem

    def __str__(self) -> str:
        return (
            f"{self.path!r} lies on {self.filesystem}, where locks and memory maps of several "
            "machines are not coherent; use a local disk, or pass allow_network=True if only "
            "one machine ever opens it"
        )


class UntrustedStoreError(StoreError, PermissionError):
    """Somebody else owns, or may write to, the files of the store."""

    def __init__(self, path: str, reason: str, remedy: str) -> None:
        super().__init__()  # OSError gives two or more arguments a meaning of its own
        self.args = (path, reason, remedy)
        self.path = path
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return (
            f"refused to open {self.path!r}: {self.reason}; mend it with `{self.remedy}`, "
            "or pass shared=True if you trust everybody who can write there"
        )


class WrongSecretError(StoreError):
    """The store was signed with a secret that was not given."""

    def __init__(self, path: str, found: str, given: tuple[str, ...]) -> None:
        super().__init__(path, found, given)
        self.path = path
        self.found = found
        self.given = given

    def __str__(self) -> str:
        return (
            f"the store at {self.path!r} is signed with the secret of fingerprint {self.found}, "
            f"given was {', '.join(self.given)}; pass the right one as secret=, OBJCACHE_SECRET or "
            "OBJCACHE_SECRET_FILE, or sign it again with `objcache rekey` (both secrets known) or "
            "`objcache trust` (you vouch for its contents); nothing was changed"
        )


class CorruptStoreError(StoreError):
    """The files of the store are damaged."""


class CorruptRecordError(CorruptStoreError):
    """One record is damaged."""

    def __init__(self, key: object, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        return f"the record of {self.key!r} is damaged: {self.reason}; delete it or restore a copy"


class PoisonedStoreError(StoreError):
    """An earlier I/O error left the state of the disk unknown."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"the store at {self.path!r} met an I/O error ({self.reason}); close and open it again"
        )


class TransactionError(ObjcacheError):
    """A transaction was used in a way it does not allow."""


class TransactionClosedError(TransactionError):
    """The transaction or snapshot has ended."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return f"this {self.what} has ended ({self.reason}); begin another one"


class WrongThreadError(TransactionError):
    """A transaction was used outside the thread that began it."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"this {self.what} belongs to the thread that began it; begin one in each thread"


class FormatError(ObjcacheError, ValueError):
    """Bytes that are not in a format of objcache."""


class UnsupportedFormatError(FormatError):
    """Bytes of a newer format than this version reads; they stay as they are."""

    def __init__(self, what: str, found: int, supported: int) -> None:
        super().__init__(what, found, supported)
        self.what = what
        self.found = found
        self.supported = supported

    def __str__(self) -> str:
        return (
            f"{self.what} {self.found} was found, this program reads up to {self.supported}; "
            "the record is left as it is, read it with a newer Python or objcache"
        )


class UnknownCodecError(UnsupportedFormatError):
    """The record names a codec that is not known here."""

    def __init__(self, codec_id: int, largest_known: int) -> None:
        super().__init__("codec id", codec_id, largest_known)
        self.args = (codec_id, largest_known)
        self.codec_id = codec_id

    def __str__(self) -> str:
        return (
            f"codec id {self.codec_id} was found, this program knows ids up to {self.supported} and "
            "those of the codecs it was given; pass the codec as Store(codecs=[...]); the record "
            "is left as it is"
        )


class SecretError(ObjcacheError, ValueError):
    """The secret that signs records cannot be used."""


class SignatureError(ObjcacheError):
    """A record fails its authentication; it was not decoded."""

    def __init__(self, key: object, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        return f"the record of {self.key!r} is not authentic: {self.reason}; it was not decoded"


class CodecError(ObjcacheError):
    """A value cannot be turned into bytes or back."""


class EncodeError(CodecError):
    """A value cannot be stored; nothing was written."""

    def __init__(self, path: str, type_name: str, reason: str) -> None:
        super().__init__(path, type_name, reason)
        self.path = path
        self.type_name = type_name
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"cannot encode {self.path} of type {self.type_name}: {self.reason}; leave it out "
            "or give its class __getstate__ or __reduce__; nothing was written"
        )


class DecodeError(CodecError):
    """A stored value cannot be loaded; its record stays."""

    def __init__(self, module: str, name: str, reason: str) -> None:
        super().__init__(module, name, reason)
        self.module = module
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        if not self.module:
            return f"cannot decode the value: {self.reason}; the record is left as it is"
        where = f"{self.module}.{self.name}"
        return (
            f"cannot decode the value, it needs {where}: {self.reason}; make the class importable "
            f'or open the store with renames={{"{where}": "new_module.NewName"}}; '
            "the record is left as it is"
        )


class UntrustedTypeError(DecodeError):
    """The value names a class outside the allow-list of `trust=`."""

    def __str__(self) -> str:
        return (
            f"the value needs {self.module}.{self.name}, which trust= does not list "
            f"({self.reason}); add "
            f"{f'{self.module}.{self.name}'!r} to it if you trust the class; "
            "the record is left as it is"
        )


class KeyEncodingError(ObjcacheError, ValueError):
    """An object cannot be a key, or bytes are not an encoded key."""


class UnkeyableArgumentError(ObjcacheError, TypeError):
    """An argument has no stable value to make a key from."""

    def __init__(self, path: str, type_name: str, reason: str) -> None:
        super().__init__(path, type_name, reason)
        self.path = path
        self.type_name = type_name
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.path} of type {self.type_name} cannot be part of a key: {self.reason}; leave "
            "the argument out with ignore=, make the key yourself with key=, or teach objcache "
            f"the type with objcache.hashing.register({self.type_name.rpartition('.')[2]}, function)"
        )


class BlobError(ObjcacheError, ValueError):
    """A blob was opened or used in a way that it does not allow; nothing was stored."""

    def __init__(self, key: object, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        return f"the blob at {self.key!r} {self.reason}"


class ComputationTimeoutError(ObjcacheError, TimeoutError):
    """Somebody else is computing the result, for longer than the caller would wait."""

    def __init__(self, function: str, timeout_s: float) -> None:
        super().__init__()  # OSError gives two or more arguments a meaning of its own
        self.args = (function, timeout_s)
        self.function = function
        self.timeout_s = timeout_s

    def __str__(self) -> str:
        return (
            f"another caller has been computing this result of {self.function} for more than "
            f"timeout={self.timeout_s:g} s; wait longer, or compute it as well with "
            "on_timeout='compute'"
        )


class AuditError(ObjcacheError):
    """A memoized function returned something else than what is stored for the same arguments."""

    def __init__(self, call: str, stored_digest: str, computed_digest: str) -> None:
        super().__init__(call, stored_digest, computed_digest)
        self.call = call
        self.stored_digest = stored_digest
        self.computed_digest = computed_digest

    def __str__(self) -> str:
        return (
            f"{self.call} is stored with digest {self.stored_digest} and returned one with digest "
            f"{self.computed_digest} now: it depends on something that is not in its key; declare "
            "it with reads=, or pass it as an argument"
        )


class MissingExtraError(ObjcacheError, ImportError):
    """A feature needs a package that is not installed."""

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(feature, package, extra)
        self.feature = feature
        self.package = package
        self.extra = extra

    def __str__(self) -> str:
        return (
            f"{self.feature} needs the package {self.package}; "
            f"install it with: pip install 'objcache[{self.extra}]'"
        )


class InternalError(ObjcacheError):
    """A bug of objcache; please report it."""
