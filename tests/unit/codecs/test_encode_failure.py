"""Why a value could not be pickled: where the culprit is, what it is, and what pickle said."""

from __future__ import annotations

import dataclasses
import functools
import pickle
import socket
import sys
import threading
import types
from collections import OrderedDict, defaultdict
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objcache.codecs import encode_failure
from objcache.errors import EncodeError

HERE = __name__
LOCK = threading.Lock()


def failure(value, protocol=5):
    """What explains that *value* cannot be pickled."""
    with pytest.raises(Exception) as caught:
        pickle.dumps(value, protocol)
    return encode_failure(value, caught.value, protocol)


class Holder:
    """Holds something."""

    def __init__(self, held=None):
        self.fine, self.held = 1, held

    def method(self):
        """Do nothing."""


class Slotted:
    """Holds something in slots, one of them private and one empty."""

    __slots__ = ("__private", "empty", "fine")

    def __init__(self, held):
        self.fine, self.__private = 1, held


class SlotsAndMore(Slotted):
    """Has slots and a dict."""

    def __init__(self, held):
        super().__init__(1)
        self.more = held


@dataclasses.dataclass
class Record:
    """A dataclass."""

    name: str
    held: object


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    """A dataclass whose state is a list."""

    name: str
    held: object


class OwnState:
    """Has a state of its own making."""

    def __init__(self, state):
        self.state = state

    def __getstate__(self):
        return self.state


class OwnReduce:
    """Has a `__reduce__` of its own, of what it holds."""

    def __init__(self, connection):
        self.connection = connection

    def __reduce__(self):
        return OwnReduce, (self.connection,)


class Made:
    """Has a `__reduce__` of its own, of parts made for it."""

    def __reduce__(self):
        return Holder, (1, threading.Lock())


class Registered:
    """Is taken apart by a function in `copyreg`."""


class Items(dict):
    """A dict with attributes."""


class Parts(list):
    """A list with attributes."""


class Refuses:
    """Cannot be looked into."""

    def __reduce__(self):
        raise ValueError("not now")


class Stateless:
    """Fails while it is searched."""

    def __getstate__(self):
        raise RuntimeError("no state")


class Pair(NamedTuple):
    """A named tuple."""

    left: object
    right: object


def local():
    """Make what no pickle can name."""

    class Local:
        pass

    def function():
        return Local

    return Local, function


Local, local_function = local()


def generator():
    yield 1


CASES = [
    (LOCK, "value", "_thread.lock"),
    ({"a": [1, {"b": LOCK}]}, "value['a'][1]['b']", "_thread.lock"),
    (
        {"conn": Holder(types.SimpleNamespace(socket=LOCK))},
        "value['conn'].held.socket",
        "_thread.lock",
    ),
    ((1, lambda: 0), "value[1]", "function"),
    ({LOCK: 1}, "value: key <_thread.lock>", "_thread.lock"),
    ({(1, LOCK): 1}, "value: key <tuple>[1]", "_thread.lock"),
    ({1, frozenset({LOCK})}, "value{<frozenset>}{<_thread.lock>}", "_thread.lock"),
    ({"x" * 100: LOCK}, "value[<str>]", "_thread.lock"),
    ({"m": types}, "value['m']", "module"),
    ([generator()], "value[0]", "generator"),
    ([sys._getframe()], "value[0]", "frame"),
    ([local_function], "value[0]", "function"),
    ([Local], "value[0]", "type"),
    ([Local()], "value[0]", f"{HERE}.local.<locals>.Local"),
    ([Holder(Local())], "value[0].held", f"{HERE}.local.<locals>.Local"),
    ([Slotted(LOCK)], "value[0]._Slotted__private", "_thread.lock"),
    (SlotsAndMore([LOCK]), "value.more[0]", "_thread.lock"),
    (Record("a", [LOCK]), "value.held[0]", "_thread.lock"),
    (Frozen("a", [LOCK]), "value.held[0]", "_thread.lock"),
    (Pair(1, LOCK), "value.right", "_thread.lock"),
    (OwnState({"a": LOCK}), "value.a", "_thread.lock"),
    (OwnState((1, [LOCK])), "value.__getstate__()[1][0]", "_thread.lock"),
    (OwnState(Holder(LOCK)), "value.state.held", "_thread.lock"),
    (OwnState({"{}{0}": LOCK}), "value.{}{0}", "_thread.lock"),
    (OwnState({5: LOCK}), "value.?", "_thread.lock"),
    (OwnReduce([LOCK]), "value.connection[0]", "_thread.lock"),
    (Made(), "value.__reduce__()[1][1]", "_thread.lock"),
    (OrderedDict(a=LOCK), "value['a']", "_thread.lock"),
    (OrderedDict({LOCK: 1}), "value: key <_thread.lock>", "_thread.lock"),
    (Items(a=LOCK), "value['a']", "_thread.lock"),
    (Parts([1, LOCK]), "value[1]", "_thread.lock"),
    (defaultdict(lambda: 1), "value.default_factory", "function"),
    (functools.partial(print, LOCK), "value.args[0]", "_thread.lock"),
    (functools.partial(lambda: 1), "value.func", "function"),
    (Holder(LOCK).method, "value.__self__.held", "_thread.lock"),
    (ValueError(LOCK), "value.__reduce__()[1][0]", "_thread.lock"),
    ([Refuses()], "value[0]", f"{HERE}.Refuses"),
    ([Stateless()], "value[0]", f"{HERE}.Stateless"),
]


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize(("value", "path", "kind"), CASES, ids=range(len(CASES)))
def test_the_culprit_is_found(value, path, kind, protocol):
    """The error names the innermost part that cannot be pickled, by path and type."""
    error = failure(value, protocol)

    assert EncodeError is type(error)
    assert (path, kind) == (error.path, error.type_name)
    assert error.reason


