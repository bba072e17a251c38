"""What type checkers know of events, faults and numbers. Checked, never run."""

from typing import assert_type

from objcache import Cache, Store, events
from objcache.integrations.opentelemetry import observe
from objcache.integrations.prometheus import StatsCollector
from objcache.testing import FailingWrites, caching_off, die, failing_writes, forge

store = Store("x")
cache = Cache("y")


@store.memoize
def square(x: int) -> int:
    return x * x


def hook(event: events.Event) -> None:
    if isinstance(event, events.Evicted):
        assert_type(event.size_bytes, int)


with events.listen(hook, events.Evicted, events.Full) as listening:
    assert_type(listening, events.Listening)

with failing_writes(store, die, after=2) as writes, caching_off():
    assert_type(writes, FailingWrites)
    assert_type(writes.failed, int)
with failing_writes(square, OSError("mine")):
    forge(cache.namespace("n"), "key")
    forge({}, "key")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]

collector = StatsCollector(kept=store, pages=cache, square=square)
observe(kept=store, pages=cache, square=square)
observe(kept=1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
