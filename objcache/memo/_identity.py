"""Which function in which version: what the results of two functions are told apart by.

Knows: names and code. Must not know: arguments, stores.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from objcache.errors import UnkeyableArgumentError
from objcache.hashing import digest, module_of
from objcache.memo._results import Identity, fingerprint
from objcache.memo._settings import Settings

__all__ = ["identity_of", "name_of", "short_name_of"]


def short_name_of(function: Callable[..., Any]) -> str:
    """Return the qualified name of *function*; of what it calls, where it has none."""
    return str(_named(function).__qualname__)


def name_of(function: Callable[..., Any]) -> str:
    """Return module and qualified name of *function*.

    A function of a script is of the module that the script is when it is imported.
    """
    named = _named(function)
    return f"{module_of(named) or ''}.{named.__qualname__}"


def _named(function: Any) -> Any:
    while not hasattr(function, "__qualname__") and hasattr(function, "func"):
        function = function.func  # functools.partial
    return function if hasattr(function, "__qualname__") else type(function)


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
    # Loaded at the first call: it parses and disassembles.
    from objcache.hashing.code import components  # noqa: PLC0415

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
    if settings.key is not None:
        found["code of key="] = _digest_of_key(settings.key)
    ignored = [name for name in settings.ignore if name not in ignore]
    if ignored:
        # The same function with other parameters left out has other keys.
        found["ignore="] = digest(sorted(ignored))[:16]
    parts = {"name": name, "version": settings.version, "components": found}
    return Identity(name, fingerprint(parts), found, tuple(name for name, _ in settings.since))


def _digest_of_key(key: Callable[..., Any]) -> bytes:
    try:
        return digest(key)[:16]
    except UnkeyableArgumentError:
        return digest(name_of(key))[:16]


def _called(instance: Any) -> Any:
    for base in type(instance).__mro__:
        if "__call__" in vars(base):
            return vars(base)["__call__"]
    return None
