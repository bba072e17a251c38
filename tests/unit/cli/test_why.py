"""`objcache why`: whether a call has a stored result, asked by a process that changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from objcache import Store
from objcache.engine import FILE_NAME
from tests.unit.cli.processes import (
    content,
    each,
    may_mount,
    objcache,
    on_readonly,
    without_privileges,
)
from tests.unit.cli.test_refusals import OTHER_SECRET, assert_refused
from tests.unit.store.damaging import LEAF, Layout, alter, garbled

JOB = """
import asyncio, pathlib
import objcache

print("this is said while the module is imported")

def ran(name):
    with open("ran", "a") as file:
        file.write(name)

@objcache.memoize
def rate(x, *, scale=1.0, names=()):
    ran("rate")
    return [x, scale]

@objcache.memoize
async def fetch(x):
    ran("fetch")
    return x

@objcache.memoize
def numbers(n):
    ran("numbers")
    yield from range(n)

@objcache.memoize
async def letters(text):
    ran("letters")
    for letter in text:
        yield letter

def keyed(x):
    return 1 // x

@objcache.memoize(key=keyed)
def with_key(x):
    return x

@objcache.memoize(validate=lambda entry: 1 // 0)
def checked(x):
    return x

class Model:
    def __init__(self, rate):
        self.rate = rate

    @objcache.memoize
    def run(self, x):
        ran("run")
        return x

    @classmethod
    @objcache.memoize
    def of_class(cls, x):
        return x

    @staticmethod
    @objcache.memoize
    def static(x):
        return x

    @objcache.memoize
    @property
    def half(self):
        return self.rate / 2

model = Model(3)

def plain(x):
    return x

async def main():
    await fetch("a")
    [letter async for letter in letters("ab")]

if __name__ == "__main__":
    rate(1), rate("1"), rate([1, 2], scale=2), rate(1, names={"a": (1, None)})
    list(numbers(3)), with_key(1), checked(1)
    model.run(5), Model.of_class(6), Model.static(7)
    asyncio.run(main())
    pathlib.Path("ran").unlink()
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A script that has stored results in the default store, beside which commands are run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OBJCACHE_DIR", str(tmp_path / "default"))
    (tmp_path / "job.py").write_text(JOB)
    subprocess.run([sys.executable, "job.py"], check=True, capture_output=True)
    return tmp_path


def asked(*arguments, **options):
    """What `why --json` answers, and its exit code."""
    done = objcache("why", *arguments, "--json", **options)
    assert done.returncode in {0, 1}, done.stderr
    return json.loads(done.stdout), done.returncode


def test_calls_of_every_kind(job):
    """What a script has stored is found, whatever kind of function it is; nothing is run or written."""
    before = content(job)
    hits = [
        *(("rate", "1"), ("rate", "x=1"), ("rate", "'1'"), ("rate", "1", "--text")),
        *(("rate", "[1, 2]", "scale=2"), ("rate", "1", "names={'a': (1, None)}")),
        *(("fetch", "a"), ("numbers", "3"), ("letters", "ab"), ("with_key", "1")),
        *(("Model.of_class", "6"), ("Model.static", "7"), ("model.run", "5")),
    ]
    misses = [
        *(("rate", "2"), ("rate", "1.0"), ("rate", "True"), ("rate", "[1, 2]"), ("fetch", "b")),
        *(("numbers", "4"), ("letters", "abc"), ("Model.of_class", "7"), ("rate", "a==b")),
    ]
    done = each([("why", f"job:{name}", *given) for name, *given in [*hits, *misses]])

    found = [(command, result.stdout.split(":")[0]) for command, result in done]
    assert ["hit"] * len(hits) + ["arguments"] * len(misses) == [word for _, word in found], found
    assert [0] * len(hits) + [1] * len(misses) == [result.returncode for _, result in done]
    assert before == content(job)
    assert not (job / "ran").exists()


def test_answer_as_json(job):
    """--json tells reason, details, function, key and where the results are, as one object."""
    found, code = asked("job:rate", "[1, 3]", "scale=2")

    assert 1 == code
    assert ["x[1]: 2 -> 3"] == found.pop("details")[:1]
    key = found.pop("key")
    assert {
        "function": "job.rate",
        "reason": "arguments",
        "has_result": False,
        "path": str(job / "default"),
        "names": [],
        "is_cache": False,
        "used_on_import": False,
    } == found
    code = "import job; print(job.rate.cache_key([1, 3], scale=2))"
    own = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert key == own.stdout.splitlines()[-1]


def test_answer_for_people(job):
    """People read what differs from the nearest entry, and where the results are."""
    done = objcache("why", "./job.py:rate", "1", "scale=2.5")

    assert 1 == done.returncode
    lines = done.stdout.splitlines()
    assert "arguments: what is stored is of other arguments" == lines[0]
    assert "  scale: 1.0 -> 2.5" == lines[1]
    assert f"job.rate, in {job / 'default'}" == lines[-1]
    assert "this is said while the module is imported\n" == done.stderr


def test_edited_code(job):
    """After an edit the answer names what was edited."""
    (job / "job.py").write_text(JOB.replace("return [x, scale]", "return [scale, x]"))
    found, code = asked("job:rate", "1")

    assert (1, "code") == (code, found["reason"])
    assert "code of `rate` changed" in " ".join(found["details"])


def test_import_leaves_no_file(job):
    """The module is imported, and not compiled into a file beside it."""
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(job / "compiled")}
    found, code = asked("job:rate", "1", **compiled)

    assert (0, "hit") == (code, found["reason"])
    assert [] == [file.name for file in (job / "compiled").rglob("job.*")]


