"""How the errors of this package name parts of a value.

Knows: wording that no value can make fail. Must not know: what went wrong.
"""

from __future__ import annotations

from typing import Any

__all__ = ["class_name", "failure_text", "key_text", "message_of", "type_name"]

_MOST_CHARACTERS = 60
_PLAIN = frozenset({type(None), bool, int, float, str, bytes})


def type_name(value: Any) -> str:
    """Return the qualified name of the type of *value*, without `builtins`."""
    return class_name(type(value))


def class_name(kind: type) -> str:
    """Return the qualified name of *kind*, without `builtins`."""
    try:
        module, name = kind.__module__, kind.__qualname__
    except Exception:  # noqa: BLE001  # a metaclass may answer with anything
        return "?"
    return str(name) if module == "builtins" else f"{module}.{name}"


def key_text(key: Any) -> str:
    """Return how *key* is written in a path; only plain keys are asked for their `repr`."""
    if type(key) in _PLAIN:
        try:
            text = repr(key)
        except ValueError:  # an integer of more digits than Python writes out
            return f"<{type_name(key)}>"
        if len(text) <= _MOST_CHARACTERS:
            return text
    return f"<{type_name(key)}>"


def message_of(error: BaseException) -> str:
    """Return what *error* says, or its type where it says nothing."""
    try:
        return str(error) or type_name(error)
    except Exception:  # noqa: BLE001  # an exception's own __str__ may fail
        return type_name(error)


def failure_text(error: BaseException) -> str:
    """Return the type of *error* and what it says."""
    return f"{type(error).__name__}: {message_of(error)}"
