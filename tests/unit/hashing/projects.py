"""Small projects of modules, written, imported, edited and imported again.

Knows: files and `sys.modules`. Must not know: what is made of their code.
"""

from __future__ import annotations

import importlib
import itertools
import linecache
import os
import pathlib
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

from objcache.hashing.code import components

__all__ = ["Project"]

# Long before any test process began: a file that is older than the process is what was imported.
# Each writing takes a later second, which is what linecache and the import look at.
_MOMENTS: Final = itertools.count(1_000_000_000)


class Project:
    """Modules below one directory.

    Args:
        directory: where they are written.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory

    @contextmanager
    def importable(self) -> Iterator[Project]:
        """Let its modules be imported in the block, without leaving anything behind."""
        before = sys.dont_write_bytecode
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(self.directory))
        try:
            yield self
        finally:
            sys.path.remove(str(self.directory))
            sys.dont_write_bytecode = before
            self.unload()

    def write(self, sources: Mapping[str, str], *, recently: bool = False) -> None:
        """Write files.

        Args:
            sources: by path, `/` and `.py` as in `pkg/main.py`.
            recently: as an edit while the process runs; else long before it began.
        """
        for name, source in sources.items():
            file = self.directory / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(source), "utf-8")
            if not recently:
                moment = next(_MOMENTS)
                os.utime(file, (moment, moment))

    def edit(self, old: str, new: str, *, recently: bool = False) -> None:
        """Replace *old* by *new* in the one file that has it, once."""
        files = [file for file in self.directory.rglob("*.py") if old in file.read_text("utf-8")]

        assert 1 == len(files), (old, files)
        source = files[0].read_text("utf-8")

        assert 1 == source.count(old), old
        name = files[0].relative_to(self.directory).as_posix()
        self.write({name: source.replace(old, new)}, recently=recently)

    def load(self, module: str = "pkg.main") -> ModuleType:
        """Import *module* as a new process would."""
        self.unload()
        importlib.invalidate_caches()
        linecache.clearcache()
        return importlib.import_module(module)

    def unload(self) -> None:
        """Forget all modules of the project."""
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", "")).startswith(str(self.directory)):
                del sys.modules[name]

    def parts(self, function: str = "pkg.main.f", **options: Any) -> dict[str, bytes]:
        """Import the module of *function* anew and return what the function depends on."""
        module, _, name = function.rpartition(".")
        return components(getattr(self.load(module), name), **options)
