"""Arrays, scalars and data types of NumPy as plain parts.

Knows: what a NumPy value consists of. Must not know: how parts are written.

An array is its data type, its shape and its content in C order, whatever lies in memory: strides,
padding, the writeable flag and a mapped file do not count. All NaNs are one; -0.0 is not 0.0.
docs/design/hashing.md is normative.
"""

from __future__ import annotations

import copyreg
import functools
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final

import numpy as np
from blake3 import blake3

from objcache.hashing._canonical import NoFormError

__all__ = ["array_parts", "attributes_of", "column_parts", "content_of", "dtype_parts"]
__all__ += ["structure_of", "text_of_digest"]

_Array = np.ndarray[Any, Any]
_DType = np.dtype[Any]
_StandIn = tuple[str, Any]

# What of a chunk is in the cache when it was searched for NaNs is hashed from there: half of the
# second level cache of small machines. A scan of its own would take as long as the hash.
_CHUNK_BYTES: Final = 1 << 19
# Below, looking takes as long as hashing.
_LEAST_KNOWN_BYTES: Final = 1 << 14
_MOST_KNOWN: Final = 1 << 10  # of one mapping: overlapping slices have no end
_LITTLE: Final = sys.byteorder == "little"
_MAPPED: Final = frozenset({"_mmap", "filename", "mode", "offset"})
_MASKED: Final = frozenset(
    {
        *("_mask", "_fill_value", "_hardmask", "_sharedmask", "_isfield"),
        *("_baseclass", "_optinfo", "_basedict"),
    }
)


def structure_of(value: Any) -> _StandIn | None:
    """Return a name and plain parts that stand for *value*; None where there are none."""
    if isinstance(value, np.ndarray):
        if isinstance(value, np.ma.MaskedArray):
            return _masked(value)
        return _array(value)
    if isinstance(value, np.generic):
        return _scalar(value)
    if isinstance(value, np.dtype):
        return "dtype", _layout(value)
    if isinstance(value, np.ufunc):
        return "ufunc", _name_of_ufunc(value)
    kind = type(value)
    other = _OTHERS.get(kind.__name__) if _is_own(kind) else None
    return None if other is None else other(value)


def array_parts(array: _Array) -> dict[str, Any]:
    """Return what stands for *array*, of which only what a plain array has counts."""
    return {**column_parts(array), "shape": array.shape}


def column_parts(array: _Array) -> dict[str, Any]:
    """Return what stands for *array* but for its shape."""
    dtype = array.dtype
    if dtype.names is not None:
        # Field by field: neither the offsets nor what lies between the fields counts.
        titles = _titles(dtype)
        parts: dict[str, Any] = {"dtype": "struct", "fields": (dtype.names, titles)}
        for name in dtype.names:
            parts[f"field {name!r}"] = array_parts(array[name])
        return parts
    if dtype.hasobject:
        return {"dtype": dtype_parts(dtype), "content": array.reshape(-1).tolist()}
    if dtype.kind == "T":
        return {"dtype": dtype_parts(dtype), "content": array.reshape(-1).tolist()}
    return {"dtype": dtype_parts(dtype), "content": content_of(array)}


