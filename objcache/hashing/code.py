"""What the result of a function depends on beside its arguments, part by part.

Knows: which functions, classes and globals a function uses, and which of them are of its project.
Must not know: arguments, results, stores.

docs/design/hashing.md, "Code", is normative.
"""

from __future__ import annotations

import builtins
import types
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Any, Final

from objcache.errors import UnkeyableArgumentError
from objcache.hashing._canonical import digest, module_of, walk
from objcache.hashing._forms import bytecode_form
from objcache.hashing._names import Names, names_of
from objcache.hashing._project import Project, is_constant
from objcache.hashing._source import normal_form

__all__ = ["components", "variables_of"]

_DIGEST_BYTES: Final = 16
_MOST_MEMBERS: Final = 1000
_MOST_DEPTH: Final = 3
_CONTAINERS: Final = (dict, list, tuple, set, frozenset)


def components(
    function: types.FunctionType,
    *,
    track: str | None = "code",
    ignore: Collection[str] = (),
    variables: bool = True,
) -> dict[str, bytes]:
    """Return the digests of what *function* depends on beside its arguments, by what it is called.

    Args:
        function: a plain function.
        track: `"code"`: its own code, and whatever of its project it uses, and whatever that
            uses; `"self"`: its own code; None: nothing of the code, unless it is a lambda, which
            has no other name.
        ignore: variables of the closure that do not count.
        variables: whether defaults and the closure count.

    Raises:
        UnkeyableArgumentError: a variable of the closure has no stable value.

    Cost: reads and parses the source files, once for each file and process.
    """
    with walk.apart():
        return _components(function, track, ignore, variables=variables)


def _components(
    function: types.FunctionType, track: str | None, ignore: Collection[str], *, variables: bool
) -> dict[str, bytes]:
    reached = _Reached(function)
    if track == "code":
        reached.follow(function)
    elif track == "self" or function.__name__ == "<lambda>":
        reached.found[f"code of `{function.__qualname__}`"] = _digest(_form_of(function))
    if variables:
        if track is not None:
            _add_defaults(reached, function)
        _add_closure(reached, function, ignore, followed=track == "code")
    reached.run()
    return reached.found


def _add_defaults(reached: _Reached, function: types.FunctionType) -> None:
    for name, value in _defaults_of(function):
        try:
            reached.found[f"default of `{name}`"] = _digest(value)
        except UnkeyableArgumentError:
            continue  # told at a call that uses it, unless the parameter is ignored


def _add_closure(
    reached: _Reached, function: types.FunctionType, ignore: Collection[str], *, followed: bool
) -> None:
    for name, value in variables_of(function).items():
        if name in ignore:
            continue
        label = f"closure variable `{name}`"
        if followed and reached.is_code(value):
            reached.found[label] = _digest(reached.identity(value))
            reached.reach(label, value, frozenset())
            continue
        path = f"{function.__qualname__}: closure variable {name}"
        reached.found[label] = digest(value, path=path)[:_DIGEST_BYTES]


