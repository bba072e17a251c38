"""How long does it take to open a store, read one entry and close it again?"""

from __future__ import annotations

from typing import Any

from bench._inputs import KEYS, chosen
from bench._timing import time_calls
from bench.engines import Engine
from bench.workloads._workload import Subject, Workload, file_bytes, filled

__all__ = ["WORKLOADS", "OpenStore"]


class OpenStore(Workload):
    """Open, `store[key]`, close."""

    name = "open"
    title = "open, read one, close"
    question = (
        "Open an existing store of 10,000 entries, read one, close it; the files are in the "
        "system's cache."
    )
    operations = 3

    def subject(self, engine: Engine, directory: str) -> Subject:
        """Return the row of *engine*; the size of its files is among the facts."""
        with filled(engine, directory):
            pass

        def open_read_close(key: str) -> Any:
            handle = engine.open(directory)
            value = handle.get(key)
            handle.close()
            return value

        def measure(round_: int) -> list[int]:
            keys = [KEYS[index] for index in chosen(self.name, round_, self.operations)]
            return time_calls(open_read_close, keys)

        return Subject(engine.name, measure, facts={"disk_bytes": file_bytes(directory)})


WORKLOADS = (OpenStore(),)
