"""Which part of a value cannot be pickled.

Knows: how pickle takes values apart. Must not know: records.
"""

from __future__ import annotations

import copyreg
import pickle
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from types import MemberDescriptorType
from typing import Any, Final

from objcache.codecs._pickle import OutOfBand
from objcache.codecs._wording import key_text, message_of, type_name
from objcache.errors import EncodeError

__all__ = ["encode_failure"]

_MOST_TRIALS: Final = 10_000
_MOST_BYTES: Final = 1 << 28
_MOST_PARTS: Final = 1_000_000
_ATOMS: Final = frozenset({type(None), bool, int, float, str, bytes})

_Part = tuple[str, Any, Any]
"""How a path goes on (`[{}]` with the key, or `.name`), the key, and the part."""


def encode_failure(value: Any, error: BaseException, protocol: int) -> EncodeError:
    """See `objcache.codecs.encode_failure`."""
    try:
        path, culprit, reason = _Search(protocol).deepest(value, error)
    except Exception:  # noqa: BLE001  # no explanation of a failure may hide it
        return EncodeError("value", type_name(value), _reason(error))
    return EncodeError(path, type_name(culprit), reason)


class _ExhaustedError(Exception):
    """The search has cost enough."""


class _Search:
    """Goes from a value that cannot be pickled to the part of it that is to blame."""

    def __init__(self, protocol: int) -> None:
        self._protocol = protocol
        self._trials_left = _MOST_TRIALS
        self._bytes_left = _MOST_BYTES
        # Kept alive, so that no other object gets the id of one that was looked into.
        self._entered: dict[int, Any] = {}

    def deepest(self, value: Any, error: BaseException) -> tuple[str, Any, str]:
        """Return path, part and reason of the innermost part that fails by itself."""
        path, reason = "value", _reason(error)
        kinds = {type(value)}
        while True:
            self._entered[id(value)] = value
            try:
                found = self._first_failing(_parts(value, self._protocol))
            except (_ExhaustedError, MemoryError):
                return path, value, reason
            if found is None:
                return path, value, reason
            (form, key, part), part_error = found
            # A structure that is too deep is told from its top, not from where pickle gave up.
            if isinstance(part_error, RecursionError) and type(part) in kinds:
                return path, value, reason
            kinds.add(type(part))
            path += form.format(key_text(key))
            value, reason = part, _reason(part_error)

    def _first_failing(self, parts: Iterator[_Part]) -> tuple[_Part, Exception] | None:
        """Return the first of *parts* that fails alone: halves, for values are wide."""
        listed = self._listed(parts)
        if not listed or self._trial([part for _, _, part in listed]) is None:
            return None
        low, high = 0, len(listed)
        while high - low > 1:
            middle = (low + high) // 2
            if self._trial([part for _, _, part in listed[low:middle]]) is None:
                low = middle
            else:
                high = middle
        error = self._trial(listed[low][2])
        return None if error is None else (listed[low], error)

    def _listed(self, parts: Iterator[_Part]) -> list[_Part]:
        listed: list[_Part] = []
        # What came before an exception of the value's own code counts.
        with suppress(Exception):
            listed.extend(
                part
                for part in islice(parts, _MOST_PARTS)
                if type(part[2]) not in _ATOMS and id(part[2]) not in self._entered
            )
        return listed

    def _trial(self, part: Any) -> Exception | None:
        """Return what pickling *part* raises, apart from what the search has gone through."""
        self._trials_left -= 1
        if self._trials_left < 0:
            raise _ExhaustedError
        try:
            _Trial(self, self._protocol, self._entered).dump(part)
        except (_ExhaustedError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001  # whatever the part's own code raises
            return error
        return None

    def write(self, written: bytes) -> int:
        """Take what a trial writes: nothing is kept."""
        size = len(written)
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise _ExhaustedError
        return size


class _Trial(pickle.Pickler):
    """Pickles to nowhere, and does not go back into what encloses the part on trial.

    Without that, a child that knows its parent would be blamed for the parent's other children.
    """

    def __init__(self, target: _Search, protocol: int, entered: dict[int, Any]) -> None:
        keep = OutOfBand().keep if protocol >= 5 else None
        super().__init__(target, protocol, buffer_callback=keep)
        self._entered = entered

    def persistent_id(self, part: Any) -> str | None:
        """Cut *part* off if the search has entered it."""
        return "entered" if id(part) in self._entered else None


def _parts(value: Any, protocol: int) -> Iterator[_Part]:
    """Yield what pickle would pickle for *value*."""
    kind = type(value)
    if kind is dict:
        for key, part in list(value.items()):
            yield ": key {}", key, key
            yield "[{}]", key, part
    elif kind is list or kind is tuple:
        for number, part in enumerate(value):
            yield "[{}]", number, part
    elif kind is set or kind is frozenset:
        for part in value:
            yield "{{{}}}", part, part
    elif not isinstance(value, type):  # classes are pickled by their name
        reduce = copyreg.dispatch_table.get(kind)
        reduced = value.__reduce_ex__(protocol) if reduce is None else reduce(value)
        if isinstance(reduced, tuple):  # else by its name too
            yield from _reduced_parts(value, reduced)


def _reduced_parts(value: Any, reduced: tuple[Any, ...]) -> Iterator[_Part]:
    names = _attribute_names(value)

    def named(part: Any, otherwise: str) -> _Part:
        name = names.get(id(part))
        return otherwise if name is None else _attribute(name), None, part

    function, arguments = reduced[:2]
    # Its own class is no part of it: where that fails, the value is to blame.
    if function is not type(value):
        yield named(function, ".__reduce__()[0]")
    for number, part in enumerate(arguments or ()):
        if part is not type(value):
            yield named(part, f".__reduce__()[1][{number}]")
    yield from _state_parts(_optional(reduced, 2), named)
    for number, part in enumerate(_optional(reduced, 3) or ()):
        yield "[{}]", number, part
    for key, part in _optional(reduced, 4) or ():
        yield ": key {}", key, key
        yield "[{}]", key, part


def _optional(reduced: tuple[Any, ...], number: int) -> Any:
    return reduced[number] if number < len(reduced) else None


def _state_parts(state: Any, named: Any) -> Iterator[_Part]:
    slots: Any = None
    if type(state) is tuple and len(state) == 2 and isinstance(state[1], dict):
        state, slots = state  # of a class with __slots__
    for attributes in (state, slots):
        if isinstance(attributes, dict):
            for name, part in list(attributes.items()):
                yield _attribute(name), None, part
        elif type(attributes) in {list, tuple}:
            for number, part in enumerate(attributes):
                yield named(part, f".__getstate__()[{number}]")
        elif attributes is not None:
            yield named(attributes, ".__getstate__()")


def _attribute(name: Any) -> str:
    return f".{name}".replace("{", "{{").replace("}", "}}") if type(name) is str else ".?"


def _attribute_names(value: Any) -> dict[int, str]:
    """Return the names of the attributes of *value*, by the id of what they hold."""
    names: list[str] = list(getattr(value, "__dict__", ()))
    for base in type(value).__mro__:
        # What lies in slots, and what builtins such as partial and defaultdict hold.
        names += [name for name, held in vars(base).items() if type(held) is MemberDescriptorType]
    names += getattr(type(value), "_fields", ())
    found = {}
    for name in names:
        try:
            found[id(object.__getattribute__(value, name))] = name
        except AttributeError:  # an empty slot
            continue
    return found


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return f"it nests deeper than pickle can follow ({message_of(error)})"
    return message_of(error)
