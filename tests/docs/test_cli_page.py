"""The pages tell of every command and option; the command lines that they show are taken."""

from __future__ import annotations

import pathlib
import re
import shlex

import click
import pytest

from tests.unit.cli.every import COMMANDS

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "cli.md"
TEXT = PAGE.read_text()


def rows():
    """The commands of the table with their arguments, and the pages that their rows lead to."""
    table = TEXT.partition("| command |")[2].partition("\n\n")[0]
    for line in table.splitlines()[2:]:
        usages, told = line.strip("| ").split(" | ")
        pages = {(PAGE.parent / target).resolve() for target in re.findall(r"\]\(([^)#]+)", told)}
        for usage in re.findall(r"`([^`]+)`", usages):
            yield usage, pages


def usage_of(name):
    """A command with its required arguments, as `--help` names them."""
    command = COMMANDS[name]
    context = click.Context(command)
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    return " ".join((name, *(each.make_metavar(context).strip("[]") for each in arguments)))


def test_the_table_has_every_command():
    """Each command is in the table once, with its arguments in their order, and nothing else."""
    told = {usage.split()[0]: usage.replace("[", "").replace("]", "") for usage, _ in rows()}
    kinds = re.compile(r"\{[^}]+\}")  # a choice has a word of its own in the table

    assert len(told) == len(list(rows()))
    assert set(COMMANDS) == set(told)
    for name, usage in told.items():
        wanted = [part for part in usage_of(name).split() if not kinds.match(part)]
        shown = [part for part in usage.split() if part != "KIND" and not part.startswith("-")]
        assert wanted == shown, name


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_is_told(name):
    """Each option is on the page of commands, or on one that the row of its command leads to."""
    pages = next(pages for usage, pages in rows() if usage.split()[0] == name)
    told = "".join(page.read_text() for page in (PAGE, *pages))
    options = {
        option
        for parameter in COMMANDS[name].params
        for option in parameter.opts
        if option.startswith("--")
    }

    missing = [option for option in options if not re.search(rf"{option}(?![\w-])", told)]
    assert [] == missing


def command_lines(text):
    """Each command line of `objcache` in *text*, without what the shell does around it."""
    for line in text.splitlines():
        found = re.match(r"\s*(?:\$ |Example: )?(?:[A-Z_]+=\S+ )*objcache (.*)", line)
        if found and "_OBJCACHE_COMPLETE" not in line:
            yield shlex.split(found[1], comments=True)


def assert_taken(arguments, where):
    """The program takes a command line, as far as can be told without running it."""
    command = COMMANDS.get(arguments[0])

    assert command is not None, (where, arguments)
    try:
        command.make_context(arguments[0], arguments[1:])
    except click.UsageError as error:
        raise AssertionError(
            f"{where}: {shlex.join(arguments)}: {error.format_message()}"
        ) from error


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_has_an_example_that_is_taken(name):
    """The help of each command has an example of it, and the command takes it."""
    examples = list(command_lines(COMMANDS[name].help))

    assert [name] == [*{example[0] for example in examples}]
    for example in examples:
        assert_taken(example, name)


def shown():
    """Each block of a shell, or of what it printed, on a page."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for block in re.findall(
            r"^```(?:text|sh)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE
        ):
            yield page.relative_to(ROOT), block


def test_command_lines_of_the_pages_are_taken():
    """What a page shows as typed is a command with options that there are."""
    lines = [(page, line) for page, block in shown() for line in command_lines(block)]

    for page, line in lines:
        assert_taken(line, page)
    assert len(lines) > 10
