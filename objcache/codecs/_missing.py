"""Why a pickle did not load: what it names and this program has not, or whose code failed.

Knows: what a failed load leaves behind. Must not know: records.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, Final

from objcache.codecs._stream import names_in
from objcache.codecs._wording import failure_text
from objcache.errors import DecodeError

__all__ = ["decode_failure"]

# Frames of importing: the body of a module, and what import hooks have before it.
_IMPORTING: Final = frozenset({"<module>", "exec_module", "create_module", "find_spec"})


def decode_failure(error: BaseException, payload: bytes | memoryview) -> DecodeError:
    """See `objcache.codecs.decode_failure`."""
    reason = failure_text(error)
    try:
        frame = _frame_of_value(error)
        if frame is not None and not _is_import(frame):
            return DecodeError(*_owner(frame, reason))
        if frame is not None or isinstance(error, ImportError | AttributeError | SyntaxError):
            for module, name in names_in(payload):
                if not _is_loaded(module, name):
                    return DecodeError(module, name, reason)
    except Exception:  # noqa: BLE001  # no explanation of a failure may hide it
        return DecodeError("", "", reason)
    return DecodeError("", "", reason)


def _frame_of_value(error: BaseException) -> FrameType | None:
    """Return the outermost frame that loading itself has called, if it called any."""
    entry = error.__traceback__
    while entry is not None:
        entry = entry.tb_next  # the first is where the caller called pickle
        if entry is None:
            return None
        module = _module_of(entry.tb_frame)
        if not (module.startswith("objcache.codecs") or module in {"pickle", "copyreg"}):
            return entry.tb_frame
    return None


def _module_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _is_import(frame: FrameType) -> bool:
    code = frame.f_code
    return (
        code.co_filename.startswith("<frozen importlib")
        or code.co_name in _IMPORTING
        or code.co_qualname == "__getattr__"  # of a module
    )


def _owner(frame: FrameType, reason: str) -> tuple[str, str, str]:
    """Return module and name of the class or function that *frame* runs, and what to say."""
    code = frame.f_code
    first = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
    if "." not in code.co_qualname or first is None:
        return _module_of(frame), code.co_qualname, f"it failed: {reason}"
    # Not the name in the code: a method may be inherited, or made by dataclasses.
    kind: Any = first if isinstance(first, type) else type(first)
    return kind.__module__, kind.__qualname__, f"its {code.co_name} failed: {reason}"


def _is_loaded(module: str, name: str) -> bool:
    """Whether a name that the failed load may have looked up is there; imports nothing."""
    found: Any = sys.modules.get(module)
    try:
        for part in name.split("."):
            found = getattr(found, part)
    except Exception:  # noqa: BLE001  # a module's own __getattr__ may raise anything
        return False
    return True
