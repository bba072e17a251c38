"""Finding source files and naming their modules."""

from __future__ import annotations

import os

import pytest

from objcache.cli._sources import SourceFile, SourcesError, find_sources, read_source


@pytest.fixture
def make(tmp_path):
    """Make files below a directory; return the directory."""

    def make_files(*names):
        for name in names:
            file = tmp_path / "tree" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("pass\n")
        return tmp_path / "tree"

    return make_files


def modules(path, limit=None):
    """The names of the modules found."""
    return [file.module for file in find_sources(str(path), limit).files]


def test_files_are_found_in_order(make):
    """All `.py` files, always in the same order; nothing else."""
    root = make("b.py", "a.py", "pkg/__init__.py", "pkg/c.py", "pkg/notes.txt", "loose/d.py")

    assert ["a", "b", "loose.d", "pkg.__init__", "pkg.c"] == modules(root)
    assert ["a", "b"] == modules(root, 2)


def test_foreign_directories_are_left_out(make):
    """Installed packages, virtual environments, caches and hidden directories are not looked into."""
    root = make(
        *("a.py", "site-packages/b.py", "lib/dist-packages/c.py", ".git/d.py", "__pycache__/e.py"),
        *("env/pyvenv.cfg", "env/lib/f.py", "node_modules/g.py"),
    )

    assert ["a"] == modules(root)
    assert ["b"] == modules(root / "site-packages")
    assert ["lib.f"] == modules(root / "env")


def test_names_are_those_of_imports(make):
    """A directory inside a package, one with a src directory, a single file: named as imported."""
    root = make("src/pkg/__init__.py", "src/pkg/sub/__init__.py", "src/pkg/sub/m.py", "setup.py")

    assert ["setup", "pkg.__init__", "pkg.sub.__init__", "pkg.sub.m"] == modules(root)
    assert ["pkg.sub.__init__", "pkg.sub.m"] == modules(root / "src" / "pkg" / "sub")
    assert ["pkg.sub.m"] == modules(root / "src" / "pkg" / "sub" / "m.py")


def test_no_name_is_given_twice(make):
    """Files that would have one name have two."""
    root = make("a.py", "a/__init__.py", "src/a.py")

    assert ["a", os.path.join("a", "__init__.py"), os.path.join("src", "a.py")] == modules(root)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing", "No such file or directory"),
        ("a.py/below", "Not a directory"),
        ("notes.txt", "neither a directory nor a .py file"),
        ("empty", "no Python files below"),
        ("a\0b", "is no path"),
    ],
)
def test_bad_paths_are_refused(make, path, message):
    """Each bad path has its reason."""
    root = make("a.py", "notes.txt", "empty/notes.txt")

    with pytest.raises(SourcesError, match=message):
        find_sources(f"{root}/{path}")


def test_empty_path_is_not_the_current_directory():
    """An empty path is a mistake, say an unset variable."""
    with pytest.raises(SourcesError, match="cannot read ''"):
        find_sources("")


def test_unreadable_directories(make, monkeypatch):
    """The directory itself must be readable; one below it is skipped, with the reason."""
    root = make("a.py", "closed/b.py")
    scandir = os.scandir

    def refusing(path):
        if os.fspath(path).endswith(refused):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    refused = "closed"

    assert ((str(root / "closed"), "Permission denied"),) == find_sources(str(root)).skipped
    assert ["a"] == modules(root)
    refused = "tree"
    with pytest.raises(SourcesError, match="Permission denied"):
        find_sources(str(root))


def test_only_regular_files_are_read(make):
    """A pipe that is named like a source file is refused, not waited for."""
    root = make("a.py")
    os.mkfifo(root / "pipe.py")

    assert b"pass\n" == read_source(SourceFile(str(root / "a.py"), "a"))
    with pytest.raises(OSError, match="not a regular file"):
        read_source(SourceFile(str(root / "pipe.py"), "pipe"))
    with pytest.raises(FileNotFoundError):
        read_source(SourceFile(str(root / "gone.py"), "gone"))
