"""What a pickle would make, told without making it.

Knows: opcodes and what they do to the stack. Must not know: records, whether they are authentic.
Nothing of a pickle is executed or imported here, whatever is in it: the machine below moves
descriptions, not objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from objcache.codecs._stream import has_old_names, python_3_name
from objcache.codecs._wording import failure_text

__all__ = ["Opcode", "PickleShape", "Shape", "opcodes_of", "shape_of_pickle"]

MOST_OPCODES: Final = 1_000_000
"""Where describing ends; what follows is not looked at, and said not to be."""

_KEPT_PARTS: Final = 32
_KEPT_TEXT: Final = 1024
_MOST_NAMES: Final = 1000
_LARGEST_SHOWN_BITS: Final = 1000
_PICKLED_ARRAYS: Final = frozenset(
    {"numpy._core.numeric._frombuffer", "numpy.core.numeric._frombuffer"}
)
# Functions that make an object of the class that is their first argument.
_MAKERS: Final = frozenset(
    {
        *("copyreg._reconstructor", "copyreg.__newobj__", "copyreg.__newobj_ex__"),
        *("numpy._core.multiarray._reconstruct", "numpy.core.multiarray._reconstruct"),
    }
)


class Shape:
    """A description of one object that a pickle would make.

    Attributes:
        kind: the name of its type; of what is looked up, `"class"`; `"?"` where it is not known.
        text: a short form of a plain value, or the dotted name of what is looked up.
        size: characters, bytes, bits or members, as the kind has them; None for none.
        parts: its first members, those of a dict as keys and values in turn.
        is_cut: whether it has more than these.
    """

    __slots__ = ("is_cut", "kind", "parts", "size", "text")

    def __init__(self, kind: str, text: str = "", size: int | None = None) -> None:
        self.kind = kind
        self.text = text
        self.size = size
        self.parts: list[Shape] = []
        self.is_cut = False

    def add(self, parts: list[Shape], members: int) -> None:
        """Take *parts* in, which count as *members*."""
        room = max(_KEPT_PARTS - len(self.parts), 0)
        self.parts += parts[:room]
        self.is_cut = self.is_cut or len(parts) > room
        self.size = (self.size or 0) + members


class PickleShape(NamedTuple):
    """What a pickle says of itself.

    Attributes:
        protocol: of its first opcode; 0 where it names none.
        opcodes: how many there are.
        imports: the dotted names that it would look up, in its order, each once.
        calls: those of them that it would call, in its order, each once.
        root: what it would make.
        problem: why it could not be followed to its end; "" if it could.
    """

    protocol: int
    opcodes: int
    imports: tuple[str, ...]
    calls: tuple[str, ...]
    root: Shape
    problem: str


class Opcode(NamedTuple):
    """One opcode of a pickle: where it stands, its name, and its argument as a short text."""

    position: int
    name: str
    argument: str


def opcodes_of(payload: bytes | memoryview) -> Iterator[Opcode]:
    """Yield the opcodes of a pickle.

    Raises:
        Exception: of whatever type, where it is damaged.
    """
    from pickletools import genops  # noqa: PLC0415  # not on the import path of Store

    for opcode, argument, position in genops(bytes(payload)):
        shown = "" if argument is None else _leaf("", argument).text
        yield Opcode(position or 0, opcode.name, shown)


def shape_of_pickle(
    payload: bytes | memoryview, *, most_opcodes: int = MOST_OPCODES
) -> PickleShape:
    """Return what a pickle would make, without making it.

    Args:
        payload: the pickle; it need not be authentic, or a pickle at all.
        most_opcodes: where to stop.

    Cost: about a microsecond for each opcode, and memory for each that pushes something.
    """
    from pickletools import genops  # noqa: PLC0415  # not on the import path of Store

    content = bytes(payload)
    machine = _Machine(old_names=has_old_names(content))
    count = protocol = 0
    problem = "it ends without a STOP"
    try:
        for opcode, argument, position in genops(content):
            if count == most_opcodes:
                problem = f"only its first {most_opcodes:,} opcodes were looked at"
                break
            count += 1
            if opcode.name == "PROTO":
                protocol = int(argument or 0)
            elif opcode.name == "STOP":
                behind = len(content) - 1 - (position or 0)
                problem = f"{behind} bytes follow its end" if behind else ""
            else:
                machine.step(opcode.name, argument)
    except Exception as error:  # noqa: BLE001  # whatever somebody has planted raises
        problem = f"it is damaged behind opcode {count:,}: {failure_text(error)}"
    imports, calls = tuple(machine.imports), tuple(machine.calls)
    return PickleShape(protocol, count, imports, calls, machine.root(), problem)


class _Machine:
    """The stack of an unpickler, with descriptions on it."""

    def __init__(self, *, old_names: bool) -> None:
        self.imports: dict[str, None] = {}
        self.calls: dict[str, None] = {}
        self._old_names = old_names
        self._stack: list[Shape | None] = []  # None is a mark
        self._memo: dict[int, Shape] = {}

    def root(self) -> Shape:
        """Return what lies at the bottom of the stack: what all of it was for."""
        first = self._stack[0] if self._stack else None
        return first or Shape("?")

    def step(self, name: str, argument: Any) -> None:
        """Do to the descriptions what the opcode *name* does to objects."""
        step = _STEPS.get(name)
        if step is not None:
            step(self)
        elif name in _LEAVES:
            self._push(_leaf(_LEAVES[name], argument))
        elif name in _CONSTANTS:
            self._push(Shape(*_CONSTANTS[name]))
        elif name in _MEMO_WRITES:
            self._memo[len(self._memo) if name == "MEMOIZE" else argument] = self._top()
        elif name in _MEMO_READS:
            self._push(self._memo[argument])
        elif name in _TUPLES:
            self._collect("tuple", self._pop_many(_TUPLES[name]))
        elif name in {"GLOBAL", "INST"}:
            module, _, found = str(argument).partition(" ")
            parts = self._pop_to_mark() if name == "INST" else []
            self._push(self._looked_up(module, found))
            if name == "INST":
                self._make(parts)
        elif name.startswith("EXT"):
            self._push(Shape("class", self._note(f"<extension code {argument}>")))
        elif name == "PERSID":
            self._push(Shape("?", "a persistent id"))

    # -- the stack ---------------------------------------------------------------------------

    def _push(self, shape: Shape | None) -> None:
        self._stack.append(shape)

    def _top(self) -> Shape:
        top = self._stack[-1]
        if top is None:
            raise ValueError("a mark lies where an object should")
        return top

    def _pop(self) -> Shape:
        top = self._top()
        self._stack.pop()
        return top

    def _pop_many(self, count: int) -> list[Shape]:
        return [self._pop() for _ in range(count)][::-1]

    def _pop_to_mark(self) -> list[Shape]:
        parts: list[Shape] = []
        while (top := self._stack.pop()) is not None:
            parts.append(top)
        return parts[::-1]

    # -- what opcodes do ---------------------------------------------------------------------

    def pop(self) -> None:
        self._stack.pop()

    def mark(self) -> None:
        self._push(None)

    def pop_mark(self) -> None:
        self._pop_to_mark()

    def dup(self) -> None:
        self._push(self._top())

    def append(self) -> None:
        part = self._pop()
        self._top().add([part], 1)

    def append_all(self) -> None:
        parts = self._pop_to_mark()
        self._top().add(parts, len(parts))

    def set_item(self) -> None:
        pair = self._pop_many(2)
        self._top().add(pair, 1)

    def set_items(self) -> None:
        parts = self._pop_to_mark()
        self._top().add(parts, len(parts) // 2)

    def list_of_all(self) -> None:
        self._collect("list", self._pop_to_mark())

    def tuple_of_all(self) -> None:
        self._collect("tuple", self._pop_to_mark())

    def frozenset_of_all(self) -> None:
        self._collect("frozenset", self._pop_to_mark())

    def dict_of_all(self) -> None:
        parts = self._pop_to_mark()
        self._collect("dict", parts, len(parts) // 2)

    def _collect(self, kind: str, parts: list[Shape], members: int | None = None) -> None:
        made = Shape(kind)
        made.add(parts, len(parts) if members is None else members)
        self._push(made)

    def stack_global(self) -> None:
        module, name = self._pop_many(2)
        for part in (module, name):
            if part.kind != "str" or part.size != len(part.text):
                self._push(Shape("class", self._note("<a name that is computed>")))
                return
        self._push(self._looked_up(module.text, name.text))

    def _looked_up(self, module: str, name: str) -> Shape:
        found = python_3_name(module, name) if self._old_names else (module, name)
        return Shape("class", self._note(".".join(found)))

    def _note(self, name: str) -> str:
        if len(self.imports) < _MOST_NAMES:
            self.imports[name] = None
        return name

    def call(self) -> None:
        function, arguments = self._pop_many(2)
        self._push(function)
        self._make(arguments.parts)

    def call_with_names(self) -> None:
        function, arguments, named = self._pop_many(3)
        self._push(function)
        self._make([*arguments.parts, named])

    def call_first(self) -> None:
        function, *arguments = self._pop_to_mark()
        self._push(function)
        self._make(arguments)

    def _make(self, arguments: list[Shape]) -> None:
        """Put in the place of the function on the stack what it would return."""
        function = self._pop()
        name = function.text if function.kind == "class" else "<what the pickle itself made>"
        if len(self.calls) < _MOST_NAMES:
            self.calls[name] = None
        kind = name.removeprefix("builtins.")
        if name in _PICKLED_ARRAYS:
            kind = "numpy.ndarray"
        elif name in _MAKERS and arguments and arguments[0].kind == "class":
            kind = arguments[0].text.removeprefix("builtins.")
        made = Shape(kind)
        made.add(arguments, len(arguments))
        made.size = None
        self._push(made)

    def build(self) -> None:
        state = self._pop()
        made = self._top()
        if len(made.parts) < _KEPT_PARTS:
            made.parts.append(state)

    def persistent(self) -> None:
        self._pop()
        self._push(Shape("?", "a persistent id"))


def _leaf(kind: str, value: Any) -> Shape:
    """Return the description of a plain value."""
    if isinstance(value, str | bytes | bytearray):
        # Whole where it is short: a name may be looked up by it.
        text = value[:_KEPT_TEXT] if isinstance(value, str) else repr(bytes(value[:64]))
        return Shape(kind, text, len(value))
    if isinstance(value, int) and value.bit_length() > _LARGEST_SHOWN_BITS:
        return Shape(kind, f"a number of {value.bit_length():,} bits")
    return Shape(kind, repr(value))


_LEAVES: Final = {
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"), "int"),
    **dict.fromkeys(("FLOAT", "BINFLOAT"), "float"),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), "str"),
    **dict.fromkeys(("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), "str"),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), "bytes"),
    "BYTEARRAY8": "bytearray",
}
_CONSTANTS: Final[dict[str, tuple[str, str, int | None]]] = {
    "NONE": ("None", "None", None),
    "NEWTRUE": ("bool", "True", None),
    "NEWFALSE": ("bool", "False", None),
    "EMPTY_LIST": ("list", "", 0),
    "EMPTY_DICT": ("dict", "", 0),
    "EMPTY_TUPLE": ("tuple", "", 0),
    "EMPTY_SET": ("set", "", 0),
    "NEXT_BUFFER": ("buffer", "", None),
}
_TUPLES: Final = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MEMO_WRITES: Final = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
_MEMO_READS: Final = frozenset({"GET", "BINGET", "LONG_BINGET"})
_STEPS: Final[dict[str, Callable[[_Machine], None]]] = {
    "POP": _Machine.pop,
    "MARK": _Machine.mark,
    "POP_MARK": _Machine.pop_mark,
    "DUP": _Machine.dup,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.append_all,
    "ADDITEMS": _Machine.append_all,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "LIST": _Machine.list_of_all,
    "TUPLE": _Machine.tuple_of_all,
    "FROZENSET": _Machine.frozenset_of_all,
    "DICT": _Machine.dict_of_all,
    "STACK_GLOBAL": _Machine.stack_global,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "NEWOBJ_EX": _Machine.call_with_names,
    "OBJ": _Machine.call_first,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
}