def test_sockets_and_files_are_named():
    """A connection or file deep in an object is named as one would reach it."""
    with socket.socket() as connection:
        error = failure({"conn": types.SimpleNamespace(socket=connection)})

    assert ("value['conn'].socket", "socket.socket") == (error.path, error.type_name)
    assert "cannot pickle 'socket' object" == error.reason
    with open(__file__) as file:
        error = failure(Record("log", file))
    assert ("value.held", "_io.TextIOWrapper") == (error.path, error.type_name)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([LOCK], "cannot pickle '_thread.lock' object"),
        ([Refuses()], "not now"),
        ([Stateless()], "no state"),
        ([Local()], "Local"),
        ([lambda: 0], "<lambda>"),
    ],
)
def test_the_reason_is_pickles_own(value, reason):
    """The reason is what was said of the culprit, by pickle or by its own code."""
    assert reason in failure(value).reason


def test_classes_registered_with_copyreg():
    """A reduction that copyreg knows is followed, too."""
    import copyreg

    copyreg.pickle(Registered, lambda _value: (Holder, ([LOCK],)))
    try:
        error = failure([Registered()])
    finally:
        copyreg.dispatch_table.pop(Registered)

    assert "value[0].__reduce__()[1][0][0]" == error.path


def test_a_child_is_not_blamed_for_its_parent():
    """A part that knows what encloses it is not the culprit because of that."""
    parent = Holder([])
    child = Holder(parent)
    parent.held.append(child)
    parent.children = {"child": child}
    parent.socket = LOCK

    assert "value.socket" == failure(parent).path
    assert "value[0].socket" == failure([parent, child]).path


def test_cycles_end():
    """Values that contain themselves are searched once."""
    loop = [LOCK]
    loop.insert(0, loop)
    knot = Holder()
    knot.held = {"self": knot, "other": Holder(knot), "lock": [LOCK]}

    assert "value[1]" == failure(loop).path
    assert "value.held['lock'][0]" == failure(knot).path


def test_wide_values_are_searched_by_halves():
    """The culprit in a wide value costs the logarithm of its width in trials."""
    wide = [{"number": number} for number in range(20_000)]
    wide.insert(15_000, {"number": {"a": [LOCK]}})

    assert "value[15000]['number']['a'][0]" == failure(wide).path
    assert "value[50000]" == failure([*range(50_000), LOCK]).path


class Fresh:
    """Has another part, just as bad, whenever it is looked at."""

    def __init__(self, lock=None):
        self.lock = LOCK

    def __getstate__(self):
        return {"next": Fresh()}


