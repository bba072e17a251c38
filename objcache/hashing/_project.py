"""Which modules are of the same project as a function.

Knows: modules and where they lie. Must not know: what is made of their code.
"""

from __future__ import annotations

import enum
import importlib
import os
import sys
import sysconfig
import types
from typing import Any, Final

from objcache.clock import LOADED_AT
from objcache.hashing._source import binding

__all__ = ["Project", "is_constant"]

_MOST_HOPS: Final = 10
_CONSTANTS: Final = frozenset(
    {
        *(type(None), bool, int, float, complex, str, bytes, type(...), range),
        type(NotImplemented),
    }
)
_NAMED_CONSTANTS: Final = frozenset(
    {
        *("decimal.Decimal", "fractions.Fraction", "uuid.UUID", "re.Pattern", "datetime.date"),
        *("datetime.datetime", "datetime.time", "datetime.timedelta", "datetime.timezone"),
        *("zoneinfo.ZoneInfo", "pathlib.PosixPath", "pathlib.PurePosixPath"),
        *("pathlib._local.PosixPath", "pathlib._local.PurePosixPath"),
    }
)


def is_constant(value: Any) -> bool:
    """Whether *value* cannot change."""
    kind = type(value)
    if kind in _CONSTANTS or isinstance(value, enum.Enum):
        return True
    if kind in {tuple, frozenset}:
        return all(map(is_constant, value))
    return f"{kind.__module__}.{kind.__qualname__}" in _NAMED_CONSTANTS


class Project:
    """The modules of one project: of one top-level package, or the script and what lies beside it.

    Args:
        root: a function of the project.
    """

    def __init__(self, root: types.FunctionType) -> None:
        module = root.__module__ or ""
        self._top = module.partition(".")[0]
        self._directory = _directory_of(root.__globals__, module)

    def has(self, module: str | None) -> bool:
        """Whether *module* is of the project."""
        if type(module) is not str:
            return False
        top = module.partition(".")[0]
        if top in {self._top, "__main__", "__mp_main__"}:
            return True
        found = sys.modules.get(top)
        if found is None or self._directory is None:
            return False
        return _directory_of(vars(found), top) == self._directory

    def module(self, name: str) -> types.ModuleType | None:
        """Return the module *name* of the project, loaded as the function would load it."""
        if not self.has(name):
            return None
        try:
            return importlib.import_module(name)
        except Exception:  # noqa: BLE001  # whatever a module does when it is loaded
            return None

    def owner(self, function: types.FunctionType) -> type | None:
        """Return the class of the project that *function* is a method of."""
        found: Any = function.__globals__
        *path, _ = function.__code__.co_qualname.split(".")
        for name in path:
            found = found.get(name) if type(found) is dict else vars(found).get(name)
            if not isinstance(found, type):
                return None
        return found if isinstance(found, type) and self.has(found.__module__) else None

    def assignment(self, namespace: dict[str, Any], name: str) -> bytes | None:
        """Return the normalised statements that make a global variable; None if not known."""
        for _ in range(_MOST_HOPS):
            module = namespace.get("__name__")
            if not self.has(module) or not _is_as_loaded(namespace):
                return None
            found = binding(namespace, name)
            if found is None or found.imported_from is None:
                return None if found is None else found.form
            level, origin, name = found.imported_from
            if level:
                parents = str(namespace.get("__package__") or "").split(".")
                base = ".".join(parents[: len(parents) - level + 1])
                origin = f"{base}.{origin}" if origin else base
            source = sys.modules.get(origin)
            if source is None:
                return None
            namespace = vars(source)
        return None


def _directory_of(namespace: dict[str, Any], module: str) -> str | None:
    """Return where a top-level module lies that is not installed; None for all others."""
    top = module.partition(".")[0]
    if top != module:
        found = sys.modules.get(top)
        namespace = {} if found is None else vars(found)
    file = namespace.get("__file__")
    if type(file) is not str:
        return None
    directory = os.path.dirname(os.path.abspath(file))
    if os.path.basename(file).startswith("__init__."):
        directory = os.path.dirname(directory)
    installed = directory.endswith(("site-packages", "dist-packages"))
    return None if installed or directory.startswith(_STANDARD_LIBRARY) else directory


_STANDARD_LIBRARY: Final = sysconfig.get_path("stdlib")


def _is_as_loaded(namespace: dict[str, Any]) -> bool:
    """Whether the file of a module is older than the process: what it says is what runs."""
    file = namespace.get("__file__")
    try:
        return type(file) is str and os.stat(file).st_mtime < LOADED_AT
    except OSError:
        return False
