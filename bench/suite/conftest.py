"""An open, filled store of each engine."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench._inputs import KEYS, VALUES
from bench.engines import ENGINE_NAMES, MAPPING, Engine, Handle, load_engines

ENGINES, ABSENT = load_engines(ENGINE_NAMES)


def engines_that_offer(group: str) -> list[Engine]:
    """Return the installed engines with a group of operations."""
    return [engine for engine in ENGINES if group in engine.offers]


@pytest.fixture(params=engines_that_offer(MAPPING), ids=lambda engine: engine.name)
def handle(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Handle]:
    """A store of 1,000 entries."""
    opened = request.param.open(str(tmp_path))
    opened.put_many(dict(itertools.islice(zip(KEYS, VALUES, strict=True), 1000)))
    yield opened
    opened.close()
