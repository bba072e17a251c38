"""Unpickling with an allow-list of classes, and with names that have moved.

Knows: what a pickle may name. Must not know: records; whoever calls has authenticated them.
A pickle is rehearsed with stand-ins first; only if that names and alters nothing it must not is
it loaded.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from types import ModuleType
from typing import Any, Final

from objcache.codecs._stream import has_old_names, python_3_name
from objcache.codecs._wording import failure_text
from objcache.errors import DecodeError, UntrustedTypeError

__all__ = ["ALWAYS_TRUSTED", "NUMPY_TRUSTED", "exact_names", "loads"]

# Nothing here calls a callable of the pickle's choosing, resolves a name or opens a file that the
# pickle chooses, whatever it is called with. So never: functools.partial, operator.*, getattr,
# type (its three arguments make a class, and that runs hooks), map and the other iterators,
# codecs.encode. What needed a second thought:
# - defaultdict calls its factory on a later miss; the pickle had to name it, so it is listed.
# - str, bytes and bytearray look up a text encoding by name, in the package `encodings`.
# - copyreg._reconstructor (protocols 0 and 1) calls `__new__` of what the pickle gives it, which
#   is again an object or class that is listed.
# - ZoneInfo._unpickle reads a file of the time zone database; zoneinfo refuses keys that lead out.
# - Paths are only names, whatever they lead to.
# pathlib._local is where Python 3.13 keeps what pathlib offers.
ALWAYS_TRUSTED: Final = frozenset(
    {
        *("builtins.complex", "builtins.range", "builtins.slice", "builtins.set"),
        *("builtins.frozenset", "builtins.bytearray", "builtins.int", "builtins.float"),
        *("builtins.str", "builtins.bytes", "builtins.bool", "builtins.list", "builtins.tuple"),
        *("builtins.dict", "builtins.object", "builtins.Ellipsis", "builtins.NotImplemented"),
        *("copyreg._reconstructor", "collections.OrderedDict", "collections.deque"),
        *("collections.Counter", "collections.defaultdict"),
        *("datetime.date", "datetime.time", "datetime.datetime", "datetime.timedelta"),
        *("datetime.timezone", "zoneinfo.ZoneInfo", "zoneinfo.ZoneInfo._unpickle"),
        *("decimal.Decimal", "fractions.Fraction", "uuid.UUID"),
        *("pathlib.PurePosixPath", "pathlib.PureWindowsPath", "pathlib.PosixPath"),
        *("pathlib.WindowsPath", "pathlib._local.PurePosixPath", "pathlib._local.PosixPath"),
        *("pathlib._local.PureWindowsPath", "pathlib._local.WindowsPath"),
        *("ipaddress.IPv4Address", "ipaddress.IPv4Interface", "ipaddress.IPv4Network"),
        *("ipaddress.IPv6Address", "ipaddress.IPv6Interface", "ipaddress.IPv6Network"),
    }
)
"""Plain data of the standard library: these names may always be used by a pickle."""

NUMPY_TRUSTED: Final = frozenset(
    {
        *("numpy.ndarray", "numpy.dtype"),
        *("numpy._core.multiarray._reconstruct", "numpy._core.multiarray.scalar"),
        *(
            "numpy._core.numeric._frombuffer",
            "numpy._core._internal._convert_to_stringdtype_kwargs",
        ),
        *("numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar"),
        *("numpy.core.numeric._frombuffer",),
    }
)
"""What pickles of plain arrays, scalars and dtypes of numpy 1.26 and 2 name; add it to `trust=`.

