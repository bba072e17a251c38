"""The numbers of stores, caches and memoized functions, through the libraries that collect them."""

from __future__ import annotations

import subprocess
import sys

import prometheus_client
import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from objcache import Cache
from objcache.integrations._numbers import NUMBERS
from objcache.integrations.opentelemetry import observe
from objcache.integrations.prometheus import StatsCollector


@pytest.fixture
def cache(tmp_path):
    """A cache in a directory of its own."""
    with Cache(tmp_path / "cache", max_entries=5, durability="process") as opened:
        yield opened


@pytest.fixture
def square(store):
    """A memoized function that was called: one miss, two hits."""
    memoized = store.memoize(lambda x: x * x)
    memoized(3), memoized(3), memoized(3)
    return memoized


def expected(**watched):
    """The numbers as `stats` and `cache_info` tell them: name and label to value."""
    found = {}
    for name, thing in watched.items():
        stats = thing.cache_info() if hasattr(thing, "cache_info") else thing.stats()
        kind = {"StoreStats": "store", "CacheStats": "cache", "CacheInfo": "function"}
        for number in NUMBERS:
            if number.kind == kind[type(stats).__name__]:
                found[number, name] = float(getattr(stats, number.field))
            if not number.kind:
                found[number, name] = 1.0
    return found


def prometheus_name(number):
    """As it is written on the page that is scraped."""
    name = "_".join((*number.words, number.unit)).rstrip("_")
    return f"{name}_total" if number.grows else name


def scraped(registry):
    """What a scrape finds: name and label to value."""
    page = prometheus_client.generate_latest(registry).decode()
    found = {}
    for line in page.splitlines():
        if not line.startswith("#"):
            name, _, rest = line.partition('{name="')
            label, _, value = rest.partition('"} ')
            found[name, label] = float(value)
    return found


def collected(reader):
    """What one collection finds: name and label to value."""
    data = reader.get_metrics_data()
    found = {}
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    found[metric.name, point.attributes["name"]] = point.value
    return found


@pytest.fixture
def reader():
    """Collects what the meter of a provider of the test observes."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    reader.meter = provider.get_meter("test")
    yield reader
    provider.shutdown()


def busy(cache):
    """Give every count of *cache* a value of its own."""
    for number in range(8):
        cache[number] = number
    cache.get(7), cache.get(7), cache.get("none")
    cache.delete(7)


def test_prometheus_finds_the_numbers_of_now(store, cache, square):
    """Each scrape finds what `stats` and `cache_info` tell at that moment, under stable names."""
    registry = prometheus_client.CollectorRegistry(auto_describe=True)
    watched = {"kept": store, "pages": cache, "square": square}
    registry.register(StatsCollector(**watched))
    for _ in range(2):
        busy(cache)
        square(3)
        wanted = {
            (prometheus_name(number), name): value
            for (number, name), value in expected(**watched).items()
        }

        assert wanted == scraped(registry)
    page = scraped(registry)
    assert page["objcache_cache_evicted_total", "pages"] > 0
    assert 4 == page["objcache_function_hits_total", "square"]
    assert page["objcache_store_file_bytes", "kept"] > 0
    assert page["objcache_function_saved_seconds_total", "square"] >= 0


def test_opentelemetry_finds_the_numbers_of_now(store, cache, square, reader):
    """Each collection finds what `stats` and `cache_info` tell at that moment."""
    watched = {"kept": store, "pages": cache, "square": square}
    observe(reader.meter, **watched)
    for _ in range(2):
        busy(cache)
        square(3)
        wanted = {
            (".".join(number.words), name): value
            for (number, name), value in expected(**watched).items()
        }

        assert wanted == collected(reader)
    assert 4 == collected(reader)["objcache.function.hits", "square"]


def test_a_collection_is_one_reading(cache, reader, monkeypatch):
    """All instruments of a collection, or a scrape, are of one call of `stats`."""
    calls = []
    stats = Cache.stats
    monkeypatch.setattr(Cache, "stats", lambda self: calls.append(self) or stats(self))
    registry = prometheus_client.CollectorRegistry(auto_describe=True)
    registry.register(StatsCollector(pages=cache))
    observe(reader.meter, pages=cache)

    assert [] == calls
    collected(reader)
    assert 1 == len(calls)
    collected(reader)
    scraped(registry)
    assert 3 == len(calls)


def test_what_is_closed_is_not_up(store, cache, reader):
    """A store that cannot be read breaks no scrape: it is not up, and the others are there."""
    registry = prometheus_client.CollectorRegistry()
    registry.register(StatsCollector(kept=store, pages=cache))
    observe(reader.meter, kept=store, pages=cache)
    store.close()
    page, data = scraped(registry), collected(reader)

    assert (0, 1) == (page["objcache_up", "kept"], page["objcache_up", "pages"])
    assert (0, 1) == (data["objcache.up", "kept"], data["objcache.up", "pages"])
    assert not any(name == "kept" for _, name in set(page) - {("objcache_up", "kept")})


def test_the_meter_of_the_program(cache, monkeypatch):
    """Without a meter the one of the program's provider is taken."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(
        "objcache.integrations.opentelemetry.get_meter",
        lambda *names: metrics.get_meter(*names, meter_provider=provider),
    )
    observe(pages=cache)

    assert 1 == collected(reader)["objcache.up", "pages"]
    provider.shutdown()


@pytest.mark.parametrize("register", [StatsCollector, observe])
def test_what_has_no_numbers_is_refused(register):
    """A dict, or a plain function, cannot be watched."""
    with pytest.raises(TypeError, match="d= is a Store, a Cache or a memoized function, not dict"):
        register(d={})
    with pytest.raises(TypeError, match="not function"):
        register(f=lambda: 0)


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("prometheus", "prometheus_client", "prometheus"),
        ("opentelemetry", "opentelemetry-api", "opentelemetry"),
    ],
)
def test_a_missing_library_names_the_extra(module, package, extra):
    """Without the library the import says what to install; nothing else imports it."""
    code = (
        "import sys\n"
        f"sys.modules[{package.partition('-')[0]!r}] = None\n"
        "import objcache, objcache.integrations, objcache.cache, objcache.memo\n"
        "try:\n"
        f"    import objcache.integrations.{module}\n"
        "except ImportError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("MissingExtraError")
    assert f"{package}; install it with: pip install 'objcache[{extra}]'" in done.stdout
