"""`objcache get`, `set` and `rm`: single entries, as real processes and within this one."""

from __future__ import annotations

import decimal
import importlib
import json
import os

import pytest

from objcache import Cache, Store
from objcache.cli import main
from objcache.engine import FILE_NAME
from tests.unit.cli.processes import ROOT, content, objcache


class Unshown:
    """Its text cannot be had."""

    def __repr__(self):
        raise RuntimeError("no text")


def run(capsys, *arguments):
    """Run a command; return its exit code and what it printed."""
    code = main(list(map(str, arguments)))
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def stored(path, key, **options):
    """The value of a key."""
    with Store(path, readonly=True, **options) as store:
        return store[key]


def test_round_trip(shop):
    """What one process sets, the next one gets, and another one removes."""
    given = objcache("set", shop, "('user', 9)", '{"name": "grace", "age": 85}')
    got = objcache("get", shop, "('user', 9)", "--json")
    removed = objcache("rm", shop, "('user', 9)", "('user', 8)")
    gone = objcache("get", shop, "('user', 9)")

    assert (0, "", "") == (given.returncode, given.stdout, given.stderr)
    answer = json.loads(got.stdout)
    assert {"key": {"literal": "('user', 9)"}, "type": "dict"} == {
        name: answer[name] for name in ("key", "type")
    }
    assert {"name": "grace", "age": 85} == answer["value"]
    assert (0, "") == (removed.returncode, removed.stderr)
    assert (1, "", f"objcache: no entry ('user', 9) in the store at {shop}\n") == (
        *(gone.returncode, gone.stdout, gone.stderr),
    )


def test_get(shop, capsys):
    """A value is shown as Python writes it; text and bytes as they are with --raw."""
    assert (0, "'hello'\n", "") == run(capsys, "get", shop, "greeting")
    assert (0, "Decimal('1.5')\n", "") == run(capsys, "get", shop, "42")
    assert (0, "'text'\n", "") == run(capsys, "get", shop, "42", "--text")
    assert (0, "{1, 2}\n", "") == run(capsys, "get", shop, "k", "--namespace", "a/b")
    assert "bytes" == objcache("get", shop, "b'\\x00raw'", "--raw").stdout
    assert "hello" == objcache("get", shop, "greeting", "--raw").stdout


def test_get_as_json(shop, capsys):
    """A value that JSON lacks has a text only; None is a value."""
    with Store(shop) as store:
        store["none"] = None
    decimal_answer = json.loads(run(capsys, "get", shop, "42", "--json")[1])

    assert {"key": 42, "type": "decimal.Decimal", "repr": "Decimal('1.5')"} == decimal_answer
    assert None is json.loads(run(capsys, "get", shop, "none", "--json")[1])["value"]
    assert {"path": shop, "ok": False} == {
        name: value
        for name, value in json.loads(run(capsys, "get", shop, "no", "--json")[1]).items()
        if name != "error"
    }


def test_get_from_a_cache(shop, capsys):
    """A cache's entry is there until its deadline; looking counts as no read."""
    before = content(shop)

    assert (0, "[1, 2, 3]\n", "") == run(capsys, "get", shop, "lasting", "--cache", "/")
    assert 1 == run(capsys, "get", shop, "page", "--cache", "/")[0]
    assert before == content(shop)


def test_get_of_large_values(path, capsys):
    """What lies in a side file is read from there."""
    with Store(path) as store:
        store["large"] = "x" * (1 << 21)

    assert 1 << 21 == len(objcache("get", path, "large", "--raw").stdout)