It is not always trusted: numpy believes the flags in the state of a dtype, so a crafted pickle can
crash the process, or worse. Subclasses (`numpy.matrix`, `numpy.ma`, records) are not in it.
"""

_TEXT_ENCODER: Final = "_codecs.encode"
_GETATTR: Final = "builtins.getattr"


def exact_names(names: Iterable[str | type]) -> frozenset[str]:
    """See `objcache.codecs.trust_names`."""
    if isinstance(names, str | type):
        raise TypeError(f"trust= is a list of classes or names, not the one {names!r}")
    return frozenset(_exact_name(name) for name in names)


def _exact_name(name: str | type) -> str:
    if isinstance(name, type):
        full_name = f"{name.__module__}.{name.__qualname__}"
        if "<" in full_name:
            raise ValueError(
                f"trust= lists {full_name}, which lies inside a function where no pickle finds "
                "it; move the class to the top of its module"
            )
        return full_name
    if not isinstance(name, str):
        raise TypeError(f"trust= lists classes or their names, not {name!r}")
    parts = name.split(".")
    if len(parts) < 2 or name in sys.modules or not all(part.isidentifier() for part in parts):
        raise ValueError(
            f"trust= lists exact class names, not {name!r}: a module or a pattern would let in "
            "whatever the module imports; list each class as 'package.module.Class'"
        )
    return name


def loads(
    payload: bytes | memoryview,
    buffers: Iterable[Any],
    trust: frozenset[str] | None,
    renames: Mapping[str, str],
) -> object:
    """See `objcache.codecs.loads_restricted`."""
    content = bytes(payload)
    parts = tuple(buffers)
    names = _Names(trust, renames, old_names=has_old_names(content))
    if trust is not None:
        _check_no_extension_codes(content)
        _Rehearsal(content, parts, names).load()
    result: object = _Unpickler(content, parts, names).load()
    return result


class _Names:
    """Where names of a pickle lead to, and whether they may."""

    def __init__(
        self, trust: frozenset[str] | None, renames: Mapping[str, str], *, old_names: bool
    ) -> None:
        self.restricted = trust is not None
        self._trust = trust or frozenset()
        self._renames = renames
        self._old_names = old_names

    def target(self, module: str, name: str) -> tuple[str, str]:
        """Return module and name under which *name* of *module* is to be found today.

        Where a class was renamed, only both together are right: `_split` tells them apart.
        """
        found = self._renamed(module, name)
        if found == (module, name) and self._old_names:
            found = self._renamed(*python_3_name(module, name))
        return found

    def lists(self, full_name: str) -> bool:
        """Whether a pickle may use what has this name."""
        return not self.restricted or full_name in ALWAYS_TRUSTED or full_name in self._trust

    def _renamed(self, module: str, name: str) -> tuple[str, str]:
        inner = ""
        outer = name
        while outer:
            new = self._renames.get(f"{module}.{outer}")
            if new is not None:
                new_module, _, new_name = f"{new}{inner}".rpartition(".")
                return new_module, new_name
            outer, _, last = outer.rpartition(".")
            inner = f".{last}{inner}"
        return self._renames.get(module, module), name


def _split(full_name: str) -> tuple[str, str]:
    """Return the module and the name in it: nested classes keep dots of their own.

    Imports the packages around it.
    """
    module, _, name = full_name.rpartition(".")
    nearest = module, name
    while module and not _is_module(module):
        module, _, outer = module.rpartition(".")
        name = f"{outer}.{name}"
    return (module, name) if module else nearest


def _is_module(name: str) -> bool:
    from importlib.util import find_spec  # noqa: PLC0415  # only for classes that have moved

    try:
        return name in sys.modules or find_spec(name) is not None
    except (ImportError, ValueError):
        return False


class _Base(pickle.Unpickler):
    """What the rehearsal and the real loading have in common."""

    def __init__(self, content: bytes, buffers: tuple[Any, ...], names: _Names) -> None:
        # Names are mapped here and nowhere else: what was checked is what is looked up.
        super().__init__(io.BytesIO(content), fix_imports=False, buffers=buffers)
        self._names = names

    def persistent_load(self, pid: Any) -> Any:
        """Refuse persistent ids: nothing here writes them."""
        raise DecodeError("", "", f"the pickle names a persistent id of type {type(pid).__name__}")


class _Sealed(type):
    """The type of stand-ins: an opcode that would alter what a name leads to finds this.

    BUILD on a class sets attributes of the class itself, for the whole process.
    """

    @property
    def _altered(cls) -> Any:
        raise DecodeError("", "", f"the pickle alters {cls.__name__} itself")

    __setstate__ = append = extend = add = _altered

    def __setitem__(cls, _key: Any, _value: Any) -> None:
        cls._altered  # noqa: B018  # raises


class _StandIn(metaclass=_Sealed):
    """Stands for a class or function, and its instances for whatever that makes or returns."""

    def __new__(cls, *_positional: Any, **_named: Any) -> Any:
        return object.__new__(cls)

    def _accept(self, *_positional: Any, **_named: Any) -> Any:
        return self

    __call__ = __setstate__ = append = extend = add = __setitem__ = _accept


@cache
def _stand_in(full_name: str) -> type:
    """Return the stand-in for what is listed under *full_name*."""
    return _Sealed(full_name, (_StandIn,), {})


class _Rehearsal(_Base):
    """Goes through a pickle without resolving or calling anything that it names.

    Pickles have no branches: what stands on the stack at an opcode now stands there later.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in for what *module* calls *name*, if it may be used."""
        module, name = self._names.target(module, name)
        full_name = f"{module}.{name}"
        if self._names.lists(full_name):
            return _stand_in(full_name)
        function = {_GETATTR: self._attribute, _TEXT_ENCODER: _latin1}.get(full_name)
        if function is None:
            raise UntrustedTypeError(module, name, "nothing of the value was loaded")
        return _Sealed(full_name, (), {"__new__": lambda _cls, *given: function(*given)})

    def _attribute(self, *arguments: Any) -> Any:
        owner, name = _nested_name(arguments)
        full_name = f"{owner.__name__}.{name}"
        if not self._names.lists(full_name):
            raise UntrustedTypeError(owner.__name__, name, "nothing of the value was loaded")
        return _stand_in(full_name)


class _Unpickler(_Base):
    """Resolves what may be used, under its new name where it has moved."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the object that *module* calls *name*, if it may be used."""
        found = self._names.target(module, name)
        full_name = ".".join(found)
        if self._names.lists(full_name):
            return self._resolved(*(found if found == (module, name) else _split(full_name)))
        if full_name == _GETATTR:
            return self._attribute
        if full_name == _TEXT_ENCODER:
            return _latin1
        raise UntrustedTypeError(*found, "it was not looked up")

    def _resolved(self, module: str, name: str) -> Any:
        first, *others = name.split(".")
        try:
            found = super().find_class(module, first)
            path = first
            for part in others:
                self._check_step(found, module, name, path)
                found = getattr(found, part)
                path = f"{path}.{part}"
        except (DecodeError, MemoryError):
            raise
        except Exception as error:
            raise DecodeError(module, name, failure_text(error)) from error
        if self._names.restricted:
            self._check_end(found, module, name)
        return found

    def _check_step(self, found: Any, module: str, name: str, path: str) -> None:
        # A dotted name must not lead through what a module has imported.
        if self._names.restricted and not (
            isinstance(found, type) and (found.__module__, found.__qualname__) == (module, path)
        ):
            raise UntrustedTypeError(module, name, f"{module}.{path} is not the class of that name")

    def _check_end(self, found: Any, module: str, name: str) -> None:
        if isinstance(found, ModuleType):
            raise UntrustedTypeError(module, name, "it is a module")
        real_module = getattr(found, "__module__", None)
        real_name = getattr(found, "__qualname__", None)
        if isinstance(real_module, str) and isinstance(real_name, str):
            real = f"{real_module}.{real_name}"
            if not self._names.lists(real):
                raise UntrustedTypeError(real_module, real_name, f"{module}.{name} leads to it")

    def _attribute(self, *arguments: Any) -> Any:
        owner, name = _nested_name(arguments)
        path = f"{owner.__qualname__}.{name}"
        if not self._names.lists(f"{owner.__module__}.{path}"):
            raise UntrustedTypeError(owner.__module__, path, "it was not looked up")
        return self._resolved(owner.__module__, path)


