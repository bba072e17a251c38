"""Other boots of the machine."""

from __future__ import annotations

import pytest

from objcache.engine import _boot


@pytest.fixture
def boot(tmp_path, monkeypatch):
    """Make this another boot of the machine, whenever it is called."""
    file = tmp_path / "boot_id"
    count = [0]

    def again():
        count[0] += 1
        file.write_text(f"00000000-0000-0000-0000-{count[0]:012}\n")

    again()
    monkeypatch.setattr(_boot, "BOOT_ID_FILE", str(file))
    return again
