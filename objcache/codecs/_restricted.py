"""Unpickling with an allow-list of classes, and with names that have moved.

Knows: what a pickle may name. Must not know: records; whoever calls has authenticated them.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

from objcache.errors import UntrustedTypeError

__all__ = ["ALWAYS_TRUSTED", "NUMPY_TRUSTED", "loads_restricted", "trust_names"]

# Types of plain data whose construction runs no code of the value's choosing: no callable is
# called, no name resolved, no file opened. Nothing that calls its argument is ever here
# (functools.partial, operator.*, getattr, map ...); defaultdict calls its factory on a later
# miss, but the factory is a name that must itself be listed.
ALWAYS_TRUSTED: Final = frozenset(
    {
        *("builtins.complex", "builtins.range", "builtins.slice", "builtins.set"),
        *("builtins.frozenset", "builtins.bytearray", "builtins.int", "builtins.float"),
        *("builtins.str", "builtins.bytes", "builtins.bool", "builtins.list", "builtins.tuple"),
        *("builtins.dict", "builtins.object", "copyreg._reconstructor"),
        *("datetime.date", "datetime.time", "datetime.datetime", "datetime.timedelta"),
        *("datetime.timezone", "decimal.Decimal", "fractions.Fraction", "uuid.UUID"),
        *("collections.OrderedDict", "collections.deque", "collections.Counter"),
        *("collections.defaultdict", "pathlib.PurePosixPath", "pathlib.PureWindowsPath"),
        *("pathlib.PosixPath", "pathlib.WindowsPath", "pathlib._local.PosixPath"),
        *("pathlib._local.PurePosixPath", "ipaddress.IPv4Address", "ipaddress.IPv6Address"),
        *("ipaddress.IPv4Network", "ipaddress.IPv6Network"),
    }
)

NUMPY_TRUSTED: Final = frozenset(
    {
        *("numpy.ndarray", "numpy.dtype"),
        *("numpy._core.multiarray._reconstruct", "numpy._core.multiarray.scalar"),
        *("numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar"),
        *("numpy._core.numeric._frombuffer", "numpy.core.numeric._frombuffer"),
    }
)
"""Names that pickles of numpy arrays and scalars need; add them to `trust=` where wanted."""


def trust_names(names: Iterable[str | type]) -> frozenset[str]:
    """Return the exact dotted names of the classes that `trust=` lists.

    Raises:
        ValueError: a module or a pattern, which would let in whatever the module imports.
        TypeError: neither a class nor its name.
    """
    if isinstance(names, str):
        raise TypeError(f"trust= is a list of classes or names, not the one str {names!r}")
    exact = set()
    for name in names:
        if isinstance(name, type):
            exact.add(f"{name.__module__}.{name.__qualname__}")
        elif not isinstance(name, str):
            raise TypeError(f"trust= lists classes or their names, not {name!r}")
        elif "*" in name or "." not in name or name in sys.modules:
            raise ValueError(
                f"trust= lists exact class names such as 'package.module.Class', not {name!r}"
            )
        else:
            exact.add(name)
    return frozenset(exact) | ALWAYS_TRUSTED


class _Unpickler(pickle.Unpickler):
    """Resolves only what is listed, under its new name where it has moved."""

    def __init__(
        self,
        stream: Any,
        buffers: Iterable[Any],
        trust: frozenset[str] | None,
        renames: Mapping[str, str],
    ) -> None:
        super().__init__(stream, buffers=buffers)
        self._trust = trust
        self._renames = renames

    def find_class(self, module: str, name: str) -> Any:
        """Return the object that *module* calls *name*, if it may be used."""
        module, name = self._renamed(module, name)
        if self._trust is None:
            return super().find_class(module, name)
        if f"{module}.{name}" not in self._trust:
            raise UntrustedTypeError(module, name, "it was not looked up")
        found = super().find_class(module, name)
        # A dotted name walks attributes: what is at its end must be what the name says, not
        # something that a listed class or module happens to hold.
        real = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
        if "." in name and real not in self._trust:
            raise UntrustedTypeError(module, name, f"it is really {real}")
        return found

    def persistent_load(self, pid: Any) -> Any:
        """Refuse persistent ids: nothing here writes them."""
        raise pickle.UnpicklingError(f"the pickle names a persistent id {pid!r}")

    def _renamed(self, module: str, name: str) -> tuple[str, str]:
        new = self._renames.get(f"{module}.{name}")
        if new is not None:
            # Nested classes keep their own dots: what is a module is found by loading it.
            new_module, _, new_name = new.rpartition(".")
            while "." in new_module and not _is_module(new_module):
                new_module, _, outer = new_module.rpartition(".")
                new_name = f"{outer}.{new_name}"
            return new_module, new_name
        return self._renames.get(module, module), name


def _is_module(name: str) -> bool:
    from importlib.util import find_spec  # noqa: PLC0415  # only for classes that have moved

    try:
        return name in sys.modules or find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def loads_restricted(
    payload: bytes | memoryview,
    buffers: Iterable[Any],
    *,
    trust: frozenset[str] | None,
    renames: Mapping[str, str],
) -> Any:
    """Unpickle *payload*, whose record the caller has authenticated.

    Args:
        payload: the pickle.
        buffers: its out-of-band buffers.
        trust: what `trust_names` returned; None allows every class.
        renames: old to new dotted names of classes or modules.

    Raises:
        UntrustedTypeError: the pickle names something outside the list; it was not resolved.
    """
    import io  # noqa: PLC0415  # loaded by the interpreter; the name is needed only here

    return _Unpickler(io.BytesIO(payload), buffers, trust, renames).load()
