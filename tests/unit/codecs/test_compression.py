"""Compression: which parts it makes smaller, which settings it takes, which packages it needs."""

from __future__ import annotations

import random
import sys
import zlib

import pytest

from objcache import codecs
from objcache.codecs import CompressionId, _compression, compression_by_name, decompress
from objcache.errors import FormatError, MissingExtraError, UnsupportedFormatError

NAMES = ["zlib", "lz4", "zstd"]
LEVELS = {"zlib": (1, 9), "lz4": (0, 12), "zstd": (-7, 22)}
NOISE = random.Random(1).randbytes(3 << 20)
TEXT = b"".join(b"line %d of a text\n" % number for number in range(2000))


@pytest.mark.parametrize("name", NAMES)
def test_each_algorithm_is_one_of_the_format(name):
    """The names are those of the ids on disk, and all of them are offered."""
    assert CompressionId[name.upper()] == compression_by_name(name).algorithm
    assert NAMES == [each.name.lower() for each in CompressionId]


@pytest.mark.parametrize(
    ("name", "level"), [(name, level) for name in NAMES for level in (None, *LEVELS[name])]
)
def test_every_level_is_undone(name, level):
    """What any level makes is read without knowing the level."""
    compression = compression_by_name(name, level)
    smaller = compression.smaller(TEXT)

    assert len(smaller) < len(TEXT) / 2
    assert TEXT == decompress(compression.algorithm, smaller, len(TEXT))
    assert TEXT == decompress(compression.algorithm, memoryview(smaller), len(TEXT))


@pytest.mark.parametrize("name", NAMES)
def test_higher_levels_make_it_smaller(name):
    """The level reaches the library."""
    lowest, highest = (len(compression_by_name(name, at).smaller(TEXT)) for at in LEVELS[name])

    assert highest < lowest


@pytest.mark.parametrize("name", NAMES)
def test_noise_is_left_as_it_is(name):
    """What compression would not make an eighth smaller is not compressed."""
    compression = compression_by_name(name)
    half = NOISE[:2000] + bytes(2000)

    assert compression.smaller(NOISE[:4000]) is None
    assert compression.smaller(half) is not None
    assert compression.smaller(NOISE[:7000] + bytes(500)) is None


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 7, len(NOISE)])
def test_samples_tell_of_large_parts(size):
    """Large noise is told by samples of 256 KiB; a large part that is half noise is compressed."""
    compression = compression_by_name("zlib")
    seen = []
    compress = compression._compress
    compression._compress = lambda content, level: (
        seen.append(len(content)) or compress(content, level)
    )

    assert compression.smaller(memoryview(NOISE)[:size]) is None
    assert [1 << 18] == seen
    mixed = NOISE[: size // 2] + bytes(size - size // 2)

    assert mixed == decompress(CompressionId.ZLIB, compression.smaller(mixed), size)


def test_the_threshold_counts_from_itself_on():
    """A part of the threshold's size is compressed, one byte less is not."""
    compression = compression_by_name("zlib", None, 500)

    assert compression.smaller(bytes(499)) is None
    assert compression.smaller(bytes(500)) is not None
    assert compression_by_name("zlib", None, 0).smaller(b"") is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("gzip",), "compression='gzip' is not one of zlib, lz4, zstd, or None"),
        (("",), "compression='' is not"),
        (("zlib", 0), "compression_level=0 of zlib is not between 1 and 9"),
        (("zlib", 10), "compression_level=10 of zlib"),
        (("lz4", 13), "compression_level=13 of lz4 is not between 0 and 12"),
        (("zstd", 23), "compression_level=23 of zstd is not between -7 and 22"),
        (("zstd", 3, -1), "compression_threshold_bytes=-1 is below 0"),
        ((None, 3), "compression_level=3 says nothing without compression="),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    """A wrong setting is a ValueError that names it and what is taken."""
    with pytest.raises(ValueError, match=message):
        compression_by_name(*settings)


def test_none_is_no_compression():
    """Without a name there is nothing to be done."""
    assert compression_by_name(None) is None


@pytest.mark.parametrize(
    ("name", "modules", "package"),
    [("lz4", ["lz4"], "lz4"), ("zstd", ["backports", "compression"], r"backports\.zstd")],
)
def test_missing_packages_are_told(name, modules, package, monkeypatch):
    """Without its package an algorithm says what to install, when it writes and when it reads."""
    algorithm = compression_by_name(name).algorithm
    _compression._algorithm.cache_clear()
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    try:
        for use in (
            lambda: compression_by_name(name),
            lambda: decompress(algorithm, b"x", 1),
        ):
            with pytest.raises(
                MissingExtraError, match=rf"{package}; .*'objcache\[{name}\]'"
            ) as caught:
                use()

            assert name == caught.value.extra
        assert compression_by_name("zlib") is not None
    finally:
        _compression._algorithm.cache_clear()


def test_unknown_algorithms_are_newer_formats():
    """An id that is not ours is of a newer objcache; a damaged stream is not."""
    with pytest.raises(UnsupportedFormatError):
        decompress(4, b"", 0)
    with pytest.raises(FormatError) as caught:
        decompress(CompressionId.ZLIB, b"no stream", 9)

    assert type(caught.value) is FormatError


def test_bytes_behind_a_stream_that_ends_with_a_step_are_damage():
    """Where the end of a stream is the end of what was fed, what follows is still noticed."""
    content = next(
        stream
        for size in range(65_000, 65_536)
        if len(stream := zlib.compress(bytes(size), 0)) == 1 << 16
    )
    size = len(zlib.decompress(content))

    assert bytes(size) == decompress(CompressionId.ZLIB, content, size)
    with pytest.raises(FormatError, match="bytes follow the end"):
        decompress(CompressionId.ZLIB, content + b"x", size)


def test_want_of_memory_is_told(monkeypatch):
    """Where memory ends, the error says how much the value takes."""

    class Greedy:
        eof = False

        def decompress(self, data, max_length, /):
            raise MemoryError

    greedy = _compression._Algorithm(zlib.compress, Greedy, 6)
    monkeypatch.setattr(_compression, "_algorithm", lambda _: greedy)
    with pytest.raises(MemoryError, match="takes 1099511627776 bytes"):
        decompress(CompressionId.ZLIB, b"x", 1 << 40)


def test_compression_is_loaded_late():
    """A store without compression loads none of it."""
    assert {"Compression", "decompress"} < set(codecs.__all__)
    assert "_compression" == codecs._LATE["Compression"] == codecs._LATE["decompress"]
