"""What surrounds the pickle calls of the record layer: buffers, and failures explained.

Knows: how pickling goes wrong. Must not know: records.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any, Final

from objcache.errors import DecodeError, EncodeError

__all__ = ["OUT_OF_BAND_MIN_BYTES", "OutOfBand", "decode_failure", "encode_failure"]

OUT_OF_BAND_MIN_BYTES: Final = 512
"""Below this a buffer costs more in the table and in padding than in the stream."""

_MOST_VISITS: Final = 10_000
_MOST_DEPTH: Final = 50


class OutOfBand(list[pickle.PickleBuffer]):
    """Collects the buffers of one value that are kept beside its pickle (PEP 574)."""

    __slots__ = ()

    def keep(self, buffer: pickle.PickleBuffer) -> bool:
        """Return whether *buffer* stays in the stream; collect it if not."""
        try:
            size = buffer.raw().nbytes
        except BufferError:
            return True  # not contiguous: pickle says so itself
        if size < OUT_OF_BAND_MIN_BYTES:
            return True
        self.append(buffer)
        return False


def encode_failure(value: Any, error: BaseException, protocol: int) -> EncodeError:
    """Return the error that names the part of *value* which made pickling fail with *error*.

    Cost: pickles parts of the value again; at most 10,000 of them.
    """
    if isinstance(error, RecursionError):
        return EncodeError(
            "value",
            _type_name(value),
            "it nests deeper than the recursion limit lets pickle follow",
        )
    search = _Search(protocol)
    path, culprit, reason = search.deepest("value", value, str(error) or type(error).__name__)
    return EncodeError(path, _type_name(culprit), reason)


class _Search:
    """Goes from a value that cannot be pickled to the part of it that is to blame."""

    def __init__(self, protocol: int) -> None:
        self._protocol = protocol
        self._visits = 0
        self._seen: set[int] = set()

    def deepest(self, path: str, value: Any, reason: str) -> tuple[str, Any, str]:
        """Return path, part and reason of the innermost part that fails by itself."""
        for _ in range(_MOST_DEPTH):
            self._seen.add(id(value))
            for child_path, child in _children(path, value):
                if id(child) in self._seen:
                    continue
                child_reason = self._failure(child)
                if child_reason is not None:
                    path, value, reason = child_path, child, child_reason
                    break
            else:
                break
        return path, value, reason

    def _failure(self, part: Any) -> str | None:
        self._visits += 1
        if self._visits > _MOST_VISITS:
            return None
        try:
            pickle.dumps(part, self._protocol)
        except Exception as error:  # noqa: BLE001  # whatever the part's own code raises
            return str(error) or type(error).__name__
        return None


def _children(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    try:
        yield from _parts(path, value)
    except Exception:  # noqa: BLE001  # whatever the value's own code raises
        return


def _parts(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, child in list(value.items()):
            yield f"{path}: key {_short(key)}", key
            yield f"{path}[{_short(key)}]", child
    elif isinstance(value, list | tuple):
        names = getattr(value, "_fields", None)
        for number, child in enumerate(value):
            yield (f"{path}.{names[number]}" if names else f"{path}[{number}]"), child
    elif isinstance(value, set | frozenset):
        for child in list(value):
            yield f"{path}{{{_short(child)}}}", child
    if not isinstance(value, type) and not hasattr(value, "__code__"):
        yield from _state_parts(path, _state(value))


def _state_parts(path: str, state: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
        state = {**(state[0] or {}), **state[1]}  # of a class with __slots__
    if isinstance(state, dict):
        for name, child in list(state.items()):
            yield f"{path}.{name}", child
    elif state is not None:
        yield f"{path}.__getstate__()", state


def _state(value: Any) -> Any:
    kind: Any = type(value)
    if kind.__reduce_ex__ is not object.__reduce_ex__ or kind.__reduce__ is not object.__reduce__:
        return None
    if kind.__module__ == "builtins":
        return None
    return value.__getstate__()


def _short(value: Any) -> str:
    text = repr(value) if type(value) in {str, bytes, int, float, bool, type(None)} else ""
    return text if text and len(text) <= 60 else f"<{_type_name(value)}>"


def _type_name(value: Any) -> str:
    kind = type(value)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def decode_failure(error: BaseException, payload: bytes | memoryview) -> DecodeError:
    """Return the error that names the class which made loading *payload* fail with *error*.

    MemoryError, KeyboardInterrupt and SystemExit are not for this: let them pass.
    """
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        names = [name for module, name in _globals(payload) if _below(module, error.name)]
        module = next((m for m, _ in _globals(payload) if _below(m, error.name)), error.name)
        return DecodeError(module, names[0] if names else "?", reason)
    if isinstance(error, AttributeError | ImportError):
        for module, name in _globals(payload):
            if not _resolves(module, name):
                return DecodeError(module, name, reason)
    return DecodeError("", "", reason)


def _below(module: str, missing: str) -> bool:
    return module == missing or module.startswith(missing + ".")


def _resolves(module: str, name: str) -> bool:
    """Whether a name that the failed load has already looked up is there; imports nothing new."""
    import sys  # noqa: PLC0415  # a failure path

    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is not None


def _globals(payload: bytes | memoryview) -> list[tuple[str, str]]:
    """Return the names that a pickle looks up, without running any of it."""
    import pickletools  # noqa: PLC0415  # a failure path

    names: list[tuple[str, str]] = []
    strings: list[str] = []
    memo: dict[int, str] = {}
    last = ""
    try:
        for opcode, argument, _ in pickletools.genops(bytes(payload)):
            if opcode.name == "GLOBAL":
                module, _, name = str(argument).partition(" ")
                names.append((module, name))
            elif opcode.name == "STACK_GLOBAL" and len(strings) >= 2:
                names.append((strings[-2], strings[-1]))
            elif opcode.name == "MEMOIZE":
                memo[len(memo)] = last
            elif opcode.name in {"PUT", "BINPUT", "LONG_BINPUT"}:
                memo[int(str(argument))] = last
            elif opcode.name in {"GET", "BINGET", "LONG_BINGET"}:
                last = memo.get(int(str(argument)), "")
                strings.append(last)
            if isinstance(argument, str) and "UNICODE" in opcode.name:
                last = argument
                strings.append(argument)
            elif opcode.name not in {"MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"}:
                last = last if "GET" in opcode.name else ""
    except Exception:  # noqa: BLE001  # a truncated or damaged pickle ends the search
        return names
    return names
