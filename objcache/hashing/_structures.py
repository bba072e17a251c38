"""Values of the standard library, of classes and of functions, as a name and plain parts.

Knows: what each type is made of. Must not know: bytes.

Most specific first: the tables of types, classes and functions, the handlers of the libraries
that are loaded, then whatever says how it is pickled. Nothing is consumed, and nothing is asked
for its `repr` or `id`.
"""

from __future__ import annotations

import copyreg
import enum
import importlib
import sys
import types
from collections.abc import Callable
from typing import Any, Final

from objcache.hashing._canonical import module_of

__all__ = ["refusal_of", "structure_of"]

Parts = dict[str, Any] | tuple[Any, ...] | str | bytes | int | None
StandIn = tuple[str, Any]

# Packages with a handler of their own: objcache.hashing._numpy and so on.
_LIBRARIES: Final = {
    "numpy": "_numpy",
    "pandas": "_pandas",
    "polars": "_polars",
    "pyarrow": "_arrow",
    "scipy": "_sparse",
    "torch": "_torch",
}


def structure_of(value: Any) -> StandIn | None:
    """Return a name and plain parts that stand for *value*; None where there are none."""
    kind = type(value)
    handler = _BY_NAME.get(f"{kind.__module__}.{kind.__qualname__}")
    if handler is not None:
        return handler(value)
    if issubclass(kind, type):
        from objcache.hashing._functions import class_parts  # noqa: PLC0415

        return "class", class_parts(value)
    if issubclass(kind, enum.Enum):
        # The private names are documented, and no member takes their place.
        return "enum", (_class_name(kind), value._name_, value._value_)
    for base in kind.__mro__:
        library = _LIBRARIES.get(base.__module__.partition(".")[0])
        if library is not None:
            module = importlib.import_module(f"objcache.hashing.{library}")
            found: StandIn | None = module.structure_of(value)
            if found is not None:
                return found
            break
    if any("__pydantic_fields__" in vars(base) for base in kind.__mro__):
        return _pydantic(value)
    return _reduced(value)


def refusal_of(value: Any) -> str:
    """Return why *value* has no stable value."""
    if type(value) is object:
        return "a bare object() is known by its identity only"
    if _is_iterator(value):
        return "it would be consumed"
    return "it has no stable value"


# -- the standard library --------------------------------------------------------------------


def _zone_of(value: Any) -> Any:
    """Return the zone; what it says at that moment, if that is all there is to know of it."""
    zone = value.tzinfo
    if zone is None:
        return None
    kind = f"{type(zone).__module__}.{type(zone).__qualname__}"
    if kind == "zoneinfo.ZoneInfo" and zone.key is None:  # made from a file
        return kind, value.utcoffset(), value.tzname()
    return zone


def _datetime(value: Any) -> StandIn:
    moment = (value.year, value.month, value.day, value.hour, value.minute, value.second)
    return "datetime", (*moment, value.microsecond, value.fold, _zone_of(value))


def _time(value: Any) -> StandIn:
    moment = (value.hour, value.minute, value.second, value.microsecond)
    # A time of day without a date does not say which rule of the zone holds: the zone does.
    return "time", (*moment, value.fold, value.tzinfo)


def _timezone(value: Any) -> StandIn:
    return "timezone", (value.utcoffset(None), value.tzname(None))


def _decimal(value: Any) -> StandIn:
    sign, digits, exponent = value.as_tuple()
    return "Decimal", (sign, "".join(map(str, digits)), exponent)


def _text(value: Any) -> StandIn:
    return type(value).__name__, str(value)


def _path(value: Any) -> StandIn:
    # The class says how the parts compare: a Windows path does not mind the case.
    return type(value).__name__, str(value)


def _ordered(value: Any) -> StandIn:
    return "OrderedDict", {"content": list(dict.items(value)), "attributes": vars(value)}


def _array(value: Any) -> StandIn:
    content = memoryview(value)
    return "array", (value.typecode, content.cast("B") if value else b"")


def _zone(value: Any) -> StandIn | None:
    return None if value.key is None else ("ZoneInfo", value.key)


def _method(value: Any) -> StandIn:
    return "method", {"__func__": value.__func__, "__self__": value.__self__}


def _builtin(value: Any) -> StandIn:
    owner = value.__self__
    if owner is None or isinstance(owner, types.ModuleType):
        return "builtin", (value.__module__, value.__qualname__)
    return "builtin method", {"name": value.__name__, "__self__": owner}


