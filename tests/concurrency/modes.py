"""The modes of durability in which the tests of several processes run."""

from __future__ import annotations

from typing import Any

from objcache.engine import DURABILITIES

MODES: dict[str, dict[str, Any]] = {
    mode: {"durability": mode, **options}
    for mode, options in (
        ("process", {}),
        ("commit", {}),
        # Checkpoints follow each other closely, so that every test meets some.
        ("checkpoint", {"checkpoint_interval": 0.02}),
    )
    if mode in DURABILITIES
}
"""What a store is opened with, by the name of its durability."""
