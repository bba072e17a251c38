"""The line format: keys and values as JSON Lines, for other stores and other languages.

Knows: how each key and each data-only value is written, and read back. Must not know: stores, files,
terminals. docs/reference/lines.md is normative.
"""

from objcache.lines._forms import NotDataError as NotDataError
from objcache.lines._forms import bytes_of_pickle as bytes_of_pickle
from objcache.lines._forms import form_of_key as form_of_key
from objcache.lines._forms import form_of_value as form_of_value
from objcache.lines._frames import CHUNK_BYTES as CHUNK_BYTES
from objcache.lines._frames import LARGEST_LINE_BYTES as LARGEST_LINE_BYTES
from objcache.lines._frames import VERSION as VERSION
from objcache.lines._frames import LineError as LineError
from objcache.lines._reader import Content as Content
from objcache.lines._reader import LineEntry as LineEntry
from objcache.lines._reader import LineReader as LineReader
from objcache.lines._writer import LineTooLongError as LineTooLongError
from objcache.lines._writer import LineWriter as LineWriter

__all__ = [
    "CHUNK_BYTES",
    "LARGEST_LINE_BYTES",
    "VERSION",
    "Content",
    "LineEntry",
    "LineError",
    "LineReader",
    "LineTooLongError",
    "LineWriter",
    "NotDataError",
    "bytes_of_pickle",
    "form_of_key",
    "form_of_value",
]
