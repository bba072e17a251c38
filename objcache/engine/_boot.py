"""Which boot of the machine this is: a power cut is between two of them.

Knows: where the system says so. Must not know: what follows from it.
"""

from __future__ import annotations

__all__ = ["BOOT_ID_FILE", "boot_id"]

BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"


def boot_id() -> bytes | None:
    """Return the 16 bytes that the kernel made up when it began (random(4)); None if it has not."""
    try:
        with open(BOOT_ID_FILE, encoding="ascii") as file:
            boot = bytes.fromhex(file.read().replace("-", ""))
    except (OSError, ValueError):
        return None
    return boot if len(boot) == 16 else None
