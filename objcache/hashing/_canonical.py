"""The canonical bytes of a value: equal for equal values, of whatever process.

Knows: how parts are written. Must not know: what types are made of, what the hash is for.

Every part is written as a tag and a length, so that no two sequences of parts give the same
bytes; dicts and sets as the sorted forms of their members. Never `repr`, never `id`, never
anything that depends on PYTHONHASHSEED, on interning or on what is shared.
docs/design/hashing.md is normative.
"""

from __future__ import annotations

import operator
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from marshal import dumps
from typing import Any, Final, TypeVar

from blake3 import blake3

from objcache.errors import UnkeyableArgumentError

__all__ = [
    "EXACT",
    "SCRIPTS",
    "TEXT",
    "NoFormError",
    "canonical",
    "dict_head",
    "digest",
    "encode",
    "is_run",
    "module_of",
    "pairs_form",
    "rare_form",
    "register",
    "sequence_head",
    "set_form",
    "stand_in_of",
    "taken_apart",
    "unkeyable",
    "walk",
]

_LARGE_BYTES: Final = 1 << 16
_LONG_BYTES: Final = 1 << 10
_NAN: Final = b"g" + b"\x00\x00\x00\x00\x00\x00\xf8\x7f"
# What marshal writes as one value of one type, whatever the Python version and the history of
# the object. Version 2 has neither references nor interned strings, which later ones have.
_MARSHAL: Final = 2
_PLAIN: Final = frozenset({type(None), bool, int, str, type(...)})
_SCALARS: Final = _PLAIN | {float}
TEXT: Final = frozenset({str})
SCRIPTS: Final = frozenset({"__main__", "__mp_main__"})
_MOST_STAND_INS: Final = 1_000_000

Handler = Callable[[Any], bytes]
T = TypeVar("T")


class NoFormError(Exception):
    """A part has no canonical form; which one is looked for only then."""


def digest(value: object, *, path: str = "value") -> bytes:
    """Return the 32-byte BLAKE3 of the canonical form of *value*.

    Args:
        value: whatever is known by its value: see docs/design/hashing.md.
        path: what the value is called in messages.

    Raises:
        UnkeyableArgumentError: naming the part that has no stable value, and the remedies.

    Cost: proportional to the size of the value; large contiguous buffers are not copied.
    """
    return blake3(canonical(value, path=path)).digest()


def canonical(value: object, *, path: str = "value") -> bytes:
    """Return the canonical form of *value*; see `digest`.

    Contents of 64 KiB and more stand there as their BLAKE3.
    """
    try:
        return encode(value)
    except RecursionError:
        # It nests deeply, or a list or dict contains itself.
        from objcache.hashing._deep import encode_deep  # noqa: PLC0415

        return encode_deep(value, path)
    except NoFormError:
        from objcache.hashing._culprits import culprit  # noqa: PLC0415  # the way to an error

        raise culprit(value, path) from None


def encode(value: Any) -> bytes:
    """Return the canonical form; the error of a failure names no path."""
    handler = EXACT.get(type(value))
    return encode_rare(value) if handler is None else handler(value)


# -- plain values ----------------------------------------------------------------------------


def _scalar(value: Any) -> bytes:
    return dumps(value, _MARSHAL)


def _float(value: float) -> bytes:
    return dumps(value, _MARSHAL) if value == value else _NAN  # noqa: PLR0124  # NaN


def _text(value: str) -> bytes:
    try:
        return dumps(value, _MARSHAL)
    except ValueError:  # 2 GiB and more
        return b"U" + _content(b"b", value.encode("utf-8", "surrogatepass"))


def _content(tag: bytes, content: Any) -> bytes:
    size = len(content)
    if size < _LARGE_BYTES:
        return b"%b%d:%b" % (tag, size, content)
    return b"%b%d#%b" % (tag, size, blake3(content).digest())


def _view(value: memoryview) -> bytes:
    try:
        content = value if value.c_contiguous else memoryview(value.tobytes())
    except ValueError:
        raise NoFormError from None
    flat = content.cast("B") if content.nbytes else b""
    return b"m" + _sequence(b"t", (value.format, value.shape)) + _content(b"b", flat)