def test_no_store_yet(job):
    """Where there is no store yet the answer says so, and none is made."""
    found, code = asked("job:rate", "1", OBJCACHE_DIR=str(job / "a" / "b"))

    assert (1, "never called") == (code, found["reason"])
    assert f"there is no store at {str(job / 'a' / 'b')!r} yet" in found["details"]
    assert not (job / "a").exists()


OPENED = """
import objcache

store = objcache.Store("library")
cache = objcache.Cache("pages", expire=60)

@store.memoize
def one(x):
    return x

@store.namespace("a").namespace("b").memoize
def two(x):
    return x

@cache.memoize
def three(x):
    return x

@cache.namespace("sub").memoize
def four(x):
    return x

@objcache.memoize
def table():
    return 5

FIVE = table()

if __name__ == "__main__":
    for function in (one, two, three, four):
        function(1)
"""


def test_stores_that_a_module_opens(tmp_path, monkeypatch):
    """A function knows its store: that of its module, a namespace, a cache; nothing is changed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OBJCACHE_DIR", str(tmp_path / "default"))
    for source in (OPENED, OPENED.replace("return x", "return [x]")):
        (tmp_path / "opened.py").write_text(source)
        subprocess.run([sys.executable, "opened.py"], check=True)
    # The edit is undone: who calls the functions would write which version is used now.
    (tmp_path / "opened.py").write_text(OPENED)
    before = [content(tmp_path / name) for name in ("library", "pages")]
    found = {name: asked(f"opened:{name}", "1")[0] for name in ("one", "two", "three", "four")}

    assert {"hit"} == {one["reason"] for one in found.values()}
    assert {
        "one": (str(tmp_path / "library"), [], False),
        "two": (str(tmp_path / "library"), ["a", "b"], False),
        "three": (str(tmp_path / "pages"), [], True),
        "four": (str(tmp_path / "pages"), ["sub"], True),
    } == {name: (one["path"], one["names"], one["is_cache"]) for name, one in found.items()}
    assert before == [content(tmp_path / name) for name in ("library", "pages")]


def test_functions_that_are_used_on_import(tmp_path, monkeypatch):
    """A function that its module calls at its top level is told to be: the answer is its doing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OBJCACHE_DIR", str(tmp_path / "default"))
    (tmp_path / "opened.py").write_text(OPENED)
    done = objcache("why", "opened:table")
    found, _ = asked("opened:table")

    assert "used it while it was imported" in done.stdout
    assert (True, "hit") == (found["used_on_import"], found["reason"])


def test_modules_of_a_package(job):
    """A file of a package is the module that imports find, whose results are kept by that name."""
    (job / "shop").mkdir()
    (job / "shop" / "__init__.py").write_text("")
    (job / "shop" / "prices.py").write_text("from job import rate\n" + JOB.replace("job.", "shop."))
    by_name, _ = asked("shop.prices:rate", "1")
    (job / "elsewhere").mkdir()
    os.chdir(job / "elsewhere")
    by_file, _ = asked("../shop/prices.py:rate", "1")

    assert "shop.prices.rate" == by_name["function"] == by_file["function"]
    assert by_name == by_file


