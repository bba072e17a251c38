"""The memoizing decorator.

Knows: bound arguments, their hash, and a store. Must not know: records.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple, ParamSpec, Protocol, TypeVar, cast, overload

from objcache.errors import ObjcacheError, UnkeyableArgumentError
from objcache.hashing import digest
from objcache.memo._arguments import compile_binder
from objcache.memo._default import default_store
from objcache.protocols import MISSING
from objcache.store import Namespace, Store

__all__ = ["CacheInfo", "MemoizedFunction", "StoreMemoize", "memoize"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

NAMESPACE: Final = "objcache.memoize"


class CacheInfo(NamedTuple):
    """How a memoized function has done.

    Attributes:
        hits: calls answered from the store, in this process.
        misses: calls that ran the function, in this process.
        entries: results in the store, of all processes and versions of the function.
    """

    hits: int
    misses: int
    entries: int


class MemoizedFunction(Protocol[P, R_co]):
    """A function whose results are kept; called like the plain one."""

    @property
    def __wrapped__(self) -> Callable[P, R_co]:
        """The plain function."""
        ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Return the stored result, or run the function and store it."""
        ...

    def cache_info(self) -> CacheInfo:
        """Return hits and misses of this process, and the number of stored results."""
        ...

    def cache_clear(self) -> None:
        """Remove all stored results of this function, and count from zero again."""
        ...


@overload
def memoize(function: Callable[P, R], /) -> MemoizedFunction[P, R]: ...
@overload
def memoize(
    function: None = None,
    /,
    *,
    store: Store[Any, Any] | None = None,
    ignore: Collection[str] = (),
    key: Callable[..., Any] | None = None,
) -> Callable[[Callable[P, R]], MemoizedFunction[P, R]]: ...
def memoize(
    function: Any = None,
    /,
    *,
    store: Store[Any, Any] | None = None,
    ignore: Collection[str] = (),
    key: Callable[..., Any] | None = None,
) -> Any:
    """Keep the results of *function* on disk: they survive the process and are shared by all.

    The key of a result is the function (module, name and code: an edited function starts
    anew) and the value of its arguments as the signature binds them: `f(1)`, `f(x=1)` and a
    default left out or given are one key; `1`, `1.0` and `True` are three.

    A result that cannot be stored or read back never breaks the function: it is computed,
    and one warning goes to the logger `objcache`.

    Args:
        function: a plain function; its result must depend on its arguments only.
        store: where to keep results; by default the store of the user
            (`$OBJCACHE_DIR`, else below the platform's cache directory).
        ignore: names of parameters that do not count, however they are passed.
        key: called like the function; what it returns is the key instead of the arguments.

    Raises:
        UnkeyableArgumentError: at a call, naming the argument that has no stable value.
        TypeError: *function* is a coroutine or generator function, whose result is used up.

    Cost:
        A hit: one hash of the arguments, one read.

    Concurrency:
        Any thread, any process. Two that miss at the same moment both compute.

    >>> @objcache.memoize
    ... def slow_square(x: int) -> int:
    ...     print("computing")
    ...     return x * x
    >>> slow_square(12)
    computing
    144
    >>> slow_square(x=12)
    144
    """
    if function is None:
        return functools.partial(_memoized, store=store, ignore=ignore, key=key)
    return _memoized(function, store, ignore, key)


class StoreMemoize:
    """`memoize` with its store chosen: what `store.memoize` is."""

    __slots__ = ("_store",)

    def __init__(self, store: Store[Any, Any]) -> None:
        self._store = store

    @overload
    def __call__(self, function: Callable[P, R], /) -> MemoizedFunction[P, R]: ...
    @overload
    def __call__(
        self,
        function: None = None,
        /,
        *,
        ignore: Collection[str] = (),
        key: Callable[..., Any] | None = None,
    ) -> Callable[[Callable[P, R]], MemoizedFunction[P, R]]: ...
    def __call__(
        self,
        function: Any = None,
        /,
        *,
        ignore: Collection[str] = (),
        key: Callable[..., Any] | None = None,
    ) -> Any:
        """Keep the results of *function* in the store; see `memoize`."""
        if function is None:
            return functools.partial(_memoized, store=self._store, ignore=ignore, key=key)
        return _memoized(function, self._store, ignore, key)


