"""Types, functions and builders whose values the corpus compares.

Knows: one class for each way in which Python objects hold their state. Must not know: hashes.
"""

from __future__ import annotations

import collections
import copyreg
import dataclasses
import enum
import functools
import itertools
import linecache
import pickle
import types
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

T = TypeVar("T")


# -- plain classes ---------------------------------------------------------------------------


class Plain:
    """Attributes in a `__dict__`."""

    def __init__(self, *values, **attributes):
        if values:
            self.values = values
        vars(self).update(attributes)

    def first(self):
        return self.values[0]

    def last(self):
        return self.values[-1]

    @classmethod
    def made(cls):
        return cls()

    @staticmethod
    def nothing():
        return None


class Other(Plain):
    """The same state under another name."""


class Stubborn(Plain):
    """Equal to everything, and not hashable."""

    def __eq__(self, other):
        return True


class Touchy(Plain):
    """Neither comparison nor repr nor truth nor length works."""

    def _refuse(self, *_):
        raise RuntimeError("not to be asked")

    __eq__ = __hash__ = __repr__ = __str__ = __bool__ = __len__ = _refuse


class Answers(type):
    """A metaclass whose classes have every attribute."""

    def __getattr__(cls, name):
        return lambda *_: 0


class Magic(Plain, metaclass=Answers):
    """A class that seems to have every method."""


class Celsius:
    """A property above a private attribute."""

    def __init__(self, degrees):
        self._degrees = degrees

    @property
    def kelvin(self):
        return self._degrees + 273

    @functools.cached_property
    def text(self):
        return f"{self._degrees} degrees"

    def used(self):
        assert self.text
        return self


class Tower:
    """Nested, so that its qualified name has a dot."""

    class Floor(Plain):
        """One level."""


# -- slots -----------------------------------------------------------------------------------


class Slots:
    """Two attributes without a `__dict__`."""

    __slots__ = ("a", "b")

    def __init__(self, **attributes):
        for name, value in attributes.items():
            setattr(self, name, value)


class MoreSlots(Slots):
    """One more attribute."""

    __slots__ = ("c",)


class OpenSlots(Slots):
    """Slots and a `__dict__`."""


class PrivateSlots:
    """A slot with a mangled name."""

    __slots__ = ("__hidden",)

    def __init__(self, hidden):
        self.__hidden = hidden


def shadowed(slot, attribute):
    """A slot and an entry of `__dict__` of one name."""
    value = OpenSlots(a=slot)
    vars(value)["a"] = attribute
    return value


# -- what pickle is told ---------------------------------------------------------------------


class Chosen:
    """`__getstate__` says what counts: a dict."""

    def __init__(self, kept, dropped):
        self.kept, self.dropped = kept, dropped

    def __getstate__(self):
        return {"kept": self.kept}


class State:
    """`__getstate__` gives any value."""

    def __init__(self, state):
        self._state = state

    def __getstate__(self):
        return self._state

    def __setstate__(self, state):
        self._state = state


class Reduced:
    """`__reduce__` gives a class and arguments."""

    def __init__(self, *arguments):
        self._arguments, self.noise = arguments, object()

    def __reduce__(self):
        return type(self), self._arguments


class ReducedEx(Reduced):
    """`__reduce_ex__` goes before `__reduce__`."""

    def __reduce_ex__(self, protocol):
        return type(self), self._arguments[:1]


class Items:
    """`__reduce__` gives members or entries."""

    def __init__(self, members=(), entries=()):
        self._members, self._entries = members, entries

    def __reduce__(self):
        return Items, (), None, iter(self._members), iter(self._entries)


class Singleton:
    """`__reduce__` gives the name of a module's variable."""

    def __init__(self, name):
        self._name = name

    def __reduce__(self):
        return self._name


FIRST = Singleton("FIRST")
SECOND = Singleton("SECOND")


class NewArguments:
    """`__getnewargs_ex__` gives what `__new__` needs."""

    def __new__(cls, *arguments, **named):
        made = super().__new__(cls)
        made._arguments, made._named = arguments, named
        return made

    def __getnewargs_ex__(self):
        return self._arguments, self._named

    def __getstate__(self):
        return None


class Copied:
    """`copyreg` knows how it is pickled."""

    def __init__(self, kept, dropped):
        self.kept, self.dropped = kept, dropped


copyreg.pickle(Copied, lambda value: (Copied, (value.kept, None)))


class Named:
    """`__objcache_key__` says what counts."""

    def __init__(self, kept, dropped):
        self.kept, self.dropped = kept, dropped

    def __objcache_key__(self):
        return self.kept


class OtherNamed(Named):
    """The same key under another name."""


# -- subclasses of builtins ------------------------------------------------------------------


class Text(str):
    """A str that may have attributes."""


class Whole(int):
    """An int."""


class Real(float):
    """A float."""


class Raw(bytes):
    """Bytes."""


class Row(tuple):  # noqa: SLOT001  # with a `__dict__` on purpose
    """A tuple."""


class Listing(list):
    """A list."""


class Table(dict):
    """A dict."""


class Bag(set):
    """A set."""


class Group(frozenset):
    """A frozenset."""


class Moment(datetime):
    """A datetime."""


class Price(Decimal):
    """A Decimal."""


class Ordered(collections.OrderedDict):
    """An OrderedDict."""


def marked(value, **attributes):
    """Return *value* with more attributes."""
    vars(value).update(attributes)
    return value


# -- enums and tuples ------------------------------------------------------------------------


class Color(enum.Enum):
    """An enum with an alias."""

    RED = 1
    GREEN = 2
    CRIMSON = 1  # noqa: PIE796  # an alias on purpose


