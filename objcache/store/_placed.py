"""A mapping that knows the store it is part of.

Knows: sessions. Must not know: how stores are opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from objcache.clock import Clock
from objcache.store._writing import ObjectWriter

if TYPE_CHECKING:
    from objcache.memo import StoreMemoize

__all__ = ["PlacedWriter"]

K = TypeVar("K")
V = TypeVar("V")


class PlacedWriter(ObjectWriter[K, V]):
    """What a store and its namespaces have in common beside being mappings."""

    __slots__ = ()

    @property
    def directory(self) -> str:
        """The directory of the store."""
        return self._target.directory

    @property
    def file_mode(self) -> int:
        """The mode of new files of the store."""
        return self._target.environment.options.file_mode

    @property
    def readonly(self) -> bool:
        """Whether writes are refused."""
        return self._target.readonly

    @property
    def clock(self) -> Clock:
        """Where the store's times come from."""
        return self._target.environment.options.clock

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is inside a transaction of the store's file."""
        return self._target.in_transaction

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Make what this thread does to the store in the block one transaction of it.

        As `Store.transaction`, where no view of the transaction is wanted.
        """
        with self._target.transaction():
            yield

    @property
    def memoize(self) -> StoreMemoize:
        """Keep the results of a function here; see `objcache.memoize`.

        >>> with Store.temporary() as store:
        ...     square = store.memoize(lambda x: x * x)
        ...     square(12), square(12), square.cache_info().hits
        (144, 144, 1)
        """
        # The one import against the layers (setup.cfg): a method for the user's convenience.
        from objcache.memo import StoreMemoize  # noqa: PLC0415

        return StoreMemoize(self)  # type: ignore[arg-type]  # a Store or a Namespace
