"""The functions, classes and variables of a project that hang together.

Knows: what code refers to, and whose it is. Must not know: what of a function itself counts.
"""

from __future__ import annotations

import builtins
import enum
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from objcache.hashing._callables import (
    attributes_of,
    closure_of,
    defaults_of,
    functions_in,
    identity,
    is_bound,
    is_code,
    wrapped,
)
from objcache.hashing._canonical import digest
from objcache.hashing._forms import bytecode_form
from objcache.hashing._names import Names, names_of
from objcache.hashing._project import Making, Project, is_as_loaded, is_constant
from objcache.hashing._source import class_uses, is_defined_in, normal_form

__all__ = ["Reached", "form_of", "short_digest"]

_DIGEST_BYTES: Final = 16
_MOST_MEMBERS: Final = 1000
_MOST_DEPTH: Final = 3
_CONTAINERS: Final = frozenset({dict, list, tuple, set, frozenset})
# What a module has of itself depends on where it lies and how it was started.
_OF_MODULES: Final = frozenset(
    {
        *("__name__", "__qualname__", "__module__", "__file__", "__spec__", "__loader__"),
        *("__package__", "__path__", "__cached__", "__doc__", "__builtins__", "__annotations__"),
    }
)
# What a class has of itself, and what depends on the version of Python.
_OF_THE_INTERPRETER: Final = frozenset(
    {
        *("__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__firstlineno__"),
        *("__static_attributes__", "__annotations__", "__annotate__", "__type_params__"),
    }
)


_OF_TYPING: Final = frozenset({"_is_protocol", "_is_runtime_protocol"})


def short_digest(parts: Any, *, path: str = "value") -> bytes:
    """Return as much of a digest as is wanted here; *path* is what errors call *parts*."""
    return digest(parts, path=path)[:_DIGEST_BYTES]


def form_of(function: types.FunctionType) -> Any:
    """Return the form of the code of *function*, of its bytecode if there is no source."""
    form = normal_form(function)
    return bytecode_form(function.__code__) if form is None else form


class _Variable(NamedTuple):
    """Where a variable is from: a module, or a class in it."""

    namespace: dict[str, Any]
    name: str
    owner: type | None = None