@pytest.mark.damages
def test_values_that_cannot_be_had(path, tmp_path, monkeypatch, capsys):
    """A class that is not here, and one without a text, are one line and exit code 2."""
    (tmp_path / "shop_of_today.py").write_text("class Order:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    order = importlib.import_module("shop_of_today").Order()
    with Store(path) as store:
        store["unshown"], store["order"] = Unshown(), order
    shown = run(capsys, "get", path, "unshown")
    elsewhere = objcache("get", path, "order")
    with_path = objcache("get", path, "order", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")

    assert (2, "", 1) == (shown[0], shown[1], shown[2].count("\n"))
    assert "Unshown cannot be shown: RuntimeError: no text" in shown[2]
    assert (2, "", 1) == (elsewhere.returncode, elsewhere.stdout, elsewhere.stderr.count("\n"))
    assert "shop_of_today" in elsewhere.stderr
    assert with_path.stdout.startswith("<shop_of_today.Order object")


@pytest.mark.parametrize(
    ("arguments", "given", "value"),
    [
        *((["[1, null, 2.5]"], None, [1, None, 2.5]), (['"x"'], None, "x")),
        *((["42", "--text-value"], None, "42"), (["--file", "-"], "from stdin", b"from stdin")),
        (["--file", "-", "--text-value"], "from stdin", "from stdin"),
    ],
)
def test_set_values(shop, arguments, given, value):
    """A value is JSON, text, or what is in a file or comes from stdin."""
    done = objcache("set", shop, "new", *arguments, given=given)

    assert (0, "") == (done.returncode, done.stderr)
    assert value == stored(shop, "new")


def test_set_never_writes_a_pickle(path, capsys):
    """What is set can be read by stores of every codec, those without an unpickler too."""
    with Store(path, codec="json") as store:
        store["a"] = 1
    run(capsys, "set", path, "b", '{"x": [1]}')

    assert {"x": [1]} == stored(path, "b", codec="json") == stored(path, "b", codec="msgpack")


def test_set_keeps_the_durability(path, capsys):
    """A store that another process writes to is written to as that does."""
    with Store(path, durability="commit") as store:
        store["a"] = 1
        done = objcache("set", path, "b", "2")

        assert (0, "") == (done.returncode, done.stderr)
        assert 2 == store["b"]


def test_set_and_rm_in_a_cache(shop, capsys):
    """A cache's entries get deadline and tags; removing goes by the cache's books."""
    assert (
        0
        == run(
            capsys, *("set", shop, "new", "1", "--cache", "sub", "--expire", "60", "--tag", "t")
        )[0]
    )
    with Cache(shop) as cache:
        entry = cache.namespace("sub").entry("new")

        assert (1, ("t",)) == (entry.value, entry.tags)
        assert 60 == pytest.approx(entry.deadline - entry.created, abs=0.001)
    assert 0 == run(capsys, "rm", shop, "lasting", "--cache", "/")[0]
    with Cache(shop) as cache:
        assert "lasting" not in cache
        assert cache.check().ok


def test_set_and_rm_in_a_namespace(shop, capsys):
    """A namespace has keys of its own."""
    assert 0 == run(capsys, "set", shop, "greeting", "1", "--namespace", "a/b")[0]
    assert 0 == run(capsys, "rm", shop, "k", "--namespace", "a/b")[0]

    assert "hello" == stored(shop, "greeting")
    assert (0, "1\n", "") == run(capsys, "get", shop, "greeting", "--namespace", "a/b")


def test_rm_of_what_is_not_there(shop, capsys):
    """What is there is removed, what is not is told, and the exit code is 1."""
    code, _, complaint = run(capsys, "rm", shop, "nothing", "greeting", "42", "--text")

    assert (1, 1) == (code, complaint.count("\n"))
    assert "no entry nothing" in complaint
    with Store(shop) as store:
        assert "greeting" not in store
        assert "42" not in store
        assert decimal.Decimal("1.5") == store[42]


def test_a_store_is_not_made(tmp_path, capsys):
    """`set` makes no store where there is none: that may be a mistyped path."""
    assert 2 == run(capsys, "set", tmp_path / "new", "a", "1")[0]
    assert not (tmp_path / "new" / FILE_NAME).exists()
