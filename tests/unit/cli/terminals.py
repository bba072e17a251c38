"""The command line on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys


def on_terminal(*arguments, output=None, **environment):
    """What the command line writes to a terminal; its stdout may go to a file, *output*."""
    main_end, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "objcache", *map(str, arguments)],
        stdin=terminal,
        stdout=output or terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **environment},
    )
    os.close(terminal)
    written = b""
    try:
        while part := os.read(main_end, 65536):
            written += part
    except OSError:
        pass  # how Linux says that the other end was closed
    os.close(main_end)

    assert 0 == process.wait(timeout=60)
    return written.decode()
