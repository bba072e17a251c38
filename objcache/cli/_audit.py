"""`objcache audit`: every record that a careful reader would not load.

Knows: the terminal. Must not know: how records are signed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import click
from rich.console import Console

from objcache.cli._keys import mapping_text, printable
from objcache.cli._options import command_options, json_record_key, print_json, shown_record
from objcache.cli._payloads import pickle_shape
from objcache.cli._progress import counting
from objcache.cli._screen import console, show_table
from objcache.codecs import ALWAYS_TRUSTED, NUMPY_TRUSTED, trust_names
from objcache.errors import ObjcacheError
from objcache.store import RawRecord, RawRecords

__all__ = ["audit"]

_SHOWN: Final = 50
_ADVANCED: Final = 256
_MESSAGES: Final = {
    "unsigned": "it carries no signature",
    "foreign": "it was signed with another secret, or altered",
}


class Finding(NamedTuple):
    """A record that should not be loaded, and why."""

    record: RawRecord
    kind: str
    message: str
    classes: tuple[str, ...] = ()


@click.command()
@command_options
@click.option("--trust", "trusted", multiple=True, metavar="CLASS", help="Allow this class too.")
@click.option("--numpy", is_flag=True, help="Allow what plain NumPy arrays name.")
def audit(*, path: str, trusted: Sequence[str], numpy: bool, as_json: bool, no_color: bool) -> int:
    """List every record that is unsigned, foreign-signed, damaged, or names a class not allowed.

    Allowed are plain data of the standard library, and what --trust names: the classes that
    `Store(trust=...)` would allow. No value is loaded and nothing is imported, so a store of
    another secret can be looked at before `objcache trust`. With --json one object.

    Exit code: 0 nothing was found, 1 something was, 2 no store there, or not ours to read.

    Example: objcache audit ./library --trust shop.models.Order
    """
    try:
        allowed = ALWAYS_TRUSTED | trust_names(trusted) | (NUMPY_TRUSTED if numpy else set())
    except (ValueError, TypeError) as error:
        raise click.UsageError(str(error)) from error
    with RawRecords(path, foreign=True) as records:
        with counting("looking at records", no_color=no_color) as advance:
            counts, findings = _look(records, allowed, advance)
        if as_json:
            _print(path, records, counts, findings)
        else:
            _show(console(no_color=no_color), path, records, counts, findings)
    return 1 if findings else 0


def _look(
    records: RawRecords, allowed: frozenset[str], advance: Callable[[int, int], None] | None
) -> tuple[Counter[str], list[Finding]]:
    counts: Counter[str] = Counter()
    findings: list[Finding] = []
    for number, raw in enumerate(records.all_records(), 1):
        counts[""] = number
        found, names = _examined(records, raw, allowed)
        findings += found
        counts.update(names)
        if advance is not None and number % _ADVANCED == 0:
            advance(number, records.count())
    return counts, findings


def _examined(
    records: RawRecords, raw: RawRecord, allowed: frozenset[str]
) -> tuple[list[Finding], tuple[str, ...]]:
    """Return what is to be said of a record, and the names that its pickle would import."""
    findings = []
    if raw.trust != "signed":
        findings.append(Finding(raw, raw.trust, _MESSAGES.get(raw.trust, raw.problem)))
    try:
        shape = None if raw.header is None else pickle_shape(records, raw)
    except (ObjcacheError, MemoryError) as error:
        findings.append(Finding(raw, "unreadable", str(error)))
        return findings, ()
    if shape is None:
        return findings, ()
    refused = tuple(name for name in shape.imports if name not in allowed)
    if refused:
        findings.append(Finding(raw, "class", f"it names {', '.join(refused)}", refused))
    if shape.problem:
        findings.append(Finding(raw, "unreadable", f"its pickle: {shape.problem}"))
    return findings, refused


def _print(
    path: str, records: RawRecords, counts: Counter[str], findings: Sequence[Finding]
) -> None:
    read = counts.pop("", 0)
    print_json(
        {
            "path": path,
            "ok": not findings,
            "own_secret": records.own,
            "records": read,
            "classes_not_allowed": dict(counts.most_common()),
            "findings": [_as_json(finding) for finding in findings],
        }
    )


def _as_json(finding: Finding) -> dict[str, Any]:
    raw = finding.record
    return {
        "names": raw.mapping.names,
        "is_cache": raw.mapping.is_cache,
        "key": json_record_key(raw),
        "at": raw.located.hex(),
        "kind": finding.kind,
        "message": finding.message,
        "classes": list(finding.classes),
    }


def _show(
    output: Console,
    path: str,
    records: RawRecords,
    counts: Counter[str],
    findings: Sequence[Finding],
) -> None:
    read = counts.pop("", 0)
    if not records.own:
        output.print("this store is of another secret than yours", style="bold")
    if findings:
        rows = [
            (_where(finding.record), finding.kind, printable(finding.message))
            for finding in findings[:_SHOWN]
        ]
        if len(findings) > _SHOWN:
            rows.append(("...", "", f"{len(findings) - _SHOWN:,} more; --json shows all"))
        show_table(output, ("where", "what", "why"), rows)
        output.print()
    for name, count in list(_most(counts)):
        output.print(f"{printable(name)}: named by {count:,} record{'' if count == 1 else 's'}")
    kinds = Counter(finding.kind for finding in findings)
    summary = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    entries = "1 record" if read == 1 else f"{read:,} records"
    output.print(f"{path}: {entries} looked at, {summary or 'nothing found'}")


def _most(counts: Counter[str]) -> Iterator[tuple[str, int]]:
    yield from counts.most_common(_SHOWN)


def _where(raw: RawRecord) -> str:
    key, mapping = shown_record(raw), raw.mapping
    if not mapping.names and not mapping.is_cache:
        return key
    return f"{mapping_text(mapping.names, is_cache=mapping.is_cache)}: {key}"
