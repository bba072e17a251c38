"""The memoizing decorator.

Knows: which kind of function needs which memory. Must not know: how calls are answered.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    ParamSpec,
    Protocol,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from objcache.memo._arguments import Binding
from objcache.memo._controls import Controls, PlainControls, StreamControls
from objcache.memo._default import default_store
from objcache.memo._identity import identity_of, short_name_of
from objcache.memo._plain import hot_call, plain_call
from objcache.memo._recall import Recall
from objcache.memo._results import Place, Results
from objcache.memo._settings import Options, Settings
from objcache.memo._streams import stream_call
from objcache.memo._types import AsyncMemoizedFunction, MemoizedFunction

if TYPE_CHECKING:
    from objcache.cache import Cache

__all__ = ["Decorator", "StoreMemoize", "memoize"]

P = ParamSpec("P")
R = TypeVar("R")


class Decorator(Protocol):
    """Takes a function and returns the memoized one."""

    @overload
    def __call__(  # type: ignore[overload-overlap]  # the first that fits counts
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncMemoizedFunction[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> MemoizedFunction[P, R]: ...


@overload
def memoize(  # type: ignore[overload-overlap]  # the first that fits counts
    function: Callable[P, Coroutine[Any, Any, R]], /
) -> AsyncMemoizedFunction[P, R]: ...
@overload
def memoize(function: Callable[P, R], /) -> MemoizedFunction[P, R]: ...
@overload
def memoize(
    function: None = None,
    /,
    *,
    store: Place | Cache[Any, Any] | None = None,
    **options: Unpack[Options],
) -> Decorator: ...
def memoize(
    function: Any = None,
    /,
    *,
    store: Place | Cache[Any, Any] | None = None,
    **options: Unpack[Options],
) -> Any:
    """Keep the results of *function* on disk: they survive the process and are shared by all.

    The key of a result is the function (module, name, and the code of all of its project that
    it uses) and the value of its arguments as the signature binds them: `f(1)`, `f(x=1)` and a
    default left out or given are one key; `1`, `1.0` and `True` are three. An edit begins a new
    version; undoing it finds the old results again.

    Threads, tasks and processes that ask for one result at the same time wait for one of them
    to compute it. A result that cannot be stored or read back never breaks the function: it is
    computed, and one warning for each cause goes to the logger `objcache`.

    Args:
        function: a plain, coroutine, generator or asynchronous generator function, a method, or
            anything else that is called and has a signature.
        store: where to keep results: a store, a namespace of one, or a cache, which bounds them;
            by default the store of the user (`$OBJCACHE_DIR`, else below the platform's cache
            directory).
        ignore: names of parameters, or of variables of the closure, that do not count.
        key: called like the function; what it returns is the key instead of the arguments.
        version: part of the version of the function, beside its code.
        track: whose edits begin a new version: `"code"`, of all that the function uses of its
            project; `"self"`, of the function alone; None, nobody's.
        since: parameters that were added later, each with the value that stands for its absence:
            calls with it keep the results from before.
        reads: `File`, `Env` and `Package` inputs that results depend on, too.
        expire: for how long a result is good, in seconds or as a timedelta; None for ever. Left
            out it is what a cache says, and for ever in a store.
        stale: for how much longer it is served while it is computed anew in the background.
        early: how eagerly a result is computed anew before it is over: the beta of XFetch, 1.0
            is optimal, 0 never.
        tag: one or several names for `cache_clear(tag)`, and for `evict` of a cache.
        cache_if: called with a new result; whether to store it.
        cache_exceptions: exceptions of these types are stored, and raised again.
        validate: called with the `Entry` of each hit; whether to serve it.
        hot: how many decoded results this process keeps in memory; one is served only while
            the store says that it is current.
        copy: whether each caller gets a copy of its own. False: large arrays of results are
            read-only, mapped and not copied, from the first call on, as of `Store.view`; and
            all callers share what is hot.
        single_flight: whether others wait for a computation that is running.
        timeout: how long they wait, in seconds or as a timedelta; None for ever.
        on_timeout: `"raise"` a `ComputationTimeoutError` then, or `"compute"` as well.
        strict: raise what would be logged.
        strict_args: store the whole encoded arguments and compare them on each hit.
        audit: this share of the hits is computed again, and a differing result reported.

    Raises:
        UnkeyableArgumentError: at a call, naming the argument that has no stable value.
        TypeError, ValueError: an option that there is not, or that makes no sense.

    Cost:
        A hit: one hash of the arguments, one read. A miss: a lock, two reads, one transaction.

    Concurrency:
        Any thread, any process, before and after a fork.

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
    if store is None:
        return _decorated(function, default_store, options)
    return _placed(function, store, options)


