"""Sparse matrices and arrays of SciPy as plain parts.

Knows: what a sparse matrix consists of. Must not know: how parts are written.

The format counts, the width of the indices and the order in which members were given do not:
duplicates are summed on a copy. Zeros that are stored count, except in the format by diagonals,
which stores them always. docs/design/hashing.md is normative.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

from objcache.hashing import _numpy

__all__ = ["structure_of"]

# Not imported by name: the types of scipy are not known to type checkers.
np: Any = importlib.import_module("numpy")

_StandIn = tuple[str, Any]

_COMPRESSED: Final = frozenset({"csr", "csc"})
_KNOWN: Final = frozenset(
    {
        *("_shape", "_coords", "coords", "data", "indices", "indptr", "offsets", "rows", "row"),
        *("col", "_dict", "dtype", "maxprint", "_has_canonical_format", "_has_sorted_indices"),
        *("has_canonical_format", "has_sorted_indices"),
    }
)


def structure_of(value: Any) -> _StandIn | None:
    """Return a name and plain parts that stand for *value*; None where there are none."""
    kind = type(value)
    form = getattr(value, "format", None)
    if type(form) is not str or not _is_sparse(kind):
        return None
    parts: dict[str, Any] = {
        "dtype": _numpy.dtype_parts(value.dtype),
        "shape": tuple(map(int, value.shape)),
        **(_compressed(value) if form in _COMPRESSED else _coordinates(value)),
    }
    if form == "bsr":
        parts["blocksize"] = tuple(map(int, value.blocksize))
    if not _is_own(kind):
        parts |= {"class": kind, "attributes": _numpy.attributes_of(value, _KNOWN)}
    return f"{form} {_family(kind)}" if _is_own(kind) else kind.__name__, parts


def _is_sparse(kind: type) -> bool:
    return any(base.__module__ == "scipy.sparse._base" for base in kind.__mro__)


def _is_own(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "scipy"


def _family(kind: type) -> str:
    """Return whether it multiplies as a matrix or as an array."""
    is_matrix = any(base.__name__ == "spmatrix" for base in kind.__mro__)
    return "matrix" if is_matrix else "array"


def _compressed(value: Any) -> dict[str, Any]:
    if not value.has_canonical_format:
        value = value.copy()
        value.sum_duplicates()
    stored = int(value.indptr[-1])  # the rest of the arrays is space
    return {
        "ends": _places(value.indptr),
        "places": _places(value.indices[:stored]),
        "content": _content(value.data[:stored]),
    }


def _coordinates(value: Any) -> dict[str, Any]:
    found = value.tocoo(copy=True)
    found.sum_duplicates()
    coordinates = getattr(found, "coords", None) or (found.row, found.col)
    # Sorted by the last axis first, as sum_duplicates does it, in whatever version.
    order = np.lexsort(coordinates)
    return {
        "places": [_places(axis[order]) for axis in coordinates],
        "content": _content(found.data[order]),
    }


def _places(numbers: Any) -> str:
    return _numpy.content_of(np.asarray(numbers).astype(np.int64, copy=False))


def _content(members: Any) -> Any:
    return _numpy.column_parts(np.asarray(members))["content"]
