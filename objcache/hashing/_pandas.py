"""Frames, series, indexes, arrays and scalars of pandas as plain parts.

Knows: what a value of pandas consists of. Must not know: how parts are written.

A frame is its column labels, its index and its columns, each with its data type: blocks, views,
chunks, unused levels and the `freq` of a datetime index do not count. A RangeIndex is an index
of its numbers. docs/design/hashing.md is normative.
"""

from __future__ import annotations

import datetime as dt
import importlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from objcache.hashing import _numpy
from objcache.hashing._canonical import NoFormError

__all__ = ["structure_of"]

# Not imported by name: the types of pandas are not known to type checkers.
pd: Any = importlib.import_module("pandas")

_StandIn = tuple[str, Any]

_CHUNK: Final = 1 << 16
_MOST_COPIED_BYTES: Final = 1 << 25
_REMEMBERING: Final = frozenset({"BaseGroupBy", "BaseWindow"})
_FRAMES: Final = frozenset({"_mgr", "_item_cache", "_attrs", "_flags", "_cacher", "_is_copy"})
_INDEXES: Final = frozenset({"_data", "_cache", "_name", "_id", "_range"})


def structure_of(value: Any) -> _StandIn | None:
    """Return a name and plain parts that stand for *value*; None where there are none."""
    for kind in type(value).__mro__:
        handler = _BY_CLASS.get(kind)
        if handler is not None:
            return handler(value)
        if kind.__name__ in _REMEMBERING:
            raise NoFormError("it remembers its uses; pass the frame and how to group it")
    return None


# -- frames ----------------------------------------------------------------------------------


def _frame(value: Any) -> _StandIn:
    parts = {"columns": _index_parts(value.columns), "index": _index_parts(value.index)}
    for number, (label, members) in enumerate(zip(value.columns, _columns(value), strict=True)):
        name = f"column {label!r}" if type(label) in {str, int} else f"column number {number}"
        if name in parts:
            name = f"{name} (number {number})"
        parts[name] = members
    return _name_of(value, "DataFrame"), parts | _marks(value)


def _columns(value: Any) -> Iterator[dict[str, Any]]:
    """Give what stands for the members of each column."""
    kinds: set[Any] = set(value.dtypes)
    plain = len(kinds) == 1 and type(value) is pd.DataFrame
    sizes = [kind.itemsize for kind in kinds if isinstance(kind, np.dtype)]
    if plain and sizes and value.size * sizes[0] <= _MOST_COPIED_BYTES:
        # A series for each column costs more than hashing a thousand numbers does. Of several
        # blocks this is a copy, so not of what is large.
        whole = value.to_numpy()
        for number in range(whole.shape[1]):
            yield _numpy.column_parts(whole[:, number])
        return
    for _, column in value.items():  # noqa: PERF102  # of a frame, `values` is an array
        yield _members(column)


def _series(value: Any) -> _StandIn:
    parts = {"name": value.name, "index": _index_parts(value.index), **_members(value)}
    return _name_of(value, "Series"), parts | _marks(value)


def _members(value: Any) -> dict[str, Any]:
    """Return what stands for the members of a series or an index."""
    if isinstance(value.dtype, np.dtype):
        return _numpy.column_parts(value.to_numpy())
    return _array_parts(value.array)


def _marks(value: Any) -> dict[str, Any]:
    """Return what else there may be to a frame or a series."""
    parts: dict[str, Any] = {}
    if value.attrs:
        parts["attrs"] = value.attrs
    if not value.flags.allows_duplicate_labels:
        parts["flags"] = "no duplicate labels"
    if not _is_own(type(value)):
        kept = {name: getattr(value, name, None) for name in value._metadata}  # noqa: SLF001  # documented for subclasses
        attributes = _numpy.attributes_of(value, _FRAMES)
        parts |= {"class": type(value), "attributes": {**attributes, **kept}}
    return parts


