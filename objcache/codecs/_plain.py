"""Which values data-only codecs keep: those that come back equal.

Knows: the types that JSON and msgpack can tell apart. Must not know: their bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from objcache.codecs._wording import key_text, type_name
from objcache.errors import EncodeError

__all__ = ["MAX_DEPTH", "check_plain", "text_refusal"]

MAX_DEPTH: Final = 500
"""How deep lists and dicts may nest; what is stored must load again from deep in a program."""

_SMALL: Final = 1 << 63


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
    if type(value) is list or type(value) is dict:
        _Walk(value, codec, refusal, key_refusal).check()
    elif reason := refusal(value):
        raise EncodeError("value", type_name(value), f"the {codec} codec {reason}")


class _Walk:
    """Goes through a value without recursion: how deep the caller is does not count."""

    def __init__(
        self,
        value: Any,
        codec: str,
        refusal: Callable[[Any], str],
        key_refusal: Callable[[Any], str],
    ) -> None:
        self._codec = codec
        self._refusal = refusal
        self._key_refusal = key_refusal
        self._open: list[Any] = []
        self._open_ids: set[int] = set()
        self._rests: list[Iterator[tuple[Any, Any]]] = []
        self._keys: list[Any] = []
        self._enter(value)

    def check(self) -> None:
        """Raise EncodeError for the first part that is refused."""
        while self._open:
            inner = self._next_container()
            if inner is None:
                self._open_ids.discard(id(self._open.pop()))
                self._rests.pop()
                self._keys.pop()
            elif id(inner) in self._open_ids:
                raise EncodeError(self._path(), type_name(inner), "it contains itself")
            elif len(self._open) == MAX_DEPTH:
                reason = f"it nests too deeply, lists and dicts may nest {MAX_DEPTH} deep"
                raise EncodeError(self._path(1), type_name(self._open[1]), reason)
            else:
                self._enter(inner)

    def _enter(self, container: Any) -> None:
        self._open.append(container)
        self._open_ids.add(id(container))
        self._rests.append(
            enumerate(container) if type(container) is list else iter(container.items())
        )
        self._keys.append(None)

    def _next_container(self) -> Any:
        """Return the next list or dict in the innermost open one, past what is kept; or None."""
        keyed = type(self._open[-1]) is dict
        for key, part in self._rests[-1]:
            self._keys[-1] = key
            if keyed and not (type(key) is str and key.isascii()):
                self._check_key(key)
            kind = type(part)
            # Most parts end here, without a call.
            if (kind is str and part.isascii()) or (kind is int and -_SMALL < part < _SMALL):
                continue
            if kind is list or kind is dict:
                return part
            if reason := self._refusal(part):
                raise EncodeError(
                    self._path(), type_name(part), f"the {self._codec} codec {reason}"
                )
        return None

    def _check_key(self, key: Any) -> None:
        if reason := self._key_refusal(key):
            path = f"{self._path(-1)}: key {key_text(key)}"
            raise EncodeError(path, type_name(key), f"the {self._codec} codec {reason}")

    def _path(self, end: int | None = None) -> str:
        return "value" + "".join(f"[{key_text(key)}]" for key in self._keys[:end])


def text_refusal(text: str) -> str:
    """Return why *text* is refused: it has code points that UTF-8 does not have."""
    if text.isascii():
        return ""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "keeps text only that UTF-8 can encode"
    return ""