class Shade(enum.Enum):
    """The same names and values under another name."""

    RED = 1
    GREEN = 2


class Level(enum.IntEnum):
    """Ints."""

    ONE = 1
    TWO = 2


class Word(enum.StrEnum):
    """Texts."""

    A = "a"


class Mode(enum.Flag):
    """Flags that combine."""

    READ = 1
    WRITE = 2
    BOTH = 3


class Bits(enum.IntFlag):
    """Int flags, which keep unknown bits."""

    LOW = 1
    HIGH = 2


class Wrapped(enum.Enum):
    """Values that are no scalars."""

    PAIR = (1, 2)
    LISTED = [1, 2]


class Point(NamedTuple):
    """A named tuple with a default."""

    x: int
    y: int = 0


class Pixel(NamedTuple):
    """The same fields under another name."""

    x: int
    y: int = 0


class Labelled(Point):
    """A named tuple with a `__dict__`."""


def row(fields, *values):
    """Return a named tuple of a class made on the spot."""
    return collections.namedtuple("Record", fields)(*values)  # noqa: PYI024  # made on the spot


def unit(**members):
    """Return an instance of a class made on the spot."""
    return type("Unit", (), members)()


def local(factor):
    """Return an instance of a class of this function."""

    class Local:
        """It knows *factor* by its closure."""

        def scaled(self, number):
            return number * factor

    return Local()


def local_enum(**members):
    """Return the first member of an enum made on the spot."""
    return next(iter(enum.Enum("Made", members)))


# -- dataclasses -----------------------------------------------------------------------------


@dataclasses.dataclass
class Settings:
    """Defaults, and a field that does not compare."""

    name: str = "a"
    depth: int = dataclasses.field(default=1, compare=False)
    tags: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Options:
    """The same fields under another name."""

    name: str = "a"
    depth: int = dataclasses.field(default=1, compare=False)
    tags: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Frozen:
    """Frozen, in slots."""

    a: Any
    b: Any = None


@dataclasses.dataclass
class Area:
    """`InitVar`, `ClassVar`, and a field computed from the others."""

    width: int
    height: dataclasses.InitVar[int]
    unit: ClassVar[str] = "m"
    area: int = dataclasses.field(init=False, repr=False)

    def __post_init__(self, height):
        self.area = self.width * height


@dataclasses.dataclass
class Box(Generic[T]):
    """Generic."""

    content: T


@dataclasses.dataclass(kw_only=True)
class Deeper(Settings):
    """One more field."""

    more: int = 0


# -- time zones ------------------------------------------------------------------------------


class Seasons(tzinfo):
    """An hour ahead, two in summer."""

    def __init__(self, key=None):
        if key is not None:
            self.key = key

    def utcoffset(self, moment):
        return timedelta(hours=1) + self.dst(moment)

    def dst(self, moment):
        return timedelta(hours=1 if moment is not None and 3 < moment.month < 11 else 0)

    def tzname(self, moment):
        return "CET"


# -- functions -------------------------------------------------------------------------------


_numbers = itertools.count()


def written(source, name="f", **variables):
    """Return a function that is defined by a source file of its own."""
    file = f"<written {next(_numbers)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    namespace = {"__name__": __name__, **variables}
    exec(compile(source, file, "exec"), namespace)
    return namespace[name]


def adder(n, k=1):
    """Return a function with a closure and a default."""

    def add(x, y=k):
        return x + n + y

    return add


def deferred(filled):
    """Return a function whose variable of its closure may have no value yet."""

    def show():
        return later

    if filled:
        later = 1
    return show


def decorated(function):
    """Return a wrapper of *function*, as decorators do."""

    @functools.wraps(function)
    def wrapper(*arguments):
        return function(*arguments)

    return wrapper


# -- copies, history and cycles --------------------------------------------------------------


def copied(value):
    """Return a copy by pickle."""
    return pickle.loads(pickle.dumps(value))


def grown(members):
    """Return a set that was much larger before."""
    grown = set(range(10_000, 20_000))
    grown |= set(members)
    grown -= set(range(10_000, 20_000))
    return grown


def raised(error):
    """Return *error* after it was raised, with a traceback."""
    try:
        raise error
    except type(error) as caught:
        return caught


def looped(build: Callable[[Any], Any]) -> Any:
    """Return a list that *build* has filled from itself."""
    value: list[Any] = []
    value.extend(build(value))
    return value


def looped_dict(build):
    """Return a dict that *build* has filled from itself."""
    value = {}
    value.update(build(value))
    return value


def linked(build, kind=Plain):
    """Return an object whose attributes *build* has made from itself."""
    value = kind()
    vars(value).update(build(value))
    return value


def ring(*names):
    """Return the first of objects that point to the next, and the last to the first."""
    nodes = [Plain(name=name) for name in names]
    for node, following in zip(nodes, [*nodes[1:], nodes[0]], strict=True):
        node.following = following
    return nodes[0]


def family(*names):
    """Return a parent whose children know it."""
    parent = Plain(children=[])
    parent.children.extend(Plain(name=name, parent=parent) for name in names)
    return parent


def nested(depth, core):
    """Return *core* in *depth* lists."""
    for _ in range(depth):
        core = [core]
    return core


def doubled(depth, kind=None):
    """Return a list, or a *kind*, that holds its member twice, and so on: 2**depth paths."""
    value = [1]
    for _ in range(depth):
        value = kind(value, value) if kind else [value, value]
    return value


def copied_tree(depth):
    """Return what `doubled` gives with nothing shared."""
    return [copied_tree(depth - 1), copied_tree(depth - 1)] if depth else [1]


def module(name, **members):
    """Return a module made on the spot."""
    made = types.ModuleType(name)
    vars(made).update(members)
    return made