class _Reached:
    """The functions and classes of a project that hang together."""

    def __init__(self, root: types.FunctionType) -> None:
        self.found: dict[str, bytes] = {}
        self._root = root
        self._project = Project(root)
        self._seen: dict[int, Any] = {}
        self._used: set[tuple[str, str]] = set()
        self._remaining: deque[Callable[[], None]] = deque()

    def run(self) -> None:
        """Visit all that is reached."""
        while self._remaining:
            self._remaining.popleft()()

    def follow(self, code: Any) -> None:
        """Visit a function or class once, later."""
        if id(code) in self._seen:
            return
        self._seen[id(code)] = code
        visit = self._visit_class if isinstance(code, type) else self._visit_function
        self._remaining.append(partial(visit, code))

    @staticmethod
    def is_code(value: Any) -> bool:
        """Whether *value* is known by its code, and not by its value."""
        return isinstance(value, (*_CODE, types.ModuleType)) or _wrapped(value) is not None

    @staticmethod
    def identity(value: Any) -> Any:
        """Return what tells a function, class or module from others of the program."""
        if isinstance(value, types.ModuleType):
            return "module", value.__name__
        name = getattr(value, "__qualname__", None)
        module = module_of(value) if hasattr(value, "__module__") else None
        if type(module) is str and type(name) is str:
            return type(value).__name__, module, name
        kind = type(value)
        return "instance", module_of(kind), kind.__qualname__

    # -- visiting ----------------------------------------------------------------------------

    def _visit_function(self, function: types.FunctionType) -> None:
        names = names_of(function)
        used = self._use_names(function, names)
        self._add(self._label(function, "helper "), {"form": _form_of(function), "names": used})
        if function is self._root:
            return
        for name, value in (*_defaults_of(function), *_closure_of(function)):
            if name not in names.changed:
                self._value(f"variable `{name}` of {function.__qualname__}", value, names)

    def _use_names(self, function: types.FunctionType, names: Names) -> dict[str, Any]:
        """Reach what the globals of a function refer to; return which functions these are."""
        used: dict[str, Any] = {}
        namespace = function.__globals__
        for name in names.loaded:
            if name not in namespace:
                if not hasattr(builtins, name):
                    used[name] = "missing"
                continue
            value = namespace[name]
            label = f"global `{self._qualified(namespace.get('__name__'), name)}`"
            if self.is_code(value):
                used[name] = self.identity(value)
                self.reach(label, value, names.attributes)
            elif name in names.changed:
                self._add_assignment(label, namespace, name)
            else:
                self._variable(label, value, namespace, name)
        for module, members in names.imported(namespace):
            self._use_import(used, module, members, names)
        self._use_methods(function, names)
        return used

    def _use_import(
        self, used: dict[str, Any], name: str, members: Iterable[str], names: Names
    ) -> None:
        module = self._project.module(name)
        if module is None:
            return
        wanted = list(members)
        self.reach(f"module `{name}`", module, names.attributes.union(wanted))
        for member in wanted:
            if member in vars(module):
                used[f"{name}.{member}"] = self.identity(vars(module)[member])

    def _use_methods(self, function: types.FunctionType, names: Names) -> None:
        """Reach what a method may use of its own class: the code does not tell whose attribute."""
        owner = self._project.owner(function)
        if owner is None:
            return
        for kind in owner.__mro__:
            if not self._project.has(kind.__module__):
                continue
            members = vars(kind)
            for attribute in sorted(names.attributes & members.keys()):
                label = (
                    f"global `{self._qualified(kind.__module__, kind.__qualname__)}.{attribute}`"
                )
                member = members[attribute]
                if self.is_code(member):
                    self.reach(label, member, frozenset())
                elif is_constant(member):
                    self.found[label] = _digest(member)

    def _visit_class(self, kind: type) -> None:
        form = normal_form(kind)
        members = vars(kind)
        constants = {
            name: member
            for name, member in members.items()
            if is_constant(member) and name not in _OF_THE_INTERPRETER
        }
        for base in (*kind.__bases__, type(kind)):
            self.reach("", base, frozenset())
        for name, member in sorted(members.items()):
            for function in _functions_in(member):
                if form is None:
                    self.follow(function)
                else:  # its code is in that of the class
                    self._use_names(function, names_of(function))
            if not callable(member) and name not in _OF_THE_INTERPRETER:
                self._dive(member, frozenset())
        parts = {
            "form": form,
            "constants": constants,
            "bases": [*map(self.identity, kind.__bases__)],
        }
        self._add(self._label(kind, "class "), parts)

    # -- reaching ----------------------------------------------------------------------------

    def reach(self, label: str, value: Any, attributes: frozenset[str]) -> None:
        """Follow what *value*, which is known by its code, refers to in the project."""
        if isinstance(value, types.ModuleType):
            self._reach_module(value, attributes)
        elif isinstance(value, partial):
            self._value(f"{label}: function", value.func, None)
            self._value(f"{label}: arguments", (value.args, dict(value.keywords)), None)
        elif isinstance(value, types.MethodType):
            self.reach(label, value.__func__, attributes)
            self._value(f"{label}: self", value.__self__, None)
        else:
            for function in _functions_in(value):
                if self._project.has(function.__module__):
                    self.follow(function)
            if isinstance(value, type) and self._project.has(value.__module__):
                self.follow(value)

    def _reach_module(self, module: types.ModuleType, attributes: frozenset[str]) -> None:
        if not self._project.has(module.__name__):
            return
        members = vars(module)
        for name in sorted(attributes & members.keys()):
            if (module.__name__, name) in self._used:
                continue
            self._used.add((module.__name__, name))
            label = f"global `{module.__name__}.{name}`"
            value = members[name]
            if self.is_code(value):
                self.found[label] = _digest(self.identity(value))
                self.reach(label, value, attributes)
            else:
                self._variable(label, value, members, name)

    def _variable(self, label: str, value: Any, namespace: dict[str, Any], name: str) -> None:
        """Add a global variable: a constant by its value, an object by how it is made."""
        if label in self.found:
            return
        self._dive(value, frozenset())
        if not is_constant(value) and type(value) not in _CONTAINERS:
            form = self._project.assignment(namespace, name)
            if form is not None:
                self.found[label] = _digest((self.identity(value), form))
                return
        self._value(label, value, None)

    def _add_assignment(self, label: str, namespace: dict[str, Any], name: str) -> None:
        """Add a global that the function changes: not what it is now, only how it begins."""
        form = self._project.assignment(namespace, name)
        if form is not None:
            self.found[label] = _digest(form)

    def _value(self, label: str, value: Any, names: Names | None) -> None:
        if self.is_code(value):
            self.found[label] = _digest(self.identity(value))
            self.reach(label, value, names.attributes if names else frozenset())
            return
        self._dive(value, frozenset())
        try:
            self.found[label] = _digest(value)
        except UnkeyableArgumentError:
            self.found[label] = _digest(self.identity(value))

    def _dive(self, value: Any, attributes: frozenset[str], depth: int = 0) -> None:
        """Follow the functions and classes in a container, and the class of an object."""
        if type(value) not in _CONTAINERS:
            if not is_constant(value):
                self.reach("", type(value), attributes)
            return
        members = [*value, *value.values()] if type(value) is dict else list(value)
        if depth == _MOST_DEPTH or len(members) > _MOST_MEMBERS:
            return
        for member in members:
            if self.is_code(member):
                self.reach("", member, attributes)
            else:
                self._dive(member, attributes, depth + 1)

    # -- naming ------------------------------------------------------------------------------

    def _add(self, label: str, parts: Any) -> None:
        unique, number = label, 2
        while unique in self.found:
            unique, number = f"{label} #{number}", number + 1
        self.found[unique] = _digest(parts)

    def _label(self, code: Any, kind: str) -> str:
        name = self._qualified(code.__module__, code.__qualname__)
        return f"code of {'' if code is self._root else kind}`{name}`"

    def _qualified(self, module: str | None, name: str) -> str:
        return name if module == self._root.__module__ else f"{module}.{name}"


