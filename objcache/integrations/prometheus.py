"""Numbers of stores, caches and memoized functions for Prometheus.

    prometheus_client.REGISTRY.register(StatsCollector(pages=cache, square=square))

Knows: `prometheus_client` (extra `prometheus`). Must not know: where the numbers come from.
"""

from __future__ import annotations

from collections.abc import Iterator

from objcache.errors import MissingExtraError
from objcache.integrations._numbers import NUMBERS, Number, Watched, checked, read

try:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ModuleNotFoundError:
    raise MissingExtraError(
        "objcache.integrations.prometheus", "prometheus_client", "prometheus"
    ) from None

__all__ = ["StatsCollector"]


class StatsCollector(Collector):
    """The numbers of some stores, caches and memoized functions, read at each scrape.

    Names are `objcache_cache_hits_total`, `objcache_store_file_bytes` and so on, with a label
    `name`: that of the argument.

    Args:
        watched: what is asked for its numbers; not closed.

    Raises:
        TypeError: something that has no numbers.

    Cost:
        One `stats` or `cache_info` for each at a scrape; reads and writes of the store cost what
        they do without.

    Concurrency:
        Any thread. Counts are of all processes: scrape one of them, or take the `max`.

    >>> from objcache import Cache
    >>> from prometheus_client import CollectorRegistry
    >>> registry = CollectorRegistry()
    >>> with Cache.temporary() as cache:
    ...     registry.register(StatsCollector(pages=cache))
    ...     cache.get("/")
    ...     registry.get_sample_value("objcache_cache_misses_total", {"name": "pages"})
    1.0
    """

    def __init__(self, **watched: Watched) -> None:
        self._watched = checked(watched)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics with the present numbers."""
        families = {number: _family_of(number) for number in NUMBERS}
        for number, name, value in read(self._watched):
            families[number].add_metric([name], value)
        yield from (family for family in families.values() if family.samples)

    def describe(self) -> Iterator[Metric]:
        """Yield the metrics without numbers, so that registering reads nothing."""
        return iter([_family_of(number) for number in NUMBERS])


def _family_of(number: Number) -> CounterMetricFamily | GaugeMetricFamily:
    family = CounterMetricFamily if number.grows else GaugeMetricFamily
    unit = [number.unit] if number.unit else []
    return family("_".join([*number.words, *unit]), number.help, labels=["name"])