def _nested_name(arguments: tuple[Any, ...]) -> tuple[type, str]:
    """Return what getattr was given, if that can be a class and the name of one inside it.

    Below protocol 4 that is how pickle writes nested classes, and always ZoneInfo._unpickle.
    """
    if len(arguments) == 2:
        owner, name = arguments
        if isinstance(owner, type) and isinstance(name, str):
            return owner, name
    raise UntrustedTypeError("builtins", "getattr", "it asks for no class inside a listed one")


def _latin1(*arguments: Any) -> bytes:
    """Stand in for codecs.encode, by which protocols below 3 write bytes."""
    if [str, str] != [type(argument) for argument in arguments] or arguments[1] != "latin1":
        raise UntrustedTypeError("_codecs", "encode", "it encodes something else than bytes")
    return bytes(arguments[0], "latin1")


def _check_no_extension_codes(content: bytes) -> None:
    """Refuse codes of `copyreg.add_extension`; pickle refuses those that nobody registered.

    A code that any unpickler of this process has met leads to its object without being looked up.
    """
    import copyreg  # noqa: PLC0415  # loaded with pickle

    if not any(getattr(copyreg, name, True) for name in ("_inverted_registry", "_extension_cache")):
        return
    from pickletools import genops  # noqa: PLC0415  # only where codes are registered

    try:
        codes = [argument for opcode, argument, _ in genops(content) if opcode.name[:3] == "EXT"]
    except Exception as error:
        # What cannot be read here is not left to another reader, who may read it differently.
        raise DecodeError("", "", failure_text(error)) from error
    if codes:
        raise DecodeError("", "", f"the pickle names the extension code {codes[0]}")
