"""What surrounds the pickle calls of the record layer: buffers, allow-lists, failures explained.

Knows: the entry points, cheap to import. Must not know: records; whether a pickle is authentic.
What is behind each of them is loaded on first use: a store that works needs none of it.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from typing import Any, Final

from objcache.errors import DecodeError, EncodeError

__all__ = [
    "OUT_OF_BAND_MIN_BYTES",
    "OutOfBand",
    "decode_failure",
    "encode_failure",
    "loads_restricted",
    "payload_protocol",
    "trust_names",
]

OUT_OF_BAND_MIN_BYTES: Final = 512
"""Below this a buffer costs more in the table and in padding than in the stream."""


class OutOfBand(list[pickle.PickleBuffer]):
    """Collects the buffers of one value that are kept beside its pickle (PEP 574).

    >>> buffers = OutOfBand()
    >>> large = pickle.PickleBuffer(bytearray(600))
    >>> payload = pickle.dumps(large, 5, buffer_callback=buffers.keep)
    >>> len(buffers)
    1
    """

    __slots__ = ()

    def keep(self, buffer: pickle.PickleBuffer) -> bool | None:
        """Return True if *buffer* stays in the stream; collect it if not."""
        try:
            if buffer.raw().nbytes < OUT_OF_BAND_MIN_BYTES:
                return True
        except BufferError:
            return True  # not contiguous: pickle says so itself
        self.append(buffer)
        return None


def loads_restricted(
    payload: bytes | memoryview,
    buffers: Iterable[Any],
    *,
    trust: frozenset[str] | None,
    renames: Mapping[str, str],
) -> object:
    """Unpickle *payload*, whose record the caller has authenticated.

    With *trust* the pickle may call, instantiate and hold only what the list and
    `ALWAYS_TRUSTED` name, and may not alter any of it. All names are checked before the first
    is imported or called. What a listed class or function does with the arguments and the state
    that the pickle gives it is the decision of whoever lists it: its `__init__`, `__setstate__`
    and `__setattr__` run. So never list what calls or resolves its arguments, as builtins.getattr
    or functools.partial. The list bounds code, not memory or time.

    Persistent ids and codes of the extension registry are refused: neither names what it means.
    Below protocol 4, pickle writes nested classes as attributes of their outer class; they load
    if their full name is listed.

    Args:
        payload: the pickle.
        buffers: its out-of-band buffers.
        trust: what `trust_names` returned; None allows every class.
        renames: old to new dotted names, of single classes (with what is nested in them) or of
            whole modules. They are applied first: *trust* lists new names.

    Raises:
        UntrustedTypeError: the pickle names something outside the list; it was not resolved, and
            nothing was called.
        DecodeError: a name cannot be found, or a persistent id or extension code is refused.
        Exception: whatever else a damaged pickle or a class raises; see `decode_failure`.

    Cost:
        With *trust* the pickle is read twice; the first time nothing of it is executed.
    """
    from objcache.codecs import _restricted  # noqa: PLC0415  # only with trust= or renames=

    return _restricted.loads(payload, buffers, trust, renames)


def trust_names(names: Iterable[str | type]) -> frozenset[str]:
    """Return the exact dotted names of what `trust=` lists, classes or their names.

    Raises:
        ValueError: a module or a pattern, which would let in whatever the module imports; or a
            class inside a function, which no pickle can name.
        TypeError: neither a class nor its name.
    """
    from objcache.codecs import _restricted  # noqa: PLC0415  # only with trust=

    return _restricted.exact_names(names)


def encode_failure(value: Any, error: BaseException, protocol: int) -> EncodeError:
    """Return the error that names the part of *value* which made pickling fail with *error*.

    Never raises; KeyboardInterrupt and its like pass.

    Cost:
        Pickles parts of the value again, to nowhere: at most 10,000 of them and 256 MiB.
    """
    from objcache.codecs import _culprit  # noqa: PLC0415  # a failure path

    return _culprit.encode_failure(value, error, protocol)


def decode_failure(error: BaseException, payload: bytes | memoryview) -> DecodeError:
    """Return the error that names the class which made loading *payload* fail with *error*.

    Its `module` and `name` are those of the class or function that cannot be found, or whose own
    code raised *error*; `module` is "" where neither is known, as for damaged bytes.

    Never raises and executes nothing of the pickle. MemoryError, KeyboardInterrupt and SystemExit
    are not for this: the caller lets them pass.

    Cost:
        Reads up to a million opcodes of the pickle, where a name was not found.
    """
    from objcache.codecs import _missing  # noqa: PLC0415  # a failure path

    return _missing.decode_failure(error, payload)


def payload_protocol(payload: bytes | memoryview) -> int:
    """Return the pickle protocol that *payload* names; 0 or 1 where it names none.

    Cost:
        Protocols 0 and 1 name none: their opcodes are read up to the first that tells.
    """
    if payload[:1] == b"\x80":
        return payload[1] if len(payload) > 1 else 0
    from objcache.codecs import _stream  # noqa: PLC0415  # protocols that are seldom written

    return 1 if _stream.has_binary_opcodes(payload) else 0
