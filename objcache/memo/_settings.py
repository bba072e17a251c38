"""What may be asked of the decorator, and what of it makes sense.

Knows: the options, their types and bounds. Must not know: how they are met.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Literal, TypedDict, cast

from objcache.memo._entries import Entry
from objcache.memo._inputs import Input

__all__ = ["Options", "Settings"]

Seconds = float | timedelta


class Options(TypedDict, total=False):
    """The options of `memoize`; their meaning is told there."""

    ignore: Collection[str]
    key: Callable[..., Any] | None
    version: object
    track: Literal["code", "self"] | None
    since: Mapping[str, object]
    reads: Sequence[Input]
    expire: Seconds | None
    stale: Seconds
    early: float
    tag: str | Collection[str]
    cache_if: Callable[[Any], bool] | None
    cache_exceptions: tuple[type[Exception], ...]
    validate: Callable[[Entry], bool] | None
    hot: int
    copy: bool
    single_flight: bool
    timeout: Seconds | None
    on_timeout: Literal["raise", "compute"]
    strict: bool
    strict_args: bool
    audit: float


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of one memoized function, checked; durations in seconds."""

    ignore: tuple[str, ...] = ()
    key: Callable[..., Any] | None = None
    version: object = None
    track: str | None = "code"
    since: tuple[tuple[str, object], ...] = ()
    reads: tuple[Input, ...] = ()
    expire: float | None = None
    stale: float = 0.0
    early: float = 0.0
    tag: tuple[str, ...] = ()
    cache_if: Callable[[Any], bool] | None = None
    cache_exceptions: tuple[type[Exception], ...] = ()
    validate: Callable[[Entry], bool] | None = None
    hot: int = 0
    copy: bool = True
    single_flight: bool = True
    timeout: float | None = None
    on_timeout: str = "raise"
    strict: bool = False
    strict_args: bool = False
    audit: float = 0.0

    @classmethod
    def of(cls, options: Options) -> Settings:
        """Return *options*, checked.

        Raises:
            TypeError: an option that there is not, or of a wrong type.
            ValueError: a value out of its bounds, or options that contradict each other.
        """
        known = {field.name for field in fields(cls)}
        for name in options:
            if name not in known:
                raise TypeError(
                    f"memoize has no option {name!r}; it has {', '.join(sorted(known))}"
                )
        given = cast("dict[str, Any]", dict(options))
        for name, check in _CHECKS.items():
            if name in given:
                given[name] = check(name, given[name])
        settings = cls(**given)
        settings._agree()
        return settings

    def _agree(self) -> None:
        if self.stale and self.expire is None:
            raise ValueError("stale= is how long a result is served after expire=; give both")
        if self.early and self.expire is None:
            raise ValueError("early= refreshes results before expire=; give both")
        if self.key is not None and (self.ignore or self.since):
            raise ValueError("key= makes the whole key itself; leave ignore= and since= out")

    @property
    def looks_closer(self) -> bool:
        """Whether a hit is more than a record that is not over."""
        return bool(self.validate or self.audit or self.strict_args)


def _seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}= is a number of seconds or a timedelta, not {_kind(value)}")
    if not 0 <= value < 1e11:
        raise ValueError(f"{name}={value!r} is not a duration: it must be 0 or more seconds")
    return float(value)


def _expiry(name: str, value: Any) -> float | None:
    seconds = _seconds(name, value)
    if seconds == 0:
        raise ValueError("expire=0 would store results that are over at once; leave memoize out")
    return seconds


def _duration(name: str, value: Any) -> float:
    seconds = _seconds(name, value)
    if seconds is None:
        raise TypeError(f"{name}= is a number of seconds or a timedelta, not None")
    return seconds


def _names(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise TypeError(f"{name}= is a list of names, not the one str {value!r}")
    return _texts(name, value)


def _texts(name: str, value: Any) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else tuple(value)
    for text in texts:
        if not isinstance(text, str) or not text:
            raise TypeError(f"{name}= takes non-empty str, not {text!r}")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise ValueError(f"{name}={text!r} has a lone surrogate, which no record can hold")
    return texts


def _function(name: str, value: Any) -> Any:
    if value is not None and not callable(value):
        raise TypeError(f"{name}= is a function, not {_kind(value)}")
    return value


def _track(_: str, value: Any) -> Any:
    if value not in {"code", "self", None}:
        raise ValueError(f"track={value!r} is not 'code', 'self' or None")
    return value


def _since(_: str, value: Any) -> tuple[tuple[str, object], ...]:
    if not isinstance(value, Mapping):
        raise TypeError(f"since= is a dict of parameters and defaults, not {_kind(value)}")
    return tuple(value.items())


def _reads(_: str, value: Any) -> tuple[Input, ...]:
    if isinstance(value, Input):
        return (value,)
    for declared in value:
        if not isinstance(declared, Input):
            raise TypeError(f"reads= takes File, Env and Package, not {_kind(declared)}")
    return tuple(value)


def _exceptions(_: str, value: Any) -> tuple[type[Exception], ...]:
    kinds = (value,) if isinstance(value, type) else tuple(value)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise TypeError(f"cache_exceptions= takes subclasses of Exception, not {kind!r}")
    return kinds


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}= is a number of results, not {_kind(value)}")
    if value < 0:
        raise ValueError(f"{name}={value} is negative")
    return value


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name}= is True or False, not {_kind(value)}")
    return value


def _share(name: str, value: Any) -> float:
    number = _factor(name, value)
    if number > 1:
        raise ValueError(f"{name}={value!r} is a share of the hits: between 0 and 1")
    return number


def _factor(name: str, value: Any) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"{name}= is a number, not {_kind(value)}")
    if not 0 <= value < 1e6:
        raise ValueError(f"{name}={value!r} must be 0 or more")
    return float(value)


def _on_timeout(_: str, value: Any) -> str:
    if value not in {"raise", "compute"}:
        raise ValueError(f"on_timeout={value!r} is not 'raise' or 'compute'")
    return str(value)


def _kind(value: Any) -> str:
    return type(value).__name__


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "ignore": _names,
    "key": _function,
    "track": _track,
    "since": _since,
    "reads": _reads,
    "expire": _expiry,
    "stale": _duration,
    "early": _factor,
    "tag": _texts,
    "cache_if": _function,
    "cache_exceptions": _exceptions,
    "validate": _function,
    "hot": _count,
    "copy": _flag,
    "single_flight": _flag,
    "timeout": _seconds,
    "on_timeout": _on_timeout,
    "strict": _flag,
    "strict_args": _flag,
    "audit": _share,
}
