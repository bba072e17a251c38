"""Argument keys have no false hits and no false misses, on every pair of the corpus."""

from __future__ import annotations

import collections
import copy
import inspect
import marshal
import math
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from objcache.hashing import canonical, digest
from tests.unit.hashing.corpus import (
    GROUPS,
    OPTIONAL,
    Pair,
    evaluate,
    expressions,
    namespace_of,
)

PAIRS = [
    pytest.param(
        group, pair, id=f"{group}: {pair.left} {'===' if pair.same else '=/='} {pair.right}"
    )
    for group in GROUPS
    for pair in GROUPS[group]
]


def require(group):
    """Skip the test if the library of *group* is not installed."""
    if group in OPTIONAL:
        pytest.importorskip(group)


def classes_of(group):
    """Return the expressions of *group*, those that are connected by `===` together."""
    names = {name: name for name in expressions(group)}

    def top(name):
        while names[name] != name:
            name = names[name]
        return name

    for pair in GROUPS[group]:
        if pair.same:
            names[top(pair.left)] = top(pair.right)
    classes = collections.defaultdict(list)
    for name in names:
        classes[top(name)].append(name)
    return list(classes.values())


def test_the_corpus_is_large_enough():
    """There are enough pairs in each direction, and none twice."""
    pairs = [pair for group in GROUPS for pair in GROUPS[group]]
    sides = [(group, frozenset(pair[:2])) for group in GROUPS for pair in GROUPS[group]]

    assert len(pairs) >= 600
    assert sum(pair.same for pair in pairs) >= 180
    assert len(set(sides)) == len(sides)


@pytest.mark.parametrize(("group", "pair"), PAIRS)
def test_pairs(group: str, pair: Pair):
    """What is the same has one digest; what is not has two."""
    require(group)
    names = namespace_of(group)
    left, right = (digest(evaluate(side, names)) for side in (pair.left, pair.right))

    assert pair.same == (left == right)


@pytest.mark.parametrize("group", GROUPS)
def test_values_built_twice(group):
    """Each expression gives a value of the same digest whenever it is evaluated."""
    require(group)
    names = namespace_of(group)
    changing = [
        expression
        for expression in expressions(group)
        if digest(evaluate(expression, names)) != digest(evaluate(expression, names, turned=True))
    ]

    assert [] == changing


def test_no_two_values_of_all_collide():
    """Values of whatever groups that are not connected by `===` have different digests."""
    owners = collections.defaultdict(list)
    known = {}
    for group in GROUPS:
        if group in OPTIONAL:
            continue
        names = namespace_of(group)
        for members in classes_of(group):
            found = {known[member] for member in members if member in known}
            known.update(dict.fromkeys(members, members[0]))
            if not found:
                owners[digest(evaluate(members[0], names))].append(members[0])
    collisions = [expressions for expressions in owners.values() if len(expressions) > 1]

    assert [] == collisions
    assert len(owners) >= 500


PLAIN = [
    None, True, False, ..., 1, -1, 2**31, 2**40, -(2**5000), 1.5, -0.0, math.nan, 1j, "", "a", "\xe9",
    "\ud800", "a" * 300, b"", b"a", bytes(70000), bytearray(b"a"), bytearray(70000), memoryview(b"a"),
    (), (1,), ("a", 1.5), (b"",), (math.nan,), (1,) * 300, [], [1], [b""], [math.nan], [[]], [1] * 300,
    {}, {"a": 1}, {"a": b""}, {1: 2}, {"a": math.nan}, set(), {1}, frozenset(), frozenset({1}),
]  # fmt: skip


def test_a_tag_belongs_to_one_type():
    """The first byte of a form tells the type: a form is never that of a value of another type."""
    types_of = collections.defaultdict(set)
    for value in PLAIN:
        types_of[canonical(value)[:1]].add(type(value).__name__)
    shared = [sorted(names) for names in types_of.values() if len(names) > 1]

    assert [] == shared


def _list_form(members):
    """Return what would be the form of two texts and bytes."""
    texts = [b"u%b%b" % (len(text).to_bytes(4, "little"), text.encode()) for text in members[:2]]
    return b"l3:%b%bb%d:%b" % (*texts, len(members[2]), members[2])


def test_a_number_is_never_a_list():
    """A number whose bytes are those of a list's form has another form."""
    # What marshal writes for an int of this many digits begins with "l3:u" and a zero: the form
    # of a list of two texts and something else, if lists had the tag of large ints.
    size = 5 + 2 * 0x00753A33
    for tail in range(300):
        members = ["\x01" * 0x7F0000, "", b"\x01" * tail]
        rest = size - len(_list_form(members))
        members[1] = "\x01" * rest
        if all(byte < 0x80 for byte in rest.to_bytes(4, "little")):
            break
    number = marshal.loads(_list_form(members))

    assert digest(number) != digest(members)


def called_deeply(depth, function):
    """Return what *function* gives when *depth* calls are above it."""
    return called_deeply(depth - 1, function) if depth else function()


@pytest.mark.parametrize(
    "expression",
    [
        "[1, [2, {'a': (3,)}]]",
        "nested(200, 1)",
        "nested(200, {'a': {1, 2}, 3: [4.0]})",
        "[nested(200, 1), family('a', 'b')]",
        "[nested(200, 1), linked(lambda it: {'me': [it]})]",
        "[nested(200, 1), [it := [linked(lambda it: {'me': 1})], vars(it[0]).update(me=it)]]",
        "[nested(200, 1), looped(lambda it: [1, it])]",
        "[nested(200, 1), looped_dict(lambda it: {'a': it, 1: 2})]",
    ],
)
def test_the_depth_of_the_stack_does_not_count(expression):
    """A value has the same digest at whatever depth of calls it is asked for."""
    names = namespace_of("cycles")
    free = sys.getrecursionlimit() - len(inspect.stack())
    digests = {
        called_deeply(depth, lambda: digest(evaluate(expression, names)))
        for depth in (0, free // 2, free - 150)
    }

    assert 1 == len(digests)


@pytest.mark.parametrize(
    "expression",
    ["[1, 'a', 2.5, None]", "Plain([1])", "family('a')", "Celsius(1)", "defaultdict(list, a=[])",
     "deque([1, [2]])", "looped(lambda it: [it])", "local(2)", "array('i', [1])"],
)  # fmt: skip
def test_nothing_is_changed_by_hashing(expression):
    """Asking for a digest leaves the value as it was, and the second answer is the first."""
    value = evaluate(expression, namespace_of("standard library"))
    before = vars(value).copy() if hasattr(value, "__dict__") else copy.copy(value)
    first = digest(value)

    assert first == digest(value)
    assert before == (vars(value) if hasattr(value, "__dict__") else value)


def test_a_change_of_an_argument_counts_at_once():
    """Nothing of an earlier answer is kept: an object that was changed has another digest."""
    value = evaluate("Plain([1], name='a')", namespace_of("classes"))
    first = digest(value)
    value.values[0].append(2)
    second = digest(value)
    value.values[0].pop()

    assert first != second
    assert first == digest(value)


def test_hashing_from_several_threads():
    """Threads that ask for the same objects at the same time get the same answers."""
    names = namespace_of("cycles")
    values = [evaluate(expression, names) for expression in expressions("cycles")]
    alone = [digest(value) for value in values]
    barrier = threading.Barrier(4)

    def work(_):
        barrier.wait()
        return [digest(value) for value in values]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(work, range(4)))

    assert [alone] * 4 == together
