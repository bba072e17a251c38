"""Numbers of stores, caches and memoized functions for OpenTelemetry.

    observe(pages=cache, square=square)

Knows: `opentelemetry-api` (extra `opentelemetry`). Must not know: where the numbers come from.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial
from typing import Final

from objcache._version import __version__
from objcache.errors import MissingExtraError
from objcache.integrations._numbers import NUMBERS, Number, Watched, checked, read

try:
    from opentelemetry.metrics import CallbackOptions, Meter, Observation, get_meter
except ModuleNotFoundError:
    raise MissingExtraError(
        "objcache.integrations.opentelemetry", "opentelemetry-api", "opentelemetry"
    ) from None

__all__ = ["observe"]

_UNITS: Final = {"bytes": "By", "seconds": "s", "": "1"}


def observe(meter: Meter | None = None, /, **watched: Watched) -> None:
    """Let the numbers of some stores, caches and memoized functions be read at each collection.

    Names are `objcache.cache.hits`, `objcache.store.file` (in bytes) and so on, with an attribute
    `name`: that of the argument. Those that only grow are observable counters, the others
    observable gauges. Call it once for a meter, with all that there is to watch.

    Args:
        meter: where to; None is the meter `objcache` of the global provider.
        watched: what is asked for its numbers; not closed, and kept as long as the meter.

    Raises:
        TypeError: something that has no numbers.

    Cost:
        One `stats` or `cache_info` for each at a collection; reads and writes of the store cost
        what they do without.

    Concurrency:
        Any thread. Counts are of all processes: let one of them observe, or take the `max`.
    """
    reading = _Reading(checked(watched))
    meter = meter or get_meter("objcache", __version__)
    for number in NUMBERS:
        create = meter.create_observable_counter if number.grows else meter.create_observable_gauge
        create(
            ".".join(number.words),
            callbacks=[partial(reading.of, number)],
            unit=_UNITS[number.unit],
            description=number.help,
        )


class _Reading:
    """The numbers as last read. Each is given out once: who asks again begins another collection.

    The instruments of one collection are asked one after the other, and are of one reading.
    """

    def __init__(self, watched: dict[str, Watched]) -> None:
        self._watched = watched
        self._left: dict[Number, list[Observation]] = {}
        self._reading = threading.Lock()

    def of(self, number: Number, _options: CallbackOptions) -> Iterable[Observation]:
        """Return what there is to observe of *number*."""
        with self._reading:
            if number not in self._left:
                self._left = {known: [] for known in NUMBERS}
                for known, name, value in read(self._watched):
                    self._left[known].append(Observation(value, {"name": name}))
            return self._left.pop(number)
