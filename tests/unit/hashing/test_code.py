"""What a function depends on beside its arguments: its code, and whatever of its project it uses."""

from __future__ import annotations

import linecache
import pathlib
import py_compile
import subprocess
import sys
import textwrap
import threading

import pytest

from objcache.errors import UnkeyableArgumentError
from objcache.hashing.code import components
from tests.unit.hashing.projects import Project, read_edits

EDITS = read_edits()


@pytest.fixture
def project(tmp_path):
    """A project whose modules can be imported."""
    with Project(tmp_path).importable() as opened:
        yield opened


@pytest.mark.parametrize("edit", EDITS, ids=[edit.title for edit in EDITS])
def test_edits(project, edit):
    """An edit of what is used counts, others do not; undoing it gives the old parts again."""
    project.write(edit.sources)
    before = project.parts()

    assert before == project.parts()
    project.edit(edit.old, edit.new)
    after = project.parts()

    assert edit.counts == (before != after)
    project.edit(edit.new, edit.old)

    assert before == project.parts()


def test_edits_are_listed_once():
    """Each edit has a title of its own, and both answers occur."""
    assert len(EDITS) == len({edit.title for edit in EDITS})
    assert {True, False} == {edit.counts for edit in EDITS}


def test_large_functions(project):
    """Names count as well after the 256th, which instructions tell in two steps."""
    many = "\n".join(f"    a{number}.b{number}(c{number})" for number in range(300))
    project.write(
        {
            "pkg/__init__.py": "",
            "pkg/main.py": f"def f(x):\n{many}\n    from .mod import g\n    return g(x)\n",
            "pkg/mod.py": "def g(x):\n    return x + 1\n",
        }
    )
    before = project.parts()
    project.edit("+ 1", "+ 2")

    assert before != project.parts()


# -- how much is followed ---------------------------------------------------------------------


TRACKED = """
N = 1

def g(x):
    return x + 2

def make(n):
    def f(x, k=4):
        return g(x) * N + k + n
    return f

f = make(5)
h = lambda x: x + 6
"""
CHANGES = {
    "N = 1": "N = 2",
    "x + 2": "x + 3",
    "k=4": "k=5",
    "+ k + n": "+ k - n",
    "make(5)": "make(6)",
    "x + 6": "x + 7",
}


@pytest.mark.parametrize(
    ("track", "function", "counting"),
    [
        ("code", "f", {"N = 1", "x + 2", "k=4", "+ k + n", "make(5)"}),
        ("self", "f", {"k=4", "+ k + n", "make(5)"}),
        (None, "f", {"make(5)"}),
        ("code", "h", {"x + 6"}),
        ("self", "h", {"x + 6"}),
        (None, "h", {"x + 6"}),
    ],
)
def test_track(project, track, function, counting):
    """`track` says whether code counts, and whose; the closure and lambdas always do."""
    project.write({"pkg/__init__.py": "", "pkg/main.py": TRACKED})
    name = f"pkg.main.{function}"
    before = project.parts(name, track=track)
    found = set()
    for old, new in CHANGES.items():
        project.edit(old, new)
        if before != project.parts(name, track=track):
            found.add(old)
        project.edit(new, old)

    assert counting == found


def test_nothing_counts_of_a_plain_function_that_is_not_tracked():
    """Without code and closure there is nothing to depend on."""

    def f(x, k=1):
        return x

    assert {} == components(f, track=None)


def test_variables_may_be_left_out():
    """A function that is an argument has defaults and closure counted elsewhere."""
    n = 1

    def f(x, k=2):
        return x + n

    assert [f"code of `{f.__qualname__}`"] == list(components(f, track="self", variables=False))


# -- values without a stable form ---------------------------------------------------------------


class Pool:
    """An object with a lock inside."""

    def __init__(self):
        self.pool = [1, 2, threading.Lock()]


def with_client(client):
    """Return a function with a variable in its closure."""

    def f(x):
        return client, x

    return f


