"""What a function reads beside its arguments: files, environment variables, packages.

Knows: what they are at this moment. Must not know: keys of results.
"""

from __future__ import annotations

import os
import threading
from typing import Any, Final

from blake3 import blake3

from objcache.clock import SYSTEM_CLOCK

__all__ = ["Env", "File", "Input", "Package"]

_CHUNK_BYTES: Final = 1 << 20
# A file that changed this short a time ago may change again without a new time of change.
_SETTLED_S: Final = 2.0
_MOST_REMEMBERED: Final = 10_000

_remembered: dict[tuple[int, int, int, int], bytes] = {}
_remembering = threading.Lock()


class Input:
    """Something outside the arguments that a result depends on.

    Give it as an argument, or declare it: `memoize(reads=[...])`. What it says by
    `__objcache_key__` at the moment of the call is part of the key.
    """

    __slots__ = ()

    @property
    def label(self) -> str:
        """What it is called in explanations."""
        raise NotImplementedError

    def __objcache_key__(self) -> Any:
        """Return what it is now."""
        raise NotImplementedError


class File(Input):
    """A file by its content: an argument that may stand for a path, or a declared input.

    Args:
        path: which file; `open(file)` and `os.fspath(file)` take the wrapper as they take a path.

    Cost: the content is hashed once for each (inode, size, time of change); a hit after that
        is one `stat`.

    >>> with open(path, "w") as file:
    ...     _ = file.write("1,2")
    >>> @objcache.memoize
    ... def total(table: objcache.File) -> int:
    ...     with open(table) as file:
    ...         return sum(map(int, file.read().split(",")))
    >>> total(objcache.File(path))
    3
    """

    __slots__ = ("path",)

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)

    @property
    def label(self) -> str:
        """What it is called in explanations."""
        return f"File({self.path!r})"

    def __fspath__(self) -> str:
        return self.path

    def __objcache_key__(self) -> tuple[Any, ...]:
        """Return the digest of the content; None in its place for a file that is not there.

        The name does not count: a file that was moved or copied is the same input.
        """
        return ("file", _digest_of(self.path))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, File) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return self.label


class Env(Input):
    """An environment variable by its value, unset or not.

    >>> objcache.Env("REGION").label
    "Env('REGION')"
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def label(self) -> str:
        """What it is called in explanations."""
        return f"Env({self.name!r})"

    def __objcache_key__(self) -> tuple[Any, ...]:
        """Return name and value; None in its place for a variable that is not set."""
        return ("env", self.name, os.environ.get(self.name))

    def __repr__(self) -> str:
        return self.label


class Package(Input):
    """An installed package by its version.

    Args:
        name: as it is installed, "scikit-learn", not as it is imported.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def label(self) -> str:
        """What it is called in explanations."""
        return f"Package({self.name!r})"

    def __objcache_key__(self) -> tuple[Any, ...]:
        """Return name and version; None in its place for a package that is not installed."""
        return ("package", self.name, _version_of(self.name))

    def __repr__(self) -> str:
        return self.label


def _digest_of(path: str) -> bytes | None:
    try:
        before = os.stat(path)
    except FileNotFoundError:
        return None
    identity = (before.st_dev, before.st_ino, before.st_size, before.st_mtime_ns)
    digest = _remembered.get(identity)
    if digest is None:
        hasher = blake3()
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                hasher.update(chunk)
            after = os.fstat(file.fileno())
        digest = hasher.digest()
        settled = SYSTEM_CLOCK.now() - before.st_mtime_ns / 1e9 > _SETTLED_S
        if settled and identity == (after.st_dev, after.st_ino, after.st_size, after.st_mtime_ns):
            with _remembering:
                if len(_remembered) >= _MOST_REMEMBERED:
                    _remembered.clear()
                _remembered[identity] = digest
    return digest


_versions: dict[str, str | None] = {}


def _version_of(name: str) -> str | None:
    # What is imported does not change any more; neither does the version for this process.
    if name not in _versions:
        from importlib import metadata  # noqa: PLC0415  # slow to load

        try:
            _versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            return None
    return _versions[name]
