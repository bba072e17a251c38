"""What the numbers were measured on: no host name, no user, no paths.

Knows: the operating system. Must not know: engines, results.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sqlite3
from collections.abc import Iterable

__all__ = ["describe_machine", "describe_versions", "load_average"]


def describe_machine(directory: str) -> dict[str, str]:
    """Return processor, memory, kernel, and the filesystem that *directory* is on."""
    return {
        "CPU": _from_file("/proc/cpuinfo", "model name") or platform.processor() or "unknown",
        "cores": str(os.cpu_count()),
        "RAM": _ram(),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "filesystem": _filesystem(directory),
    }


def describe_versions(distributions: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python, SQLite and *distributions*."""
    versions = {
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "SQLite": sqlite3.sqlite_version,
    }
    for name in distributions:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            module = importlib.import_module(name)  # run from the source tree
            versions[name] = str(getattr(module, "__version__", "unknown"))
    return versions


def load_average() -> float:
    """Return how many processes wanted a core during the last minute."""
    return round(os.getloadavg()[0], 2)


def _from_file(path: str, field: str) -> str:
    try:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() == field:
                    return value.strip()
    except OSError:
        pass
    return ""


def _ram() -> str:
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{size / (1 << 30):.0f} GiB"


def _filesystem(directory: str) -> str:
    """Return the type of the longest mount point above *directory*."""
    path = os.path.realpath(directory)
    best, kind = "", "unknown"
    try:
        with open("/proc/self/mounts", encoding="utf-8") as mounts:
            for line in mounts:
                point, found = line.split()[1:3]
                inside = path == point or path.startswith(point.rstrip("/") + "/")
                if inside and len(point) >= len(best):
                    best, kind = point, found
    except OSError:
        pass
    return kind