@pytest.mark.parametrize("track", ["code", "self", None])
def test_closures_without_stable_value_are_named(track):
    """A variable of the closure that cannot be keyed is refused, naming function and variable."""
    with pytest.raises(UnkeyableArgumentError) as caught:
        components(with_client(Pool()), track=track)

    assert "with_client.<locals>.f: closure variable client.pool[2]" == caught.value.path
    assert "_thread.lock" == caught.value.type_name


@pytest.mark.parametrize("track", ["code", "self", None])
def test_closures_may_be_ignored(track):
    """A variable of the closure that is ignored neither counts nor is looked at."""
    one = components(with_client(Pool()), track=track, ignore=("client",))
    other = components(with_client(5), track=track, ignore=("client",))

    assert one == other


SURROUNDED = """
import threading, io, weakref, asyncio, sqlite3

class Lying:
    def __getattr__(self, name):
        return Lying()
    def __bool__(self):
        raise RuntimeError("no truth")
    def __eq__(self, other):
        raise RuntimeError("no comparison")
    __hash__ = __eq__
    __repr__ = __bool__
    @property
    def __class__(self):
        raise RuntimeError("no class")
    @property
    def __dict__(self):
        raise RuntimeError("no attributes")

class Keyless:
    def __objcache_key__(self):
        raise RuntimeError("no key")

class Endless:
    def __getattr__(self, name):
        if name.startswith("__objcache"):
            return Endless()
        raise AttributeError(name)

class Meta(type):
    def __getattr__(cls, name):
        return 1

class Owner(metaclass=Meta):
    lying = Lying()
    endless = Endless()
    lock = threading.Lock()

lying, keyless, endless, lock = Lying(), Keyless(), Endless(), threading.Lock()
held = {"lock": lock, "lying": [lying], "owner": Owner}
generator = (number for number in [1])
reference = weakref.ref(Lying)
local = threading.local()
deep = []
for _ in range(100_000):
    deep = [deep]
loop = []
loop.append(loop)

def decorated(function, lock=lock):
    lying = Lying()
    def inner(x):
        return function(x), lock, lying
    return inner

@decorated
def g(x):
    return x

def f(x):
    print(lying, keyless, endless, lock, held, generator, reference, local, deep, loop, Owner)
    return g(x)
"""


def test_other_variables_are_never_refused(project):
    """Globals and closures of helpers that have no stable value, or lie, break nothing."""
    project.write({"pkg/__init__.py": "", "pkg/main.py": SURROUNDED})
    before = project.parts()

    assert before == project.parts()
    project.edit("return x\n", "return x + 1\n")

    assert before != project.parts()
    assert [1] == list(sys.modules["pkg.main"].generator)


def test_classes_and_modules_may_be_broken(project):
    """A module that fails, or ends the program, when a function would load it, is left alone."""
    project.write(
        {
            "pkg/__init__.py": "",
            "pkg/main.py": """
                def f(x):
                    from . import broken
                    from .ending import y
                    from .missing import z
                    from ..... import far
                """,
            "pkg/broken.py": "1 / 0",
            "pkg/ending.py": "raise SystemExit",
        }
    )

    assert ["code of `f`"] == list(project.parts())


# -- state ----------------------------------------------------------------------------------


STATE = """
from collections import deque
import array

total, seen, counts, flags, bits, recent = 0, [], {}, set(), bytearray(), deque()

class Log:
    entries = []
    count = 0

log = Log()

def make():
    calls, known, last = 0, {}, None
    def f(x):
        nonlocal calls, last
        global total
        calls += 1
        last = x
        known[x] = known.get(x, 0) + 1
        total += x
        seen.append(x)
        counts[x] = 1
        flags.add(x)
        bits.extend(b"x")
        recent.appendleft(x)
        log.count += 1
        log.entries.append(x)
        return x
    return f

f = make()
"""


def test_calls_do_not_count(project):
    """What a function changes outside of itself is its state: parts are the same before and after."""
    project.write({"pkg/__init__.py": "", "pkg/main.py": STATE})
    function = project.load().f
    before = components(function)
    function(1)
    function(2)

    assert before == components(function)


COUNTER = """
class Counter:
    made = 0
    def __init__(self):
        Counter.made += 1
        self.made = 1
    def get(self):
        self.calls = self.made
        return self.made

def f(x):
    return Counter().get() + x

get = Counter.get
"""