_CODE: Final = (
    *(types.FunctionType, types.BuiltinFunctionType, types.MethodType, type, partial),
    *(staticmethod, classmethod, property),
)
_OF_THE_INTERPRETER: Final = frozenset(
    {
        *("__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__firstlineno__"),
        *("__static_attributes__", "__annotations__", "__annotate__", "__type_params__"),
    }
)


def _digest(parts: Any) -> bytes:
    return digest(parts)[:_DIGEST_BYTES]


def _form_of(function: types.FunctionType) -> Any:
    form = normal_form(function)
    return bytecode_form(function.__code__) if form is None else form


def _defaults_of(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    code = function.__code__
    values = function.__defaults__ or ()
    names = code.co_varnames[code.co_argcount - len(values) : code.co_argcount]
    yield from zip(names, values, strict=True)
    yield from sorted((function.__kwdefaults__ or {}).items())


def variables_of(function: types.FunctionType) -> dict[str, Any]:
    """Return the values of the closure of *function* that it does not change itself."""
    changed = names_of(function).changed
    return {name: value for name, value in _closure_of(function) if name not in changed}


def _closure_of(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:
            continue  # not assigned yet


def _wrapped(value: Any) -> Any:
    """Return the function that a decorator left behind, if it says so."""
    attributes = getattr(value, "__dict__", None)
    if type(attributes) is not dict:
        return None
    found = attributes.get("__objcache_wrapped__") or attributes.get("__wrapped__")
    return found if callable(found) else None


def _functions_in(value: Any) -> Iterator[types.FunctionType]:
    """Give the plain functions that a function, or what a decorator made of one, consists of."""
    if isinstance(value, property):
        for part in (value.fget, value.fset, value.fdel):
            yield from _functions_in(part)
        return
    if type(value).__name__ == "cached_property":
        yield from _functions_in(vars(value).get("func"))
        return
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    seen = set()
    while value is not None and id(value) not in seen:
        seen.add(id(value))
        memoized = getattr(value, "__objcache_wrapped__", None)
        if memoized is not None:
            value = memoized  # what the decorator of objcache does is not of the project
            continue
        if isinstance(value, types.FunctionType):
            yield value
        value = _wrapped(value)
