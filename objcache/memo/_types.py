"""What type checkers know of a memoized function.

Knows: types. Must not know: anything that runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from objcache.memo._batches import Progress
from objcache.memo._controls import CacheInfo
from objcache.memo._entries import Entry
from objcache.memo._why import Explanation

__all__ = ["AsyncMemoizedFunction", "MemoizedFunction", "MemoizedMethod"]

P = ParamSpec("P")
Q = ParamSpec("Q")
S = TypeVar("S")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S_contra = TypeVar("S_contra", contravariant=True)


class _Offered(Protocol[P, R_co]):
    """What all memoized functions have; called with the arguments of the plain function."""

    @property
    def __wrapped__(self) -> Callable[P, R_co]:
        """The plain function."""
        ...

    @property
    def __name__(self) -> str:
        """The name of the plain function."""
        ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Return the stored result, or run the function and store it."""
        ...

    def bypass(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run the plain function; look nothing up, store nothing, count nothing."""
        ...

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run the function, replace what is stored, and return the new result."""
        ...

    def cache_info(self) -> CacheInfo:
        """Return hits, misses, entries, bytes and seconds saved, of all processes."""
        ...

    def cache_clear(self, tag: str | None = None) -> int:
        """Remove the results of all versions, or those with *tag*; return how many there were."""
        ...

    def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key of a call: `Entry.key` of its result."""
        ...

    def is_cached(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Whether a call would be answered without running the function; counts nothing."""
        ...

    def forget(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Remove the result of a call; return whether there was one."""
        ...

    def why(self, *args: P.args, **kwargs: P.kwargs) -> Explanation:
        """Return why a call is, or is not, answered from the store."""
        ...

    def entries(self) -> Iterator[Entry]:
        """Iterate over the stored results, of all versions; each is read when it is asked for."""
        ...

    def keep_entries(self) -> int:
        """Take the results of the version before this one for those of this one."""
        ...


class MemoizedMethod(Protocol[S_contra, P, R_co]):
    """A memoized method of an instance: called without it.

    What it offers beside takes the instance as the function does: `obj.method.forget(obj, 1)`.
    """

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Return the stored result, or run the method and store it."""
        ...

    def bypass(self, instance: S_contra, /, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run the plain method."""
        ...

    def refresh(self, instance: S_contra, /, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run the method, replace what is stored, and return the new result."""
        ...

    def cache_info(self) -> CacheInfo:
        """Return hits, misses, entries, bytes and seconds saved, of all instances."""
        ...

    def cache_clear(self, tag: str | None = None) -> int:
        """Remove the results of all instances, or those with *tag*."""
        ...

    def is_cached(self, instance: S_contra, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Whether a call would be answered without running the method; counts nothing."""
        ...

    def forget(self, instance: S_contra, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Remove the result of a call; return whether there was one."""
        ...

    def why(self, instance: S_contra, /, *args: P.args, **kwargs: P.kwargs) -> Explanation:
        """Return why a call is, or is not, answered from the store."""
        ...


class MemoizedFunction(_Offered[P, R], Protocol[P, R]):
    """A function whose results are kept; called like the plain one."""

    def put(self, result: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Store *result* as that of a call, which need not have been made."""
        ...

    def map(self, /, *iterables: Iterable[Any], progress: Progress | None = None) -> list[R]:
        """Return the results for the members of *iterables*; compute only what is missing."""
        ...

    @overload
    def __get__(self, instance: None, owner: type | None = None, /) -> MemoizedFunction[P, R]: ...
    @overload
    def __get__(
        self: MemoizedFunction[Concatenate[S, Q], R], instance: S, owner: type | None = None, /
    ) -> MemoizedMethod[S, Q, R]: ...


class AsyncMemoizedFunction(_Offered[P, Awaitable[R]], Protocol[P, R]):
    """A coroutine function whose results are kept; awaited like the plain one."""

    def put(self, result: Any, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Store *result* as that of a call, which need not have been made."""
        ...

    async def map(
        self,
        /,
        *iterables: Iterable[Any],
        progress: Progress | None = None,
        concurrency: int = 16,
    ) -> list[R]:
        """Return the results for the members of *iterables*; compute only what is missing."""
        ...

    @overload
    def __get__(
        self, instance: None, owner: type | None = None, /
    ) -> AsyncMemoizedFunction[P, R]: ...
    @overload
    def __get__(
        self: AsyncMemoizedFunction[Concatenate[S, Q], R],
        instance: S,
        owner: type | None = None,
        /,
    ) -> MemoizedMethod[S, Q, Awaitable[R]]: ...
