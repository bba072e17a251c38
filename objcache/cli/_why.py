"""`objcache why`: whether a call of a memoized function has a stored result, and if not why.

Knows: modules, and how calls are typed. Must not know: how results are found.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from types import MethodType, ModuleType
from typing import Any, Final, NamedTuple

import click

from objcache.cli._keys import argument_from, mapping_text, printable
from objcache.cli._options import NOT_FOUND, answer_options, print_json, refused
from objcache.cli._screen import console
from objcache.errors import ObjcacheError
from objcache.memo.inquiry import Inquiry, inquire, recall_of

__all__ = ["why"]

_HIT: Final = "hit"
_MEANINGS: Final = {
    _HIT: "the call is answered from the store",
    "expired": "what is stored is over",
    "evicted": "the result has made room for others",
    "unreadable": "what is stored cannot be read",
    "refused": "what is stored is turned down",
    "code": "what is stored is of another version of the code",
    "inputs": "what is stored is of other inputs",
    "arguments": "what is stored is of other arguments",
    "never called": "no result of the function is stored",
}
_BELOW: Final = 'put what is to run below `if __name__ == "__main__":`'


class _QuestionError(Exception):
    """The question makes no sense; the message says why."""


class _Target(NamedTuple):
    """Which function is asked about.

    Attributes:
        module: its name, as imports find it.
        directory: where imports look first; None where they look as always.
        file: of the module, where the question names one.
        path: of the function in it: `f`, `Class.f`.
        text: as it was typed.
    """

    module: str
    directory: str | None
    file: str | None
    path: str
    text: str


class _Question(NamedTuple):
    """A memoized function, as it was found.

    Attributes:
        recall: what it remembers by.
        bound: what comes before the arguments of its calls: an instance, or a class.
        used_on_import: whether its module has used it already.
    """

    recall: Any
    bound: tuple[Any, ...]
    used_on_import: bool


@click.command()
@click.argument("function", metavar="MODULE:FUNCTION")
@click.argument("arguments", nargs=-1, metavar="[ARGUMENT...]")
@click.option("--text", "is_text", is_flag=True, help="ARGUMENTs are text, whatever they say.")
@answer_options
def why(
    *, function: str, arguments: Sequence[str], is_text: bool, as_json: bool, no_color: bool
) -> int:
    """Tell whether a call of a memoized function has a stored result, and if not why.

    MODULE is imported, as a program would import it, and so runs what stands at its top level;
    imports look into the current directory first. It may be a file, too: ./job.py:f. The
    function is not run, and its store is not written to. The function knows its store: there
    is no PATH. That of a plain @objcache.memoize is chosen by OBJCACHE_DIR.

    ARGUMENTs are Python literals, else text; name=value passes one by its name.

    Exit code: 0 there is a result, 1 there is none, 2 the question makes no sense, or the store
    cannot be read.

    Example: objcache why report:monthly 2024 region=north
    """
    # What the store says is part of the answer, and not to be told twice.
    logging.getLogger("objcache").addHandler(logging.NullHandler())
    try:
        wanted = _target_from(function)
        args, kwargs = _arguments_from(arguments, is_text=is_text)
        with _as_if_run(wanted), redirect_stdout(sys.stderr):  # stdout is for the answer
            question = _found(_imported(wanted), wanted)
            found = _asked(question, wanted, args, kwargs)
    except _QuestionError as error:
        return refused(error, as_json=as_json)
    if as_json:
        print_json(_as_json(found, question))
    else:
        _show(found, question, no_color=no_color)
    return 0 if found.explanation.reason == _HIT else NOT_FOUND


# -- what is asked ---------------------------------------------------------------------------


def _target_from(text: str) -> _Target:
    module, _, path = text.rpartition(":")
    if not module or not all(part.isidentifier() for part in path.split(".")):
        raise _QuestionError(
            f"{text!r} is not MODULE:FUNCTION; name them as in report:monthly, or ./report.py:monthly"
        )
    if os.sep not in module and not module.endswith(".py"):
        directory = None if sys.flags.safe_path else os.getcwd()
        return _Target(module, directory, None, path, text)
    file = os.path.abspath(module)
    if not os.path.isfile(file):
        raise _QuestionError(f"there is no file {module!r}")
    directory, name = os.path.split(file)
    name, extension = os.path.splitext(name)
    if extension != ".py" or "." in name:
        raise _QuestionError(f"{module!r} is no module: imports find files called NAME.py")
    # A file of a package is imported with it: results are kept below its whole name.
    while os.path.isfile(os.path.join(directory, "__init__.py")):
        directory, package = os.path.split(directory)
        name = package if name == "__init__" else f"{package}.{name}"
    return _Target(name, directory, file, path, text)


def _arguments_from(
    given: Sequence[str], *, is_text: bool
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    args, kwargs = [], {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (equals and name.isidentifier()) or value.startswith("="):
            args.append(argument_from(text, is_text=is_text))
        elif name in kwargs:
            raise _QuestionError(f"the argument {name!r} is given twice")
        else:
            kwargs[name] = argument_from(value, is_text=is_text)
    return tuple(args), kwargs


# -- the user's module -----------------------------------------------------------------------


@contextmanager
def _as_if_run(target: _Target) -> Iterator[None]:
    """Let imports look where they look when Python runs the module, and leave no file behind."""
    before = sys.path, sys.argv, sys.dont_write_bytecode
    if target.directory is not None:
        sys.path = [target.directory, *sys.path]
    sys.argv = [target.file or target.module]  # ours is not for the module
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.path, sys.argv, sys.dont_write_bytecode = before


def _imported(target: _Target) -> ModuleType:
    try:
        module = importlib.import_module(target.module)
    except ModuleNotFoundError as error:
        if error.name and f"{target.module}.".startswith(f"{error.name}."):
            where = f"{target.directory!r} or where" if target.directory else "where"
            message = f"there is no module {error.name!r} in {where} Python looks for modules"
            raise _QuestionError(message) from error
        raise _failed(target, error) from error
    except SystemExit as error:
        message = f"{target.module!r} ends the process when it is imported; {_BELOW}"
        raise _QuestionError(message) from error
    except Exception as error:
        raise _failed(target, error) from error
    found = getattr(module, "__file__", None)
    if target.file is not None and not (found and os.path.samefile(found, target.file)):
        raise _QuestionError(
            f"{target.file!r} cannot be imported: another module is called {target.module!r}"
            + (f", at {found!r}" if found else "")
        )
    return module


def _failed(target: _Target, error: Exception) -> _QuestionError:
    message = f"{target.module!r} fails when it is imported: {_error_text(error)}"
    frames = traceback.extract_tb(error.__traceback__)
    if frames and not isinstance(error, SyntaxError):  # which tells the place itself
        message += f" ({frames[-1].filename}, line {frames[-1].lineno})"
    return _QuestionError(message)


def _error_text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _found(module: ModuleType, target: _Target) -> _Question:
    """Return the memoized function that *target* names.

    Raises:
        _QuestionError: it is not there, not memoized, or needs an instance.
    """
    found: Any = module
    owner: Any = module
    there = f"memoized there: {_memoized_in(module)}"
    for name in target.path.split("."):
        owner = found
        plain = inspect.getattr_static(owner, name, None)
        if isinstance(owner, type) and _needs_instance(plain):
            raise _QuestionError(
                f"{target.text!r} is a method or property of instances, and an instance cannot be typed; "
                "ask its own `why` in Python, or name an instance of the module"
            )
        try:
            found = getattr(owner, name)
        except Exception as error:
            message = f"{target.module!r} has no {target.path!r}; {there}"
            raise _QuestionError(message) from error
    bound: tuple[Any, ...] = ()
    if isinstance(found, MethodType):
        found, bound = found.__func__, (found.__self__,)
    recall = recall_of(found)
    if recall is None:
        kind = type(found).__name__
        raise _QuestionError(f"{target.text!r} is not memoized: it is a {kind}; {there}")
    return _Question(recall, bound, recall.results.opened is not None)


def _needs_instance(plain: Any) -> bool:
    if isinstance(plain, property):
        return recall_of(plain.fget) is not None
    function = getattr(plain, "func", plain)  # of a cached property
    return not isinstance(plain, (staticmethod, classmethod)) and recall_of(function) is not None


def _memoized_in(module: ModuleType) -> str:
    names = [name for name, value in vars(module).items() if recall_of(value) is not None]
    return ", ".join(names) or "nothing at its top level"


def _asked(
    question: _Question, target: _Target, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Inquiry:
    recall = question.recall
    try:
        call = recall.call((*question.bound, *args), kwargs)
    except ObjcacheError:
        raise
    except Exception as error:
        if isinstance(error, TypeError) and recall.settings.key is None:
            shown = f"{recall.name}{inspect.signature(recall.function)}"
            raise _QuestionError(f"{error}; it is {shown}") from error
        raise _QuestionError(f"key= of {target.text!r} has failed: {_error_text(error)}") from error
    try:
        return inquire(recall, call)
    except (ObjcacheError, OSError):
        raise
    except Exception as error:
        message = f"validate= of {target.text!r} has failed: {_error_text(error)}"
        raise _QuestionError(message) from error


# -- the answer ------------------------------------------------------------------------------


def _as_json(found: Inquiry, question: _Question) -> dict[str, Any]:
    return {
        "function": found.function,
        "reason": found.explanation.reason,
        "details": list(found.explanation.details),
        "has_result": found.explanation.reason == _HIT,
        "key": found.key,
        "path": found.path,
        "names": found.names,
        "is_cache": found.is_cache,
        "used_on_import": question.used_on_import,
    }


def _show(found: Inquiry, question: _Question, *, no_color: bool) -> None:
    output = console(no_color=no_color)
    reason, details = found.explanation
    output.print(f"{reason}: {_MEANINGS.get(reason, reason)}", style="bold")
    for detail in details:
        output.print(f"  {printable(detail)}")
    where = mapping_text(found.names, is_cache=found.is_cache)
    of = "" if where == "store" else f"{printable(where)} of "
    output.print(f"{printable(found.function)}, in {of}{printable(found.path)}")
    if question.used_on_import:
        output.print(f"the module has used it while it was imported; {_BELOW}")
