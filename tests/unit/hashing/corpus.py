"""Pairs of arguments, each with the right answer: `===` the same argument, `=/=` another one.

Knows: how the pairs are written in `pairs.txt`. Must not know: how arguments are compared.

Each side is an expression, evaluated by itself with the names of `shapes`: nothing is shared by
accident, and the expressions are the names of the tests. Expressions that no chain of `===`
connects must differ, of whatever groups they are.
"""

from __future__ import annotations

import array
import ast
import cmath
import collections
import copy
import dataclasses
import datetime
import decimal
import fractions
import functools
import importlib
import ipaddress
import itertools
import marshal
import math
import operator
import pathlib
import random
import re
import struct
import sys
import threading
import types
import uuid
import zoneinfo
from typing import Any, Final, NamedTuple

__all__ = ["GROUPS", "OPTIONAL", "Pair", "evaluate", "expressions", "namespace_of"]

OPTIONAL: Final = frozenset({"numpy", "attrs", "pydantic"})
"""The groups that need the library of their name, which may be missing."""

_MODULES = (
    *(cmath, collections, copy, dataclasses, functools, ipaddress, marshal, math, operator),
    *(pathlib, random, re, struct, sys, types),
)
_NAMES: Final = {
    **{module.__name__: module for module in _MODULES},
    **{
        member.__name__: member
        for member in (
            *(array.array, collections.deque, collections.OrderedDict, collections.defaultdict),
            *(collections.Counter, collections.ChainMap, datetime.date, datetime.datetime),
            *(datetime.time, datetime.timedelta, datetime.timezone, zoneinfo.ZoneInfo),
            *(decimal.Decimal, fractions.Fraction, functools.partial, ipaddress.IPv4Address),
            *(pathlib.PurePosixPath, pathlib.PureWindowsPath, types.GenericAlias),
            *(types.SimpleNamespace, uuid.UUID),
        )
    },
    "Lock": threading.Lock,
    "MappingProxyType": types.MappingProxyType,
    "UTC": datetime.UTC,
}


class Pair(NamedTuple):
    """Two arguments, and whether they are the same."""

    left: str
    right: str
    same: bool


def _read() -> dict[str, list[Pair]]:
    groups: dict[str, list[Pair]] = {}
    for line in pathlib.Path(__file__).with_name("pairs.txt").read_text("utf-8").splitlines():
        if line.startswith("[[") and line.endswith("]]"):
            pairs = groups[line.strip("[]")] = []
        elif line and not line.startswith("#"):
            same = " === " in line
            left, right = line.split(" === " if same else " =/= ")
            pairs.append(Pair(left, right, same))
    return groups


GROUPS: Final = _read()
"""The pairs of each group."""


def expressions(group: str) -> list[str]:
    """Return every expression of *group* once, in order."""
    return list(dict.fromkeys(itertools.chain(*((p.left, p.right) for p in GROUPS[group]))))


def namespace_of(group: str) -> dict[str, Any]:
    """Return what the expressions of *group* may use; its library must be there."""
    shapes = f"{group}_shapes" if group in {"attrs", "pydantic"} else "shapes"
    module = importlib.import_module(f"tests.unit.hashing.{shapes}")
    names = {**_NAMES, **vars(module)}
    if group == "numpy":
        names["np"] = importlib.import_module("numpy")
    return names


class _Reversed(ast.NodeTransformer):
    """Turns the displays of sets and dicts around."""

    def visit_Set(self, node: ast.Set) -> ast.AST:
        self.generic_visit(node)
        node.elts.reverse()
        return node

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        self.generic_visit(node)
        node.keys.reverse()
        node.values.reverse()
        return node


def evaluate(expression: str, namespace: dict[str, Any], *, turned: bool = False) -> Any:
    """Return a new value of *expression*.

    Args:
        expression: of the corpus.
        namespace: what it may use; it is not changed.
        turned: with the members of sets and dicts in the reversed order.
    """
    tree = ast.parse(expression, "<corpus>", "eval")
    if turned:
        tree = _Reversed().visit(tree)
    return eval(compile(tree, "<corpus>", "eval", dont_inherit=True), dict(namespace))
