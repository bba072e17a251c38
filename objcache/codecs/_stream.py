"""What the bytes of a pickle say.

Knows: opcodes. Must not know: what they would make; nothing of a pickle is executed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

__all__ = ["has_binary_opcodes", "has_old_names", "names_in", "python_3_name"]

_MOST_OPCODES: Final = 1_000_000


def has_binary_opcodes(payload: bytes | memoryview) -> bool:
    """Whether a pickle without PROTO opcode is of protocol 1, not 0."""
    return any(protocol == 1 for _, _, protocol in _opcodes(payload))


def has_old_names(payload: bytes | memoryview) -> bool:
    """Whether the names in a pickle are those of Python 2: pickle writes them up to protocol 2."""
    return payload[:1] != b"\x80" or (len(payload) > 1 and payload[1] < 3)


def python_3_name(module: str, name: str) -> tuple[str, str]:
    """Return the module and name of today for those of Python 2."""
    from _compat_pickle import (  # noqa: PLC0415  # only for old protocols
        IMPORT_MAPPING,
        NAME_MAPPING,
    )

    return NAME_MAPPING.get((module, name)) or (IMPORT_MAPPING.get(module, module), name)


def names_in(payload: bytes | memoryview) -> Iterator[tuple[str, str]]:
    """Yield module and name of what a pickle looks up, in its order.

    Texts are followed through the memo as picklers use it; a damaged pickle ends the names.
    """
    content = bytes(payload)
    old_names = has_old_names(content)
    texts = ["", ""]
    memo: dict[int, str] = {}
    last = ""
    for opcode, argument, _ in _opcodes(content):
        if opcode in {"GLOBAL", "INST"}:
            module, _, name = str(argument).partition(" ")
            yield python_3_name(module, name) if old_names else (module, name)
        elif opcode == "STACK_GLOBAL":
            yield texts[0], texts[1]
        if opcode == "MEMOIZE":
            memo[len(memo)] = last
        elif opcode in {"PUT", "BINPUT", "LONG_BINPUT"}:
            memo[argument] = last
        elif opcode in {"GET", "BINGET", "LONG_BINGET"} or "UNICODE" in opcode:
            last = argument if isinstance(argument, str) else memo.get(argument, "")
            texts = [texts[1], last]
        else:
            last = ""


def _opcodes(payload: bytes | memoryview) -> Iterator[tuple[str, Any, int]]:
    from pickletools import genops  # noqa: PLC0415  # not on the import path of Store

    try:
        for opcode, argument, _ in islice(genops(bytes(payload)), _MOST_OPCODES):
            yield opcode.name, argument, opcode.proto
    except Exception:  # noqa: BLE001  # a truncated or damaged pickle ends here
        return
