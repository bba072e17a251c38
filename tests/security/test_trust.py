"""Secrets, owners and modes: who may sign, and whose files are believed."""

from __future__ import annotations

import os
import pathlib
import pickle
import stat

import pytest

from objcache import Store
from objcache.errors import SecretError, SignatureError, UntrustedStoreError, WrongSecretError
from objcache.store import trust_store, user_secret_file
from tests.conftest import SECRET

NEW = b"another secret of 16 bytes"


def test_directories_and_files_are_private(path):
    """A new store is 0700, its files 0600, whatever the umask."""
    before = os.umask(0)
    try:
        with Store(path) as store:
            store["a"] = 1
            modes = {
                name: stat.S_IMODE(os.stat(os.path.join(path, name)).st_mode)
                for name in os.listdir(path)
            }
    finally:
        os.umask(before)

    assert 0o700 == stat.S_IMODE(os.stat(path).st_mode)
    assert {0o600} == set(modes.values())
    assert "store.lmdb" in modes


@pytest.mark.parametrize("name", ["", "store.lmdb", "store.lmdb-lock"])
def test_files_that_others_may_write_are_refused(path, name):
    """A store that others may write to is refused, with the chmod that mends it."""
    Store(path).close()
    target = os.path.join(path, name) if name else path
    mode = stat.S_IMODE(os.stat(target).st_mode)
    os.chmod(target, mode | 0o020)
    with pytest.raises(UntrustedStoreError, match="chmod -R go-w"):
        Store(path)
    Store(path, shared=True).close()
    os.chmod(target, mode)
    Store(path).close()


def test_files_of_another_user_are_refused(path, monkeypatch):
    """A store of another user is refused, with the chown that mends it, unless shared."""
    Store(path).close()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 12345)
        with pytest.raises(UntrustedStoreError, match="belongs to user.*chown"):
            Store(path)
        Store(path, shared=True).close()


def test_wrong_secret_is_refused_at_open(path):
    """Another secret is refused when the store is opened; nothing is changed."""
    with Store(path, secret=SECRET) as store:
        store["a"] = 1
    with pytest.raises(WrongSecretError) as caught:
        Store(path, secret=NEW)

    assert caught.value.found not in caught.value.given
    with Store(path, secret=SECRET) as store:
        assert 1 == store["a"]


def test_rotation(path):
    """With several secrets the first signs and all verify; afterwards the new one is needed."""
    with Store(path, secret=SECRET) as store:
        store["old"] = 1
    with Store(path, secret=[NEW, SECRET]) as store:
        store["new"] = 2

        assert 1 == store["old"]
        assert 2 == store["new"]
    with pytest.raises(WrongSecretError):
        Store(path, secret=SECRET)
    with Store(path, secret=NEW) as store:
        assert 2 == store["new"]
        with pytest.raises(SignatureError):
            store["old"]


def test_reading_with_a_rotated_secret_writes_nothing(path):
    """A read-only store that knows both secrets leaves the fingerprint as it is."""
    with Store(path, secret=SECRET) as store:
        store["a"] = 1
    with Store(path, secret=[NEW, SECRET], readonly=True) as store:
        assert 1 == store["a"]
    with Store(path, secret=SECRET) as store:
        assert 1 == store["a"]


def test_secret_comes_from_argument_then_variable_then_file(tmp_path, monkeypatch):
    """The argument wins over OBJCACHE_SECRET, that over OBJCACHE_SECRET_FILE, that over the user's file."""
    file = tmp_path / "secrets"
    file.write_text("first-secret-in-the-file\nsecond-secret-in-the-file\n")
    file.chmod(0o600)
    monkeypatch.setenv("OBJCACHE_SECRET_FILE", str(file))
    monkeypatch.setenv("OBJCACHE_SECRET", "first-secret-in-variable\nsecond-secret-in-variable")

    def signs(secret, expected, name):
        at = str(tmp_path / name)
        Store(at, secret=secret).close()
        Store(at, secret=expected).close()
        with pytest.raises(WrongSecretError):
            Store(at, secret="none of these secrets")

    signs(NEW, NEW, "argument")
    signs(None, "first-secret-in-variable", "variable")
    monkeypatch.delenv("OBJCACHE_SECRET")
    signs(None, "first-secret-in-the-file", "file")
    monkeypatch.delenv("OBJCACHE_SECRET_FILE")
    Store(str(tmp_path / "user")).close()
    with open(user_secret_file(), "rb") as own:
        signs(None, own.read().strip(), "user")
    for name in ("argument", "variable", "file", "user"):  # signed with secrets of this test
        (tmp_path / name / "store.lmdb").unlink()