def _memoized(
    function: Callable[P, R],
    store: Store[Any, Any] | None,
    ignore: Collection[str],
    key: Callable[..., Any] | None,
) -> MemoizedFunction[P, R]:
    _check_plain(function)
    bind, names = compile_binder(function, ignore)
    if key is not None:
        bind, names = key, ()
    results = _Results(function, store)
    lock = threading.Lock()
    hits = misses = 0

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        nonlocal hits, misses
        try:
            bound = bind(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # raises what the plain function raises
        namespace, identity = results.opened or results.open()
        try:
            hashed = digest((identity, bound))
        except UnkeyableArgumentError:
            _raise_unkeyable(function, names, bound)
            raise
        try:
            result = namespace.get(hashed, MISSING)
        except ObjcacheError as error:
            results.warn("read", error)
            result = MISSING
        if result is not MISSING:
            with lock:
                hits += 1
            return cast("R", result)
        with lock:
            misses += 1
        result = function(*args, **kwargs)
        try:
            namespace[hashed] = result
        except ObjcacheError as error:
            results.warn("stored", error)
        return result

    def cache_info() -> CacheInfo:
        with lock:
            return CacheInfo(hits, misses, len((results.opened or results.open())[0]))

    def cache_clear() -> None:
        nonlocal hits, misses
        (results.opened or results.open())[0].clear()
        with lock:
            hits = misses = 0

    memoized = cast("Any", call)
    memoized.__objcache_wrapped__ = function  # it is hashed as the plain function
    memoized.cache_info = cache_info
    memoized.cache_clear = cache_clear
    return cast("MemoizedFunction[P, R]", memoized)


class _Results:
    """Where the results of one function are, opened when it is first called."""

    def __init__(self, function: Callable[..., Any], store: Store[Any, Any] | None) -> None:
        self._function = function
        self._store = store
        self._warned: set[tuple[str, type]] = set()
        self.opened: tuple[Namespace[bytes, Any], bytes] | None = None

    def open(self) -> tuple[Namespace[bytes, Any], bytes]:
        """Return the namespace of the results, and the digest of the function's code."""
        function = self._function
        store = self._store if self._store is not None else default_store()
        names = (function.__module__ or "", function.__qualname__)
        namespace = store.namespace(NAMESPACE).namespace(".".join(names))
        self.opened = namespace, digest(function, path=function.__qualname__)
        return self.opened

    def warn(self, what: str, error: ObjcacheError) -> None:
        """Log that a result could not be read or stored: once for each cause."""
        cause = (what, type(error))
        if cause in self._warned:
            return
        self._warned.add(cause)
        import logging  # noqa: PLC0415  # not needed by those whose stores are well

        logging.getLogger("objcache").warning(
            "a result of %s could not be %s and is computed each time: %s",
            self._function.__qualname__,
            what,
            error,
        )


def _check_plain(function: Any) -> None:
    if not callable(function):
        raise TypeError(f"memoize takes a function, not {type(function).__name__}")
    for test, kind in (
        (inspect.iscoroutinefunction, "a coroutine function"),
        (inspect.isasyncgenfunction, "an asynchronous generator function"),
        (inspect.isgeneratorfunction, "a generator function"),
    ):
        if test(function):
            raise TypeError(
                f"{function.__qualname__} is {kind}: its result is used up by the first caller "
                "and cannot be kept; memoize a plain function that returns the finished value"
            )


def _raise_unkeyable(
    function: Callable[..., Any], names: tuple[str, ...], bound: tuple[Any, ...]
) -> None:
    if not names:
        return  # the value of key= is to blame, not an argument
    for name, value in zip(names, bound, strict=True):
        try:
            digest(value, path=name)
        except UnkeyableArgumentError as error:
            path = f"{function.__qualname__}({name}=...): {error.path}"
            raise UnkeyableArgumentError(path, error.type_name, error.reason) from None