def _is_own(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "pandas"


def _name_of(value: Any, name: str) -> str:
    return name if _is_own(type(value)) else type(value).__name__


# -- indexes ---------------------------------------------------------------------------------


def _index(value: Any) -> _StandIn:
    parts = _index_parts(value)
    return _name_of(value, "MultiIndex" if "levels" in parts else "Index"), parts


def _index_parts(value: Any) -> dict[str, Any]:
    if isinstance(value, pd.MultiIndex):
        # By rows: which levels are unused, and the order of their values, is history.
        levels = [_index_parts(value.get_level_values(n)) for n in range(value.nlevels)]
        parts: dict[str, Any] = {"length": len(value), "levels": levels}
    elif isinstance(value, pd.RangeIndex):
        content = _numpy.digest_of(_runs(value))
        parts = {"name": value.name, "length": len(value), "dtype": "int64", "content": content}
    else:
        parts = {"name": value.name, "length": len(value), **_members(value)}
    if not _is_own(type(value)):
        attributes = _numpy.attributes_of(value, _INDEXES)
        parts |= {"class": type(value), "attributes": attributes}
    return parts


def _runs(value: Any) -> Iterator[Any]:
    """Give the numbers of a RangeIndex as arrays, never all of them at once."""
    numbers = range(value.start, value.stop, value.step)
    for first in range(0, len(numbers), _CHUNK):
        run = numbers[first : first + _CHUNK]
        yield np.arange(run.start, run.stop, run.step, dtype=np.int64)


# -- arrays ----------------------------------------------------------------------------------


def _array(value: Any) -> _StandIn | None:
    if not _is_own(type(value)):
        return None
    return type(value).__name__, {"length": len(value), **_array_parts(value)}


def _array_parts(value: Any) -> dict[str, Any]:
    """Return what stands for an extension array but for its length."""
    dtype = _dtype_parts(value.dtype)
    parts = dtype if type(dtype) is dict else {"dtype": dtype}
    if _is_own(type(value)):
        for kind in type(value).__mro__:
            handler = _ARRAYS.get(kind)
            if handler is not None:
                return {**parts, **handler(value)}
    return {**parts, "content": value}


def _categorical(value: Any) -> dict[str, Any]:
    codes = value.codes
    # How wide the codes are follows from the number of categories, unless somebody set them.
    return {"codes": _numpy.content_of(codes.astype(np.min_scalar_type(-len(value.categories))))}


def _moments(value: Any) -> dict[str, Any]:
    return {"content": _numpy.content_of(value.asi8)}


def _intervals(value: Any) -> dict[str, Any]:
    return {"left": _members(value.left), "right": _members(value.right)}


def _sparse(value: Any) -> dict[str, Any]:
    places, stored, fill = value.sp_index.indices, value.sp_values, value.fill_value
    # A stored fill value is as one that is not stored.
    kept = ~pd.isna(stored) if pd.isna(fill) else stored != fill
    if stored.dtype.kind == "f":
        kept |= np.signbit(stored) != np.signbit(fill)
    content = _numpy.column_parts(np.asarray(stored[kept]))["content"]
    return {"places": _numpy.content_of(places[kept].astype(np.int64)), "content": content}


def _maybe_missing(value: Any) -> dict[str, Any]:
    missing, kind = value.isna(), value.dtype.numpy_dtype
    if not missing.any():
        return {"content": _numpy.content_of(value.to_numpy(dtype=kind))}
    content = value.to_numpy(dtype=kind, na_value=np.zeros((), kind)[()])
    return {"content": _numpy.content_of(content), "missing": _numpy.content_of(missing)}


def _arrow(value: Any) -> dict[str, Any]:
    from objcache.hashing import _arrow  # noqa: PLC0415  # pyarrow may be missing

    chunked = value.__arrow_array__()
    if isinstance(value.dtype, pd.StringDtype):
        return _arrow.text_parts(chunked)
    return _arrow.content_parts(chunked)


_ARRAYS: Final[dict[type, Callable[[Any], dict[str, Any]]]] = {
    pd.Categorical: _categorical,
    pd.arrays.DatetimeArray: _moments,
    pd.arrays.TimedeltaArray: _moments,
    pd.arrays.PeriodArray: _moments,
    pd.arrays.IntervalArray: _intervals,
    pd.arrays.SparseArray: _sparse,
    pd.arrays.ArrowExtensionArray: _arrow,
    pd.arrays.ArrowStringArray: _arrow,
    pd.arrays.StringArray: lambda value: {"content": value.to_numpy(na_value=None).tolist()},
    pd.arrays.NumpyExtensionArray: lambda value: _numpy.column_parts(value.to_numpy()),
    **dict.fromkeys(
        (pd.arrays.IntegerArray, pd.arrays.FloatingArray, pd.arrays.BooleanArray), _maybe_missing
    ),
}


# -- data types ------------------------------------------------------------------------------


def _dtype_parts(dtype: Any) -> Any:
    """Return what stands for a data type: a text, or parts."""
    if isinstance(dtype, np.dtype):
        return _numpy.dtype_parts(dtype)
    if isinstance(dtype, pd.CategoricalDtype):
        categories = dtype.categories
        return {
            "dtype": "category",
            "categories": None if categories is None else _index_parts(categories),
            "ordered": dtype.ordered,
        }
    if isinstance(dtype, pd.DatetimeTZDtype):
        return {"dtype": f"datetime64[{dtype.unit}]", "tz": _zone(dtype.tz)}
    if isinstance(dtype, pd.IntervalDtype):
        subtype = None if dtype.subtype is None else _dtype_parts(dtype.subtype)
        return {"dtype": "interval", "subtype": subtype, "closed": dtype.closed}
    if isinstance(dtype, pd.SparseDtype):
        return {"dtype": "Sparse", "subtype": _dtype_parts(dtype.subtype), "fill": dtype.fill_value}
    if isinstance(dtype, pd.StringDtype):
        return {"dtype": "string", "storage": dtype.storage, "na_value": dtype.na_value}
    if isinstance(dtype, pd.ArrowDtype):
        from objcache.hashing import _arrow  # noqa: PLC0415  # pyarrow may be missing

        return {"dtype": "arrow", "type": _arrow.type_parts(dtype.pyarrow_dtype)}
    return dtype.name if _is_own(type(dtype)) else dtype


def _dtype(value: Any) -> _StandIn | None:
    if not _is_own(type(value)):
        return None
    return "dtype of pandas", {"class": type(value).__name__, "dtype": _dtype_parts(value)}


def _zone(zone: Any) -> Any:
    """Return what stands for a time zone, of whatever package."""
    if zone is None:
        return None
    offset = zone.utcoffset(None)
    if offset == dt.timedelta(0):
        return "UTC"
    return getattr(zone, "key", None) or getattr(zone, "zone", None) or offset or zone


# -- scalars ---------------------------------------------------------------------------------


def _timestamp(value: Any) -> _StandIn:
    number = value.asm8.view(np.int64).item()
    return "Timestamp", {"value": number, "unit": value.unit, "tz": _zone(value.tz)} | _of(value)


def _timedelta(value: Any) -> _StandIn:
    number = value.asm8.view(np.int64).item()
    return "Timedelta", {"value": number, "unit": value.unit} | _of(value)


def _period(value: Any) -> _StandIn:
    return "Period", {"ordinal": value.ordinal, "freq": value.freqstr} | _of(value)


def _interval(value: Any) -> _StandIn:
    return "Interval", {"left": value.left, "right": value.right, "closed": value.closed}


def _offset(value: Any) -> _StandIn:
    _, arguments, state = (*value.__reduce__(), None)[:3]
    # The attributes of a DateOffset are its arguments; what follows from them is private.
    attributes = {name: part for name, part in (state or {}).items() if not name.startswith("_")}
    parts = {"class": type(value), "arguments": arguments, "attributes": attributes}
    return type(value).__name__, parts


def _of(value: Any) -> dict[str, Any]:
    if _is_own(type(value)):
        return {}
    return {"class": type(value), "attributes": _numpy.attributes_of(value)}


_BY_CLASS: Final[dict[type, Callable[[Any], _StandIn | None]]] = {
    pd.DataFrame: _frame,
    pd.Series: _series,
    pd.Index: _index,
    pd.api.extensions.ExtensionArray: _array,
    pd.api.extensions.ExtensionDtype: _dtype,
    pd.Timestamp: _timestamp,
    pd.Timedelta: _timedelta,
    pd.Period: _period,
    pd.Interval: _interval,
    type(pd.NaT): lambda _: ("NaT", None),
    type(pd.NA): lambda _: ("NA", None),
    pd.offsets.BaseOffset: _offset,
}
