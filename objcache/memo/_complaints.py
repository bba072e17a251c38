"""What becomes of a failure that must not break the function.

Knows: which failures were told already. Must not know: what failed.
"""

from __future__ import annotations

import threading

from objcache.listeners import LISTENERS
from objcache.memo._telling import tell_failed

__all__ = ["Complaints"]


class Complaints:
    """The failures of one memoized function: logged once for each cause, or raised.

    Args:
        name: of the function.
        strict: raise instead.

    Concurrency: any thread.
    """

    __slots__ = ("_name", "_strict", "_telling", "_told")

    def __init__(self, name: str, *, strict: bool) -> None:
        self._name = name
        self._strict = strict
        self._told: set[tuple[str, type]] = set()
        self._telling = threading.Lock()

    def about(self, what: str, error: Exception, *, quiet: bool = False) -> None:
        """Log *error* of doing *what* to the logger `objcache`, unless its like was told.

        Args:
            what: goes on from "a result of f could not be".
            error: the cause.
            quiet: nobody could catch it: log it even where the function is strict.

        Raises:
            Exception: *error* itself, where the function is strict.
        """
        if LISTENERS:
            tell_failed(self._name, what, error)
        if self._strict and not quiet:
            raise error
        cause = (what, type(error))
        with self._telling:
            if cause in self._told:
                return
            self._told.add(cause)
        import logging  # noqa: PLC0415  # not needed by those whose stores are well

        logging.getLogger("objcache").warning(
            "a result of %s could not be %s: %s: %s; further ones are not told",
            self._name,
            what,
            type(error).__name__,
            error,
        )
