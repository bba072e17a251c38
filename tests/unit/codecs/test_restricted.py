"""Unpickling with an allow-list: hostile pickles run nothing, honest ones come back.

Each attack is also run without the list, where it succeeds: what is refused here is real.
"""

from __future__ import annotations

import copyreg
import functools
import pickle
import sys
import types
import warnings
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import PurePosixPath, PureWindowsPath
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objcache.codecs import ALWAYS_TRUSTED, NUMPY_TRUSTED, loads_restricted, trust_names
from objcache.errors import DecodeError, UntrustedTypeError
from tests.unit.codecs.streams import called, long_text, name, old_name, stream, text

HERE = __name__
RAN: list[object] = []


def run(*arguments):
    """Leave a trace."""
    RAN.append(arguments)
    return run


class Constructed:
    """Leaves a trace when it is constructed."""

    def __new__(cls, *arguments):
        RAN.append(arguments)
        return object.__new__(cls)


class Restored:
    """Leaves a trace when its state is set."""

    def __setstate__(self, state):
        RAN.append(state)


class Hooked:
    """Leaves a trace when it is subclassed."""

    def __init_subclass__(cls):
        RAN.append(cls)


class Plain:
    """A class of the user's own, which the tests list."""

    def __init__(self, value=None):
        self.value = value

    def __eq__(self, other):
        return type(other) is type(self) and self.value == other.value

    def __hash__(self):
        return 0

    def method(self):
        """Do nothing."""

    class Inner:
        """A nested class."""

        def __eq__(self, other):
            return type(other) is Plain.Inner

        def __hash__(self):
            return 0

        class Innermost:
            """Nested deeper."""


class Fed:
    """A class that can itself be fed as if it were a list."""

    def method(self):
        """Do nothing."""

    @classmethod
    def append(cls, value):
        """Leave a trace."""
        RAN.append(value)

    extend = add = append


class Items(type):
    """A metaclass whose classes take items."""

    def __setitem__(cls, key, value):
        RAN.append((key, value))


class WithItems(metaclass=Items):
    """A class that takes items itself."""


def restricted(payload, trust=(), renames=None):
    return loads_restricted(payload, [], trust=trust_names(trust), renames=renames or {})


def touching(path):
    """Python that makes the file *path*."""
    return f"open({str(path)!r}, 'w').close()"


def import_os():
    """Push the module os."""
    return called(name("importlib", "import_module"), text("os"))


def touch(path):
    """Push a shell command that makes the file *path*."""
    return long_text(f"touch {path}".encode())


def listed(*opcodes):
    """Push a list."""
    return b"](" + b"".join(opcodes) + b"e"


def nested(payload):
    """Push bytes."""
    return b"B" + len(payload).to_bytes(4, "little") + payload


def source(path):
    """Push Python that makes the file *path*."""
    return long_text(f"open({str(path)!r}, 'w').close()".encode())


