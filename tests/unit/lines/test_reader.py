"""Lines that are wrong: each is told by its number, with what is wrong and what to do."""

from __future__ import annotations

import gzip
import io
import json

import pytest

from objcache.lines import CHUNK_BYTES, LARGEST_LINE_BYTES, LineError, LineReader, LineWriter

HEADER = b'{"objcache":"lines","version":1,"written_by":"somebody","exported":"everything"}\n'
END = b'{"end":{"entries":%d}}\n'


def entries(*lines):
    """The entries of a file with *lines*."""
    return list(LineReader(io.BytesIO(b"".join(lines))).entries())


def wrong(number, *lines, part):
    """The file is refused with a message about line *number* that has *part* in it."""
    with pytest.raises(LineError) as caught:
        entries(*lines)
    message = str(caught.value)

    assert message.startswith(f"line {number:,}: ")
    assert part in message, message
    assert len(message) < 400


@pytest.mark.parametrize(
    ("first", "part"),
    [
        (b"", "the file is empty"),
        (b"\x89PNG\r\n", "not the header of an export"),
        (b"[1]\n", "not the header of an export"),
        (b'{"objcache":"store"}\n', "not the header of an export"),
        (b'{"objcache":"lines"}\n', "no version"),
        (b'{"objcache":"lines","version":true}\n', "no version"),
        (
            b'{"objcache":"lines","version":2}\n',
            "version 2 of the format, this objcache reads up to 1",
        ),
        (b'{"objcache":"lines","version":1,"new":1}\n', "a field that version 1 has not: 'new'"),
        (gzip.compress(HEADER), "it is compressed: zcat FILE | objcache import PATH -"),
        (b"(\xb5/\xfd", "it is compressed: zstdcat"),
    ],
)
def test_wrong_headers(first, part):
    """What is no export, or one of a newer version, is refused by its first line."""
    wrong(1, first, part=part)


def key(text):
    return b'{"key":%s,"value":1}\n' % text


def value(text):
    return b'{"key":1,"value":%s}\n' % text


