"""How long does `import objcache` take, beside what it is built on?"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from bench._timing import time_calls
from bench.engines import Engine
from bench.workloads._workload import Subject, Workload, new_directory

__all__ = ["WORKLOADS", "ImportTime"]

_INSIDE: Final = """
import time
begun = time.perf_counter_ns()
{statement}
print(time.perf_counter_ns() - begun)
"""


class ImportTime(Workload):
    """Fresh interpreters, one after the other."""

    name = "import"
    title = "import time"
    question = (
        "Fresh processes in turns, compiled files cached: the time of the import statement "
        "measured inside the process, and that of the whole process, beside one that does nothing."
    )
    operations = 2
    keeps = False
    reference = ""

    def subjects(self, engines: Iterable[Engine], directory: str) -> list[Subject]:
        """Return the rows: statements, not engines."""
        del engines
        if importlib.util.find_spec("objcache") is None or importlib.util.find_spec("lmdb") is None:
            return []
        run = partial(_run, new_directory(directory, "compiled"))
        ours, theirs = "import objcache", "import lmdb, pickle"
        return [
            Subject(ours, partial(self._inside, run, ours)),
            Subject(theirs, partial(self._inside, run, theirs)),
            Subject(f"process: {ours}", partial(self._whole, run, ours)),
            Subject(f"process: {theirs}", partial(self._whole, run, theirs)),
            Subject("process: pass", partial(self._whole, run, "pass")),
        ]

    def subject(self, engine: Engine, directory: str) -> Subject:
        """Refuse: there is no row of an engine."""
        raise NotImplementedError

    def _inside(self, run: Callable[[str], bytes], statement: str, _round: int) -> list[int]:
        program = _INSIDE.format(statement=statement)
        return [int(run(program)) for _ in range(self.operations)]

    def _whole(self, run: Callable[[str], bytes], statement: str, _round: int) -> list[int]:
        return time_calls(run, [statement] * self.operations)


def _run(compiled: str, program: str) -> bytes:
    """Return what *program* prints, run by a fresh interpreter."""
    found = importlib.util.find_spec("objcache")
    assert found is not None
    assert found.origin is not None
    # Whatever the caller's settings and the state of the source tree, both sides find their
    # compiled files: the round that is not recorded writes them all to one place.
    # Without `site`, whose hooks for editable installations load half of what is timed.
    packages = os.pathsep.join(path for path in sys.path if path.endswith("-packages"))
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONPATH": packages}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.run(
        [sys.executable, "-S", "-c", program],
        cwd=os.path.dirname(os.path.dirname(found.origin)),  # -c searches it first
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
    )
    return process.stdout


WORKLOADS = (ImportTime(),)
