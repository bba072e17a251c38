"""Why a call of a memoized function has no stored result, in words.

Knows: rows of results and versions, and how to compare them. Must not know: how results are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from objcache.errors import ObjcacheError
from objcache.hashing import differences, digest
from objcache.memo._entries import VERSION_BYTES, Row, outline_of
from objcache.memo._recall import Call, Recall

__all__ = ["Explanation", "explain"]

_LARGEST_UNITS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))


class Explanation(NamedTuple):
    """Whether a call has a stored result, and if not, what is in its way.

    Attributes:
        reason: `"hit"`, `"expired"`, `"evicted"`, `"unreadable"`, `"refused"` (by `validate=` or another closer
            look), `"code"`, `"inputs"`, `"arguments"`, or `"never called"`.
        details: one sentence each: what differs from the nearest entry.
    """

    reason: str
    details: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join((self.reason, *self.details)) if self.details else self.reason


def explain(recall: Recall, call: Call) -> Explanation:
    """Return why *call* has no stored result.

    Raises:
        ObjcacheError: the store cannot be read.

    Cost: where there is no result, reads the rows of all results of the function.
    """
    results = recall.results
    opened = results.current()
    now = opened.place.clock.now()
    row = results.row(call.tail)
    if row is not None:
        return _of_own_row(recall, call, row, now)
    nearest = _Nearest(recall, call)
    for key, other in results.rows():
        nearest.consider(key, other)
    return nearest.explanation(now)


def _of_own_row(recall: Recall, call: Call, row: Row, now: float) -> Explanation:
    age = f"stored {_ago(now - row['created'])}"
    if recall.look(call) is not None:
        return Explanation("hit", (age,))
    deadline = row["deadline"]
    if deadline is not None and deadline <= now:
        return Explanation("expired", (f"{_ago(now - deadline)}", age))
    opened = recall.results.open()
    try:
        found = recall.results.found(opened.version + call.tail, raised=row["raised"])
    except ObjcacheError as error:
        return Explanation("unreadable", (str(error), age))
    if found is None:
        return Explanation("evicted", (age,))
    if row["raised"] and not recall.settings.cache_exceptions:
        return Explanation("refused", ("an exception is stored", age))
    return Explanation("refused", ("validate= or strict_args= turned it down", age))


class _Nearest:
    """The row that has most in common with a call."""

    def __init__(self, recall: Recall, call: Call) -> None:
        self._recall = recall
        self._call = call
        self._names = recall.binding.names
        self._digests = [digest(value).hex()[:16] for value in call.bound]
        self._reads = {read.label: digest(read).hex()[:16] for read in recall.binding.reads}
        self._best: tuple[Any, ...] | None = None
        self._row: Row | None = None
        self._version = b""

    def consider(self, key: bytes, row: Row) -> None:
        """Take *row* if it is nearer than those before."""
        version = key[:VERSION_BYTES]
        # An older signature has other parameters: they are compared by name.
        same = sum(own == other for own, other in self._pairs(row))
        current = version == self._recall.results.open().version
        rank = (same, row["reads"] == self._reads, current, row["created"])
        if self._best is None or rank > self._best:
            self._best, self._row, self._version = rank, row, version

    def explanation(self, now: float) -> Explanation:
        """Return what the nearest row says."""
        row = self._row
        # A cache that has evicted a result knows nothing of it any more.
        bounded = self._recall.results.current().bounds is not None
        perhaps = ("or it was evicted",) if bounded else ()
        if row is None:
            return Explanation("never called", perhaps)
        age = _ago(now - row["created"])
        arguments = self._differing(row)
        inputs = self._inputs(row)
        code = self._code()
        details = [*code, *inputs, *arguments]
        equal = len(self._names) - len(self._differing_names(row))
        if self._names and arguments:
            many = f"the other {equal} of {len(self._names)} arguments match"
            others = "the other argument matches" if equal == 1 else many
            details.append(f"{others} an entry of {age}" if equal else f"nearest entry of {age}")
        else:
            details.append(f"the arguments match an entry of {age}")
        reason = "arguments" if arguments else "inputs" if inputs else "code"
        return Explanation(reason, (*details, *perhaps))

    def _pairs(self, row: Row) -> list[tuple[str | None, str | None]]:
        theirs = {
            name: part for (name, _), part in zip(row["arguments"], row["digests"], strict=True)
        }
        own = dict(zip(self._names, self._digests, strict=True))
        return [(own.get(name), theirs.get(name)) for name in {**own, **theirs}]

    def _differing_names(self, row: Row) -> list[str]:
        theirs = {
            name: part for (name, _), part in zip(row["arguments"], row["digests"], strict=True)
        }
        return [
            name
            for name, own in zip(self._names, self._digests, strict=True)
            if theirs.get(name) != own
        ]

    def _differing(self, row: Row) -> list[str]:
        outlines = {
            name: shape for (name, _), shape in zip(row["arguments"], row["outlines"], strict=True)
        }
        values = dict(zip(self._names, self._call.bound, strict=True))
        found: list[str] = []
        for name in self._differing_names(row):
            if name in outlines:
                found += differences(outlines[name], outline_of(values[name]), name)
            else:
                found.append(f"{name}: a new parameter; since={{{name!r}: ...}} would keep entries")
        return found

    def _inputs(self, row: Row) -> list[str]:
        labels: Sequence[str] = sorted({*self._reads, *row["reads"]})
        return [
            f"{label} changed" if label in self._reads else f"{label} is not read any more"
            for label in labels
            if self._reads.get(label) != row["reads"].get(label)
        ]

    def _code(self) -> list[str]:
        results = self._recall.results
        if self._version == results.open().version:
            return []
        theirs = results.components_of(self._version.hex())
        own = {name: part.hex() for name, part in results.identity.components.items()}
        found = []
        for name in {**own, **theirs}:
            if own.get(name) != theirs.get(name):
                what = "is used now" if name not in theirs else "changed"
                found.append(f"{name} {'is not used any more' if name not in own else what}")
        return found or ["version= or the settings of the version changed"]


def _ago(seconds: float) -> str:
    for size, unit in _LARGEST_UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return "just now"
