"""What the tests of the commands share."""

from __future__ import annotations

import decimal

import pytest

from objcache import Cache, ManualClock, Store

BORN = 1_700_000_000.0
HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script><b>bold</b>"


def double(x):
    """A function to be memoized."""
    return 2 * x


@pytest.fixture
def shop(path):
    """A store with keys of several types, a namespace, caches and memoized functions."""
    with Store(path) as store:
        store.update(
            {
                "greeting": "hello",
                "42": "text",
                42: decimal.Decimal("1.5"),
                ("user", 7): {"name": "ada", "tags": [1, 2]},
                ("user", 8): {"name": "alan"},
                b"\x00raw": b"bytes",
            }
        )
        store.namespace("a").namespace("b")["k"] = {1, 2}
        memoized = store.memoize(double)
        memoized(1), memoized(1), memoized(2)
    # Nothing is over for those who write here; what expires is for all who come later.
    with Cache(path, clock=ManualClock(BORN)) as cache:
        cache.set("page", "<html>", expire=60, tag=["shop", "new"])
        cache.set("old", "x" * 500)
        cache.set("lasting", [1, 2, 3], tag="new")
        cache.namespace("sub")["z"] = 1
        cache.get("lasting")
        cache.get("nothing")
        memoized = cache.memoize(double)
        memoized(1), memoized(1)
    return path


def repeated(x):
    """A function with a hostile name."""
    return "y" * x


repeated.__qualname__ = "<b>repeated</b>"


@pytest.fixture
def market(shop):
    """The shop, with what a report has to be careful about."""
    with Store(shop) as store:
        store[HOSTILE] = 1
        store.namespace(HOSTILE)["k"] = 1
        store.update({f"https://a.org/{number}/x": number for number in range(50)})
        memoized = store.memoize(repeated)
        for number in (1, 2, 3, 1, 2, 1):
            memoized(number)
    with Cache(shop, clock=ManualClock(BORN)) as cache:
        cache.set(HOSTILE, 1, tag=HOSTILE)
    return shop
