"""Records that were damaged, or written by somebody without the secret.

Knows: where a record lies. Must not know: what reading it does then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from objcache.cache import Cache
from objcache.engine import Transaction
from objcache.keys import engine_key
from objcache.store import Namespace, Store

__all__ = ["damage", "damage_result", "forge", "forge_result"]


def damage(mapping: Store[Any, Any] | Namespace[Any, Any] | Cache[Any, Any], key: object) -> None:
    """Cut the record of *key*, as a bad disk may: it cannot be read any more.

    A store raises `CorruptRecordError`, a cache counts it as missing and logs it.

    Raises:
        KeyError: no such key.
    """
    _rewrite(*_place_of(mapping, key), key, _cut)


def forge(mapping: Store[Any, Any] | Namespace[Any, Any] | Cache[Any, Any], key: object) -> None:
    """Alter the record of *key*, as somebody may who does not have the secret.

    A store raises `SignatureError`, a cache counts it as missing and logs it. Nothing of it is
    decoded.

    Raises:
        KeyError: no such key.
    """
    _rewrite(*_place_of(mapping, key), key, _altered)


def damage_result(function: Any, /, *args: Any, **kwargs: Any) -> None:
    """Cut the stored result of a call of the memoized *function*; see `damage`.

    The next call computes it again, or raises where the function is `strict`.

    Raises:
        KeyError: there is none.
    """
    _rewrite(*_place_of_result(function, args, kwargs), args, _cut)


def forge_result(function: Any, /, *args: Any, **kwargs: Any) -> None:
    """Alter the stored result of a call of the memoized *function*; see `forge`.

    Raises:
        KeyError: there is none.
    """
    _rewrite(*_place_of_result(function, args, kwargs), args, _altered)


def _place_of(mapping: Any, key: object) -> tuple[Any, bytes]:
    if isinstance(mapping, Cache):
        mapping._settle()  # noqa: SLF001  # which generation is current
    return mapping._source, engine_key(mapping._prefix, key)[0]  # noqa: SLF001  # nobody else asks


def _place_of_result(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, bytes]:
    recall = function.__objcache_recall__
    if recall.hot is not None:
        recall.hot.clear()
    opened = recall.results.current()
    tail = recall.call(args, kwargs).tail
    return opened.mapping._source, opened.results.locate(tail)  # noqa: SLF001  # as above


def _rewrite(session: Any, located: bytes, key: object, change: Callable[[bytes], bytes]) -> None:
    def rewrite(transaction: Transaction) -> bool:
        record = transaction.get(located)
        if record is None:
            return False
        transaction.put(located, change(record))
        return True

    if not session.write(rewrite):
        raise KeyError(key)


def _cut(record: bytes) -> bytes:
    return record[:2]


def _altered(record: bytes) -> bytes:
    return record[:-1] + bytes([record[-1] ^ 1])
