"""Golden forms of code: `python -m tests.unit.hashing.forms` writes them to `forms.json`.

Knows: which sources have a golden digest. Must not know: how forms are made.

Other digests mean that every stored result is of another version of its function. Write them only
with good reason, and say so in the changelog.
"""

from __future__ import annotations

import ast
import json
import pathlib
import tempfile
from typing import Final

from blake3 import blake3

from objcache.hashing import digest
from objcache.hashing._forms import source_form
from tests.unit.hashing.projects import Project

__all__ = ["FILE", "PROJECT", "STATEMENTS", "digests", "form_of", "write"]

FILE: Final = pathlib.Path(__file__).with_name("forms.json")
# One function of each kind of syntax whose tree differs between versions of Python, or might.
STATEMENTS: Final = r'''
def f(x): pass
def f(x): return None
def f(x): return
def f(a, /, b, *c, d, e=1, **g): return a
def f(a, b, *c, d, e=1, **g): return a
async def f(x): return await x
async def f(x): return [y async for y in x if await y]
async def f(x):
    async with x as y, y: pass
async def f(x):
    async for y in x: await y
    else: return y
def f(x): yield x
def f(x): y = yield from x
f = lambda x, *y, k=1: x
f = lambda: (lambda x=(lambda: 1): x)
def f(x): return f"{x}"
def f(x): return f"{x!r:>{x}}"
def f(x): return f"{x:}" f"a" "b" f"{{}}"
def f(x): return f"{x=} {x = !s} {x:%Y-%m} {x['a']}"
def f(x): return f"{f'{x}'}"
def f(x): return f"a" "b"
def f(x): return "ab"
def f(x): return f"\N{DIGIT ONE}\x41{x}\n"
def f(x): return rf"\d{x}\n" r"\d"
def f(x): return f"""
{x}
  {x}"""
def f(x): return "é" "\u20ac" "\ud800"
def f(x): return b"\x00\xff", 1_000, 0x10, 1e3, 1j, -0.0, ..., None, True, 10**100
def f(x): return {**x, "a": 1, None: 2}, {None: x}, {**x}
def f(x): return [*x, 1], (*x, 2), {*x, 3}, (x,), ()
def f(x): return {a: b for a, b in x if a if b}, {a for a in x}, [a for b in x for a in b]
def f(x): return x(*x, 1, *x, a=1, **x, b=2)
def f(x): return x[1], x[1:2], x[1:2:3], x[::], x[1:2, ..., 3], x[*x, 1]
def f(x): return not x and -x or +x if ~x else x is not None
def f(x): return x < 1 <= 2 != 3 not in x
def f(x): return (y := x) + y, x @ x, x // x, x ** x, x >> x, x << x, x ^ x, x & x | x % x
def f(x):
    match x:
        case 1 | "a" | None | True | -1.5 | 1 + 2j: return 1
        case [1, *rest] | (2, rest): return rest
        case {"a": 1, "b": [y], **more}: return y, more
        case {}: return 2
        case int(y) | str(real=y) if y: return y
        case x.y.z as name: return name
        case [*_]: return 3
        case _: return 4
def f(x):
    try: x()
    except ValueError as error: raise KeyError from error
    except (TypeError, OSError): raise
    except: return 1
    else: return 2
    finally: x.close()
def f(x):
    try: x()
    except* ValueError as group: return_(group)
    except* (TypeError, OSError): pass
def f(x):
    with x as (a, *b), x.y as x.z, x[0] as x[1]: return a
def f(x):
    with (x as a, x as b,): return a, b
def f(x):
    for a, (b, *c) in x: continue
    else: break_()
    while x: break
def f(x):
    global a, b
    def g():
        nonlocal x
        x = 1
    del x.y, x[0]
    assert x, "message"
    import a.b.c as d, e
    from . import g
    from ...h import i as j, k
def f(x):
    a: int
    b: int = 1
    x.c: "str" = 2
    d = e = x
    d += 1
    d @= x
    return a
def f(x: "int", *y: list[int], z: str = "1") -> "None":
    """Doc."""
    "more"
    ...
    return x
def f(x):
    @x
    @x.y(1)
    def g(a, b=1, *, c, d=None): return a
    @x
    class G(x, metaclass=x, key=1):
        """Doc."""
        a: int = 1
        b: str
        def h(self): return super().h()
    return g, G
def f(x):
    """Doc."""
class f:
    a: int = 1
    b: str
    c = d = [1]
    def g(self, x=1): return self.a
    @property
    def h(self): return 1
class f(x):
    a: int = 1
    b: "list[str]"
class f: pass
def f(x):
    if x: pass
    elif x + 1: return 1
    else: return 2
def f(x):
    if x: return 1
    return (yield), (yield x), [(yield)]
def f(x): return (lambda: (yield))(), x if x else (x for x in x)
'''.strip()
PROJECT: Final = {
    "pkg/__init__.py": "",
    "pkg/shapes.py": """
        import abc, dataclasses, enum, typing

        class Color(enum.Enum):
            RED = 1
            BLUE = "b"
            def mixed(self):
                return Color.RED

        class Mode(enum.Flag):
            READ = enum.auto()
            WRITE = enum.auto()

        class Base(abc.ABC):
            kind = ("base", 1)
            @abc.abstractmethod
            def area(self): ...

        @dataclasses.dataclass(frozen=True, order=True)
        class Square(Base):
            side: float
            names: list[str] = dataclasses.field(default_factory=list)
            count: typing.ClassVar[int] = 0
            def area(self):
                return self.side ** 2

        class Pair(typing.NamedTuple):
            left: int
            right: int = 2

        class Box(typing.Generic[typing.TypeVar("T")]):
            def __init__(self, content):
                self.content = content
            def open(self):
                return super().__repr__(), self.content

        class Kept(typing.TypedDict):
            name: str

        class Sized(typing.Protocol):
            def size(self) -> int: ...
        """,
    "pkg/main.py": """
        import functools, logging, os.path, re
        from collections import OrderedDict
        from decimal import Decimal
        from pathlib import Path
        from . import shapes
        from .shapes import Box, Color, Kept, Mode, Pair, Sized, Square

        log = logging.getLogger(__name__)
        RATE, LIMITS = Decimal("1.5"), {"a": (1, [2])}
        PATTERN = re.compile("a+")
        ORIGIN = Square(0.0)
        ORDER = OrderedDict(a=ORIGIN)
        half = functools.partial(divmod, 2)

        def times(n):
            def decorate(function):
                @functools.wraps(function)
                def run(*args):
                    return function(*args) * n
                return run
            return decorate

        @functools.lru_cache(maxsize=5)
        def cached(x):
            return os.path.join(x, str(Path(x)))

        @functools.singledispatch
        def shown(x):
            return "?"

        @shown.register(int)
        def _(x):
            return "int"

        @times(3)
        def helper(x, k=1, *, mode=Mode.READ):
            log.info("helper")
            return [RATE * y for y in LIMITS["a"]], PATTERN.match(x), ORDER, half

        def f(x, color=Color.RED):
            try:
                return {helper(x): Square(1.0), **shown(x)}, cached(x), Pair(1), Box(Kept), Sized, Color, Mode
            except* ValueError as errors:
                raise errors
        """,
}


def statements() -> list[str]:
    """Return the sources, each of one function, lambda or class."""
    lines = STATEMENTS.splitlines()
    tree = ast.parse(STATEMENTS)
    return ["\n".join(lines[_first(node) - 1 : node.end_lineno]) for node in tree.body]


def _first(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def form_of(source: str) -> bytes:
    """Return the form of the first function, lambda or class of *source*."""
    node = ast.parse(source).body[0]
    return source_form(node.value if isinstance(node, ast.Assign) else node)


def digests() -> dict[str, str]:
    """Return the digest of each form, and of what a whole project depends on."""
    found = {source: blake3(form_of(source)).hexdigest() for source in statements()}
    with (
        tempfile.TemporaryDirectory() as directory,
        Project(pathlib.Path(directory)).importable() as project,
    ):
        project.write(PROJECT)
        parts = project.parts()
    return {**found, **{name: digest(part).hex() for name, part in parts.items()}}


def write() -> None:
    """Write what is found now over what is expected."""
    FILE.write_text(json.dumps(digests(), indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    write()