def is_run(members: Any) -> bool:
    """Whether one call of marshal gives the form of all *members*."""
    if _PLAIN.issuperset(map(type, members)):
        return True
    # NaN is the one value that is not equal to itself, and its bits do not count.
    return _SCALARS.issuperset(map(type, members)) and True not in map(
        operator.ne, members, members
    )


def _tuple(value: tuple[Any, ...]) -> bytes:
    if is_run(value):
        try:
            return dumps(value, _MARSHAL)
        except ValueError:  # a text of 2 GiB
            pass
    return _sequence(b"t", value)


def _list(value: list[Any]) -> bytes:
    if is_run(value):
        try:
            return dumps(value, _MARSHAL)
        except ValueError:
            pass
    return _sequence(b"L", value)


def sequence_head(tag: bytes, members: Any) -> bytes:
    """Return what stands before the forms of *members*."""
    return b"%b%d:" % (tag, len(members))


def dict_head(keys: list[str]) -> bytes:
    """Return what stands before the forms of a dict's members, in the order of *keys*."""
    return b"D" + dumps(keys, _MARSHAL) + sequence_head(b"L", keys)


def _sequence(tag: bytes, members: Any) -> bytes:
    parts = [sequence_head(tag, members)]
    exact = EXACT
    for member in members:
        handler = exact.get(type(member))
        parts.append(encode_rare(member) if handler is None else handler(member))
    return b"".join(parts)


def _dict(value: dict[Any, Any]) -> bytes:
    if not TEXT.issuperset(map(type, value)):
        return pairs_form((encode(key), encode(member)) for key, member in value.items())
    keys = sorted(value)
    members = [value[key] for key in keys]
    try:
        if is_run(members):
            return b"d" + dumps(keys, _MARSHAL) + dumps(members, _MARSHAL)
        head = dict_head(keys)
    except ValueError:  # a text of 2 GiB
        return pairs_form((encode(key), encode(member)) for key, member in value.items())
    return head + b"".join(map(encode, members))