def test_attributes_that_a_class_changes_do_not_count(project):
    """An attribute of a class that its methods assign is state of the class."""
    project.write({"pkg/__init__.py": "", "pkg/main.py": COUNTER})
    module = project.load()
    before = components(module.f), components(module.get)
    module.f(1)

    assert before == (components(module.f), components(module.get))
    project.edit("made = 0", "made = 5")

    assert before[0] != project.parts()
    assert before[1] != project.parts("pkg.main.get")


# -- edits while the process runs ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "old", "new"),
    [
        ("def f(x):\n    return x + 1\n", "+ 1", "+ 2"),
        ("def g(x):\n    return x + 1\ndef f(x):\n    return g(x)\n", "+ 1", "+ 2"),
        ("class A:\n    n = [1]\ndef f(x):\n    return A.n\n", "[1]", "[2]"),
        ("class A:\n    n = [1]\n    def g(self):\n        return self.n\nf = A.g\n", "[1]", "[2]"),
        ("class A:\n    def g(self):\n        return 1\ndef f(x):\n    return A().g()\n", "1", "2"),
        ("n = [1]\ndef f(x):\n    return n\n", "[1]", "[2]"),
        ("n = 1\ndef f(x):\n    return n\n", "1", "2"),
    ],
)
def test_running_code_has_no_source_that_was_written_later(project, source, old, new):
    """A function that runs never has the parts of what its file says since it was imported."""
    project.write({"pkg/__init__.py": "", "pkg/main.py": source})
    running = project.load().f
    project.edit(old, new, recently=True)
    parts = components(running)
    written = components(project.load().f)

    assert parts != written
    project.edit(new, old)

    assert written != project.parts()


def test_edits_of_objects_while_the_process_runs(project):
    """An object whose file was edited, and loaded again, is of that edition of the file."""
    project.write({"pkg/__init__.py": "", "pkg/main.py": f"{STATE}\nlog.level = 1\n"})
    found = [project.parts()]
    for number in range(1, 4):
        project.edit(f"level = {number}", f"level = {number + 1}", recently=True)
        found.append(project.parts())

    assert all(found.count(parts) == 1 for parts in found)
    assert found[-1] == project.parts()


def test_lines_added_above_while_the_process_runs(project):
    """An edit elsewhere in the file leaves a function that runs what it was."""
    project.write({"pkg/__init__.py": "", "pkg/main.py": "def f(x):\n    return x + 1\n"})
    before = project.parts()
    running = project.load().f
    project.edit("def f", "N = 1\n\n\ndef f", recently=True)

    assert before == components(running)


def test_functions_that_change_places_while_the_process_runs(project):
    """Code that runs is known by what it does, not by the line where its name stands now."""
    source = "def f(x):\n    return 1\nf1 = f\ndef f(x):\n    return 2\nf2 = f\n"
    project.write({"pkg/__init__.py": "", "pkg/main.py": source})
    one, two = project.parts("pkg.main.f1"), project.parts("pkg.main.f2")
    module = project.load()
    project.edit("return 1", "return 0", recently=True)
    project.edit("return 2", "return 1", recently=True)
    project.edit("return 0", "return 2", recently=True)

    assert one != two
    assert (one, two) == (components(module.f1), components(module.f2))


# -- no source ------------------------------------------------------------------------------------


def executed(source):
    """Return the function `f` of source that is in no file."""
    scope = {"__name__": "executed"}
    exec(textwrap.dedent(source), scope)
    return scope["f"]


PLAIN = """
def g(x):
    return x * 3

def f(x, k=1):
    def inner(y):
        return [y + k for y in (x, 2)]
    return inner, g
"""
COMMENTED = """
# A comment.

def g(x):
    '''A helper.'''

    return x * 3


def f(x, k=1):
    '''A docstring.'''
    # Another comment.
    def inner(y):
        '''One more.'''

        return [y + k for y in (x, 2)]

    return inner, g
"""


