"""Finding Python source files, and what their modules are called.

Knows: the file system. Must not know: what the source says, the terminal.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

__all__ = ["SourceFile", "SourceTree", "SourcesError", "find_sources", "read_source"]

# What is installed beside the sources, and what is no source: not the user's own.
_FOREIGN_DIRECTORIES: Final = frozenset(
    {"__pycache__", "dist-packages", "node_modules", "site-packages"}
)
_ENVIRONMENT_MARK: Final = "pyvenv.cfg"
_PACKAGE_FILE: Final = "__init__.py"
# The customary place of packages that must be installed to be imported.
_SOURCE_DIRECTORY: Final = "src"


class SourcesError(Exception):
    """There is nothing to analyse; the message says why."""


class SourceFile(NamedTuple):
    """A file, and the dotted name that imports find it by; a package's ends in `.__init__`."""

    path: str
    module: str


class SourceTree(NamedTuple):
    """The files below a directory, and what could not be looked into: path and reason."""

    root: str
    files: tuple[SourceFile, ...]
    skipped: tuple[tuple[str, str], ...]


def find_sources(path: str, limit: int | None = None) -> SourceTree:
    """Find the Python files below *path*, in an order that does not change.

    Args:
        path: a directory, or one `.py` file.
        limit: only the first so many.

    Directories that are hidden, virtual environments, or hold installed packages are left out.

    Raises:
        SourcesError: there is no such directory, it cannot be read, or no Python file is in it.
    """
    root = os.path.abspath(path)
    skipped: list[tuple[str, str]] = []
    try:
        mode = os.stat(path).st_mode  # "" is no directory, though its absolute path is one
        if stat.S_ISDIR(mode):
            os.scandir(root).close()
    except OSError as error:
        raise SourcesError(f"cannot read {path!r}: {error.strerror}") from error
    except ValueError as error:
        raise SourcesError(f"{path!r} is no path: {error}") from error
    if stat.S_ISDIR(mode):
        paths = list(_walk(root, lambda error: skipped.append(_unread(error))))[:limit]
    elif stat.S_ISREG(mode) and root.endswith(".py"):
        root, paths = os.path.dirname(root), [root]
    else:
        raise SourcesError(f"{root!r} is neither a directory nor a .py file")
    if not paths:
        raise SourcesError(f"there are no Python files below {root!r}")
    return SourceTree(root, tuple(_named(root, paths)), tuple(skipped))


def read_source(file: SourceFile) -> bytes:
    """Return the content of *file*.

    Raises:
        OSError: it cannot be read, or is a pipe or a device by now.
    """
    # Without O_NONBLOCK, opening a pipe would wait for somebody to write into it.
    descriptor = os.open(file.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "not a regular file", file.path)
        return opened.read()


def _unread(error: OSError) -> tuple[str, str]:
    return str(error.filename), error.strerror or type(error).__name__


def _walk(root: str, refuse: Callable[[OSError], None]) -> Iterator[str]:
    for directory, directories, names in os.walk(root, onerror=refuse):
        if directory != root and _ENVIRONMENT_MARK in names:
            directories.clear()
            continue
        directories[:] = sorted(
            name
            for name in directories
            if name not in _FOREIGN_DIRECTORIES and not name.startswith(".")
        )
        for name in sorted(names):
            if name.endswith(".py"):
                yield os.path.join(directory, name)


def _named(root: str, paths: list[str]) -> Iterator[SourceFile]:
    """Name each file as imports name it; no name twice, whatever the tree is like."""
    base = root
    while os.path.exists(os.path.join(base, _PACKAGE_FILE)) and os.path.basename(base):
        base = os.path.dirname(base)
    taken = set()
    for path in paths:
        parts = os.path.relpath(path, base).removesuffix(".py").split(os.sep)
        if parts[0] == _SOURCE_DIRECTORY and len(parts) > 1:
            del parts[0]
        module = ".".join(parts)
        if module.removesuffix(".__init__") in taken:
            module = os.path.relpath(path, base)  # `a.py` beside `a/__init__.py`
        taken.add(module.removesuffix(".__init__"))
        yield SourceFile(path, module)
