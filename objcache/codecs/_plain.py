"""Which values data-only codecs keep: those that come back equal.

Knows: the types that JSON and msgpack can tell apart. Must not know: their bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from objcache.errors import EncodeError

__all__ = ["check_plain"]


def check_plain(
    value: Any, codec: str, refusal: Callable[[Any], str], key_refusal: Callable[[Any], str]
) -> None:
    """Refuse what *codec* would change silently or cannot store.

    Args:
        value: lists and dicts are looked into.
        codec: its name, for the message.
        refusal: why a value that is neither list nor dict is refused; "" if it is not.
        key_refusal: likewise for the key of a dict.

    Raises:
        EncodeError: with the path to the first part that is refused.
    """
    open_ids: set[int] = set()

    def check(part: Any, path: str) -> None:
        kind = type(part)
        if kind is not list and kind is not dict:
            reason = refusal(part)
            if reason:
                raise EncodeError(path, _name(part), f"the {codec} codec {reason}")
            return
        if id(part) in open_ids:
            raise EncodeError(path, _name(part), "it contains itself")
        open_ids.add(id(part))
        if kind is list:
            for number, child in enumerate(part):
                check(child, f"{path}[{number}]")
        else:
            for key, child in part.items():
                reason = key_refusal(key)
                if reason:
                    raise EncodeError(
                        f"{path}: key {key!r}", _name(key), f"the {codec} codec {reason}"
                    )
                check(child, f"{path}[{key!r}]")
        open_ids.discard(id(part))

    try:
        check(value, "value")
    except RecursionError as error:
        raise EncodeError("value", _name(value), "it nests too deeply") from error


def _name(value: Any) -> str:
    kind = type(value)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
