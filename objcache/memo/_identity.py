"""Which function in which version: what the results of two functions are told apart by.

Knows: names and code. Must not know: arguments, stores.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from objcache.hashing import digest
from objcache.hashing.code import components
from objcache.memo._results import Identity, fingerprint
from objcache.memo._settings import Settings

__all__ = ["identity_of", "name_of", "short_name_of"]

_SCRIPTS = frozenset({"__main__", "__mp_main__"})


def short_name_of(function: Callable[..., Any]) -> str:
    """Return the qualified name of *function*; of what it calls, where it has none."""
    return str(_named(function).__qualname__)


def name_of(function: Callable[..., Any]) -> str:
    """Return module and qualified name of *function*.

    A function of a script is of the module that the script is when it is imported.
    """
    named = _named(function)
    module = named.__module__ or ""
    return f"{_script() if module in _SCRIPTS else module}.{named.__qualname__}"


def _named(function: Any) -> Any:
    while not hasattr(function, "__qualname__") and hasattr(function, "func"):
        function = function.func  # functools.partial
    return function if hasattr(function, "__qualname__") else type(function)


def _script() -> str:
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # python -m
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return "__main__" if file is None else os.path.splitext(os.path.basename(file))[0]


def identity_of(
    function: Callable[..., Any], settings: Settings, ignore: Collection[str]
) -> Identity:
    """Return the identity of *function*.

    Args:
        function: plain, a method, a partial, or anything else that is called.
        settings: of the memoized function.
        ignore: variables of its closure that do not count.

    Raises:
        UnkeyableArgumentError: its closure, a default, or what it is called on has no stable value.

    Cost: reads the source of the function and of those that it calls, once.
    """
    name = name_of(function)
    found: dict[str, bytes] = {}
    inner: Any = getattr(function, "__objcache_wrapped__", function)
    while isinstance(inner, (MethodType, partial)):
        if isinstance(inner, MethodType):
            found["self"] = digest(inner.__self__, path=f"{name}: self")[:16]
            inner = inner.__func__
        else:
            given = (inner.args, dict(inner.keywords))
            found["arguments of the partial"] = digest(given, path=f"{name}: partial")[:16]
            inner = inner.func
    if isinstance(inner, FunctionType):
        found.update(components(inner, track=settings.track, ignore=ignore))
    else:
        found["function"] = digest(inner, path=name)[:16]
        called = [vars(inner).get("__init__")] if isinstance(inner, type) else [_called(inner)]
        for code in called:
            if isinstance(code, FunctionType) and settings.track is not None:
                found.update(components(code, track=settings.track))
    parts = {"name": name, "version": settings.version, "components": found}
    return Identity(name, fingerprint(parts), found, tuple(name for name, _ in settings.since))


def _called(instance: Any) -> Any:
    for base in type(instance).__mro__:
        if "__call__" in vars(base):
            return vars(base)["__call__"]
    return None
