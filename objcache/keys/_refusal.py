"""Why a value cannot be in a key, and where in the key it is.

Knows: how the way to a part is told. Must not know: what is refused.
"""

from __future__ import annotations

from typing import Final

from objcache.errors import KeyEncodingError

__all__ = ["PartRefusedError"]

_STEPS_TOLD: Final = 12


class PartRefusedError(Exception):
    """A part of a key cannot be in one; the containers on the way out each add their step.

    Never leaves this package: the path is known only once the outermost container was told,
    and building it for parts that are fine would cost every key.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.steps: list[str] = []

    def error(self, root: str) -> KeyEncodingError:
        """Return what the user sees: path and reason.

        Args:
            root: what the outermost value is called.
        """
        told = self.steps[::-1][:_STEPS_TOLD]
        more = "..." if len(self.steps) > _STEPS_TOLD else ""
        return KeyEncodingError(f"{root}{''.join(told)}{more} {self.reason}")