def test_without_source_the_bytecode_counts():
    """Without a source, comments, docstrings and blank lines do not count; all that runs does."""
    parts = components(executed(PLAIN))

    assert parts == components(executed(COMMENTED))
    for old, new in (("* 3", "* 4"), ("k=1", "k=2"), ("y + k", "y - k"), ("(x, 2)", "(x, 3)")):
        assert parts != components(executed(PLAIN.replace(old, new))), old


def test_objects_without_source():
    """What the functions in the attributes of an object use counts where no statement is known."""
    source = """
    class Step:
        def __init__(self, run):
            self.run = run
    def h(x):
        return x + 1
    step = Step(lambda x: h(x))
    steps = {"one": step}
    def f(x):
        return step.run(x), steps
    """
    parts = components(executed(source))

    assert parts == components(executed(source))
    for old, new in (("x + 1", "x + 2"), ("h(x))", "h(-x))"), ("= run", "= [run]")):
        assert parts != components(executed(source.replace(old, new))), old


def test_two_lambdas_of_one_line_without_source():
    """Lambdas are known by what they do."""
    one, two = executed("f = (lambda x: x + 1, lambda x: x + 2)")

    assert components(one) != components(two)
    assert components(one) == components(executed("f = lambda x: x + 1"))


def test_compiled_files_without_source(project):
    """Modules that are there as `.pyc` only count by their bytecode, helpers and constants too."""
    found = []
    for source in (PLAIN, COMMENTED, PLAIN.replace("* 3", "* 4")):
        project.write({"pkg/__init__.py": "", "pkg/main.py": source})
        file = project.directory / "pkg" / "main.py"
        py_compile.compile(str(file), str(file.with_suffix(".pyc")), doraise=True)
        file.unlink()
        found.append(project.parts())

    assert found[0] == found[1]
    assert found[0] != found[2]


# -- scripts, cells, processes ----------------------------------------------------------------------


PRINT = """
import json
from objcache.hashing.code import components
from objcache.memo._identity import identity_of
from objcache.memo._settings import Settings

def show(function):
    identity = identity_of(function, Settings(), ())
    print(json.dumps([identity.name, identity.fingerprint.hex(), sorted(identity.components)]))
"""
SCRIPT = """
import sys
from show import show
import beside

class Point:
    def __init__(self, x):
        self.x = x

def clean(x):
    class Local:
        kind = __name__
    return beside.clean(x), Local

OPERATIONS = {"clean": clean}
origin = Point(0)

def f(x, operation=clean):
    import later
    return later.clean(x), OPERATIONS["clean"](x), Point(x), origin

if __name__ in ("__main__", "work.job"):
    show(f)
if __name__ == "__main__" and "spawn" in sys.argv:
    import multiprocessing
    process = multiprocessing.get_context("spawn").Process(target=show, args=(f,))
    process.start()
    process.join()
"""


