"""What a pickle would make, told without making it."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import os
import pickle
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from objcache.codecs import opcodes_of, shape_of_pickle

RAN = []


class Hostile:
    """Its pickle runs code when it is loaded."""

    def __reduce__(self):
        return RAN.append, ("ran",)


class Plain:
    """An instance with a state."""

    def __init__(self):
        self.x = 1

    def __repr__(self):
        return "Plain()"


def shape(value, protocol=5):
    """The shape of the pickle of a value."""
    return shape_of_pickle(pickle.dumps(value, protocol))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("value", "kind", "size"),
    [
        *(({"a": 1, "b": [2]}, "dict", 2), ([1, 2, 3], "list", 3), ((), "tuple", 0)),
        *(((1,), "tuple", 1), (tuple(range(9)), "tuple", 9), ("text", "str", 4)),
        *((7, "int", None), (1.5, "float", None), (None, "None", None), ([], "list", 0)),
        *((decimal.Decimal(1), "decimal.Decimal", None), (Plain(), None, None)),
        (collections.OrderedDict(a=1), "collections.OrderedDict", None),
        (dt.datetime(2020, 1, 1), "datetime.datetime", None),
        (2**2000, "int", None),
    ],
    ids=repr,
)
def test_kinds(value, kind, size, protocol):
    """Type and size of what is made are told for every protocol, and the pickle is read to its end."""
    found = shape(value, protocol)

    assert (kind or f"{__name__}.Plain") == found.root.kind
    assert "" == found.problem
    if size is not None:
        assert size == found.root.size


@pytest.mark.parametrize("protocol", [4, 5])
def test_sets_and_bytes(protocol):
    """What has opcodes of its own since protocol 4 is told too."""
    kinds = [shape(value, protocol).root.kind for value in ({1}, frozenset([1]), b"x")]

    assert ["set", "frozenset", "bytes"] == kinds


def test_arrays():
    """An array is an array, in the stream and with its buffer out of band."""
    array = np.arange(3.0)
    outside = pickle.dumps(array, 5, buffer_callback=[].append)

    assert ["numpy.ndarray"] * 3 == [
        found.root.kind for found in (shape(array), shape(array, 2), shape_of_pickle(outside))
    ]


def test_imports_and_calls():
    """The names that a pickle looks up are listed in their order, and those that it calls."""
    found = shape([decimal.Decimal(1), collections.OrderedDict, decimal.Decimal(2)])

    assert ("decimal.Decimal", "collections.OrderedDict") == found.imports
    assert ("decimal.Decimal",) == found.calls


def test_old_names():
    """Names of Python 2 are those of today."""
    assert ("builtins.range",) == shape_of_pickle(b"c__builtin__\nxrange\n.").imports


def test_nothing_is_executed():
    """A pickle that would run code is only described; what it imports is not loaded."""
    found = shape(Hostile())
    planted = shape_of_pickle(b"\x80\x04cantigravity\nfly\n(S'x'\ntR.")

    assert [] == RAN
    assert "builtins.getattr" in found.calls
    assert ("antigravity.fly",) == planted.imports == planted.calls
    assert "antigravity" not in sys.modules


def test_names_that_are_computed_are_told():
    """A name that the pickle makes itself is not taken for what it seems."""
    made = b"\x80\x04cos\ngetcwd\n)R\x8c\x06system\x93."

    assert ("os.getcwd", "<a name that is computed>") == shape_of_pickle(made).imports


def test_extension_codes_and_persistent_ids():
    """What leads out of the pickle is told."""
    assert ("<extension code 5>",) == shape_of_pickle(b"\x80\x02\x82\x05.").imports
    assert "?" == shape_of_pickle(b"\x80\x02K\x01Q.").root.kind


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        *(
            (b"", "damaged"),
            (b"\x80\x04", "damaged"),
            (b"0.", "damaged"),
            (b"(.x", "1 bytes follow"),
        ),
        *((b"h\x07.", "damaged"), (b"\xff\xff", "damaged"), (b"I1\n", "damaged")),
        (b"\x8d" + b"\xff" * 8, "damaged"),
        (pickle.dumps(list(range(50)))[:-9], "damaged"),
    ],
    ids=repr,
)
def test_damaged_pickles(payload, problem):
    """A pickle that cannot be followed to its end is told as far as it goes, with the reason."""
    assert problem in shape_of_pickle(payload).problem


@given(st.binary(max_size=300))
def test_any_bytes(payload):
    """No bytes at all raise, hang or are executed."""
    found = shape_of_pickle(payload)

    assert found.opcodes <= len(payload)


def test_endless_growth():
    """A pickle that puts a list into itself again and again is described in little memory."""
    found = shape_of_pickle(b"\x80\x04]" + b"2a" * 20_000 + b".")

    assert ("list", 20_000, "") == (found.root.kind, found.root.size, found.problem)
    assert len(found.root.parts) <= 32


def test_long_pickles_are_cut():
    """Behind the bound nothing is looked at, which is said; what it is to be is known by then."""
    found = shape_of_pickle(pickle.dumps([os.sep] * 1000), most_opcodes=100)

    assert (100, "list") == (found.opcodes, found.root.kind)
    assert "first 100 opcodes" in found.problem


def test_opcodes():
    """Opcodes are told with place and argument; numbers with too many digits by their bits."""
    found = list(opcodes_of(pickle.dumps({"a": 2**40000}, 5)))

    assert ["PROTO", "FRAME", "EMPTY_DICT"] == [opcode.name for opcode in found[:3]]
    assert "a number of 40,001 bits" in [opcode.argument for opcode in found]
    assert "a" in [opcode.argument for opcode in found]
