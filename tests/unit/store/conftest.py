"""A store to be damaged, made once for each module that does so."""

from __future__ import annotations

import os

import pytest

from objcache.engine import FILE_NAME
from tests.unit.store.damaging import Layout, build


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A whole store with every kind of page."""
    path = str(tmp_path_factory.mktemp("origin") / "store")
    build(path)
    return path


@pytest.fixture(scope="module")
def layout(origin):
    """What lies on which of its pages."""
    return Layout(os.path.join(origin, FILE_NAME))
