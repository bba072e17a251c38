"""The keys of arguments that were seen before: found by one call of C, not by a walk.

Knows: pickles of plain values. Must not know: what keys are for.
"""

from __future__ import annotations

import pickle
from io import BytesIO
from typing import Any, Final

from blake3 import blake3

from objcache.hashing import canonical

__all__ = ["LONGEST_FORM_BYTES", "KnownKeys", "tail_of"]

LONGEST_FORM_BYTES: Final = 88
# Below, a walk is as fast; above, it is not worth the memory.
_LEAST_BYTES: Final = 1 << 9
_MOST_BYTES: Final = 1 << 16
_MOST_KEPT_BYTES: Final = 1 << 20


def tail_of(value: Any) -> bytes:
    """Return the canonical form of *value* if it is short, else `#` and its BLAKE3.

    No form of a tuple begins with `#`.
    """
    return _tail(canonical(value))


def _tail(form: bytes) -> bytes:
    return form if len(form) <= LONGEST_FORM_BYTES else b"#" + blake3(form).digest()


class KnownKeys:
    """The keys of one function's arguments by their pickles.

    Equal pickles load equal values of equal types, as long as no code but that of the exact
    builtin types has a part in them; so they have one canonical form. The reverse does not hold:
    dicts in another order, shared members, come to the same key by another entry.

    Concurrency: any thread; each step is one operation on a dict.
    """

    __slots__ = ("_kept_bytes", "_keys", "_worth")

    def __init__(self) -> None:
        self._keys: dict[bytes, bytes] = {}
        self._kept_bytes = 0
        self._worth = False

    def key(self, value: Any) -> bytes:
        """Return `tail_of` *value*.

        Raises:
            UnkeyableArgumentError: some part of it has no stable value.
        """
        pickled = _pickled(value) if self._worth else None
        if pickled is None:
            form = canonical(value)
            self._worth = _LEAST_BYTES <= len(form) <= _MOST_BYTES
            return _tail(form)
        found = self._keys.get(pickled)
        if found is None:
            # Of the pickle, not of the value: another thread may be changing that.
            form = canonical(pickle.loads(pickled))
            self._worth = _LEAST_BYTES <= len(form) <= _MOST_BYTES
            found = _tail(form)
            if self._kept_bytes > _MOST_KEPT_BYTES:
                self._keys.clear()
                self._kept_bytes = 0
            self._keys[pickled] = found
            self._kept_bytes += len(pickled)
        return found


class _NotPlainError(Exception):
    """A part of a value is of another type than the exact builtin ones."""


class _PlainPickler(pickle.Pickler):
    """Pickles exact builtin types only: for all others it would run code of theirs."""

    def reducer_override(self, _: Any) -> Any:
        raise _NotPlainError


def _refuse(_: Any) -> bool:
    raise _NotPlainError


def _pickled(value: Any) -> bytes | None:
    buffer = BytesIO()
    try:
        _PlainPickler(buffer, 5, buffer_callback=_refuse).dump(value)
    except Exception:  # noqa: BLE001  # the walk tells what is wrong, if anything is
        return None
    return buffer.getvalue()
