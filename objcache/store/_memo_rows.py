"""Whether the rows of memoized functions agree with their results.

Knows: what docs/design/memoize.md says of the records. Must not know: how they come to be; this
lies below `objcache.memo`, and a test compares its names with those there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from objcache.clock import in_seconds
from objcache.codecs import CodecId
from objcache.engine import ReadSnapshot
from objcache.errors import CorruptRecordError, ObjcacheError
from objcache.header import Header
from objcache.keys import engine_key, key_of, namespace_prefix, section_range
from objcache.records import Records
from objcache.store._scan import scan
from objcache.store.dated import MEMOIZE, stored_bytes
from objcache.store.generations import BESIDE, beside, caches_of

__all__ = ["PARTS", "Disagreement", "functions_among", "memo_disagreements"]

PARTS: Final = ("arguments", "chunks", "entries", "versions")
_VERSION_BYTES: Final = 16
_STREAM_BYTES: Final = 16
_MARKS: Final = {False: b"=", True: b"!"}

Names = tuple[object, ...]
Disagreement = tuple[tuple[object, ...], str]
"""Names and key of a record, and what is wrong with it."""


def functions_among(namespaces: Iterable[Names]) -> set[Names]:
    """Return the namespaces of memoized functions among all, or above them."""
    found = set()
    for names in namespaces:
        if len(names) > 1 and names[-2] == MEMOIZE:
            found.add(names)
        if len(names) > 2 and names[-3] == MEMOIZE and names[-1] in PARTS:
            found.add(names[:-1])
    return found


def memo_disagreements(
    snapshot: ReadSnapshot, records: Records, namespaces: Iterable[Names]
) -> Iterator[Disagreement]:
    """Compare rows, results, arguments and items of every memoized function.

    Records that cannot be read are passed over: they were reported already. So is what lies beside
    a generation of a cache that is over: it is removed bit by bit.

    Cost: reads the rows, and looks each of their records up.
    """
    present = {beside(cache.number) for cache in snapshot.read(caches_of)}
    for names in sorted(functions_among(namespaces), key=repr):
        if names[0] != BESIDE or names[:2] in present:
            yield from _Function(snapshot, records, names).disagreements()


class _Function:
    """The records of one memoized function."""

    def __init__(self, snapshot: ReadSnapshot, records: Records, names: Names) -> None:
        self._snapshot = snapshot
        self._records = records
        self._names = names
        self._prefix = namespace_prefix(names)
        self._prefixes = {part: namespace_prefix((*names, part)) for part in PARTS}

    def disagreements(self) -> Iterator[Disagreement]:
        total = 0
        versions = self._versions()
        for key, row in self._rows("entries"):
            where = (*self._names, "entries", key)
            try:
                found = self._compared(key, row)
                total += row["size_bytes"]
                if key[:_VERSION_BYTES].hex() not in versions["known"]:
                    yield where, "the row is of a version of the code that is not listed"
            except (KeyError, TypeError, ValueError):
                found = ["the row lacks what a row has"]
            for message in found:
                yield where, message
        yield from self._without_rows()
        # A cache that evicts keeps no sum.
        if total != versions["bytes"] and self._names[0] != BESIDE:
            message = f"the rows sum up to {total} bytes, {versions['bytes']} are written down"
            yield (*self._names, "versions", "bytes"), message

    # -- what lies where ---------------------------------------------------------------------

    def _keys(self, prefix: bytes) -> Iterator[bytes]:
        low, high = section_range(prefix)[:2]
        for located, _ in scan(self._snapshot, low, high, lambda _: False):
            try:
                key = key_of(len(prefix), located, b"")
            except ObjcacheError:
                continue
            if type(key) is bytes:
                yield key

    def _get(self, prefix: bytes, key: bytes) -> bytes | None:
        located = engine_key(prefix, key)[0]
        return self._snapshot.read(lambda transaction: transaction.get(located))

    def _rows(self, part: str) -> Iterator[tuple[Any, Any]]:
        prefix = self._prefixes[part]
        low, high = section_range(prefix)[:2]
        for located, record in scan(self._snapshot, low, high, lambda _: True):
            try:
                header = self._records.authenticate(located, located, record)
                key = key_of(len(prefix), located, header.full_key)
                # Never a pickle: whoever planted one gets no further than here.
                if header.codec_id != CodecId.JSON:
                    continue
                yield key, self._records.load(key, header, record)
            except ObjcacheError:
                continue

    def _versions(self) -> dict[str, Any]:
        found: dict[str, Any] = {"bytes": 0, "known": set()}
        for key, row in self._rows("versions"):
            if key == "bytes":
                found["bytes"] = row
            elif isinstance(row, dict):
                found["known"].add(row.get("id"))
        return found

    # -- what must agree ---------------------------------------------------------------------

    def _compared(self, key: bytes, row: dict[str, Any]) -> list[str]:
        version, tail = key[:_VERSION_BYTES], key[_VERSION_BYTES:]
        record = self._get(self._prefix, version + _MARKS[row["raised"]] + tail)
        if record is None:
            return ["there is a row and no result"]
        try:
            header = self._records.authenticate(key, self._located(version, row, tail), record)
        except (ObjcacheError, CorruptRecordError):
            return []
        wrong = self._fields(row, header)
        size = stored_bytes(record)
        if "stream" in row:
            items, item_bytes = self._items(bytes.fromhex(row["stream"]))
            size += item_bytes
            if items < 0:
                wrong.append("items of the generator are missing")
        if row["size_bytes"] != size:
            wrong.append(f"the row says {row['size_bytes']} bytes, there are {size}")
        return wrong

    def _located(self, version: bytes, row: dict[str, Any], tail: bytes) -> bytes:
        return engine_key(self._prefix, version + _MARKS[row["raised"]] + tail)[0]

    def _fields(self, row: dict[str, Any], header: Header) -> list[str]:
        wrong = []
        deadline = in_seconds(header.deadline_us)
        if row["deadline"] != deadline:
            wrong.append("the row has another deadline than the result")
        if tuple(row["tags"]) != header.tags:
            wrong.append("the row has other tags than the result")
        return wrong

    def _items(self, stream: bytes) -> tuple[int, int]:
        """Return how many items a generator has, -1 if there is a gap; and their bytes."""
        prefix = self._prefixes["chunks"]
        low = engine_key(prefix, stream + bytes(8))[0]
        high = engine_key(prefix, stream + b"\xff" * 8)[0]
        count = total = 0
        gap = False
        for located, record in scan(self._snapshot, low, high, lambda _: True):
            number = key_of(len(prefix), located, b"")[_STREAM_BYTES:]
            gap = gap or number != count.to_bytes(8, "big")
            count += 1
            total += stored_bytes(record)
        return (-1 if gap else count), total

    def _without_rows(self) -> Iterator[Disagreement]:
        entries = self._prefixes["entries"]
        for key in self._keys(self._prefix):
            version, mark, tail = key[:16], key[16:17], key[17:]
            if mark in _MARKS.values() and self._get(entries, version + tail) is None:
                yield (*self._names, key), "there is a result and no row"
        for key in self._keys(self._prefixes["arguments"]):
            if self._get(entries, key) is None:
                yield (*self._names, "arguments", key), "there are arguments and no row"
