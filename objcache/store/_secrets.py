"""Where the secret of a store comes from, when nobody passes it.

Knows: the environment and the user's key file. Must not know: what is signed.
The secret is never inside the store: who can write there must not be able to sign.
"""

from __future__ import annotations

import os
import stat
from typing import Final

from objcache.errors import SecretError
from objcache.signing import normalise_secret

__all__ = ["SECRET_VARIABLE", "Secret", "find_secrets", "user_secret_file"]

SECRET_VARIABLE: Final = "OBJCACHE_SECRET"  # noqa: S105  # a name
SECRET_FILE_VARIABLE: Final = "OBJCACHE_SECRET_FILE"  # noqa: S105  # a name
_NEW_SECRET_BYTES: Final = 32

Secret = str | bytes | tuple[str | bytes, ...] | list[str | bytes]
"""One secret, or several: the first signs, all verify."""


def find_secrets(secret: Secret | None, directory: str) -> tuple[bytes, ...]:
    """Return the secrets for the store in *directory*; the first signs.

    Taken from *secret*, else `OBJCACHE_SECRET` (one a line), else the
    file that `OBJCACHE_SECRET_FILE` names (one a line), else the user's own key file, which is
    made on first use.

    Raises:
        SecretError: too short, unreadable, readable by others, or inside the store.
    """
    if secret is not None:
        given = [secret] if isinstance(secret, str | bytes | bytearray) else list(secret)
        if not given:
            raise SecretError("secret= is an empty list; give at least one secret")
        return tuple(map(normalise_secret, given))
    if text := os.environ.get(SECRET_VARIABLE):
        return tuple(map(normalise_secret, _lines(text.encode())))
    path = os.environ.get(SECRET_FILE_VARIABLE)
    if path:
        _check_outside(path, directory)
        return _read(path)
    path = user_secret_file()
    _check_outside(path, directory)
    if not os.path.exists(path):
        _make(path)
    return _read(path)


def user_secret_file() -> str:
    """Return the path of the user's key file."""
    import platformdirs  # noqa: PLC0415  # a third of the import time of objcache

    return os.path.join(platformdirs.user_data_dir("objcache", appauthor=False), "secret")


def _check_outside(path: str, directory: str) -> None:
    inside = os.path.realpath(directory)
    if os.path.realpath(path).startswith(inside + os.sep):
        raise SecretError(
            f"the secret file {path!r} lies inside the store {directory!r}, where whoever can "
            "plant a record could sign it too; keep it elsewhere"
        )


def _read(path: str) -> tuple[bytes, ...]:
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            lines = _lines(file.read())
    except OSError as error:
        raise SecretError(f"cannot read the secret file {path!r}: {error}") from error
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SecretError(
            f"the secret file {path!r} has mode {stat.S_IMODE(status.st_mode):04o}, others can "
            f"use it; mend it with `chmod 600 {path}`"
        )
    if status.st_uid not in {os.geteuid(), 0}:
        raise SecretError(f"the secret file {path!r} belongs to user {status.st_uid}, not to you")
    if not lines:
        raise SecretError(f"the secret file {path!r} is empty; write one secret a line")
    return tuple(map(normalise_secret, lines))


def _lines(content: bytes) -> list[bytes]:
    """Whole lines: a secret may be a sentence."""
    return [line.strip() for line in content.splitlines() if line.strip()]


def _make(path: str) -> None:
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        # Two processes may make it at once: each writes its own, the link of one wins.
        own = f"{path}.{os.getpid()}"
        descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, os.urandom(_NEW_SECRET_BYTES).hex().encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            os.link(own, path)
        except FileExistsError:
            pass
        finally:
            os.unlink(own)
    except OSError as error:
        raise SecretError(
            f"cannot make the user's secret file {path!r}: {error}; give a secret as secret=, "
            f"{SECRET_VARIABLE} or {SECRET_FILE_VARIABLE}"
        ) from error
