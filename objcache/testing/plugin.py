"""Fixtures of objcache for pytest: `pytest_plugins = ["objcache.testing.plugin"]`.

Knows: pytest, and how a scratch store is opened. Must not know: what is tested.

It is no entry point: pytest would import it, and LMDB with it, whenever it starts, also for those
who test something else.

Their names begin with `objcache_`: a fixture `store` or `cache` would be taken by a test that has
forgotten to make its own. docs/howto/pytest.md tells of each.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from objcache import Cache, Store
from objcache.testing import JumpingClock, caching_off

__all__ = ["objcache_cache", "objcache_clock", "objcache_off", "objcache_store"]

# As of one's own tests; too late where somebody has imported the suites already.
if "objcache.testing.conformance" not in sys.modules:
    pytest.register_assert_rewrite("objcache.testing.conformance")


@pytest.fixture
def objcache_clock() -> JumpingClock:
    """A clock that the test moves: the one of `objcache_store` and `objcache_cache`."""
    return JumpingClock()


@pytest.fixture
def objcache_store(tmp_path: Path, objcache_clock: JumpingClock) -> Iterator[Store[Any, Any]]:
    """An empty store below `tmp_path`, with a secret of its own; closed after the test."""
    with Store(tmp_path / "objcache-store", clock=objcache_clock, **_scratch()) as store:
        yield store


@pytest.fixture
def objcache_cache(tmp_path: Path, objcache_clock: JumpingClock) -> Iterator[Cache[Any, Any]]:
    """An empty cache below `tmp_path`, with a secret of its own; closed after the test."""
    with Cache(tmp_path / "objcache-cache", clock=objcache_clock, **_scratch()) as cache:
        yield cache


@pytest.fixture
def objcache_off() -> Iterator[None]:
    """Memoized functions compute always, in all threads, until the test ends."""
    with caching_off():
        yield


def _scratch() -> dict[str, Any]:
    return {"secret": os.urandom(32), "durability": "process"}
