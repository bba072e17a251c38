"""What the result of a function depends on beside its arguments, part by part.

Knows: which functions, classes and globals a function uses, and which of them are of its project.
Must not know: arguments, results, stores.

docs/design/hashing.md, "Code", is normative.
"""

from __future__ import annotations

import types
from collections.abc import Collection
from typing import Any

from objcache.errors import UnkeyableArgumentError
from objcache.hashing._callables import closure_of, defaults_of, identity, is_code
from objcache.hashing._canonical import walk
from objcache.hashing._names import names_of
from objcache.hashing._reached import Reached, form_of, short_digest

__all__ = ["components", "variables_of"]


def components(
    function: types.FunctionType,
    *,
    track: str | None = "code",
    ignore: Collection[str] = (),
    variables: bool = True,
) -> dict[str, bytes]:
    """Return the digests of what *function* depends on beside its arguments, by what it is called.

    Args:
        function: a plain function.
        track: `"code"`: its own code, and whatever of its project it uses, and whatever that
            uses; `"self"`: its own code; None: nothing of the code, unless it is a lambda, which
            has no other name.
        ignore: variables of the closure that do not count.
        variables: whether defaults and the closure count.

    Raises:
        UnkeyableArgumentError: a variable of the closure has no stable value.

    Cost: reads and parses the source files, once for each file and process.
    """
    with walk.apart():
        return _components(function, track, ignore, variables=variables)


def variables_of(function: types.FunctionType) -> dict[str, Any]:
    """Return the values of the closure of *function* that it does not change itself."""
    names = names_of(function)
    return {name: value for name, value in closure_of(function) if not names.is_state(name, value)}


def _components(
    function: types.FunctionType, track: str | None, ignore: Collection[str], *, variables: bool
) -> dict[str, bytes]:
    reached = Reached(function)
    if track == "code":
        reached.follow(function)
    elif track == "self" or function.__name__ == "<lambda>":
        reached.found[f"code of `{function.__qualname__}`"] = short_digest(form_of(function))
    if variables:
        if track is not None:
            _add_defaults(reached, function)
        _add_closure(reached, function, ignore, followed=track == "code")
    reached.run()
    return reached.found


def _add_defaults(reached: Reached, function: types.FunctionType) -> None:
    for name, value in defaults_of(function):
        try:
            reached.found[f"default of `{name}`"] = short_digest(value)
        except UnkeyableArgumentError:
            continue  # told at a call that uses it, unless the parameter is ignored


def _add_closure(
    reached: Reached, function: types.FunctionType, ignore: Collection[str], *, followed: bool
) -> None:
    attributes = names_of(function).attributes
    for name, value in variables_of(function).items():
        if name in ignore:
            continue
        label = f"closure variable `{name}`"
        if followed and is_code(value):
            reached.found[label] = short_digest(identity(value))
            reached.reach(label, value, attributes)
            continue
        path = f"{function.__qualname__}: closure variable {name}"
        reached.found[label] = short_digest(value, path=path)
        if followed:
            reached.dive(value, deep=True)