WRONG = [
    (b"\n", "it is not JSON"),
    (b"{'key': 1}\n", "it is not JSON: Expecting property name"),
    (b"[]\n", "it is not an object"),
    (value(b'"\xff"'), "it is not UTF-8: invalid start byte at byte"),
    (value(b"[" * 1_000_000 + b"]" * 1_000_000), "it nests too deeply"),
    (value(b'{"a":' * 1_000_000 + b"1" + b"}" * 1_000_000), "it nests too deeply"),
    (value(b"1" * 5000), "an integer of more than 4,300 digits"),
    (value(b'{"$int":"%s"}' % (b"1" * 5000)), "$int has more than 4,300 digits"),
    (value(b"1e999"), "the number '1e999' is larger than a double can be"),
    (value(b"9" * 400 + b".5"), "is larger than a double can be"),
    (value(b"NaN"), "NaN is not JSON"),
    (b'{"key":1,"key":2,"value":1}\n', "the same name twice"),
    (value(b'{"a":1,"a":2}'), "the same name twice"),
    (value(b'{"$dict":[[1,1],[1,2]]}'), "$dict has a key twice"),
    (value(b'{"$set":[1,true]}'), "$set has an element twice"),
    (value(b'{"$set":[[]]}'), "unhashable"),
    (value(b'{"$bytes":"a"}'), "$bytes is not base64"),
    (value(b'{"$bytes":"YQ=\\n="}'), "$bytes is not base64"),
    (value(b'{"$bytes":1}'), "$bytes is not text in base64"),
    (value(b'{"$str":"/w=="}'), "$str cannot be made of '/w=='"),
    (value(b'{"$array":[1]}'), "a tag that objcache does not know, '$array'"),
    (value(b'{"$tuple":{}}'), "$tuple is not a list"),
    (value(b'{"$datetime":"yesterday"}'), "$datetime cannot be made of 'yesterday'"),
    (value(b'{"$datetime":["2024-01-01",1,0]}'), "no time zone"),
    (value(b'{"$ZoneInfo":"../../etc/passwd"}'), "$ZoneInfo"),
    (value(b'{"$ZoneInfo":"Mars/Olympus"}'), "$ZoneInfo is not a time zone that"),
    (value(b'{"$Decimal":"1 euro"}'), "$Decimal cannot be made of '1 euro'"),
    (value(b'{"$deque":[1,[1,2]]}'), "$deque has more elements than its bound"),
    (value(b'{"$enum":["os","system","x"]}'), "its value has a tag that only keys have"),
    (key(b'{"$enum":["os","system"]}'), "$enum cannot be made of"),
    (key(b'{"$dataclass":["m","C",1,2]}'), "$dataclass cannot be made of"),
    (b'{"key":1}\n', "it is no entry"),
    (b'{"value":1}\n', "it is no entry"),
    (b'{"key":1,"value":1,"blob":1}\n', "it is no entry"),
    (b'{"key":1,"value":1,"ttl":5}\n', "a field that version 1 has not: 'ttl'"),
    (b'{"key":1,"value":1,"tags":["a"]}\n', "it has tags, and is of no cache"),
    (b'{"key":1,"value":1,"cache":[],"namespace":[]}\n', "of a cache and of a namespace"),
    (b'{"key":1,"value":1,"namespace":[""]}\n', "no list of texts"),
    (b'{"key":1,"value":1,"cache":[],"tags":"a"}\n', "its tags are no list"),
    (b'{"key":1,"value":1,"cache":[],"deadline":"x"}\n', "its deadline is no number"),
    (
        b'{"key":1,"value":1,"cache":[],"deadline":%s}\n' % (b"9" * 400),
        "its deadline is no number",
    ),
    (b'{"key":1,"value":1,"codec":"pickle"}\n', "its codec is none of"),
    (b'{"key":1,"value":1,"codec":[]}\n', "its codec is none of"),
    (b'{"key":1,"blob":-1}\n', "no numbers of bytes"),
    (b'{"key":1,"blob":%s}\n' % (b"9" * 400), "no numbers of bytes"),
    (b'{"key":1,"payload":5}\n', "its payload is not an object"),
    (
        b'{"key":1,"payload":{"codec":"zip","version":1,"sizes":[1]}}\n',
        "no codec that there is",
    ),
    (b'{"key":1,"payload":{"codec":99,"version":1,"sizes":[1]}}\n', "no codec that there is"),
    (b'{"key":1,"payload":{"codec":"pickle","version":1,"sizes":[]}}\n', "no numbers of bytes"),
    (b'{"key":1,"blob":5}\n{"key":2,"value":1}\n', "should be a chunk"),
    (b'{"chunk":"YQ=="}\n', "a field that version 1 has not: 'chunk'"),
    (b'{"end":{"entries":7}}\n', "says 7 entries, and there are 1"),
    (b'{"end":{"entries":{"$int":"0x%s"}}}\n' % (b"f" * 9000), "entries, and there are 1"),
    (b'{"end":{"entries":1,"sha256":[]}}\n', "the digest of the end line"),
    (b'{"end":[]}\n', "end is not an object"),
]


@pytest.mark.parametrize(("line", "part"), WRONG, ids=[part for _, part in WRONG])
def test_wrong_lines(line, part):
    """A wrong line is named by its number, whatever is wrong, and those before it are read."""
    number = 3 + (b'"blob":5' in line)

    wrong(number, HEADER, value(b"0"), line, END % 2, part=part)


def test_chunks_that_do_not_fit():
    """A chunk has no more bytes than were announced, and at least one."""
    blob = b'{"key":1,"blob":2}\n'

    wrong(3, HEADER, blob, b'{"chunk":"YWJj"}\n', part="has 3 bytes, and 2 were missing")
    wrong(3, HEADER, blob, b'{"chunk":""}\n', part="has 0 bytes, and 2 were missing")
    wrong(3, HEADER, blob, b'{"chunk":5}\n', part="its chunk is not text in base64")
    wrong(3, HEADER, blob, b'{"chunk":"YQ=="}\n', part="cut off")


