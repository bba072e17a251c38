"""shelve on whatever dbm this Python has.

Knows: shelve and the dbm modules. Must not know: other engines.
"""

from __future__ import annotations

import dbm
import os
import shelve
import tempfile
from collections.abc import Mapping
from typing import Any, Final

from bench.engines._engine import Engine, Handle, Loss

__all__ = ["ENGINES"]

_SURVIVES: Final = {
    "dbm.dumb": (
        "overwrites since the last `sync`; they may come back mixed up",
        "may lose everything",
        Loss.EVERYTHING,
    ),
    "dbm.sqlite3": ("nothing", "nothing", Loss.NOTHING),
}
_OTHERS: Final = (
    "nothing, unless killed within a write: then the file may be damaged",
    "may lose everything",
    Loss.EVERYTHING,
)
_SLOW: Final = {
    "dbm.dumb": {"delete": 30},  # it writes its whole index at every deletion
    "dbm.sqlite3": {"set": 5, "delete": 5},
}


def _kind() -> str:
    """Return the dbm module that `shelve.open` takes for a new file."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "shelf")
        shelve.open(path).close()  # opened only to be made
        return dbm.whichdb(path) or "unknown"


def _open(directory: str) -> Handle:
    shelf: shelve.Shelf[Any] = shelve.open(os.path.join(directory, "shelf"))  # noqa: SIM115  # the caller closes it

    def put_many(entries: Mapping[str, Any]) -> None:
        shelf.update(entries)
        shelf.sync()

    return Handle(
        close=shelf.close,
        get=shelf.__getitem__,
        find=shelf.get,
        put=shelf.__setitem__,
        delete=shelf.__delitem__,
        put_many=put_many,
        items=shelf.items,
    )


_KIND: Final = _kind()
_KILLED, _POWER_CUT, _LOSS = _SURVIVES.get(_KIND, _OTHERS)

ENGINES = (
    Engine(
        name="shelve",
        distributions=(),
        settings=f"`shelve.open(path)`, which is `{_KIND}` in this Python; a batch is `update` and "
        "`sync`, which is not a transaction.",
        killed=_KILLED,
        power_cut=_POWER_CUT,
        loss=_LOSS,
        faster_because="it keeps its index in memory, has no transactions and no lock, and does "
        "not sign or verify records",
        open=_open,
        slow=_SLOW.get(_KIND, {}),
    ),
)
