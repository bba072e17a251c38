"""What is read out of another library's files, whatever library that is.

Knows: entries on their way into a store. Must not know: any format, the terminal, stores.
"""

from __future__ import annotations

import enum
import pickle
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from objcache.cli._keys import printable

__all__ = ["Foreign", "ForeignError", "Found", "Left", "Why", "name_of", "one_line", "unpickled"]

_LONGEST_NAME: Final = 100


class ForeignError(Exception):
    """The source cannot be imported, or not to its end; the message says why."""


class Why(enum.Enum):
    """Why an entry of the source is left there."""

    REFUSED = "refused"
    EXPIRED = "expired"
    FAILED = "failed"


class Found(NamedTuple):
    """An entry that can be imported.

    Attributes:
        key: as it will be in the target.
        load: returns the value; whatever it raises says why there is none.
        deadline: when it is over, in seconds since the epoch; None is never.
        tag: as the source has it, of any type that a database has; None for none.
        file: a file whose content is the value, instead of *load*.
        call: what is known of the call whose result it is.
    """

    key: Any
    load: Callable[[], Any]
    deadline: float | None = None
    tag: Any = None
    file: str | None = None
    call: dict[str, Any] | None = None


class Left(NamedTuple):
    """An entry that is left in the source: its key as text, and why."""

    name: str
    why: Why
    reason: str = ""


class Foreign(NamedTuple):
    """A source that is open: how many entries it has, how many of them are pickles, and they."""

    total: int
    pickles: int
    entries: Iterator[Found | Left]


def unpickled(pickled: Any) -> Any:
    """Load a pickle of the source: only ever called for a source that the user trusts.

    Raises:
        TypeError: these are no bytes; besides, whatever the pickle makes of it.
    """
    if not isinstance(pickled, bytes):
        raise TypeError(f"it is not a pickle, but {type(pickled).__name__}")
    return pickle.loads(pickled)


def name_of(key: Any) -> str:
    """Return *key* as a short text, which a terminal can show."""
    try:
        text = repr(key)
    except Exception as error:  # noqa: BLE001  # it is code of a class of the source
        text = f"a {type(key).__name__} without a name ({type(error).__name__})"
    return one_line(text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 3] + "...")


def one_line(text: str) -> str:
    """Return *text* in one line, without what would steer a terminal."""
    return printable(" ".join(text.split()))
