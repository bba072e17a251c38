"""Decoded results kept in memory, served only while the store says that they are current.

Knows: what was read, and how to see that nothing was committed since. Must not know: when a
result is good.
"""

from __future__ import annotations

import pickle
from typing import Final

from objcache.engine import Pulse
from objcache.memo._results import Opened
from objcache.store.dated import Found

__all__ = ["HotEntry", "HotResults"]

# Values of these types cannot change: all callers may have the same one.
_CONSTANT: Final = frozenset({type(None), bool, int, float, complex, str, bytes})


class HotEntry:
    """A result in memory.

    Attributes:
        stamp: what the pulse was when the result was current. While it still is, nothing at all
            was committed by any process.
        pulse: of the file.
        value: the result, unless it is pickled.
        pickled: the result, where each caller gets a copy of its own.
        cost_us: of computing it.
        deadline_us: when it is over, None for never.
        mac: of the record: tells another result from the same one after a commit.
        used: whether it was asked for since the last round.
    """

    __slots__ = ("cost_us", "deadline_us", "mac", "pickled", "pulse", "stamp", "used", "value")

    def __init__(
        self,
        found: Found,
        pickled: bytes | None,
        stamp: int,
        pulse: Pulse,
        mac: bytes,
    ) -> None:
        self.value, self.cost_us, self.deadline_us = found
        self.pickled = pickled
        self.stamp = stamp
        self.pulse = pulse
        self.mac = mac
        self.used = False


class HotResults:
    """The results of one function that were read last in this process.

    Args:
        most: how many are kept; the ones that were not asked for since the last round go first
            (CLOCK: Corbato, "A Paging Experiment with the Multics System", 1968).
        copy: give each caller a copy of its own, unless the value cannot change.

    Attributes:
        served: the entries by the tails of their keys.

    Concurrency: any thread; each step is one operation on a dict.
    """

    __slots__ = ("_copy", "_most", "served")

    def __init__(self, most: int, *, copy: bool) -> None:
        self._most = most
        self._copy = copy
        self.served: dict[bytes | None, HotEntry] = {}

    def look(self, tail: bytes, opened: Opened) -> Found | None:
        """Return the result of *tail* if it is here and current."""
        entry = self.served.get(tail)
        if entry is None:
            return None
        if entry.stamp != entry.pulse.now() and not self._is_current(tail, entry, opened):
            self.drop(tail)
            return None
        entry.used = True
        value = entry.value if entry.pickled is None else pickle.loads(entry.pickled)  # our own
        return value, entry.cost_us, entry.deadline_us

    def keep(self, tail: bytes, opened: Opened) -> Found | None:
        """Read the result of *tail*, remember and return it; None if there is none."""
        pulse = _pulse_of(opened)
        record, stamp = opened.results.stamped(tail, pulse)
        if record is None:
            return None
        found = opened.results.decode(tail, record)
        pickled = None
        if self._copy and type(found[0]) not in _CONSTANT:
            try:
                pickled = pickle.dumps(found[0], 5)
            except Exception:  # noqa: BLE001  # another codec may store what pickle cannot
                return found
        if len(self.served) >= self._most:
            self._make_room()
        kept = found if pickled is None else (None, *found[1:])
        self.served[tail] = HotEntry(kept, pickled, stamp, pulse, record[8:24])
        return found

    def drop(self, tail: bytes) -> None:
        """Forget *tail*."""
        self.served.pop(tail, None)

    def clear(self) -> None:
        """Forget everything."""
        self.served.clear()

    @staticmethod
    def _is_current(tail: bytes, entry: HotEntry, opened: Opened) -> bool:
        pulse = _pulse_of(opened)
        record, stamp = opened.results.stamped(tail, pulse)
        if record is None or record[8:24] != entry.mac:
            return False
        entry.stamp, entry.pulse = stamp, pulse
        return True

    def _make_room(self) -> None:
        for tail in list(self.served):
            entry = self.served.pop(tail, None)
            if entry is None or not entry.used:
                return
            entry.used = False
            self.served[tail] = entry


def _pulse_of(opened: Opened) -> Pulse:
    environment = opened.results.environment
    return environment.pulse or environment.feel_pulse()