class Endless(io.RawIOBase):
    """A file that begins as an export, with a line that never ends."""

    def __init__(self):
        self.first = HEADER
        self.given = 0

    def readable(self):
        return True

    def readinto(self, target):
        given, self.first = self.first or b"1" * len(target), b""
        target[: len(given)] = given
        self.given += len(given)
        return len(given)


def test_lines_are_bounded():
    """A line that is larger than a line may be is refused when so much of it was read."""
    stream = Endless()
    reader = LineReader(io.BufferedReader(stream))
    with pytest.raises(LineError, match=r"line 2: it is longer than 16,777,216 bytes"):
        list(reader.entries())

    assert stream.given < 2 * LARGEST_LINE_BYTES


def test_a_file_that_was_cut_off_is_noticed():
    """Wherever a file ends before its end, the reader says so."""
    written = io.BytesIO()
    writer = LineWriter(written.write, "everything")
    writer.entry({"key": 1, "value": "é"})
    writer.entry({"key": 2, "blob": CHUNK_BYTES + 5})
    writer.chunks([bytes(CHUNK_BYTES), b"12345"])
    writer.end()
    whole = written.getvalue()

    assert [1, 2] == [entry.key for entry in entries(whole)]
    assert [1, 2] == [entry.key for entry in entries(whole.rstrip(b"\n"))]
    lines = whole.splitlines(keepends=True)
    for count in range(1, len(lines)):
        for part in (b"", lines[count][:1], lines[count][:-2]):
            with pytest.raises(LineError, match="cut off"):
                entries(*lines[:count], part)


def test_an_altered_file_is_noticed():
    """A digest that is not that of the lines is told; a file without one is taken as it is."""
    written = io.BytesIO()
    writer = LineWriter(written.write, "everything")
    writer.entry({"key": 1, "value": 1})
    writer.end()
    whole = written.getvalue()

    wrong(3, whole.replace(b'"value":1', b'"value":2'), part="the file was altered")
    wrong(4, whole, value(b"1"), part="it follows the end line")
    assert [2] == [entry.value for entry in entries(HEADER, value(b"2"), END % 1)]


def test_pieces_that_nobody_reads_are_passed_over():
    """Who does not want the bytes of an entry gets the next one all the same."""
    read = entries(
        HEADER,
        b'{"key":1,"blob":2}\n{"chunk":"YQ=="}\n{"chunk":"Yg=="}\n',
        b'{"key":2,"payload":{"codec":200,"version":3,"sizes":[1,0]}}\n{"chunk":"YQ=="}\n',
        b'{"cache":["a"],"key":3,"value":null,"tags":["t"],"deadline":5,"created":1.5}\n',
        END % 3,
    )

    assert [1, 2, 3] == [entry.key for entry in read]
    assert [(2,), (1, 0), ()] == [entry.sizes for entry in read]
    assert (200, 3) == read[1].encoded
    assert (("a",), True, 5.0, ("t",)) == (
        *(read[2].names, read[2].is_cache, read[2].deadline, read[2].tags),
    )


def test_lines_are_json():
    """Every line is an object of JSON, without a byte that a terminal would obey if asked so."""
    written = io.BytesIO()
    writer = LineWriter(written.write, {"cache": []}, ascii_only=True)
    writer.entry({"key": "\x1b[2J\x9b\u202e", "value": 1})
    writer.end()
    lines = written.getvalue().splitlines()

    assert [{"cache": []}, "\x1b[2J\x9b\u202e", 1] == [
        *(json.loads(lines[0])["exported"], json.loads(lines[1])["key"]),
        json.loads(lines[2])["end"]["entries"],
    ]
    assert written.getvalue().replace(b"\n", b"").decode().isprintable()
