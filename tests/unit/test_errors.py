"""Errors: one tree, useful attributes, and they travel between processes."""

from __future__ import annotations

import inspect
import pickle

import pytest

from objcache import errors
from objcache.errors import ObjcacheError, StoreFullError

ERRORS = [getattr(errors, name) for name in errors.__all__]
SAMPLES = {
    errors.StoreBusyError: ("/path", "another process", 1.5),
    errors.ComputationTimeoutError: ("f", 2.0),
    errors.StoreFullError: ("/path", 1024, 2048, "the bound of its file"),
    errors.WrongSecretError: ("/path", "aaaa", ("bbbb", "cccc")),
    errors.UnsupportedFormatError: ("record format", 2, 1),
    errors.UnknownCodecError: (200, 3),
}


def sample(kind):
    """An error of *kind* with arguments that fit."""
    if kind in SAMPLES:
        return kind(*SAMPLES[kind])
    parameters = set(inspect.signature(kind.__init__).parameters) - {"self", "args", "kwargs"}
    ordered = [name for name in inspect.signature(kind.__init__).parameters if name in parameters]
    return kind(*(f"<{name}>" for name in ordered)) if ordered else kind("message")


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_errors_survive_pickle(kind):
    """An error raised in a worker process arrives whole in the parent."""
    error = sample(kind)
    clone = pickle.loads(pickle.dumps(error))

    assert type(error) is type(clone)
    assert vars(error) == vars(clone)
    assert str(error) == str(clone)
    assert error.args == clone.args


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_errors_say_what_they_know(kind):
    """Every attribute of an error is in its message, and every error is in the tree."""
    error = sample(kind)

    assert issubclass(kind, ObjcacheError)
    for name, value in vars(error).items():
        if isinstance(value, str) and name != "what":
            assert value in str(error), name
    assert kind.__name__ in errors.__doc__


def test_full_store_is_an_os_error_with_a_number():
    """A full store can be caught as OSError, with the number that programs test."""
    error = StoreFullError("/path", 1, 2, "bound")

    assert isinstance(error, OSError)
    assert 28 == error.errno
