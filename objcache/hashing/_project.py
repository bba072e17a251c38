"""Which modules are of the same project as a function.

Knows: modules and where they lie. Must not know: what is made of their code.
"""

from __future__ import annotations

import enum
import importlib
import importlib.util
import os
import sys
import sysconfig
import types
from typing import Any, Final, NamedTuple

from objcache.clock import LOADED_AT
from objcache.hashing._assignments import Uses, full_name, uses_of
from objcache.hashing._source import binding

__all__ = ["Making", "Project", "is_as_loaded", "is_constant"]

_MOST_HOPS: Final = 10
_SCRIPTS: Final = frozenset({"__main__", "__mp_main__"})
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
    if kind in _CONSTANTS or issubclass(kind, enum.Enum):
        return True
    if kind in {tuple, frozenset}:
        return all(map(is_constant, value))
    return f"{kind.__module__}.{kind.__qualname__}" in _NAMED_CONSTANTS


class Making(NamedTuple):
    """How a variable of a module or class comes to its value."""

    form: bytes
    """The normalised statements that make it."""
    known: bool
    """Whether these are known; else the form says which edition of the file hides them."""
    namespace: dict[str, Any]
    """Of the module in which they stand."""
    uses: Uses
    """What they refer to there."""


class Project:
    """The modules of one project: of one top-level package, or the script and what lies beside it.

    Args:
        root: a function of the project.
    """

    def __init__(self, root: types.FunctionType) -> None:
        module = root.__module__ or ""
        loaded = sys.modules.get(module)
        namespace = root.__globals__ if loaded is None else vars(loaded)
        name = _name_of_script(namespace) if module in _SCRIPTS else module
        self._tops = {name.partition(".")[0], *_SCRIPTS}
        self._directory = _directory_of(namespace, name)
        # A notebook, or `python -c`, lies nowhere: what is not installed is of its project.
        self._anywhere = module in _SCRIPTS and "__file__" not in namespace
        self._known: dict[str, bool] = {}

    def has(self, module: Any) -> bool:
        """Whether *module* is of the project."""
        if type(module) is not str:
            return False
        top = module.partition(".")[0]
        if top not in self._known:
            self._known[top] = top in self._tops or self._is_beside(top)
        return self._known[top]

    def _is_beside(self, top: str) -> bool:
        if self._directory is None and not self._anywhere:
            return False
        found = sys.modules.get(top)
        directory = _directory_of(_namespace_to_be(top) if found is None else vars(found), top)
        return directory is not None and (self._anywhere or directory == self._directory)

    def module(self, name: str) -> types.ModuleType | None:
        """Return the module *name* of the project, loaded as the function would load it."""
        if not self.has(name):
            return None
        try:
            return importlib.import_module(name)
        except (Exception, SystemExit):  # noqa: BLE001  # whatever a module does when it is loaded
            return None

    def owner(self, function: types.FunctionType) -> type | None:
        """Return the class of the project that *function* is a method of."""
        found: Any = function.__globals__
        *path, _ = function.__code__.co_qualname.split(".")
        for name in path:
            found = found.get(name) if type(found) is dict else vars(found).get(name)
            if not issubclass(type(found), type):
                return None
        return found if issubclass(type(found), type) and self.has(found.__module__) else None

    def making(
        self, namespace: dict[str, Any], name: str, owner: type | None = None
    ) -> Making | None:
        """Return how a variable comes to its value; None if that is not known.

        Args:
            namespace: of its module.
            name: of the variable.
            owner: the class whose attribute it is, if it is none of the module.
        """
        for _ in range(_MOST_HOPS):
            if not self.has(namespace.get("__name__")):
                return None
            if not is_as_loaded(namespace):
                return _hidden(namespace)
            found = binding(namespace, name, owner)
            if found is None:
                return None
            if found.form is not None:
                return Making(found.form, True, namespace, found.uses)
            source = _source_of(namespace, name, found.imports)
            if source is None:
                return None
            (namespace, name), owner = source, None
        return None


def _hidden(namespace: dict[str, Any]) -> Making | None:
    """Return what there is to know of a module whose file was edited while the process runs."""
    try:
        found = os.stat(namespace["__file__"])
    except (KeyError, TypeError, OSError):
        return None
    edition = f"{found.st_mtime_ns} {found.st_size}".encode()
    return Making(edition, False, namespace, uses_of([]))


def _source_of(
    namespace: dict[str, Any], name: str, imports: list[tuple[int, str, str]]
) -> tuple[dict[str, Any], str] | None:
    """Return module and name that a variable was imported from."""
    for level, origin, there in imports:
        module = sys.modules.get(full_name(namespace, level, origin))
        source = getattr(module, "__dict__", {})
        if there in source and source[there] is namespace.get(name):
            return source, there
    return None


def _name_of_script(namespace: dict[str, Any]) -> str:
    """Return what a script is called when it is imported, as far as its package matters."""
    spec = namespace.get("__spec__")  # of `python -m`
    return "__main__" if spec is None else str(spec.name)


def _namespace_to_be(module: str) -> dict[str, Any]:
    """Return where a module would be loaded from."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return {}
    return {"__file__": spec.origin, "__path__": spec.submodule_search_locations}


def _directory_of(namespace: dict[str, Any], module: str) -> str | None:
    """Return where a top-level module lies that is not installed; None for all others."""
    top = module.partition(".")[0]
    if top != module:
        found = sys.modules.get(top)
        namespace = {} if found is None else vars(found)
    file, portions = namespace.get("__file__"), namespace.get("__path__")
    if type(file) is str and os.sep in file:
        directory = os.path.dirname(os.path.abspath(file))
        if os.path.basename(file).startswith("__init__."):
            directory = os.path.dirname(directory)
    elif portions is not None and len(portions := list(portions)) > 0:  # has no file of its own
        directory = os.path.dirname(os.path.abspath(portions[0]))
    else:
        return None
    installed = directory.endswith(("site-packages", "dist-packages"))
    return None if installed or directory.startswith(_STANDARD_LIBRARY) else directory


_STANDARD_LIBRARY: Final = sysconfig.get_path("stdlib")


def is_as_loaded(namespace: dict[str, Any]) -> bool:
    """Whether the file of a module is older than the process: what it says is what runs."""
    file = namespace.get("__file__")
    try:
        return type(file) is str and os.stat(file).st_mtime < LOADED_AT
    except OSError:
        return False
