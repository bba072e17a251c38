"""The code of a function in a form that only an edit changes: of its source, or of its bytecode.

Knows: syntax trees and instructions. Must not know: where they come from.

The normal form of source is written here and not by `ast.dump`, whose output differs between
Python versions; that of bytecode holds for one of them.
"""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Iterator
from opcode import hasconst, opmap
from typing import Any, Final

__all__ = ["bytecode_form", "source_form"]


def bytecode_form(code: types.CodeType) -> dict[str, Any]:
    """Return plain parts that stand for *code* where there is no source.

    Lines, columns, the file, the docstring and the name of the function do not count. The parts
    hold for one minor version of Python, which they name.
    """
    return {"python": tuple(sys.version_info[:2]), "bytecode": _code_parts(code)}


def _code_parts(code: types.CodeType) -> tuple[Any, ...]:
    instructions, constants = _instructions(code)
    parts = tuple(
        (const.co_name, _code_parts(const)) if type(const) is types.CodeType else const
        for const in constants
    )
    flags = code.co_flags & ~_HAS_DOCSTRING
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return (instructions, parts, counts, names, code.co_exceptiontable)


def _instructions(code: types.CodeType) -> tuple[bytes, list[Any]]:
    """Return the instructions with the constants numbered as they are used.

    The docstring is a constant that no instruction uses; with the compiler's numbers it would
    shift those of the others.
    """
    content = bytearray(code.co_code)
    extended = 0
    numbers: dict[int, int] = {}
    for place in range(0, len(content), 2):
        operation, argument = content[place], content[place + 1] | extended
        extended = argument << 8 if operation == _EXTENDED else 0
        if operation in _CONSTANT:
            number = numbers.setdefault(argument, len(numbers))
            content[place + 1] = number & 0xFF
    return bytes(content), [code.co_consts[argument] for argument in numbers]


_HAS_DOCSTRING: Final = 0x4000000  # since 3.14
_EXTENDED: Final = opmap["EXTENDED_ARG"]
_CONSTANT: Final = frozenset(hasconst)


# What does not count, and what says nothing that the place of a node does not say.
_IGNORED: Final = frozenset(
    {
        "annotation",
        "returns",
        "type_comment",
        "type_ignores",
        "type_params",
        "ctx",
        "kind",
        "simple",
    }
)
_DEFAULTS: Final = frozenset({"defaults", "kw_defaults"})


def source_form(node: ast.AST, *, whole: bool = False) -> bytes:
    """Return the normal form of a function, class, lambda or statement.

    Args:
        node: the statement or lambda.
        whole: with name, decorators and defaults, which are left out of the function itself.
    """
    out: list[bytes] = []
    if whole:
        _write(node, out)
    elif isinstance(node, ast.ClassDef):
        _write_class(node, out, without=frozenset({"name"}))
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        out.append(b"(%b" % type(node).__name__.encode())
        _write_node(node.args, out, without=_DEFAULTS)
        _write(node.body, out)
        out.append(b")")
    else:
        _write(node, out)
    return b"".join(out)


def _write(part: Any, out: list[bytes]) -> None:
    """Write a node, a list of nodes, or what a node holds; each begins with a tag of its own."""
    if isinstance(part, ast.AST):
        special = _SPECIAL.get(type(part))
        if special is None:
            _write_node(part, out)
        else:
            special(part, out)
    elif type(part) is list:
        out.append(b"[")
        for member in part:
            if member is None:  # `**` in a dict, a parameter without default: no constant None
                out.append(b"-")
            elif not _is_idle(member):
                _write(member, out)
        out.append(b"]")
    else:
        out.append(_plain(part))


def _is_idle(statement: Any) -> bool:
    """Whether a statement does nothing: `pass`, a docstring, `...`."""
    if type(statement) is ast.Expr:
        return type(statement.value) is ast.Constant
    return type(statement) is ast.Pass


def _write_node(node: ast.AST, out: list[bytes], without: frozenset[str] = frozenset()) -> None:
    out.append(b"(%b" % type(node).__name__.encode())
    for field in node._fields:
        if field in _IGNORED or field in without:
            continue
        value = getattr(node, field, None)
        if value is None or (type(value) is list and all(map(_is_idle, value))):
            continue
        out.append(b" %b=" % field.encode())
        _write(value, out)
    out.append(b")")


def _write_annotated(node: ast.AnnAssign, out: list[bytes]) -> None:
    if node.value is None:
        _write_node(node, out)
    else:
        _write_node(ast.Assign([node.target], node.value), out)


def _write_class(node: ast.ClassDef, out: list[bytes], without: frozenset[str]) -> None:
    """Write a class; with the annotations of its fields, if anybody might read them."""
    _write_node(node, out, without)
    if node.bases or node.keywords or node.decorator_list:  # a dataclass, a NamedTuple, a model
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign):
                out.append(b" annotation=")
                _write(statement.annotation, out)


def _write_joined(node: ast.JoinedStr, out: list[bytes]) -> None:
    """Write an f-string; versions differ in how they split its text."""
    parts: list[Any] = []
    for part in _pieces(node):
        if type(part) is str and parts and type(parts[-1]) is str:
            parts[-1] += part
        elif part != "":
            parts.append(part)
    if not parts:
        out.append(_plain(""))
    elif len(parts) == 1 and type(parts[0]) is str:
        out.append(_plain(parts[0]))
    else:
        out.append(b"(JoinedStr")
        for part in parts:
            _write(part, out)
        out.append(b")")


def _pieces(node: ast.JoinedStr) -> Iterator[Any]:
    for part in node.values:
        if isinstance(part, ast.JoinedStr):
            yield from _pieces(part)
        else:
            yield part.value if isinstance(part, ast.Constant) else part


def _write_formatted(node: ast.FormattedValue, out: list[bytes]) -> None:
    empty = isinstance(node.format_spec, ast.JoinedStr) and not any(_pieces(node.format_spec))
    _write_node(node, out, without=frozenset({"format_spec"} if empty else ()))


def _plain(value: Any) -> bytes:
    """Return a constant or a name with its type."""
    kind = type(value)
    if kind is str:
        content = value.encode("utf-8", "surrogatepass")
        return b"s%d:%b" % (len(content), content)
    if kind is bytes:
        return b"b%d:%b" % (len(value), value)
    if kind is int:
        return b"i%x;" % value
    if kind is float:
        return b"f%b;" % value.hex().encode()
    if kind is complex:
        return b"c%b,%b;" % (value.real.hex().encode(), value.imag.hex().encode())
    return _SINGLE[value]


_SINGLE: Final = {None: b"N", True: b"T", False: b"F", ...: b"E"}
_SPECIAL: Final[dict[type, Any]] = {
    ast.Constant: lambda node, out: out.append(_plain(node.value)),
    ast.AnnAssign: _write_annotated,
    ast.ClassDef: lambda node, out: _write_class(node, out, frozenset()),
    ast.JoinedStr: _write_joined,
    ast.FormattedValue: _write_formatted,
}
