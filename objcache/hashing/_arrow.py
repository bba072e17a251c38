"""Arrays, tables and types of Arrow as plain parts.

Knows: what a value of pyarrow consists of. Must not know: how parts are written.

Only what can be read counts: not the chunks, the offset into a buffer, what lies under a null or
behind the end. Each kind of buffer, gathered over all chunks, is one stream of bytes. How an
array is encoded, by a dictionary or by runs, is told by its type, and its values are compared.
The metadata of fields and schemas counts. docs/design/hashing.md is normative.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any, Final

from blake3 import blake3

from objcache.hashing._canonical import NoFormError

__all__ = ["content_parts", "structure_of", "text_parts", "type_parts"]

# Not imported by name: the types of pyarrow are not known to type checkers.
pa: Any = importlib.import_module("pyarrow")
pc: Any = importlib.import_module("pyarrow.compute")

_StandIn = tuple[str, Any]

_CHUNK: Final = 1 << 16
_REFUSED: Final = frozenset({"Dataset", "Fragment", "Scanner", "NativeFile", "RecordBatchReader"})


def structure_of(value: Any) -> _StandIn | None:
    """Return a name and plain parts that stand for *value*; None where there are none."""
    for kind in type(value).__mro__:
        if kind.__name__ in _REFUSED:
            raise NoFormError("what it reads may change")
        handler = _BY_CLASS.get(f"{kind.__module__}.{kind.__name__}")
        if handler is not None:
            if not getattr(value, "is_cpu", True):
                raise NoFormError("it is not in the memory of the processor")
            try:
                return handler(value)
            except pa.ArrowNotImplementedError as error:
                raise NoFormError("this version of pyarrow cannot take it apart") from error
    return None


# -- types -----------------------------------------------------------------------------------


def type_parts(kind: Any) -> Any:
    """Return what stands for an Arrow type: a text, or parts."""
    if isinstance(kind, pa.BaseExtensionType):
        serialized = (
            kind.__arrow_ext_serialize__() if hasattr(kind, "__arrow_ext_serialize__") else b""
        )
        parts = {"extension": kind.extension_name, "serialized": bytes(serialized)}
        return {**parts, "storage": type_parts(kind.storage_type)}
    if pa.types.is_dictionary(kind):
        inner = (type_parts(kind.index_type), type_parts(kind.value_type))
        return {"dictionary": inner, "ordered": kind.ordered}
    if pa.types.is_map(kind):
        # Arrow does not compare the names of what lists and maps contain.
        inner = (_unnamed(kind.key_field), _unnamed(kind.item_field))
        return {"map": inner, "sorted": kind.keys_sorted}
    if pa.types.is_run_end_encoded(kind):
        return {"runs": (type_parts(kind.run_end_type), type_parts(kind.value_type))}
    if pa.types.is_union(kind):
        fields = [_field_parts(kind.field(number)) for number in range(kind.num_fields)]
        return {"union": kind.mode, "codes": list(kind.type_codes), "fields": fields}
    if pa.types.is_struct(kind):
        return {"struct": [_field_parts(kind.field(number)) for number in range(kind.num_fields)]}
    if pa.types.is_nested(kind):
        size = kind.list_size if pa.types.is_fixed_size_list(kind) else None
        name = str(kind).partition("<")[0]
        return {name: _unnamed(kind.value_field), "size": size}
    return str(kind)


def _field_parts(field: Any) -> dict[str, Any]:
    return {"name": field.name, **_unnamed(field)}


def _unnamed(field: Any) -> dict[str, Any]:
    parts = {"dtype": type_parts(field.type), "nullable": field.nullable}
    if field.metadata:
        parts["metadata"] = dict(field.metadata)
    return parts


# -- arrays ----------------------------------------------------------------------------------


def content_parts(chunked: Any) -> dict[str, Any]:
    """Return what stands for the members of an array or of the chunks of one.

    Cost: proportional to the size. What has no nulls is not copied, but for bits, views and what
    is encoded by a dictionary or by runs.
    """
    if isinstance(chunked, pa.ChunkedArray):
        if chunked.num_chunks > 1:
            chunked = chunked.unify_dictionaries()
        chunks = chunked.chunks
    else:
        chunks = [chunked]
    streams = _Streams()
    plain = _without_views(chunked.type)
    for chunk in chunks:
        _feed(streams, "", chunk if plain == chunked.type else chunk.cast(plain))
    return {"length": len(chunked), **streams.parts()}


def text_parts(chunked: Any) -> dict[str, Any]:
    """Return what stands for texts, of whichever of the types for texts."""
    if chunked.type != pa.large_string():
        chunked = chunked.cast(pa.large_string())
    return content_parts(chunked)


def _without_views(kind: Any) -> Any:
    """Return the type without views of texts, for which many functions are missing."""
    if kind.id in _VIEWS:
        return _VIEWS[kind.id]
    if pa.types.is_struct(kind):
        return pa.struct([_field_without_views(field) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(_field_without_views(kind.value_field))
    if pa.types.is_large_list(kind):
        return pa.large_list(_field_without_views(kind.value_field))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_field_without_views(kind.value_field), kind.list_size)
    return kind


def _field_without_views(field: Any) -> Any:
    return field.with_type(_without_views(field.type))


class _Streams:
    """The bytes of the buffers of an array, those of one kind together."""

    def __init__(self) -> None:
        self._hashers: dict[str, blake3] = {}
        self._lengths: dict[str, int] = {}

    def begin(self, path: str, length: int) -> int:
        """Return how many members *path* has so far; *length* more follow."""
        before = self._lengths.get(path, 0)
        self._lengths[path] = before + length
        return before

    def add(self, path: str, content: Any) -> None:
        """Append to a stream of bytes; one without any is as one that is not there."""
        if len(content):
            hasher = self._hashers.get(path)
            if hasher is None:
                hasher = self._hashers[path] = blake3()
            hasher.update(content)

    def parts(self) -> dict[str, str]:
        """Return what stands for the streams."""
        return {path: f"blake3 {hasher.hexdigest()}" for path, hasher in self._hashers.items()}


def _feed(streams: _Streams, path: str, array: Any) -> None:
    """Append the members of *array*, of which some may be null, to the streams of *path*."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _feed(streams, path, array.storage)
    if pa.types.is_dictionary(kind):
        if kind.ordered and not streams.begin(f"{path}order", 1):
            _feed(streams, f"{path}order: ", array.dictionary)
        plain = _without_views(kind.value_type)
        if plain != kind.value_type:
            dictionary = array.dictionary.cast(plain)
            array = pa.DictionaryArray.from_arrays(array.indices, dictionary)
        return _feed(streams, path, array.dictionary_decode())
    if pa.types.is_run_end_encoded(kind):
        return _feed(streams, path, pc.run_end_decode(array))
    before = streams.begin(path, len(array))
    if pa.types.is_null(kind):
        return None
    if array.null_count:
        positions = pc.indices_nonzero(array.is_null())
        if before:
            positions = pc.add(positions, pa.scalar(before, pa.uint64()))
        streams.add(f"{path}nulls", _fixed(positions))
        array = array.drop_null()
    return _feed_valid(streams, path, array)