def _is_own(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "numpy"


# -- content ---------------------------------------------------------------------------------


def content_of(array: _Array) -> str:
    """Return the BLAKE3 of the members of *array*, neither objects nor structures, in C order.

    Cost: proportional to the size; a chunk of what is not contiguous is copied at a time. What
    lies in memory that never changes is hashed once (docs/design/hashing.md).
    """
    known = None if array.flags.writeable else _known_contents(array)
    if known is None:
        return _hashed(array)
    dtype = array.dtype
    place = (array.ctypes.data, array.shape, array.strides, dtype.char, dtype)
    found = known.get(place)
    if found is None:
        found = _hashed(array)
        if len(known) >= _MOST_KNOWN:
            known.clear()
        known[place] = found
    return found


def _known_contents(array: _Array) -> dict[Any, str] | None:
    """Return what is known of the memory that *array* lies in; None if that could change."""
    if array.nbytes < _LEAST_KNOWN_BYTES:
        return None
    owner: Any = array.base
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if type(owner) is not memoryview:
        return None
    known = getattr(owner.obj, "__objcache_contents__", None)
    return known if type(known) is dict else None  # some objects have any attribute


def _hashed(array: _Array) -> str:
    if array.flags.c_contiguous:
        return digest_of((array.reshape(-1),))
    # Of a single stride the iterator gives a view, of others copies of this many members.
    size = max(_CHUNK_BYTES // max(array.itemsize, 1), 1)
    options = ["external_loop", "buffered", "zerosize_ok"]
    return digest_of(np.nditer(array, options, order="C", buffersize=size))  # type: ignore[call-overload]  # flags


def digest_of(runs: Iterable[_Array]) -> str:
    """Return the BLAKE3 of arrays of one dimension and one data type, one after the other."""
    hasher = blake3()
    for run in runs:
        for chunk in _chunks(run):
            hasher.update(chunk.view(np.uint8).data)
    return text_of_digest(hasher)


def text_of_digest(hasher: blake3) -> str:
    """Return what stands for bytes that were hashed: as text, because reports show it."""
    return f"blake3 {hasher.hexdigest()}"


def _chunks(run: _Array) -> Iterator[_Array]:
    """Give the bytes of *run* as contiguous arrays, with one NaN for all."""
    dtype = run.dtype
    if not dtype.itemsize or not run.size:
        return
    if run.flags.c_contiguous and dtype.kind not in "fc":
        yield run
        return
    canonical = _CANONICAL.get(dtype.char, np.asarray)
    size = max(_CHUNK_BYTES // dtype.itemsize, 1)
    for start in range(0, run.size, size):
        yield canonical(np.ascontiguousarray(run[start : start + size]))


def _without_nans(chunk: _Array) -> _Array:
    real = chunk.view(chunk.real.dtype)
    # The minimum is NaN if anything is, and takes no memory.
    with np.errstate(invalid="ignore"):
        least = np.minimum.reduce(real)
    if least == least:  # noqa: PLR0124  # NaN
        return chunk
    nans = np.isnan(real)
    canonical = np.array(np.nan, real.dtype)
    bits = f"u{real.itemsize}"
    if np.count_nonzero(nans) == np.count_nonzero(real.view(bits) == canonical.view(bits)):
        return chunk
    real = real.copy()
    np.copyto(real, canonical, where=nans)
    return real


def _without_half_nans(chunk: _Array) -> _Array:
    bits = chunk.view(np.dtype(np.uint16).newbyteorder(chunk.dtype.byteorder))
    nans = (bits & 0x7FFF) > 0x7C00  # arithmetic of halves is not done by hardware
    if not nans.any():
        return chunk
    bits = bits.copy()
    bits[nans] = 0x7E00
    return bits


def _without_padding(chunk: _Array) -> _Array:
    real = chunk.view(chunk.real.dtype).copy()
    real[np.isnan(real)] = np.nan
    if np.finfo(real.dtype).nmant == 63:  # the ten bytes of x87, and some that nobody writes
        used = slice(0, 10) if _is_little(real.dtype) else slice(-10, None)
        content = np.zeros((real.size, real.itemsize), np.uint8)
        content[:, used] = real.view(np.uint8).reshape(content.shape)[:, used]
        return content.reshape(-1)
    return real


_CANONICAL: Final[dict[str, Callable[[_Array], _Array]]] = {
    **dict.fromkeys("fdFD", _without_nans),
    **dict.fromkeys("gG", _without_padding),
    "e": _without_half_nans,
}


# -- data types ------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1024)
def dtype_parts(dtype: _DType) -> Any:
    """Return what stands for the data type of members: a text, or parts.

    The order of bytes, the unit of times and the length of texts count; metadata and the
    layout of structures do not, titles do, as for `==` of arrays.
    """
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"dtype": dtype_parts(base), "shape": shape}
    if dtype.names is not None:
        fields = {name: dtype_parts(dtype[name]) for name in dtype.names}
        return {"names": (dtype.names, _titles(dtype)), "fields": fields}
    if dtype.kind == "T":
        missing = getattr(dtype, "na_object", "no")
        coerce = dtype.coerce  # type: ignore[attr-defined]  # StringDType
        return {"dtype": "StringDType", "missing": missing, "coerce": coerce}
    if dtype.isbuiltin == 2:  # of another package, as bfloat16 is
        return f"{dtype.type.__module__}.{dtype.type.__qualname__}"
    if not _is_own(type(dtype)):
        raise NoFormError("how such members are kept is not known")
    return dtype.name if _is_little(dtype) else f"{dtype.name}, big-endian"


def _is_little(dtype: _DType) -> bool:
    return dtype.byteorder in ("<=|" if _LITTLE else "<|")


def _titles(dtype: _DType) -> tuple[Any, ...]:
    # A field is its data type, its offset and, if it has one, its title.
    return tuple(_fields(dtype)[name][2:] for name in dtype.names or ())


def _fields(dtype: _DType) -> Any:
    return dtype.fields


def _layout(dtype: _DType) -> dict[str, Any]:
    """Return what stands for a data type that is itself the value: here the layout counts."""
    if dtype.names is None:
        return {"dtype": dtype_parts(dtype)}
    offsets = tuple(_fields(dtype)[name][1] for name in dtype.names)
    inner = tuple(_layout(dtype[name]) for name in dtype.names)
    return {
        "dtype": dtype_parts(dtype),
        "offsets": offsets,
        "itemsize": dtype.itemsize,
        "fields": inner,
    }


# -- values ----------------------------------------------------------------------------------


def _array(value: _Array) -> _StandIn:
    known = _MAPPED if isinstance(value, np.memmap) else frozenset[str]()
    kind = type(value)
    name = "ndarray" if kind is np.memmap else kind.__name__
    parts = array_parts(value if kind is np.ndarray else np.asarray(value))
    return name, parts | _of_class(value, known)


def _masked(value: np.ma.MaskedArray[Any, Any]) -> _StandIn:
    if value is np.ma.masked:
        return "masked", None
    plain, mask = np.ma.getdata(value, subok=False), np.ma.getmaskarray(value)
    parts = {
        **array_parts(_filled(plain, mask)),
        "mask": array_parts(mask),
        "fill_value": array_parts(np.asarray(value.fill_value)),
        "hardmask": value.hardmask,
    }
    mapped = issubclass(value.baseclass, np.memmap)
    if value.baseclass is not np.ndarray and not mapped:
        parts["baseclass"] = value.baseclass
    known = _MASKED | _MAPPED if mapped else _MASKED
    return type(value).__name__, parts | _of_class(value, known)


def _filled(plain: _Array, mask: _Array) -> _Array:
    """Return *plain* with nothing under *mask*: what is there does not count."""
    names = plain.dtype.names
    if names is None:
        if not mask.any():
            return plain
        filled = plain.copy()
        filled[mask] = None if plain.dtype.hasobject else np.zeros((), plain.dtype)[()]
        return filled
    # A new structure, because the fields of the given one may overlap.
    fields = {name: _filled(plain[name], mask[name]) for name in names}
    packed = np.empty(plain.shape, [(name, plain.dtype[name]) for name in names])
    for name, field in fields.items():
        packed[name] = field
    return packed


def _scalar(value: np.generic) -> _StandIn:
    dtype = value.dtype
    if dtype.kind in "biuUS" or dtype.char in "efdFD":
        parts = {"dtype": dtype_parts(dtype), "content": value.item()}
    elif dtype.kind in "mM":
        parts = {"dtype": dtype_parts(dtype), "content": value.view(np.int64).item()}
    else:
        parts = column_parts(np.asarray(value))
    return type(value).__name__, parts | _of_class(value)


def _of_class(value: Any, known: Collection[str] = ()) -> dict[str, Any]:
    """Return what a class of another package, and attributes, add to the parts of *value*."""
    kind = type(value)
    parts: dict[str, Any] = {}
    if not _is_own(kind):
        parts["class"] = kind
    elif not hasattr(value, "__dict__"):
        return parts
    attributes = attributes_of(value, known)
    if attributes:
        parts["attributes"] = attributes
    return parts


def attributes_of(value: Any, known: Collection[str] = ()) -> dict[str, Any]:
    """Return the attributes of *value*, of its namespace and its slots, but for *known*."""
    kind = type(value)
    # A cached property appears when it is first used.
    found = {
        name: member
        for name, member in getattr(value, "__dict__", {}).items()
        if name not in known and not _is_cached(getattr(kind, name, None))
    }
    for name in copyreg._slotnames(kind):  # type: ignore[attr-defined]  # noqa: SLF001  # as pickle
        if name not in known and hasattr(value, name):
            found[name] = getattr(value, name)
    return found


def _is_cached(member: Any) -> bool:
    return type(member).__name__ in {"cached_property", "CachedProperty", "cache_readonly"}


# -- functions and settings ------------------------------------------------------------------


def _name_of_ufunc(value: np.ufunc) -> tuple[str, str]:
    name = value.__name__
    for module in ("numpy", "numpy._core.umath", "numpy.core.umath", "scipy.special"):
        if getattr(sys.modules.get(module), name, None) is value:
            return module, name
    raise NoFormError("it was made of a function that it does not tell")


def _vectorized(value: Any) -> _StandIn:
    names = ("pyfunc", "otypes", "excluded", "cache", "signature")
    return "vectorize", {name: getattr(value, name) for name in names}


_OTHERS: Final[dict[str, Callable[[Any], _StandIn]]] = {
    "_ArrayFunctionDispatcher": lambda value: (
        "function of numpy",
        (value.__module__, value.__qualname__),
    ),
    "busdaycalendar": lambda value: (
        "busdaycalendar",
        {"weekmask": value.weekmask, "holidays": value.holidays},
    ),
    "vectorize": _vectorized,
    "finfo": lambda value: ("finfo", dtype_parts(value.dtype)),
    "iinfo": lambda value: ("iinfo", dtype_parts(value.dtype)),
}
