"""The command line (extra `cli`).

Knows: how commands are found and how errors end them. Must not know: what commands do.
"""

from __future__ import annotations

import sys

from objcache.errors import MissingExtraError

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code: 0, 2 for bad input, 130 for Ctrl-C."""
    try:
        from objcache.cli._main import run  # noqa: PLC0415  # needs the extra

        return run(arguments)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in {"click", "rich"}:
            raise
        missing = MissingExtraError("the command line", package, "cli")
        print(f"objcache: error: {missing}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("objcache: interrupted", file=sys.stderr)
        return 130
