"""From the arguments of a call to its key, compiled once for each function.

Knows: signatures, and which parameters count. Must not know: where results are.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from marshal import dumps
from typing import Any, Final

from objcache.errors import UnkeyableArgumentError
from objcache.hashing import canonical, digest
from objcache.memo._inputs import Input
from objcache.memo._known_keys import KnownKeys

__all__ = ["Binding", "compile_binder"]

Binder = Callable[..., tuple[Any, ...]]
"""Called like the function; returns the value of each parameter, defaults filled in."""
Former = Callable[..., bytes | None]
"""Called like the function; returns the canonical form of these values, or None."""

# The form of a tuple of these is one call of marshal; objcache.hashing is the oracle.
_PLAIN: Final = frozenset({type(None), bool, int, str})


class Binding:
    """How the calls of one function become keys.

    Args:
        function: whose signature counts.
        name: what it is called in messages.
        ignore: names of parameters that do not count.
        since: parameters that were added later, with the values that stand for their absence.
        key: called like the function; what it returns stands for the arguments.
        reads: inputs beside the arguments.

    Attributes:
        bind: from the arguments of a call to the values that count.
        form: from the arguments of a call to the canonical form of these values, where all of
            them are plain and nothing else is part of the key; else None.
        names: what these are called.

    Raises:
        ValueError: a parameter that there is not.
    """

    __slots__ = ("_direct", "_known", "_name", "_since", "bind", "form", "names", "reads")

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        *,
        ignore: Collection[str] = (),
        since: Mapping[str, object] | None = None,
        key: Callable[..., Any] | None = None,
        reads: tuple[Input, ...] = (),
    ) -> None:
        self._name = name
        self._known = KnownKeys()
        self.reads = reads
        self._direct = not since and not reads
        if key is None:
            self.bind, form, self.names = compile_binder(function, ignore)
        else:
            self.bind, form, self.names = _keyed(key), _no_form, ("key",)
        self.form = form if self._direct else _no_form
        since = dict(since or {})
        for parameter in since:
            if parameter not in self.names:
                raise ValueError(
                    f"since={{{parameter!r}: ...}} is no parameter of {name} that counts; "
                    f"it has {', '.join(self.names)}"
                )
        self._since = {
            self.names.index(parameter): canonical(value) for parameter, value in since.items()
        }

    def tail(self, bound: tuple[Any, ...]) -> bytes:
        """Return the key of the values *bound*, and of what is read beside them.

        Raises:
            UnkeyableArgumentError: naming the argument, and the part of it, without a stable value.
        """
        try:
            return self._known.key(bound if self._direct else self._counted(bound))
        except UnkeyableArgumentError:
            self._name_culprit(bound)
            raise

    def whole(self, bound: tuple[Any, ...]) -> bytes:
        """Return the whole canonical form that `tail` may have shortened."""
        return canonical(bound if self._direct else self._counted(bound))

    def _counted(self, bound: tuple[Any, ...]) -> tuple[Any, ...]:
        # A parameter that was added later, and has the value that stands for its absence, leaves
        # the key as it was before; another value is told apart by its name.
        kept, added = [], {}
        for number, value in enumerate(bound):
            absent = self._since.get(number)
            if absent is None:
                kept.append(value)
            elif absent != canonical(value):
                added[self.names[number]] = value
        if added:
            kept.append(("since", added))
        return (tuple(kept), *self.reads) if self.reads else tuple(kept)

    def _name_culprit(self, bound: tuple[Any, ...]) -> None:
        for name, value in zip(self.names, bound, strict=True):
            try:
                digest(value, path=name)
            except UnkeyableArgumentError as error:
                path = f"{self._name}({name}=...): {error.path}"
                raise UnkeyableArgumentError(path, error.type_name, error.reason) from None


def _keyed(key: Callable[..., Any]) -> Binder:
    def bind(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
        return (key(*args, **kwargs),)

    return bind


def _no_form(*_: Any, **__: Any) -> None:
    return None


def compile_binder(
    function: Callable[..., Any], ignore: Collection[str] = ()
) -> tuple[Binder, Former, tuple[str, ...]]:
    """Return functions that bind arguments like *function*, and the parameters' names.

    The first returns the values; the second their canonical form where all of them are plain
    scalars, which is one call of marshal, and None where they are not.

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
        name = text = parameter.name
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
    returned = f"({''.join(f'{name}, ' for name in results)})"
    are_plain = " and ".join(f"_objcache_type({name}) in _objcache_plain" for name in results)
    form = f"_objcache_dumps({returned}, 2) if {are_plain or 'True'} else None"
    scope.update(_objcache_type=type, _objcache_plain=_PLAIN, _objcache_dumps=dumps)
    head = f"lambda {', '.join(parameters)}: "
    binder, former = eval(f"({head}{returned}, {head}{form})", scope)  # noqa: S307  # identifiers
    binder.__qualname__ = getattr(function, "__qualname__", "<lambda>")  # in messages
    return binder, former, tuple(results)


def _signature(function: Callable[..., Any], ignore: Collection[str]) -> inspect.Signature:
    signature = inspect.signature(function)
    for name in ignore:
        if name not in signature.parameters:
            raise ValueError(
                f"ignore={name!r} is no parameter of "
                f"{getattr(function, '__qualname__', 'the function')}{signature}"
            )
    return signature
