"""Fixtures of objcache for pytest, which finds them by itself once objcache is installed.

They are beside the package because pytest loads this module whenever it starts: importing anything
below `objcache` would import LMDB with it, also for those who test something else. Each fixture
imports what it needs when it is asked for.

Their names begin with `objcache_`: a fixture `store` or `cache` would be taken by a test that has
forgotten to make its own. docs/howto/testing.md tells of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from objcache import Cache, Store
    from objcache.testing import JumpingClock

__all__ = ["objcache_cache", "objcache_clock", "objcache_off", "objcache_store"]

pytest.register_assert_rewrite("objcache.testing.conformance")


@pytest.fixture
def objcache_clock() -> JumpingClock:
    """A clock that the test moves: the one of `objcache_store` and `objcache_cache`."""
    from objcache.testing import JumpingClock  # noqa: PLC0415  # see above

    return JumpingClock()


@pytest.fixture
def objcache_store(tmp_path: Path, objcache_clock: JumpingClock) -> Iterator[Store[Any, Any]]:
    """An empty store below `tmp_path`, with a secret of its own; closed after the test."""
    from objcache import Store  # noqa: PLC0415  # see above

    with Store(tmp_path / "objcache-store", clock=objcache_clock, **_scratch()) as store:
        yield store


@pytest.fixture
def objcache_cache(tmp_path: Path, objcache_clock: JumpingClock) -> Iterator[Cache[Any, Any]]:
    """An empty cache below `tmp_path`, with a secret of its own; closed after the test."""
    from objcache import Cache  # noqa: PLC0415  # see above

    with Cache(tmp_path / "objcache-cache", clock=objcache_clock, **_scratch()) as cache:
        yield cache


@pytest.fixture
def objcache_off() -> Iterator[None]:
    """Memoized functions compute always, in all threads, until the test ends."""
    from objcache.testing import caching_off  # noqa: PLC0415  # see above

    with caching_off():
        yield


def _scratch() -> dict[str, Any]:
    import os  # noqa: PLC0415  # see above

    return {"secret": os.urandom(32), "durability": "process"}
