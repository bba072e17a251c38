"""Binding the arguments of a call to a signature, compiled once for each function.

Knows: signatures. Must not know: what the arguments are for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Any

__all__ = ["Binder", "compile_binder"]

Binder = Callable[..., tuple[Any, ...]]
"""Called like the function; returns the value of each parameter, defaults filled in."""


def compile_binder(
    function: Callable[..., Any], ignore: Collection[str] = ()
) -> tuple[Binder, tuple[str, ...]]:
    """Return a function that binds arguments like *function*, and the parameters' names.

    Args:
        function: whose signature counts.
        ignore: names of parameters that are bound and left out of the result.

    `f(1)`, `f(x=1)` and `f(1, scale=1.0)` give the same tuple where `scale=1.0` is the
    default. `inspect.Signature.bind` does the same in ten times the time of a memo hit's other parts;
    compiling a function with the same parameters leaves the work to the interpreter.

    Raises:
        ValueError: the function has no signature (some builtins), or no parameter of a name
            in *ignore*.
    """
    signature = _signature(function, ignore)
    scope: dict[str, Any] = {}
    parameters, results = [], []
    kinds = inspect.Parameter
    positional_only = keyword_only = False
    for number, parameter in enumerate(signature.parameters.values()):
        name = parameter.name
        text = name
        if positional_only and parameter.kind is not kinds.POSITIONAL_ONLY:
            parameters.append("/")
            positional_only = False
        if parameter.kind is kinds.POSITIONAL_ONLY:
            positional_only = True
        elif parameter.kind is kinds.VAR_POSITIONAL:
            text, keyword_only = f"*{name}", True
        elif parameter.kind is kinds.KEYWORD_ONLY and not keyword_only:
            parameters.append("*")
            keyword_only = True
        elif parameter.kind is kinds.VAR_KEYWORD:
            text = f"**{name}"
        if parameter.default is not kinds.empty:
            default = f"_objcache_default_{number}"
            scope[default] = parameter.default
            text = f"{text}={default}"
        parameters.append(text)
        if name not in ignore:
            results.append(name)
    if positional_only:
        parameters.append("/")
    returned = "".join(f"{name}, " for name in results)
    source = f"lambda {', '.join(parameters)}: ({returned})"
    binder: Binder = eval(source, scope)  # noqa: S307  # made of identifiers only
    return binder, tuple(results)


def _signature(function: Callable[..., Any], ignore: Collection[str]) -> inspect.Signature:
    signature = inspect.signature(function)
    if isinstance(ignore, str):
        raise TypeError(f"ignore= is a list of names, not the one str {ignore!r}")
    for name in ignore:
        if name not in signature.parameters:
            raise ValueError(
                f"ignore={name!r} is no parameter of {function.__qualname__}{signature}"
            )
    return signature