class Reached:
    """What hangs together with one function.

    Args:
        root: the function.

    Attributes:
        found: the digests of what was reached, by what it is called.
    """

    def __init__(self, root: types.FunctionType) -> None:
        self.found: dict[str, bytes] = {}
        self._root = root
        self._project = Project(root)
        self._seen: dict[int, Any] = {}
        self._modules: set[tuple[str, frozenset[str]]] = set()
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
        visit = self._visit_class if issubclass(type(code), type) else self._visit_function
        self._remaining.append(partial(visit, code))

    # -- visiting ----------------------------------------------------------------------------

    def _visit_function(self, function: types.FunctionType) -> None:
        names = names_of(function)
        # What the decorator of a library does is not of the project; what it was given is.
        own = self._project.has(function.__globals__.get("__name__"))
        if own or (function is self._root and wrapped(function) is None):
            used = self._use(function.__globals__, names)
            self._use_methods(function, names, used)
            parts = {"form": form_of(function), "names": used}
            self._add(self._label(function, "helper "), parts)
        if function is not self._root:
            self._use_variables(function, names)

    def _use_variables(self, function: types.FunctionType, names: Names) -> None:
        for name, value in (*defaults_of(function), *closure_of(function)):
            if name != "__class__" and not names.is_state(name, value):
                label = _free(self.found, f"variable `{name}` of {function.__qualname__}")
                self._value(label, value, names.attributes)

    def _use(self, namespace: dict[str, Any], names: Names) -> dict[str, Any]:
        """Reach what global names refer to; return which functions and classes these are."""
        used: dict[str, Any] = {}
        for name in names.loaded:
            if name in _OF_MODULES:
                continue
            if name not in namespace:
                if not hasattr(builtins, name):
                    used[name] = "missing"
                continue
            label = f"global `{self._qualified(namespace.get('__name__'), name)}`"
            value, variable = namespace[name], _Variable(namespace, name)
            if is_code(value):
                used[name] = identity(value)
                self.reach(label, value, names.attributes)
            elif not names.is_state(name, value):
                self._variable(label, value, variable)
                continue
            if not is_code(value) or is_bound(value):  # not what it is, but how it began
                self._made(label, (), self._project.making(*variable))
        for module, members in names.imported(namespace):
            self._use_import(used, module, members, names)
        return used

    def _use_import(
        self, used: dict[str, Any], name: str, members: Iterable[str], names: Names
    ) -> None:
        module = self._project.module(name)
        if module is None:
            return
        wanted = list(members)
        for member in wanted:
            if member not in vars(module):
                self._project.module(f"{name}.{member}")
        self.reach(f"module `{name}`", module, names.attributes.union(wanted))
        for member in wanted:
            if member in vars(module):
                used[f"{name}.{member}"] = identity(vars(module)[member])

    def _use_methods(
        self, function: types.FunctionType, names: Names, used: dict[str, Any]
    ) -> None:
        """Reach what a method may use of its own class: the code does not tell whose attribute."""
        owner = self._project.owner(function)
        kinds: Sequence[type] = () if owner is None else owner.__mro__
        kinds = [kind for kind in kinds if self._project.has(kind.__module__)]
        stored = {name for kind in kinds for name in _stored_by(kind)}
        for kind in kinds:
            members = vars(kind)
            for name in sorted(names.attributes & members.keys()):
                member, path = members[name], f"{kind.__qualname__}.{name}"
                label = f"global `{self._qualified(kind.__module__, path)}`"
                variable = _Variable(_module_of(kind), name, kind)
                if is_code(member):
                    used[path] = identity(member)
                    self.reach(label, member, frozenset())
                elif name in stored:  # not what it is now, but how it began
                    self._made(label, (), self._project.making(*variable))
                else:
                    self._variable(label, member, variable)

    def _visit_class(self, kind: type) -> None:
        form, namespace, uses = normal_form(kind), _module_of(kind), class_uses(kind)
        used = self._use(namespace, Names(tuple(sorted(uses.names)), uses.attributes))
        for base in (*kind.__bases__, type(kind)):
            self.reach("", base, frozenset())
        members = _members_that_count(kind, sourced=form is not None)
        stored: set[str] = set()
        for member in members.values():
            stored |= self._visit_member(kind, member, used, sourced=form is not None)
        parts = {
            "form": form,
            "constants": _constants(kind, members, stored),
            "bases": [*map(identity, kind.__bases__)],
            "names": used,
        }
        if form is None or not is_as_loaded(namespace):
            # Methods show whether the source is that of the class; of attributes only values do.
            parts["attributes"] = {
                name: _stable(member)
                for name, member in members.items()
                if not is_code(member) and name not in stored
            }
        self._add(self._label(kind, "class "), parts)

    def _visit_member(
        self, kind: type, member: Any, used: dict[str, Any], *, sourced: bool
    ) -> set[str]:
        """Reach what a member of a class uses; return the attributes that it assigns."""
        stored: set[str] = set()
        functions = list(functions_in(member))
        if sourced and any(map(_is_generated, functions)):
            return stored
        for function in functions:
            if sourced and is_defined_in(kind, function):  # its code is in that of the class
                names = names_of(function)
                stored |= names.stored
                used.update(self._use(function.__globals__, names))
                self._use_variables(function, names)
            else:
                self._reach_function(function)
        if issubclass(type(member), type):
            self.reach("", member, frozenset())
        elif not functions:
            self.dive(member)
        return stored

    # -- reaching ----------------------------------------------------------------------------

    def reach(self, label: str, value: Any, attributes: frozenset[str]) -> None:
        """Follow what *value*, which is known by its code, refers to in the project."""
        kind = type(value)
        if issubclass(kind, types.ModuleType):
            self._reach_module(value, attributes)
        elif issubclass(kind, partial):
            self._part(label, "function", value.func)
            self._part(label, "arguments", (value.args, dict(value.keywords)))
        elif kind is types.MethodType:
            self.reach(label, value.__func__, attributes)
            self._part(label, "self", value.__self__)
        else:
            for function in functions_in(value):
                self._reach_function(function)
            code = value if issubclass(kind, type) else kind
            if self._project.has(code.__module__):
                self.follow(code)

    def _reach_function(self, function: types.FunctionType) -> None:
        if self._project.has(function.__module__) or _holds(self._project, function):
            self.follow(function)

    def _reach_module(self, module: types.ModuleType, attributes: frozenset[str]) -> None:
        if not self._project.has(module.__name__) or (module.__name__, attributes) in self._modules:
            return
        self._modules.add((module.__name__, attributes))
        members = vars(module)
        for name in sorted((attributes & members.keys()) - _OF_MODULES):
            label = f"global `{module.__name__}.{name}`"
            value = members[name]
            if is_code(value):
                self.found[label] = short_digest(identity(value))
                self.reach(label, value, attributes)
            else:
                self._variable(label, value, _Variable(members, name))

    def _part(self, label: str, name: str, value: Any) -> None:
        if label:
            self._value(f"{label}: {name}", value, frozenset())
        else:  # in a container, whose value counts
            self._dive_into(value, 0, deep=True)

    def _value(self, label: str, value: Any, attributes: frozenset[str]) -> None:
        self.found[label] = _stable(value)
        if is_code(value):
            self.reach(label, value, attributes)
        else:
            self.dive(value, deep=True)

    def _variable(self, label: str, value: Any, variable: _Variable) -> None:
        """Add a global variable: a constant by its value, an object by how it is made."""
        if label in self.found:
            return
        if is_constant(value):
            self.found[label] = _stable(value)
            return
        making = self._project.making(*variable)
        known = making is not None and making.known
        parts: Any = None
        if type(value) in _CONTAINERS or not known:
            parts = _digest_of(value)
        self.dive(value, deep=not known)
        self._made(label, parts or identity(value), making, form=parts is None)

    def _made(self, label: str, parts: Any, making: Making | None, *, form: bool = True) -> None:
        """Add a variable by *parts*, and by what is used where it is made."""
        if label in self.found:
            return
        self.found[label] = b""  # what it is made of may refer to it
        used: dict[str, Any] = {}
        if making is not None:
            names, attributes = making.uses
            used = self._use(making.namespace, Names(tuple(sorted(names)), attributes))
        self.found[label] = short_digest((parts, used, making.form if making and form else None))

    def dive(self, value: Any, depth: int = 0, *, deep: bool = False) -> None:
        """Follow the functions and classes in a container, and the class of an object.

        Args:
            value: no code itself.
            depth: how far down it is found.
            deep: whether the attributes of objects are looked at.
        """
        kind = type(value)
        if kind not in _CONTAINERS:
            if is_constant(value):
                return
            self.reach("", kind, frozenset())
        members = _members_of(value)
        if kind not in _CONTAINERS and deep:
            members = list(attributes_of(value).values())
        if depth == _MOST_DEPTH or len(members) > _MOST_MEMBERS:
            return
        for member in members:
            self._dive_into(member, depth + 1, deep=deep)

    def _dive_into(self, member: Any, depth: int, *, deep: bool) -> None:
        if is_code(member):
            self.reach("", member, frozenset())
        else:
            self.dive(member, depth, deep=deep)

    # -- naming ------------------------------------------------------------------------------

    def _add(self, label: str, parts: Any) -> None:
        self.found[_free(self.found, label)] = short_digest(parts)

    def _label(self, code: Any, kind: str) -> str:
        name = self._qualified(code.__module__, code.__qualname__)
        return f"code of {'' if code is self._root else kind}`{name}`"

    def _qualified(self, module: str | None, name: str) -> str:
        return name if module == self._root.__module__ else f"{module}.{name}"


