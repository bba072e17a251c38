"""Why a pickle did not load: what is gone, or whose own code failed."""

from __future__ import annotations

import dataclasses
import pickle
import sys
import types
from collections import OrderedDict
from decimal import Decimal
from enum import Enum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objcache.codecs import decode_failure, loads_restricted, trust_names
from objcache.errors import DecodeError
from tests.unit.codecs.streams import called, name, old_name, stream, text

HERE = __name__


def failure(payload):
    """What explains that *payload* does not load."""
    with pytest.raises(Exception) as caught:
        pickle.loads(payload)
    return decode_failure(caught.value, payload)


class Plain:
    """A class of the user's own."""

    def __init__(self, value=None):
        self.value = value


class Old(Plain):
    """A class that is gone when its pickles are loaded."""

    class Inner:
        """Nested in it."""


class Checks:
    """Refuses its state."""

    def __setstate__(self, state):
        raise ValueError("state of another version")


class Inherits(Checks):
    """Refuses its state by way of its base."""


class Lacks:
    """Takes an attribute that is not there."""

    def __setstate__(self, state):
        self.missing


class Imports:
    """Needs a module that is not there."""

    def __setstate__(self, state):
        import no_such_module  # noqa: F401


@dataclasses.dataclass
class Record:
    """A dataclass that checks itself."""

    value: object

    def __post_init__(self):
        raise ValueError("checked")

    def __reduce__(self):
        return Record, (self.value,)


class Refuses:
    """Refuses to be made."""

    def __new__(cls, *arguments):
        raise LookupError("no instance")


class Colour(Enum):
    """An enum that has lost a member."""

    RED = 1


def rebuild(value):
    raise OSError("device is gone")


def test_modules_that_are_gone():
    """A missing module is named with the class that was wanted of it."""
    for module in ("no_such_package", "no_such_package.sub", "collections.gone"):
        for opcodes, protocol in ((name(module, "Thing"), 4), (old_name(module, "Thing"), 2)):
            error = failure(stream(name("decimal", "Decimal"), b"0", opcodes, protocol=protocol))

            assert (module, "Thing") == (error.module, error.name)
            assert "ModuleNotFoundError: No module named" in error.reason


@pytest.mark.parametrize("qualified", ["Gone", "Counter.Gone"])
def test_classes_that_are_gone(qualified):
    """A missing class is named, nested ones in full."""
    error = failure(stream(called(name("collections", qualified))))

    assert ("collections", qualified) == (error.module, error.name)
    assert "AttributeError" in error.reason


@pytest.mark.parametrize("protocol", range(6))
def test_classes_are_found_in_whole_values(protocol, monkeypatch):
    """The class that is gone is told from others of the same pickle, in every protocol."""
    value = [OrderedDict(a=Plain(1)), {"b": {2}}, b"x", Plain(2), Old(3), Old(4), Decimal(1)]
    payload = pickle.dumps(value, protocol)
    monkeypatch.delitem(globals(), "Old")
    error = failure(payload)

    assert (HERE, "Old") == (error.module, error.name)


def test_names_in_the_memo_are_followed(monkeypatch):
    """Module names that a pickle holds once and uses often are followed."""
    payload = pickle.dumps([Plain(), [HERE, "Plain"], Old.Inner()], 4)
    monkeypatch.delattr(Old, "Inner")
    error = failure(payload)

    assert (HERE, "Old.Inner") == (error.module, error.name)


def test_modules_that_fail_to_import_are_named(tmp_path, monkeypatch):
    """A module that is there but cannot be imported is named, not what it lacks."""
    (tmp_path / "lacks_a_module.py").write_text("import no_such_module\nclass A: pass\n")
    (tmp_path / "raises.py").write_text("def f():\n    raise ValueError('at import')\nf()\n")
    (tmp_path / "broken.py").write_text("def\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for module, reason in (
        ("lacks_a_module", "No module named 'no_such_module'"),
        ("raises", "ValueError: at import"),
        ("broken", "SyntaxError"),
    ):
        error = failure(stream(name("decimal", "Decimal"), b"0", name(module, "A")))

        assert (module, "A") == (error.module, error.name)
        assert reason in error.reason


def test_modules_with_names_on_demand_are_asked(monkeypatch):
    """A module's own `__getattr__` that knows no such name is a missing name."""
    module = types.ModuleType("on_demand")
    monkeypatch.setitem(sys.modules, "on_demand", module)
    for raised in ("AttributeError('no A')", "ImportError('A needs torch')", "ValueError('no')"):
        exec(f"def __getattr__(name): raise {raised}", vars(module))
        for opcodes, protocol in ((name("on_demand", "A"), 4), (old_name("on_demand", "A"), 2)):
            error = failure(stream(name("decimal", "Decimal"), b"0", opcodes, protocol=protocol))

            assert ("on_demand", "A") == (error.module, error.name)