def printed(*command, cwd):
    """Return the lines that a Python process prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *map(str, command)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def job(project):
    """A script with three modules beside it."""
    files = {"job": SCRIPT, "show": PRINT}
    files |= dict.fromkeys(("beside", "later"), "def clean(x):\n    return x + 1\n")
    project.write({f"work/{name}.py": source for name, source in files.items()})
    return project


def test_scripts(job):
    """A script has one version wherever it is started from, and in processes that it spawns."""
    work = job.directory / "work"
    lines = {
        *printed("job.py", cwd=work),
        *printed(work / "job.py", cwd=job.directory),
        *printed("work/job.py", "spawn", cwd=job.directory),
        *printed("-m", "job", cwd=work),
        *printed("-c", "import job; job.show(job.f)", cwd=work),
    }

    assert 1 == len(lines)
    assert lines.pop().startswith('["job.f"')


@pytest.mark.parametrize("module", ["beside", "later"])
def test_modules_beside_a_script_count(job, module):
    """An edit of a module beside a script counts, whether it is loaded or will be."""
    work = job.directory / "work"
    before = printed("job.py", cwd=work)
    source = "def clean(x):\n    return x + 2\n"
    job.write({f"work/{module}.py": source})

    assert before != printed("job.py", cwd=work)


def test_modules_of_packages(job):
    """`python -m` of a module in a package is that module: it has the same version, and project."""
    job.write({"work/__init__.py": ""})
    relative = SCRIPT.replace("import beside", "from . import beside")
    relative = relative.replace("import later", "from . import later")
    job.write({"work/job.py": relative.replace("from show", "from work.show")})
    found = printed("-m", "work.job", cwd=job.directory)

    assert found[0].startswith('["work.job.f"')
    assert [*found, *found] == printed("-m", "work.job", "spawn", cwd=job.directory)
    assert found == printed("-c", "import work.job", cwd=job.directory)
    job.write({"work/later.py": "def clean(x):\n    return x + 2\n"})

    assert found != printed("-m", "work.job", cwd=job.directory)


def test_commands(job):
    """Code of `python -c` has one version however it is laid out; modules of its directory count."""
    work = job.directory / "work"
    code = "from show import show\nfrom beside import clean\n{}def f(x):\n{}    return clean(x)\nshow(f)"
    one = printed("-c", code.format("", ""), cwd=work)

    assert one == printed("-c", code.format("# more\n\n", "    # less\n"), cwd=work)
    assert one != printed("-c", code.replace("return", "return 1,").format("", ""), cwd=work)
    job.write({"work/beside.py": "def clean(x):\n    return x + 2\n"})

    assert one != printed("-c", code.format("", ""), cwd=work)


NOTEBOOK = """
import linecache, sys, types
from show import show
def run(number, cell):
    file = f"<cell {number}>"
    linecache.cache[file] = (len(cell), None, cell.splitlines(keepends=True), file)
    exec(compile(cell, file, "exec"), vars(sys.modules["__main__"]))
del __file__
first, step, body = (int(number) for number in sys.argv[1:])
run(first, "from beside import clean\\nN = [1, 2]\\nclass Config:\\n    names = ['a']\\n")
run(first + step, "def helper(x):\\n    '''Help.'''\\n    return clean(x), Config.names\\n")
run(first + 2 * step, f"# a comment\\ndef f(x):\\n    return helper(x), N, {body}\\n")
show(f)
"""


def test_notebooks(job):
    """Cells have one version however often and in whichever order they were numbered."""
    work = job.directory / "work"
    job.write({"work/notebook.py": NOTEBOOK})
    one = printed("notebook.py", 1, 1, 5, cwd=work)

    assert one == printed("notebook.py", 7, 3, 5, cwd=work)
    assert one != printed("notebook.py", 1, 1, 6, cwd=work)
    for old, new in (("[1, 2]", "[1, 3]"), ("['a']", "['b']"), ("clean(x)", "clean(x + 1)")):
        job.write({"work/notebook.py": NOTEBOOK.replace(old, new)})

        assert one != printed("notebook.py", 1, 1, 5, cwd=work), old
    job.write({"work/notebook.py": NOTEBOOK, "work/beside.py": "def clean(x):\n    return 2\n"})

    assert one != printed("notebook.py", 1, 1, 5, cwd=work)


def test_the_place_of_the_project_does_not_count(tmp_path):
    """A project that is moved keeps its versions."""
    found = []
    for place in ("here", "there"):
        with Project(tmp_path / place).importable() as moved:
            moved.write({"pkg/__init__.py": "", "pkg/main.py": TRACKED})
            found.append(moved.parts())

    assert found[0] == found[1]


def test_what_else_was_imported_does_not_count(job):
    """Whether a module was loaded before the function asks for it makes no difference."""
    work = job.directory / "work"

    assert printed("job.py", cwd=work) == printed(
        "-c", "import later, job; job.show(job.f)", cwd=work
    )


def test_sources_are_read_from_wherever_the_loader_has_them(tmp_path, project):
    """Linecache is asked for the source, as debuggers ask it."""
    file = str(pathlib.Path(tmp_path, "nowhere.py"))
    source = "def f(x):\n    return x + 1  # a comment\n"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    scope = {"__name__": "nowhere"}
    exec(compile(source, file, "exec"), scope)
    project.write({"nowhere.py": "def f(x):\n    return x + 1\n"})

    assert components(scope["f"]) == project.parts("nowhere.f")