def pairs_form(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the form of a dict whose keys are not all text, from the forms of its entries."""
    entries = sorted(key + member for key, member in pairs)
    return b"e%d:%b" % (len(entries), b"".join(entries))


def set_form(kind: type, members: Iterable[bytes]) -> bytes:
    """Return the form of a set from the forms of its members."""
    forms = sorted(members)
    return b"%b%d:%b" % (b"Z" if kind is frozenset else b"S", len(forms), b"".join(forms))


EXACT: Final[dict[type, Handler]] = {
    type(None): _scalar,
    bool: _scalar,
    int: _scalar,
    float: _float,
    complex: lambda value: b"c" + _float(value.real) + _float(value.imag),
    str: _text,
    bytes: lambda value: _content(b"b", value),
    bytearray: lambda value: _content(b"y", bytes(value) if len(value) < _LARGE_BYTES else value),
    memoryview: _view,
    tuple: _tuple,
    list: _list,
    dict: _dict,
    set: lambda value: set_form(set, map(encode, value)),
    frozenset: lambda value: set_form(frozenset, map(encode, value)),
    type(...): _scalar,
}


# -- everything else -------------------------------------------------------------------------

_registered: dict[type, Callable[[Any], Any]] = {}
_registration = threading.Lock()


def register(kind: type[T], function: Callable[[T], Any]) -> Callable[[T], Any]:
    """Let values of *kind*, and of subclasses without a closer registration, be keyed.

    Args:
        kind: a class.
        function: returns a value that can be keyed and stands for the one it is given.

    Concurrency: any thread; it holds for calls that begin afterwards.

    >>> class Model:
    ...     def __init__(self, name):
    ...         self.name = name
    >>> _ = objcache.hashing.register(Model, lambda model: model.name)
    >>> objcache.hashing.digest(Model("a")) == objcache.hashing.digest(Model("a"))
    True
    """
    if not isinstance(kind, type):
        raise TypeError(f"register takes a class, not {kind!r}")
    if kind in EXACT:
        raise TypeError(f"{kind.__name__} is keyed by its value already; register a subclass of it")
    with _registration:
        _registered[kind] = function
    return function


class Walk(threading.local):
    """The values of other types that are being taken apart in this thread.

    A value that contains itself is written, where it is met again, as how many levels above it
    is: two equal cycles have one form. A value that is met twice is taken apart once.
    """

    def __init__(self) -> None:
        self._above: dict[int, int] = {}
        # The least depth that a value inside has pointed back to, for each level.
        self._reached: list[int] = []
        # With the values: an id is no one else's only while its value lives.
        self._known: dict[int, tuple[Any, bytes]] = {}
        self._met = 0
        self.shallow = False

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Take values apart in the block as if nothing was being taken apart.

        There functions are known by their own code: what they use is being followed already.
        """
        saved = self.__dict__.copy()
        self.__init__()  # type: ignore[misc]  # what is of this thread, anew
        self.shallow = True
        try:
            yield
        finally:
            self.__dict__.update(saved)

    @property
    def depth(self) -> int:
        """How many values are being taken apart, one inside of the other."""
        return len(self._above)

    def enter(self, value: Any) -> bytes | None:
        """Return the form of *value* if it is clear already; else go one level down."""
        above, identity = self._above, id(value)
        depth = len(above)
        if identity in above:
            for level in range(above[identity] + 1, depth):
                self._reached[level] = min(self._reached[level], above[identity])
            return b"R%d;" % (depth - above[identity])
        known = self._known.get(identity)
        if known is not None:
            return known[1]
        self._met = self._met + 1 if depth else 1
        if self._met > _MOST_STAND_INS:
            raise NoFormError
        above[identity] = depth
        self._reached.append(depth)
        return None

    def leave(self, value: Any, form: bytes | None) -> None:
        """Go up again from *value*, whose form is known if all went well."""
        depth = self._above.pop(id(value))
        # Nothing inside that points above it: the form does not depend on where it stands.
        if self._reached.pop() == depth and form is not None:
            self._known[id(value)] = (value, form)
        if not depth:
            self._known.clear()


walk = Walk()


def encode_rare(value: Any) -> bytes:
    """Return the form of a value of a type that is not one of the exact builtin ones."""
    form = walk.enter(value)
    if form is not None:
        return form
    try:
        name, parts = taken_apart(value)
        form = rare_form(name, encode(parts))
        return form
    finally:
        walk.leave(value, form)


def rare_form(name: str, parts: bytes) -> bytes:
    """Return the form of a value of another type, from the form of its parts.

    A long one stands there as its BLAKE3: an object that hangs below many others would double
    the form at each level.
    """
    form = b"O" + _text(name) + parts
    return form if len(form) < _LONG_BYTES else b"H" + blake3(form).digest()


def taken_apart(value: Any) -> tuple[str, Any]:
    """Return a name and plain parts that stand for *value*.

    Raises:
        NoFormError: there are none.
    """
    stand_in = stand_in_of(value)
    if stand_in is None:
        raise NoFormError
    return stand_in


def stand_in_of(value: Any) -> tuple[str, Any] | None:
    """Return a name and plain parts that stand for *value*; None where there are none."""
    kind = type(value)
    if _registered:
        for base in kind.__mro__:
            function = _registered.get(base)
            if function is not None:
                return _name(kind), function(value)
    if not issubclass(kind, type):  # a class that defines it for its instances is itself a name
        # Not by getattr: a metaclass may answer whatever it is asked for.
        for base in kind.__mro__:
            own = base.__dict__.get("__objcache_key__")
            if own is not None:
                return _name(kind), own(value)
    from objcache.hashing._structures import structure_of  # noqa: PLC0415  # rare types only

    return structure_of(value)


def module_of(code: Any) -> Any:
    """Return the name of the module of a class or function, the same in all processes.

    A script has the name by which it would be imported; a process that multiprocessing has
    spawned calls it by another one.
    """
    module = code.__module__
    return _script(module) if module in SCRIPTS else module


def _script(module: str) -> str:
    # By its own name: a spawned process that still imports the script has another `__main__`.
    main = sys.modules.get(module) or sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # python -m
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return "__main__" if file is None else os.path.splitext(os.path.basename(file))[0]


def _name(kind: type) -> str:
    return f"{module_of(kind)}.{kind.__qualname__}"


def unkeyable(path: str, kind: type, reason: str) -> UnkeyableArgumentError:
    """Return the error for a part of type *kind*."""
    return UnkeyableArgumentError(path, _name(kind).removeprefix("builtins."), reason)
