"""What importing costs, and what is in the wheel."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import venv
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def loaded_after(code):
    """The modules that are loaded after *code*, in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(' '.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_import_loads_nothing_heavy():
    """`import objcache` loads no module that costs much and that a store does not need."""
    plain = loaded_after("pass")
    heavy = {
        *("inspect", "ast", "dataclasses", "logging", "hashlib", "hmac", "json", "asyncio"),
        *("platformdirs", "decimal", "datetime", "uuid", "pathlib", "msgpack", "numpy", "click"),
        *("multiprocessing", "concurrent.futures", "ctypes", "pickletools", "rich", "socket"),
    }

    assert set() == (loaded_after("import objcache") - plain) & heavy


def test_import_compiles_no_annotation():
    """No field of a named tuple is compiled during `import objcache`: the first costs a tenth of it."""
    code = (
        "import typing\n"
        "compiled, begin = [], typing.ForwardRef.__init__\n"
        "def counted(self, text, *rest, **named):\n"
        "    compiled.append(text)\n"
        "    begin(self, text, *rest, **named)\n"
        "typing.ForwardRef.__init__ = counted\n"
        "import objcache\n"
        "print(compiled)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.strip()


def test_what_only_caches_need_is_not_loaded():
    """`import objcache` loads nothing of caches."""
    loaded = loaded_after("import objcache")

    assert set() == {name for name in loaded if name.startswith("objcache.cache")}
    assert "objcache.store.generations" not in loaded


def test_memoize_is_loaded_on_first_use():
    """The decorator's modules come with the decorator."""
    assert "objcache.memo" not in loaded_after("import objcache")
    assert "objcache.memo" in loaded_after("import objcache; objcache.memoize")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel of the working copy, built without network from an isolated copy."""
    target = tmp_path_factory.mktemp("wheel")
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "objcache", source / "objcache", ignore=shutil.ignore_patterns("*.pyc"))
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--no-deps",
            "--no-build-isolation",
            "-q",
            "-w",
            target,
            source,
        ],
        check=True,
        capture_output=True,
        env={**os.environ, "HOME": str(target)},
    )
    return next(target.glob("*.whl"))


def test_wheel_holds_the_package_and_nothing_else(wheel):
    """Every module, the type marker, the page of reports and the licence are in it; tests are not."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = next(name for name in names if name.endswith("METADATA"))
        text = archive.read(metadata).decode()
        entry_points = archive.read(metadata.replace("METADATA", "entry_points.txt")).decode()
    modules = {str(file.relative_to(ROOT)) for file in (ROOT / "objcache").rglob("*.py")}

    modules |= {"objcache/py.typed", "objcache/cli/report.html"}
    assert modules == {name for name in names if ".dist-info/" not in name}
    assert any(name.endswith("LICENSE") for name in names)
    assert "[console_scripts]" in entry_points
    assert "pytest11" not in entry_points
    requirements = [line for line in text.splitlines() if line.startswith("Requires-Dist")]
    assert 3 == sum("extra ==" not in line for line in requirements)


def test_wheel_works_without_the_sources(wheel, tmp_path):
    """The installed wheel, with the source tree out of reach and no extra, stores and memoizes."""
    home = tmp_path / "environment"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    packages = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    for name in ("lmdb", "blake3", "platformdirs"):
        source = pathlib.Path(__import__(name).__file__).parent
        os.symlink(source, pathlib.Path(packages, source.name))
    code = (
        "import objcache, sys\n"
        "with objcache.Store(sys.argv[1]) as store:\n"
        "    store['a'] = {'b': [1]}\n"
        "    f = store.memoize(lambda x: x + 1)\n"
        "    print(store['a'], f(1), f(1), f.cache_info().hits, objcache.__file__)\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", code, str(tmp_path / "store")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )

    assert done.stdout.startswith("{'b': [1]} 2 2 1 "), done.stderr
    assert packages in done.stdout
