"""Decoded results kept in memory, served only while the store says that they are current.

Knows: what was read, and how to see that nothing was committed since. Must not know: when a
result is good.
"""

from __future__ import annotations

import pickle
from typing import Any, Final

from objcache.engine import Pulse
from objcache.memo._results import Opened
from objcache.store.dated import Found

__all__ = ["HotResults"]

# Values of these types cannot change: all callers may have the same one.
_CONSTANT: Final = frozenset({type(None), bool, int, float, complex, str, bytes})


class HotResults:
    """The results of one function that were read last in this process.

    `served[tail]` is `[pulse, value, cost, deadline, MAC, pickle, used]`. While the pulse of the
    file is the one in the entry, nothing at all was committed by any process since the entry was
    seen to be current; the first look after a commit compares the MAC of the record instead.

    Args:
        most: how many are kept; the ones that were not asked for since the last round go first
            (CLOCK: Corbato, "A Paging Experiment with the Multics System", 1968).
        copy: give each caller a copy of its own, unless the value cannot change.

    Concurrency: any thread; each step is one operation on a dict.
    """

    __slots__ = ("_copy", "_most", "_pulse", "served")

    def __init__(self, most: int, *, copy: bool) -> None:
        self._most = most
        self._copy = copy
        self._pulse: Pulse | None = None
        self.served: dict[bytes, list[Any]] = {}

    def look(self, tail: bytes, opened: Opened) -> Found | None:
        """Return the result of *tail* if it is here and current."""
        entry = self.served.get(tail)
        if entry is None:
            return None
        environment = opened.results.environment
        pulse = environment.pulse
        if pulse is not self._pulse or pulse is None:
            return None  # the file was replaced: `pulse_of` forgets what was read from the old one
        if entry[0] != pulse.ids[pulse.first] + pulse.ids[pulse.second] and not self._is_current(
            tail, entry, opened, pulse
        ):
            self.drop(tail)
            return None
        entry[6] = True
        value = entry[1] if entry[5] is None else pickle.loads(entry[5])  # our own, from memory
        return value, entry[2], entry[3]

    def keep(self, tail: bytes, found: Found, record: bytes, stamp: int) -> None:
        """Remember *found*, read from *record* when the pulse was *stamp*."""
        value, cost_us, deadline_us = found
        pickled = None
        if self._copy and type(value) not in _CONSTANT:
            try:
                pickled = pickle.dumps(value, 5)
            except Exception:  # noqa: BLE001  # another codec may store what pickle cannot
                return
            value = None
        if len(self.served) >= self._most:
            self._make_room()
        self.served[tail] = [stamp, value, cost_us, deadline_us, record[8:24], pickled, False]

    def drop(self, tail: bytes) -> None:
        """Forget *tail*."""
        self.served.pop(tail, None)

    def clear(self) -> None:
        """Forget everything."""
        self.served.clear()

    def pulse_of(self, opened: Opened) -> Pulse:
        """Return the pulse of the file, which may be another file than before."""
        environment = opened.results.environment
        pulse = environment.pulse or environment.feel_pulse()
        if pulse is not self._pulse:
            self.served.clear()
            self._pulse = pulse
        return pulse

    def _is_current(self, tail: bytes, entry: list[Any], opened: Opened, pulse: Pulse) -> bool:
        record, stamp = opened.results.stamped(tail, pulse)
        if record is None or record[8:24] != entry[4]:
            return False
        entry[0] = stamp
        return True

    def _make_room(self) -> None:
        for tail in list(self.served):
            entry = self.served.pop(tail, None)
            if entry is None or not entry[6]:
                return
            entry[6] = False
            self.served[tail] = entry
