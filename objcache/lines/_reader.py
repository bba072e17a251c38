"""Reading the line format: every line is checked, and a line that is wrong is named.

Knows: what lines there are, and in which order. Must not know: what becomes of entries.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, NamedTuple, NoReturn

from objcache.codecs import CodecId
from objcache.keys.extended import Unloaded
from objcache.lines._frames import (
    CODEC_IDS,
    FORMAT,
    LARGEST_LINE_BYTES,
    VERSION,
    LineError,
    shown,
)
from objcache.lines._tags import Parser, WrongFormError, from_base64

__all__ = ["Content", "LineEntry", "LineReader"]

_FIELDS: Final = frozenset(
    {"namespace", "cache", "key", "value", "blob", "payload", "codec", "created", "deadline"}
    | {"tags"}
)
_HEADER_FIELDS: Final = frozenset({"objcache", "version", "written_by", "exported"})
_PAYLOAD_FIELDS: Final = frozenset({"codec", "version", "sizes", "why"})
_DATA_CODECS: Final = [name for name in CODEC_IDS if name != CodecId.PICKLE.name.lower()]
_COMPRESSED: Final = {b"\x1f\x8b": "zcat", b"(\xb5": "zstdcat", b"\xfd7": "xzcat", b"BZ": "bzcat"}
_LATEST_S: Final = 1e15
_LARGEST_SIZE: Final = 1 << 62
_SMALLEST_CUSTOM_ID, _LARGEST_ID = 128, 255


class Content(enum.Enum):
    """What the value of an entry is written as."""

    VALUE = "value"
    BLOB = "blob"
    PAYLOAD = "payload"


class LineEntry(NamedTuple):
    """One entry as its line says it.

    Attributes:
        line: the number of its line.
        names: of its namespace or cache.
        is_cache: whether it is of a cache.
        key: its key; `Unloaded` in the place of instances of the user's classes.
        content: what its value is written as.
        value: the value; None where it follows in *pieces*.
        codec: the codec that is to write the value: `"pickle"`, or one for data.
        encoded: of a payload: the id of its codec, and its version.
        sizes: of a payload and its buffers, or of a blob, in bytes.
        pieces: their bytes, one after another; to be read before the next entry.
        deadline: when it is over, in seconds since the epoch; None for never.
        tags: its tags.
    """

    line: int
    names: tuple[str, ...]
    is_cache: bool
    key: Any
    content: Content
    value: Any
    codec: str
    encoded: tuple[int, int]
    sizes: tuple[int, ...]
    pieces: Iterator[bytes]
    deadline: float | None
    tags: tuple[str, ...]


class LineReader:
    """Reads lines.

    Args:
        stream: of bytes.

    Attributes:
        number: of the line that was read last.
        position: how many bytes were read.

    Raises:
        LineError: the first line is no header, or that of another version.
        OSError: the stream cannot be read.

    Cost: one line is in memory at a time.
    Concurrency: one thread at a time.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._parser = Parser()
        self._hasher = hashlib.sha256()
        self.number = 0
        self.position = 0
        self._read_header()

    def wrong(self, reason: str, line: int | None = None) -> LineError:
        """Return the error of this *line*, or of the last one."""
        return LineError(self.number if line is None else line, reason)

    def _wrong(self, reason: str) -> NoReturn:
        raise self.wrong(reason)

    # -- lines -------------------------------------------------------------------------------

    def _next(self) -> dict[str, Any] | None:
        """Return what the next line says; None at the end of the file."""
        line = self._stream.readline(LARGEST_LINE_BYTES + 1)
        if not line:
            return None
        self.number += 1
        self.position += len(line)
        if len(line) > LARGEST_LINE_BYTES:
            self._wrong(f"it is longer than {LARGEST_LINE_BYTES:,} bytes, which no line may be")
        try:
            found = self._parser.parsed(line.decode())
        except UnicodeDecodeError as error:
            raise self.wrong(f"it is not UTF-8: {error.reason} at byte {error.start:,}") from error
        except WrongFormError as error:
            if not line.endswith(b"\n"):
                raise self._cut("it ends in the middle of a line") from error
            raise self.wrong(str(error)) from error
        if type(found) is not dict:
            self._wrong("it is not an object of JSON")
        if "end" not in found:
            if not line.endswith(b"\n"):
                raise self._cut("it ends without a line break")
            self._hasher.update(line)
        return found

    def _cut(self, how: str) -> LineError:
        return self.wrong(f"{how}, and the end line is missing: the file was cut off")

    def _read_header(self) -> None:
        first = self._stream.readline(LARGEST_LINE_BYTES + 1)
        self.number, self.position = 1, len(first)
        if not first:
            self._wrong("the file is empty")
        for magic, command in _COMPRESSED.items():
            if first.startswith(magic):
                self._wrong(f"it is compressed: {command} FILE | objcache import PATH -")
        try:
            found = self._parser.parsed(first.decode())
        except (UnicodeDecodeError, WrongFormError):
            found = None
        if type(found) is not dict or found.get("objcache") != FORMAT:
            self._wrong("it is not the header of an export of objcache")
        version = found.get("version")
        if type(version) is not int or version < 1:
            self._wrong("it has no version of the format")
        if version > VERSION:
            self._wrong(
                f"the file has version {version} of the format, this objcache reads up to "
                f"{VERSION}; update objcache"
            )
        self._check_fields(found, _HEADER_FIELDS)
        self._hasher.update(first)

    def _check_fields(self, found: dict[str, Any], known: frozenset[str]) -> None:
        for name in found:
            if name not in known:
                self._wrong(f"it has a field that version {VERSION} has not: {shown(name)}")

    # -- entries -----------------------------------------------------------------------------

    def entries(self) -> Iterator[LineEntry]:
        """Yield the entries up to the end line.

        Raises:
            LineError: a line is wrong, or the file was cut off; what was yielded before is good.
            OSError: the stream cannot be read.
        """
        count = 0
        while True:
            found = self._next()
            if found is None:
                raise self._cut("it is the last line")
            if "end" in found:
                self._check_end(found, count)
                return
            entry = self._entry(found)
            yield entry
            for _ in entry.pieces:
                pass  # that nobody wanted
            count += 1

    def _check_end(self, found: dict[str, Any], count: int) -> None:
        end = found["end"]
        self._check_fields(found, frozenset({"end"}))
        if type(end) is not dict:
            self._wrong("end is not an object")
        self._check_fields(end, frozenset({"entries", "sha256"}))
        if end.get("entries") != count or type(end["entries"]) is not int:
            self._wrong(
                f"the end line says {shown(end.get('entries'))} entries, and there are {count:,}: "
                "lines are missing, or were added"
            )
        if end.get("sha256") is not None and end["sha256"] != self._hasher.hexdigest():
            self._wrong(
                "the digest of the end line is not that of the lines before: the file was altered; "
                "who has altered it on purpose removes sha256"
            )
        if self._stream.read(1):
            self.number += 1
            self._wrong("it follows the end line; import one file at a time")

    def _entry(self, found: dict[str, Any]) -> LineEntry:
        self._check_fields(found, _FIELDS)
        contents = [content for content in Content if content.value in found]
        if "key" not in found or len(contents) != 1:
            self._wrong("it is no entry: one has a key, and a value, a blob or a payload")
        (content,) = contents
        if self._parser.unloaded != _unloaded_in(found["key"]):
            self._wrong("its value has a tag that only keys have")
        names, is_cache = self._place(found)
        encoded = 0, 0
        sizes: tuple[int, ...] = ()
        given = found[content.value]
        if content is Content.PAYLOAD:
            encoded, sizes = self._payload(given)
        elif content is Content.BLOB:
            sizes = self._sizes([given])
        codec = found.get("codec", "pickle")
        if "codec" in found and (content is not Content.VALUE or codec not in _DATA_CODECS):
            self._wrong("its codec is none of json, msgpack, raw, or it has no value")
        return LineEntry(
            *(self.number, names, is_cache, found["key"], content),
            *(given if content is Content.VALUE else None, codec, encoded, sizes),
            *(self._pieces(sum(sizes)), self._moment(found, "deadline"), self._tags(found)),
        )

    def _place(self, found: dict[str, Any]) -> tuple[tuple[str, ...], bool]:
        is_cache = "cache" in found
        if is_cache and "namespace" in found:
            self._wrong("it is of a cache and of a namespace at once")
        names = found.get("cache" if is_cache else "namespace", [])
        if type(names) is not list or not all(type(name) is str and name for name in names):
            self._wrong("the names of its place are no list of texts")
        self._moment(found, "created")
        for name in ("created", "deadline", "tags"):
            if name in found and not is_cache:
                self._wrong(f"it has {name}, and is of no cache")
        return tuple(names), is_cache

    def _payload(self, given: Any) -> tuple[tuple[int, int], tuple[int, ...]]:
        if type(given) is not dict:
            self._wrong("its payload is not an object")
        self._check_fields(given, _PAYLOAD_FIELDS)
        codec, version = given.get("codec"), given.get("version")
        if type(codec) is str:
            codec = CODEC_IDS.get(codec, -1)
        elif type(codec) is int and not _SMALLEST_CUSTOM_ID <= codec <= _LARGEST_ID:
            codec = -1
        if type(codec) is not int or codec < 0:
            self._wrong(f"its payload has no codec that there is: {shown(given.get('codec'))}")
        if type(version) is not int or not 0 <= version <= _LARGEST_ID:
            self._wrong("its payload has no version of its codec")
        sizes = given.get("sizes")
        return (codec, version), self._sizes(sizes if type(sizes) is list and sizes else [None])

    def _sizes(self, sizes: list[Any]) -> tuple[int, ...]:
        if not all(type(size) is int and 0 <= size <= _LARGEST_SIZE for size in sizes):
            self._wrong("its sizes are no numbers of bytes")
        return tuple(sizes)

    def _moment(self, found: dict[str, Any], name: str) -> float | None:
        if name not in found:
            return None
        moment: Any = found[name]
        if type(moment) not in {int, float} or not 0 <= moment <= _LATEST_S:
            self._wrong(f"its {name} is no number of seconds since 1970")
        return float(moment)

    def _tags(self, found: dict[str, Any]) -> tuple[str, ...]:
        tags = found.get("tags", [])
        if type(tags) is not list or not all(type(tag) is str for tag in tags):
            self._wrong("its tags are no list of texts")
        return tuple(tags)

    def _pieces(self, left: int) -> Iterator[bytes]:
        while left:
            found = self._next()
            if found is None:
                raise self._cut("it is the last line")
            if list(found) != ["chunk"]:
                self._wrong(f"it should be a chunk of the entry before, which lacks {left:,} bytes")
            try:
                piece = from_base64(found["chunk"])
            except WrongFormError as error:
                raise self.wrong(f"its chunk {error}") from error
            if not 0 < len(piece) <= left:
                self._wrong(f"its chunk has {len(piece):,} bytes, and {left:,} were missing")
            left -= len(piece)
            yield piece


def _unloaded_in(key: Any) -> int:
    """Return how many instances of the user's classes are in *key*, however deep it is."""
    waiting, count = [key], 0
    while waiting:
        part = waiting.pop()
        if type(part) is Unloaded:
            count += 1
            waiting.extend(part.parts)
        elif type(part) in {tuple, frozenset}:
            waiting.extend(part)
    return count
