"""Running a process under the recorder: shim.c, compiled on first use and preloaded.

Knows: the compiler, the environment of the shim. Must not know: what the frames mean.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

_SOURCE = pathlib.Path(__file__).with_name("shim.c")
_REPOSITORY = pathlib.Path(__file__).parents[2]
_LOG_BYTES = 8 << 30  # sparse: as much of the disk as is used

SYNC_US = 300
"""How long a sync lasts at least, so that others write meanwhile, as on a real device."""


def scratch_parent() -> str | None:
    """Return where temporary files cost least: memory, where the system has such a place."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@functools.cache
def compiled_shim() -> str:
    """Return the path of the compiled shim.

    Raises:
        RuntimeError: there is no C compiler, or it refuses.
    """
    digest = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]
    shim = pathlib.Path(tempfile.gettempdir()) / f"objcache-crash-{os.getuid()}-{digest}.so"
    if shim.exists():
        return str(shim)
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise RuntimeError("the crash simulator needs a C compiler (cc); none was found")
    with tempfile.TemporaryDirectory() as directory:
        fresh = pathlib.Path(directory) / "shim.so"
        command = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-o", fresh, _SOURCE]
        done = subprocess.run(
            [*command, "-ldl", "-lpthread"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{compiler} cannot compile {_SOURCE.name}:\n{done.stderr}")
        unfinished = shim.with_suffix(f".{os.getpid()}")
        shutil.copy(fresh, unfinished)
        unfinished.rename(shim)  # several test processes may be here at once
    return str(shim)


def run_recorded(arguments: list[str], root: str, log: str, sync_us: int = SYNC_US) -> str:
    """Run Python with *arguments*; what it does below *root* is recorded in the file *log*.

    Returns:
        What it printed.

    Raises:
        RuntimeError: it failed; with what it printed.
    """
    with open(log, "wb") as file:
        file.truncate(_LOG_BYTES)
    environment = os.environ | {
        "CRASH_DIRECTORY": os.path.realpath(root),
        "CRASH_LOG": log,
        "CRASH_SYNC_US": str(sync_us),
        "LD_PRELOAD": compiled_shim(),
        "PYTHONHASHSEED": "0",
    }
    environment.pop("LMDB_DEFAULT_LIB_VERSION", None)
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=_REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode:
        raise RuntimeError(f"{arguments} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


# -- inside the recorded process -------------------------------------------------------------------


@functools.cache
def _shim() -> ctypes.CDLL:
    shim = ctypes.CDLL(None)
    shim.crash_mark.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    shim.crash_kill_in.argtypes = [ctypes.c_long]
    for name in ("crash_mark", "crash_kill_in", "crash_start"):
        getattr(shim, name).restype = None
    return shim


def start_recording(root: str) -> None:
    """From here on everything is recorded; what is below *root* now is durable."""
    names = {}
    for directory, directories, files in os.walk(root):
        for name in [*directories, *files]:
            path = os.path.join(directory, name)
            names[os.path.relpath(path, root)] = os.stat(path).st_ino
    shim = _shim()
    shim.crash_start()
    mark(root=os.stat(root).st_ino, base=names)


def mark(**what: object) -> None:
    """Write *what* into the log, between the events before and after."""
    text = json.dumps(what, separators=(",", ":")).encode()
    _shim().crash_mark(text, len(text))


def kill_me_in(events: int) -> None:
    """Let the *events*-th recorded event of this process be its death; 0 calls that off."""
    _shim().crash_kill_in(events)


@contextlib.contextmanager
def scratch(prefix: str):
    """Give a temporary directory that is removed afterwards."""
    directory = tempfile.mkdtemp(prefix=f"objcache-{prefix}-", dir=scratch_parent())
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