def _digest_of(value: Any) -> bytes | None:
    """Return the digest of a value; None if it has none."""
    try:
        return short_digest(value)
    except Exception:  # noqa: BLE001  # whatever a class does to say that it has no key
        return None


def _stable(value: Any) -> bytes:
    """Return the digest of a value, of what is known of it if it has none."""
    found = None if is_code(value) else _digest_of(value)
    return short_digest(identity(value)) if found is None else found


def _free(found: dict[str, bytes], label: str) -> str:
    """Return *label*, with a number if something else is called that."""
    unique, number = label, 2
    while unique in found:
        unique, number = f"{label} #{number}", number + 1
    return unique


def _holds(project: Project, function: types.FunctionType, depth: int = 0) -> bool:
    """Whether the closure of a function, of whatever library, has one of the project in it."""
    if depth == _MOST_DEPTH:
        return False
    return any(
        project.has(inner.__module__) or _holds(project, inner, depth + 1)
        for _, value in closure_of(function)
        for member in (value, *_members_of(value))
        for inner in functions_in(member)
    )


def _members_of(value: Any) -> list[Any]:
    if type(value) not in _CONTAINERS:
        return []
    return [*value, *value.values()] if type(value) is dict else list(value)


def _module_of(kind: type) -> dict[str, Any]:
    module = sys.modules.get(kind.__module__)
    return {} if module is None else vars(module)


def _stored_by(kind: type) -> Iterator[str]:
    """Give the attributes that the methods of a class assign, of whatever."""
    for member in list(vars(kind).values()):
        for function in functions_in(member):
            yield from names_of(function).stored


def _members_that_count(kind: type, *, sourced: bool) -> dict[str, Any]:
    """Return the members of a class in a fixed order, without what the interpreter adds."""
    return {
        name: member
        for name, member in sorted(vars(kind).items())
        if name not in _OF_THE_INTERPRETER
        # Typing adds more constants to a class in each version of Python.
        and not (sourced and is_constant(member) and _is_special(name))
    }


def _is_special(name: str) -> bool:
    return (name.startswith("__") and name.endswith("__")) or name in _OF_TYPING


def _is_generated(function: types.FunctionType) -> bool:
    """Whether a library has made the code of a method, as dataclasses do, from the class."""
    return function.__code__.co_filename.startswith("<") and normal_form(function) is None


def _constants(kind: type, members: dict[str, Any], stored: set[str]) -> dict[str, Any]:
    if issubclass(kind, enum.Enum):  # what else lies in it depends on the version of Python
        members = {name: member._value_ for name, member in kind.__members__.items()}
    return {
        name: member
        for name, member in members.items()
        if is_constant(member) and name not in stored
    }