SYSTEM = name("os", "system")
ATTACKS = {
    "os.system": lambda path: stream(called(SYSTEM, touch(path))),
    "posix.system": lambda path: stream(called(name("posix", "system"), touch(path))),
    "protocol 0": lambda path: stream(
        old_name("os", "system"), b"(V", f"touch {path}\ntR".encode(), protocol=0
    ),
    "protocol 2": lambda path: stream(called(old_name("os", "system"), touch(path)), protocol=2),
    "inst": lambda path: stream(b"(", touch(path), b"ios\nsystem\n"),
    "obj": lambda path: stream(
        b"(", name("subprocess", "call"), listed(text("touch"), long_text(str(path).encode())), b"o"
    ),
    "subprocess": lambda path: stream(called(name("subprocess", "getoutput"), touch(path))),
    "eval": lambda path: stream(called(name("builtins", "eval"), source(path))),
    "exec": lambda path: stream(called(name("builtins", "exec"), source(path))),
    "method of a path": lambda path: stream(
        called(
            name("pathlib", "Path.touch"),
            called(name("pathlib", "PosixPath"), long_text(str(path).encode())),
        )
    ),
    "eval of Python 2": lambda path: stream(
        called(old_name("__builtin__", "eval"), source(path)), protocol=2
    ),
    "module of Python 2": lambda path: stream(
        called(old_name("commands", "getoutput"), touch(path)), protocol=2
    ),
    "dotted uuid": lambda path: stream(called(name("uuid", "os.system"), touch(path))),
    "dotted zoneinfo": lambda path: stream(
        called(name("zoneinfo", "_tzpath.os.system"), touch(path))
    ),
    "dotted os.path": lambda path: stream(called(name("os.path", "os.system"), touch(path))),
    "dotted decimal": lambda path: stream(
        called(
            name("decimal", "__loader__.set_data"),
            long_text(str(path).encode()),
            nested(b"content"),
        )
    ),
    "partial": lambda path: stream(
        called(called(name("functools", "partial"), SYSTEM, touch(path)))
    ),
    "getattr": lambda path: stream(
        called(called(name("builtins", "getattr"), import_os(), text("system")), touch(path))
    ),
    "attrgetter": lambda path: stream(
        called(
            called(called(name("operator", "attrgetter"), text("system")), import_os()), touch(path)
        )
    ),
    "methodcaller": lambda path: stream(
        called(called(name("operator", "methodcaller"), text("system"), touch(path)), import_os())
    ),
    "map": lambda path: stream(
        called(
            name("builtins", "list"), called(name("builtins", "map"), SYSTEM, listed(touch(path)))
        )
    ),
    "filter": lambda path: stream(
        called(
            name("builtins", "list"),
            called(name("builtins", "filter"), SYSTEM, listed(touch(path))),
        )
    ),
    "nested loads": lambda path: stream(
        called(name("pickle", "loads"), nested(ATTACKS["os.system"](path)))
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_succeed_without_a_list(attack, tmp_path):
    """The attacks of this file do run code where nothing restricts pickle."""
    touched = tmp_path / "touched"
    pickle.loads(ATTACKS[attack](touched))

    assert touched.exists()


@pytest.mark.parametrize("trust", [(), [Plain], ["os.path.join", f"{HERE}.Plain.Inner"]])
@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_run_nothing(attack, trust, tmp_path):
    """With an allow-list each of them is refused and leaves no trace."""
    touched = tmp_path / "touched"
    with pytest.raises(UntrustedTypeError, match="which trust= does not list"):
        restricted(ATTACKS[attack](touched), trust)

    assert not touched.exists()


REDUCTIONS = {
    "function": called(name(HERE, "run"), text("x")),
    "constructor": called(name(HERE, "Constructed"), text("x")),
    "newobj": name(HERE, "Constructed") + b")\x81",
    "newobj_ex": name(HERE, "Constructed") + b")}\x92",
    "inst": b"(i" + f"{HERE}\nConstructed\n".encode(),
    "obj": b"(" + name(HERE, "Constructed") + b"o",
    "setstate": name(HERE, "Restored") + b")\x81" + text("state") + b"b",
    "reconstructor": called(
        name("copyreg", "_reconstructor"), name(HERE, "Plain"), name(HERE, "Constructed"), b"N"
    ),
    "newobj function": called(name("copyreg", "__newobj__"), name(HERE, "Constructed")),
    "class statement": called(
        name("builtins", "type"), text("X"), name(HERE, "Hooked") + b"\x85", b"}"
    ),
    "state setter": called(name(HERE, "run"), name(HERE, "Plain") + b")\x81", b"}"),
    "classmethod": called(name(HERE, "Fed.append"), text("x")),
    "method of the metaclass": name(HERE, "WithItems") + text("a") + text("b") + b"s",
    "bound by getattr": called(
        called(name("builtins", "getattr"), name(HERE, "Fed"), text("append")), text("x")
    ),
    "after a listed one": called(name(HERE, "Plain"), b"N") + b"0" + called(name(HERE, "run")),
}


@pytest.mark.parametrize("attack", REDUCTIONS)
def test_code_of_unlisted_classes_does_not_run(attack):
    """Constructors, __setstate__, hooks and methods run only where they are listed by name."""
    RAN.clear()
    pickle.loads(stream(REDUCTIONS[attack]))

    assert RAN
    RAN.clear()
    with pytest.raises(UntrustedTypeError):
        restricted(stream(REDUCTIONS[attack]), [Plain, Fed])
    assert [] == RAN


@pytest.mark.parametrize(
    "last",
    [
        name("os", "system"),
        called(name("builtins", "getattr"), name(HERE, "Constructed"), text("__new__")),
        called(name("builtins", "getattr"), b"N", text("x")),
        called(name("_codecs", "encode"), text("x"), text("zlib")),
    ],
)
def test_nothing_is_called_before_all_names_are_checked(last):
    """A pickle that ends in a name outside the list has not even made its listed objects."""
    RAN.clear()
    payload = stream(called(name(HERE, "Constructed"), text("x")), b"0", last)
    with pytest.raises(UntrustedTypeError):
        restricted(payload, [Constructed])

    assert [] == RAN


def test_aliases_of_a_class_open_none_of_its_attributes(monkeypatch):
    """What getattr leads to is listed under the class's own name, not under another one."""
    monkeypatch.setitem(globals(), "alias", Fed)
    monkeypatch.setattr(Fed, "tool", functools.partial(run), raising=False)
    get = called(name("builtins", "getattr"), name(HERE, "alias"), text("tool"))
    with pytest.raises(UntrustedTypeError, match=r"Fed\.tool"):
        restricted(stream(get), [Fed, f"{HERE}.alias", f"{HERE}.alias.tool"])


def test_names_are_translated_once(monkeypatch):
    """A pickle that changes its protocol on the way has its names looked up as they were checked."""
    module = types.ModuleType("commands")
    module.getoutput = type("getoutput", (), {"__module__": "commands"})
    monkeypatch.setitem(sys.modules, "commands", module)
    payload = stream(b"\x80\x02", old_name("commands", "getoutput"))

    assert module.getoutput is restricted(payload, ["commands.getoutput"])


REFUSED = {
    "sys.modules": name("datetime", "sys.modules"),
    "globals": name(HERE, "Plain.__init__.__globals__"),
    "globals of decimal": name("decimal", "Decimal.__init__.__globals__"),
    "subclasses": name("builtins", "object.__subclasses__"),
    "mro": name("builtins", "object.__class__.__mro__"),
    "module": name("uuid", "os"),
    "code": name("types", "FunctionType"),
    "registry": name("copyreg", "add_extension"),
    "encode": name("codecs", "encode"),
    "itemgetter": name("operator", "itemgetter"),
    "empty": name("", ""),
    "empty name": name("os", ""),
    "dots": name("os", "."),
    "type": called(name("builtins", "type"), b"N"),
    "method by getattr": called(
        name("builtins", "getattr"), name("decimal", "Decimal"), text("from_float")
    ),
    "globals by getattr": called(
        name("builtins", "getattr"),
        called(name("builtins", "getattr"), name(HERE, "Plain"), text("__init__")),
        text("__globals__"),
    ),
    "getattr of an instance": called(name("builtins", "getattr"), b"N", text("x")),
    "getattr of three": called(
        name("builtins", "getattr"), name("builtins", "int"), text("x"), b"N"
    ),
    "getattr without a name": called(name("builtins", "getattr"), name("builtins", "int"), b"N"),
    "getattr of nothing": called(name("builtins", "getattr")),
    "decoding": called(name("_codecs", "encode"), text("x"), text("zlib")),
    "encoding by default": called(name("_codecs", "encode"), text("x")),
    "encoding bytes": called(name("_codecs", "encode"), b"C\x01x", text("latin1")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_ways_out_are_refused(case):
    """Attributes of listed classes, and stand-ins used for something else, lead nowhere."""
    with pytest.raises(UntrustedTypeError):
        restricted(stream(REFUSED[case]), [Plain])


def test_refused_modules_are_not_imported():
    """A name outside the list does not load its module, nor does a rename to one."""
    for payload, renames in (
        (stream(name("this", "s")), {}),
        (stream(name("gone", "A")), {"gone.A": "this.s.a"}),
    ):
        sys.modules.pop("this", None)
        with pytest.raises(UntrustedTypeError):
            restricted(payload, renames=renames)

        assert "this" not in sys.modules


ALTERATIONS = {
    "attributes of a class": b"N}" + text("value") + text("evil") + b"s\x86b",
    "methods of a class": b"N}" + text("method") + name("builtins", "dict") + b"s\x86b",
    "through the memo": b"\x94N}" + text("value") + text("evil") + b"s\x86\x940h\x00h\x01b",
    "duplicated": b"2N}" + text("value") + text("evil") + b"s\x86b0",
    "append": text("x") + b"a",
    "appends": b"(" + text("x") + text("y") + b"e",
    "items of a set": b"(" + text("x") + b"\x90",
}


@pytest.mark.parametrize("case", ALTERATIONS)
def test_listed_classes_cannot_be_altered(case):
    """A pickle may use a listed class; it cannot set attributes of the class or feed it."""
    payload = stream(name(HERE, "Fed"), ALTERATIONS[case])
    before = dict(vars(Fed))
    RAN.clear()
    pickle.loads(payload)

    assert RAN or before != dict(vars(Fed))
    for attribute in set(vars(Fed)) - set(before):
        delattr(Fed, attribute)
    Fed.method = before["method"]
    RAN.clear()
    with pytest.raises(DecodeError, match=r"the pickle alters .*Fed itself"):
        restricted(payload, [Fed])
    assert [] == RAN
    assert before == dict(vars(Fed))


@pytest.mark.parametrize(
    "opcodes",
    [
        name("fractions", "Fraction") + ALTERATIONS["attributes of a class"],
        name("collections", "Counter") + ALTERATIONS["methods of a class"],
        name("copyreg", "_reconstructor") + b"N}" + text("__defaults__") + b"K\x01\x85s\x86b",
        name("builtins", "getattr") + b"}" + text("a") + text("b") + b"sb",
        name("_codecs", "encode") + b"}" + text("a") + text("b") + b"sb",
        name(HERE, "WithItems") + text("a") + text("b") + b"s",
        name(HERE, "run") + b"}" + text("a") + text("b") + b"sb",
        called(name("builtins", "getattr"), name(HERE, "Plain"), text("Inner"))
        + ALTERATIONS["attributes of a class"],
    ],
)
def test_nothing_that_is_named_can_be_altered(opcodes):
    """Functions, classes of the standard library and nested classes stay as they are, too."""
    trust = [Plain, Plain.Inner, WithItems, f"{HERE}.run"]
    RAN.clear()
    with pytest.raises(DecodeError, match="the pickle alters"):
        restricted(stream(opcodes), trust)

    assert [] == RAN
    assert not hasattr(Fraction, "value")
    assert not hasattr(Counter, "method")
    assert None is copyreg._reconstructor.__defaults__
    assert {} == vars(run)


@pytest.fixture
def extension():
    """An extension code that leads to `run`, met before by another unpickler."""
    copyreg.add_extension(HERE, "run", 7)
    payload = stream(b"\x82\x07", text("x"), b"\x85R", protocol=2)
    pickle.loads(payload)
    yield payload
    copyreg.remove_extension(HERE, "run", 7)


def test_extension_codes_are_refused(extension):
    """Codes of the extension registry are refused: pickle resolves known ones without asking."""
    RAN.clear()
    for trust in ((), [f"{HERE}.run"]):
        for code in (b"\x82\x07", b"\x83\x07\x00", b"\x84\x07\x00\x00\x00"):
            with pytest.raises(DecodeError, match="extension code 7"):
                restricted(stream(code, text("x"), b"\x85R", protocol=2), trust)

    assert [] == RAN
    assert {"a": b"\x82\x83\x84"} == restricted(pickle.dumps({"a": b"\x82\x83\x84"}, 5))
    with pytest.raises(DecodeError, match="ValueError"):
        restricted(b"\x80\x04\xff" + extension)
    assert run is loads_restricted(extension, [], trust=None, renames={})


def test_unregistered_extension_codes_are_refused():
    """A code that nobody registered is an error of pickle's own."""
    with pytest.raises(ValueError, match="unregistered extension code"):
        restricted(b"\x80\x02\x82\x01.")


@pytest.mark.parametrize("payload", [b"Pname\n.", stream(text("name"), b"Q"), stream(b"NQ")])
def test_persistent_ids_are_refused(payload):
    """Nothing here writes persistent ids, so nothing resolves them, with a list or renames."""
    for trust in (None, trust_names([Plain])):
        with pytest.raises(DecodeError, match="persistent id"):
            loads_restricted(payload, [], trust=trust, renames={"a.B": "c.D"})


def test_a_listed_name_must_be_what_it_says(monkeypatch):
    """A listed name that leads to something else is refused, and what it leads to is told."""
    monkeypatch.setattr(Plain, "alias", __import__("os").system, raising=False)
    monkeypatch.setitem(globals(), "alias", Plain)
    monkeypatch.setitem(globals(), "module", types)
    for listed_name, really in (
        (f"{HERE}.Plain.alias", r"posix\.system"),
        (f"{HERE}.alias", rf"{HERE}\.Plain"),
        (f"{HERE}.module", "it is a module"),
        (f"{HERE}.module.FunctionType", "is not the class of that name"),
        (f"{HERE}.alias.Inner", "is not the class of that name"),
        ("uuid.os.system", "is not the class of that name"),
        ("commands.getoutput", r"subprocess\.getoutput"),
    ):
        module, _, qualified = listed_name.rpartition(".")
        if module.startswith(HERE):
            module, qualified = HERE, listed_name.removeprefix(f"{HERE}.")
        elif module == "uuid.os":
            module, qualified = "uuid", "os.system"
        old = module == "commands"
        opcodes = old_name(module, qualified) if old else name(module, qualified)
        with pytest.raises(UntrustedTypeError, match=really):
            restricted(stream(opcodes, protocol=2 if old else 4), [listed_name])


def test_another_split_of_a_listed_name_leads_nowhere():
    """A listed class is found in its module only, not through what another one has imported."""
    package, _, module = HERE.rpartition(".")
    with pytest.raises(UntrustedTypeError, match="is not the class of that name"):
        restricted(stream(name(package, f"{module}.Plain")), [Plain])
    with pytest.raises(DecodeError, match="ModuleNotFoundError"):
        restricted(stream(name(f"{HERE}.Plain", "Inner")), [Plain.Inner])


class Point(tuple):
    """A tuple with a constructor of its own."""

    __slots__ = ()

    def __new__(cls, *, x):
        return tuple.__new__(cls, (x,))

    def __getnewargs_ex__(self):
        return (), {"x": self[0]}


STANDARD = {
    "plain": [None, True, 1, -(2**100), 1.5, "text", b"bytes", (1,), [2], {"a": {3}}],
    "builtins": [1j, range(3), slice(1, 2), frozenset({1}), bytearray(b"x"), ..., NotImplemented],
    "empty": [b"", bytearray(), set(), frozenset(), (), ""],
    "types": [int, str, list, dict, object, Decimal, Fraction, UUID],
    "collections": [
        OrderedDict(a=1),
        deque([1], 3),
        Counter("aab"),
        defaultdict(list, a=[1]),
        defaultdict(int),
    ],
    "times": [
        date(2026, 1, 1),
        time(1, 2, tzinfo=UTC),
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1), "X")),
        timedelta(1),
        UTC,
    ],
    "numbers": [Decimal("1.50"), Decimal("NaN").is_nan(), Fraction(1, 3)],
    "uuid": [UUID(int=2**127)],
    "paths": [
        PurePosixPath("a/b"),
        PureWindowsPath("c:/x"),
        type(__import__("pathlib").Path())("a"),
    ],
    "addresses": [
        *(ip_address(text) for text in ("1.2.3.4", "::1")),
        *(ip_interface(text) for text in ("1.2.3.4/24", "::1/64")),
        *(ip_network(text) for text in ("1.2.3.0/24", "fe80::/10")),
    ],
    "shared": [[shared := [1], shared], {"a": shared}],
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", STANDARD)
def test_plain_data_needs_no_list(kind, protocol):
    """Plain data of the standard library comes back under an empty list, in every protocol."""
    value = STANDARD[kind]
    loaded = restricted(pickle.dumps(value, protocol))

    assert value == loaded
    assert [type(part) for part in value] == [type(part) for part in loaded]


@pytest.fixture
def zone(tmp_path, monkeypatch):
    """A time zone of our own, so that none needs to be installed."""
    head = b"TZif" + bytes(16) + b"".join(n.to_bytes(4, "big") for n in (0, 0, 0, 0, 1, 4))
    (tmp_path / "Test").mkdir()
    (tmp_path / "Test" / "Zone").write_bytes(head + bytes(6) + b"XYZ\0")
    zoneinfo.reset_tzpath([str(tmp_path)])
    yield zoneinfo.ZoneInfo("Test/Zone")
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()


@pytest.mark.parametrize("protocol", range(6))
def test_time_zones_load(zone, protocol):
    """Times in a named zone come back, though pickle writes zones by way of getattr."""
    value = [datetime(2026, 1, 1, tzinfo=zone), zone, zoneinfo.ZoneInfo.no_cache("Test/Zone")]
    payload = pickle.dumps(value, protocol)

    assert b"getattr" in payload
    loaded = restricted(payload)
    assert value[0] == loaded[0]
    assert zone is loaded[1] is loaded[0].tzinfo
    assert ["Test/Zone"] * 3 == [zone.key, loaded[0].tzinfo.key, loaded[2].key]


def test_zones_read_no_other_files(zone, tmp_path):
    """A hostile zone key leads out of the time zone database no more than it does by itself."""
    (tmp_path.parent / "outside").write_bytes((tmp_path / "Test" / "Zone").read_bytes())
    for key in ("../outside", str(tmp_path.parent / "outside"), "a\0b"):
        unpickle = called(
            name("builtins", "getattr"), name("zoneinfo", "ZoneInfo"), text("_unpickle")
        )
        with pytest.raises((ValueError, zoneinfo.ZoneInfoNotFoundError)):
            restricted(stream(called(unpickle, long_text(key.encode()), b"K\x01")))


@pytest.mark.parametrize("protocol", range(2, 6))
def test_listed_classes_load(protocol):
    """Listed classes and what is nested in them by name come back, in every binary protocol."""
    value = {"own": Plain([1]), "inner": Plain.Inner(), "class": Plain.Inner.Innermost}
    loaded = restricted(
        pickle.dumps(value, protocol), [Plain, Plain.Inner, f"{HERE}.Plain.Inner.Innermost"]
    )

    assert value == loaded
    with pytest.raises(UntrustedTypeError, match=r"Plain\.Inner"):
        restricted(pickle.dumps(value, protocol), [Plain])


def test_keyword_constructors_load_from_protocol_4_on():
    """Below protocol 4 pickle writes them with functools.partial, which no list lets in."""
    for protocol in (4, 5):
        assert Point(x=1) == restricted(pickle.dumps(Point(x=1), protocol), [Point])
    for protocol in (2, 3):
        with pytest.raises(UntrustedTypeError, match=r"functools\.partial"):
            restricted(pickle.dumps(Point(x=1), protocol), [Point])


def test_always_trusted_is_closed():
    """The names that need no list are plain types of these modules, and three functions."""
    modules = {
        *("builtins", "collections", "copyreg", "datetime", "decimal", "fractions", "ipaddress"),
        *("pathlib", "pathlib._local", "uuid", "zoneinfo"),
    }
    never = {"getattr", "setattr", "eval", "exec", "compile", "open", "type", "map", "filter"}
    functions = []
    for full_name in sorted(ALWAYS_TRUSTED):
        module, _, qualified = full_name.rpartition(".")
        if qualified == "_unpickle":
            functions.append(full_name)
            continue

        assert module in modules
        assert qualified not in never
        if module == "pathlib._local" and module not in sys.modules:
            continue
        found = getattr(__import__(module, fromlist=[qualified]), qualified)
        if not isinstance(found, type) and found is not ... and found is not NotImplemented:
            functions.append(full_name)
    assert ["copyreg._reconstructor", "zoneinfo.ZoneInfo._unpickle"] == functions


ARRAYS = {
    "contiguous": np.arange(5),
    "fortran": np.asfortranarray(np.ones((3, 3))),
    "scattered": np.arange(10)[::2],
    "objects": np.array(["a", None, Decimal(1)], dtype=object),
    "empty": np.zeros((0, 3)),
    "zero dimensions": np.array(3),
    "transposed": np.ones((2, 3, 4)).transpose(1, 0, 2),
    "texts": np.array(["abc"]),
    "bytes": np.array([b"abc"]),
    "times": np.array(["2020"], dtype="M8[s]"),
    "records": np.zeros(2, dtype=[("a", "i4"), ("b", "O")]),
    "void": np.zeros(2, dtype=[("a", "i4")])[0],
    "scalar": np.float64(1.5),
    "bool": np.bool_(True),
    "text": np.str_("a"),
    "time": np.datetime64("2020-01-01"),
    "dtype": np.dtype([("a", "<f4")]),
    "large": np.zeros(1000),
}


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_load_with_the_names_of_numpy(kind, protocol):
    """NUMPY_TRUSTED is what arrays, scalars and dtypes need, and without it they are refused."""
    value = ARRAYS[kind]
    buffers: list[pickle.PickleBuffer] = []
    callback = buffers.append if protocol == 5 else None
    payload = pickle.dumps(value, protocol, buffer_callback=callback)
    loaded = loads_restricted(payload, iter(buffers), trust=NUMPY_TRUSTED, renames={})

    assert type(value) is type(loaded)
    assert getattr(value, "dtype", None) == getattr(loaded, "dtype", None)
    assert np.array_equal(value, loaded) if isinstance(value, np.ndarray) else value == loaded
    with pytest.raises(UntrustedTypeError, match="numpy"):
        loads_restricted(payload, buffers, trust=frozenset(), renames={})


# np.arange(3, dtype="<i2") in protocols 4 and 5, and np.float64(1.5), by numpy 1.26.4.
WRITTEN_BY_126 = """
8004958e000000000000008c156e756d70792e636f72652e6d756c74696172726179948c0c5f7265636f6e7374727563
749493948c056e756d7079948c076e6461727261799493944b0085944301629487945294284b014b03859468038c0564
747970659493948c02693294898887945294284b038c013c944e4e4e4affffffff4affffffff4b007494628943060000
01000200947494622e

80059579000000000000008c126e756d70792e636f72652e6e756d65726963948c0b5f66726f6d627566666572949394
28960600000000000000000001000200948c056e756d7079948c0564747970659493948c02693294898887945294284b
038c013c944e4e4e4affffffff4affffffff4b007494624b0385948c014394749452942e

80049569000000000000008c156e756d70792e636f72652e6d756c74696172726179948c067363616c61729493948c05
6e756d7079948c0564747970659493948c02663894898887945294284b038c013c944e4e4e4affffffff4affffffff4b
007494624308000000000000f83f94869452942e
"""


@pytest.mark.parametrize("written", WRITTEN_BY_126.split("\n\n"))
def test_pickles_of_older_numpy_load(written):
    """What numpy 1.26 has pickled loads under the same names, which numpy 2 warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        loaded = restricted(bytes.fromhex("".join(written.split())), NUMPY_TRUSTED)

    assert loaded.tolist() in ([0, 1, 2], 1.5)


@pytest.mark.parametrize(
    "bad",
    [
        "os",
        "package.*",
        "package.module.*",
        "nodots",
        "",
        ".",
        "a..b",
        "a.b ",
        "a.<locals>.b",
        HERE,
    ],
)
def test_allow_lists_are_exact(bad):
    """Modules, patterns and what is no name are refused, with the remedy."""
    with pytest.raises(ValueError, match=r"list each class as 'package\.module\.Class'"):
        trust_names([bad])


def test_allow_lists_are_lists():
    """A single name or class, and what is neither, is refused."""
    for bad in ("package.Class", Plain):
        with pytest.raises(TypeError, match="is a list of classes or names, not the one"):
            trust_names(bad)
    with pytest.raises(TypeError, match="lists classes or their names, not 5"):
        trust_names([5])


def test_allow_lists_take_classes():
    """Classes become their names; what lies inside a function has none."""

    class Local:
        """A class that no pickle can name."""

    assert {f"{HERE}.Plain.Inner", "decimal.Decimal", "a.B"} == trust_names(
        [Plain.Inner, Decimal, "a.B"]
    )
    assert frozenset() == trust_names(iter([]))
    with pytest.raises(ValueError, match="lies inside a function"):
        trust_names([Local])


def test_listed_names_that_are_gone_are_named():
    """A listed class that cannot be found is a DecodeError with its name."""
    for module, qualified, reason in (
        (HERE, "Gone", "AttributeError"),
        (HERE, "Plain.Gone", "AttributeError"),
        ("no_such_module", "Gone", "ModuleNotFoundError"),
    ):
        with pytest.raises(DecodeError, match=reason) as caught:
            restricted(stream(name(module, qualified)), [f"{module}.{qualified}"])

        assert (module, qualified) == (caught.value.module, caught.value.name)


class Moved:
    """Where `old.Thing` is today."""

    class Part:
        """Where `old.Thing.Part` is today."""


RENAMES = [
    ("old", "Thing", {"old.Thing": f"{HERE}.Moved"}, Moved),
    ("old", "Thing.Part", {"old.Thing": f"{HERE}.Moved"}, Moved.Part),
    ("old", "Thing.Part", {"old.Thing.Part": f"{HERE}.Plain"}, Plain),
    ("old", "Thing", {"old.Thing": f"{HERE}.Moved.Part"}, Moved.Part),
    ("old", "Moved", {"old": HERE}, Moved),
    ("old", "Moved.Part", {"old": HERE}, Moved.Part),
    ("old.sub", "Moved", {"old.sub": HERE, "old": "nowhere"}, Moved),
    ("old", "Thing", {"old": "nowhere", "old.Thing": f"{HERE}.Moved"}, Moved),
    ("decimal", "Decimal", {"decimal.Decimal": "fractions.Fraction"}, Fraction),
    (HERE, "Moved", {"unrelated.Name": "os.system"}, Moved),
]


@pytest.mark.parametrize(("module", "qualified", "renames", "expected"), RENAMES)
def test_renames(module, qualified, renames, expected):
    """Old names lead to new ones: classes, nested ones with them, or whole modules."""
    trust = trust_names([Moved, Moved.Part, Plain])
    for allowed in (None, trust):
        for opcodes, protocol in ((name(module, qualified), 4), (old_name(module, qualified), 2)):
            if protocol == 2 and renames.keys().isdisjoint({module, f"{module}.{qualified}"}):
                continue  # no pickler writes dots there
            payload = stream(opcodes, protocol=protocol)

            assert expected is loads_restricted(payload, [], trust=allowed, renames=renames)


def test_renames_do_not_widen_the_list():
    """The list holds for the new name: a listed old one does not let it in."""
    renames = {f"{HERE}.Plain": "os.system"}
    with pytest.raises(UntrustedTypeError, match=r"os\.system"):
        restricted(stream(name(HERE, "Plain")), [Plain], renames)
    with pytest.raises(UntrustedTypeError, match=r"this\.s\.a"):
        restricted(stream(name("old", "A")), [], {"old.A": "this.s.a"})


def test_renames_that_lead_nowhere_name_the_new_place():
    """A rename to what is not there is a DecodeError with the new name."""
    for new, module, qualified in (
        (f"{HERE}.Gone", HERE, "Gone"),
        ("no_such_package.module.New", "no_such_package.module", "New"),
    ):
        with pytest.raises(DecodeError) as caught:
            loads_restricted(stream(name("old", "A")), [], trust=None, renames={"old.A": new})

        assert (module, qualified) == (caught.value.module, caught.value.name)


def test_renames_alone_restrict_nothing():
    """Without an allow-list the other classes load as ever, by their names in any protocol."""
    RAN.clear()
    for protocol in range(6):
        payload = pickle.dumps([Plain(1), Plain.Inner, {1}, b"x", len], protocol)

        assert pickle.loads(payload) == loads_restricted(
            payload, [], trust=None, renames={"old.A": "new.A"}
        )
    loads_restricted(stream(called(name(HERE, "run"))), [], trust=None, renames={"a": "b"})
    assert [()] == RAN


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.datetimes()
    | st.uuids()
    | st.complex_numbers(allow_nan=False)
    | st.builds(Plain, st.integers()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.builds(deque, st.lists(inner, max_size=3))
        | st.builds(OrderedDict, st.dictionaries(st.integers(), inner, max_size=3))
        | st.builds(Plain, inner)
    ),
    max_leaves=8,
)


@settings(max_examples=50)
@given(plain, st.integers(2, 5))
def test_honest_values_come_back(value, protocol):
    """What pickle alone would load, of listed classes, loads with the list."""
    assert value == restricted(pickle.dumps(value, protocol), [Plain])


fragments = st.sampled_from(
    [
        *(name(HERE, "Plain"), name(HERE, "run"), name(HERE, "Fed.append"), name("os", "getcwd")),
        *(name("builtins", "getattr"), name("builtins", "dict"), name("_codecs", "encode")),
        *(name("copyreg", "_reconstructor"), name("builtins", "object"), text("value")),
        *(text("append"), text("latin1"), text("__setstate__"), b"N", b"K\x01", b"}", b"]", b")"),
        *(b"(", b"t", b"l", b"d", b"R", b"b", b"o", b"\x81", b"\x92", b"\x85", b"\x86", b"\x87"),
        *(b"a", b"e", b"s", b"u", b"\x90", b"\x91", b"0", b"1", b"2", b"\x94", b"h\x00", b"h\x01"),
        *(b"\x93", b"Q", b"\x82\x01", b"C\x01x", b"N}" + text("value") + b"Ns\x86b"),
    ]
)


@settings(max_examples=250)
@given(st.lists(fragments, max_size=14))
def test_no_sequence_of_opcodes_gets_out(opcodes):
    """Whatever the opcodes: nothing unlisted runs, and no class is altered."""
    RAN.clear()
    before = dict(vars(Plain)), dict(vars(run))
    try:
        restricted(stream(name(HERE, "Plain"), b"\x94", *opcodes), [Plain])
    except Exception as error:
        assert not isinstance(error, AssertionError | SystemError)

    assert [] == RAN
    assert before == (dict(vars(Plain)), dict(vars(run)))


@given(st.binary(max_size=60), st.integers(0, 400), st.integers(0, 255))
def test_damaged_pickles_raise_exceptions(garbage, position, byte):
    """Garbage and altered pickles end in a value or an Exception, and run nothing."""
    RAN.clear()
    altered = bytearray(pickle.dumps({"a": [Plain(1), Fraction(1, 2), "text"] * 3}, 4))
    altered[position % len(altered)] = byte
    for payload in (garbage, bytes(altered)):
        try:
            loads_restricted(memoryview(payload), [], trust=trust_names([Plain]), renames={})
        except Exception:
            continue

    assert [] == RAN