def test_user_secret_is_made_once_and_private(tmp_path, monkeypatch):
    """The user's key file is made on first use, 0600, outside every store, and then kept."""
    monkeypatch.delenv("OBJCACHE_SECRET")
    first = str(tmp_path / "first")
    with Store(first) as store:
        store["a"] = 1
    content = pathlib.Path(user_secret_file()).read_bytes()
    with Store(first) as store:
        assert 1 == store["a"]

    assert 0o600 == stat.S_IMODE(os.stat(user_secret_file()).st_mode)
    assert 64 == len(content.strip())
    assert content == pathlib.Path(user_secret_file()).read_bytes()
    assert content.strip() not in b"".join(
        pathlib.Path(first, name).read_bytes() for name in os.listdir(first)
    )
    (tmp_path / "first" / "store.lmdb").unlink()


def test_secret_file_inside_the_store_is_refused(path, monkeypatch):
    """Who can plant a record must not find the secret beside it."""
    Store(path).close()
    inside = os.path.join(path, "secret")
    with open(inside, "w") as file:
        file.write("s" * 32)
    os.chmod(inside, 0o600)
    monkeypatch.delenv("OBJCACHE_SECRET")
    monkeypatch.setenv("OBJCACHE_SECRET_FILE", inside)
    with pytest.raises(SecretError, match="inside the store"):
        Store(path)


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (b"short", 0o600, "has 5 bytes, at least 16"),
        (b"", 0o600, "is empty"),
        (b"s" * 32, 0o640, "chmod 600"),
        (None, 0, "cannot read"),
    ],
)
def test_bad_secret_files_are_refused(path, tmp_path, monkeypatch, content, mode, message):
    """A secret file that is short, empty, open to others or missing says so, with the remedy."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
        file.chmod(mode)
    monkeypatch.delenv("OBJCACHE_SECRET")
    monkeypatch.setenv("OBJCACHE_SECRET_FILE", str(file))
    with pytest.raises(SecretError, match=message):
        Store(path)

    assert not os.path.exists(path)


@pytest.mark.parametrize("secret", [b"short", "", [], 5, ["x" * 16, "y"]])
def test_bad_secrets_are_refused(path, secret):
    """A secret that is short, empty or no text is refused before anything is made."""
    with pytest.raises((SecretError, TypeError)):
        Store(path, secret=secret)

    assert not os.path.exists(path)


def fill(store):
    """Records of every kind: plain, shortened, unordered, with buffers, in a namespace."""
    store.update({"plain": 1, "x" * 1000: 2, frozenset({1}): 3, "buffers": bytearray(5000)})
    store["array"] = pickle.PickleBuffer(bytearray(b"a" * 4096))
    store.namespace("n")["inside"] = 4


def test_rekey_makes_the_old_secret_superfluous(path):
    """After rekey every record is signed with the new secret, and values are as they were."""
    with Store(path, secret=SECRET) as store:
        fill(store)
    with Store(path, secret=[NEW, SECRET]) as store:
        store["newer"] = 5

        assert (6, 1, 0) == store.rekey()
        assert (0, 7, 0) == store.rekey()
    with Store(path, secret=NEW) as store:
        assert store.check().ok
        assert [1, 2, 3, 5] == [
            store["plain"],
            store["x" * 1000],
            store[frozenset({1})],
            store["newer"],
        ]
        assert 4 == store.namespace("n")["inside"]


@pytest.mark.damages
def test_rekey_does_not_launder(path):
    """A record that no secret verifies is counted and left unauthentic."""
    with Store(path, secret=SECRET) as store:
        fill(store)
        located = b"\x10\x02plain\x00"
        record = bytearray(store._session.begin().get(located))
        record[-2] ^= 1
        store._session.put(located, bytes(record))
    with Store(path, secret=[NEW, SECRET]) as store:
        assert (5, 0, 1) == store.rekey()
        with pytest.raises(SignatureError):
            store["plain"]


def test_trust_signs_a_foreign_store(path):
    """A person may vouch for a store: it is signed with their secret, its contents unchanged."""
    with Store(path, secret=NEW) as store:
        fill(store)
    with pytest.raises(WrongSecretError):
        Store(path, secret=SECRET)

    assert (6, 0, 0) == trust_store(path, secret=SECRET)
    with Store(path, secret=SECRET) as store:
        assert store.check().ok
        assert bytearray(5000) == store["buffers"]
    with pytest.raises(WrongSecretError):
        Store(path, secret=NEW)


def test_trust_needs_a_store(tmp_path):
    """Trusting what is no store changes nothing."""
    with pytest.raises(FileNotFoundError):
        trust_store(tmp_path / "none", secret=SECRET)

    assert not (tmp_path / "none").exists()