class StoreMemoize:
    """`memoize` with its store chosen: what `store.memoize` is."""

    __slots__ = ("_place",)

    def __init__(self, place: Place) -> None:
        self._place = place

    @overload
    def __call__(  # type: ignore[overload-overlap]  # the first that fits counts
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncMemoizedFunction[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> MemoizedFunction[P, R]: ...
    @overload
    def __call__(self, function: None = None, /, **options: Unpack[Options]) -> Decorator: ...
    def __call__(self, function: Any = None, /, **options: Unpack[Options]) -> Any:
        """Keep the results of *function* here; see `memoize`."""
        return _placed(function, self._place, options)


def _placed(function: Any, store: Any, options: Options) -> Any:
    place = getattr(store, "place", store)  # that of a cache
    if not hasattr(place, "namespace") or not hasattr(place, "atomic"):
        raise TypeError(
            f"store= is a Store, a namespace of one, or a Cache, not {type(place).__name__}"
        )
    if hasattr(place, "tracker"):
        return _decorated(function, place.present, place.options(options))
    return _decorated(function, lambda: place, options)


def _decorated(function: Any, choose: Callable[[], Place], options: Options) -> Any:
    settings = Settings.of(options)
    if function is None:
        return cast("Decorator", functools.partial(_memoized, choose=choose, settings=settings))
    return _memoized(function, choose, settings)


def _memoized(function: Any, choose: Callable[[], Place], settings: Settings) -> Any:
    again = functools.partial(_memoized, choose=choose, settings=settings)
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(again(function.__func__))
    if isinstance(function, property):
        return function.getter(again(function.fget))
    if isinstance(function, functools.cached_property):
        return functools.cached_property(again(function.func))
    if not callable(function):
        raise TypeError(f"memoize takes a function, not {type(function).__name__}")
    kind = _kind_of(function)
    if kind.refused:
        _refuse(function, settings, kind)
    recall = _recall_of(function, choose, settings)
    call = hot_call if kind is _PLAIN and recall.hot is not None else kind.call
    memoized: Any = call(recall)
    memoized.__objcache_wrapped__ = function  # it is hashed as the plain function
    memoized.__objcache_recall__ = recall
    kind.controls(recall).attach(memoized)
    return memoized


def _recall_of(
    function: Callable[..., Any], choose: Callable[[], Place], settings: Settings
) -> Recall:
    name = short_name_of(function)
    plain = getattr(function, "__objcache_wrapped__", function)
    variables = frozenset(getattr(getattr(plain, "__code__", None), "co_freevars", ()))
    outside = variables.intersection(settings.ignore)
    binding = Binding(
        function,
        name,
        ignore=[given for given in settings.ignore if given not in outside],
        since=dict(settings.since),
        key=settings.key,
        reads=settings.reads,
    )
    results = Results(
        choose, lambda: identity_of(function, settings, outside), views=not settings.copy
    )
    return Recall(function, name, settings, binding, results)


class _Kind:
    """One kind of function.

    Attributes:
        name: in messages.
        call: makes the memoized function.
        controls: what is attached to it.
        refused: options that make no sense for it.
    """

    def __init__(
        self,
        name: str,
        call: Callable[[Recall], Callable[..., Any]],
        controls: type[Controls],
        refused: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.call = call
        self.controls = controls
        self.refused = refused


# A generator has no result to look at, and runs as fast as the one who consumes it.
_OF_RESULTS: Final = ("cache_if", "cache_exceptions", "audit", "hot", "copy", "timeout")
_PLAIN: Final = _Kind("a plain function", plain_call, PlainControls)
_STREAM: Final = _Kind("a generator function", stream_call, StreamControls, _OF_RESULTS)


def _task_kind() -> _Kind:
    # asyncio takes longer to load than all of objcache.
    from objcache.memo._async_controls import TaskControls  # noqa: PLC0415
    from objcache.memo._tasks import task_call  # noqa: PLC0415

    return _Kind("a coroutine function", task_call, TaskControls)


def _async_stream_kind() -> _Kind:
    from objcache.memo._async_controls import AsyncStreamControls  # noqa: PLC0415
    from objcache.memo._async_streams import async_stream_call  # noqa: PLC0415

    name = "an asynchronous generator function"
    return _Kind(name, async_stream_call, AsyncStreamControls, _OF_RESULTS)


_KINDS: Final[tuple[tuple[Callable[[Any], bool], Callable[[], _Kind]], ...]] = (
    (inspect.iscoroutinefunction, _task_kind),
    (inspect.isgeneratorfunction, lambda: _STREAM),
    (inspect.isasyncgenfunction, _async_stream_kind),
)


def _kind_of(function: Any) -> _Kind:
    # An object is of the kind of what calling it runs.
    called = getattr(type(function), "__call__", None)  # noqa: B004  # its function is wanted
    for is_kind, make in _KINDS:
        if is_kind(function) or (not isinstance(function, type) and is_kind(called)):
            return make()
    return _PLAIN


def _refuse(function: Any, settings: Settings, kind: _Kind) -> None:
    for option in kind.refused:
        if getattr(settings, option) != getattr(_DEFAULTS, option):
            raise ValueError(
                f"{short_name_of(function)} is {kind.name}, whose items are kept as they are "
                f"produced: {option}= makes no sense for it"
            )


_DEFAULTS: Final = Settings()