def test_questions_that_make_no_sense(job):
    """Each is one line that says what is wrong, exit code 2, and nothing is changed."""
    (job / "broken.py").write_text("import objcache\n1 / 0\n")
    (job / "untidy.py").write_text("def f(:\n")
    (job / "leaving.py").write_text("import sys; sys.exit(3)")
    (job / "needing.py").write_text("import nothing_like_this")
    (job / "lib").mkdir()
    (job / "lib" / "click.py").write_text("")
    (job / "job.v2.py").write_text("")
    (job / "quiet.py").write_text(JOB.replace("print(", "str("))
    before = content(job)
    expected = {
        ("job",): "is not MODULE:FUNCTION",
        ("job:",): "is not MODULE:FUNCTION",
        (":f",): "is not MODULE:FUNCTION",
        ("job:f()",): "is not MODULE:FUNCTION",
        ("nowhere:f",): "there is no module 'nowhere'",
        ("quiet.deeper:f",): "there is no module 'quiet.deeper'",
        ("./nowhere.py:f",): "there is no file './nowhere.py'",
        ("./job:f",): "there is no file './job'",
        ("./job.v2.py:f",): "imports find files called NAME.py",
        ("./lib/click.py:f",): "another module is called 'click'",
        ("broken:f",): "ZeroDivisionError: division by zero",
        ("untidy:f",): "SyntaxError: invalid syntax",
        ("leaving:f",): "ends the process when it is imported",
        ("needing:f",): "ModuleNotFoundError: No module named 'nothing_like_this'",
        ("quiet:nothing",): "has no 'nothing'; memoized there: rate, fetch, numbers",
        ("quiet:rate.nothing",): "has no 'rate.nothing'",
        ("quiet:plain",): "is not memoized: it is a function; memoized there: rate, fetch",
        ("quiet:Model",): "is not memoized: it is a type",
        ("quiet:Model.run", "1"): "an instance cannot be typed",
        ("quiet:Model.half",): "an instance cannot be typed",
        ("quiet:rate",): "missing 1 required positional argument: 'x'; it is rate(x, *, scale",
        ("quiet:rate", "1", "2"): "takes 1 positional argument but 2 were given",
        ("quiet:rate", "1", "size=2"): "unexpected keyword argument 'size'",
        ("quiet:rate", "1", "x=2"): "multiple values for argument 'x'",
        ("quiet:rate", "x=1", "x=2"): "the argument 'x' is given twice",
        ("quiet:with_key", "0"): "key= of 'quiet:with_key' has failed: ZeroDivisionError",
        (): "Missing argument 'MODULE:FUNCTION'",
    }
    done = each([("why", *question) for question in expected])

    assert_refused(done)
    for (_, result), words in zip(done, expected.values(), strict=True):
        assert words in result.stderr, result.stderr
    as_json = objcache("why", "quiet:nothing", "--json")
    assert (2, "") == (as_json.returncode, as_json.stderr)
    assert {"path", "ok", "error"} == set(json.loads(as_json.stdout))
    assert before == content(job)


def test_validate_that_fails(job):
    """What `validate=` raises is told in a line, not as a traceback."""
    (job / "job.py").write_text(JOB.replace("print(", "str("))

    assert_refused([((), objcache("why", "job:checked", "1"))], "validate= of 'job:checked'")


def test_stores_that_cannot_be_read(job):
    """Another secret, no permission, and a file in the place of the store are one line each."""
    (job / "job.py").write_text(JOB.replace("print(", "str("))
    question, default = ("why", "job:rate", "1"), job / "default"
    before = content(default)
    (job / "file").write_text("mine")
    other = each([question], OBJCACHE_SECRET=OTHER_SECRET)
    file = each([question], OBJCACHE_DIR=str(job / "file"))
    default.chmod(0)
    closed = each([question], before=(without_privileges,))
    default.chmod(0o500)
    only_read = each([question], before=(without_privileges,))
    default.chmod(0o700)

    assert_refused(other, "OBJCACHE_SECRET", "objcache trust")
    assert_refused(file, "is a file; a store is a directory")
    assert_refused(closed, "Permission denied")
    assert [0] == [result.returncode for _, result in only_read], only_read
    if may_mount(default):
        done = each([question], before=(on_readonly, default))
        assert [0] == [result.returncode for _, result in done], done
    assert before == content(default)


@pytest.mark.damages
def test_damaged_store(job):
    """A damaged page is one line, with the command that tells more."""
    (job / "job.py").write_text(JOB.replace("print(", "str("))
    file = job / "default" / FILE_NAME
    alter(str(file), Layout(str(file)).pages[LEAF][0], garbled)
    before = content(job)

    assert_refused(each([("why", "job:rate", "1")]), "damaged", "objcache check")
    assert before == content(job)


class Unreadable:
    """What can be pickled, and not loaded."""

    def __reduce__(self):
        return int, ("no number",)


@pytest.mark.damages
def test_unreadable_result(job):
    """A result that cannot be read is told once, with what is wrong with it."""
    (job / "job.py").write_text(JOB.replace("print(", "str("))
    with Store(job / "default", secret=os.environ["OBJCACHE_SECRET"].encode()) as store:
        results = store.namespace("objcache.memoize").namespace("job.rate")
        for key in list(results):
            results[key] = Unreadable()
    done = objcache("why", "job:rate", "1")

    assert 1 == done.returncode, done
    assert done.stdout.startswith("unreadable: ")