def _by_name(value: Any) -> StandIn:
    return type(value).__name__, (value.__objclass__, value.__name__)


def _partial(value: Any) -> StandIn:
    named = {"func": value.func, "args": value.args, "keywords": dict(value.keywords)}
    return "partial", {**named, "attributes": vars(value)}


def _proxy(value: Any) -> StandIn:
    try:
        content = value.copy()
    except AttributeError:  # a mapping of its own kind
        content = dict(value)
    return "mappingproxy", content if type(content) is not dict else dict(content)


def _function(value: Any) -> StandIn:
    from objcache.hashing._functions import function_parts  # noqa: PLC0415  # needs the source

    return "function", function_parts(getattr(value, "__objcache_wrapped__", value))


def _code(value: Any) -> StandIn:
    from objcache.hashing._forms import bytecode_form  # noqa: PLC0415

    return "code", bytecode_form(value)


def _refused(_: Any) -> None:
    return None


_BY_NAME: Final[dict[str, Callable[[Any], StandIn | None]]] = {
    "builtins.range": lambda value: ("range", (value.start, value.stop, value.step)),
    "builtins.slice": lambda value: ("slice", (value.start, value.stop, value.step)),
    "builtins.mappingproxy": _proxy,
    "builtins.module": lambda value: ("module", value.__name__),
    "builtins.function": _function,
    "builtins.code": _code,
    "builtins.method": _method,
    "builtins.staticmethod": lambda value: ("staticmethod", value.__func__),
    "builtins.classmethod": lambda value: ("classmethod", value.__func__),
    "builtins.property": lambda value: ("property", (value.fget, value.fset, value.fdel)),
    "builtins.builtin_function_or_method": _builtin,
    "builtins.method_descriptor": _by_name,
    "builtins.wrapper_descriptor": _by_name,
    "builtins.classmethod_descriptor": _by_name,
    "builtins.method-wrapper": lambda value: ("method", (value.__name__, value.__self__)),
    "builtins.NotImplementedType": lambda _: ("NotImplemented", None),
    **dict.fromkeys(
        (
            *("builtins.object", "builtins.super", "weakref.finalize", "weakref.ProxyType"),
            *("weakref.CallableProxyType", "multiprocessing.connection.Connection"),
            *("multiprocessing.shared_memory.SharedMemory", "asyncio.locks.Lock"),
            *("asyncio.locks.Event", "asyncio.locks.Condition", "asyncio.locks.Semaphore"),
            *("asyncio.locks.BoundedSemaphore", "asyncio.locks.Barrier", "asyncio.queues.Queue"),
            *("asyncio.queues.LifoQueue", "asyncio.queues.PriorityQueue"),
        ),
        _refused,
    ),
    "datetime.date": lambda value: ("date", (value.year, value.month, value.day)),
    "datetime.datetime": _datetime,
    "datetime.time": _time,
    "datetime.timedelta": lambda value: (
        "timedelta",
        (value.days, value.seconds, value.microseconds),
    ),
    "datetime.timezone": _timezone,
    "zoneinfo.ZoneInfo": _zone,
    "decimal.Decimal": _decimal,
    "fractions.Fraction": lambda value: ("Fraction", (value.numerator, value.denominator)),
    "uuid.UUID": lambda value: ("UUID", value.bytes),
    "re.Pattern": lambda value: ("Pattern", (value.pattern, value.flags)),
    "array.array": _array,
    "collections.OrderedDict": _ordered,
    "functools.partial": _partial,
    "functools._lru_cache_wrapper": lambda value: ("function", value.__wrapped__),
    **dict.fromkeys(
        (
            *("pathlib.PurePosixPath", "pathlib.PureWindowsPath", "pathlib.PosixPath"),
            *("pathlib.WindowsPath", "pathlib._local.PurePosixPath", "pathlib._local.PosixPath"),
            *("pathlib._local.PureWindowsPath", "pathlib._local.WindowsPath"),
        ),
        _path,
    ),
    **dict.fromkeys(
        (
            *("ipaddress.IPv4Address", "ipaddress.IPv6Address", "ipaddress.IPv4Network"),
            *("ipaddress.IPv6Network", "ipaddress.IPv4Interface", "ipaddress.IPv6Interface"),
        ),
        _text,
    ),
}