def test_the_search_is_bounded(monkeypatch):
    """A search ends after so many trials or bytes, with what it has found so far."""
    from objcache.codecs import _culprit

    monkeypatch.setattr(_culprit, "_MOST_TRIALS", 3)
    error = failure([[[[LOCK]]]])

    assert error.path in {"value", "value[0]"}
    monkeypatch.setattr(_culprit, "_MOST_TRIALS", 10_000)
    monkeypatch.setattr(_culprit, "_MOST_BYTES", 1000)
    assert "value" == failure([[b"x" * 5000], [LOCK]]).path


def test_parts_without_end_are_cut_off():
    """Objects that make new parts of themselves for ever do not make the search endless."""
    error = encode_failure(Fresh(), TypeError("cannot pickle"), 5)

    assert error.path.startswith("value")


def deep_list(depth=100_000):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def test_depth_is_told_from_the_top():
    """What is too deep is named where it begins, with a reason that says so."""
    deep = {"fine": 1, "tree": deep_list()}
    error = failure(deep)
    chain = first = Holder()
    for _ in range(50_000):
        chain.held = Holder()
        chain = chain.held
    linked = failure(first)

    assert ("value['tree']", "list") == (error.path, error.type_name)
    assert ("value", f"{HERE}.Holder") == (linked.path, linked.type_name)
    for found in (error, linked):
        assert "nests deeper than pickle can follow" in found.reason
    value = deep["tree"]
    while value:
        value = value[0]
    while first is not None:
        first = first.held


class Liar(type):
    """A metaclass that answers with errors."""

    def __getattribute__(cls, name):
        if name in {"__module__", "__qualname__"}:
            raise RuntimeError("no")
        return super().__getattribute__(name)


class Lying(metaclass=Liar):
    """Does not even tell its name."""

    def __reduce_ex__(self, protocol):
        raise ValueError("no")


class Mute(Exception):
    """An error that cannot be printed."""

    def __str__(self):
        raise ValueError("no")


class RaisesMute:
    """Raises what cannot be printed."""

    def __reduce__(self):
        raise Mute


class Disguised:
    """Lies about its class."""

    @property
    def __class__(self):
        raise RuntimeError("no")

    def __reduce_ex__(self, protocol):
        raise ValueError("no")


class OddReduce:
    """Reduces to nonsense."""

    def __init__(self, reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize(
    "value",
    [
        *(Lying(), [Lying()], {"a": RaisesMute()}, [Disguised()], OddReduce(()), OddReduce((1,))),
        *(OddReduce((1, 2, 3)), OddReduce((int, 5)), OddReduce((int, (), None, 5, 5))),
        *(OddReduce("no.such.name"), OddReduce(5), OddReduce((int, (), ({}, {1: LOCK})))),
    ],
    ids=range(12),
)
def test_it_never_raises(value):
    """Values that fail while they are searched still give an explanation."""
    for error in (TypeError("given"), RecursionError("given"), Mute(), MemoryError()):
        found = encode_failure(value, error, 5)

        assert EncodeError is type(found)
        assert str(found)
        assert found.path.startswith("value")


def test_an_error_that_is_not_found_again_is_told_of_the_whole():
    """Where every part pickles by itself, the value is named with the error that was given."""
    error = encode_failure([1, [2]], ValueError("only once"), 5)

    assert ("value", "list", "only once") == (error.path, error.type_name, error.reason)


def test_interrupts_pass():
    """A search can be interrupted."""

    class Interrupts:
        def __reduce__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_failure([Interrupts()], TypeError("given"), 5)


trees = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.builds(Holder, inner)
        | st.builds(Frozen, st.text(max_size=2), inner)
        | st.builds(OwnReduce, inner)
    ),
    max_leaves=10,
)


@settings(max_examples=50)
@given(st.data(), trees)
def test_paths_lead_to_the_culprit(data, tree):
    """Followed as Python, the path ends at an object that is the culprit."""
    inside = LOCK
    for _ in range(data.draw(st.integers(0, 6))):
        wrap = data.draw(
            st.sampled_from(
                [
                    lambda part: [tree, part],
                    lambda part: (part, tree),
                    lambda part: {"k'": tree, "": part},
                    lambda part: Holder({"a": part}),
                    lambda part: Frozen("x", part),
                    OwnReduce,
                    lambda part: Pair(tree, part),
                ]
            )
        )
        inside = wrap(inside)
    error = failure(inside)

    assert LOCK is eval(error.path, {"value": inside})
