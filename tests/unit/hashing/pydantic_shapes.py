"""Models made by pydantic, whose instances the corpus compares.

Knows: pydantic. Must not know: hashes.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, PrivateAttr


class Model(BaseModel):
    """A required field and a default."""

    name: str
    depth: int = 3


class Twin(BaseModel):
    """The same fields under another name."""

    name: str
    depth: int = 3


class Open(BaseModel):
    """Takes fields that are not declared."""

    model_config = ConfigDict(extra="allow")

    name: str


class Private(BaseModel):
    """With an attribute that is no field."""

    name: str
    _seen: int = PrivateAttr(default=0)

    def after(self, seen):
        """Return the model after *seen* was noted."""
        self._seen = seen
        return self


class Nested(BaseModel):
    """Models in a model."""

    models: list[Model]
