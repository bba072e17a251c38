"""The canonical form of what nests too deeply for recursion, or contains itself.

Knows: how a way back is written. Must not know: what types are made of.

What contains no cycle has the same form here and in `_canonical`, which is much faster.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from objcache.hashing._canonical import (
    EXACT,
    TEXT,
    NoFormError,
    dict_head,
    encode,
    is_run,
    pairs_form,
    rare_form,
    sequence_head,
    set_form,
    taken_apart,
    walk,
)

__all__ = ["encode_deep"]

_Steps = Generator[Any, bytes, bytes]
"""Gives the members of a value, is sent their forms, returns the form of the value."""


def encode_deep(value: Any, path: str) -> bytes:
    """Return the canonical form of *value*, which may contain itself.

    Raises:
        UnkeyableArgumentError: some part has no form.

    Cost: ten times that of `canonical`; the stack is on the heap.
    """
    try:
        return _encode(value)
    except NoFormError:
        from objcache.hashing._culprits import culprit  # noqa: PLC0415  # the way to an error

        raise culprit(value, path) from None


class _Above:
    """The lists, tuples and dicts around the one that is being written."""

    def __init__(self) -> None:
        self.level = 0
        self._levels: dict[int, tuple[int, int]] = {}

    def way_back(self, value: Any) -> bytes | None:
        """Return the form of *value* if it is one of those around.

        A way back that leads through an instance ends at the instance, as in `_canonical`.
        """
        level, depth = self._levels.get(id(value), (0, -1))
        return b"r%d;" % (self.level - level) if depth == walk.depth else None

    def enter(self, value: Any) -> tuple[int, int] | None:
        """Go one level down; return what `leave` needs."""
        before = self._levels.get(id(value))
        self._levels[id(value)] = self.level, walk.depth
        self.level += 1
        return before

    def leave(self, value: Any, before: tuple[int, int] | None) -> None:
        """Go up again."""
        self.level -= 1
        if before is None:
            del self._levels[id(value)]
        else:
            self._levels[id(value)] = before


def _encode(value: Any) -> bytes:
    above = _Above()
    stack = [_steps(value, above)]
    form: Any = None
    try:
        while True:
            try:
                member = stack[-1].send(form)
            except StopIteration as finished:
                stack.pop()
                form = finished.value
                if not stack:
                    return form  # type: ignore[no-any-return]
            else:
                stack.append(_steps(member, above))
                form = None
    finally:
        while stack:
            stack.pop().close()  # innermost first: the walk goes up level by level


def _steps(value: Any, above: _Above) -> _Steps:
    kind = type(value)
    if kind not in EXACT:
        return (yield from _rare(value))
    if kind in {list, tuple, dict}:
        form = above.way_back(value)
        if form is not None:
            return form
        before = above.enter(value)
        try:
            return (yield from _container(value))
        finally:
            above.leave(value, before)
    if kind in {set, frozenset}:
        forms = []
        for member in value:
            forms.append((yield member))  # noqa: PERF401  # no yield in a comprehension
        return set_form(kind, forms)
    return encode(value)


def _rare(value: Any) -> _Steps:
    form = walk.enter(value)
    if form is not None:
        return form
    try:
        name, parts = taken_apart(value)
        form = rare_form(name, (yield parts))
        return form
    finally:
        walk.leave(value, form)


def _container(value: Any) -> _Steps:
    forms = []
    if type(value) is not dict:
        if is_run(value):
            return encode(value)
        for member in value:
            forms.append((yield member))  # noqa: PERF401  # the same
        return sequence_head(b"t" if type(value) is tuple else b"L", value) + b"".join(forms)
    if not TEXT.issuperset(map(type, value)):
        pairs = []
        for key, member in value.items():
            pairs.append(((yield key), (yield member)))
        return pairs_form(pairs)
    keys = sorted(value)
    members = [value[key] for key in keys]
    if is_run(members):
        return encode(value)
    for member in members:
        forms.append((yield member))  # noqa: PERF401  # the same
    return dict_head(keys) + b"".join(forms)
