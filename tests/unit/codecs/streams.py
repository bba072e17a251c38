"""Pickles written by hand, opcode by opcode: what no pickler would write."""

from __future__ import annotations

from pickle import GLOBAL, REDUCE, STACK_GLOBAL, STOP, TUPLE

MARK = b"("


def text(content):
    """Push a text."""
    encoded = content.encode()
    return b"\x8c" + bytes([len(encoded)]) + encoded if len(encoded) < 256 else long_text(encoded)


def long_text(encoded):
    """Push a text of any length."""
    return b"X" + len(encoded).to_bytes(4, "little") + encoded


def name(module, qualified):
    """Push what *module* calls *qualified*, dots and all."""
    return text(module) + text(qualified) + STACK_GLOBAL


def old_name(module, qualified):
    """Push the same as protocols 0 to 3 write it."""
    return GLOBAL + f"{module}\n{qualified}\n".encode()


def called(function, *arguments):
    """Call what *function* pushes with what *arguments* push."""
    return function + MARK + b"".join(arguments) + TUPLE + REDUCE


def stream(*opcodes, protocol=4):
    """A whole pickle."""
    start = b"" if protocol < 2 else bytes([0x80, protocol])
    return start + b"".join(opcodes) + STOP