@pytest.mark.parametrize(
    ("value", "owner", "reason"),
    [
        (Checks(), "Checks", "its __setstate__ failed: ValueError: state of another version"),
        (Inherits(), "Inherits", "its __setstate__ failed: ValueError"),
        (Lacks(), "Lacks", "its __setstate__ failed: AttributeError"),
        (Imports(), "Imports", "its __setstate__ failed: ModuleNotFoundError"),
    ],
)
def test_own_code_of_a_class_is_told(value, owner, reason):
    """Where a class refuses its own state, that is said, and nothing is called missing."""
    value.__dict__["a"] = 1
    later = name("this_is_not_imported", "Later")
    payload = pickle.dumps(value, 4)[:-1] + b"0" + later + b"."
    error = failure(payload)

    assert (HERE, owner) == (error.module, error.name)
    assert error.reason.startswith(reason)


def test_own_code_of_constructors_and_functions_is_told():
    """Generated constructors, `__new__`, enums and functions are named, too."""
    record = Record.__new__(Record)
    record.value = 1
    for payload, owner, reason in (
        (pickle.dumps(record, 4), "Record", "its __init__ failed: ValueError: checked"),
        (stream(called(name(HERE, "Refuses"))), "Refuses", "its __new__ failed: LookupError"),
        (stream(called(name(HERE, "Colour"), b"K\x09")), "Colour", "9 is not a valid Colour"),
        (stream(called(name(HERE, "rebuild"), b"N")), "rebuild", "it failed: OSError: device"),
    ):
        error = failure(payload)

        assert (HERE, owner) == (error.module, error.name)
        assert reason in error.reason


def test_failures_of_c_code_name_no_class():
    """What pickle itself or a class in C raises is told as it is, without a class."""
    for payload, reason in (
        (stream(called(name("decimal", "Decimal"), text("x"))), "InvalidOperation"),
        (stream(b"R"), "UnpicklingError"),
        (stream(name("builtins", "object") + b")\x81}" + text("a") + b"Nsb"), "AttributeError"),
        (b"", "EOFError: Ran out of input"),
        (b"\x80\x06N.", "ValueError: unsupported pickle protocol: 6"),
    ):
        error = failure(payload)

        assert ("", "") == (error.module, error.name)
        assert reason in error.reason


def test_failures_under_an_allow_list():
    """The frames of objcache between the caller and the failing class do not count."""
    payload = pickle.dumps([Checks.__new__(Checks)], 4)[:-1] + b"0" + called(name(HERE, "Checks"))
    with pytest.raises(ValueError, match="another version") as caught:
        loads_restricted(
            payload + b"}b.", [], trust=trust_names([Checks]), renames={"old.A": "new.A"}
        )
    error = decode_failure(caught.value, payload)

    assert (HERE, "Checks") == (error.module, error.name)


def test_truncated_pickles():
    """Every cut of a pickle is explained."""
    whole = pickle.dumps({"a": [Plain(1), "text", Decimal(1)] * 3}, 5)
    for end in range(len(whole)):
        error = failure(whole[:end])

        assert DecodeError is type(error)
        assert "" == error.module
        assert error.reason.startswith(("EOFError", "UnpicklingError"))


class Mute(Exception):
    """An error that cannot be printed."""

    def __str__(self):
        raise ValueError("no")


class Liar(type):
    """A metaclass that answers with errors."""

    def __getattribute__(cls, name):
        if name in {"__module__", "__qualname__"}:
            raise RuntimeError("no")
        return super().__getattribute__(name)


class Lying(metaclass=Liar):
    """Does not even tell its name."""

    def __setstate__(self, state):
        raise Mute


def test_it_never_raises():
    """Errors and classes that cannot be printed still give an explanation."""
    with pytest.raises(Mute) as caught:
        Lying().__setstate__(1)
    for error in (caught.value, Mute(), AttributeError(), ImportError(), ModuleNotFoundError("x")):
        for payload in (b"", b"\x80", stream(name("a", "b")), memoryview(b"\x80\x04c"), b"(ia"):
            found = decode_failure(error, payload)

            assert DecodeError is type(found)
            assert str(found)
    assert "Mute" in decode_failure(caught.value, b"").reason


def test_errors_without_a_trace_are_explained_from_the_payload():
    """An error that was only carried here is explained by what the pickle names."""
    payload = stream(name("decimal", "Decimal"), b"0", name("gone", "A"))
    error = decode_failure(ModuleNotFoundError("No module named 'gone'", name="gone"), payload)

    assert ("gone", "A") == (error.module, error.name)
    assert ("", "") == decode_failure(ValueError("x"), payload).args[:2]


@settings(max_examples=50)
@given(st.binary(max_size=40), st.binary(max_size=40))
def test_garbage_is_explained(start, end):
    """Whatever the bytes, there is an explanation and nothing of them runs."""
    payload = start + stream(name("gone", "A")) + end
    for error in (AttributeError("a"), ImportError("b"), pickle.UnpicklingError("c")):
        assert DecodeError is type(decode_failure(error, payload))