def _feed_valid(streams: _Streams, path: str, array: Any) -> None:
    kind = array.type
    if pa.types.is_boolean(kind):
        streams.add(f"{path}content", _fixed(array.cast(pa.uint8())))
    elif pa.types.is_floating(kind):
        for start in range(0, len(array), _CHUNK):
            streams.add(f"{path}content", _fixed(_without_nans(array.slice(start, _CHUNK))))
    elif kind.id in _OFFSETS:
        streams.add(f"{path}lengths", _fixed(pc.binary_length(array)))
        streams.add(f"{path}content", _text(array, _OFFSETS[kind.id]))
    elif pa.types.is_struct(kind):
        for number, child in enumerate(array.flatten()):
            _feed(streams, f"{path}field {number}: ", child)
    elif pa.types.is_union(kind):
        _feed_union(streams, path, array)
    elif pa.types.is_map(kind):
        offsets = array.offsets
        first, last = offsets[0].as_py(), offsets[-1].as_py()
        streams.add(f"{path}lengths", _fixed(pc.subtract(offsets[1:], offsets[:-1])))
        _feed(streams, f"{path}items: ", array.values.slice(first, last - first))
    elif pa.types.is_nested(kind):
        if not pa.types.is_fixed_size_list(kind):
            streams.add(f"{path}lengths", _fixed(pc.list_value_length(array)))
        _feed(streams, f"{path}items: ", array.flatten())
    else:
        streams.add(f"{path}content", _fixed(array))


def _feed_union(streams: _Streams, path: str, array: Any) -> None:
    # What pyarrow gives as the codes and the offsets does not mind that the array is a slice.
    length, buffers = len(array), array.buffers()
    codes = pa.Array.from_buffers(pa.int8(), length, [None, buffers[1]], offset=array.offset)
    streams.add(f"{path}codes", _fixed(codes))
    for number, code in enumerate(array.type.type_codes):
        chosen = pc.equal(codes, pa.scalar(code, pa.int8()))
        child = array.field(number)
        if array.type.mode == "dense":
            content = [None, buffers[2]]
            places = pa.Array.from_buffers(pa.int32(), length, content, offset=array.offset)
            child = child.take(places.filter(chosen))
        else:
            child = child.filter(chosen)
        _feed(streams, f"{path}field {number}: ", child)


