"""Frames, series, plans and expressions of Polars as plain parts.

Knows: what a value of Polars consists of. Must not know: how parts are written.

A series is its name, its data type and all of its members: chunks, flags and the codes of
categories do not count. A lazy frame is its plan, if that says all: no file is scanned and no
Python function called. docs/design/hashing.md is normative.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable
from typing import Any, Final

from objcache.hashing._canonical import NoFormError

__all__ = ["structure_of"]

# Not imported by name: it may be missing where this is type checked.
pl: Any = importlib.import_module("polars")

_StandIn = tuple[str, Any]

_HAS_ARROW: Final = importlib.util.find_spec("pyarrow") is not None
# What a serialized plan contains if it calls Python (a pickle, as bytes or as a list of numbers),
# reads what may have changed, or has an identity instead of a value.
_OPAQUE: Final = re.compile(
    rb"\x80[\x04\x05]\x95.{4}\0{4}|\xcc\x80[\x04\x05]\xcc\x95(?:\xcc?.){4}\0{4}"
    rb"|\x81\xa4Scan|\x81\xaaPythonScan|\x81\xa5Cache\x82",
    re.DOTALL,
)


def structure_of(value: Any) -> _StandIn | None:
    """Return a name and plain parts that stand for *value*; None where there are none."""
    for kind in type(value).__mro__:
        handler = _BY_CLASS.get(kind)
        if handler is not None:
            return handler(value)
    return None


def _frame(value: Any) -> _StandIn:
    parts: dict[str, Any] = {"names": tuple(value.columns), "rows": value.height}
    for column in value.iter_columns():
        parts[f"column {column.name!r}"] = _members(column)
    return type(value).__name__, parts | _of(value)


def _series(value: Any) -> _StandIn:
    return type(value).__name__, {"name": value.name, **_members(value)} | _of(value)


def _members(series: Any) -> dict[str, Any]:
    dtype = series.dtype
    parts = {"dtype": _dtype_parts(dtype)}
    if _holds(dtype, pl.Object):  # before all else: Arrow would get the addresses
        return {**parts, "content": series.to_list()}
    if _HAS_ARROW and not any(_holds(dtype, kind) for kind in _WIDE):
        from objcache.hashing import _arrow  # noqa: PLC0415  # pyarrow may be missing

        return {**parts, **_arrow.content_parts(series.to_arrow())}
    if isinstance(dtype, pl.Categorical):
        return {**parts, "content": series.cast(pl.String).to_list()}
    if _holds(dtype, pl.Categorical):  # its codes are history
        raise NoFormError("nested categories need pyarrow")
    # Times of Python have no nanoseconds.
    return {**parts, "content": series.to_physical().to_list()}


def _holds(dtype: Any, kind: Any) -> bool:
    """Whether *dtype* is of *kind*, or is nested and contains it."""
    if isinstance(dtype, kind):
        return True
    inner = getattr(dtype, "inner", None)
    if inner is not None and _holds(inner, kind):
        return True
    return any(_holds(field.dtype, kind) for field in getattr(dtype, "fields", ()))


def _dtype_parts(dtype: Any) -> Any:
    """Return what stands for a data type: a text, or parts."""
    if isinstance(dtype, type):  # given as a class, as pl.Int8 inside of a type
        return dtype.__name__
    attributes = {name: _attribute(member) for name, member in vars(dtype).items()}
    name = type(dtype).__name__
    return {"dtype": name, **attributes} if attributes else name


def _attribute(member: Any) -> Any:
    if isinstance(member, (pl.DataType, type)):
        return _dtype_parts(member)
    if isinstance(member, pl.Series):  # the categories of an Enum
        return member.to_list()
    if isinstance(member, list):
        return [(field.name, _dtype_parts(field.dtype)) for field in member]
    return member


def _dtype(value: Any) -> _StandIn:
    return "dtype of polars", {"dtype": _dtype_parts(value)}


def _schema(value: Any) -> _StandIn:
    return "Schema", [(name, _dtype_parts(dtype)) for name, dtype in value.items()]


def _categories(value: Any) -> _StandIn:
    physical = _dtype_parts(value.physical())
    return "Categories", (value.name(), value.namespace(), physical)


def _plan(value: Any) -> _StandIn:
    try:
        written = value.serialize() if isinstance(value, pl.LazyFrame) else value.meta.serialize()
    except pl.exceptions.PolarsError as error:
        raise NoFormError("Polars cannot serialize it") from error
    if _OPAQUE.search(written):
        raise NoFormError("it calls Python functions, scans files that may change or is cached")
    return type(value).__name__, written


def _of(value: Any) -> dict[str, Any]:
    kind = type(value)
    if kind.__module__.partition(".")[0] == "polars":
        return {}
    attributes = {name: member for name, member in vars(value).items() if name not in {"_df", "_s"}}
    return {"class": kind, "attributes": attributes}


_WIDE: Final = tuple(getattr(pl, name) for name in ("Int128", "UInt128") if hasattr(pl, name))
_BY_CLASS: Final[dict[type, Callable[[Any], _StandIn]]] = {
    pl.DataFrame: _frame,
    pl.Series: _series,
    pl.DataType: _dtype,
    pl.LazyFrame: _plan,
    pl.Expr: _plan,
}
for _name, _handler in (("Schema", _schema), ("Categories", _categories)):
    if hasattr(pl, _name):
        _BY_CLASS[getattr(pl, _name)] = _handler
