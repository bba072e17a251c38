"""Digests are the same in every process: whatever the hash seed, and the order things were made."""

from __future__ import annotations

import importlib.util
import json
import pathlib

from objcache.hashing import digest
from tests.scripts import run
from tests.unit.hashing.corpus import GROUPS, OPTIONAL, evaluate, expressions, namespace_of

ROOT = pathlib.Path(__file__).parents[3]
DIGESTS = """
import json, importlib.util
sys.path.insert(0, sys.argv[2])
from objcache.hashing import digest
from tests.unit.hashing.corpus import GROUPS, OPTIONAL, evaluate, expressions, namespace_of
found = {}
for group in json.loads(sys.argv[4]):
    names = namespace_of(group)
    for expression in expressions(group):
        value = evaluate(expression, names, turned=sys.argv[3] == "turned")
        found[f"{group}: {expression}"] = digest(value).hex()
json.dump({"hash": hash("text"), "digests": found}, sys.stdout)
"""


def installed():
    """Return the groups whose library is installed."""
    return [group for group in GROUPS if group not in OPTIONAL or importlib.util.find_spec(group)]


def elsewhere(monkeypatch, seed, order):
    """Return the hash of a text and all digests as found in a process of its own."""
    monkeypatch.setenv("PYTHONHASHSEED", seed)
    return json.loads(run(DIGESTS, "unused", ROOT, order, json.dumps(installed()), timeout_s=120))


def test_digests_are_the_same_in_other_processes(monkeypatch):
    """Two processes with other hash seeds, one of them filling sets and dicts the other way round."""
    one = elsewhere(monkeypatch, "1", "as written")
    other = elsewhere(monkeypatch, "2", "turned")
    here = {
        f"{group}: {expression}": digest(evaluate(expression, namespace_of(group))).hex()
        for group in installed()
        for expression in expressions(group)
    }
    unlike = [
        name for name in here if len({here[name], one["digests"][name], other["digests"][name]}) > 1
    ]

    assert [] == unlike
    assert one["hash"] != other["hash"]
    assert len(here) >= 800