def _fixed(array: Any) -> memoryview | bytes:
    """Return the bytes of an array of fixed width without nulls."""
    width = array.type.bit_width // 8
    content = array.buffers()[1]
    if content is None:
        return b""
    start = array.offset * width
    return memoryview(content).cast("B")[start : start + len(array) * width]


def _text(array: Any, width: int) -> memoryview | bytes:
    """Return the bytes of all texts of an array whose offsets have *width* bytes."""
    _, offsets, content = array.buffers()
    if content is None or not len(array):
        return b""
    ends = memoryview(offsets).cast("B")
    first, last = (
        int.from_bytes(ends[place * width : (place + 1) * width], sys.byteorder)
        for place in (array.offset, array.offset + len(array))
    )
    return memoryview(content).cast("B")[first:last]


def _without_nans(array: Any) -> Any:
    if array.type == pa.float16():  # the functions for floats do not take halves everywhere
        array = array.view(pa.uint16())
        nans = pc.greater(pc.bit_wise_and(array, pa.scalar(0x7FFF, pa.uint16())), 0x7C00)
        canonical = pa.scalar(0x7E00, pa.uint16())
    else:
        nans = pc.is_nan(array)
        canonical = pa.scalar(float("nan"), array.type)
    return pc.if_else(nans, canonical, array) if pc.any(nans).as_py() else array


# -- values ----------------------------------------------------------------------------------


def _array(value: Any) -> _StandIn:
    name = "ChunkedArray" if isinstance(value, pa.ChunkedArray) else "Array"
    return name, {"dtype": type_parts(value.type), **content_parts(value)}


def _table(value: Any) -> _StandIn:
    schema = value.schema
    parts: dict[str, Any] = {
        "names": tuple(schema.names),
        "rows": value.num_rows,
        "metadata": dict(schema.metadata or {}),
    }
    for number, field in enumerate(schema):
        column = {**_unnamed(field), **content_parts(value.column(number))}
        parts[_label(schema, number)] = column
    return type(value).__name__, parts


def _label(schema: Any, number: int) -> str:
    name = schema.names[number]
    repeated = len(schema.get_all_field_indices(name)) > 1
    return f"column {name!r} ({number})" if repeated else f"column {name!r}"


def _schema(value: Any) -> _StandIn:
    fields = [_field_parts(field) for field in value]
    return "Schema", {"fields": fields, "metadata": dict(value.metadata or {})}


def _scalar(value: Any) -> _StandIn:
    kind = value.type
    parts = {"dtype": type_parts(kind), "valid": value.is_valid}
    if not value.is_valid:
        return "Scalar", parts
    if isinstance(kind, pa.BaseExtensionType):
        return "Scalar", {**parts, "value": value.value}
    if pa.types.is_union(kind):
        return "Scalar", {**parts, "code": value.type_code, "value": value.value}
    return "Scalar", {**parts, **content_parts(pa.repeat(value, 1))}


def _buffer(value: Any) -> _StandIn:
    return "Buffer", memoryview(value).cast("B")


def _tensor(value: Any) -> _StandIn:
    return "Tensor", {"names": tuple(value.dim_names), "content": value.to_numpy()}


_BY_CLASS: Final[dict[str, Callable[[Any], _StandIn]]] = {
    "pyarrow.lib.Array": _array,
    "pyarrow.lib.ChunkedArray": _array,
    "pyarrow.lib.Table": _table,
    "pyarrow.lib.RecordBatch": _table,
    "pyarrow.lib.Schema": _schema,
    "pyarrow.lib.Scalar": _scalar,
    "pyarrow.lib.Field": lambda value: ("Field", _field_parts(value)),
    "pyarrow.lib.DataType": lambda value: ("DataType", {"dtype": type_parts(value)}),
    "pyarrow.lib.Buffer": _buffer,
    "pyarrow.lib.Tensor": _tensor,
}
# By the number of the type: types of somebody's own need not have a hash.
_OFFSETS: Final = {
    **dict.fromkeys((pa.binary().id, pa.string().id), 4),
    **dict.fromkeys((pa.large_binary().id, pa.large_string().id), 8),
}
_VIEWS: Final = {
    getattr(pa, view)().id: kind
    for view, kind in (("string_view", pa.large_string()), ("binary_view", pa.large_binary()))
    if hasattr(pa, view)
}
