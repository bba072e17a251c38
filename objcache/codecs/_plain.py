"""Which values data-only codecs keep: those that come back equal.

Knows: the types that JSON and msgpack can tell apart. Must not know: their bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from objcache.codecs._wording import key_text, type_name
from objcache.errors import EncodeError

__all__ = ["MAX_DEPTH", "check_plain", "text_refusal"]

MAX_DEPTH: Final = 500
"""How deep lists and dicts may nest; what is stored must load again from deep in a program."""

_SMALL: Final = 1 << 63

_Refused = tuple[list[str], Any, str]


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
    try:
        refused = _Rules(codec, refusal, key_refusal).first_refused(value, set())
    except RecursionError as error:
        reason = f"it nests too deeply, lists and dicts may nest {MAX_DEPTH} deep"
        raise EncodeError("value", type_name(value), reason) from error
    if refused:
        # The steps were collected from the inside out: a path costs only where it is needed.
        steps, culprit, reason = refused
        raise EncodeError(f"value{''.join(reversed(steps))}", type_name(culprit), reason)


class _Rules:
    """What one codec keeps."""

    def __init__(
        self, codec: str, refusal: Callable[[Any], str], key_refusal: Callable[[Any], str]
    ) -> None:
        self._codec = codec
        self._refusal = refusal
        self._key_refusal = key_refusal

    def first_refused(self, part: Any, above: set[int]) -> _Refused | None:
        """Return the steps to the first part that is refused, the part, and why."""
        kind = type(part)
        if kind is not list and kind is not dict:
            reason = self._refusal(part)
            return ([], part, f"the {self._codec} codec {reason}") if reason else None
        if id(part) in above:
            return [], part, "it contains itself"
        if len(above) == MAX_DEPTH:
            raise RecursionError
        above.add(id(part))
        refused = self._in_list(part, above) if kind is list else self._in_dict(part, above)
        above.discard(id(part))
        return refused

    # Most parts are short of a call here: that makes data-only codecs faster by half.
    def _in_list(self, parts: list[Any], above: set[int]) -> _Refused | None:
        for number, part in enumerate(parts):
            kind = type(part)
            if (kind is str and part.isascii()) or (kind is int and -_SMALL < part < _SMALL):
                continue
            if refused := self.first_refused(part, above):
                refused[0].append(f"[{number}]")
                return refused
        return None

    def _in_dict(self, parts: dict[Any, Any], above: set[int]) -> _Refused | None:
        for key, part in parts.items():
            if not (type(key) is str and key.isascii()) and (reason := self._key_refusal(key)):
                return [f": key {key_text(key)}"], key, f"the {self._codec} codec {reason}"
            kind = type(part)
            if (kind is str and part.isascii()) or (kind is int and -_SMALL < part < _SMALL):
                continue
            if refused := self.first_refused(part, above):
                refused[0].append(f"[{key_text(key)}]")
                return refused
        return None


def text_refusal(text: str) -> str:
    """Return why *text* is refused: it has code points that UTF-8 does not have."""
    if text.isascii():
        return ""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "keeps text only that UTF-8 can encode"
    return ""