# -- instances -------------------------------------------------------------------------------


def _class_name(kind: type) -> Any:
    """Return what stands for the class of an instance: its name, and more if that is not enough."""
    from objcache.hashing._functions import is_named  # noqa: PLC0415  # reads sources, if not

    return f"{module_of(kind)}.{kind.__qualname__}" if is_named(kind) else kind


def _pydantic(value: Any) -> StandIn:
    # Which fields were given and which left at their default does not count.
    attributes = dict(vars(value))
    for name in ("__pydantic_extra__", "__pydantic_private__"):
        extra = getattr(value, name, None)
        if extra:
            attributes[name] = extra
    return "instance", {"class": _class_name(type(value)), "attributes": attributes}


def _is_iterator(value: Any) -> bool:
    return any(not _ITERATES.isdisjoint(vars(base)) for base in type(value).__mro__)


_ITERATES: Final = frozenset({"__next__", "__anext__"})


def _reduced(value: Any) -> StandIn | None:
    """Return the parts that pickle would store: the state of an instance, not its identity."""
    kind = type(value)
    if _is_iterator(value):
        return None
    reduce = copyreg.dispatch_table.get(kind)
    try:
        reduced = value.__reduce_ex__(4) if reduce is None else reduce(value)
    except (RecursionError, MemoryError):
        raise
    except Exception:  # noqa: BLE001  # whatever a class does to say that it has no state
        return None
    if isinstance(reduced, str):
        return "global", f"{module_of(kind)}.{reduced}"
    function, arguments, state, members, entries = (*reduced, None, None, None)[:5]
    state, attributes = _attributes(value, state)
    parts: dict[str, Any] = {"class": _class_name(kind), "attributes": attributes}
    if isinstance(value, (set, frozenset)):
        # Its own answer lists the members in an order that depends on the process.
        parts["content"] = frozenset(value)
        return "instance", parts
    if function not in {copyreg.__newobj__, copyreg._reconstructor}:  # type: ignore[attr-defined]  # noqa: SLF001  # typeshed
        parts["made by"] = function if function is not kind else "its class"
        parts["arguments"] = tuple(arguments)
    elif len(arguments) > 1:
        parts["arguments"] = tuple(arguments[1:])
    if state is not None:
        parts["state"] = state
    if members is not None:
        parts["content"] = list(members)
    if entries is not None:
        pairs = list(entries)
        parts["entries"] = pairs if _keeps_order(value) else dict(pairs)
    return "instance", parts


def _keeps_order(value: Any) -> bool:
    collections = sys.modules.get("collections")
    return collections is not None and isinstance(value, collections.OrderedDict)


def _attributes(value: Any, state: Any) -> tuple[Any, dict[str, Any]]:
    """Split the state of an instance into what is not, and what is, named attributes."""
    kind = type(value)
    if not _is_default(kind):
        if state is None and not _says_itself(kind):
            # What is built in does not tell of the attributes that a subclass has added.
            return None, dict(getattr(value, "__dict__", {}))
        if type(state) is dict and all(type(name) is str for name in state):
            return None, state
        return state, {}
    named, slots = state if type(state) is tuple else (state, None)
    # A cached property appears when it is first used: the value is the same before and after.
    attributes = {
        name: member for name, member in (named or {}).items() if not _is_cached(kind, name)
    }
    if slots and attributes.keys().isdisjoint(slots):
        return None, {**attributes, **slots}
    return slots, attributes


def _is_default(kind: type) -> bool:
    """Whether the state of instances is what `object` makes of their attributes."""
    # Not by getattr: a metaclass may answer whatever it is asked for.
    return all(_STATE_METHODS.isdisjoint(vars(base)) for base in kind.__mro__[:-1])


def _says_itself(kind: type) -> bool:
    """Whether a Python function says what the state is."""
    for base in kind.__mro__[:-1]:
        for name in _STATE_METHODS & vars(base).keys():
            return isinstance(vars(base)[name], types.FunctionType)
    return False


_STATE_METHODS: Final = frozenset({"__getstate__", "__reduce__", "__reduce_ex__"})


def _is_cached(kind: type, name: str) -> bool:
    for base in kind.__mro__:
        found = base.__dict__.get(name)
        if found is not None:
            return type(found).__name__ == "cached_property"
    return False
