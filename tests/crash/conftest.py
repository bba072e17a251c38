"""The crash tests run with `-m campaign` until the checkpoint mode is the default."""

from __future__ import annotations

import pathlib

import pytest

HERE = pathlib.Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep them out of the default test command."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.campaign)
