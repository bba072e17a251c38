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
from typing import Any, Final, NamedTuple

from objcache.hashing.code import components

__all__ = ["Edit", "Project", "read_edits"]

# Long before any test process began: a file that is older than the process is what was imported.
# Each writing takes a later second, which is what linecache and the import look at.
_MOMENTS: Final = itertools.count(1_000_000_000)


class Project:
    """Modules below one directory.

    Args:
        directory: where they are written; what lies in `site-packages` there is installed.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self._path = [str(directory), str(directory / "site-packages")]

    @contextmanager
    def importable(self) -> Iterator[Project]:
        """Let its modules be imported in the block, without leaving anything behind."""
        before = sys.dont_write_bytecode
        sys.dont_write_bytecode = True
        sys.path[:0] = self._path
        try:
            yield self
        finally:
            sys.path[:] = [entry for entry in sys.path if entry not in self._path]
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
        own = {file.stem for entry in self._path for file in pathlib.Path(entry).glob("*")}
        for name in list(sys.modules):
            if name.partition(".")[0] in own:
                del sys.modules[name]

    def parts(self, function: str = "pkg.main.f", **options: Any) -> dict[str, bytes]:
        """Import the module of *function* anew and return what the function depends on."""
        module, _, name = function.rpartition(".")
        return components(getattr(self.load(module), name), **options)


class Edit(NamedTuple):
    """One edit of `edits.txt`.

    Attributes:
        title: what is edited.
        sources: the files of the project.
        old: what is replaced.
        new: what takes its place.
        counts: whether `pkg.main.f` is another function then.
    """

    title: str
    sources: dict[str, str]
    old: str
    new: str
    counts: bool


def read_edits() -> list[Edit]:
    """Return the edits of `edits.txt`."""
    text = pathlib.Path(__file__).with_name("edits.txt").read_text("utf-8")
    return [_edit_of(part) for part in text.split("\n[[")[1:]]


def _edit_of(text: str) -> Edit:
    head, *lines = text.splitlines()
    answer, _, title = head.partition("]] ")
    sources: dict[str, list[str]] = {"pkg/__init__.py": [], "pkg/main.py": []}
    file = sources["pkg/main.py"]
    changes: dict[str, list[str]] = {"-| ": [], "+| ": []}
    for line in lines:
        if line[:3] in changes:
            changes[line[:3]].append(line[3:])
        elif line.startswith("--- "):
            file = sources.setdefault(line[4:], [])
        elif not changes["+| "]:
            file.append(line)
    old, new = ("\n".join(changes[sign]) for sign in changes)
    files = {name: "\n".join((*content, "")) for name, content in sources.items()}
    return Edit(title, files, old, new, answer == "counts")
