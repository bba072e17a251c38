"""Settings and fixtures shared by all tests.

Every store that a test leaves in its temporary directory is checked afterwards; a test that
damages one on purpose says so with `@pytest.mark.damages`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from objcache import Store
from objcache.engine import FILE_NAME

settings.register_profile(
    "objcache",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("objcache")

SECRET = b"the secret of the tests, 32 bytes"


@pytest.fixture(autouse=True)
def private_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's own directories or secret."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "OBJCACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("OBJCACHE_SECRET_FILE", raising=False)
    monkeypatch.setenv("OBJCACHE_SECRET", SECRET.decode())


@pytest.fixture(autouse=True)
def stores_left_behind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """Every store a test leaves behind is whole."""
    yield
    if request.node.get_closest_marker("damages"):
        return
    for file in tmp_path.rglob(FILE_NAME):
        with Store(
            file.parent, readonly=True, secret=[SECRET, b"another secret of 16 bytes"]
        ) as left:
            report = left.check()
        broken = [problem for problem in report.problems if problem.kind != "DecodeError"]

        assert [] == broken, file


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where a test keeps its store."""
    return str(tmp_path / "store")


@pytest.fixture
def open_store(path: str) -> Iterator[Callable[..., Store[Any, Any]]]:
    """Open stores that are closed after the test; `durability="process"` unless said otherwise."""
    opened = []

    def open_one(at: str = path, **options: Any) -> Store[Any, Any]:
        options.setdefault("durability", "process")
        options.setdefault("secret", SECRET)
        opened.append(Store(at, **options))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[..., Store[Any, Any]]) -> Store[Any, Any]:
    """Open a new store."""
    return open_store()
